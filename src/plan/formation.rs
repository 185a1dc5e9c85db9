//! Forming a cluster by commands: which node is told what, in which order.

use std::collections::BTreeMap;
use std::fmt;

use super::layout::Layout;
use super::ready::View;
use crate::cluster::{NodeId, Role, SLOT_COUNT, SlotRange};

/// One command to one node. Nodes are numbered as in the [`Layout`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// `CLUSTER ADDSLOTSRANGE`, or `ADDSLOTS` before 7.0.
    AddSlots {
        /// Who gets them.
        node: usize,
        /// The slots.
        slots: SlotRange,
    },
    /// `CLUSTER SET-CONFIG-EPOCH`.
    SetConfigEpoch {
        /// Whose.
        node: usize,
        /// 1 and up, unique.
        epoch: u64,
    },
    /// `CLUSTER MEET`.
    Meet {
        /// Who is told.
        node: usize,
        /// Whom it shall meet.
        peer: usize,
    },
    /// `CLUSTER REPLICATE`.
    Replicate {
        /// The replica-to-be.
        node: usize,
        /// Its primary.
        primary: usize,
    },
    /// `CLUSTER FAILOVER TAKEOVER`; only ever of nodes proven empty.
    TakeOver {
        /// The replica that becomes the primary.
        node: usize,
    },
}

impl Step {
    /// The node that is told.
    pub fn node(&self) -> usize {
        match *self {
            Self::AddSlots { node, .. }
            | Self::SetConfigEpoch { node, .. }
            | Self::Meet { node, .. }
            | Self::Replicate { node, .. }
            | Self::TakeOver { node } => node,
        }
    }

    /// The command in words, with nodes called as `names` has them.
    pub fn describe(&self, names: &[String]) -> String {
        let name = |node: usize| names.get(node).map_or("?", String::as_str);
        format!(
            "{}  {}",
            name(self.node()),
            Described {
                step: self,
                name: &name
            }
        )
    }
}

struct Described<'a> {
    step: &'a Step,
    name: &'a dyn Fn(usize) -> &'a str,
}

impl fmt::Display for Described<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self.step {
            Step::AddSlots { slots, .. } => write!(
                f,
                "CLUSTER ADDSLOTSRANGE {} {}",
                slots.first(),
                slots.last()
            ),
            Step::SetConfigEpoch { epoch, .. } => write!(f, "CLUSTER SET-CONFIG-EPOCH {epoch}"),
            Step::Meet { peer, .. } => write!(f, "CLUSTER MEET {}", (self.name)(peer)),
            Step::Replicate { primary, .. } => {
                write!(f, "CLUSTER REPLICATE {}", (self.name)(primary))
            }
            Step::TakeOver { .. } => f.write_str("CLUSTER FAILOVER TAKEOVER"),
        }
    }
}

/// The steps that form `layout` from empty nodes that know only themselves, in order.
///
/// Where each shard has a replica, its first one owns the slots at first, the intended primary
/// copies it and takes over: a node that has never been a primary in state `fail` is not held
/// back by `CLUSTER_WRITABLE_DELAY` (2 s after its start) or by the rejoin delay (up to 5 s on
/// nodes that have been idle). Without replicas, primaries get their slots and the delay passes.
///
/// Slots come before MEET, so that the first packets carry them. Epochs come before MEET,
/// because a node that knows others refuses `SET-CONFIG-EPOCH`; who acts as a replica gets the
/// lower ones, else Valkey 8.0 and newer ignore its change of role as stale (`clusterProcessPacket`).
pub fn by_commands(layout: &Layout) -> Vec<Step> {
    let swapped = layout.shards.iter().all(|shard| !shard.replicas.is_empty());
    let holder = |shard: &super::Shard| {
        shard
            .replicas
            .first()
            .copied()
            .filter(|_| swapped)
            .unwrap_or(shard.primary)
    };
    let holders: Vec<usize> = layout.shards.iter().map(holder).collect();
    let others: Vec<usize> = (0..layout.node_count())
        .filter(|node| !holders.contains(node))
        .collect();

    let mut steps = Vec::new();
    steps.extend(layout.shards.iter().map(|shard| Step::AddSlots {
        node: holder(shard),
        slots: shard.slots,
    }));
    steps.extend(
        others
            .iter()
            .chain(&holders)
            .zip(1..)
            .map(|(&node, epoch)| Step::SetConfigEpoch { node, epoch }),
    );
    steps.extend(meets(layout.node_count()));
    if swapped {
        for shard in &layout.shards {
            steps.push(Step::Replicate {
                node: shard.primary,
                primary: holder(shard),
            });
        }
        steps.extend(layout.shards.iter().map(|shard| Step::TakeOver {
            node: shard.primary,
        }));
    }
    for shard in &layout.shards {
        for &node in shard.replicas.iter().filter(|node| !holders.contains(node)) {
            steps.push(Step::Replicate {
                node,
                primary: shard.primary,
            });
        }
    }
    steps
}

