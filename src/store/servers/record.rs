//! What an installed server is called and what is written down of it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::FAILED_LOG;

/// The name of an installed server: `valkey-9.1.2`, or what the user calls it. As a file name it
/// can neither leave its directory nor be mistaken for an option or for something of ours.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServerName(String);

impl ServerName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ServerName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let inner = |byte: u8| letter(byte) || byte == b'-' || byte == b'.';
        let ends = [text.bytes().next(), text.bytes().last()];
        let fits = (1..=40).contains(&text.len())
            && text.bytes().all(inner)
            && ends.into_iter().flatten().all(letter)
            && text != FAILED_LOG;
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(
                "a server's name has 1 to 40 lower-case letters, digits, inner dots and hyphens"
                    .into(),
            )
        }
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What an installed server is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerRecord {
    /// The version of this file's form.
    pub schema_version: u32,
    /// `redis` or `valkey`.
    pub kind: String,
    /// `9.1.2`.
    pub version: String,
    /// Where it comes from.
    pub origin: Origin,
    /// Its programs and their SHA-256.
    pub programs: BTreeMap<String, String>,
}

/// Where a server comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// A wheel of a Python package.
    Wheel {
        /// The package.
        project: String,
        /// Its version.
        release: String,
    },
    /// It was built here.
    Source {
        /// From this tarball or directory.
        from: PathBuf,
        /// Whose SHA-256 was this.
        digest: String,
        /// With these arguments for make.
        make: Vec<String>,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wheel { project, release } => write!(f, "{project} {release}"),
            Self::Source { from, make, .. } if make.is_empty() => {
                write!(f, "built from {}", from.display())
            }
            Self::Source { from, make, .. } => {
                write!(f, "built from {} with {}", from.display(), make.join(" "))
            }
        }
    }
}

impl ServerRecord {
    /// The version this rcluster reads and writes.
    pub const SCHEMA_VERSION: u32 = 1;

    /// The name of its server program.
    pub fn server(&self) -> &'static str {
        if self.kind == "valkey" {
            "valkey-server"
        } else {
            "redis-server"
        }
    }

    /// The name of its client program.
    pub fn client(&self) -> &'static str {
        if self.kind == "valkey" {
            "valkey-cli"
        } else {
            "redis-cli"
        }
    }
}
