//! What is to be shown of a cluster that is watched.

use std::collections::HashMap;

use super::agreement::{Lack, Sentences};
use super::events::{Mood, code};
use super::model::{Model, Watching, lag};
use super::scene::Member;
use super::{Found, Load, Seen};
use crate::cluster::{NodeId, Role, SLOT_COUNT, SlotRange};

/// How the cluster is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Not every node was looked at yet.
    Looking,
    /// Every node answers and knows all others, every link is up, all say the same, every slot is
    /// served.
    Ok,
    /// It serves, and something is missing.
    Degraded,
    /// It is being formed.
    Forming,
    /// It was started a moment ago, and is not well yet.
    Starting,
    /// Nodes say `cluster_state:fail`: how many, of how many that answer.
    Fail(usize, usize),
    /// Its nodes run and are no cluster yet.
    Unformed,
    /// No node answers, though some run.
    Silent,
    /// No node runs.
    Stopped,
    /// There is no such cluster any more.
    Gone,
}

impl Standing {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Looking => "looking",
            Self::Ok => "ok",
            Self::Degraded => "degraded",
            Self::Forming => "forming",
            Self::Starting => "starting",
            Self::Fail(..) => "fail",
            Self::Unformed => "unformed",
            Self::Silent => "silent",
            Self::Stopped => "stopped",
            Self::Gone => "gone",
        }
    }

    pub(super) fn more(self) -> String {
        match self {
            Self::Fail(say, of) => format!(" (cluster_state of {say} of {of} nodes)"),
            _ => String::new(),
        }
    }

    /// How it is to be taken.
    pub fn mood(self) -> Mood {
        match self {
            Self::Ok => Mood::Good,
            Self::Looking | Self::Forming | Self::Starting => Mood::Plain,
            Self::Degraded | Self::Unformed | Self::Stopped => Mood::Warn,
            Self::Fail(..) | Self::Silent | Self::Gone => Mood::Bad,
        }
    }
}

/// A replica's link to its primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// It stands.
    Up,
    /// A full copy is on its way.
    Sync,
    /// It does not stand.
    Down,
}

/// One node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRow {
    /// Its number, from 0; `None` if it is not ours, so that it is not asked.
    pub number: Option<usize>,
    /// Its port, or its address.
    pub name: String,
    /// Its role, where anybody knows it: whether it is a replica.
    pub replica: Option<bool>,
    /// How it is, in one word.
    pub state: String,
    /// How that is to be taken.
    pub mood: Mood,
    /// More about that.
    pub why: Option<String>,
    /// Its link to its primary, if it is a replica that answers.
    pub link: Option<Link>,
    /// Its replication offset.
    pub offset: Option<u64>,
    /// Bytes that it is behind its primary.
    pub lag: Option<u64>,
    /// Commands a second.
    pub ops: Option<u64>,
    /// What else it has to do.
    pub load: Option<Load>,
    /// Its config epoch.
    pub epoch: Option<u64>,
    /// Links of the cluster bus that stand, of how many.
    pub bus: Option<(usize, usize)>,
    /// Its PID.
    pub pid: Option<i32>,
    /// Its id.
    pub id: Option<NodeId>,
}

/// One shard: a primary and its replicas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardRow {
    /// Its number, from 1, in slot order; `None` if it owns no slot.
    pub number: Option<usize>,
    /// Its slots.
    pub slots: Vec<SlotRange>,
    /// Those that are on the move.
    pub moving: Vec<SlotRange>,
    /// Whether its primary answers.
    pub serves: bool,
    /// Its nodes, the primary first.
    pub nodes: Vec<NodeRow>,
}

impl ShardRow {
    /// How many slots it owns.
    pub fn slot_count(&self) -> usize {
        count(&self.slots)
    }
}

