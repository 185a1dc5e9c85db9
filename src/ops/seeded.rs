//! Finishing a start: from nodes that answer to a cluster that is ready.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::context::Context;
use super::fleet::{ANSWER_LIMIT, Fleet};
use super::new::Made;
use super::ready::{Nudge, expected};
use crate::client::{Connection, Failover, Fault};
use crate::cluster::{NodeId, Role, SlotRange};
use crate::error::{NodeProblem, Result};
use crate::event::Event;
use crate::plan::{Seed, Technique, View};
use crate::server::Capabilities;
use crate::store::{Cluster, Journal, Manifest};

/// How long a link may take that was tried at a node's first tick, before the next is brought on.
const LINK_PATIENCE: Duration = Duration::from_millis(8);

/// One takeover: who becomes the primary, in whose place, of which slots.
#[derive(Clone, Debug)]
pub(super) struct Takeover {
    pub(super) node: usize,
    pub(super) holder_id: NodeId,
    /// `None` for a phantom.
    pub(super) holder: Option<usize>,
    pub(super) slots: SlotRange,
}

/// Makes a cluster of nodes that were started from `seed`.
pub(super) async fn finish_seeded(
    context: &Context,
    cluster: &Cluster,
    made: &mut Made,
    seed: &Seed,
    capabilities: Capabilities,
) -> Result<Vec<View>> {
    let Made {
        manifest,
        fleet,
        journal,
        dead_port,
        ..
    } = made;
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
    take_over(context, fleet, &takeovers).await?;
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
    settle(
        context,
        cluster,
        manifest,
        fleet,
        journal,
        capabilities,
        true,
    )
    .await
}

/// Has each intended primary take over, one after the other, so that no two take the same epoch.
pub(super) async fn take_over(
    context: &Context,
    fleet: &mut Fleet,
    takeovers: &[Takeover],
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
        let mut ticked = false;
        // What it claims is what it knows its primary to own, and that primary must hear of it.
        loop {
            let lacks = match node.view(fleet.seven).await {
                Ok(view) => lacks_for_takeover(&view, takeover, &taken),
                Err(fault) => Some(fault.to_string()),
            };
            let Some(lacks) = lacks else { break };
            fleet.refuse_dead_nodes()?;
            if !ticked && began.elapsed() > LINK_PATIENCE {
                // A peer that did not listen at the first tick is tried again at the next.
                context.reached(&format!("{name} {lacks}"));
                fleet.tick_once().await?;
                ticked = true;
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
        node.failover(Failover::TakeOver)
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
    super::fleet::failed("forming failed", vec![fleet.problem(number, fault)])
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

/// Brings nodes whose slots have owners to *ready*, puts the user's configuration back, and
/// records that the cluster is formed.
pub(super) async fn settle(
    context: &Context,
    cluster: &Cluster,
    manifest: &mut Manifest,
    fleet: &mut Fleet,
    journal: &Journal,
    capabilities: Capabilities,
    forming: bool,
) -> Result<Vec<View>> {
    let replicas = if forming {
        manifest.spec.primaries * manifest.spec.replicas
    } else {
        0
    };
    // One write gives a primary an offset above 0, and so its replicas: without it no node lists
    // them in CLUSTER SLOTS before the primary's first ping, up to 10 s later. A write that no
    // replica was there to receive does not count, so another may be needed.
    loop {
        fleet.write_everywhere(context).await?;
        context.reached("every primary takes writes");
        if fleet.wait_for_sync(context, replicas).await? {
            break;
        }
    }
    context.reached("every replica is in sync");
    if forming && !fleet.is_small() && capabilities.publish_carries_offset {
        // Cheaper than a MEET between every two of many nodes. Only where nobody subscribes yet.
        let channel = "rcluster:offset";
        fleet
            .each("a message was refused", |_, node| {
                node.publish_header(channel)
            })
            .await?;
    }
    let wanted = expected(fleet, manifest, forming);
    let mut views = fleet
        .wait_for_views(context, &wanted, &Nudge::for_work(journal))
        .await?;
    context.reached("every node sees the whole cluster");
    if !journal.restore.is_empty() {
        put_back(fleet, journal).await?;
        views = fleet.wait_for_views(context, &wanted, &Nudge::Meet).await?;
    }
    fleet.write_to_primaries(context, &views).await?;
    let ids: Vec<Option<NodeId>> = views
        .iter()
        .map(|view| Some(view.myself()?.id.clone()))
        .collect();
    for (entry, id) in manifest.nodes.iter_mut().zip(ids) {
        entry.id = id.or(entry.id.take());
    }
    manifest.formed = true;
    cluster.write_manifest(manifest)?;
    cluster.remove_journal()?;
    context.reached("done");
    Ok(views)
}

/// Gives directives the user's values again, on every node.
pub(super) async fn put_back(fleet: &Fleet, journal: &Journal) -> Result<()> {
    let values = || {
        journal
            .restore
            .iter()
            .map(|(name, value)| (name.as_str(), value.trim_matches('"')))
    };
    fleet
        .each("the configuration could not be put back", |_, node| {
            node.config_set(values())
        })
        .await
}

impl Fleet {
    /// Waits until each node that owns slots, by its own word, takes a write.
    pub(super) async fn write_everywhere(&mut self, context: &Context) -> Result<()> {
        let patience = context.patience("every primary to take a write");
        loop {
            let views = self.views(ANSWER_LIMIT).await;
            self.refuse_dead_nodes()?;
            let problems: Vec<NodeProblem> = self
                .names()
                .into_iter()
                .zip(&views)
                .filter_map(|(name, view)| match view {
                    Ok(view) if view.info.ok => None,
                    Ok(_) => Some(NodeProblem::new(name, "cluster_state is fail")),
                    Err(why) => Some(NodeProblem::new(name, why.clone())),
                })
                .collect();
            if problems.is_empty() {
                let views: Vec<View> = views.into_iter().flatten().collect();
                // Refusals that last are judged at the end, when replicas are there and all else holds.
                let (problems, _lasting) = self.write_once(&views).await?;
                if problems.is_empty() {
                    return Ok(());
                }
                patience
                    .pause(Duration::from_millis(5), || problems)
                    .await?;
            } else {
                patience
                    .pause(Duration::from_millis(2), || problems)
                    .await?;
            }
        }
    }
}
