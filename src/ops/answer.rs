//! What `status`, `start`, `create` and `up` answer.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use super::fleet::{Fleet, Life};
use crate::cluster::{NodeAddr, NodeId, NodeLine, Role, SlotRange};
use crate::error::{Error, NodeProblem, Result};
use crate::plan::{Candidate, ClientCertificates, Layout, Target, View};
use crate::server::SOCKET;
use crate::store::{Cluster, LOG_FILE, Manifest, ServerInfo};

/// How a cluster is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Ready, as far as can be seen without writing.
    Ok,
    /// It was formed, and something is missing.
    Degraded,
    /// It is being formed, or was when a verb was interrupted.
    Forming,
    /// Its nodes run and are no cluster yet.
    Unformed,
    /// No node runs.
    Stopped,
}

/// What a node's process is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessState {
    /// It runs and answers.
    Running,
    /// There is none.
    Dead,
    /// It runs, and does not answer or is stopped.
    Hung,
    /// Somebody else's process answers on the port.
    Foreign,
    /// It cannot be seen from this machine or container.
    Unknown,
}

impl ProcessState {
    /// Why the node is not talked to, in the words of a fragment.
    pub(super) fn absence(self) -> &'static str {
        match self {
            Self::Running => "runs",
            Self::Dead => "does not run",
            Self::Hung => "does not answer",
            Self::Foreign => "does not run; its port is held by a process that is not ours",
            Self::Unknown => "cannot be seen from here",
        }
    }
}

/// One node in an answer.
#[derive(Clone, Debug)]
pub struct NodeAnswer {
    /// 1 and up, in port order.
    pub index: usize,
    /// The id, once known.
    pub id: Option<NodeId>,
    /// Where it listens.
    pub addr: NodeAddr,
    /// Its PID, if its process lives.
    pub pid: Option<i32>,
    /// Its process.
    pub process: ProcessState,
    /// Its role, if it answers and is in a cluster.
    pub role: Option<Role>,
    /// The number of its shard, from 1, in slot order.
    pub shard: Option<usize>,
    /// The slots it owns.
    pub slots: Vec<SlotRange>,
    /// `cluster_state:ok`, if it answers.
    pub cluster_ok: Option<bool>,
    /// Whether its link to its primary is up, if it is a replica.
    pub link_up: Option<bool>,
    /// Its config epoch.
    pub config_epoch: Option<u64>,
    /// The server it was last started with.
    pub server: ServerInfo,
    /// Its Unix socket, if it has one.
    pub unix_socket: Option<PathBuf>,
    /// Its log.
    pub log: PathBuf,
}

/// The slots of one shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardAnswer {
    /// Its slots.
    pub slots: Vec<SlotRange>,
    /// Those that are on the move.
    pub moving: Vec<SlotRange>,
    /// Whether its primary answers.
    pub serves: bool,
}

/// How clients come in.
#[derive(Clone, Debug)]
pub struct Entrance {
    /// The CA of a cluster with TLS.
    pub ca: Option<PathBuf>,
    /// A client certificate and its key are demanded; those that rcluster uses are here.
    pub client_certificate: Option<(PathBuf, PathBuf)>,
    /// A plain port is open.
    pub plain: bool,
    /// The file with the password of the default user, or of `user`.
    pub password_file: Option<PathBuf>,
    /// The ACL user that rcluster is.
    pub user: Option<String>,
}

/// A cluster as it is.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its name.
    pub name: String,
    /// How it is.
    pub state: State,
    /// Whether the verb did anything.
    pub changed: bool,
    /// How long the verb took.
    pub elapsed: Duration,
    /// The server it runs on.
    pub server: ServerInfo,
    /// How clients come in.
    pub entrance: Entrance,
    /// Primaries asked for.
    pub primaries: usize,
    /// Replicas of each.
    pub replicas: usize,
    /// `cluster_slots_assigned` of the node that sees most.
    pub slots_assigned: u64,
    /// `cluster_slots_ok` of the same node.
    pub slots_ok: u64,
    /// The shards, in the order of their numbers.
    pub shards: Vec<ShardAnswer>,
    /// The nodes.
    pub nodes: Vec<NodeAnswer>,
    /// What is wrong; empty when nothing is.
    pub problems: Vec<NodeProblem>,
}

