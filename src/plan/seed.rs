//! A seeded start: the `nodes.conf` that every node of a new cluster boots from.
//!
//! Nodes that find each other in `nodes.conf` need no MEET, and the handshake with its several
//! ticks of the cluster bus falls away. What remains is `CLUSTER_WRITABLE_DELAY`: a *primary*
//! stays in state `fail` for 2 s after its start (`clusterUpdateState`). A replica does not, and
//! keeps its state when it becomes a primary. So nobody is seeded as the primary it will be:
//!
//! - [`Technique::Swapped`]: a replica of each shard is seeded as the owner of its slots, the
//!   intended primary as its replica, and takes over.
//! - [`Technique::Phantom`], for shards without replicas: the owner is a node that does not
//!   exist. Its address is a port that rcluster holds without listening. The intended primary
//!   takes over, and everybody forgets the phantom.
//! - [`Technique::Straight`]: roles as intended, the 2 s are waited for. For clusters so large
//!   that the servers need as long to start.
//!
//! All of it is safe only because these nodes are new: their directories were made in the same
//! run, and nobody can have written to them.

use std::fmt::Write as _;

use super::layout::Layout;
use crate::cluster::{NodeAddr, NodeId};

/// How the seeded roles relate to the intended ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Technique {
    /// The first replica of each shard owns the slots until its primary takes over.
    Swapped,
    /// A node that does not exist owns the slots until the primary takes over.
    Phantom,
    /// Roles are seeded as intended.
    Straight,
}

impl Technique {
    /// From this many nodes on a takeover costs more than the 2 s it saves: each one makes every
    /// node write its `nodes.conf`, and starting the servers takes most of the 2 s anyway
    /// (`scripts/bench up-60 up-120`).
    const STRAIGHT_FROM: usize = 80;

    /// The fastest technique for `layout`.
    pub fn for_layout(layout: &Layout) -> Self {
        if layout.node_count() >= Self::STRAIGHT_FROM {
            Self::Straight
        } else if layout.shards.iter().any(|shard| shard.replicas.is_empty()) {
            Self::Phantom
        } else {
            Self::Swapped
        }
    }
}

/// A node as it will be known.
#[derive(Clone, Debug)]
pub struct SeedNode {
    /// Its new id.
    pub id: NodeId,
    /// Its address, as its peers know it.
    pub addr: NodeAddr,
}

/// What all the files of one seeded start have in common.
#[derive(Clone, Debug)]
pub struct Seed {
    /// The intended cluster.
    pub layout: Layout,
    /// The nodes, numbered as in the layout.
    pub nodes: Vec<SeedNode>,
    /// The technique.
    pub technique: Technique,
    /// A shard id for each shard: Redis and Valkey from 7.2 on demand that a replica's equals its
    /// primary's.
    pub shard_ids: Vec<NodeId>,
    /// For [`Technique::Phantom`]: the phantoms' ids, one for each shard, and their address.
    pub phantoms: Vec<SeedNode>,
}

impl Seed {
    /// The number of the node that owns the slots of `shard` at first; `None` if a phantom does.
    pub fn holder(&self, shard: usize) -> Option<usize> {
        let shard = self.layout.shards.get(shard)?;
        match self.technique {
            Technique::Swapped => shard.replicas.first().copied(),
            Technique::Phantom => None,
            Technique::Straight => Some(shard.primary),
        }
    }

    /// The order to start the nodes in: owners first, since a replica that finds its primary not
    /// listening tries again only after a second (`replicationCron`).
    fn start_order(&self) -> Vec<usize> {
        let holders: Vec<usize> = (0..self.layout.shards.len())
            .filter_map(|shard| self.holder(shard))
            .collect();
        let rest = (0..self.nodes.len()).filter(|node| !holders.contains(node));
        // Of the rest, those that take over come last, so that everybody else listens by then.
        let (last, middle): (Vec<_>, Vec<_>) = rest.partition(|node| {
            self.layout
                .shards
                .iter()
                .any(|shard| shard.primary == *node)
        });
        holders.iter().copied().chain(middle).chain(last).collect()
    }

    /// The current epoch that node number `me` begins with.
    ///
    /// A takeover takes the node's own current epoch + 1, whatever others have taken
    /// (`clusterBumpConfigEpochWithoutConsensus`). So those who will take over begin far apart:
    /// even if they have not heard of each other by then, they do not take the same.
    fn current_epoch(&self, me: usize) -> usize {
        let shards = self.layout.shards.len();
        let shard = self
            .layout
            .shards
            .iter()
            .position(|shard| shard.primary == me);
        match shard.filter(|_| self.technique != Technique::Straight) {
            Some(shard) => shards * (shard + 2),
            None => shards,
        }
    }

    /// The order to start the nodes in, in two waves: those of the second, which take over, find
    /// all of the first listening.
    pub fn waves(&self) -> [Vec<usize>; 2] {
        let order = self.start_order();
        let takes_over = |node: &usize| {
            self.technique == Technique::Swapped
                && self
                    .layout
                    .shards
                    .iter()
                    .any(|shard| shard.primary == *node)
        };
        let (second, first) = order.into_iter().partition(takes_over);
        [first, second]
    }