/// From this many nodes on the second MEET of each pair costs more than it saves.
const MEET_ONCE_FROM: usize = 16;

/// Every pair of nodes: a MEET opens the link in one direction. Told to both, they need not wait
/// for each other; among many, told in turn to one, the peer opens the other when it hears of it.
fn meets(nodes: usize) -> impl Iterator<Item = Step> {
    pairs(nodes).flat_map(move |(node, peer)| {
        let back = (nodes < MEET_ONCE_FROM).then_some(Step::Meet {
            node: peer,
            peer: node,
        });
        [Step::Meet { node, peer }].into_iter().chain(back)
    })
}

fn pairs(nodes: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..nodes).flat_map(move |a| {
        (a + 1..nodes).map(move |b| if (a + b) % 2 == 0 { (a, b) } else { (b, a) })
    })
}

/// The steps that bring half-formed nodes nearer to `layout`, without taking anything from a node
/// that may hold data. Repeated with fresh views until there is nothing left to do.
///
/// Whoever owns slots of a shard is its primary now, planned or not: roles are accepted as they
/// are. Only slots that nobody owns are handed out, and only primaries without slots are made
/// replicas (the servers themselves refuse that for nodes that hold a key).
pub fn finish(layout: &Layout, views: &[Option<View>]) -> Vec<Step> {
    let mut steps = Vec::new();
    let view = |node: usize| views.get(node).and_then(Option::as_ref);
    let ids: BTreeMap<usize, NodeId> = (0..views.len())
        .filter_map(|node| Some((node, view(node)?.myself()?.id.clone())))
        .collect();
    let knows = |node: usize, peer: &NodeId| {
        view(node).is_some_and(|view| {
            view.nodes
                .iter()
                .any(|line| line.id == *peer && !line.flags.handshake)
        })
    };
    for (node, peer) in pairs(views.len()) {
        if let (Some(node_id), Some(peer_id)) = (ids.get(&node), ids.get(&peer))
            && (!knows(node, peer_id) || !knows(peer, node_id))
        {
            steps.push(Step::Meet { node, peer });
            steps.push(Step::Meet {
                node: peer,
                peer: node,
            });
        }
    }

    let mut owned = vec![false; usize::from(SLOT_COUNT)];
    for line in views.iter().flatten().flat_map(|view| &view.nodes) {
        for range in &line.slots {
            owned[usize::from(range.first())..=usize::from(range.last())].fill(true);
        }
    }
    let is_primary = |node: usize| {
        view(node)
            .and_then(View::myself)
            .is_some_and(|myself| myself.role == Role::Primary)
    };
    let owns = |node: usize| {
        view(node)
            .and_then(View::myself)
            .is_some_and(|myself| !myself.slots.is_empty())
    };
    for shard in &layout.shards {
        let members = || {
            [shard.primary]
                .into_iter()
                .chain(shard.replicas.iter().copied())
        };
        let Some(leader) = members()
            .find(|&node| owns(node))
            .or_else(|| members().find(|&node| is_primary(node)))
        else {
            continue;
        };
        for slots in free(&owned, shard.slots) {
            steps.push(Step::AddSlots {
                node: leader,
                slots,
            });
        }
        for node in members().filter(|&node| node != leader && is_primary(node) && !owns(node)) {
            if ids.get(&leader).is_some_and(|id| knows(node, id)) {
                steps.push(Step::Replicate {
                    node,
                    primary: leader,
                });
            }
        }
    }
    steps
}

