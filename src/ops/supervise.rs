//! `up --foreground`: staying with a cluster, telling what happens to its nodes, and starting again
//! those that failed.
//!
//! The cluster's lock is held only while something is done, so that every other verb works on the
//! cluster meanwhile; what they do is told apart from what befalls it.

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::time::{Duration, Instant};

use super::answer::Answer;
use super::clean::down;
use super::context::Context;
use super::fleet::{Fleet, Life, Node};
use super::follow::{Follower, LogStart, NodeLine, now};
use super::start::start_existing;
use super::stop::{replicas, stop};
use super::up::{Reached, raise};
use super::wait::moment;
use super::wish::StartWish;
use crate::cluster::LogTime;
use crate::error::{Error, NodeProblem, Result};
use crate::event::Event;
use crate::plan::Layout;
use crate::store::{Cluster, LOG_FILE, Lock, Manifest};

/// How often nodes are looked at while their logs say nothing.
const LOOK: Duration = Duration::from_millis(100);

/// How often it is looked whether somebody else has started nodes again.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// How often a primary without persistence is looked at whose replica is not promoted yet.
const PROMOTION: Duration = Duration::from_millis(250);

/// How long it takes until what failed is tried again, the first time.
const AGAIN: Duration = Duration::from_millis(500);

/// A node that failed this often within [`CRASH_TIME`] is left down.
const CRASHES: usize = 5;

/// See [`CRASHES`].
const CRASH_TIME: Duration = Duration::from_secs(60);

/// Which nodes that end are started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// None.
    Never,
    /// Those that did not end with 0.
    OnFailure,
}

/// Takes lines of logs as they come.
type Show<'a> = &'a mut dyn FnMut(&[NodeLine]) -> io::Result<()>;

/// A cluster that we stay with.
#[derive(Debug)]
pub struct Foreground {
    context: Context,
    restart: Restart,
    reached: Reached,
    was_ready: bool,
    began: LogTime,
    /// How long each node's log was before, by its port.
    logs: BTreeMap<u16, u64>,
}

impl Foreground {
    /// A cluster that is about to be brought up.
    pub fn new(context: &Context, restart: Restart) -> Self {
        Self {
            context: context.clone(),
            restart,
            reached: Reached::Nothing,
            was_ready: false,
            began: now(),
            logs: BTreeMap::new(),
        }
    }

    /// Whether there was no such cluster before: then its data is nobody else's.
    pub fn is_made_here(&self) -> bool {
        self.reached == Reached::Made
    }

    /// As `up` does.
    pub async fn up(&mut self, wish: &StartWish) -> Result<Answer> {
        self.logs = log_sizes(&self.context);
        let answer = raise(&self.context, wish, &mut self.reached).await?;
        self.was_ready = true;
        Ok(answer)
    }

    /// After a failure: deletes what was made here and never was ready; of what was, the data and the
    /// logs are left to be looked at, and no node runs. Nodes get `grace` to end by themselves, or what
    /// `stop` gives them.
    pub async fn give_up(&self, grace: Option<Duration>) -> Result<()> {
        let context = self.now();
        match self.reached {
            Reached::Made if !self.was_ready => down(&context, grace).await.map(drop),
            Reached::Made => stop(&context, grace).await.map(drop),
            Reached::Nothing | Reached::Found => Ok(()),
        }
    }

    /// The context, with a deadline that begins now.
    fn now(&self) -> Context {
        Context {
            began: Instant::now(),
            ..self.context.clone()
        }
    }

