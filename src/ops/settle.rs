//! The last stretch of forming and of starting: from nodes whose slots have owners to *ready*.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::time::timeout;

use super::context::Context;
use super::fleet::{Fleet, failed};
use super::ready::{Nudge, expected};
use crate::client::{Connection, Fault};
use crate::cluster::tag_in;
use crate::error::{Error, NodeProblem, Result};
use crate::plan::{Replication, View};
use crate::server::{self, Capabilities, SyncTrouble};
use crate::store::{Cluster, Journal, Manifest};
use crate::sys;

/// How long a primary may take to count its replicas (`replicationCron`, each second).
pub(super) const REPLICA_COUNT: Duration = Duration::from_secs(2);

/// How long replicas may be apart from their primaries before their logs are asked why: they try
/// again each second (`replicationCron`), and say so each time.
const SYNC_PATIENCE: Duration = Duration::from_millis(1500);

/// How long a request may take to reach the replicas before another is sent.
const OFFSET_PATIENCE: Duration = Duration::from_millis(100);

/// How long a replica may take to get an offset, once asked, before its link is made anew.
const LINK_PATIENCE: Duration = Duration::from_millis(20);

/// How long a request for acknowledgements is waited for.
const ACK_LIMIT: Duration = Duration::from_millis(2);

/// How the last stretch may be gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// Nodes that were proven empty in this run: they may be hurried.
    Fresh {
        /// The node timeout that they have while they are formed.
        node_timeout: String,
        /// Whether `PUBLISH` tells every node the sender's offset.
        publish: bool,
    },
    /// Nodes that may hold data, or be used.
    Kept,
}

