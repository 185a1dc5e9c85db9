//! The server program: where it is, what it is, what it can do.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::time::{Instant, timeout_at};

use super::spawn::environment;
use crate::cluster::printable;
use crate::error::{Error, Result};

/// How long a program may take to say what it is and what it can.
const PROBE_LIMIT: Duration = Duration::from_millis(4500);

/// What is looked for on `PATH`, in this order.
pub const SERVER_NAMES: [&str; 2] = ["redis-server", "valkey-server"];

const INSTALL_HINT: &str = "get one without root: {rcluster} server install; or from your distribution (Debian: apt-get install redis-server); or pass --server PATH";

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

/// What not every server can do, and only trying tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probed {
    /// `cluster-port`.
    ClusterPort,
    /// `proc-title-template`.
    ProcessTitle,
    /// `cluster-announce-hostname`.
    Hostname,
    /// `tls-port`: the server was built with TLS.
    Tls,
}

impl Probed {
    fn name(self) -> &'static str {
        match self {
            Self::ClusterPort => "cluster-port",
            Self::ProcessTitle => "proc-title-template",
            Self::Hostname => "cluster-announce-hostname",
            Self::Tls => "tls-port",
        }
    }

    /// A configuration that no server runs with. A server that knows the directive of the first
    /// line complains of its value; the second is refused by all, because Redis 8 takes a
    /// directive that it does not know for a module's, and goes on.
    ///
    /// From 7.2 on servers that were built without TLS know its directives too. They say so when
    /// they are to listen; those that have it miss their certificate before.
    fn configuration(self) -> String {
        let value = match self {
            Self::ClusterPort => "rcluster",
            Self::ProcessTitle => "\"{rcluster}\"",
            Self::Hostname => "\"?\"",
            Self::Tls => return "port 0\ntls-port 1\nsave \"\"\n".to_owned(),
        };
        format!("{} {value}\nport rcluster\n", self.name())
    }

    /// What a server's last words say; `None` if it is no server's way to end.
    fn verdict(self, said: &str) -> Option<bool> {
        let line = said.split_once("at line ").map(|(_, rest)| rest);
        match (self, line.and_then(|rest| rest.chars().next())) {
            (Self::Tls, None) if said.contains("Failed to configure TLS") => Some(true),
            (Self::Tls, None) if said.contains("Failed finding TLS support") => Some(false),
            (Self::Tls, Some('2')) => Some(false),
            (Self::Tls, _) => None,
            (_, Some('1')) => Some(!said.contains("Bad directive")),
            (_, Some('2')) => Some(false),
            _ => None,
        }
    }
}

/// What a server can do, as far as it changes what we do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent abilities")]
pub struct Capabilities {
    /// `cluster-port`: the bus port can be chosen (Redis 7.0).
    pub cluster_port: bool,
    /// `proc-title-template` can name the cluster.
    pub process_title: bool,
    /// `nodes.conf` has shard ids (7.2).
    pub shard_ids: bool,
    /// `FUNCTION` and `CLUSTER SHARDS` and `CLUSTER ADDSLOTSRANGE` (7.0).
    pub seven: bool,
    /// A replica should load its first snapshot without the disk: else Valkey 9 notices the end of the
    /// copy only in `replicationCron`, once a second.
    pub load_on_empty_db: bool,
    /// `PUBLISH` crosses the bus in a message with a full header (before Valkey 8.1), so that the
    /// sender's replication offset reaches every node at once.
    pub publish_carries_offset: bool,
}

