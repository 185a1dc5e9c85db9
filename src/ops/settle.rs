//! The last stretch of forming and of starting: from nodes whose slots have owners to *ready*.

use std::time::{Duration, Instant};

use futures_util::future::join_all;

use super::context::Context;
use super::fleet::{ANSWER_LIMIT, Fleet, failed};
use super::ready::{Nudge, expected};
use crate::client::Fault;
use crate::cluster::{NodeId, tag_in};
use crate::error::{Error, NodeProblem, Result};
use crate::plan::{Replication, View};
use crate::server::Capabilities;
use crate::store::{Cluster, Journal, Manifest};
use crate::sys;

/// How long a primary may take to count its replicas (`replicationCron`, each second).
const REPLICA_COUNT: Duration = Duration::from_secs(2);

/// How long a write may take to reach the replicas before another is tried.
const OFFSET_PATIENCE: Duration = Duration::from_millis(100);

/// Brings nodes whose slots have owners to *ready*, puts the user's configuration back, and
/// records that the cluster is formed. With `forming`, the shape must be as asked.
pub(super) async fn settle(
    context: &Context,
    cluster: &Cluster,
    manifest: &mut Manifest,
    fleet: &mut Fleet,
    journal: &Journal,
    capabilities: Capabilities,
    forming: bool,
) -> Result<Vec<View>> {
    let shape = manifest.spec.primaries * manifest.spec.replicas;
    fleet
        .wait_for_sync(context, if forming { shape } else { 0 })
        .await?;
    context.reached("every replica is in sync");
    // One write gives a primary an offset above 0, and so its replicas: without it no node lists
    // them in CLUSTER SLOTS before the primary's first ping, up to 10 s later.
    loop {
        fleet.write_everywhere(context).await?;
        if fleet.offsets_arrive().await {
            break;
        }
    }
    context.reached("every primary takes writes");
    if forming && !fleet.is_small() && capabilities.publish_carries_offset {
        // Cheaper than a ping between every two of many nodes. Only where nobody subscribes yet.
        let publish = |_, node: &'_ crate::client::Connection| {
            let node = node.clone();
            async move { node.publish_header("rcluster:offset").await }
        };
        fleet.each("a message was refused", publish).await?;
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
    /// Every node's own replication, as it says now.
    async fn replications(&self) -> Vec<Result<Replication, Fault>> {
        join_all(self.nodes.iter().map(async |node| match &node.connection {
            Some(connection) => connection.replication().await,
            None => Err(Fault::Silent),
        }))
        .await
    }

    /// Waits until every replica is in sync; at least `replicas` nodes must be replicas by then.
    async fn wait_for_sync(&mut self, context: &Context, replicas: usize) -> Result<()> {
        let patience = context.patience("the replicas to be in sync");
        loop {
            let states = self.replications().await;
            let are = states
                .iter()
                .flatten()
                .filter(|state| state.replica)
                .count();
            let mut problems = Vec::new();
            for (node, state) in self.nodes.iter().zip(&states) {
                let lacks = match state {
                    Ok(state) if state.replica && (!state.link_up || state.syncing) => {
                        "is not in sync".to_owned()
                    }
                    Ok(state) if !state.replica && are < replicas => {
                        "has no replica yet".to_owned()
                    }
                    Ok(_) => continue,
                    Err(fault) => fault.to_string(),
                };
                problems.push(NodeProblem::new(node.addr, lacks));
            }
            if problems.is_empty() {
                return Ok(());
            }
            self.reconnect_broken(&states).await;
            self.refuse_dead_nodes()?;
            patience.pause(self.pause(), || problems).await?;
        }
    }

    /// Drops connections that broke, and makes them anew.
    async fn reconnect_broken(&mut self, states: &[Result<Replication, Fault>]) {
        for (node, state) in self.nodes.iter_mut().zip(states) {
            if matches!(state, Err(fault) if fault.breaks_connection()) {
                node.connection = None;
            }
        }
        // Whoever cannot be reached now is seen at the next look.
        self.connect().await.ok();
    }

    /// Whether every replica's offset is above 0 soon: only then `CLUSTER SLOTS` may list it
    /// (`isReplicaAvailable`). A write that no replica was there to receive does not count.
    async fn offsets_arrive(&self) -> bool {
        let began = Instant::now();
        loop {
            let states = self.replications().await;
            if states
                .iter()
                .flatten()
                .all(|state| !state.replica || state.offset > 0)
            {
                return true;
            }
            if began.elapsed() > OFFSET_PATIENCE {
                return false;
            }
            super::wait::moment(self.pause()).await;
        }
    }

    /// A pause between two looks at all nodes: the more there are, the more a look costs them.
    fn pause(&self) -> Duration {
        Duration::from_millis(1)
            .max(Duration::from_micros(100) * u32::try_from(self.nodes.len()).unwrap_or(u32::MAX))
    }

    /// Waits until each node says ok and each that owns slots, by its own word, takes a write.
    async fn write_everywhere(&mut self, context: &Context) -> Result<()> {
        let patience = context.patience("every primary to take a write");
        loop {
            let looks = join_all(self.nodes.iter().map(async |node| match &node.connection {
                Some(connection) => connection.cluster_info().await,
                None => Err(Fault::Silent),
            }))
            .await;
            self.refuse_dead_nodes()?;
            let problem = |(node, look): (
                &super::fleet::Node,
                &Result<crate::cluster::ClusterInfo, Fault>,
            )| match look {
                Ok(info) if info.ok => None,
                Ok(_) => Some(NodeProblem::new(node.addr, "cluster_state is fail")),
                Err(fault) => Some(NodeProblem::new(node.addr, fault.to_string())),
            };
            let mut problems: Vec<NodeProblem> =
                self.nodes.iter().zip(&looks).filter_map(problem).collect();
            if problems.is_empty() {
                let views: Vec<View> = self
                    .views(ANSWER_LIMIT)
                    .await
                    .into_iter()
                    .flatten()
                    .collect();
                // Refusals that last are judged at the end, when replicas are there and all else holds.
                (problems, _) = self.write_once(&views).await?;
                if problems.is_empty() {
                    return Ok(());
                }
            } else {
                self.connect().await.ok();
            }
            patience.pause(self.pause(), || problems).await?;
        }
    }

    /// Writes to each primary until all take it.
    pub(super) async fn write_to_primaries(&self, context: &Context, views: &[View]) -> Result<()> {
        let patience = context.patience("every primary to take a write");
        let began = Instant::now();
        loop {
            let (problems, lasting) = self.write_once(views).await?;
            // A primary counts its good replicas once a second: NOREPLICAS may pass.
            let is_patient = |problem: &NodeProblem| {
                problem.message.starts_with("NOREPLICAS") && began.elapsed() < REPLICA_COUNT
            };
            if !lasting.iter().all(is_patient) {
                return Err(failed(
                    "the cluster is formed, but it takes no writes",
                    lasting,
                ));
            }
            if problems.is_empty() && lasting.is_empty() {
                return Ok(());
            }
            let problems = problems.into_iter().chain(lasting).collect();
            patience
                .pause(Duration::from_millis(5), || problems)
                .await?;
        }
    }

    /// Writes a key of its own range to each primary, and deletes it. Returns refusals that pass,
    /// and apart from them those that waiting cannot cure; missing rights are an error.
    pub(super) async fn write_once(
        &self,
        views: &[View],
    ) -> Result<(Vec<NodeProblem>, Vec<NodeProblem>)> {
        let random = sys::random_number().map_err(|source| Error::Io {
            what: "get a random number".into(),
            source,
        })?;
        let results = join_all(views.iter().enumerate().filter_map(|(number, view)| {
            let slots = &view
                .myself()
                .filter(|myself| !myself.slots.is_empty())?
                .slots;
            let key = format!(
                "{{{}}}rcluster:{random:016x}",
                tag_in(slots, random % 1_000_000)?
            );
            let node = self.nodes.get(number)?.connection.as_ref()?;
            Some(async move { (number, node.try_write(&key).await) })
        }))
        .await;
        let (mut problems, mut lasting) = (Vec::new(), Vec::new());
        for (number, result) in results {
            let Err(fault) = result else { continue };
            let problem = self.problem(number, &fault);
            if fault.is_refusal() {
                return Err(Error::Refused {
                    node: problem.node,
                    message: problem.message,
                });
            }
            if fault.is_lasting() {
                lasting.push(problem);
            } else {
                problems.push(problem);
            }
        }
        Ok((problems, lasting))
    }
}
