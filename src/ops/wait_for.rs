//! `wait`: until a cluster is ready, serves, or has stopped. Takes no lock: whoever starts or stops
//! it meanwhile is who is waited for.

use std::time::{Duration, Instant};

use super::answer::{Answer, State};
use super::context::Context;
use super::fleet::{Fleet, Node, failed};
use super::ready::expected;
use super::settle::REPLICA_COUNT;
use crate::error::{Error, NodeProblem, Result};
use crate::event::Event;
use crate::plan::{View, missing, missing_to_serve};
use crate::store::{Cluster, Manifest, Processes};

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitFor {
    /// Everything that `up` promises.
    Ready,
    /// The same of the nodes that live, while every slot has a primary among them.
    Serving,
    /// No process is left.
    Stopped,
}

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// How long a node may take for one look: one that hangs must not keep others from being seen.
const LOOK: Duration = Duration::from_secs(1);

/// The same for the last look before the deadline, which must not be so short that nobody can answer.
const SHORT_LOOK: Duration = Duration::from_millis(100);

/// What was known at the last look; as long as it holds, so do our connections.
struct Known {
    manifest: Manifest,
    processes: Option<Processes>,
    fleet: Fleet,
    /// Since when primaries lack replicas that they could have by now.
    alone: Option<Instant>,
}

/// Waits until the cluster is as `goal` says.
pub async fn wait_for(context: &Context, goal: WaitFor) -> Result<Answer> {
    let patience = context.patience(match goal {
        WaitFor::Ready => "the cluster to be ready",
        WaitFor::Serving => "the cluster to serve",
        WaitFor::Stopped => "all nodes to end",
    });
    let mut known: Option<Known> = None;
    let mut said = usize::MAX;
    loop {
        let problems = match look(context, goal, &mut known, patience.left()).await? {
            Ok(mut answer) => {
                answer.elapsed = context.began.elapsed();
                return Ok(answer);
            }
            Err(problems) => problems,
        };
        if problems.len() != said {
            said = problems.len();
            let of = known.as_ref().map_or(0, |known| known.fleet.nodes.len());
            context.events.emit(Event::Waiting {
                what: patience.what().to_owned(),
                done: of - said.min(of),
                of,
            });
        }
        patience.pause(PAUSE, || problems).await?;
    }
}

/// One look, while `left` is left to wait: the answer, or what each node lacks.
async fn look(
    context: &Context,
    goal: WaitFor,
    known: &mut Option<Known>,
    left: Duration,
) -> Result<Result<Answer, Vec<NodeProblem>>> {
    // By name each time: it may be deleted and made anew while we wait.
    let (cluster, manifest) = context.existing()?;
    let processes = cluster.processes()?;
    let still = known
        .take()
        .filter(|known| known.manifest == manifest && known.processes == processes);
    let (mut fleet, mut alone) = match still {
        Some(known) => (known.fleet, known.alone),
        None => match open(context, &cluster, &manifest, goal) {
            Ok(fleet) => (fleet, None),
            // Whoever is making it has not written everything yet.
            Err(error @ Error::Corrupt { .. }) if cluster.journal()?.is_some() => {
                return Ok(Err(vec![NodeProblem::new(
                    &manifest.name,
                    error.to_string(),
                )]));
            }
            Err(error) => return Err(error),
        },
    };
    fleet.refuse_elsewhere()?;
    fleet.limit = LOOK.min(left.max(SHORT_LOOK));
    let seen = match goal {
        WaitFor::Stopped => look_for_processes(&cluster, &manifest, &mut fleet),
        WaitFor::Ready | WaitFor::Serving => {
            look_at_cluster(&cluster, &manifest, &mut fleet, &mut alone, goal).await?
        }
    };
    *known = Some(Known {
        manifest,
        processes,
        fleet,
        alone,
    });
    Ok(seen)
}

fn open(context: &Context, cluster: &Cluster, manifest: &Manifest, goal: WaitFor) -> Result<Fleet> {
    if goal == WaitFor::Stopped {
        // To see processes end needs no way in.
        return Fleet::observe(cluster, manifest);
    }
    Fleet::open(context, cluster, manifest)
}

fn look_for_processes(
    cluster: &Cluster,
    manifest: &Manifest,
    fleet: &mut Fleet,
) -> Result<Answer, Vec<NodeProblem>> {
    let living = fleet.nodes.iter_mut().filter_map(|node| {
        let lives = node.has_ended().is_none();
        lives.then(|| NodeProblem::new(node.addr, "still runs"))
    });
    let living: Vec<NodeProblem> = living.collect();
    if !living.is_empty() {
        return Err(living);
    }
    let views = vec![None; fleet.nodes.len()];
    let mut answer = Answer::new(cluster, manifest, fleet, &views);
    answer.state = State::Stopped;
    Ok(answer)
}

async fn look_at_cluster(
    cluster: &Cluster,
    manifest: &Manifest,
    fleet: &mut Fleet,
    alone: &mut Option<Instant>,
    goal: WaitFor,
) -> Result<Result<Answer, Vec<NodeProblem>>> {
    let (looks, unheard) = fleet.connect_and_view().await;
    if let Some((problem, _)) = unheard.iter().find(|(_, fault)| fault.is_refusal()) {
        return Err(Error::Refused {
            node: problem.node.clone(),
            message: problem.message.clone(),
        });
    }
    let wanted = expected(fleet, manifest);
    let lives: Vec<bool> = fleet.nodes.iter().map(Node::runs).collect();
    let all_missing = missing(&wanted, &looks);
    let mut problems = if goal == WaitFor::Ready {
        all_missing.clone()
    } else {
        missing_to_serve(&wanted, &looks, &lives)
    };
    // Until it is done, values are not the user's, and roles may still change.
    if let Some(journal) = cluster.journal()? {
        let text = format!("`{}` is at work, or was interrupted", journal.verb);
        problems.push(NodeProblem::new(&manifest.name, text));
    }
    fleet.refuse_refusals()?;
    if !problems.is_empty() {
        return Ok(Err(problems));
    }
    let numbered = looks.iter().enumerate();
    let views: Vec<(usize, &View)> = numbered
        .filter_map(|(number, look)| Some((number, look.as_ref().ok()?)))
        .collect();
    let (passing, lasting) = fleet.write_once(&views).await?;
    // A primary counts its replicas once a second: for so long it may say that it lacks some.
    let only_alone = |problem: &NodeProblem| problem.message.starts_with("NOREPLICAS");
    if lasting.is_empty() {
        *alone = None;
    } else {
        let since = alone.get_or_insert_with(Instant::now);
        if !lasting.iter().all(only_alone) || since.elapsed() >= REPLICA_COUNT {
            return Err(failed(
                "the cluster is formed, but it takes no writes",
                lasting,
            ));
        }
    }
    let unwritten: Vec<NodeProblem> = passing.into_iter().chain(lasting).collect();
    if !unwritten.is_empty() {
        return Ok(Err(unwritten));
    }
    let views: Vec<Option<View>> = looks.into_iter().map(Result::ok).collect();
    let mut answer = Answer::new(cluster, manifest, fleet, &views);
    answer.state = if all_missing.is_empty() {
        State::Ok
    } else {
        State::Degraded
    };
    answer.problems = all_missing;
    Ok(Ok(answer))
}