impl Answer {
    /// Describes a cluster whose nodes have just given `views`.
    pub(super) fn new(
        cluster: &Cluster,
        manifest: &Manifest,
        fleet: &Fleet,
        views: &[Option<View>],
    ) -> Self {
        let best = views
            .iter()
            .flatten()
            .max_by_key(|view| (view.info.slots_ok, view.info.slots_assigned));
        let shards = shards(manifest, views);
        let nodes = manifest
            .nodes
            .iter()
            .enumerate()
            .map(|(number, entry)| {
                let view = views.get(number).and_then(Option::as_ref);
                let myself = view.and_then(View::myself);
                let node = fleet.nodes.get(number);
                let role = myself
                    .map(|line| line.role.clone())
                    .filter(|_| manifest.formed);
                let is_replica = matches!(role, Some(Role::Replica { .. }));
                NodeAnswer {
                    index: number + 1,
                    id: myself
                        .map(|line| line.id.clone())
                        .or_else(|| entry.id.clone()),
                    addr: entry.addr,
                    pid: node.and_then(super::fleet::Node::pid),
                    process: match node.map(|node| &node.life) {
                        Some(Life::Elsewhere) => ProcessState::Unknown,
                        Some(Life::Dead) | None => ProcessState::Dead,
                        Some(_) if view.is_some() => ProcessState::Running,
                        Some(_) => ProcessState::Hung,
                    },
                    shard: shards.get(number).copied().flatten(),
                    slots: myself.map(|line| line.slots.clone()).unwrap_or_default(),
                    cluster_ok: view.map(|view| view.info.ok),
                    link_up: view
                        .map(|view| view.replication.link_up)
                        .filter(|_| is_replica),
                    config_epoch: myself.map(|line| line.config_epoch),
                    server: manifest.server_of(number).clone(),
                    unix_socket: manifest
                        .spec
                        .unix_socket
                        .then(|| cluster.node_path(entry.addr.port).join(SOCKET)),
                    log: cluster.node_path(entry.addr.port).join(LOG_FILE),
                    role,
                }
            })
            .collect();
        Self {
            name: manifest.name.clone(),
            state: if manifest.formed {
                State::Ok
            } else {
                State::Unformed
            },
            changed: false,
            elapsed: Duration::ZERO,
            server: manifest.server.clone(),
            entrance: entrance(cluster, manifest),
            primaries: manifest.spec.primaries,
            replicas: manifest.spec.replicas,
            slots_assigned: best.map_or(0, |view| view.info.slots_assigned),
            slots_ok: best.map_or(0, |view| view.info.slots_ok),
            shards: if manifest.formed {
                owners(views).map_or_else(Vec::new, |(_, owners)| {
                    let shard = |line| shard(line, views);
                    owners.into_iter().map(shard).collect()
                })
            } else {
                Vec::new()
            },
            nodes,
            problems: Vec::new(),
        }
    }
}

impl Answer {
    /// The places in `nodes` of those that `targets` mean, each once, in port order. What a target
    /// that means none of them is, is bad usage.
    pub fn find(&self, targets: &[Target]) -> Result<Vec<usize>> {
        let nodes = self.candidates();
        let mut found = BTreeSet::new();
        for target in targets {
            found.extend(target.find(&nodes).map_err(|why| {
                let last = self.nodes.last().map_or(0, |node| node.addr.port);
                let first = self.nodes.first().map_or(0, |node| node.addr.port);
                Error::usage(
                    why,
                    format!("see `{{rcluster}} status`; its nodes are on ports {first} to {last}"),
                )
            })?);
        }
        Ok(found.into_iter().collect())
    }

