//! What was asked for, and which nodes there are.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::removal::DataNames;
use crate::cluster::{NodeAddr, NodeId};
use crate::plan::ClusterSpec;

/// A cluster as it was asked for. Changes with the cluster's shape, not with its life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of this file's form.
    pub schema_version: u32,
    /// The cluster's name.
    pub name: String,
    /// The shape.
    pub spec: ClusterSpec,
    /// The server it runs on: the one that last wrote its data.
    pub server: ServerInfo,
    /// The nodes; node 1 first.
    pub nodes: Vec<NodeEntry>,
    /// Whether the nodes were made into a cluster.
    pub formed: bool,
    /// A clean has begun: what is left of the data is worth nothing.
    #[serde(default)]
    pub cleaning: bool,
}

/// A server program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerInfo {
    /// `redis` or `valkey`.
    pub kind: String,
    /// `7.0.15`.
    pub version: String,
    /// The program's path.
    pub path: PathBuf,
    /// Those of the directives that not every server knows which it knows.
    #[serde(default)]
    pub accepts: BTreeSet<String>,
    /// Whether its memory is jemalloc's.
    #[serde(default)]
    pub jemalloc: bool,
}

/// One node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeEntry {
    /// Where it listens.
    pub addr: NodeAddr,
    /// Its id, as soon as it is known.
    pub id: Option<NodeId>,
    /// The server it runs on, where that is not the cluster's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerInfo>,
}

impl Manifest {
    /// The server that node `number` (from 0) runs on.
    pub fn server_of(&self, number: usize) -> &ServerInfo {
        let own = self.nodes.get(number).and_then(|node| node.server.as_ref());
        own.unwrap_or(&self.server)
    }

    /// Under which names node `number` (from 0) keeps its data.
    pub fn data_names(&self, number: usize) -> DataNames {
        let port = self.nodes.get(number).map_or(0, |node| node.addr.port);
        DataNames::of(&self.spec.directives_of(number, port))
    }

    pub(super) const FILE: &str = "manifest.json";

    /// Whether `dir` is a cluster's, as far as a file of that name tells.
    pub fn is_in(dir: &Path) -> bool {
        dir.join(Self::FILE).is_file()
    }

    /// The version this rcluster reads and writes.
    pub const SCHEMA_VERSION: u32 = 1;

    /// What a damaged or edited manifest could be wrong about.
    pub(super) fn check(&self) -> Result<(), String> {
        self.spec.check().map_err(|error| error.to_string())?;
        if self.nodes.len() != self.spec.node_count() {
            return Err(format!(
                "it lists {} nodes for a shape of {}",
                self.nodes.len(),
                self.spec.node_count()
            ));
        }
        let all = || self.nodes.iter().flat_map(|node| node.addr.ports());
        let ports: BTreeSet<u16> = all().collect();
        if ports.len() != all().count() || ports.contains(&0) {
            return Err("its ports are not all different".into());
        }
        Ok(())
    }
}
