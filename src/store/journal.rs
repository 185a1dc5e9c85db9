//! What a verb is about to do: there while it works, and after it was killed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Unfinished work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Journal {
    /// The verb, for messages.
    pub verb: String,
    /// What it is at.
    pub work: Work,
    /// Directives that have values of ours while we work, and the user's values to put back.
    pub restore: BTreeMap<String, String>,
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
    pub(super) const FILE: &str = "journal.json";

    /// Whether the work makes a cluster out of nodes that were none.
    pub fn is_forming(&self) -> bool {
        matches!(self.work, Work::Seeding | Work::Forming)
    }
}
