//! `restart`: nodes end and start again, one after the other, and no data is lost on the way.
//!
//! What would come back without its data hands its slots to a replica first. Killed at any moment,
//! it leaves a cluster with at most one node too few, which `up`, `start` or `restart` starts.

use std::time::{Duration, Instant};

use super::answer::Answer;
use super::commands::user_conf;
use super::context::Context;
use super::failover::{Succession, Witnesses, hand_over};
use super::fleet::Fleet;
use super::start::{interrupted_forming, start_existing, usable_manifest};
use super::stop::{GRACE, StopResult, end_nodes};
use super::wish::{Forgetting, StartWish};
use crate::cluster::{NodeId, Role};
use crate::error::{Error, NodeProblem, Result};
use crate::event::Event;
use crate::plan::{End, Target, View, keeps};
use crate::store::{Cluster, Manifest};

/// How long a replica that was just started may take to be in sync: it tries each second.
const SYNC: Duration = Duration::from_secs(3);

/// A node that takes longer to answer hangs; it must not hold up looks at the others.
const HANGS: Duration = Duration::from_secs(2);

/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// What is to be restarted, and how.
#[derive(Clone, Debug)]
pub struct RestartWish {
    /// Which nodes; all if empty.
    pub targets: Vec<Target>,
    /// How long a node may take to end before it is killed.
    pub grace: Option<Duration>,
    /// What a primary that persists nothing holds may be lost.
    pub yes: bool,
    /// The deadline is one for all nodes, not one for each.
    pub one_deadline: bool,
}

/// What `restart` did.
#[derive(Clone, Debug)]
pub struct Restarted {
    /// The cluster as it is.
    pub answer: Answer,
    /// The nodes that were restarted, in that order: `127.0.0.1:30004`.
    pub nodes: Vec<String>,
}

/// Restarts nodes, one after the other.
pub async fn restart(context: &Context, wish: &RestartWish) -> Result<Restarted> {
    let (cluster, _lock) = context.lock_existing().await?;
    let manifest = usable_manifest(context, &cluster)
        .await?
        .ok_or_else(|| context.no_such_cluster())?;
    let mut work = Restart {
        context,
        wish,
        cluster: &cluster,
        done: Vec::new(),
        chosen: Vec::new(),
        clean: Vec::new(),
    };
    let targets = wish.targets.as_slice();
    // Who is meant is decided before anything is touched.
    let seen = super::status(context).await?;
    let chosen = match targets {
        [] => (0..manifest.nodes.len()).collect(),
        targets => seen.find(targets)?,
    };
    work.chosen.clone_from(&chosen);
    if interrupted_forming(&cluster, &manifest)?.is_some() {
        let answer = work.start(false).await?;
        // Empty ones are all made anew; of others only those start that did not run.
        let started = seen.nodes.iter().zip(&answer.nodes);
        let started = started
            .enumerate()
            .filter(|(_, (old, new))| old.pid != new.pid);
        let started = started.map(|(number, _)| number).collect();
        return Ok(work.restarted(answer, started));
    }
    let mut fleet = Fleet::open(context, &cluster, &manifest)?;
    fleet.refuse_elsewhere()?;
    let dead = fleet.numbers(|node| !node.runs());
    if dead.len() == fleet.nodes.len() {
        let answer = work.start(false).await?;
        return Ok(work.restarted(answer, dead));
    }
    fleet.limit = fleet.limit.min(HANGS);
    let views = fleet.views().await;
    let (silent, answering): (Vec<usize>, Vec<usize>) = (0..fleet.nodes.len())
        .filter(|number| chosen.contains(number) && !dead.contains(number))
        .partition(|number| views.get(*number).is_none_or(Result::is_err));
    // A dead node may be the replica in sync that is needed: then it is started before others are
    // looked at.
    if dead.is_empty() {
        work.check(&manifest, &[&silent[..], &answering].concat())
            .await?;
    } else {
        work.check(&manifest, &silent).await?;
    }
    drop(fleet);
    let started = dead.iter().filter(|number| chosen.contains(number));
    let started = started.filter_map(|number| manifest.nodes.get(*number));
    work.done
        .extend(started.map(|entry| entry.addr.to_string()));
    for number in silent {
        work.end(&manifest, number).await?;
        work.wait_for_heir(&manifest, number).await?;
    }
    let mut answer = work.start(wish.yes).await?;
    if !dead.is_empty() {
        work.check(&manifest, &answering).await?;
    }
    let is_formed = cluster.manifest()?.is_some_and(|manifest| manifest.formed);
    if is_formed {
        let replicas_first = in_order(&answer, &answering);
        for number in replicas_first {
            answer = work.one(number).await?;
        }
    } else {
        answer = work.all_at_once(&manifest, &answering).await?;
    }
    Ok(work.restarted(answer, Vec::new()))
}