    /// The nodes as targets are looked for in them. Of a node that does not answer the role is
    /// what is left in its shard, and of a cluster that does not run what was planned.
    fn candidates(&self) -> Vec<Candidate> {
        let layout = Layout::new(self.primaries, self.replicas);
        let planned = |number| layout.shards.iter().any(|shard| shard.primary == number);
        let is_primary = |node: &NodeAnswer| node.role == Some(Role::Primary);
        let has_primary = |shard: Option<usize>| {
            let mut nodes = self.nodes.iter();
            nodes.any(|node| is_primary(node) && node.shard == shard)
        };
        let knows_none = self.nodes.iter().all(|node| node.role.is_none());
        let role = |number: usize, node: &NodeAnswer| match &node.role {
            Some(role) => *role == Role::Primary,
            None if knows_none => planned(number),
            None => !has_primary(node.shard),
        };
        let candidate = |(number, node): (usize, &NodeAnswer)| Candidate {
            index: node.index,
            id: node.id.clone(),
            addr: node.addr,
            is_primary: Some(role(number, node)),
            shard: node.shard,
            slots: node.slots.clone(),
        };
        self.nodes.iter().enumerate().map(candidate).collect()
    }
}

fn entrance(cluster: &Cluster, manifest: &Manifest) -> Entrance {
    let security = &manifest.spec.security;
    let tls = security.tls.as_ref();
    let demanded = tls.is_some_and(|tls| tls.clients == ClientCertificates::Yes);
    Entrance {
        ca: tls.map(|_| cluster.ca_path()),
        client_certificate: demanded.then(|| cluster.client_paths()),
        plain: tls.is_none_or(|tls| tls.plain_too),
        password_file: security.password.then(|| cluster.password_path()),
        user: security.user.clone(),
    }
}

/// Who owns slots, in slot order, by the first node that knows of any; and what else that node sees.
fn owners(views: &[Option<View>]) -> Option<(&View, Vec<&NodeLine>)> {
    let mut views = views.iter().flatten();
    let view = views.find(|view| view.info.slots_assigned > 0)?;
    let mut owners: Vec<&NodeLine> = view
        .nodes
        .iter()
        .filter(|node| !node.slots.is_empty())
        .collect();
    owners.sort_by_key(|node| node.slots.first().copied());
    Some((view, owners))
}

/// What is told of the shard whose primary is that of `line`: by the primary itself, if it answers,
/// since a node's own line is what is told of it.
fn shard(line: &NodeLine, views: &[Option<View>]) -> ShardAnswer {
    let own = || views.iter().flatten().filter_map(View::myself);
    let primaries = || own().filter(|own| own.role == Role::Primary);
    // After a failover that not all have heard of, somebody else says that they are his.
    let own = primaries()
        .find(|own| own.id == line.id)
        .or_else(|| primaries().find(|own| own.slots == line.slots))
        .or_else(|| own().find(|own| own.id == line.id));
    let line = own.filter(|own| !own.slots.is_empty()).unwrap_or(line);
    let moving = line.open.iter();
    ShardAnswer {
        slots: line.slots.clone(),
        moving: moving
            .filter_map(|open| SlotRange::new(open.slot, open.slot))
            .collect(),
        serves: own.is_some_and(|own| own.role == Role::Primary),
    }
}

/// The shard of each node: by what the nodes see, in slot order; else as it was planned.
fn shards(manifest: &Manifest, views: &[Option<View>]) -> Vec<Option<usize>> {
    let count = manifest.nodes.len();
    let Some((view, owners)) = owners(views).filter(|_| manifest.formed) else {
        let layout = Layout::new(manifest.spec.primaries, manifest.spec.replicas);
        return (0..count)
            .map(|number| layout.shard_of(number).map(|shard| shard + 1))
            .collect();
    };
    manifest
        .nodes
        .iter()
        .map(|entry| {
            let line = view
                .nodes
                .iter()
                .find(|line| Some(&line.id) == entry.id.as_ref())?;
            let owner = match &line.role {
                Role::Primary => &line.id,
                Role::Replica { of } => of,
            };
            owners
                .iter()
                .position(|line| line.id == *owner)
                .map(|shard| shard + 1)
        })
        .collect()
}