    /// Shows what the nodes write, says when one ends, and starts it again if that is wished.
    /// Returns when somebody else has stopped the cluster; that all nodes failed is an error.
    pub async fn watch(&self, show: Show<'_>) -> Result<()> {
        let context = &self.context;
        let Some(cluster) = context.home.cluster(&context.name)? else {
            return Ok(());
        };
        let Some(manifest) = cluster.manifest()? else {
            return Ok(());
        };
        let mut follower = Follower::new(&cluster, Some(self.began));
        for (number, entry) in manifest.nodes.iter().enumerate() {
            let seen = self.logs.get(&entry.addr.port).copied().unwrap_or(0);
            follower.add(number + 1, entry.addr, LogStart::At(seen));
        }
        let mut watch = Watch {
            context,
            cluster: &cluster,
            manifest: &manifest,
            fleet: Fleet::observe(&cluster, &manifest)?,
            replicas: replicas(&cluster, &manifest),
            looked: Instant::now(),
            deaths: BTreeMap::new(),
            crashes: BTreeMap::new(),
            due: Vec::new(),
        };
        let mut work: Option<Pin<Box<dyn Future<Output = Result<()>>>>> = None;
        loop {
            let lines = tokio::select! {
                lines = follower.next(LOOK) => lines,
                done = async { work.as_mut()?.await.err() }, if work.is_some() => {
                    work = None;
                    if let Some(error) = done {
                        watch.gives_up(&error);
                    }
                    watch.look_again()?;
                    continue;
                }
            };
            show(&lines).map_err(Error::unwritten)?;
            if !watch.look(self.restart)? && work.is_none() {
                // What they wrote last explains their end.
                let last = follower.read();
                show(&last).ok();
                return watch.over();
            }
            if work.is_none() && !watch.due.is_empty() {
                watch.due.clear();
                work = Some(Box::pin(start_again(context.clone())));
            }
        }
    }

    /// Ends the nodes; deletes a cluster that was made here, and leaves alone one that was never ours to
    /// touch, because somebody else had its lock. Nodes get `grace` to end by themselves, or what `stop`
    /// gives them.
    pub async fn tear_down(&self, grace: Option<Duration>) -> Result<()> {
        let context = self.now();
        match self.reached {
            Reached::Nothing => return Ok(()),
            Reached::Made => return down(&context, grace).await.map(drop),
            Reached::Found => {}
        }
        match stop(&context, grace).await {
            // Somebody else has cleared it away.
            Err(Error::NoSuchCluster { .. }) => Ok(()),
            done => done.map(drop),
        }
    }
}

/// How long the logs of a cluster are that there may be, by the ports of its nodes. What cannot be read
/// now is read from its start later.
fn log_sizes(context: &Context) -> BTreeMap<u16, u64> {
    let Ok(Some(cluster)) = context.home.cluster(&context.name) else {
        return BTreeMap::new();
    };
    let Ok(Some(manifest)) = cluster.manifest() else {
        return BTreeMap::new();
    };
    let ports = manifest.nodes.iter().map(|entry| entry.addr.port);
    let size = |port: u16| {
        let dir = cluster.node(port).ok()??;
        let log = dir.open_file(LOG_FILE).ok()??;
        Some((port, log.metadata().ok()?.len()))
    };
    ports.filter_map(size).collect()
}

/// Starts what does not run. A primary that would come back empty waits until a replica has taken
/// its place, and is left down if none does; what fails is tried again a few times.
async fn start_again(context: Context) -> Result<()> {
    let mut waiting: Option<Instant> = None;
    let mut tries = 1;
    loop {
        let context = Context {
            began: Instant::now(),
            ..context.clone()
        };
        match try_start(&context).await {
            Err(Error::Unsafe { message, hint }) => {
                let since = waiting.get_or_insert_with(|| {
                    context.events.note(format!("waiting: {message}"));
                    Instant::now()
                });
                if since.elapsed() > context.timeout {
                    return Err(Error::Unsafe { message, hint });
                }
                moment(PROMOTION).await;
            }
            Err(error) if tries < CRASHES => {
                context
                    .events
                    .note(format!("not started again yet: {error}"));
                moment(AGAIN * tries.try_into().unwrap_or(1)).await;
                tries += 1;
            }
            done => return done,
        }
    }
}

