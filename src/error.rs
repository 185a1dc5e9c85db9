//! Everything that can go wrong: a sentence, a hint, an exit code and a JSON code for each kind.
//!
//! The matches stand side by side on purpose: a kind without all four does not compile.
//! Whatever a server or a file says is cleaned before it gets here (`cluster::printable`).

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What is wrong with one node: part of an error, or a line of `status`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeProblem {
    /// `127.0.0.1:30001`.
    pub node: String,
    /// What is missing or wrong, in the words of a fragment: `no link to 127.0.0.1:30002`.
    pub message: String,
    /// The end of the node's log, if it died.
    pub log: Vec<String>,
}

impl NodeProblem {
    /// A problem without a log.
    pub fn new(node: impl fmt::Display, message: impl Into<String>) -> Self {
        Self {
            node: node.to_string(),
            message: message.into(),
            log: Vec::new(),
        }
    }
}

impl fmt::Display for NodeProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.node, self.message)
    }
}

/// What cannot be done when nobody takes our output.
const UNWRITTEN: &str = "write the answer";

/// Why a verb failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// Arguments that can be refused by looking at them.
    Usage {
        /// What is wrong.
        message: String,
        /// What to do.
        hint: String,
    },
    /// The verb needs living nodes.
    NotRunning {
        /// The cluster.
        name: String,
    },
    /// No cluster of that name in the home.
    NoSuchCluster {
        /// The cluster.
        name: String,
        /// Where it was looked for.
        home: PathBuf,
    },
    /// A deadline passed.
    TimedOut {
        /// What was waited for: `the cluster to be ready`.
        what: String,
        /// How long.
        after: Duration,
        /// What was missing at the last look.
        missing: Vec<NodeProblem>,
        /// What to do, if it is not what it is for most verbs.
        hint: Option<&'static str>,
    },
    /// Ports that somebody else holds.
    PortsInUse {
        /// One line a port.
        conflicts: Vec<NodeProblem>,
        /// The ports are those of a cluster that exists, which no option can change.
        settled: bool,
    },
    /// Somebody else works on the cluster.
    Locked {
        /// The cluster.
        name: String,
        /// Who: `pid 4711 (up)`.
        holder: String,
    },
    /// Somebody else works on something that all clusters of a home share.
    HomeLocked {
        /// What: `the servers in /home/…/.servers`.
        what: String,
        /// Who: `pid 4711 (server install)`.
        holder: String,
    },
    /// Something is in the way that waiting does not remove.
    Conflict {
        /// Why.
        message: String,
        /// What to do.
        hint: String,
    },
    /// A shape option differs from what the cluster was started with.
    ShapeDiffers {
        /// The cluster.
        name: String,
        /// `primaries: 3, not 5`.
        differences: Vec<String>,
    },
    /// A directory or file that rcluster did not make.
    NotOurs {
        /// The path.
        path: PathBuf,
        /// How we know.
        why: String,
    },
    /// A node holds data, slots or acquaintances that forming must not touch.
    NotEmpty {
        /// One line a node.
        nodes: Vec<NodeProblem>,
    },
    /// A server refused for want of rights.
    Refused {
        /// The node.
        node: String,
        /// The server's words.
        message: String,
    },
    /// Certificates that nobody would accept, found before anything was started with them.
    Certificates {
        /// Whose, and why: `the nodes' certificate has expired`.
        message: String,
        /// They are the user's own, not made by rcluster.
        own: bool,
    },
    /// A confirmation is needed and cannot be asked for.
    Unconfirmed {
        /// What would be done: `delete the data of cluster "default"`.
        what: String,
    },
    /// Refused, whatever is confirmed.
    Unsafe {
        /// Why.
        message: String,
        /// What to do.
        hint: String,
    },
    /// No usable server binary, or limits too low.
    Unfit {
        /// Why.
        message: String,
        /// What to do.
        hint: String,
    },
    /// What was fetched is not what it should be.
    Mismatch {
        /// What, and what it is instead.
        message: String,
        /// What to do.
        hint: String,
    },
    /// A program that we ran for the user (pip, make) failed.
    Tool {
        /// What it could not do.
        message: String,
        /// The end of what it said.
        said: Vec<String>,
        /// What to do.
        hint: String,
        /// Whether the reason lies in the environment.
        unfit: bool,
    },
    /// The user's command cannot be run.
    NoCommand {
        /// The command's name.
        name: String,
        /// Why not; `None` if there is no such program.
        why: Option<String>,
    },
    /// Server processes ended that should run.
    NodesDied {
        /// One line a node, with the end of its log.
        nodes: Vec<NodeProblem>,
        /// What became of the rest.
        left: String,
    },
    /// A node directory would give a node another identity than it had.
    Identity {
        /// One line a node.
        nodes: Vec<NodeProblem>,
    },
    /// A file of ours that cannot be understood.
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Nodes answered in a way that waiting cannot cure.
    Nodes {
        /// What failed: `the cluster is formed, but not writable`.
        message: String,
        /// One line a node.
        nodes: Vec<NodeProblem>,
        /// What to do, where the nodes' words do not say it.
        hint: Option<&'static str>,
    },
    /// The operating system said no.
    Io {
        /// What was tried: `write /home/…/manifest.json`.
        what: String,
        /// Its words.
        source: io::Error,
    },
}

