//! What is watched: looks at nodes, what follows from them, and what happens between two of them.
//!
//! [`Look`]s come in one by one, as nodes answer. A [`Model`] remembers the last of each node, works
//! out who owns which slots (`scene.rs`), and notes what changed (`events.rs`). What is to be
//! shown is a [`Picture`]. Time is what the caller says it is, measured from when the watch began.

mod agreement;
mod events;
#[cfg(test)]
pub(crate) mod fixture;
mod model;
mod picture;
mod scene;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_of_alarms;

use std::time::Duration;

pub use events::{Happening, Mood};
pub use model::Model;
pub use picture::{Link, NodeRow, Picture, ShardRow, Standing};

use crate::cluster::{ClusterInfo, NodeAddr, NodeId, NodeLine};
use crate::plan::Replication;

/// The cluster that is watched, as it was written down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Watched {
    /// Its name.
    pub name: String,
    /// What it runs on: `redis 7.0.15`.
    pub server: String,
    /// Whether its nodes speak TLS.
    pub tls: bool,
    /// Whether it was formed, as far as that is written down.
    pub formed: bool,
    /// The nodes; node 1 first.
    pub nodes: Vec<WatchedNode>,
}

/// One node, as it was written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchedNode {
    /// Where it listens.
    pub addr: NodeAddr,
    /// Its id, where it is known.
    pub id: Option<NodeId>,
}

/// One look at one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// When it was over, from when the watch began.
    pub at: Duration,
    /// Its number: looks of the same round were begun at the same moment. `None` if the answer came
    /// too late to be compared with the others'.
    pub round: Option<u64>,
    /// The node's PID, if its process lives.
    pub pid: Option<i32>,
    /// What was found.
    pub found: Found,
}

/// What a look found. The texts are fragments about the node, fit for a terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// It answers.
    Answers(Box<Seen>),
    /// It runs, and does not answer.
    Silent(String),
    /// It runs, and nobody listens on its port.
    Unreachable(String),
    /// The same, while its process is so young that this is no wonder.
    Starting,
    /// It answers with an error: `LOADING Redis is loading the dataset in memory`.
    Refuses(String),
    /// It does not run.
    Dead {
        /// Because rcluster stopped it.
        stopped: bool,
    },
    /// Somebody else answers on its port.
    Foreign(String),
    /// It was started on another machine or in another container.
    Elsewhere,
    /// It is not looked at, since its cluster is gone.
    Gone,
}

/// What a node says of itself and the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// `CLUSTER INFO`.
    pub info: ClusterInfo,
    /// `CLUSTER NODES`.
    pub nodes: Vec<NodeLine>,
    /// `INFO`, about replication.
    pub replication: Replication,
    /// `INFO`, about the node's load.
    pub load: Load,
}

impl Seen {
    /// The node's own line.
    pub fn myself(&self) -> Option<&NodeLine> {
        self.nodes.iter().find(|node| node.flags.myself)
    }
}

/// What a node has to do, by `INFO`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// `total_commands_processed`.
    pub commands: u64,
    /// `instantaneous_ops_per_sec`.
    pub ops: u64,
    /// `used_memory`.
    pub memory: u64,
    /// `maxmemory`; 0 for no limit.
    pub max_memory: u64,
    /// `connected_clients`.
    pub clients: u64,
    /// Keys in all databases.
    pub keys: u64,
    /// `uptime_in_seconds`.
    pub uptime: u64,
}

/// How many commands a look costs: `CLUSTER INFO`, `CLUSTER NODES`, `INFO`. They are no load of the
/// user's and are taken off.
pub const COMMANDS_A_LOOK: u64 = 3;
