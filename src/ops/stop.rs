//! `stop`: every node ends, and we return when all have.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::context::Context;
use super::fleet::{Fleet, Life, Node};
use super::wait::Patience;
use crate::cluster::{Role, parse_nodes};
use crate::error::{Error, NodeProblem, Result};
use crate::event::{Event, Events};
use crate::store::{Cluster, Manifest, Processes};
use crate::sys::process::{Process, working_below};

/// How long a node may take to end by itself: longer than the servers' `shutdown-timeout` of 10 s,
/// for which a primary waits for a replica that lags.
pub(super) const GRACE: Duration = Duration::from_secs(15);

/// How often a node is told again: a server that writes its first append-only file, or cannot save
/// its snapshot, answers SIGTERM with "can't exit" and forgets it.
const REPEAT: Duration = Duration::from_millis(500);

/// How one node ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopResult {
    /// By itself, when it was told to.
    Stopped,
    /// It did not within the grace, and was killed.
    Killed,
    /// It did not run.
    WasDead,
}

/// What `stop` did.
#[derive(Clone, Debug)]
pub struct Stopped {
    /// The cluster.
    pub name: String,
    /// Whether any node ran.
    pub changed: bool,
    /// How long it took.
    pub elapsed: Duration,
    /// Each node: its name, its PID if it ran, how it ended.
    pub nodes: Vec<(String, Option<i32>, StopResult)>,
}

/// Ends every node of the cluster.
pub async fn stop(context: &Context, grace: Option<Duration>) -> Result<Stopped> {
    let (cluster, _lock) = context.lock_existing().await?;
    let manifest = cluster
        .manifest()?
        .ok_or_else(|| context.no_such_cluster())?;
    stop_locked(context, &cluster, &manifest, grace.unwrap_or(GRACE)).await
}

/// [`stop`], under a lock that is held.
pub(super) async fn stop_locked(
    context: &Context,
    cluster: &Cluster,
    manifest: &Manifest,
    grace: Duration,
) -> Result<Stopped> {
    let fleet = Fleet::observe(cluster, manifest)?;
    fleet.refuse_elsewhere()?;
    if cluster.processes()?.is_none() {
        refuse_unrecorded(cluster)?;
    }
    let names = fleet.names();
    let pids: Vec<Option<i32>> = fleet.nodes.iter().map(Node::pid).collect();
    let running = pids.iter().flatten().count();
    if running > 0 {
        context.events.emit(Event::Stopping { nodes: running });
    }
    if running > 0 {
        // Told to end, a node may look alive for a while: whoever comes after us shall know.
        let mut processes = cluster.processes()?.unwrap_or_default();
        processes.stopping = true;
        record(cluster, &processes)?;
    }
    let first = replicas(cluster, manifest);
    let order = [&first[..], &fleet.numbers(|_| true)].concat();
    let patience = context.patience("all nodes to end");
    let results = end_nodes(fleet, &order, grace, &patience, &context.events).await?;
    if running > 0 {
        record(cluster, &Processes::default())?;
    }
    Ok(Stopped {
        name: context.name.to_string(),
        changed: running > 0,
        elapsed: context.began.elapsed(),
        nodes: names
            .into_iter()
            .zip(pids)
            .enumerate()
            .map(|(number, (name, pid))| {
                let result = results.get(&number).copied();
                (name, pid, result.unwrap_or(StopResult::WasDead))
            })
            .collect(),
    })
}

/// Writes down what is known of processes. A full disk is no reason not to stop them.
fn record(cluster: &Cluster, processes: &Processes) -> Result<()> {
    match cluster.write_processes(processes) {
        Err(error) if error.is_disk_full() => Ok(()),
        other => other,
    }
}

/// Refuses to call a cluster stopped whose records are lost while processes work in its directory:
/// without a record nothing proves that they are ours to end.
fn refuse_unrecorded(cluster: &Cluster) -> Result<()> {
    let users = working_below(cluster.path()).map_err(|source| Error::Io {
        what: "read /proc".into(),
        source,
    })?;
    let Some((pid, name)) = users.first() else {
        return Ok(());
    };
    Err(Error::Unsafe {
        message: format!(
            "{} processes work in {}, beginning with pid {pid} ({name}), and there is no record that they are ours",
            users.len(),
            cluster.path().display()
        ),
        hint: "end them yourself if they are its servers: their titles end in rcluster:NAME/INDEX"
            .into(),
    })
}