/// Starts what does not run, unless a verb has stopped the cluster meanwhile.
async fn try_start(context: &Context) -> Result<()> {
    let Some((cluster, _lock)) = context.lock(false).await? else {
        return Ok(());
    };
    let Some(manifest) = cluster.manifest()? else {
        return Ok(());
    };
    let processes = cluster.processes()?.unwrap_or_default();
    if manifest.cleaning || processes.stopping || processes.nodes.is_empty() {
        return Ok(());
    }
    start_existing(context, &cluster, manifest, &StartWish::default())
        .await
        .map(drop)
}

/// How a process has ended. Those that we have spawned are ours to wait for, and only they say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    Success,
    Failure,
    Unknown,
}

/// A node's death, if it has ended since it was looked at last, and how.
fn death(node: &mut Node) -> Option<(NodeProblem, Exit)> {
    let status = match &node.life {
        Life::Process(process) if process.has_ended() => process.reap(),
        _ => None,
    };
    let mut death = node.runs().then(|| node.death())??;
    if let Some(status) = status {
        let how = format!("ended with {status}");
        death.message = death.message.replacen("has ended", &how, 1);
    }
    let exit = match status.map(|status| status.success()) {
        Some(true) => Exit::Success,
        Some(false) => Exit::Failure,
        None => Exit::Unknown,
    };
    Some((death, exit))
}

/// What is known of the nodes that are watched.
struct Watch<'a> {
    context: &'a Context,
    cluster: &'a Cluster,
    manifest: &'a Manifest,
    fleet: Fleet,
    /// The numbers of replicas, before anything befell the cluster.
    replicas: Vec<usize>,
    /// When it was last looked for nodes that others have started again.
    looked: Instant,
    /// How each node ended last.
    deaths: BTreeMap<usize, String>,
    /// When each node has failed.
    crashes: BTreeMap<usize, Vec<Instant>>,
    /// Nodes that are to be started again.
    due: Vec<usize>,
}

