//! Waiting until a cluster is ready, and helping it along.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::context::Context;
use super::fleet::Fleet;
use super::tick::TICK;
use crate::cluster::{NodeId, Role};
use crate::error::Result;
use crate::event::Event;
use crate::plan::{Expected, View, missing};
use crate::store::Manifest;

/// What `manifest` lets us expect of its nodes.
pub(super) fn expected(fleet: &Fleet, manifest: &Manifest) -> Expected {
    Expected {
        names: fleet.names(),
        ids: manifest.nodes.iter().map(|node| node.id.clone()).collect(),
        shape: Some((manifest.spec.primaries, manifest.spec.replicas)),
    }
}

/// How nodes are made to tell others about themselves while we wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Nudge {
    /// On nodes that are being formed: for a moment the node timeout is so short that each link's
    /// last PONG is older than half of it, and the next tick of the bus pings everybody.
    Ping {
        /// The value to return to.
        node_timeout: String,
    },
    /// On nodes that hold data, or that others use: `CLUSTER MEET` with a node that is known
    /// already sends it our header. The peer then closes our older link, which is back a tick later.
    Meet,
}

impl Nudge {
    /// How long nodes are left alone between two nudges: a tick that was under way may have to
    /// pass first, and links that a MEET closed have to come back.
    fn interval(&self) -> Duration {
        match self {
            Self::Ping { .. } => Duration::from_millis(20),
            Self::Meet => Duration::from_millis(250),
        }
    }
}

impl Fleet {
    /// Waits until the cluster is ready but for its writes; returns the last views.
    pub(super) async fn wait_for_views(
        &mut self,
        context: &Context,
        expected: &Expected,
        nudge: &Nudge,
    ) -> Result<Vec<View>> {
        let patience = context.patience("the cluster to be ready");
        let mut pushed: Option<Instant> = None;
        let mut ticks = false;
        let mut said = usize::MAX;
        loop {
            self.refuse_dead_nodes()?;
            let views = self.views().await;
            let problems = missing(expected, &views);
            if problems.is_empty() {
                return Ok(views.into_iter().flatten().collect());
            }
            if problems.len() != said {
                said = problems.len();
                let of = self.nodes.len();
                let what = patience.what().to_owned();
                context.events.emit(Event::Waiting {
                    what,
                    done: of - said.min(of),
                    of,
                });
                if let Some(first) = problems.first() {
                    context.events.detail(first.to_string());
                }
            }
            let senders = pushes(&views);
            if !senders.is_empty() {
                if pushed.is_none_or(|at| at.elapsed() >= nudge.interval()) {
                    match nudge {
                        Nudge::Ping { node_timeout } => {
                            self.ping_from(&senders, node_timeout).await?;
                        }
                        Nudge::Meet => self.meet_from(&senders).await?,
                    }
                    pushed = Some(Instant::now());
                    ticks = false;
                }
            } else if matches!(nudge, Nudge::Ping { .. }) && !ticks {
                // Everybody has told, and some links are still to come: with the next ticks.
                self.tick().await?;
                ticks = true;
            }
            // A look costs each node some time, and more the more nodes there are.
            let pause = Duration::from_millis(2).max(
                Duration::from_micros(250) * u32::try_from(self.nodes.len()).unwrap_or(u32::MAX),
            );
            patience.pause(pause, || problems).await?;
        }
    }

    /// Has each node that others do not have right tell them at its next tick: a replica pings all
    /// its peers, a primary those to whom it has no link yet. A primary's own timeout is left alone,
    /// since one that suspects its peers stops serving.
    async fn ping_from(
        &mut self,
        senders: &BTreeMap<usize, Vec<usize>>,
        node_timeout: &str,
    ) -> Result<()> {
        // Short for a few nodes, whose links are young; with many, answers take longer.
        let short = if self.is_small() { "20" } else { "200" };
        let views = self.views().await;
        let is_replica = |number: &usize| matches!(views.get(*number), Some(Ok(view)) if view.replication.replica);
        let replicas: BTreeSet<usize> = senders.keys().copied().filter(is_replica).collect();
        set(self, &replicas, &[("cluster-node-timeout", short)]).await?;
        self.tick().await?;
        // The tick comes within 2 ms, or, where nodes tick slowly still, within 52 ms. A ping that
        // is not answered by the tick after it counts as a failure: hence no longer than that.
        let began = Instant::now();
        while began.elapsed() < TICK {
            super::wait::moment(Duration::from_millis(4)).await;
            if pushes(&self.views().await).is_empty() {
                break;
            }
        }
        set(self, &replicas, &[("cluster-node-timeout", node_timeout)]).await?;
        self.attend().await
    }

    /// Has each node MEET those that do not have it right.
    async fn meet_from(&self, pushes: &BTreeMap<usize, Vec<usize>>) -> Result<()> {
        self.each("MEET was refused", async |number, node| {
            let peers = pushes.get(&number).into_iter().flatten();
            self.introduce(node, peers.copied()).await
        })
        .await
    }
}

/// Gives directives `values` on some nodes.
async fn set(
    fleet: &Fleet,
    nodes: &BTreeSet<usize>,
    values: &[(&'static str, &str)],
) -> Result<()> {
    fleet
        .each("the configuration was refused", async |number, node| {
            if nodes.contains(&number) {
                node.config_set(values.iter().copied()).await
            } else {
                Ok(())
            }
        })
        .await
}

/// Who must tell whom about itself: each node whose own line, or whose place in `CLUSTER SLOTS`,
/// another node does not have right.
fn pushes(views: &[Result<View, String>]) -> BTreeMap<usize, Vec<usize>> {
    let whole: Vec<(usize, &View)> = views
        .iter()
        .enumerate()
        .filter_map(|(number, view)| Some((number, view.as_ref().ok()?)))
        .collect();
    let mut pushes: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    let listed: Vec<BTreeSet<&NodeId>> = whole
        .iter()
        .map(|(_, view)| {
            view.slots
                .iter()
                .flat_map(|entry| entry.replicas.iter().chain([&entry.primary]))
                .collect()
        })
        .collect();
    for &(subject, own_view) in &whole {
        let Some(myself) = own_view.myself() else {
            continue;
        };
        let has_offset = own_view.replication.offset > 0;
        for (&(viewer, view), listed) in whole.iter().zip(&listed) {
            let Some(line) = view.nodes.iter().find(|line| line.id == myself.id) else {
                continue;
            };
            if viewer == subject {
                continue;
            }
            let wrong = line.role != myself.role
                || line.slots != myself.slots
                || myself.role == Role::Primary && line.config_epoch != myself.config_epoch;
            let unlisted = matches!(myself.role, Role::Replica { .. })
                && has_offset
                && !listed.contains(&myself.id);
            let behind = view.info.current_epoch < own_view.info.current_epoch
                && myself.role == Role::Primary;
            if wrong || unlisted || behind {
                pushes.entry(subject).or_default().push(viewer);
            }
        }
    }
    pushes
}
