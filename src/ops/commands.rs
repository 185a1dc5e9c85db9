//! Forming a cluster by commands, from nodes that were started before.

use std::time::Duration;

use super::context::Context;
use super::fleet::{ANSWER_LIMIT, Fleet, failed};
use super::new::journal_for;
use super::seeded::{Takeover, take_over};
use super::settle::settle;
use crate::client::{Connection, Failover, Fault};
use crate::cluster::{NodeAddr, NodeId, Role, SLOT_COUNT};
use crate::error::{Error, NodeProblem, Result};
use crate::event::Event;
use crate::plan::{Layout, Step, View, by_commands, finish, missing};
use crate::server::{Binary, forming_values};
use crate::store::{Cluster, Journal, Manifest, Work};

/// How often half-formed nodes are looked at anew.
const LOOK: Duration = Duration::from_millis(100);

/// Makes a cluster of nodes that run, hold nothing and know only themselves.
pub(super) async fn form(
    context: &Context,
    cluster: &Cluster,
    manifest: &mut Manifest,
    fleet: &mut Fleet,
    binary: &Binary,
) -> Result<Vec<View>> {
    context.events.emit(Event::Forming {
        nodes: fleet.nodes.len(),
    });
    let capabilities = binary.capabilities();
    let conf = user_conf(cluster, manifest)?;
    let values = forming_values(
        fleet.nodes.len(),
        manifest.spec.node_timeout_ms,
        capabilities,
        true,
    );
    let journal = journal_for(context, Work::Forming, &values, &conf);
    let ids: Vec<NodeId> = ids(fleet).await?;
    for (entry, id) in manifest.nodes.iter_mut().zip(&ids) {
        entry.id = Some(id.clone());
    }
    cluster.write_manifest(manifest)?;
    cluster.write_journal(&journal)?;

    let set = || values.iter().map(|(name, value)| (*name, value.as_str()));
    fleet
        .each("the configuration was refused", |_, node| {
            node.config_set(set())
        })
        .await?;
    // What waits to be sent is sent at the next tick of the nodes' own, and then often.
    fleet.tick().await?;

    let layout = Layout::new(manifest.spec.primaries, manifest.spec.replicas);
    let steps = by_commands(&layout);
    let before = |step: &&Step| matches!(step, Step::AddSlots { .. } | Step::SetConfigEpoch { .. });
    run(
        fleet,
        &steps.iter().filter(before).cloned().collect::<Vec<_>>(),
        &ids,
    )
    .await?;
    run(
        fleet,
        &steps
            .iter()
            .filter(|step| matches!(step, Step::Meet { .. }))
            .cloned()
            .collect::<Vec<_>>(),
        &ids,
    )
    .await?;

    let takes_over = |node: usize| steps.contains(&Step::TakeOver { node });
    let mut takeovers = Vec::new();
    for step in &steps {
        let Step::Replicate { node, primary } = *step else {
            continue;
        };
        if takes_over(node) {
            replicate(context, fleet, node, &ids, primary).await?;
            let shard = layout.shards.iter().find(|shard| shard.primary == node);
            takeovers.extend(shard.zip(ids.get(primary)).map(|(shard, holder)| Takeover {
                node,
                holder_id: holder.clone(),
                holder: Some(primary),
                slots: shard.slots,
            }));
        }
    }
    if takeovers.is_empty() {
        return finish_in_place(context, cluster, manifest, fleet, &journal, binary).await;
    }
    spread_slots(context, fleet, &takeovers).await?;
    context.reached("the nodes know each other");
    fleet.attend().await?;
    take_over(context, fleet, &takeovers).await?;
    context.reached("the primaries have taken over");
    for step in &steps {
        let Step::Replicate { node, primary } = *step else {
            continue;
        };
        if !takes_over(node) {
            replicate(context, fleet, node, &ids, primary).await?;
        }
    }
    settle(
        context,
        cluster,
        manifest,
        fleet,
        &journal,
        capabilities,
        true,
    )
    .await
}

/// The configuration of the first node, which has the user's values of all.
pub(super) fn user_conf(cluster: &Cluster, manifest: &Manifest) -> Result<String> {
    let Some(entry) = manifest.nodes.first() else {
        return Ok(String::new());
    };
    let path = cluster.node_path(entry.addr.port);
    let Some(node) = cluster.node(entry.addr.port)? else {
        return Ok(String::new());
    };
    let bytes = node
        .read("redis.conf", 1 << 20)
        .map_err(Error::io("read redis.conf in", &path))?;
    Ok(String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned())
}

