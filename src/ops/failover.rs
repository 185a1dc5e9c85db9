//! A replica takes the place of its primary, which agrees: no write is lost (`CLUSTER FAILOVER`).

use std::time::{Duration, Instant};

use super::context::Context;
use super::fleet::Fleet;
use super::wait::Patience;
use crate::client::Fault;
use crate::cluster::{NodeId, Role};
use crate::error::{Error, NodeProblem, Result};
use crate::plan::View;

/// How long a node may take to answer before others are asked again.
const ANSWER: Duration = Duration::from_millis(600);

/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// After how long a failover that a replica was asked for has failed: `CLUSTER_MF_TIMEOUT`, and a
/// little.
const GIVEN_UP: Duration = Duration::from_millis(5500);

/// How soon a replica that refused is asked again. It refuses while it has no link to its primary,
/// or thinks that it failed, which passes.
const AGAIN: Duration = Duration::from_millis(100);

/// Who takes whose place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Succession {
    /// The number of the replica (from 0).
    heir: usize,
    new: NodeId,
    old: NodeId,
}

/// Who must have heard of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Witnesses {
    /// Every node; one that dies meanwhile ends the wait.
    All,
    /// Those that answer.
    WhoAnswers,
}

impl Succession {
    /// That of node `heir` (from 0) to its primary, by what it says itself.
    pub(super) fn to(fleet: &Fleet, views: &[Result<View, String>], heir: usize) -> Result<Self> {
        let name = fleet.names().get(heir).cloned().unwrap_or_default();
        let view = views.get(heir).and_then(|view| view.as_ref().ok());
        let line = view.and_then(View::myself);
        let line = line.ok_or_else(|| Error::Conflict {
            message: format!("{name} does not answer"),
            hint: "start its process again first".into(),
        })?;
        match &line.role {
            Role::Replica { of } => Ok(Self {
                heir,
                new: line.id.clone(),
                old: of.clone(),
            }),
            Role::Primary => Err(Error::usage(
                format!("{name} is a primary already"),
                "name one of its replicas",
            )),
        }
    }

    /// Whether a view shows it as done; if not, what it shows instead. Of nodes that do not answer,
    /// by `answering`, others know only what they were.
    fn is_seen(&self, view: &View, answering: &[&NodeId]) -> Result<(), &'static str> {
        let line_of = |id: &NodeId| view.nodes.iter().find(|line| line.id == *id);
        let (Some(old), Some(new)) = (line_of(&self.old), line_of(&self.new)) else {
            return Err("does not know both of them");
        };
        let follows_old = |role: &Role| matches!(role, Role::Replica { of } if *of == self.old);
        if new.role != Role::Primary || new.slots.is_empty() {
            Err("does not see it as a primary yet")
        } else if old.role == Role::Primary {
            Err("does not see the old primary as a replica yet")
        } else if view
            .nodes
            .iter()
            .any(|line| follows_old(&line.role) && answering.contains(&&line.id))
        {
            Err("sees a replica of the old primary yet")
        } else if !view.info.ok {
            Err("says that cluster_state is fail")
        } else {
            Ok(())
        }
    }
}

/// Has the replica `number` (from 0) take the place of its primary, and waits until every node
/// that answers knows.
pub async fn fail_over(context: &Context, number: usize) -> Result<()> {
    let (cluster, manifest) = context.existing()?;
    let mut fleet = Fleet::open(context, &cluster, &manifest)?;
    fleet.limit = fleet.limit.min(ANSWER);
    fleet.node_mut(number)?;
    let views = fleet.views().await;
    let succession = Succession::to(&fleet, &views, number)?;
    let patience = context.patience("the replica to take over");
    hand_over(&mut fleet, &succession, Witnesses::WhoAnswers, &patience).await
}

/// Asks the heir to take over, again if need be, and waits until the `witnesses` have heard of it.
pub(super) async fn hand_over(
    fleet: &mut Fleet,
    succession: &Succession,
    witnesses: Witnesses,
    patience: &Patience,
) -> Result<()> {
    let heir = succession.heir;
    let mut asked_again: Option<Instant> = None;
    let mut refusal: Option<NodeProblem> = None;
    loop {
        let views = fleet.views().await;
        let own = |view: &View| view.myself().map(|line| line.role.clone());
        let lines = views.iter().flatten().filter_map(View::myself);
        let answering: Vec<&NodeId> = lines.map(|line| &line.id).collect();
        let names = fleet.names();
        let lacks = |view: &Result<View, String>| match view {
            Ok(view) => succession
                .is_seen(view, &answering)
                .err()
                .map(str::to_owned),
            Err(why) => (witnesses == Witnesses::All).then(|| why.clone()),
        };
        let looked = names.iter().zip(&views);
        let mut problems: Vec<NodeProblem> = looked
            .filter_map(|(name, view)| Some(NodeProblem::new(name, lacks(view)?)))
            .collect();
        if problems.is_empty() && !answering.is_empty() {
            return Ok(());
        }
        if witnesses == Witnesses::All {
            fleet.refuse_dead_nodes()?;
        }
        let role = views.get(heir).and_then(|view| own(view.as_ref().ok()?));
        // It may have become what it shall be by an election, too.
        let is_replica = matches!(role, Some(Role::Replica { .. }));
        if is_replica && asked_again.is_none_or(|at| Instant::now() >= at) {
            let answer = fleet.connection(heir)?.fail_over().await;
            let next = match answer {
                Ok(()) => {
                    refusal = None;
                    GIVEN_UP
                }
                // A primary that is dead will never agree.
                Err(fault @ Fault::Server { .. })
                    if !fault.is_refusal() && answering.contains(&&succession.old) =>
                {
                    refusal = Some(fleet.problem(heir, &fault));
                    AGAIN
                }
                // It may have heard: then it takes over, or gives up.
                Err(fault @ Fault::Silent) => {
                    refusal = Some(fleet.problem(heir, &fault));
                    GIVEN_UP
                }
                Err(fault) => return Err(fleet.failure("the failover was refused", heir, &fault)),
            };
            asked_again = Some(Instant::now() + next);
        }
        problems.extend(refusal.clone());
        patience.pause(LOOK, || problems).await?;
    }
}