/// What is to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// The cluster's name.
    pub name: String,
    /// What it runs on.
    pub server: String,
    /// Whether its nodes speak TLS.
    pub tls: bool,
    /// How it is.
    pub standing: Standing,
    /// Why it is gone.
    pub gone: Option<String>,
    /// The shards in slot order, then nodes without slots.
    pub shards: Vec<ShardRow>,
    /// Slots that nobody owns.
    pub gaps: Vec<SlotRange>,
    /// How many slots have an owner that answers.
    pub served: usize,
    /// Nodes that answer.
    pub answering: usize,
    /// Nodes that there are.
    pub nodes: usize,
    /// Commands a second of all primaries.
    pub ops: u64,
}

impl Picture {
    pub(super) fn of(model: &Model) -> Self {
        let shards = shards(model);
        let gaps = if model.scene.members.is_empty() {
            Vec::new()
        } else {
            model.scene.gaps()
        };
        let primaries = shards.iter().flat_map(|shard| shard.nodes.iter());
        let primaries = primaries.filter(|node| node.replica == Some(false));
        let serving = shards.iter().filter(|shard| shard.serves);
        Self {
            name: model.watched.name.clone(),
            server: model.watched.server.clone(),
            tls: model.watched.tls,
            standing: model.standing_now(),
            gone: model.gone.clone(),
            gaps,
            served: serving.map(ShardRow::slot_count).sum(),
            answering: model
                .nodes
                .iter()
                .filter(|node| node.seen().is_some())
                .count(),
            nodes: model.nodes.len(),
            ops: primaries
                .filter_map(|node| node.ops)
                .fold(0, u64::saturating_add),
            shards,
        }
    }

    /// All nodes, from top to bottom.
    pub fn rows(&self) -> impl Iterator<Item = &NodeRow> {
        self.shards.iter().flat_map(|shard| &shard.nodes)
    }
}

fn count(ranges: &[SlotRange]) -> usize {
    ranges.iter().map(|range| usize::from(range.len())).sum()
}

impl Model {
    pub(super) fn standing_now(&self) -> Standing {
        match self.standing_at_last() {
            Standing::Fail(..) | Standing::Degraded if self.forming => Standing::Forming,
            Standing::Fail(..) | Standing::Degraded | Standing::Silent if self.is_rising() => {
                Standing::Starting
            }
            standing => standing,
        }
    }

    /// Whether a cluster that was being formed is one now. It may be formed and lack something; but
    /// on the way it does too.
    pub(super) fn is_formed(&self) -> bool {
        match self.standing_at_last() {
            Standing::Ok => true,
            Standing::Degraded => self.watched.formed,
            _ => false,
        }
    }

    /// How it is, whatever goes on.
    fn standing_at_last(&self) -> Standing {
        if self.gone.is_some() {
            return Standing::Gone;
        }
        if !self.is_complete() {
            return Standing::Looking;
        }
        if self
            .nodes
            .iter()
            .all(|node| matches!(node.found, Some(Found::Dead { .. })))
        {
            return Standing::Stopped;
        }
        let seen: Vec<&Seen> = self.nodes.iter().filter_map(Watching::seen).collect();
        if seen.is_empty() {
            return Standing::Silent;
        }
        if seen.iter().all(|seen| seen.info.slots_assigned == 0) {
            return Standing::Unformed;
        }
        let failing = seen.iter().filter(|seen| !seen.info.ok).count();
        if failing > 0 {
            return Standing::Fail(failing, seen.len());
        }
        let is_well = |member: &Member| !member.failed && !member.suspected;
        let linked = |seen: &&Seen| {
            let replication = seen.replication;
            !replication.replica || replication.link_up && !replication.syncing
        };
        let whole = seen.len() == self.nodes.len()
            && self.scene.members.iter().all(is_well)
            && seen.iter().all(linked)
            && !self.nodes.iter().any(Watching::lacks_anything)
            && self.scene.owners.iter().all(Option::is_some);
        if whole {
            Standing::Ok
        } else {
            Standing::Degraded
        }
    }
}

