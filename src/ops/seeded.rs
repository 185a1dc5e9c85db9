//! Finishing a seeded start: the intended primaries take over from those that were seeded in
//! their place.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::time::timeout;

use super::context::Context;
use super::fleet::{Fleet, failed};
use super::new::Made;
use super::settle::settle;
use super::start::put_back_on_failure;
use super::wait::Patience;
use crate::client::{Connection, Fault};
use crate::cluster::{NodeId, NodeLine, Role, SlotRange};
use crate::error::{NodeProblem, Result};
use crate::event::Event;
use crate::plan::{Technique, View};
use crate::store::Cluster;

/// How long a link may take that was tried at a node's first tick, before the next is brought on.
const LINK_PATIENCE: Duration = Duration::from_millis(8);

/// How long after such a tick the next may come, where nodes are few. A link that a MEET closed
/// needs one tick to be dialled again and sometimes another; by themselves they are 100 ms apart.
const NEXT_TICK: Duration = Duration::from_millis(25);

/// One takeover: who becomes the primary, in whose place, of which slots.
#[derive(Clone, Debug)]
pub(super) struct Takeover {
    pub(super) node: usize,
    pub(super) holder_id: NodeId,
    /// `None` for a phantom.
    pub(super) holder: Option<usize>,
    pub(super) slots: SlotRange,
}

/// Makes a cluster of nodes that were started from a seed. If that fails, the user's
/// configuration is put back as far as nodes can be reached.
pub(super) async fn finish_seeded(
    context: &Context,
    cluster: &Cluster,
    made: &mut Made,
) -> Result<Vec<View>> {
    let finished = hurry(context, cluster, made).await;
    put_back_on_failure(finished, cluster, &mut made.fleet, made.journal.clone()).await
}

async fn hurry(context: &Context, cluster: &Cluster, made: &mut Made) -> Result<Vec<View>> {
    let Made {
        manifest,
        fleet,
        seed,
        journal,
        dead_port,
        pace,
        ..
    } = made;
    let Some(seed) = seed else {
        return Err(failed("the nodes were started without a seed", Vec::new()));
    };
    context.events.emit(Event::Forming {
        nodes: fleet.nodes.len(),
    });
    if !fleet.is_small() {
        fleet.attend().await?;
    }
    let mut takeovers: Vec<Takeover> = seed
        .layout
        .shards
        .iter()
        .enumerate()
        .filter(|_| seed.technique != Technique::Straight)
        .filter_map(|(number, shard)| {
            let holder = seed.holder(number);
            let holder_id = match holder {
                Some(holder) => seed.nodes.get(holder)?.id.clone(),
                None => seed.phantoms.get(number)?.id.clone(),
            };
            Some(Takeover {
                node: shard.primary,
                holder_id,
                holder,
                slots: shard.slots,
            })
        })
        .collect();
    // Who was started last has links to all that were started before: it begins.
    takeovers.reverse();
    take_over(context, fleet, &takeovers, 0).await?;
    context.reached("the primaries have taken over");
    if seed.technique == Technique::Phantom {
        let phantoms: Vec<NodeId> = seed
            .phantoms
            .iter()
            .map(|phantom| phantom.id.clone())
            .collect();
        fleet
            .each("a placeholder could not be forgotten", |_, node| {
                node.forget(&phantoms)
            })
            .await?;
        // Nobody dials it any more.
        drop(dead_port.take());
    }
    settle(context, cluster, manifest, fleet, journal, pace).await
}

/// Has each intended primary take over, one after the other, so that no two take the same epoch.
///
/// `highest` is the highest epoch that anybody began with. Who has not heard of it could take one
/// that another acting owner has: of two with the same epoch one takes a new one, above all others,
/// and if that is an owner whose place was taken already, it would win its slots back, and its
/// successor would throw away what it took meanwhile.
pub(super) async fn take_over(
    context: &Context,
    fleet: &mut Fleet,
    takeovers: &[Takeover],
    highest: u64,
) -> Result<()> {
    let patience = context.patience("the primaries to take over");
    let mut taken = BTreeSet::new();
    for takeover in takeovers {
        let epoch =
            match wait_for_turn(context, fleet, takeover, &taken, highest, &patience).await? {
                Turn::Now => step(fleet, takeover).await?,
                Turn::Elected(epoch) => epoch,
                Turn::HoldsData => {
                    context.events.note(format!(
                        "{} stays a replica: its shard holds data already",
                        name(fleet, takeover)
                    ));
                    continue;
                }
            };
        taken.insert(epoch);
    }
    Ok(())
}