impl Pace {
    /// The pace for nodes that were given `values`.
    pub(super) fn fresh(values: &[(&'static str, String)], capabilities: Capabilities) -> Self {
        let value = values
            .iter()
            .find(|(name, _)| *name == "cluster-node-timeout");
        value.map_or(Self::Kept, |(_, node_timeout)| Self::Fresh {
            node_timeout: node_timeout.clone(),
            publish: capabilities.publish_carries_offset,
        })
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
    pace: &Pace,
) -> Result<Vec<View>> {
    let replicas = manifest.spec.primaries * manifest.spec.replicas;
    fleet.wait_for_sync(context, replicas).await?;
    context.reached("every replica is in sync");
    fleet.raise_offsets(context, pace).await?;
    context.reached("every replica has an offset");
    fleet.wait_until_ok(context).await?;
    context.reached("every node says ok");
    if matches!(pace, Pace::Fresh { publish: true, .. }) && !fleet.is_small() {
        // Cheaper than a ping between every two of many nodes. Nobody subscribes yet.
        let publish = |_, node: &Connection| {
            let node = node.clone();
            async move { node.publish_header("rcluster:offset").await }
        };
        fleet.each("a message was refused", publish).await?;
    }
    let wanted = expected(fleet, manifest);
    let nudge = match pace {
        Pace::Fresh { node_timeout, .. } => Nudge::Ping {
            node_timeout: node_timeout.clone(),
        },
        Pace::Kept => Nudge::Meet,
    };
    let mut views = fleet.wait_for_views(context, &wanted, &nudge).await?;
    context.reached("every node sees the whole cluster");
    if !journal.restore.is_empty() {
        put_back(fleet, journal).await?;
        views = fleet.wait_for_views(context, &wanted, &Nudge::Meet).await?;
    }
    while !fleet.write_to_primaries(context, &views).await? {
        views = fleet.wait_for_views(context, &wanted, &Nudge::Meet).await?;
    }
    let before = manifest.clone();
    let ids = views
        .iter()
        .map(|view| view.myself().map(|line| line.id.clone()));
    for (entry, id) in manifest.nodes.iter_mut().zip(ids) {
        entry.id = id.or(entry.id.take());
    }
    manifest.formed = true;
    if *manifest != before {
        cluster.write_manifest(manifest)?;
    }
    cluster.remove_journal()?;
    context.reached("done");
    Ok(views)
}

/// Gives directives the user's values again, on every node that has ours.
pub(super) async fn put_back(fleet: &Fleet, journal: &Journal) -> Result<()> {
    let values: Vec<Option<_>> = fleet
        .nodes
        .iter()
        .map(|node| journal.restore.get(&node.addr.port))
        .collect();
    fleet
        .each(
            "the configuration could not be put back",
            async |number, node| {
                let Some(Some(values)) = values.get(number) else {
                    return Ok(());
                };
                let pairs = values.iter();
                let pairs =
                    pairs.map(|(name, value)| (name.as_str(), value.trim_matches(['"', '\''])));
                node.config_set(pairs).await
            },
        )
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
        let began = Instant::now();
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
            self.refuse_dead_nodes()?;
            if began.elapsed() > SYNC_PATIENCE {
                self.refuse_vain_sync(&states)?;
            }
            self.reconnect_broken(&states).await?;
            patience.pause(self.pause(), || problems).await?;
        }
    }

    /// Fails if the log of a replica without a link says that it will never get in sync: its
    /// primary does not let it in, or sends what it cannot read.
    fn refuse_vain_sync(&self, states: &[Result<Replication, Fault>]) -> Result<()> {
        let is_apart = |state: &Replication| state.replica && !state.link_up;
        for (node, state) in self.nodes.iter().zip(states) {
            if !state.as_ref().is_ok_and(is_apart) {
                continue;
            }
            let Ok(end) = server::log_end(&node.log) else {
                continue;
            };
            let name = node.addr.to_string();
            match server::sync_trouble(&end) {
                Some(SyncTrouble::Refused(message)) => {
                    return Err(Error::Refused {
                        node: name,
                        message,
                    });
                }
                Some(SyncTrouble::Unreadable(message)) => {
                    return Err(failed(
                        "a replica cannot read the snapshot of its primary",
                        vec![NodeProblem::new(name, message)],
                    ));
                }
                None => {}
            }
        }
        Ok(())
    }

    /// Waits until every replica's offset is above 0: only then `CLUSTER SLOTS` may list it
    /// (`isReplicaAvailable`). By itself that takes until the primary's first ping, up to 10 s.
    ///
    /// A primary that has sent its snapshot from a child sends nothing more until the replica
    /// acknowledges it, and a replica of an empty one does so before the primary has seen the child
    /// end: then the acknowledgement is lost, and the next comes a second later
    /// (`replicationCron`). A link that is made anew goes on where it was, without a snapshot.
    async fn raise_offsets(&mut self, context: &Context, pace: &Pace) -> Result<()> {
        let patience = context.patience("the replicas to get an offset");
        let mut asked: Option<Instant> = None;
        let mut linked = Instant::now();
        // The more nodes there are, the longer each may have to wait for its turn.
        let link_patience = LINK_PATIENCE.max(self.pause() * 20);
        loop {
            let states = self.replications().await;
            let is_behind = |state: &Replication| state.replica && state.offset == 0;
            let lacks = |state: &Result<Replication, Fault>| match state {
                Ok(state) => is_behind(state).then(|| "has no offset yet".to_owned()),
                Err(fault) => Some(fault.to_string()),
            };
            let behind = self.nodes.iter().zip(&states);
            let behind: Vec<NodeProblem> = behind
                .filter_map(|(node, state)| Some(NodeProblem::new(node.addr, lacks(state)?)))
                .collect();
            if behind.is_empty() {
                return Ok(());
            }
            if matches!(pace, Pace::Fresh { .. }) && linked.elapsed() > link_patience {
                let is_behind: Vec<bool> = states
                    .iter()
                    .map(|state| state.as_ref().is_ok_and(is_behind))
                    .collect();
                // Whether that is refused or not, the acknowledgement comes.
                let relink = async |number: usize, node: &Connection| {
                    if is_behind.get(number) == Some(&true) {
                        node.drop_link_to_primary().await.or(Ok(()))
                    } else {
                        Ok(())
                    }
                };
                self.each("CLIENT KILL was refused", relink).await?;
                context.reached("links of replicas without an offset are made anew");
                linked = Instant::now();
            }
            if asked.is_none_or(|at| at.elapsed() > OFFSET_PATIENCE) {
                let is_primary: Vec<bool> = states
                    .iter()
                    .map(|state| state.as_ref().is_ok_and(|state| !state.replica))
                    .collect();
                // One that has become a replica since refuses; the next look sees it.
                let ask = async |number: usize, node: &Connection| {
                    if is_primary.get(number) == Some(&true) {
                        node.request_acks().await.or(Ok(()))
                    } else {
                        Ok(())
                    }
                };
                // The request is on its way at once, but its answer comes with the end of a timeout,
                // which a server notices when anything else happens to it, our next look say.
                if let Ok(asked) = timeout(ACK_LIMIT, self.each("WAIT was refused", ask)).await {
                    asked?;
                }
                asked = Some(Instant::now());
            }
            self.refuse_dead_nodes()?;
            self.reconnect_broken(&states).await?;
            patience.pause(self.pause(), || behind).await?;
        }
    }

    /// Waits until each node says `cluster_state:ok`.
    async fn wait_until_ok(&mut self, context: &Context) -> Result<()> {
        let patience = context.patience("the cluster to be ready");
        loop {
            let looks = join_all(self.nodes.iter().map(async |node| match &node.connection {
                Some(connection) => connection.cluster_info().await,
                None => Err(Fault::Silent),
            }))
            .await;
            let mut problems = Vec::new();
            for (node, look) in self.nodes.iter().zip(&looks) {
                match look {
                    Ok(info) if info.ok => {}
                    Ok(_) => problems.push(NodeProblem::new(node.addr, "cluster_state is fail")),
                    Err(fault) => problems.push(NodeProblem::new(node.addr, fault.to_string())),
                }
            }
            if problems.is_empty() {
                return Ok(());
            }
            self.refuse_dead_nodes()?;
            self.reconnect_broken(&looks).await?;
            patience.pause(self.pause(), || problems).await?;
        }
    }

    /// A pause between two looks at all nodes: the more there are, the more a look costs them.
    fn pause(&self) -> Duration {
        Duration::from_millis(1)
            .max(Duration::from_micros(100) * u32::try_from(self.nodes.len()).unwrap_or(u32::MAX))
    }

    /// Writes to each primary until all take it; `false` if somebody else owns its slots by now.
    async fn write_to_primaries(&self, context: &Context, views: &[View]) -> Result<bool> {
        let patience = context.patience("every primary to take a write");
        let views: Vec<(usize, &View)> = views.iter().enumerate().collect();
        let began = Instant::now();
        loop {
            let (problems, lasting) = self.write_once(&views).await?;
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
                return Ok(true);
            }
            let has_moved = |problem: &NodeProblem| problem.message.starts_with("MOVED");
            let have_moved = problems.iter().any(has_moved);
            let problems = problems.into_iter().chain(lasting).collect();
            patience
                .pause(Duration::from_millis(5), || problems)
                .await?;
            if have_moved {
                return Ok(false);
            }
        }
    }

    /// Writes a key of its own range to each primary among the nodes whose numbers and views are
    /// given, and deletes it. Returns refusals that pass,
    /// and apart from them those that waiting cannot cure; missing rights are an error.
    pub(super) async fn write_once(
        &self,
        views: &[(usize, &View)],
    ) -> Result<(Vec<NodeProblem>, Vec<NodeProblem>)> {
        let random = sys::random_number().map_err(|source| Error::Io {
            what: "get a random number".into(),
            source,
        })?;
        let results = join_all(views.iter().filter_map(|&(number, view)| {
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
