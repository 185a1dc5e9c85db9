//! `logs`: what the servers of a cluster wrote down, whether they run or not. Takes no lock.

use std::io;
use std::time::{Duration, Instant};

use super::context::Context;
use super::follow::{Follower, LogStart, NodeLine, now};
use crate::cluster::{LogTime, NodeAddr};
use crate::error::{Error, NodeProblem, Result};
use crate::plan::Target;
use crate::store::{Cluster, Manifest};

/// How often it is asked whether anybody still reads.
const QUESTION: Duration = Duration::from_millis(200);

/// How often it is looked whether the cluster has other nodes by now, or is gone.
const RENEWAL: Duration = Duration::from_secs(1);

/// Which lines of which logs are wanted.
#[derive(Clone, Debug)]
pub struct LogsWish {
    /// Whose; all nodes' if empty.
    pub targets: Vec<Target>,
    /// Where reading begins.
    pub start: LogStart,
    /// Nothing older.
    pub since: Option<Duration>,
}

/// Where lines go. Called with none now and then while logs are followed, to find out whether
/// anybody still reads; its failure ends the work.
pub type LogSink<'a> = &'a mut dyn FnMut(&[NodeLine]) -> io::Result<()>;

/// Reads logs to their ends. What could not be read is returned.
pub async fn logs(
    context: &Context,
    wish: &LogsWish,
    sink: LogSink<'_>,
) -> Result<Vec<NodeProblem>> {
    let (cluster, nodes) = chosen(context, &wish.targets).await?;
    let mut follower = follower(&cluster, &nodes, wish);
    loop {
        let lines = follower.read_once();
        if lines.is_empty() {
            return Ok(follower.problems());
        }
        sink(&lines).map_err(Error::unwritten)?;
    }
}

/// Reads logs, and goes on while they grow, until the cluster is deleted.
pub async fn follow_logs(context: &Context, wish: &LogsWish, sink: LogSink<'_>) -> Result<()> {
    let (cluster, nodes) = chosen(context, &wish.targets).await?;
    let mut follower = follower(&cluster, &nodes, wish);
    let mut renewed = Instant::now();
    loop {
        let lines = follower.next(QUESTION).await;
        for problem in follower.problems() {
            context.events.note(problem.to_string());
        }
        sink(&lines).map_err(Error::unwritten)?;
        if renewed.elapsed() >= RENEWAL {
            renewed = Instant::now();
            let Some(manifest) = cluster.manifest()? else {
                context
                    .events
                    .note(format!("cluster \"{}\" was deleted", context.name));
                return Ok(());
            };
            if wish.targets.is_empty() {
                for (index, addr) in all(&manifest) {
                    if !follower.follows(index) {
                        follower.add(index, addr, LogStart::First);
                    }
                }
            }
        }
    }
}

fn follower<'a>(
    cluster: &'a Cluster,
    nodes: &[(usize, NodeAddr)],
    wish: &LogsWish,
) -> Follower<'a> {
    let mut follower = Follower::new(cluster, wish.since.map(ago));
    for &(index, addr) in nodes {
        follower.add(index, addr, wish.start);
    }
    follower
}

/// The time that was `since` ago.
pub(super) fn ago(since: Duration) -> LogTime {
    let since = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
    LogTime(now().0.saturating_sub(since))
}

/// The numbers (from 1) and addresses of the nodes that `targets` mean; of all nodes if it is empty.
pub(super) async fn chosen(
    context: &Context,
    targets: &[Target],
) -> Result<(Cluster, Vec<(usize, NodeAddr)>)> {
    let (cluster, manifest) = context.existing()?;
    if targets.is_empty() {
        return Ok((cluster, all(&manifest)));
    }
    // Who is a primary is asked only for those who want to know.
    let answer = super::status(context).await?;
    let places = answer.find(targets)?;
    let nodes = places.iter().filter_map(|place| answer.nodes.get(*place));
    let nodes = nodes.map(|node| (node.index, node.addr)).collect();
    Ok((cluster, nodes))
}

fn all(manifest: &Manifest) -> Vec<(usize, NodeAddr)> {
    let addrs = manifest.nodes.iter().map(|entry| entry.addr);
    (1..).zip(addrs).collect()
}
