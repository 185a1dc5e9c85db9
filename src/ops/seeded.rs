//! Finishing a seeded start: the intended primaries take over from those that were seeded in
//! their place.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::context::Context;
use super::fleet::{Fleet, failed};
use super::new::Made;
use super::settle::settle;
use super::start::put_back_on_failure;
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
        let name = fleet
            .names()
            .get(takeover.node)
            .cloned()
            .unwrap_or_default();
        let began = Instant::now();
        let mut ticked: Option<Instant> = None;
        // What it claims is what it knows its primary to own, and that primary must hear of it.
        loop {
            let lacks = match node.view(fleet.shards).await {
                Ok(view) if view.info.current_epoch < highest => {
                    Some("has not heard of every epoch".to_owned())
                }
                Ok(view) => lacks_for_takeover(&view, takeover, &taken),
                Err(fault) => Some(fault.to_string()),
            };
            let Some(lacks) = lacks else { break };
            fleet.refuse_dead_nodes()?;
            let is_due = ticked.map_or(began.elapsed() > LINK_PATIENCE, |at| {
                fleet.is_small() && at.elapsed() > NEXT_TICK
            });
            if is_due {
                // A peer that did not listen at the first tick is tried again at the next.
                context.reached(&format!("{name} {lacks}"));
                fleet.tick_once().await?;
                ticked = Some(Instant::now());
            }
            patience
                .pause(Duration::from_micros(500), || {
                    vec![NodeProblem::new(&name, lacks)]
                })
                .await?;
        }
        // Read right before the step: a takeover throws away what the old owner alone has.
        if !is_empty(fleet, takeover).await? {
            context.events.note(format!(
                "{name} stays a replica: its shard holds data already"
            ));
            continue;
        }
        node.take_over()
            .await
            .map_err(|fault| one(fleet, takeover.node, &fault))?;
        let info = node
            .cluster_info()
            .await
            .map_err(|fault| one(fleet, takeover.node, &fault))?;
        taken.insert(info.my_epoch);
    }
    Ok(())
}

fn one(fleet: &Fleet, number: usize, fault: &Fault) -> crate::error::Error {
    fleet.failure("forming failed", number, fault)
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