/// The takeover itself; the config epoch of who owns the slots now.
async fn step(fleet: &mut Fleet, takeover: &Takeover) -> Result<u64> {
    let number = takeover.node;
    if let Err(fault) = fleet.connection(number)?.take_over().await {
        // It may have been done, by that command or by an election just before it.
        let looks = ping(fleet).await;
        fleet.reconnect_broken(&looks).await?;
        let epoch = view(fleet, number).await.ok();
        let epoch = epoch.and_then(|view| new_owner(&view, takeover));
        return epoch.ok_or_else(|| one(fleet, number, &fault));
    }
    let info = fleet.connection(number)?.cluster_info().await;
    info.map(|info| info.my_epoch)
        .map_err(|fault| one(fleet, number, &fault))
}

/// What becomes of a node that is to take over.
enum Turn {
    /// It may.
    Now,
    /// The acting owner stood still for longer than the node timeout, and the servers elected another
    /// with this config epoch: this one or, of several replicas, any.
    Elected(u64),
    /// It may not: its shard holds data.
    HoldsData,
}

/// What a node waits for that is to take over.
enum Lacks {
    /// What the next tick may bring.
    News(String),
    /// Answers, one for each node; not every one answered.
    Answers(Vec<Result<(), Fault>>),
}

/// Waits until a node may take over, and every node knows what it must know before that.
async fn wait_for_turn(
    context: &Context,
    fleet: &mut Fleet,
    takeover: &Takeover,
    taken: &BTreeSet<u64>,
    highest: u64,
    patience: &Patience,
) -> Result<Turn> {
    let began = Instant::now();
    let mut ticked: Option<Instant> = None;
    let mut problems = vec![NodeProblem::new(name(fleet, takeover), "does not answer")];
    loop {
        let look = look(fleet, takeover, taken, highest);
        let Ok(look) = timeout(patience.left(), look).await else {
            return Err(patience.timed_out(problems));
        };
        let lacks = match look? {
            Ok(turn) => return Ok(turn),
            Err(lacks) => lacks,
        };
        fleet.refuse_dead_nodes()?;
        match lacks {
            Lacks::News(what) => {
                let is_due = ticked.map_or(began.elapsed() > LINK_PATIENCE, |at| {
                    fleet.is_small() && at.elapsed() > NEXT_TICK
                });
                if is_due {
                    // A peer that did not listen at the first tick is tried again at the next.
                    context.reached(&format!("{} {what}", name(fleet, takeover)));
                    fleet.tick_once().await?;
                    ticked = Some(Instant::now());
                }
                problems = vec![NodeProblem::new(name(fleet, takeover), what)];
            }
            Lacks::Answers(looks) => {
                let silent = looks.iter().enumerate();
                let silent =
                    silent.filter_map(|(number, look)| Some((number, look.as_ref().err()?)));
                problems = silent
                    .map(|(number, fault)| fleet.problem(number, fault))
                    .collect();
                fleet.reconnect_broken(&looks).await?;
            }
        }
        patience
            .pause(Duration::from_micros(500), || problems.clone())
            .await?;
    }
}

