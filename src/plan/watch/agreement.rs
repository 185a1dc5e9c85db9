//! Whether nodes know each other, are linked, and say the same: what `cluster_state:ok` does not say.

use super::model::Watching;
use crate::cluster::{NodeId, NodeLine};
use crate::plan::ready::{Said, said, some};

/// What a node that answers lacks of others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Lack {
    /// It does not know this node of ours.
    Unknown(NodeId),
    /// Its link of the bus to this one, which answers, does not stand.
    Unlinked(NodeId),
    /// It is shaking hands with whoever is at this address.
    Handshake(String),
    /// It takes this one for failing.
    Doubt(NodeId),
    /// It says this of that one, which says something else itself.
    Otherwise(NodeId, Box<Said>),
    /// It has not heard of the newest epoch.
    Late,
    /// It knows this one, which is not ours.
    Stranger(NodeId),
}

impl Lack {
    /// After how many looks it counts: nodes that were not looked at in the same moment, and gossip
    /// that is on its way, make differences that are none. Who says something new each time hears
    /// from the others.
    pub(super) fn patience(&self) -> usize {
        match self {
            Self::Unknown(_) | Self::Handshake(_) | Self::Stranger(_) => 1,
            // A link that is slow is given up, and made anew at once.
            Self::Unlinked(_) | Self::Doubt(_) | Self::Otherwise(..) | Self::Late => 2,
        }
    }

    /// Whether it is told of as news, and seen in the node's row: of the others something else tells.
    pub(super) fn is_told(&self) -> bool {
        !matches!(self, Self::Doubt(_) | Self::Stranger(_))
    }

    /// What is said of one node, and of several; behind it stand those whom it is about.
    fn verb(&self) -> (&'static str, &'static str) {
        match self {
            Self::Unknown(_) => ("does not know", "do not know"),
            Self::Unlinked(_) => ("has no bus link to", "have no bus link to"),
            Self::Handshake(_) => ("shakes hands with", "shake hands with"),
            Self::Doubt(_) => ("sees failing:", "see failing:"),
            Self::Otherwise(..) => (
                "says otherwise than the node itself of",
                "say otherwise than the node itself of",
            ),
            Self::Late => ("is behind the newest epoch", "are behind the newest epoch"),
            Self::Stranger(_) => ("knows a stranger:", "know a stranger:"),
        }
    }

    /// That it is over.
    fn over(&self) -> (&'static str, &'static str) {
        match self {
            Self::Unknown(_) => ("knows all nodes again", "know all nodes again"),
            Self::Unlinked(_) => ("has all bus links again", "have all bus links again"),
            Self::Handshake(_) => ("shakes no hands any more", "shake no hands any more"),
            _ => (
                "says the same as the others again",
                "say the same as the others again",
            ),
        }
    }
}

/// What node `number` lacks; nothing, if it does not answer.
pub(super) fn lacks(number: usize, nodes: &[Watching]) -> Vec<Lack> {
    let Some(seen) = nodes.get(number).and_then(Watching::seen) else {
        return Vec::new();
    };
    let ours = |id: &NodeId| nodes.iter().find(|node| node.id.as_ref() == Some(id));
    let line = |id: &NodeId| seen.nodes.iter().find(|line| line.id == *id);
    let mut lacks = Vec::new();
    for id in nodes.iter().filter_map(|node| node.id.as_ref()) {
        if line(id).is_none() {
            lacks.push(Lack::Unknown(id.clone()));
        }
    }
    let own = |id: &NodeId| -> Option<&NodeLine> { ours(id)?.seen()?.myself() };
    for line in seen.nodes.iter().filter(|line| !line.flags.myself) {
        if line.flags.handshake {
            lacks.push(Lack::Handshake(format!("{}:{}", line.host, line.port)));
            continue;
        }
        if ours(&line.id).is_none() {
            lacks.push(Lack::Stranger(line.id.clone()));
        }
        if line.flags.fail || line.flags.pfail {
            lacks.push(Lack::Doubt(line.id.clone()));
        }
        // That nobody is linked to a dead one goes without saying.
        let Some(own) = own(&line.id) else { continue };
        if !line.connected {
            lacks.push(Lack::Unlinked(line.id.clone()));
        } else if said(line) != said(own) {
            lacks.push(Lack::Otherwise(line.id.clone(), Box::new(said(line))));
        }
    }
    let all = nodes.iter().filter_map(Watching::seen);
    let newest = all.map(|seen| seen.info.current_epoch).max();
    if newest != Some(seen.info.current_epoch) {
        lacks.push(Lack::Late);
    }
    lacks
}

/// What nodes lack, in sentences: those who lack the same share one.
#[derive(Default)]
pub(super) struct Sentences(Vec<(Vec<String>, (String, String))>);

impl Sentences {
    /// Node `name` lacks all of these; `called` says how nodes are called.
    pub(super) fn lacks(
        &mut self,
        name: &str,
        lacks: &[&Lack],
        called: &dyn Fn(&NodeId) -> String,
    ) {
        for group in lacks.chunk_by(|a, b| a.verb() == b.verb()) {
            let whom = group.iter().filter_map(|lack| match lack {
                Lack::Unknown(id)
                | Lack::Unlinked(id)
                | Lack::Doubt(id)
                | Lack::Otherwise(id, _)
                | Lack::Stranger(id) => Some(called(id)),
                Lack::Handshake(addr) => Some(crate::cluster::printable(addr, 45)),
                Lack::Late => None,
            });
            let whom = some(&whom.collect::<Vec<_>>());
            let Some((one, many)) = group.first().map(|lack| lack.verb()) else {
                continue;
            };
            let with = |verb: &str| format!("{verb} {whom}").trim_end().to_owned();
            self.add(name, (with(one), with(many)));
        }
    }

    /// What node `name` lacked is over; `left` is what it still lacks.
    pub(super) fn over(&mut self, name: &str, gone: &[&Lack], left: &[&Lack]) {
        let kind = |lack: &Lack| std::mem::discriminant(lack);
        for group in gone.chunk_by(|a, b| kind(a) == kind(b)) {
            let Some(first) = group.first() else { continue };
            if !left.iter().any(|lack| kind(lack) == kind(first)) {
                let (one, many) = first.over();
                self.add(name, (one.to_owned(), many.to_owned()));
            }
        }
    }

    fn add(&mut self, name: &str, what: (String, String)) {
        match self.0.iter_mut().find(|(_, known)| *known == what) {
            Some((names, _)) => names.push(name.to_owned()),
            None => self.0.push((vec![name.to_owned()], what)),
        }
    }

    /// All of them.
    pub(super) fn texts(self) -> Vec<String> {
        let text = |(names, (one, many)): (Vec<String>, (String, String))| {
            let verb = if names.len() == 1 { one } else { many };
            format!("{} {verb}", some(&names))
        };
        self.0.into_iter().map(text).collect()
    }
}
