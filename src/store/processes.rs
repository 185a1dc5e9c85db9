//! Which processes we spawned, or are about to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::sys::process::{Epoch, Intent, Record};

/// The processes of a cluster's nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Processes {
    /// They were told to end, and whether they have was not written down yet.
    #[serde(default)]
    pub stopping: bool,
    /// By client port.
    pub nodes: BTreeMap<u16, Started>,
}

/// How far the start of a node's process got.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// Where and when `intent` and `record` were written.
    pub epoch: Epoch,
    /// Written before the spawn.
    pub intent: Intent,
    /// Written after it.
    pub record: Option<Record>,
}

impl Processes {
    pub(super) const FILE: &str = "processes.json";
}
