//! Who is who, and who owns what, as the nodes say that can be asked.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::model::Watching;
use super::{Found, Seen};
use crate::cluster::{
    NodeId, NodeLine, OpenSlot, Role, SLOT_COUNT, SlotRange, printable, ranges_of,
};

/// One node of the cluster: ours, or one that ours know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) id: NodeId,
    /// Its number, from 0, if it is ours.
    pub(super) number: Option<usize>,
    pub(super) name: String,
    pub(super) role: Role,
    pub(super) slots: Vec<SlotRange>,
    /// Slots that it gives away or takes over.
    pub(super) open: Vec<OpenSlot>,
    pub(super) epoch: u64,
    pub(super) suspected: bool,
    pub(super) failed: bool,
    pub(super) answers: bool,
}

/// All of them, and the owner of each slot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Scene {
    pub(super) members: Vec<Member>,
    /// By slot; an index into `members`.
    pub(super) owners: Vec<Option<usize>>,
}

impl Scene {
    /// What `nodes` say. Each is believed about itself; of those that do not answer the one is
    /// believed that knows most. Of two that claim a slot the greater config epoch owns it, as
    /// among the nodes themselves.
    pub(super) fn of(nodes: &[Watching], names: &[String]) -> Self {
        let best = best(nodes);
        let by_best =
            |id: &NodeId| best.and_then(|seen| seen.nodes.iter().find(|line| line.id == *id));
        let mut members = Vec::new();
        let mut claims: Vec<&[SlotRange]> = Vec::new();
        let mut add = |line: &NodeLine, number: Option<usize>, name: String, answers: bool| {
            let told = by_best(&line.id).map(|line| line.flags).unwrap_or_default();
            members.push(Member {
                id: line.id.clone(),
                number,
                name,
                role: line.role.clone(),
                slots: Vec::new(),
                open: line.open.clone(),
                epoch: line.config_epoch,
                suspected: told.pfail,
                failed: told.fail,
                answers,
            });
        };
        for (number, node) in nodes.iter().enumerate() {
            let own = node.seen().and_then(Seen::myself);
            let told = node.id.as_ref().and_then(by_best);
            let Some(line) = own.or(told).or(node.last_line.as_ref()) else {
                continue;
            };
            let name = names.get(number).cloned().unwrap_or_default();
            add(line, Some(number), name, own.is_some());
            claims.push(claim(line));
        }
        let ours = |id: &NodeId| nodes.iter().any(|node| node.id.as_ref() == Some(id));
        let others = best.into_iter().flat_map(|seen| &seen.nodes);
        for line in others.filter(|line| !ours(&line.id) && !line.flags.handshake) {
            let name = if line.host.is_empty() {
                line.id.short().to_owned()
            } else {
                printable(&format!("{}:{}", line.host, line.port), 45)
            };
            add(line, None, name, false);
            claims.push(claim(line));
        }

        let mut owners: Vec<Option<usize>> = vec![None; usize::from(SLOT_COUNT)];
        for (at, ranges) in claims.into_iter().enumerate() {
            let epoch = |at: usize| members.get(at).map(|member: &Member| member.epoch);
            for range in ranges {
                let slots = usize::from(range.first())..=usize::from(range.last());
                for owner in owners.get_mut(slots).into_iter().flatten() {
                    if owner.is_none_or(|other| epoch(other) < epoch(at)) {
                        *owner = Some(at);
                    }
                }
            }
        }
        let mut slots: HashMap<usize, Vec<u16>> = HashMap::new();
        for (slot, owner) in (0..SLOT_COUNT).zip(&owners) {
            if let Some(owner) = owner {
                slots.entry(*owner).or_default().push(slot);
            }
        }
        for (at, slots) in slots {
            if let Some(member) = members.get_mut(at) {
                member.slots = ranges_of(slots);
            }
        }
        Self { members, owners }
    }

    pub(super) fn member(&self, id: &NodeId) -> Option<&Member> {
        self.members.iter().find(|member| member.id == *id)
    }

    /// The owner of `slot`.
    pub(super) fn owner(&self, slot: u16) -> Option<&Member> {
        let owner = self.owners.get(usize::from(slot)).copied().flatten()?;
        self.members.get(owner)
    }

    /// Whether the same nodes own the same slots: what is nearly always so, and quickly seen.
    pub(super) fn owns_as(&self, other: &Self) -> bool {
        let ids = |scene: &Self| -> Vec<NodeId> {
            scene
                .members
                .iter()
                .map(|member| member.id.clone())
                .collect()
        };
        self.owners == other.owners && ids(self) == ids(other)
    }

    /// The slots that are on the move, by who gives them away and who takes them.
    pub(super) fn moves(&self) -> BTreeMap<(&NodeId, &NodeId), BTreeSet<u16>> {
        let mut moves: BTreeMap<_, BTreeSet<u16>> = BTreeMap::new();
        for member in &self.members {
            for open in &member.open {
                let (from, to) = if open.migrating {
                    (&member.id, &open.peer)
                } else {
                    (&open.peer, &member.id)
                };
                moves.entry((from, to)).or_default().insert(open.slot);
            }
        }
        moves
    }

    /// The slots that nobody owns.
    pub(super) fn gaps(&self) -> Vec<SlotRange> {
        ranges_of((0..SLOT_COUNT).filter(|slot| self.owner(*slot).is_none()))
    }
}

/// The slots that a node owns: none, as long as it is a replica.
fn claim(line: &NodeLine) -> &[SlotRange] {
    match line.role {
        Role::Primary => &line.slots,
        Role::Replica { .. } => &[],
    }
}

/// Of those who answer, the one that knows most.
fn best(nodes: &[Watching]) -> Option<&Seen> {
    let seen = nodes.iter().filter_map(Watching::seen);
    seen.max_by_key(|seen| {
        let info = &seen.info;
        (
            info.current_epoch,
            info.slots_assigned,
            info.ok,
            seen.nodes.len(),
        )
    })
}

impl Member {
    /// Slots that it gives away or takes over.
    pub(super) fn moving(&self) -> Vec<SlotRange> {
        let slots = self.open.iter();
        slots
            .filter_map(|open| SlotRange::new(open.slot, open.slot))
            .collect()
    }
}

impl Watching {
    /// What it says, if it answers.
    pub(super) fn seen(&self) -> Option<&Seen> {
        match &self.found {
            Some(Found::Answers(seen)) => Some(seen),
            _ => None,
        }
    }
}