impl Capabilities {
    /// What servers with `self` and servers with `other` can do alike.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            cluster_port: self.cluster_port && other.cluster_port,
            process_title: self.process_title && other.process_title,
            shard_ids: self.shard_ids && other.shard_ids,
            seven: self.seven && other.seven,
            load_on_empty_db: self.load_on_empty_db && other.load_on_empty_db,
            publish_carries_offset: self.publish_carries_offset && other.publish_carries_offset,
        }
    }
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
    /// Those of `cluster-port` and `proc-title-template` that it knows.
    pub accepts: BTreeSet<String>,
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
            None => SERVER_NAMES
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
        let deadline = Instant::now() + PROBE_LIMIT;
        let output = ask(path, "--version", "", deadline).await.map_err(&unfit)?;
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
        let mut accepts = BTreeSet::new();
        let both = [Probed::ClusterPort, Probed::ProcessTitle];
        let known = both.map(|directive| knows(path, directive, deadline));
        for (directive, known) in both.into_iter().zip(join_all(known).await) {
            if known.map_err(&unfit)? {
                accepts.insert(directive.name().to_owned());
            }
        }
        Ok(Self {
            path: path.to_owned(),
            kind,
            version,
            accepts,
            jemalloc: answer.contains("malloc=jemalloc"),
        })
    }

    /// Whether it knows `directive`.
    pub async fn knows(&self, directive: Probed) -> Result<bool> {
        let known = knows(&self.path, directive, Instant::now() + PROBE_LIMIT).await;
        known.map_err(|why| Error::Unfit {
            message: format!("{} cannot be used: {why}", self.path.display()),
            hint: "pass another server with --server".into(),
        })
    }

    /// How many threads one server has, and a child that saves: the table in `plan/limits`.
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

    /// What it can do: by what it accepted, and by its version where no directive tells.
    pub fn capabilities(&self) -> Capabilities {
        // Valkey began as Redis 7.2.4.
        let valkey = self.kind == Kind::Valkey;
        let since = |version| valkey || self.version >= version;
        let accepts = |name: &str| self.accepts.contains(name);
        Capabilities {
            cluster_port: accepts(Probed::ClusterPort.name()),
            process_title: accepts(Probed::ProcessTitle.name()),
            shard_ids: since(Version(7, 2, 0)),
            seven: since(Version(7, 0, 0)),
            load_on_empty_db: valkey && self.version >= Version(9, 0, 0),
            publish_carries_offset: !(valkey && self.version >= Version(8, 1, 0)),
        }
    }
}

/// Runs `path` with `input`, to its end; why that failed, in a fragment.
async fn ask(
    path: &Path,
    argument: &str,
    input: &str,
    deadline: Instant,
) -> Result<Output, String> {
    let ended = async {
        let mut child = Command::new(path)
            .arg(argument)
            // Whatever it is, our secrets are none of its business.
            .env_clear()
            .envs(environment())
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("it does not start ({error})"))?;
        if let Some(mut stdin) = child.stdin.take() {
            // One that ends without reading has told what it has to tell.
            stdin.write_all(input.as_bytes()).await.ok();
        }
        child
            .wait_with_output()
            .await
            .map_err(|error| error.to_string())
    };
    timeout_at(deadline, ended).await.unwrap_or_else(|_| {
        Err(format!(
            "`{argument}` gave no answer within {} s",
            PROBE_LIMIT.as_secs_f32()
        ))
    })
}

/// Whether the server at `path` knows `directive`, which it reads from its standard input.
async fn knows(path: &Path, directive: Probed, deadline: Instant) -> Result<bool, String> {
    let output = ask(path, "-", &directive.configuration(), deadline).await?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    directive.verdict(&said).ok_or_else(|| {
        let last = said.lines().rfind(|line| !line.trim().is_empty());
        format!(
            "it does not refuse a configuration as a server does (\"{}\")",
            printable(last.unwrap_or_default(), 80)
        )
    })
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
    fn a_mixture_can_what_all_can() {
        let of = |kind, version, accepts: &[&str]| {
            Binary {
                path: "x".into(),
                kind,
                version,
                accepts: accepts.iter().map(ToString::to_string).collect(),
                jemalloc: true,
            }
            .capabilities()
        };
        let old = of(Kind::Redis, Version(6, 2, 14), &["proc-title-template"]);
        let new = of(
            Kind::Valkey,
            Version(9, 1, 2),
            &["cluster-port", "proc-title-template"],
        );
        assert!(new.cluster_port && new.load_on_empty_db && new.shard_ids);
        let both = old.and(new);
        assert!(both.process_title && !both.cluster_port && !both.shard_ids && !both.seven);
        assert!(!both.publish_carries_offset);
        assert!(of(Kind::Valkey, Version(7, 2, 4), &[]).shard_ids);
        assert!(!of(Kind::Redis, Version(7, 0, 15), &[]).shard_ids);
    }
}