impl Watch<'_> {
    /// Looks at every node; says whether any runs, or will.
    fn look(&mut self, restart: Restart) -> Result<bool> {
        for number in 0..self.fleet.nodes.len() {
            let Some((death, exit)) = self.fleet.nodes.get_mut(number).and_then(death) else {
                continue;
            };
            if !self.is_deliberate(number)? {
                self.died(number, &death, exit, restart);
            }
        }
        let runs = self.fleet.nodes.iter().any(Node::runs);
        let all_run = self.fleet.nodes.iter().all(Node::runs);
        if self.looked.elapsed() >= LOOK_AGAIN {
            self.refuse_lost_directory()?;
            if all_run {
                self.looked = Instant::now();
            } else {
                self.look_again()?;
            }
        }
        Ok(runs || !self.due.is_empty() || self.fleet.nodes.iter().any(Node::runs))
    }

    /// Whether a node that has ended was stopped by a verb.
    fn is_deliberate(&self, number: usize) -> Result<bool> {
        let Some(processes) = self.cluster.processes()? else {
            return Ok(true);
        };
        let port = self.manifest.nodes.get(number).map(|entry| entry.addr.port);
        let is_known = port.is_some_and(|port| processes.nodes.contains_key(&port));
        Ok(processes.stopping || !is_known)
    }

    /// Ends the nodes, and fails, if somebody has deleted the cluster below them: no verb would find
    /// them any more.
    fn refuse_lost_directory(&self) -> Result<()> {
        let is_there = || Ok::<_, Error>(self.cluster.manifest()?.is_some());
        if is_there()? {
            return Ok(());
        }
        let running = self.fleet.nodes.iter().filter(|node| node.runs());
        let mut ended = Vec::new();
        for node in running {
            if let Life::Process(process) = &node.life {
                process.kill().map_err(|source| Error::Io {
                    what: format!("signal {}", node.addr),
                    source,
                })?;
                ended.push(NodeProblem::new(node.addr, "was ended"));
            }
        }
        if ended.is_empty() {
            return Ok(());
        }
        Err(Error::Nodes {
            message: format!(
                "{} was deleted while its nodes ran",
                self.cluster.path().display()
            ),
            nodes: ended,
            hint: None,
        })
    }

    /// The verb of another rcluster that is at work on the cluster: `pid 4711 (restart)`.
    fn at_work(&self) -> Option<String> {
        let us = format!("pid {} ", std::process::id());
        let holder = Lock::holder(self.cluster).ok().flatten();
        holder.filter(|holder| !holder.starts_with(&us))
    }

    fn died(&mut self, number: usize, death: &NodeProblem, exit: Exit, restart: Restart) {
        self.deaths.insert(number, death.message.clone());
        // A verb that is at work has ended it, and does what is to be done about it.
        if exit != Exit::Failure
            && let Some(holder) = self.at_work()
        {
            let node = death.node.clone();
            let events = &self.context.events;
            events.note(format!("{node} was ended by {holder}"));
            return;
        }
        self.context.events.emit(Event::Died {
            node: format!("{}, {}", death.node, self.role(number)),
            how: death.message.clone(),
        });
        if exit == Exit::Success || restart == Restart::Never {
            return;
        }
        let crashes = self.crashes.entry(number).or_default();
        crashes.retain(|at| at.elapsed() < CRASH_TIME);
        crashes.push(Instant::now());
        if crashes.len() >= CRASHES {
            self.context.events.note(format!(
                "{} has failed {CRASHES} times within a minute, and is left down",
                death.node
            ));
            return;
        }
        self.due.push(number);
    }

    fn role(&self, number: usize) -> String {
        let spec = &self.manifest.spec;
        let shard = Layout::new(spec.primaries, spec.replicas).shard_of(number);
        let role = if self.replicas.contains(&number) {
            "replica"
        } else {
            "primary"
        };
        shard.map_or(role.to_owned(), |shard| {
            format!("{role} of shard {}", shard + 1)
        })
    }

    /// Takes note of nodes that run again.
    fn look_again(&mut self) -> Result<()> {
        self.looked = Instant::now();
        let mut fleet = Fleet::observe(self.cluster, self.manifest)?;
        for (now, before) in fleet.nodes.iter_mut().zip(&mut self.fleet.nodes) {
            match (before.pid(), now.pid()) {
                // It has ended since it was looked at: that is still to be told, and it to be reaped.
                (Some(_), None) => std::mem::swap(now, before),
                (before, Some(pid)) if before != Some(pid) => {
                    let addr = now.addr;
                    let events = &self.context.events;
                    events.note(format!("{addr} runs again (pid {pid})"));
                }
                _ => {}
            }
        }
        self.replicas = replicas(self.cluster, self.manifest);
        self.fleet = fleet;
        Ok(())
    }

    fn gives_up(&self, error: &Error) {
        let hint = error
            .hint()
            .map(|hint| format!("; {hint}"))
            .unwrap_or_default();
        self.context
            .events
            .note(format!("not started again: {error}{hint}"));
    }

    /// No node runs: because somebody stopped them, or because they failed.
    fn over(&self) -> Result<()> {
        let numbers = 0..self.fleet.nodes.len();
        let mut failed = Vec::new();
        for number in numbers {
            if !self.is_deliberate(number)? {
                let how = self
                    .deaths
                    .get(&number)
                    .map_or("does not run", String::as_str);
                let node = self.fleet.nodes.get(number);
                // Its log was shown as it came.
                failed.extend(node.map(|node| NodeProblem::new(node.addr, how)));
            }
        }
        if failed.is_empty() {
            self.context
                .events
                .note(format!("cluster \"{}\" was stopped", self.context.name));
            return Ok(());
        }
        if !self.manifest.spec.ephemeral {
            let events = &self.context.events;
            events.note("data and logs are kept: `{rcluster} up` goes on with them, `{rcluster} down` deletes them");
        }
        Err(Error::Nodes {
            message: "no node runs any more".into(),
            nodes: failed,
            hint: None,
        })
    }
}