    /// The text of the `nodes.conf` of node number `me`. `shard_ids`: whether its server knows them;
    /// an older one would take them for hostnames.
    pub fn nodes_conf(&self, me: usize, shard_ids: bool) -> String {
        let mut text = String::new();
        for (number, shard) in self.layout.shards.iter().enumerate() {
            // Config epochs 1, 2, 3…: unique, and above those of all replicas, which are 0.
            let epoch = number + 1;
            let shard_id = self.shard_ids.get(number).filter(|_| shard_ids);
            let phantom = self
                .phantoms
                .get(number)
                .filter(|_| self.technique == Technique::Phantom);
            let holder = self.holder(number);
            let owner_id = match (phantom, holder) {
                (Some(phantom), _) => &phantom.id,
                (None, holder) => &self.nodes[holder.unwrap_or(shard.primary)].id,
            };
            for &node in [shard.primary].iter().chain(&shard.replicas) {
                let myself = if node == me { "myself," } else { "" };
                line(&mut text, &self.nodes[node], shard_id);
                if Some(node) == holder {
                    writeln!(
                        text,
                        " {myself}master - 0 0 {epoch} connected {}",
                        shard.slots
                    )
                } else {
                    writeln!(text, " {myself}slave {owner_id} 0 0 0 connected")
                }
                .expect("writing to a string cannot fail");
            }
            if let Some(phantom) = phantom {
                line(&mut text, phantom, shard_id);
                writeln!(text, " master - 0 0 {epoch} connected {}", shard.slots)
                    .expect("writing to a string cannot fail");
            }
        }
        writeln!(
            text,
            "vars currentEpoch {} lastVoteEpoch 0",
            self.current_epoch(me)
        )
        .expect("writing to a string cannot fail");
        text
    }
}

fn line(text: &mut String, node: &SeedNode, shard_id: Option<&NodeId>) {
    // Two commas: the hostname between them is empty.
    let aux = shard_id
        .map(|id| format!(",,shard-id={id}"))
        .unwrap_or_default();
    let NodeAddr {
        host,
        port,
        bus_port,
        ..
    } = node.addr;
    write!(text, "{} {host}:{port}@{bus_port}{aux}", node.id)
        .expect("writing to a string cannot fail");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{Role, SLOT_COUNT, parse_nodes};

    fn seed(primaries: usize, replicas: usize, technique: Technique) -> Seed {
        let layout = Layout::new(primaries, replicas);
        let node = |number: usize| {
            let mut bytes = [0; 20];
            bytes[..8].copy_from_slice(&number.to_be_bytes());
            let port = u16::try_from(number % 10000).expect("small") + 1;
            SeedNode {
                id: NodeId::from_bytes(bytes),
                addr: NodeAddr {
                    host: "127.0.0.1".parse().expect("literal"),
                    port,
                    bus_port: port + 10000,
                    tls_port: None,
                },
            }
        };
        Seed {
            nodes: (0..layout.node_count()).map(node).collect(),
            phantoms: (0..primaries).map(|n| node(n + 10_000)).collect(),
            shard_ids: (0..primaries).map(|n| node(n + 20_000).id).collect(),
            layout,
            technique,
        }
    }

    #[test]
    fn every_file_says_who_it_is_and_gives_every_slot_one_owner() {
        for (primaries, replicas, technique) in [
            (3, 1, Technique::Swapped),
            (1, 1, Technique::Swapped),
            (5, 3, Technique::Swapped),
            (3, 0, Technique::Phantom),
            (1, 0, Technique::Phantom),
            (60, 1, Technique::Straight),
            (7, 0, Technique::Straight),
        ] {
            for shard_ids in [false, true] {
                let seed = seed(primaries, replicas, technique);
                for me in 0..seed.nodes.len() {
                    let nodes = parse_nodes(&seed.nodes_conf(me, shard_ids)).expect("readable");
                    let myself: Vec<_> = nodes.iter().filter(|node| node.flags.myself).collect();
                    assert_eq!(myself.len(), 1);
                    assert_eq!(myself[0].id, seed.nodes[me].id);
                    let owned: u16 = nodes
                        .iter()
                        .flat_map(|node| &node.slots)
                        .map(|range| range.len())
                        .sum();
                    assert_eq!(owned, SLOT_COUNT);
                    for node in &nodes {
                        // Every replica's primary is there and owns slots; no replica does.
                        if let Role::Replica { of } = &node.role {
                            assert!(node.slots.is_empty() && node.config_epoch == 0);
                            assert!(
                                nodes
                                    .iter()
                                    .any(|other| other.id == *of && !other.slots.is_empty())
                            );
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn with_swapped_roles_no_intended_primary_is_seeded_as_one() {
        let seed = seed(3, 2, Technique::Swapped);
        let nodes = parse_nodes(&seed.nodes_conf(0, true)).expect("readable");
        for shard in &seed.layout.shards {
            let id = &seed.nodes[shard.primary].id;
            let line = nodes.iter().find(|node| node.id == *id).expect("listed");
            assert!(matches!(line.role, Role::Replica { .. }));
        }
        assert_eq!(seed.waves(), [vec![4, 6, 8, 3, 5, 7], vec![0, 1, 2]]);
    }

    #[test]
    fn old_servers_get_no_shard_id() {
        let seed = seed(3, 1, Technique::Swapped);
        assert!(!seed.nodes_conf(0, false).contains(",,"));
        assert!(seed.nodes_conf(0, true).contains(",,shard-id="));
    }
}