/// Ends nodes that hold nothing worth waiting for.
pub(super) async fn end(fleet: Fleet, grace: Duration) -> Result<()> {
    let patience = Patience::new("the nodes to end", Instant::now(), grace + GRACE);
    let all = fleet.numbers(|_| true);
    end_nodes(fleet, &all, grace, &patience, &Events::none())
        .await
        .map(drop)
}

/// Which nodes are replicas by their own `nodes.conf`: a primary that is told to end before its
/// replicas would wait for them, and they would elect another. A guess is enough.
pub(super) fn replicas(cluster: &Cluster, manifest: &Manifest) -> Vec<usize> {
    let is_replica = |port: u16| {
        let bytes = cluster
            .node(port)
            .ok()??
            .read("nodes.conf", 16 << 20)
            .ok()??;
        let nodes = parse_nodes(&String::from_utf8_lossy(&bytes)).ok()?;
        nodes
            .into_iter()
            .find(|line| line.flags.myself)
            .map(|line| matches!(line.role, Role::Replica { .. }))
    };
    let ports = manifest
        .nodes
        .iter()
        .map(|entry| entry.addr.port)
        .enumerate();
    ports
        .filter(|&(_, port)| is_replica(port) == Some(true))
        .map(|(number, _)| number)
        .collect()
}

/// Tells the nodes `numbers` to end, in that order, kills those that have not after `grace`, and
/// returns when all of them have ended; says how each did that ran.
pub(super) async fn end_nodes(
    fleet: Fleet,
    numbers: &[usize],
    grace: Duration,
    patience: &Patience,
    events: &Events,
) -> Result<BTreeMap<usize, StopResult>> {
    let names = fleet.names();
    let process = |node: Node| match node.life {
        Life::Process(process) => Some(process),
        Life::Child(child) => Some(child.into_process()),
        Life::Dead | Life::Elsewhere => None,
    };
    let mut all: Vec<Option<Process>> = fleet.nodes.into_iter().map(process).collect();
    let numbers = numbers.iter();
    // Whoever is named twice is taken once.
    let processes = numbers.filter_map(|&number| Some((number, all.get_mut(number)?.take()?)));
    let processes: Vec<(usize, Process)> = processes.collect();
    let running = processes.len();
    let failed = |number: usize| {
        let name = names.get(number).cloned().unwrap_or_default();
        move |source| Error::Io {
            what: format!("signal {name}"),
            source,
        }
    };
    let mut results: BTreeMap<usize, StopResult> = processes
        .iter()
        .map(|(number, _)| (*number, StopResult::Stopped))
        .collect();
    let began = Instant::now();
    let mut told: Option<Instant> = None;
    let mut killed = false;
    let mut said = 0;
    loop {
        let alive: Vec<&(usize, Process)> = processes
            .iter()
            .filter(|(_, process)| !process.has_ended())
            .collect();
        if running - alive.len() > said {
            said = running - alive.len();
            events.emit(Event::Stopped {
                done: said,
                of: running,
            });
        }
        if alive.is_empty() {
            return Ok(results);
        }
        if began.elapsed() >= grace && !killed {
            killed = true;
            for (number, process) in &alive {
                process.kill().map_err(failed(*number))?;
                results.insert(*number, StopResult::Killed);
                events.emit(Event::Killed {
                    node: names.get(*number).cloned().unwrap_or_default(),
                    grace,
                });
            }
        } else if !killed && told.is_none_or(|at| at.elapsed() >= REPEAT) {
            for (number, process) in &alive {
                process.terminate().map_err(failed(*number))?;
            }
            told = Some(Instant::now());
        }
        let missing = || {
            let names = alive.iter().filter_map(|(number, _)| names.get(*number));
            names
                .map(|name| NodeProblem::new(name, "still runs"))
                .collect()
        };
        patience.pause(Duration::from_millis(2), missing).await?;
    }
}
