//! Files of settings: the project's `rcluster.toml`, the user's `config.toml`, and where each
//! value came from.
//!
//! This room knows files and TOML, and the only door to the `toml` crate; which keys there are,
//! and what their values mean, is for the command line to say: a key is the long name of an option.

mod file;
mod text;
mod value;

use std::fmt;
use std::path::PathBuf;

pub use file::{Place, read, sources};
pub use value::{Entry, Value, key, quoted};

/// A file of settings that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct SettingsFile {
    /// Where it is, absolute.
    pub path: PathBuf,
    /// Whose it is.
    pub level: Level,
    /// What it says, in its order.
    pub entries: Vec<Entry>,
}

/// Whose a file of settings is. The first wins over the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// `rcluster.toml` of the directory that one works in.
    Project,
    /// `config.toml` of the user.
    User,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Project => "project",
            Self::User => "user",
        })
    }
}

/// One value that counts, and who gave it.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// The option's long name; of a table, then the name in it: `["set", "maxmemory"]`.
    pub key: Vec<String>,
    /// What it is; `None` if there is none.
    pub value: Option<Value>,
    /// Who gave it.
    pub origin: Origin,
}

impl Setting {
    /// The key with dots, as TOML has it: `set-for."replica:2".maxmemory`.
    pub fn name(&self) -> String {
        let parts: Vec<String> = self.key.iter().map(|part| value::key(part)).collect();
        parts.join(".")
    }
}

/// All that counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Overview {
    /// Every value.
    pub settings: Vec<Setting>,
    /// The files that were read, the stronger first.
    pub files: Vec<(Level, PathBuf)>,
    /// Environment variables whose values are secret, and whether they are set.
    pub secrets: Vec<(String, bool)>,
}

/// Who gave a value. The first wins over the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The command line.
    Flag,
    /// The environment variable of that name.
    Environment(String),
    /// A file.
    File {
        /// Which.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// Nobody.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("flag"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}
