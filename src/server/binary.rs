//! The server program: where it is, what it is, what it can do.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use crate::cluster::printable;
use crate::error::{Error, Result};

/// How long `--version` may take.
const PROBE_LIMIT: Duration = Duration::from_secs(5);

/// What is looked for on `PATH`, in this order.
const NAMES: [&str; 2] = ["redis-server", "valkey-server"];

const INSTALL_HINT: &str = "install one (Debian: apt-get install redis-server), or pass --server PATH; `scripts/quickstart` does it for you";

/// Redis or Valkey.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Redis.
    Redis,
    /// Valkey.
    Valkey,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Redis => "redis",
            Self::Valkey => "valkey",
        })
    }
}

/// A server's version: major, minor, patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32, pub u32);

impl Version {
    /// The oldest we know how to run: `CLUSTER` on Redis 6.2.
    const OLDEST: Self = Self(6, 2, 0);

    /// Reads `7.0.15`; what follows a third number (`-rc1`) is ignored.
    pub fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split('.').map(|part| {
            let digits = part
                .find(|c: char| !c.is_ascii_digit())
                .map_or(part, |end| &part[..end]);
            digits.parse().ok()
        });
        Some(Self(
            numbers.next()??,
            numbers.next()??,
            numbers.next().flatten().unwrap_or(0),
        ))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// What a server can do, as far as it changes what we do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent abilities")]
pub struct Capabilities {
    /// `cluster-port`: the bus port can be chosen (Redis 7.0).
    pub cluster_port: bool,
    /// `proc-title-template` can name the cluster (since 7.0 it cannot be broken by an old parser).
    pub process_title: bool,
    /// `nodes.conf` has shard ids (7.2).
    pub shard_ids: bool,
    /// `FUNCTION` and `CLUSTER SHARDS` and `CLUSTER ADDSLOTSRANGE` (7.0).
    pub seven: bool,
    /// A replica may load its first snapshot without the disk: else Valkey 9 notices the end of the
    /// copy only in `replicationCron`, once a second.
    pub load_on_empty_db: bool,
    /// `PUBLISH` crosses the bus in a message with a full header (before Valkey 8.1), so that the
    /// sender's replication offset reaches every node at once.
    pub publish_carries_offset: bool,
}

/// A server program that was asked for its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binary {
    /// Its path; not resolved, since a server may look at the name it is called by.
    pub path: PathBuf,
    /// What it is.
    pub kind: Kind,
    /// Its version.
    pub version: Version,
    /// Whether its memory is jemalloc's, which has threads of its own.
    pub jemalloc: bool,
}

impl Binary {
    /// Finds the program that `wish` names (a path, or a name on `PATH`), or the first server on
    /// `PATH`, and asks it for its version.
    pub async fn find(wish: Option<&str>) -> Result<Self> {
        let path = match wish {
            Some(wish) => which::which(wish).map_err(|_| Error::Unfit {
                message: format!("there is no program \"{}\"", printable(wish, 200)),
                hint: "pass the path of a redis-server or valkey-server with --server".into(),
            })?,
            None => NAMES
                .iter()
                .find_map(|name| which::which(name).ok())
                .ok_or_else(|| Error::Unfit {
                    message: "there is neither redis-server nor valkey-server on PATH".into(),
                    hint: INSTALL_HINT.into(),
                })?,
        };
        let path = std::path::absolute(&path).unwrap_or(path);
        Self::probe(&path).await
    }

