//! What tests do to a cluster that runs, and what they wait for afterwards.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::answer::{Answer, State};
use super::context::Context;
use super::fleet::{Fleet, Life};
use super::status::status;
use crate::client::Fault;
use crate::cluster::{NodeId, Role, SLOT_COUNT, SlotRange};
use crate::error::{Error, NodeProblem, Result};
use crate::plan::View;

/// How long a node may take to answer before others are asked again.
const ANSWER: Duration = Duration::from_millis(600);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// After how long a failover that a replica was asked for has failed: `CLUSTER_MF_TIMEOUT`, and a
/// little.
const MANUAL_FAILOVER: Duration = Duration::from_millis(5500);

/// Waits until the cluster is [ready](crate::plan::missing) with all its nodes.
pub async fn wait_ready(context: &Context) -> Result<Answer> {
    let patience = context.patience("the cluster to be ready");
    loop {
        let answer = status(context).await?;
        if answer.state == State::Ok {
            return Ok(answer);
        }
        patience.pause(PAUSE, || answer.problems).await?;
    }
}

/// Waits until every node that answers says that all slots are served, and by nodes that answer.
pub async fn wait_serving(context: &Context) -> Result<()> {
    let mut fleet = open(context)?;
    let patience = context.patience("all slots to be served");
    loop {
        let views = fleet.views().await;
        let problems = unserved(&fleet, &views);
        if problems.is_empty() {
            return Ok(());
        }
        patience.pause(PAUSE, || problems).await?;
    }
}

/// Ends the process of node `number` (from 0) at once, and waits until it has ended. One that does
/// not run is left as it is.
pub async fn kill(context: &Context, number: usize) -> Result<()> {
    let mut fleet = open(context)?;
    let node = node_of(&mut fleet, number)?;
    if let Life::Process(process) = &node.life {
        let name = node.addr;
        process.kill().map_err(|source| Error::Io {
            what: format!("kill {name}"),
            source,
        })?;
    }
    let patience = context.patience(format!("{} to end", node.addr));
    while node.has_ended().is_none() {
        patience.pause(PAUSE / 2, Vec::new).await?;
    }
    Ok(())
}

/// Has the replica `number` (from 0) take the place of its primary, which agrees and loses no
/// write, and waits until every node that answers knows.
pub async fn fail_over(context: &Context, number: usize) -> Result<()> {
    let mut fleet = open(context)?;
    let patience = context.patience("the replica to take over");
    let views = fleet.views().await;
    let name = node_of(&mut fleet, number)?.addr;
    let line = views.get(number).and_then(|view| view.as_ref().ok());
    let line = line.and_then(View::myself).ok_or_else(|| Error::Conflict {
        message: format!("{name} does not answer"),
        hint: "start its process again first".into(),
    })?;
    let id = line.id.clone();
    let Role::Replica { of: old } = line.role.clone() else {
        return Err(Error::usage(
            format!("{name} is a primary already"),
            "name one of its replicas",
        ));
    };
    let mut asked: Option<Instant> = None;
    loop {
        if asked.is_none_or(|at| at.elapsed() > MANUAL_FAILOVER) {
            match fleet.connection(number)?.fail_over().await {
                // Asked a second time, it may be what it shall be.
                Err(Fault::Server { .. }) if asked.is_some() => {}
                other => other
                    .map_err(|fault| fleet.failure("the failover was refused", number, &fault))?,
            }
            asked = Some(Instant::now());
        }
        let views = fleet.views().await;
        let mut problems = unserved(&fleet, &views);
        problems.extend(unaware(&fleet, &views, &id, &old));
        if problems.is_empty() {
            return Ok(());
        }
        patience.pause(PAUSE, || problems).await?;
    }
}

fn open(context: &Context) -> Result<Fleet> {
    let absent = || context.no_such_cluster();
    let cluster = context.home.cluster(&context.name)?.ok_or_else(absent)?;
    let manifest = cluster.manifest()?.ok_or_else(absent)?;
    let mut fleet = Fleet::open(context, &cluster, &manifest)?;
    fleet.limit = fleet.limit.min(ANSWER);
    Ok(fleet)
}

fn node_of(fleet: &mut Fleet, number: usize) -> Result<&mut super::fleet::Node> {
    let count = fleet.nodes.len();
    fleet.nodes.get_mut(number).ok_or_else(|| {
        Error::usage(
            format!("there is no node {}", number + 1),
            format!("nodes are 1 to {count}"),
        )
    })
}

/// Which of the nodes that answer have not heard that `new` is what `old` was.
fn unaware(
    fleet: &Fleet,
    views: &[Result<View, String>],
    new: &NodeId,
    old: &NodeId,
) -> Vec<NodeProblem> {
    let knows = |view: &View| {
        let role = |id: &NodeId| {
            let line = view.nodes.iter().find(|line| line.id == *id);
            line.map(|line| line.role.clone())
        };
        role(new) == Some(Role::Primary) && role(old) == Some(Role::Replica { of: new.clone() })
    };
    let asked = fleet.nodes.iter().zip(views);
    asked
        .filter(|(_, view)| view.as_ref().is_ok_and(|view| !knows(view)))
        .map(|(node, _)| NodeProblem::new(node.addr, "does not know of the failover yet"))
        .collect()
}

/// What keeps clients from reaching each slot, by the nodes that answer.
fn unserved(fleet: &Fleet, views: &[Result<View, String>]) -> Vec<NodeProblem> {
    let living = || views.iter().flatten();
    let own: BTreeMap<&NodeId, &[SlotRange]> = living()
        .filter_map(View::myself)
        .filter(|line| line.role == Role::Primary)
        .map(|line| (&line.id, line.slots.as_slice()))
        .collect();
    let owns = |id: &NodeId, slots: SlotRange| {
        let has = |range: &SlotRange| range.contains(slots.first()) && range.contains(slots.last());
        own.get(id).is_some_and(|ranges| ranges.iter().any(has))
    };
    let problem = |view: &View| {
        if !view.info.ok {
            return Some("cluster_state is fail".to_owned());
        }
        let served = view.slots.iter().filter(|it| owns(&it.primary, it.slots));
        let served: u32 = served.map(|entry| u32::from(entry.slots.len())).sum();
        (served != u32::from(SLOT_COUNT))
            .then(|| format!("sees {served} of {SLOT_COUNT} slots with a primary that answers"))
    };
    if living().next().is_none() {
        return vec![NodeProblem::new("all nodes", "do not answer")];
    }
    let asked = fleet.nodes.iter().zip(views);
    asked
        .filter_map(|(node, view)| {
            let problem = problem(view.as_ref().ok()?)?;
            Some(NodeProblem::new(node.addr, problem))
        })
        .collect()
}