/// The ids of all nodes, by their own word.
async fn ids(fleet: &mut Fleet) -> Result<Vec<NodeId>> {
    let views = fleet.views(ANSWER_LIMIT).await;
    let mut problems = Vec::new();
    let mut ids = Vec::new();
    for (name, view) in fleet.names().into_iter().zip(views) {
        match view.map(|view| view.myself().map(|line| line.id.clone())) {
            Ok(Some(id)) => ids.push(id),
            Ok(None) => problems.push(NodeProblem::new(name, "does not list itself")),
            Err(why) => problems.push(NodeProblem::new(name, why)),
        }
    }
    if problems.is_empty() {
        Ok(ids)
    } else {
        Err(failed("some nodes cannot be asked", problems))
    }
}

/// Sends `steps`, each node's in order, all nodes at once. Neither waits nor repeats.
async fn run(fleet: &Fleet, steps: &[Step], ids: &[NodeId]) -> Result<()> {
    let seven = fleet.seven;
    let addr = |number: usize| fleet.nodes.get(number).map(|node| node.addr);
    fleet
        .each("a node refused", async |number, node: &Connection| {
            let own = || steps.iter().filter(|step| step.node() == number);
            for step in own() {
                match *step {
                    Step::AddSlots { slots, .. } => node.add_slots(slots, seven).await?,
                    Step::SetConfigEpoch { epoch, .. } => node.set_config_epoch(epoch).await?,
                    Step::Replicate { primary, .. } => {
                        if let Some(id) = ids.get(primary) {
                            node.replicate(id).await?;
                        }
                    }
                    Step::Meet { .. } | Step::TakeOver { .. } => {}
                }
            }
            let peers: Vec<NodeAddr> = own()
                .filter_map(|step| match *step {
                    Step::Meet { peer, .. } => addr(peer),
                    _ => None,
                })
                .collect();
            if peers.is_empty() {
                Ok(())
            } else {
                node.meet(&peers).await
            }
        })
        .await
}

/// Makes `node` a replica of `primary` as soon as it has heard of it. Only if it holds nothing.
async fn replicate(
    context: &Context,
    fleet: &mut Fleet,
    node: usize,
    ids: &[NodeId],
    primary: usize,
) -> Result<()> {
    let patience = context.patience("the nodes to know each other");
    let Some(id) = ids.get(primary) else {
        return Ok(());
    };
    let connection = fleet.connection(node)?.clone();
    let contents = connection.contents(fleet.seven).await;
    if !contents.is_ok_and(|contents| contents.is_empty()) {
        let name = fleet.names().get(node).cloned().unwrap_or_default();
        return Err(Error::NotEmpty {
            nodes: vec![NodeProblem::new(name, "holds data by now")],
        });
    }
    loop {
        match connection.replicate(id).await {
            Ok(()) => return Ok(()),
            Err(fault @ Fault::Server { .. }) if fault.to_string().contains("Unknown node") => {
                let problem = || vec![fleet.problem(node, &fault)];
                patience.pause(Duration::from_millis(1), problem).await?;
            }
            Err(fault) => return Err(failed("a node refused", vec![fleet.problem(node, &fault)])),
        }
    }
}

/// Has each acting owner tell its successor which slots it has: the packet that ends a handshake
/// is not read for slots (`clusterProcessPacket`), so it takes another.
async fn spread_slots(context: &Context, fleet: &mut Fleet, takeovers: &[Takeover]) -> Result<()> {
    let patience = context.patience("the nodes to know each other's slots");
    loop {
        let mut problems = Vec::new();
        for takeover in takeovers {
            let view = fleet.connection(takeover.node)?.view(fleet.seven).await;
            let knows = view.is_ok_and(|view| {
                view.nodes
                    .iter()
                    .any(|line| line.id == takeover.holder_id && line.slots == [takeover.slots])
            });
            let (Some(holder), Some(successor)) = (takeover.holder, fleet.nodes.get(takeover.node))
            else {
                continue;
            };
            if !knows {
                let fault = fleet.connection(holder)?.meet(&[successor.addr]).await;
                fault.map_err(|fault| {
                    failed("MEET was refused", vec![fleet.problem(holder, &fault)])
                })?;
                problems.push(NodeProblem::new(
                    successor.addr,
                    "does not know its primary's slots",
                ));
            }
        }
        if problems.is_empty() {
            return Ok(());
        }
        // The next tick of the owners carries it.
        patience
            .pause(Duration::from_millis(15), || problems)
            .await?;
    }
}

