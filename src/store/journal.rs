//! What a verb is about to do: there while it works, and after it was killed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::cluster::NodeId;

/// Unfinished work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Journal {
    /// The verb, for messages.
    pub verb: String,
    /// What it is at.
    pub work: Work,
    /// By client port: directives that have values of ours while we work, and the user's values to
    /// put back, which need not be the same on all nodes.
    pub restore: BTreeMap<u16, BTreeMap<String, String>>,
    /// Nodes that a seed invented, to be forgotten.
    pub phantoms: Vec<NodeId>,
}

/// Kinds of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// A first start: directories and processes are made, nothing can hold data.
    Making,
    /// New nodes are started as a cluster, from seeded configurations.
    Seeding,
    /// Started nodes are made into a cluster by commands.
    Forming,
    /// Nodes that have been a cluster are started again.
    Restarting,
}

impl Journal {
    /// A journal of work that gives nothing a value of ours.
    pub fn new(verb: &str, work: Work) -> Self {
        Self {
            verb: verb.into(),
            work,
            restore: BTreeMap::new(),
            phantoms: Vec::new(),
        }
    }

    pub(super) const FILE: &str = "journal.json";

    /// Whether the work makes a cluster out of nodes that were none.
    pub fn is_forming(&self) -> bool {
        matches!(self.work, Work::Seeding | Work::Forming)
    }
}
