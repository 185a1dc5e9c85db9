//! `create`: makes a cluster of nodes that were started.

use std::collections::BTreeSet;

use super::answer::Answer;
use super::commands::{finish_in_place, form};
use super::context::Context;
use super::fleet::{Fleet, failed};
use super::programs::Programs;
use super::ready::expected;
use super::resume::resume_forming;
use super::settle::{Pace, settle};
use super::start::{answer, interrupted_forming, put_back_on_failure, usable_manifest};
use super::wish::StartWish;
use crate::cluster::NodeId;
use crate::error::{Error, NodeProblem, Result};
use crate::plan::{Layout, Step, View, by_commands, missing};
use crate::store::{Cluster, Journal, Manifest, Work};

/// What options say about the cluster to be made.
#[derive(Clone, Copy, Debug, Default)]
pub struct CreateWish {
    /// `--primaries`.
    pub primaries: Option<usize>,
    /// `--replicas`.
    pub replicas: Option<usize>,
}

/// What `create --dry-run` answers: the layout and the commands, with the nodes' names.
#[derive(Clone, Debug)]
pub struct Planned {
    /// How nodes are called.
    pub names: Vec<String>,
    /// The intended cluster.
    pub layout: Layout,
    /// The commands, in order.
    pub steps: Vec<Step>,
}

/// Computes what `create` would do; takes no lock and changes nothing.
pub fn plan_create(context: &Context, wish: CreateWish) -> Result<Planned> {
    let (cluster, mut manifest) = context.existing()?;
    fit(&mut manifest, wish)?;
    if interrupted_forming(&cluster, &manifest)?.is_none() {
        let fleet = Fleet::observe(&cluster, &manifest)?;
        fleet.refuse_elsewhere()?;
        require_running(context, &fleet)?;
    }
    let layout = Layout::new(manifest.spec.primaries, manifest.spec.replicas);
    let names = manifest
        .nodes
        .iter()
        .map(|entry| entry.addr.to_string())
        .collect();
    // A cluster that is formed is only verified.
    let steps = if manifest.formed {
        Vec::new()
    } else {
        by_commands(&layout)
    };
    Ok(Planned {
        names,
        layout,
        steps,
    })
}

/// Makes a cluster of the nodes that were started, and returns when it is ready.
pub async fn create(context: &Context, wish: CreateWish) -> Result<Answer> {
    let (cluster, _lock) = context.lock_existing().await?;
    let mut manifest = usable_manifest(context, &cluster)
        .await?
        .ok_or_else(|| context.no_such_cluster())?;
    let shape_changed = fit(&mut manifest, wish)?;
    if let Some(journal) = interrupted_forming(&cluster, &manifest)? {
        let wish = StartWish::default();
        let (fleet, views) =
            resume_forming(context, &cluster, &mut manifest, &journal, &wish).await?;
        return answer(context, &cluster, &mut manifest, fleet, Some(views), true).await;
    }
    if shape_changed {
        cluster.write_manifest(&manifest)?;
    }
    let mut fleet = Fleet::open(context, &cluster, &manifest)?;
    fleet.refuse_elsewhere()?;
    require_running(context, &fleet)?;
    let patience = context.patience("every node to answer");
    fleet.connect_all(context, &patience).await?;
    form_or_verify(context, &cluster, manifest, fleet).await
}

/// Makes a cluster of nodes that all answer, or verifies that they are one.
pub(super) async fn form_or_verify(
    context: &Context,
    cluster: &Cluster,
    mut manifest: Manifest,
    mut fleet: Fleet,
) -> Result<Answer> {
    if manifest.formed {
        let journal = cluster
            .journal()?
            .unwrap_or_else(|| Journal::new(context.verb, Work::Restarting));
        let changed = !journal.restore.is_empty();
        let settled = settle(
            context,
            cluster,
            &mut manifest,
            &mut fleet,
            &journal,
            &Pace::Kept,
        )
        .await;
        let views = put_back_on_failure(settled, cluster, &mut fleet, journal).await?;
        return answer(context, cluster, &mut manifest, fleet, Some(views), changed).await;
    }
    let looks = fleet.settled_views(context).await?;
    let already = missing(&expected(&fleet, &manifest), &looks).is_empty();
    fleet.wait_longer(context);
    let journal = Journal::new(context.verb, Work::Forming);
    let views = if already {
        // Somebody else, redis-cli say, has made it of our nodes; what is left is to say so.
        settle(
            context,
            cluster,
            &mut manifest,
            &mut fleet,
            &journal,
            &Pace::Kept,
        )
        .await?
    } else if all_alone(&fleet, &looks).await? {
        let programs = Programs::recorded(&manifest).ok_or_else(|| Error::Corrupt {
            path: cluster.path().to_owned(),
            why: "its manifest names no server that is known".into(),
        })?;
        form(context, cluster, &mut manifest, &mut fleet, &programs).await?
    } else {
        // Known to each other already, but to nobody else: what is missing can be added.
        cluster.write_journal(&journal)?;
        finish_in_place(context, cluster, &mut manifest, &mut fleet, &journal).await?
    };
    answer(
        context,
        cluster,
        &mut manifest,
        fleet,
        Some(views),
        !already,
    )
    .await
}

