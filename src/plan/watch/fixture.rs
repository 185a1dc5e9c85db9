//! A made-up cluster, to be watched in tests.

use std::time::Duration;

use super::{Found, Load, Look, Model, Seen, Watched, WatchedNode};
use crate::cluster::{ClusterInfo, Flags, NodeAddr, NodeId, NodeLine, OpenSlot, Role, SlotRange};
use crate::plan::Replication;

/// One of its nodes.
#[derive(Clone, Debug)]
pub(crate) struct FakeNode {
    pub(crate) id: NodeId,
    pub(crate) port: u16,
    pub(crate) primary: Option<usize>,
    pub(crate) slots: Vec<SlotRange>,
    pub(crate) open: Vec<OpenSlot>,
    pub(crate) epoch: u64,
    pub(crate) pid: i32,
    /// What a look finds instead of an answer.
    pub(crate) instead: Option<Found>,
    pub(crate) failed: bool,
    pub(crate) link_up: bool,
    pub(crate) offset: u64,
    pub(crate) commands: u64,
    pub(crate) ok: bool,
    /// Those whom it does not know, and those it has no link to.
    pub(crate) forgot: Vec<usize>,
    pub(crate) cut_off: Vec<usize>,
}

/// All of them, and what was seen.
#[derive(Clone, Debug)]
pub(crate) struct Fake {
    pub(crate) nodes: Vec<FakeNode>,
    pub(crate) model: Model,
    pub(crate) round: u64,
}

pub(crate) fn range(first: u16, last: u16) -> SlotRange {
    SlotRange::new(first, last).expect("in order")
}

impl Fake {
    /// `primaries` and as many replicas, on ports from 7001 on; nothing seen yet.
    pub(crate) fn new(primaries: usize) -> Self {
        let count = u16::try_from(primaries).expect("few");
        let node = |number: u16| {
            let slot = |shard: u16| u32::from(shard) * 16384 / u32::from(count);
            let slot = |shard| u16::try_from(slot(shard)).expect("a slot");
            let is_primary = number < count;
            FakeNode {
                id: NodeId::from_bytes([u8::try_from(number + 1).expect("few"); 20]),
                port: 7001 + number,
                primary: (!is_primary).then(|| usize::from(number % count)),
                slots: if is_primary {
                    vec![range(slot(number), slot(number + 1) - 1)]
                } else {
                    Vec::new()
                },
                open: Vec::new(),
                epoch: u64::from(number % count) + 1,
                pid: 100 + i32::from(number),
                instead: None,
                failed: false,
                link_up: true,
                offset: 1000,
                commands: 0,
                ok: true,
                forgot: Vec::new(),
                cut_off: Vec::new(),
            }
        };
        let nodes: Vec<FakeNode> = (0..2 * count).map(node).collect();
        let model = Model::new(Self::watched(&nodes));
        Self {
            nodes,
            model,
            round: 0,
        }
    }

    /// The same, after a first look at every node.
    pub(crate) fn seen(primaries: usize) -> Self {
        let mut fake = Self::new(primaries);
        fake.look();
        fake
    }

    pub(crate) fn watched(nodes: &[FakeNode]) -> Watched {
        let node = |node: &FakeNode| WatchedNode {
            addr: NodeAddr {
                host: "127.0.0.1".parse().expect("literal"),
                port: node.port,
                bus_port: node.port + 1000,
                tls_port: None,
            },
            id: Some(node.id.clone()),
        };
        Watched {
            name: "default".into(),
            server: "redis 7.0.15".into(),
            tls: false,
            formed: true,
            nodes: nodes.iter().map(node).collect(),
        }
    }

    /// A look at every node, a second after the last one. What happened, in words.
    pub(crate) fn look(&mut self) -> Vec<String> {
        let before = self.model.happened();
        self.round += 1;
        for number in 0..self.nodes.len() {
            self.model.take(number, self.look_at(number));
        }
        self.model.settle(Duration::from_secs(self.round));
        let new = self.model.happened() - before;
        let mut events: Vec<String> = self
            .model
            .events()
            .rev()
            .take(new)
            .map(|event| event.text.clone())
            .collect();
        events.reverse();
        events
    }

    pub(crate) fn look_at(&self, number: usize) -> Look {
        let node = &self.nodes[number];
        let dead = matches!(node.instead, Some(Found::Dead { .. }));
        Look {
            at: Duration::from_secs(self.round),
            round: Some(self.round),
            pid: (!dead).then_some(node.pid),
            found: node
                .instead
                .clone()
                .unwrap_or_else(|| Found::Answers(Box::new(self.sight(number)))),
        }
    }

    pub(crate) fn sight(&self, number: usize) -> Seen {
        let me = &self.nodes[number];
        let known = self.nodes.iter().enumerate();
        let known = known.filter(|(other, _)| !me.forgot.contains(other));
        let lines = known.map(|(other, node)| NodeLine {
            id: node.id.clone(),
            host: "127.0.0.1".into(),
            port: node.port,
            bus_port: node.port + 1000,
            flags: Flags {
                myself: other == number,
                fail: node.failed,
                ..Flags::default()
            },
            role: match node.primary {
                None => Role::Primary,
                Some(of) => Role::Replica {
                    of: self.nodes[of].id.clone(),
                },
            },
            config_epoch: node.epoch,
            connected: node.instead.is_none() && !me.cut_off.contains(&other),
            slots: node.slots.clone(),
            open: if other == number {
                node.open.clone()
            } else {
                Vec::new()
            },
        });
        let node = &self.nodes[number];
        Seen {
            info: ClusterInfo {
                ok: node.ok,
                slots_assigned: self
                    .nodes
                    .iter()
                    .flat_map(|node| &node.slots)
                    .map(|range| u64::from(range.len()))
                    .sum(),
                slots_ok: 16384,
                current_epoch: self.nodes.iter().map(|node| node.epoch).max().unwrap_or(0),
                my_epoch: node.epoch,
            },
            nodes: lines.collect(),
            replication: Replication {
                replica: node.primary.is_some(),
                link_up: node.primary.is_some() && node.link_up,
                syncing: false,
                offset: node.offset,
            },
            load: Load {
                commands: node.commands,
                memory: 2_000_000,
                clients: 3,
                ..Load::default()
            },
        }
    }

    /// Node `heir`, a replica, takes over.
    pub(crate) fn fail_over(&mut self, heir: usize) {
        let old = self.nodes[heir].primary.expect("a replica");
        self.nodes[heir].slots = std::mem::take(&mut self.nodes[old].slots);
        self.nodes[heir].primary = None;
        self.nodes[heir].epoch = 1 + self.nodes.iter().map(|node| node.epoch).max().unwrap_or(0);
    }
}