impl Watching {
    /// What it lacks of others, as far as that counts.
    fn counting(&self) -> impl Iterator<Item = &Lack> {
        let lacks = self.lacks.iter();
        lacks
            .filter(|(lack, looks)| *looks >= lack.patience())
            .map(|(lack, _)| lack)
    }

    fn lacks_anything(&self) -> bool {
        self.seen().is_some() && self.counting().next().is_some()
    }
}

fn shards(model: &Model) -> Vec<ShardRow> {
    let scene = &model.scene;
    let mut groups: HashMap<&NodeId, Vec<&Member>> = HashMap::new();
    for member in &scene.members {
        groups.entry(model.head(member)).or_default().push(member);
    }
    let mut shards: Vec<ShardRow> = groups
        .into_iter()
        .map(|(head, members)| shard(model, head, members))
        .collect();
    // Nodes of which nobody has said anything yet.
    for (number, node) in model.nodes.iter().enumerate() {
        if !scene
            .members
            .iter()
            .any(|member| member.number == Some(number))
        {
            shards.push(ShardRow {
                number: None,
                slots: Vec::new(),
                moving: Vec::new(),
                serves: false,
                nodes: vec![row(model, node, number, None, None)],
            });
        }
    }
    shards.sort_by_key(|shard| {
        let first = shard
            .slots
            .first()
            .map_or(SLOT_COUNT, |range| range.first());
        let node = shard.nodes.first();
        (
            first,
            node.map(|node| node.number.unwrap_or(usize::MAX)),
            node.map(|node| node.name.clone()),
        )
    });
    for (at, shard) in shards.iter_mut().enumerate() {
        shard.number = (!shard.slots.is_empty()).then_some(at + 1);
    }
    shards
}

fn shard(model: &Model, head: &NodeId, mut members: Vec<&Member>) -> ShardRow {
    let primary = model.scene.member(head);
    members.sort_by_key(|member| {
        (
            member.id != *head,
            member.number.unwrap_or(usize::MAX),
            member.name.clone(),
        )
    });
    let watching = |member: &Member| model.nodes.get(member.number?);
    let of = primary.and_then(watching);
    let nodes = members
        .iter()
        .map(|member| match (member.number, watching(member)) {
            (Some(number), Some(node)) => row(model, node, number, Some(member), of),
            _ => stranger(member),
        });
    ShardRow {
        number: None,
        slots: primary
            .map(|primary| primary.slots.clone())
            .unwrap_or_default(),
        moving: primary.map(Member::moving).unwrap_or_default(),
        // A primary that is not ours is not asked; what others say of it counts.
        serves: primary
            .is_some_and(|primary| primary.answers || primary.number.is_none() && !primary.failed),
        nodes: nodes.collect(),
    }
}

/// A row of a node of ours.
fn row(
    model: &Model,
    node: &Watching,
    number: usize,
    member: Option<&Member>,
    primary: Option<&Watching>,
) -> NodeRow {
    let seen = node.seen();
    let (mut state, mut mood, mut why) = state(node, member);
    if mood == Mood::Good {
        let lacks: Vec<&Lack> = node.counting().filter(|lack| lack.is_told()).collect();
        if !lacks.is_empty() {
            let mut sentences = Sentences::default();
            sentences.lacks("", &lacks, &|id| model.called(id));
            (state, mood) = ("apart".into(), Mood::Warn);
            why = Some(sentences.texts().join(";").trim_start().to_owned());
        }
    }
    if state == "fail" && (model.forming || model.is_rising()) {
        mood = Mood::Warn;
    }
    let replica = member.map(|member| matches!(member.role, Role::Replica { .. }));
    // It was a primary: what it will be is not known before it is back.
    let heir = member
        .filter(|member| member.role == Role::Primary && seen.is_none())
        .filter(|member| member.slots.is_empty() && model.head(member) != &member.id)
        .map(|member| model.called(model.head(member)));
    if let (Some(heir), Some(why)) = (&heir, &mut why) {
        *why = format!("{why}; {heir} took over");
    }
    let replication = seen.map(|seen| seen.replication);
    NodeRow {
        number: Some(number),
        name: model.name(number).to_owned(),
        replica: replica.filter(|_| heir.is_none()),
        state,
        mood,
        why,
        link: replication
            .filter(|_| replica == Some(true))
            .map(
                |replication| match (replication.link_up, replication.syncing) {
                    (_, true) => Link::Sync,
                    (true, false) => Link::Up,
                    (false, false) => Link::Down,
                },
            ),
        offset: replication.map(|replication| replication.offset),
        lag: primary
            .filter(|_| replica == Some(true))
            .and_then(|primary| lag(primary, node)),
        ops: node.ops,
        load: seen.map(|seen| seen.load),
        epoch: member.map(|member| member.epoch),
        bus: seen.map(|seen| {
            let others = seen.nodes.iter().filter(|line| !line.flags.myself);
            (
                others.clone().filter(|line| line.connected).count(),
                others.count(),
            )
        }),
        pid: node.pid,
        id: node.id.clone(),
    }
}

