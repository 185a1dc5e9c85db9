//! Forming a cluster by commands, from nodes that were started before.

use std::time::{Duration, Instant};

use futures_util::future::join_all;

use super::context::Context;
use super::fleet::{Fleet, failed};
use super::new::journal_for;
use super::programs::Programs;
use super::seeded::{Takeover, take_over};
use super::settle::{Pace, settle};
use super::start::put_back_on_failure;
use crate::client::{Connection, Fault};
use crate::cluster::{NodeId, Role, SLOT_COUNT};
use crate::error::{Error, NodeProblem, Result};
use crate::event::Event;
use crate::plan::{Layout, Step, View, by_commands, finish, missing};
use crate::server::forming_values;
use crate::store::{Cluster, Journal, Manifest, Work};

/// How often half-formed nodes are looked at anew.
const LOOK: Duration = Duration::from_millis(100);

/// How long the news of a takeover may take over the links that stand, before it is sent anew.
const NEWS_PATIENCE: Duration = Duration::from_millis(15);

/// How long the news of a new replica may take, before it is sent anew: by a MEET, which closes links that
/// would have brought it.
const ROLE_PATIENCE: Duration = Duration::from_millis(250);

/// How long a handshake may take. A server gives up one that took longer than the node timeout, or than
/// 1 s if that is shorter (`clusterCron`): with a node that stood still, say.
const HANDSHAKE: Duration = Duration::from_millis(1200);

/// Makes a cluster of nodes that run, hold nothing and know only themselves.
pub(super) async fn form(
    context: &Context,
    cluster: &Cluster,
    manifest: &mut Manifest,
    fleet: &mut Fleet,
    programs: &Programs,
) -> Result<Vec<View>> {
    context.events.emit(Event::Forming {
        nodes: fleet.nodes.len(),
    });
    let capabilities = programs.capabilities();
    let values = forming_values(manifest.spec.node_timeout_ms, capabilities, true);
    let all: Vec<usize> = (0..manifest.nodes.len()).collect();
    let journal = journal_for(context, Work::Forming, cluster, manifest, &values, &all)?;
    let ids: Vec<NodeId> = ids(fleet).await?;
    for (entry, id) in manifest.nodes.iter_mut().zip(&ids) {
        entry.id = Some(id.clone());
    }
    cluster.write_manifest(manifest)?;
    cluster.write_journal(&journal)?;
    let pace = Pace::fresh(&values, capabilities);
    let formed = hurry(
        context, cluster, manifest, fleet, &journal, &values, &ids, &pace,
    )
    .await;
    put_back_on_failure(formed, cluster, fleet, journal).await
}