/// Looks whether a node may take over.
///
/// Before it does, every node must have read what it said as a replica. If the old owner's news of
/// the takeover overtakes that, on another link, Redis 8.2 takes each of the two for the other's
/// replica, and looks for the primary of both for ever (`clusterNodeGetMaster`).
async fn look(
    fleet: &Fleet,
    takeover: &Takeover,
    taken: &BTreeSet<u64>,
    highest: u64,
) -> Result<Result<Turn, Lacks>> {
    let stand = |view: Result<View, Fault>| match view {
        Ok(view) => match new_owner(&view, takeover) {
            Some(epoch) => Ok(Turn::Elected(epoch)),
            None if view.info.current_epoch < highest => Err("has not heard of every epoch".into()),
            None => lacks_for_takeover(&view, takeover, taken).map_or(Ok(Turn::Now), Err),
        },
        Err(fault) => Err(fault.to_string()),
    };
    let first = view(fleet, takeover.node).await;
    let is_silent = first.is_err();
    let first = stand(first);
    if !is_silent && !matches!(first, Ok(Turn::Now)) {
        return Ok(first.map_err(Lacks::News));
    }
    // A server that answers has read what its sockets held, and queued answers to peers; when it answers
    // again, it has sent them; and they have been read when their readers answer once more.
    for _ in 0..3 {
        let answers = ping(fleet).await;
        if answers.iter().any(Result::is_err) {
            return Ok(Err(Lacks::Answers(answers)));
        }
    }
    // Read right before the step: a takeover throws away what the old owner alone has.
    let (second, empty) = tokio::join!(view(fleet, takeover.node), is_empty(fleet, takeover));
    let turn = match stand(second) {
        Ok(Turn::Now) if !empty? => Ok(Turn::HoldsData),
        stand => stand,
    };
    Ok(turn.map_err(Lacks::News))
}

/// What a node sees. Nothing here depends on its `CLUSTER SHARDS`.
async fn view(fleet: &Fleet, number: usize) -> Result<View, Fault> {
    match fleet.connection(number) {
        Ok(node) => node.view(false).await,
        Err(_) => Err(Fault::Silent),
    }
}

/// Whether each node answers.
async fn ping(fleet: &Fleet) -> Vec<Result<(), Fault>> {
    let asked = fleet.nodes.iter().map(async |node| match &node.connection {
        Some(connection) => connection.ping().await,
        None => Err(Fault::Silent),
    });
    join_all(asked).await
}

fn name(fleet: &Fleet, takeover: &Takeover) -> String {
    let node = fleet.nodes.get(takeover.node);
    node.map_or(String::new(), |node| node.addr.to_string())
}

fn one(fleet: &Fleet, number: usize, fault: &Fault) -> crate::error::Error {
    fleet.failure("forming failed", number, fault)
}

/// The config epoch of who has taken the place of the acting owner, if somebody has.
fn new_owner(view: &View, takeover: &Takeover) -> Option<u64> {
    let owns = |line: &&NodeLine| line.slots == [takeover.slots];
    let owner = view.nodes.iter().find(owns)?;
    (owner.id != takeover.holder_id).then_some(owner.config_epoch)
}

/// What a node lacks before it may take over; `None` if nothing.
fn lacks_for_takeover(view: &View, takeover: &Takeover, taken: &BTreeSet<u64>) -> Option<String> {
    if view.myself().is_none_or(|me| {
        me.role
            != Role::Replica {
                of: takeover.holder_id.clone(),
            }
    }) {
        return Some("is not a replica yet".into());
    }
    let holder = view.nodes.iter().find(|line| line.id == takeover.holder_id);
    if holder.is_none_or(|holder| holder.slots != [takeover.slots]) {
        return Some("does not know its primary's slots".into());
    }
    if takeover.holder.is_some()
        && !holder.is_some_and(|holder| holder.connected && !holder.flags.handshake)
    {
        return Some("has no link to its primary".into());
    }
    if !view.info.ok {
        return Some("cluster_state is fail".into());
    }
    // It will take the epoch after the current one that it knows.
    taken
        .contains(&(view.info.current_epoch + 1))
        .then(|| "has not heard of the last takeover".into())
}

/// Whether neither the node nor the one whose place it takes holds anything.
async fn is_empty(fleet: &Fleet, takeover: &Takeover) -> Result<bool> {
    let seven = fleet.seven;
    let look = async |number: usize, node: &Connection| {
        node.contents(seven)
            .await
            .map(|contents| contents.is_empty())
            .map_err(|fault| one(fleet, number, &fault))
    };
    let own = look(takeover.node, fleet.connection(takeover.node)?);
    match takeover.holder {
        Some(holder) => {
            let (own, old) = tokio::join!(own, look(holder, fleet.connection(holder)?));
            Ok(own? && old?)
        }
        None => own.await,
    }
}