    /// Asks the program at `path` for its version.
    pub async fn probe(path: &Path) -> Result<Self> {
        let unfit = |why: String| Error::Unfit {
            message: format!("{} cannot be used: {why}", path.display()),
            hint: "pass the path of a redis-server or valkey-server, 6.2 or newer, with --server"
                .into(),
        };
        let child = Command::new(path)
            .arg("--version")
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| unfit(format!("it does not start ({error})")))?;
        let output = timeout(PROBE_LIMIT, child.wait_with_output())
            .await
            .map_err(|_| {
                unfit(format!(
                    "`--version` gave no answer within {} s",
                    PROBE_LIMIT.as_secs()
                ))
            })?
            .map_err(|error| unfit(error.to_string()))?;
        let answer = String::from_utf8_lossy(&output.stdout);
        let (kind, version) = read_version(&answer).ok_or_else(|| {
            let said = [
                answer.trim(),
                String::from_utf8_lossy(&output.stderr).trim(),
            ]
            .join(" ");
            unfit(format!(
                "it is no Redis or Valkey server (`--version` says \"{}\")",
                printable(said.trim(), 80)
            ))
        })?;
        if version < Version::OLDEST {
            return Err(unfit(format!("{kind} {version} is too old")));
        }
        Ok(Self {
            path: path.to_owned(),
            kind,
            version,
            jemalloc: answer.contains("malloc=jemalloc"),
        })
    }

    /// How many threads one server has, and a child that saves: the table in `plan/limits.rs`.
    pub fn tasks(&self) -> u64 {
        let valkey_9 = self.kind == Kind::Valkey && self.version >= Version(9, 0, 0);
        let own = if valkey_9 { 6 } else { Self::LEAST_TASKS - 1 };
        let of_memory = if self.jemalloc { 3 } else { 0 };
        own + of_memory + 1
    }

    /// The least of any server.
    pub const LEAST_TASKS: u64 = 5;

    /// The command-line client that belongs to this server: beside it, or on `PATH`.
    pub fn client(&self) -> Option<PathBuf> {
        let name = format!("{}-cli", self.kind);
        let beside = self.path.with_file_name(&name);
        if beside.is_file() {
            return Some(beside);
        }
        which::which(&name).ok()
    }

    /// What this version can do.
    pub fn capabilities(&self) -> Capabilities {
        // Valkey began as Redis 7.2.4.
        let valkey = self.kind == Kind::Valkey;
        let since = |version| valkey || self.version >= version;
        Capabilities {
            cluster_port: since(Version(7, 0, 0)),
            process_title: since(Version(7, 0, 0)),
            shard_ids: since(Version(7, 2, 0)),
            seven: since(Version(7, 0, 0)),
            load_on_empty_db: valkey && self.version >= Version(9, 0, 0),
            publish_carries_offset: !(valkey && self.version >= Version(8, 1, 0)),
        }
    }
}

impl fmt::Display for Binary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.version)
    }
}

/// Reads `Redis server v=7.0.15 sha=…` or `Valkey server v=8.0.1 …`.
fn read_version(answer: &str) -> Option<(Kind, Version)> {
    answer.lines().find_map(|line| {
        let (kind, rest) = [
            (Kind::Redis, "Redis server v="),
            (Kind::Valkey, "Valkey server v="),
        ]
        .into_iter()
        .find_map(|(kind, start)| Some((kind, line.strip_prefix(start)?)))?;
        Some((kind, Version::parse(rest.split_ascii_whitespace().next()?)?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_servers_print_them() {
        for (answer, wanted) in [
            (
                "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=ae4d",
                Some((Kind::Redis, Version(7, 0, 15))),
            ),
            (
                "Valkey server v=8.0.1 sha=0:0",
                Some((Kind::Valkey, Version(8, 0, 1))),
            ),
            (
                "warning\nRedis server v=8.0-rc1 sha=0:0",
                Some((Kind::Redis, Version(8, 0, 0))),
            ),
            ("redis-cli 7.0.15", None),
            ("Redis server v=x", None),
            ("", None),
        ] {
            assert_eq!(read_version(answer), wanted, "{answer}");
        }
    }

    #[test]
    fn valkey_can_what_redis_7_2_could() {
        let of = |kind, version| {
            Binary {
                path: "x".into(),
                kind,
                version,
                jemalloc: true,
            }
            .capabilities()
        };
        assert!(!of(Kind::Redis, Version(6, 2, 14)).cluster_port);
        assert!(
            of(Kind::Redis, Version(7, 0, 15)).cluster_port
                && !of(Kind::Redis, Version(7, 0, 15)).shard_ids
        );
        assert!(of(Kind::Valkey, Version(7, 2, 4)).shard_ids);
        assert!(of(Kind::Valkey, Version(9, 1, 2)).load_on_empty_db);
    }
}