struct Restart<'a> {
    context: &'a Context,
    wish: &'a RestartWish,
    cluster: &'a Cluster,
    done: Vec<String>,
    /// The numbers of the nodes that are meant.
    chosen: Vec<usize>,
    /// Those that ended by themselves, told to, and are not started again yet.
    clean: Vec<usize>,
}

/// What must happen before a node may end.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Before {
    /// Nothing: it keeps what it holds, or holds nothing that others have not.
    Nothing,
    /// This node, a replica of it in sync, must become the primary.
    FailOver(usize),
    /// What it holds will be lost, if none of its replicas gets in sync: why.
    Apart(String),
    /// What it holds will be lost: why.
    Loss(String),
}

impl Restart<'_> {
    fn restarted(mut self, mut answer: Answer, started: Vec<usize>) -> Restarted {
        answer.changed = true;
        answer.elapsed = self.context.began.elapsed();
        for number in started {
            let node = answer.nodes.get(number);
            self.done.extend(node.map(|node| node.addr.to_string()));
        }
        Restarted {
            answer,
            nodes: self.done,
        }
    }

    /// The context of one step: with a deadline of its own, unless one was given for all.
    fn step(&self) -> Context {
        let mut step = self.context.clone();
        if !self.wish.one_deadline {
            step.began = Instant::now();
        }
        step
    }

    /// Starts what does not run, and waits until the cluster is ready. With `may_forget` the chosen
    /// nodes may come back empty, and no others.
    async fn start(&mut self, may_forget: bool) -> Result<Answer> {
        let manifest = self.manifest()?;
        let allowed = if may_forget { &*self.chosen } else { &[] };
        let wish = StartWish {
            forgetting: Forgetting {
                allowed: allowed.to_vec(),
                clean: std::mem::take(&mut self.clean),
            },
            ..StartWish::default()
        };
        start_existing(&self.step(), self.cluster, manifest, &wish).await
    }

    fn manifest(&self) -> Result<Manifest> {
        self.cluster
            .manifest()?
            .ok_or_else(|| self.context.no_such_cluster())
    }

    /// Refuses what would lose data, naming all nodes at once. Replicas that are about to be in sync
    /// are given a moment.
    async fn check(&self, manifest: &Manifest, numbers: &[usize]) -> Result<()> {
        let began = Instant::now();
        let mut fleet = Fleet::open(self.context, self.cluster, manifest)?;
        fleet.limit = fleet.limit.min(HANGS);
        loop {
            let views = fleet.views().await;
            let mut losses = Vec::new();
            let mut may_pass = true;
            for &number in numbers {
                let before = self.before(manifest, &fleet, &views, number).await?;
                may_pass &= !matches!(before, Before::Loss(_));
                losses.extend(match before {
                    Before::Loss(why) | Before::Apart(why) => Some(why),
                    Before::Nothing | Before::FailOver(_) => None,
                });
            }
            if losses.is_empty() || self.wish.yes {
                return Ok(());
            }
            if !may_pass || began.elapsed() >= SYNC {
                return Err(Error::Unconfirmed {
                    what: format!(
                        "lose what nodes hold that persist nothing: {}",
                        losses.join("; ")
                    ),
                });
            }
            super::wait::moment(LOOK).await;
        }
    }

    /// What must happen before node `number` may end.
    async fn before(
        &self,
        manifest: &Manifest,
        fleet: &Fleet,
        views: &[Result<View, String>],
        number: usize,
    ) -> Result<Before> {
        let id = manifest
            .nodes
            .get(number)
            .and_then(|entry| entry.id.as_ref());
        let view = views.get(number).and_then(|view| view.as_ref().ok());
        // What a node that does not answer is, others know.
        let lines = views.iter().flatten().flat_map(|view| &view.nodes);
        let known = match view.and_then(View::myself) {
            Some(line) => Some(line),
            None => lines.into_iter().find(|line| Some(&line.id) == id),
        };
        if known.is_some_and(|line| line.role != Role::Primary) {
            return Ok(Before::Nothing);
        }
        let conf = user_conf(self.cluster, manifest, number)?;
        let connection = fleet
            .nodes
            .get(number)
            .and_then(|node| node.connection.as_ref());
        let connection = connection.filter(|_| view.is_some());
        let running = match connection {
            Some(connection) => {
                let asked = connection.persistence().await;
                let what = "its configuration could not be read";
                Some(asked.map_err(|fault| fleet.failure(what, number, &fault))?)
            }
            None => None,
        };
        // One that does not answer may have to be killed.
        let end = match connection {
            Some(_) => End::Clean,
            None => End::Unknown,
        };
        if keeps(&conf, running.as_ref(), end) {
            return Ok(Before::Nothing);
        }
        let name = fleet.names().get(number).cloned().unwrap_or_default();
        let replicas = replicas_of(id, views);
        if connection.is_none() {
            // Killed, it is succeeded by election, if a replica is in sync.
            return Ok(match best(&replicas) {
                Some(_) => Before::Nothing,
                None => Before::Apart(format!(
                    "{name} does not answer, and has no replica in sync"
                )),
            });
        }
        if let Some(heir) = best(&replicas) {
            return Ok(Before::FailOver(heir));
        }
        if !replicas.is_empty() {
            return Ok(Before::Apart(format!("{name} has no replica in sync")));
        }
        let contents = match connection {
            Some(connection) => connection.contents(fleet.seven).await,
            None => return Ok(Before::Nothing),
        };
        let what = "its keys could not be counted";
        let contents = contents.map_err(|fault| fleet.failure(what, number, &fault))?;
        Ok(if contents.is_empty() {
            Before::Nothing
        } else {
            Before::Loss(format!(
                "{name} holds keys or functions, and has no replica"
            ))
        })
    }

    /// Restarts nodes that are no cluster: nobody asks anything of them yet.
    async fn all_at_once(&mut self, manifest: &Manifest, numbers: &[usize]) -> Result<Answer> {
        for &number in numbers {
            if self.end(manifest, number).await? == StopResult::Stopped {
                self.clean.push(number);
            }
        }
        self.start(false).await
    }

    /// Restarts a node of a ready cluster.
    async fn one(&mut self, number: usize) -> Result<Answer> {
        let manifest = self.manifest()?;
        let mut fleet = Fleet::open(self.context, self.cluster, &manifest)?;
        let views = fleet.views().await;
        match self.before(&manifest, &fleet, &views, number).await? {
            Before::Nothing => {}
            Before::FailOver(heir) => self.fail_over(&mut fleet, &views, number, heir).await?,
            Before::Loss(why) | Before::Apart(why) if !self.wish.yes => {
                return Err(Error::Unconfirmed {
                    what: format!("lose what nodes hold that persist nothing: {why}"),
                });
            }
            Before::Loss(_) | Before::Apart(_) => {}
        }
        drop(fleet);
        if self.end(&manifest, number).await? == StopResult::Stopped {
            self.clean.push(number);
        } else {
            // Killed, it has written no last snapshot.
            self.wait_for_heir(&manifest, number).await?;
        }
        self.start(self.wish.yes).await
    }

    /// Makes node `heir` the primary in the place of `number`, and waits until every node sees it.
    async fn fail_over(
        &self,
        fleet: &mut Fleet,
        views: &[Result<View, String>],
        number: usize,
        heir: usize,
    ) -> Result<()> {
        let names = fleet.names();
        let name = |number: usize| names.get(number).cloned().unwrap_or_default();
        let step = self.step();
        let patience = step.patience(format!("{} to take over", name(heir)));
        let succession = Succession::to(fleet, views, heir)?;
        hand_over(fleet, &succession, Witnesses::All, &patience).await?;
        self.context.events.note(format!(
            "{} took over from {}, which persists nothing",
            name(heir),
            name(number)
        ));
        Ok(())
    }

    /// Ends node `number`, as `stop` does; says whether it had to be killed.
    async fn end(&mut self, manifest: &Manifest, number: usize) -> Result<StopResult> {
        let fleet = Fleet::observe(self.cluster, manifest)?;
        fleet.refuse_elsewhere()?;
        let name = fleet.names().get(number).cloned().unwrap_or_default();
        self.context.events.emit(Event::Stopping { nodes: 1 });
        let step = self.step();
        let patience = step.patience(format!("{name} to end"));
        let grace = self.wish.grace.unwrap_or(GRACE);
        let results = end_nodes(fleet, &[number], grace, &patience, &self.context.events).await?;
        self.done.push(name);
        Ok(results.get(&number).copied().unwrap_or(StopResult::WasDead))
    }

    /// Waits until a node that was killed, or may have been, and does not append what it is told to a
    /// file, has been succeeded by its replica, if it had one.
    async fn wait_for_heir(&self, manifest: &Manifest, number: usize) -> Result<()> {
        let conf = user_conf(self.cluster, manifest, number)?;
        if keeps(&conf, None, End::Unknown) || self.wish.yes {
            return Ok(());
        }
        let Some(id) = manifest
            .nodes
            .get(number)
            .and_then(|entry| entry.id.as_ref())
        else {
            return Ok(());
        };
        let step = self.step();
        let patience = step.patience("its replica to take over");
        let mut fleet = Fleet::open(self.context, self.cluster, manifest)?;
        loop {
            let views = fleet.views().await;
            let heirs = replicas_of(Some(id), &views);
            if heirs.is_empty() {
                return Ok(());
            }
            let names = fleet.names();
            let problems = heirs.iter().map(|(heir, _)| {
                let name = names.get(*heir).cloned().unwrap_or_default();
                NodeProblem::new(name, "has not taken over yet")
            });
            let problems = problems.collect();
            patience.pause(LOOK, || problems).await?;
        }
    }
}