/// Whether each node is proven empty and knows only itself. Nodes that hold data without being a
/// cluster, or that know strangers, are an error: they are not ours to form.
async fn all_alone(fleet: &Fleet, looks: &[Result<View, String>]) -> Result<bool> {
    let views: Vec<&View> = looks.iter().filter_map(|look| look.as_ref().ok()).collect();
    if views.len() != fleet.nodes.len() {
        let problems = fleet.names().into_iter().zip(looks);
        let problems = problems
            .filter_map(|(name, look)| Some(NodeProblem::new(name, look.as_ref().err()?.clone())));
        return Err(failed("some nodes cannot be asked", problems.collect()));
    }
    let ours: BTreeSet<&NodeId> = views
        .iter()
        .filter_map(|view| Some(&view.myself()?.id))
        .collect();
    let mut alone = true;
    let mut problems = Vec::new();
    for (number, (name, view)) in fleet.names().into_iter().zip(&views).enumerate() {
        let contents = fleet.connection(number)?.contents(fleet.seven).await;
        let contents = contents
            .map_err(|fault| fleet.failure("some nodes cannot be asked", number, &fault))?;
        let strangers = view
            .nodes
            .iter()
            .filter(|line| !ours.contains(&line.id) && !line.flags.handshake)
            .count();
        let owns = view.myself().is_some_and(|line| !line.slots.is_empty());
        if strangers > 0 {
            problems.push(NodeProblem::new(
                name,
                format!("knows {strangers} nodes that are not this cluster's"),
            ));
        } else if !contents.is_empty() && !owns && view.nodes.len() == 1 {
            let what = if contents.keys {
                "holds keys"
            } else {
                "has functions loaded"
            };
            problems.push(NodeProblem::new(name, what));
        }
        alone &= view.nodes.len() == 1 && !owns;
    }
    if problems.is_empty() {
        Ok(alone)
    } else {
        Err(Error::NotEmpty { nodes: problems })
    }
}

/// Takes over `--primaries` and `--replicas`, which must fit the nodes that were started.
fn fit(manifest: &mut Manifest, wish: CreateWish) -> Result<bool> {
    let nodes = manifest.nodes.len();
    let spec = &manifest.spec;
    let (primaries, replicas) = match (wish.primaries, wish.replicas) {
        (None, None) => return Ok(false),
        (Some(primaries), Some(replicas)) => (primaries, replicas),
        (None, Some(replicas)) => (nodes / replicas.saturating_add(1), replicas),
        (Some(primaries), None) => (
            primaries,
            nodes
                .checked_div(primaries)
                .unwrap_or_default()
                .saturating_sub(1),
        ),
    };
    if (primaries, replicas) == (spec.primaries, spec.replicas) {
        return Ok(false);
    }
    if !spec.settings.is_empty() || manifest.nodes.iter().any(|entry| entry.server.is_some()) {
        return Err(Error::ShapeDiffers {
            name: manifest.name.clone(),
            differences: vec![
                "some nodes have settings or servers of their own, by the shape they were started for"
                    .into(),
            ],
        });
    }
    let fits = primaries > 0 && primaries.checked_mul(replicas.saturating_add(1)) == Some(nodes);
    if !fits || manifest.formed {
        let is = format!(
            "{nodes} nodes were started, for {} primaries with {} replicas",
            spec.primaries, spec.replicas
        );
        let wish = format!("{primaries} primaries with {replicas} replicas do not fit them");
        let wish = if manifest.formed {
            "and the cluster is formed".into()
        } else {
            wish
        };
        return Err(Error::ShapeDiffers {
            name: manifest.name.clone(),
            differences: vec![is, wish],
        });
    }
    manifest.spec.primaries = primaries;
    manifest.spec.replicas = replicas;
    Ok(true)
}

fn require_running(context: &Context, fleet: &Fleet) -> Result<()> {
    let dead = fleet.numbers(|node| !node.runs());
    if dead.len() == fleet.nodes.len() {
        return Err(Error::NotRunning {
            name: context.name.to_string(),
        });
    }
    if dead.is_empty() {
        return Ok(());
    }
    let names = fleet.names();
    let nodes = dead
        .iter()
        .filter_map(|number| Some(NodeProblem::new(names.get(*number)?, "does not run")))
        .collect();
    Err(Error::Nodes {
        message: "not all nodes run".into(),
        nodes,
        hint: Some("start them first: {rcluster} start"),
    })
}