/// Brings nodes in any state between unformed and formed to *ready*, keeping whatever they hold:
/// looks, does what is missing, looks again.
pub(super) async fn finish_in_place(
    context: &Context,
    cluster: &Cluster,
    manifest: &mut Manifest,
    fleet: &mut Fleet,
    journal: &Journal,
    binary: &Binary,
) -> Result<Vec<View>> {
    let patience = context.patience("the nodes to become one cluster");
    let layout = Layout::new(manifest.spec.primaries, manifest.spec.replicas);
    let wanted = super::ready::expected(fleet, manifest, true);
    loop {
        fleet.refuse_dead_nodes()?;
        let answers = fleet.views(ANSWER_LIMIT).await;
        let problems = missing(&wanted, &answers);
        let views: Vec<Option<View>> = answers.into_iter().map(Result::ok).collect();
        adopt_orphans(fleet, &views).await?;
        let steps = finish(&layout, &views);
        // Everybody was asked, every slot has an owner, and nothing is left to be told: the rest
        // comes with time, and `settle` waits for it.
        let all_assigned = views.iter().all(|view| {
            view.as_ref()
                .is_some_and(|view| view.info.slots_assigned == u64::from(SLOT_COUNT))
        });
        if steps.is_empty() && all_assigned {
            break;
        }
        let ids: Vec<NodeId> = views
            .iter()
            .zip(&manifest.nodes)
            .filter_map(|(view, entry)| {
                view.as_ref()
                    .and_then(View::myself)
                    .map(|line| line.id.clone())
                    .or_else(|| entry.id.clone())
            })
            .collect();
        if ids.len() == fleet.nodes.len() {
            let mut allowed = Vec::new();
            for step in steps {
                let empties = matches!(step, Step::Replicate { .. });
                let contents = fleet.connection(step.node())?.contents(fleet.seven).await;
                if !empties || contents.is_ok_and(|contents| contents.is_empty()) {
                    allowed.push(step);
                }
            }
            // A refusal is news of a state that has changed: the next look decides.
            if let Err(error) = run(fleet, &allowed, &ids).await {
                context.events.detail(error.to_string());
            }
        }
        patience.pause(LOOK, || problems).await?;
    }
    settle(
        context,
        cluster,
        manifest,
        fleet,
        journal,
        binary.capabilities(),
        true,
    )
    .await
}

/// A node whose primary is none of ours was seeded behind a phantom, and its start was cut short.
/// It has never been a primary: if it holds nothing, it takes over now, and the phantom is forgotten.
async fn adopt_orphans(fleet: &Fleet, views: &[Option<View>]) -> Result<()> {
    let ours: Vec<&NodeId> = views
        .iter()
        .flatten()
        .filter_map(|view| Some(&view.myself()?.id))
        .collect();
    if ours.len() != fleet.nodes.len() {
        return Ok(());
    }
    for (number, view) in views.iter().enumerate() {
        let Some(Role::Replica { of }) =
            view.as_ref().and_then(View::myself).map(|line| &line.role)
        else {
            continue;
        };
        let node = fleet.connection(number)?;
        let is_empty = node
            .contents(fleet.seven)
            .await
            .is_ok_and(|contents| contents.is_empty());
        if !ours.contains(&of) && is_empty {
            let result = node.failover(Failover::TakeOver).await;
            result
                .map_err(|fault| failed("a node refused", vec![fleet.problem(number, &fault)]))?;
        }
    }
    let strangers: Vec<NodeId> = views
        .iter()
        .flatten()
        .flat_map(|view| &view.nodes)
        .filter(|line| !ours.contains(&&line.id) && !line.flags.handshake && line.slots.is_empty())
        .map(|line| line.id.clone())
        .collect();
    if strangers.is_empty() {
        return Ok(());
    }
    fleet
        .each("a placeholder could not be forgotten", |_, node| {
            node.forget(&strangers)
        })
        .await
}