/// Replicas before primaries, by what they are now.
fn in_order(answer: &Answer, numbers: &[usize]) -> Vec<usize> {
    let is_replica = |number: &usize| {
        let role = answer
            .nodes
            .get(*number)
            .and_then(|node| node.role.as_ref());
        matches!(role, Some(Role::Replica { .. }))
    };
    let (replicas, primaries): (Vec<usize>, Vec<usize>) =
        numbers.iter().copied().partition(is_replica);
    [replicas, primaries].concat()
}

/// The nodes that say they are replicas of `id`, with how far they are if they are in sync.
fn replicas_of(id: Option<&NodeId>, views: &[Result<View, String>]) -> Vec<(usize, Option<u64>)> {
    let numbered = views.iter().enumerate();
    let replicas = numbered.filter_map(|(number, view)| {
        let view = view.as_ref().ok()?;
        let Role::Replica { of } = &view.myself()?.role else {
            return None;
        };
        let state = view.replication;
        let in_sync = state.replica && state.link_up && !state.syncing;
        (Some(of) == id).then(|| (number, in_sync.then_some(state.offset)))
    });
    replicas.collect()
}

/// The replica in sync that is furthest.
fn best(replicas: &[(usize, Option<u64>)]) -> Option<usize> {
    let in_sync = replicas.iter().filter(|(_, offset)| offset.is_some());
    in_sync
        .max_by_key(|(_, offset)| *offset)
        .map(|(number, _)| *number)
}