impl Error {
    /// An I/O error on a path, as `result.map_err(Error::io("read", path))`.
    pub fn io<'a>(verb: &'a str, path: &'a Path) -> impl FnOnce(io::Error) -> Self + 'a {
        move |source| Self::Io {
            what: format!("{verb} {}", path.display()),
            source,
        }
    }

    /// That an answer could not be written, as `result.map_err(Error::unwritten)`.
    pub fn unwritten(source: io::Error) -> Self {
        Self::Io {
            what: UNWRITTEN.into(),
            source,
        }
    }

    /// Whether it is that nobody takes what we write.
    pub fn is_unwritten(&self) -> bool {
        matches!(self, Self::Io { what, .. } if what == UNWRITTEN)
    }

    /// A refusal of arguments.
    pub fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Usage {
            message: message.into(),
            hint: hint.into(),
        }
    }

    /// The exit code, as the contract lists them.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NodesDied { .. }
            | Self::Identity { .. }
            | Self::Corrupt { .. }
            | Self::Mismatch { .. }
            | Self::Nodes { .. } => 1,
            Self::Tool { unfit, .. } => {
                if *unfit {
                    10
                } else {
                    1
                }
            }
            Self::Io { source, .. } if is_full(source) => 10,
            Self::Io { .. } => 1,
            Self::Usage { .. } => 2,
            Self::NotRunning { .. } => 3,
            Self::NoSuchCluster { .. } => 4,
            Self::TimedOut { .. } => 6,
            Self::PortsInUse { .. }
            | Self::Locked { .. }
            | Self::HomeLocked { .. }
            | Self::Conflict { .. }
            | Self::ShapeDiffers { .. }
            | Self::NotOurs { .. }
            | Self::NotEmpty { .. } => 7,
            Self::Refused { .. } | Self::Certificates { .. } => 8,
            Self::Unconfirmed { .. } | Self::Unsafe { .. } => 9,
            Self::Unfit { .. } => 10,
            Self::NoCommand { why: Some(_), .. } => 126,
            Self::NoCommand { why: None, .. } => 127,
        }
    }

    /// The `error.code` of the JSON document.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Usage { .. } => "usage",
            Self::NotRunning { .. } => "not_running",
            Self::NoSuchCluster { .. } => "no_such_cluster",
            Self::TimedOut { .. } => "timed_out",
            Self::PortsInUse { .. } => "port_in_use",
            Self::Locked { .. } | Self::HomeLocked { .. } => "locked",
            Self::Conflict { .. } => "conflict",
            Self::ShapeDiffers { .. } => "shape_differs",
            Self::NotOurs { .. } => "not_ours",
            Self::NotEmpty { .. } => "node_not_empty",
            Self::Refused { .. } => "refused_by_server",
            Self::Certificates { .. } => "bad_certificate",
            Self::Unconfirmed { .. } => "confirmation_needed",
            Self::Unsafe { .. } => "unsafe",
            Self::Unfit { .. } | Self::Tool { unfit: true, .. } => "environment",
            Self::Mismatch { .. } => "hash_mismatch",
            Self::Tool { .. } => "tool_failed",
            Self::NoCommand { why: Some(_), .. } => "not_executable",
            Self::NoCommand { why: None, .. } => "command_not_found",
            Self::NodesDied { .. } => "node_died",
            Self::Identity { .. } => "identity_lost",
            Self::Corrupt { .. } => "corrupt_state",
            Self::Nodes { .. } => "node_error",
            Self::Io { source, .. } if is_full(source) => "disk_full",
            Self::Io { .. } => "io",
        }
    }

    /// What to do about it, in the imperative; `None` when the sentence says it all.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Usage { hint, .. } | Self::Unsafe { hint, .. } | Self::Unfit { hint, .. } => Some(hint.clone()),
            Self::Conflict { hint, .. } | Self::Mismatch { hint, .. } | Self::Tool { hint, .. } => Some(hint.clone()),
            Self::NotRunning { .. } => Some("start it: {rcluster} start".into()),
            Self::NoSuchCluster { .. } => Some("look at `{rcluster} list`, or make one: {rcluster} up".into()),
            Self::TimedOut { hint: Some(hint), .. } => Some((*hint).into()),
            Self::TimedOut { missing, .. } if missing.is_empty() => Some("run the same verb again, with a longer --timeout".into()),
            Self::TimedOut { .. } => {
                Some("look at `{rcluster} status`; run the same verb again to go on, with a longer --timeout if it needs one".into())
            }
            Self::PortsInUse { settled: true, .. } => Some(
                "end what holds them, then run the same verb again; to have the cluster on other ports, without its data: {rcluster} down, then {rcluster} up --port auto".into(),
            ),
            Self::PortsInUse { settled: false, .. } => Some("choose other ports with --port BASE and --bus-port BASE, or let rcluster choose: --port auto".into()),
            Self::Locked { .. } | Self::HomeLocked { .. } => Some("wait for it, or pass a longer --timeout; the lock goes with its process".into()),
            Self::ShapeDiffers { .. } => Some(
                "leave the options out, or make the cluster anew: {rcluster} down".into(),
            ),
            Self::NotOurs { .. } => Some("move it away, or choose another --name or --home".into()),
            Self::NotEmpty { .. } => Some("look at `{rcluster} status`; to begin anew without the data: {rcluster} down".into()),
            Self::Refused { message, .. } => Some(
                if message.contains("certificate") {
                    "look at the files in the cluster's tls/ directory; renewed ones are given to `{rcluster} start` after a stop, with --tls-ca, --tls-cert and --tls-key"
                } else if message.contains("TLS") {
                    "compare the node's redis.conf with what the cluster was made with"
                } else if message.contains("NOPERM") {
                    "give the user that right in the ACL file"
                } else {
                    "compare the password that the server has with the one in the cluster's secrets/ directory; for a new cluster with an ACL file: --user, --password-file"
                }
                .into(),
            ),
            Self::Certificates { own: true, .. } => Some("pass others with --tls-ca, --tls-cert and --tls-key; `openssl x509 -noout -text -in FILE` shows what one is good for".into()),
            Self::Certificates { own: false, .. } => Some("check this machine's clock; certificates are made anew with the cluster: {rcluster} down".into()),
            Self::NoCommand { .. } => Some("what follows -- is a program and its arguments; for a line of shell: -- sh -c 'LINE'".into()),
            Self::Unconfirmed { .. } => Some("pass --yes".into()),
            Self::NodesDied { nodes, .. } => {
                // "*** FATAL CONFIG FILE ERROR (Redis 7.0.15) ***" (`loadServerConfigFromString`, config.c).
                let mut logs = nodes.iter().flat_map(|node| &node.log);
                if logs.any(|line| line.contains("FATAL CONFIG FILE ERROR")) {
                    Some("correct that directive (--set, --set-for, --conf), or leave it out; a cluster that exists keeps those it was made with: {rcluster} down, then anew".into())
                } else if nodes.iter().any(|node| node.log.is_empty()) {
                    Some("see the nodes' logs: their paths are in `{rcluster} status --json`".into())
                } else {
                    None
                }
            }
            Self::Identity { .. } => Some("put the nodes.conf back from a backup; or begin anew without the data: {rcluster} down".into()),
            Self::Corrupt { path, .. } => Some(format!(
                "put {} back from a backup; servers that still run are seen by their titles: pgrep -af rcluster:",
                path.display()
            )),
            Self::Nodes { hint, .. } => hint.map(str::to_owned),
            Self::Io { source, .. } if is_full(source) => Some("make room on the disk, then run the same verb again".into()),
            Self::Io { .. } => None,
        }
    }

    /// Its causes, each behind the one before it.
    pub fn causes(&self) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
        std::iter::successors(std::error::Error::source(self), |cause| cause.source())
    }

    /// The sentence with its causes, in one line.
    pub fn with_causes(&self) -> String {
        self.causes()
            .fold(self.to_string(), |text, cause| format!("{text}: {cause}"))
    }

    /// The end of what a program said that we ran.
    pub fn said(&self) -> &[String] {
        match self {
            Self::Tool { said, .. } => said,
            _ => &[],
        }
    }

    /// Whether the disk, or our part of it, is full.
    pub fn is_disk_full(&self) -> bool {
        matches!(self, Self::Io { source, .. } if is_full(source))
    }

    /// What is wrong, node by node.
    pub fn nodes(&self) -> &[NodeProblem] {
        match self {
            Self::TimedOut { missing: nodes, .. }
            | Self::PortsInUse {
                conflicts: nodes, ..
            }
            | Self::NotEmpty { nodes }
            | Self::NodesDied { nodes, .. }
            | Self::Identity { nodes }
            | Self::Nodes { nodes, .. } => nodes,
            _ => &[],
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage { message, .. }
            | Self::Unsafe { message, .. }
            | Self::Unfit { message, .. }
            | Self::Conflict { message, .. }
            | Self::Mismatch { message, .. }
            | Self::Tool { message, .. } => f.write_str(message),
            Self::HomeLocked { what, holder } => write!(f, "{what} are locked by {holder}"),
            Self::NotRunning { name } => write!(f, "cluster \"{name}\" is not running"),
            Self::NoSuchCluster { name, home } => {
                write!(f, "there is no cluster \"{name}\" in {}", home.display())
            }
            Self::TimedOut { what, after, .. } => {
                write!(f, "timed out after {after:.1?} waiting for {what}")
            }
            Self::PortsInUse { conflicts, .. } => match conflicts.len() {
                1 => write!(f, "a port that is needed is in use"),
                n => write!(f, "{n} ports that are needed are in use"),
            },
            Self::Locked { name, holder } => write!(f, "cluster \"{name}\" is locked by {holder}"),
            Self::ShapeDiffers { name, differences } => {
                write!(
                    f,
                    "cluster \"{name}\" has another shape: {}",
                    differences.join("; ")
                )
            }
            Self::NotOurs { path, why } => {
                write!(f, "{} was not made by rcluster: {why}", path.display())
            }
            Self::NotEmpty { nodes } => match nodes.len() {
                1 => write!(f, "a node is not empty"),
                n => write!(f, "{n} nodes are not empty"),
            },
            Self::Refused { node, message } => write!(f, "{node}: {message}"),
            Self::Certificates { message, .. } => f.write_str(message),
            Self::NoCommand { name, why: None } => write!(f, "there is no program {name}"),
            Self::NoCommand {
                name,
                why: Some(why),
            } => write!(f, "{name} cannot be run: {why}"),
            Self::Unconfirmed { what } => write!(f, "a confirmation is needed to {what}"),
            Self::NodesDied { nodes, left } => {
                match nodes.len() {
                    1 => write!(f, "a server did not stay up")?,
                    n => write!(f, "{n} servers did not stay up")?,
                }
                if left.is_empty() {
                    Ok(())
                } else {
                    write!(f, "; {left}")
                }
            }
            Self::Identity { nodes } => match nodes.len() {
                1 => write!(
                    f,
                    "a node would start with another identity; nothing was started"
                ),
                n => write!(
                    f,
                    "{n} nodes would start with another identity; nothing was started"
                ),
            },
            Self::Corrupt { path, why } => write!(f, "{} cannot be read: {why}", path.display()),
            Self::Nodes { message, .. } => f.write_str(message),
            Self::Io { what, .. } => write!(f, "could not {what}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

fn is_full(source: &io::Error) -> bool {
    matches!(
        source.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_is_told() {
        let inner = io::Error::other(Error::unwritten(io::Error::other("x")));
        let error = Error::io("read", Path::new("/a"))(inner);
        let all = "could not read /a: could not write the answer: x";
        assert_eq!(error.with_causes(), all);
    }

    #[test]
    fn a_full_disk_and_a_full_quota_are_the_environments_fault() {
        // ENOSPC, EDQUOT; EACCES is not.
        for (number, code, wanted) in [(28, "disk_full", 10), (122, "disk_full", 10), (13, "io", 1)]
        {
            let error = Error::io("write", Path::new("/x"))(io::Error::from_raw_os_error(number));
            assert_eq!(
                (error.code(), error.exit_code()),
                (code, wanted),
                "{number}"
            );
            assert_eq!(error.hint().is_some(), wanted == 10);
        }
    }
}
