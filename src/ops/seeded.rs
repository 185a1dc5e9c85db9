//! Finishing a seeded start: the intended primaries take over from those that were seeded in
//! their place.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use super::context::Context;
use super::fleet::{Fleet, failed};
use super::new::Made;
use super::settle::settle;
use super::start::put_back_on_failure;
use super::wait::Patience;
use crate::client::{Connection, Fault};
use crate::cluster::{NodeId, Role, SlotRange};
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
        let node = fleet.connection(takeover.node)?.clone();
        match wait_for_turn(context, fleet, takeover, &taken, highest, &patience).await? {
            Turn::HoldsData => {
                let name = fleet.names().get(takeover.node).cloned();
                context.events.note(format!(
                    "{} stays a replica: its shard holds data already",
                    name.unwrap_or_default()
                ));
                continue;
            }
            Turn::Elected => {}
            Turn::Now => {
                if let Err(fault) = node.take_over().await {
                    let view = node.view(fleet.shards).await;
                    if !view.is_ok_and(|view| has_taken_over(&view, takeover)) {
                        return Err(one(fleet, takeover.node, &fault));
                    }
                }
            }
        }
        let info = node
            .cluster_info()
            .await
            .map_err(|fault| one(fleet, takeover.node, &fault))?;
        taken.insert(info.my_epoch);
    }
    Ok(())
}

/// What becomes of a node that is to take over.
enum Turn {
    /// It may.
    Now,
    /// The servers have elected it: its primary stood still for longer than the node timeout.
    Elected,
    /// It may not: its shard holds data.
    HoldsData,
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
    let node = fleet.connection(takeover.node)?.clone();
    let began = Instant::now();
    let mut ticked: Option<Instant> = None;
    loop {
        // What it claims is what it knows its primary to own, and that primary must hear of it.
        let lacks = match node.view(fleet.shards).await {
            Ok(view) if has_taken_over(&view, takeover) => return Ok(Turn::Elected),
            Ok(view) if view.info.current_epoch < highest => {
                Some("has not heard of every epoch".to_owned())
            }
            Ok(view) => lacks_for_takeover(&view, takeover, taken),
            Err(fault) => Some(fault.to_string()),
        };
        let problems = match lacks {
            Some(lacks) => {
                let name = fleet.names().get(takeover.node).cloned();
                vec![NodeProblem::new(name.unwrap_or_default(), lacks)]
            }
            // Read right before the step: a takeover throws away what the old owner alone has.
            None => match tokio::join!(unread(fleet), is_empty(fleet, takeover)) {
                (unread, empty) if unread.is_empty() => {
                    return Ok(if empty? { Turn::Now } else { Turn::HoldsData });
                }
                (unread, _) => unread,
            },
        };
        fleet.refuse_dead_nodes()?;
        let is_due = ticked.map_or(began.elapsed() > LINK_PATIENCE, |at| {
            fleet.is_small() && at.elapsed() > NEXT_TICK
        });
        if is_due {
            // A peer that did not listen at the first tick is tried again at the next.
            let problem = problems.first().map(ToString::to_string);
            context.reached(&problem.unwrap_or_default());
            fleet.tick_once().await?;
            ticked = Some(Instant::now());
        }
        patience
            .pause(Duration::from_micros(500), || problems)
            .await?;
    }
}

/// Who may not have read all that was said over the bus before now.
///
/// A node must have read what another said as a replica before it hears of that one's takeover. If the
/// old owner's news overtakes it, on another link, Redis 7.2 to 8.2 take each of the two for the
/// other's replica, and look for the primary of both for ever (`clusterNodeGetMaster`).
async fn unread(fleet: &Fleet) -> Vec<NodeProblem> {
    let asked = fleet.nodes.iter().enumerate().map(async |(number, node)| {
        let fault = node.connection.as_ref()?.ping().await.err()?;
        Some(fleet.problem(number, &fault))
    });
    join_all(asked).await.into_iter().flatten().collect()
}

fn one(fleet: &Fleet, number: usize, fault: &Fault) -> crate::error::Error {
    fleet.failure("forming failed", number, fault)
}

/// Whether a node owns already what it is to take over.
fn has_taken_over(view: &View, takeover: &Takeover) -> bool {
    view.myself()
        .is_some_and(|me| me.role == Role::Primary && me.slots == [takeover.slots])
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