/// The forming itself, with `values` of ours on the nodes meanwhile.
#[expect(clippy::too_many_arguments, reason = "the parts of one long stretch")]
async fn hurry(
    context: &Context,
    cluster: &Cluster,
    manifest: &mut Manifest,
    fleet: &mut Fleet,
    journal: &Journal,
    values: &[(&'static str, String)],
    ids: &[NodeId],
    pace: &Pace,
) -> Result<Vec<View>> {
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
    let some =
        |wanted: &dyn Fn(&&Step) -> bool| steps.iter().filter(wanted).cloned().collect::<Vec<_>>();
    run(fleet, &some(&before), ids).await?;
    run(fleet, &some(&|step| matches!(step, Step::Meet { .. })), ids).await?;

    let takes_over = |node: usize| steps.contains(&Step::TakeOver { node });
    let mut takeovers = Vec::new();
    for step in &steps {
        let Step::Replicate { node, primary } = *step else {
            continue;
        };
        if takes_over(node) {
            replicate(context, fleet, node, ids, primary).await?;
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
        return finish_in_place(context, cluster, manifest, fleet, journal).await;
    }
    spread_slots(context, fleet, &takeovers).await?;
    context.reached("the nodes know each other");
    fleet.attend().await?;
    // The steps gave epochs from 1 to the number of nodes.
    let highest = u64::try_from(fleet.nodes.len()).unwrap_or(u64::MAX);
    take_over(context, fleet, &takeovers, highest).await?;
    context.reached("the primaries have taken over");
    for step in &steps {
        let Step::Replicate { node, primary } = *step else {
            continue;
        };
        if !takes_over(node) {
            replicate(context, fleet, node, ids, primary).await?;
        }
    }
    settle(context, cluster, manifest, fleet, journal, pace).await
}

/// The configuration of node `number`: it has the user's values.
pub(super) fn user_conf(cluster: &Cluster, manifest: &Manifest, number: usize) -> Result<String> {
    let Some(entry) = manifest.nodes.get(number) else {
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
    let views = fleet.views().await;
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
            let peers = own().filter_map(|step| match *step {
                Step::Meet { peer, .. } => Some(peer),
                _ => None,
            });
            fleet.introduce(node, peers).await
        })
        .await
}

/// Makes `node` a replica of `primary` as soon as it has heard of it, and of it as a primary: one
/// that has just taken over tells only those to whom it had a link then, and the others learn of it
/// by a ping, up to a second later. Only if `node` holds nothing.
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
    let mut told = Instant::now();
    loop {
        // Read right before the step: who becomes a replica forgets what it holds.
        let contents = connection.contents(fleet.seven).await;
        let contents =
            contents.map_err(|fault| fleet.failure("a node cannot be asked", node, &fault))?;
        if !contents.is_empty() {
            let name = fleet.names().get(node).cloned().unwrap_or_default();
            return Err(Error::NotEmpty {
                nodes: vec![NodeProblem::new(name, "holds data by now")],
            });
        }
        match connection.replicate(id).await {
            Ok(()) => return Ok(()),
            Err(fault @ Fault::Server { .. }) if is_behind(&fault) => {
                fleet.refuse_dead_nodes()?;
                // News of a node that is known, or a new handshake: a MEET does for both.
                let patience_for_news = if fault.to_string().contains(NOT_A_PRIMARY) {
                    NEWS_PATIENCE
                } else {
                    HANDSHAKE
                };
                if told.elapsed() > patience_for_news
                    && let Some(addr) = fleet.nodes.get(node).map(|node| node.known_as)
                {
                    let sent = fleet.connection(primary)?.meet(&[addr]).await;
                    sent.map_err(|fault| fleet.failure("MEET was refused", primary, &fault))?;
                    fleet.tick_once().await?;
                    told = Instant::now();
                }
                let problem = || vec![fleet.problem(node, &fault)];
                patience.pause(Duration::from_millis(1), problem).await?;
            }
            Err(fault) => return Err(fleet.failure("a node refused", node, &fault)),
        }
    }
}

/// What `CLUSTER REPLICATE` of a node says that is known as a replica: to Redis the others are
/// masters, to Valkey primaries.
const NOT_A_PRIMARY: &str = "I can only replicate a ";

/// Whether a refusal of `CLUSTER REPLICATE` comes of news that have not arrived yet.
fn is_behind(fault: &Fault) -> bool {
    let words = fault.to_string();
    words.contains("Unknown node") || words.contains(NOT_A_PRIMARY)
}

/// Has each acting owner tell its successor which slots it has: the packet that ends a handshake
/// is not read for slots (`clusterProcessPacket`), so it takes another. And has each successor tell
/// everybody whose replica it is: who hears of that after the takeover may hang (see `take_over`), and an
/// owner that gave up their handshake answers it without hearing it.
async fn spread_slots(context: &Context, fleet: &mut Fleet, takeovers: &[Takeover]) -> Result<()> {
    let patience = context.patience("the nodes to know each other's slots");
    let mut told = Instant::now();
    loop {
        let is_due = told.elapsed() > ROLE_PATIENCE;
        let looks = fleet.nodes.iter().map(async |node| match &node.connection {
            Some(connection) => connection.view(fleet.shards).await.ok(),
            None => None,
        });
        let views = join_all(looks).await;
        let mut problems = Vec::new();
        for takeover in takeovers {
            let (number, Some(holder)) = (takeover.node, takeover.holder) else {
                continue;
            };
            let Some(Some(own)) = views.get(number) else {
                problems.push(fleet.problem(number, &Fault::Silent));
                continue;
            };
            if !own.nodes.iter().any(|line| line.slots == [takeover.slots]) {
                let sent = fleet.introduce(fleet.connection(holder)?, [number].into_iter());
                let sent = sent.await;
                sent.map_err(|fault| fleet.failure("MEET was refused", holder, &fault))?;
                problems.push(NodeProblem::new(
                    own_name(fleet, number),
                    "does not know its primary's slots",
                ));
            }
            let Some(me) = own.myself() else { continue };
            let is_told = |view: &View| {
                let mut lines = view.nodes.iter();
                let shard = |id: &NodeId| {
                    let node = view.shards.iter().flatten().find(|node| node.id == *id)?;
                    Some(node.shard)
                };
                lines.any(|line| line.id == me.id && line.role == me.role && !line.flags.handshake)
                    && shard(&me.id) == shard(&takeover.holder_id)
            };
            let untold: Vec<usize> = (0..views.len())
                .filter(|&other| !matches!(views.get(other), Some(Some(view)) if is_told(view)))
                .collect();
            if !untold.is_empty() {
                if is_due {
                    let sent = fleet.introduce(fleet.connection(number)?, untold.iter().copied());
                    let sent = sent.await;
                    sent.map_err(|fault| fleet.failure("MEET was refused", number, &fault))?;
                    told = Instant::now();
                }
                problems.extend(untold.iter().map(|&other| {
                    NodeProblem::new(own_name(fleet, other), "does not know a replica yet")
                }));
            }
        }
        if problems.is_empty() {
            return Ok(());
        }
        fleet.refuse_dead_nodes()?;
        // The next tick of the owners carries it.
        patience
            .pause(Duration::from_millis(15), || problems)
            .await?;
    }
}

fn own_name(fleet: &Fleet, number: usize) -> String {
    fleet.names().get(number).cloned().unwrap_or_default()
}

/// Brings nodes in any state between unformed and formed to *ready*, keeping whatever they hold:
/// looks, does what is missing, looks again.
pub(super) async fn finish_in_place(
    context: &Context,
    cluster: &Cluster,
    manifest: &mut Manifest,
    fleet: &mut Fleet,
    journal: &Journal,
) -> Result<Vec<View>> {
    let patience = context.patience("the nodes to become one cluster");
    let layout = Layout::new(manifest.spec.primaries, manifest.spec.replicas);
    let wanted = super::ready::expected(fleet, manifest);
    loop {
        fleet.refuse_dead_nodes()?;
        let answers = fleet.views().await;
        let problems = missing(&wanted, &answers);
        let views: Vec<Option<View>> = answers.into_iter().map(Result::ok).collect();
        let adopted = adopt_orphans(fleet, &views, &journal.phantoms).await;
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
                let node = fleet.connection(step.node())?;
                let may = !matches!(step, Step::Replicate { .. })
                    || node
                        .contents(fleet.seven)
                        .await
                        .is_ok_and(|contents| contents.is_empty());
                if may {
                    allowed.push(step);
                }
            }
            // A refusal is news of a state that has changed: the next look decides.
            for done in [adopted, run(fleet, &allowed, &ids).await] {
                if let Err(error) = done {
                    context.events.detail(error.to_string());
                }
            }
        }
        patience.pause(LOOK, || problems).await?;
    }
    settle(context, cluster, manifest, fleet, journal, &Pace::Kept).await
}

/// A node that was seeded behind a phantom, and whose start was cut short, takes over now if it
/// holds nothing: it has never been a primary. Then all forget the phantom.
async fn adopt_orphans(fleet: &Fleet, views: &[Option<View>], phantoms: &[NodeId]) -> Result<()> {
    for (number, view) in views.iter().enumerate() {
        let role = view.as_ref().and_then(View::myself).map(|line| &line.role);
        if !matches!(role, Some(Role::Replica { of }) if phantoms.contains(of)) {
            continue;
        }
        let node = fleet.connection(number)?;
        if node
            .contents(fleet.seven)
            .await
            .is_ok_and(|contents| contents.is_empty())
        {
            let result = node.take_over().await;
            result.map_err(|fault| fleet.failure("a node refused", number, &fault))?;
        }
    }
    let lines = || views.iter().flatten().flat_map(|view| &view.nodes);
    let known: Vec<NodeId> = phantoms
        .iter()
        .filter(|phantom| lines().any(|line| line.id == **phantom && line.slots.is_empty()))
        .cloned()
        .collect();
    if known.is_empty() {
        return Ok(());
    }
    fleet
        .each("a placeholder could not be forgotten", |_, node| {
            node.forget(&known)
        })
        .await
}