/// The parts of `within` that are not `owned`.
fn free(owned: &[bool], within: SlotRange) -> Vec<SlotRange> {
    let mut ranges = Vec::new();
    let mut start = None;
    for slot in within.first()..=within.last() {
        let is_free = !owned.get(usize::from(slot)).copied().unwrap_or(true);
        match (is_free, start) {
            (true, None) => start = Some(slot),
            (false, Some(first)) => {
                ranges.extend(SlotRange::new(first, slot - 1));
                start = None;
            }
            _ => {}
        }
    }
    ranges.extend(start.and_then(|first| SlotRange::new(first, within.last())));
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeSet, HashMap};

    /// Plays the steps on a model of the servers' rules and returns who ends as what.
    fn play(layout: &Layout, steps: &[Step]) -> (HashMap<usize, SlotRange>, HashMap<usize, usize>) {
        let (mut slots, mut replicas, mut epochs) =
            (HashMap::new(), HashMap::new(), HashMap::new());
        let mut met = false;
        for step in steps {
            match *step {
                Step::AddSlots { node, slots: range } => {
                    assert!(!met, "the first packets would not carry the slots");
                    slots.insert(node, range);
                }
                Step::SetConfigEpoch { node, epoch } => {
                    assert!(!met, "a node that knows others refuses");
                    assert!(
                        !epochs.values().any(|&other| other == epoch),
                        "epochs are unique"
                    );
                    epochs.insert(node, epoch);
                }
                Step::Meet { .. } => met = true,
                Step::Replicate { node, primary } => {
                    assert!(!slots.contains_key(&node) && slots.contains_key(&primary));
                    replicas.insert(node, primary);
                }
                Step::TakeOver { node } => {
                    let old = replicas.remove(&node).expect("only a replica takes over");
                    assert!(
                        epochs[&node] < epochs[&old],
                        "who acts as a replica has the lower epoch"
                    );
                    let range = slots.remove(&old).expect("its primary owns slots");
                    slots.insert(node, range);
                    replicas
                        .values_mut()
                        .filter(|of| **of == old)
                        .for_each(|of| *of = node);
                    replicas.insert(old, node);
                    epochs.insert(node, 1000 + u64::try_from(node).expect("small"));
                }
            }
        }
        assert_eq!(epochs.len(), layout.node_count());
        (slots, replicas)
    }

    #[test]
    fn the_steps_end_in_the_layout_for_every_small_shape() {
        for primaries in 1..=12 {
            for replicas in 0..=4 {
                let layout = Layout::new(primaries, replicas);
                let (slots, copies) = play(&layout, &by_commands(&layout));
                for shard in &layout.shards {
                    assert_eq!(slots.get(&shard.primary), Some(&shard.slots));
                    for replica in &shard.replicas {
                        assert_eq!(copies.get(replica), Some(&shard.primary));
                    }
                }
                assert_eq!(slots.len(), primaries);
                assert_eq!(copies.len(), primaries * replicas);
            }
        }
    }

    #[test]
    fn every_pair_meets() {
        for (nodes, meetings) in [(1, 0), (2, 2), (7, 42), (20, 190)] {
            let met: BTreeSet<_> = meets(nodes)
                .map(|step| match step {
                    Step::Meet { node, peer } => (node.min(peer), node.max(peer)),
                    other => panic!("{other:?}"),
                })
                .collect();
            assert_eq!(
                (met.len(), meets(nodes).count()),
                (nodes * (nodes - 1) / 2, meetings)
            );
        }
    }

    /// What node `me` of `lines` sees: each line is `(id, role of whom, slots)`.
    fn view(me: usize, known: &[usize], roles: &[Option<usize>], slots: &[&str]) -> View {
        let id = |node: usize| {
            char::from(b'a' + u8::try_from(node).expect("few"))
                .to_string()
                .repeat(40)
        };
        let line = |&node: &usize| {
            let my = if node == me { "myself," } else { "" };
            match roles[node] {
                None => format!(
                    "{} 127.0.0.1:{node}@9 {my}master - 0 0 1 connected {}",
                    id(node),
                    slots[node]
                ),
                Some(of) => format!(
                    "{} 127.0.0.1:{node}@9 {my}slave {} 0 0 1 connected",
                    id(node),
                    id(of)
                ),
            }
        };
        let text = known.iter().map(line).collect::<Vec<_>>().join("\n");
        let info = "cluster_state:ok\ncluster_slots_assigned:0\ncluster_slots_ok:0\n\
                    cluster_current_epoch:1\ncluster_my_epoch:1\n";
        View {
            info: crate::cluster::ClusterInfo::try_from(&crate::cluster::Info::new(info.into()))
                .expect("whole"),
            nodes: crate::cluster::parse_nodes(&text).expect("valid"),
            replication: super::super::Replication {
                replica: false,
                link_up: false,
                syncing: false,
                offset: 0,
            },
            slots: Vec::new(),
            shards: None,
        }
    }

    #[test]
    fn nodes_that_are_whole_are_left_alone() {
        let layout = Layout::new(1, 1);
        let views = [0, 1].map(|me| Some(view(me, &[0, 1], &[None, Some(0)], &["0-16383", ""])));
        assert_eq!(finish(&layout, &views), []);
        // Roles are accepted as they are: a replica that owns the slots is the primary now.
        let views = [0, 1].map(|me| Some(view(me, &[0, 1], &[Some(1), None], &["", "0-16383"])));
        assert_eq!(finish(&layout, &views), []);
    }

    #[test]
    fn half_formed_nodes_get_only_what_is_missing() {
        let layout = Layout::new(1, 1);
        // They do not know each other, and nobody owns a slot.
        let views = [0, 1].map(|me| Some(view(me, &[me], &[None, None], &["", ""])));
        let all = SlotRange::new(0, 16383).expect("range");
        let steps = finish(&layout, &views);
        assert!(
            steps.contains(&Step::Meet { node: 0, peer: 1 })
                && steps.contains(&Step::Meet { node: 1, peer: 0 })
        );
        assert!(steps.contains(&Step::AddSlots {
            node: 0,
            slots: all
        }));
        assert!(
            !steps
                .iter()
                .any(|step| matches!(step, Step::Replicate { .. } | Step::TakeOver { .. }))
        );
        // They know each other, and the intended replica owns the slots: the other replicates it.
        let views = [0, 1].map(|me| Some(view(me, &[0, 1], &[None, None], &["", "0-16383"])));
        assert_eq!(
            finish(&layout, &views),
            [Step::Replicate {
                node: 0,
                primary: 1
            }]
        );
        // Some slots are nobody's: only those are handed out, to who owns the rest.
        let views =
            [0, 1].map(|me| Some(view(me, &[0, 1], &[None, Some(0)], &["0-99 200-16383", ""])));
        let rest = SlotRange::new(100, 199).expect("range");
        assert_eq!(
            finish(&layout, &views),
            [Step::AddSlots {
                node: 0,
                slots: rest
            }]
        );
        // Who cannot be asked is told nothing.
        let views = [
            Some(view(0, &[0, 1], &[None, None], &["0-16383", ""])),
            None,
        ];
        assert_eq!(finish(&layout, &views), []);
    }

    #[test]
    fn free_slots_are_what_nobody_owns() {
        let mut owned = vec![true; usize::from(SLOT_COUNT)];
        for slot in [0, 5, 6, 7, 10] {
            owned[slot] = false;
        }
        let ranges = free(&owned, SlotRange::new(1, 10).expect("range"));
        assert_eq!(crate::cluster::slot_text(&ranges), "5-7 10");
    }
}