/// A row of a node that is not ours, by what ours say of it.
fn stranger(member: &Member) -> NodeRow {
    let (state, mood) = match (member.failed, member.suspected) {
        (true, _) => ("failed", Mood::Bad),
        (_, true) => ("failed?", Mood::Warn),
        _ => ("other", Mood::Plain),
    };
    NodeRow {
        number: None,
        name: member.name.clone(),
        replica: Some(matches!(member.role, Role::Replica { .. })),
        state: state.to_owned(),
        mood,
        why: Some("is not a node of ours; what is shown is what ours say of it".to_owned()),
        link: None,
        offset: None,
        lag: None,
        ops: None,
        load: None,
        epoch: Some(member.epoch),
        bus: None,
        pid: None,
        id: Some(member.id.clone()),
    }
}

/// How a node of ours is: a word, how to take it, and more about it.
fn state(node: &Watching, member: Option<&Member>) -> (String, Mood, Option<String>) {
    let word =
        |word: &str, mood, why: Option<&str>| (word.to_owned(), mood, why.map(str::to_owned));
    match &node.found {
        None => word("", Mood::Plain, None),
        Some(Found::Dead { stopped: true }) => {
            word("stopped", Mood::Warn, Some("was stopped by rcluster"))
        }
        Some(Found::Dead { stopped: false }) => word("dead", Mood::Bad, Some("does not run")),
        Some(Found::Starting) => word(
            "starting",
            Mood::Plain,
            Some("runs, and does not listen yet"),
        ),
        Some(Found::Silent(why) | Found::Unreachable(why)) => word("hung", Mood::Bad, Some(why)),
        Some(Found::Foreign(why)) => word("foreign", Mood::Bad, Some(why)),
        Some(Found::Gone) => word("gone", Mood::Bad, Some("is not looked at any more")),
        Some(Found::Elsewhere) => word(
            "unknown",
            Mood::Warn,
            Some("was started on another machine or in another container"),
        ),
        Some(Found::Refuses(why)) => {
            // `LOADING Redis is …`; a sentence of ours has no such word.
            let code = code(why);
            let is_code = !code.is_empty()
                && code.len() <= 9
                && code.bytes().all(|byte| byte.is_ascii_uppercase());
            word(
                &if is_code {
                    code.to_lowercase()
                } else {
                    "refuses".into()
                },
                Mood::Warn,
                Some(why),
            )
        }
        Some(Found::Answers(seen)) => match member {
            Some(Member { failed: true, .. }) => word(
                "failed",
                Mood::Bad,
                Some("answers, and the cluster calls it failed"),
            ),
            Some(Member {
                suspected: true, ..
            }) => word(
                "failed?",
                Mood::Warn,
                Some("answers, and another node thinks that it failed"),
            ),
            _ if !seen.info.ok => word(
                "fail",
                Mood::Bad,
                Some("answers, and its cluster_state is fail"),
            ),
            _ => word("ok", Mood::Good, None),
        },
    }
}
