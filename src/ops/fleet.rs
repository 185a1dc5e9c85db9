//! The nodes of a cluster as we meet them: their processes and our connections to them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::future::join_all;

use super::access::access;
use super::context::Context;
use super::programs::{agree_on_shards, know_seven};
use super::wait::Patience;
use crate::client::{Access, Connection, Fault};
use crate::cluster::{Info, NodeAddr};
use crate::error::{Error, NodeProblem, Result};
use crate::plan::View;
use crate::server::{self, Child};
use crate::store::{Cluster, LOG_FILE, Manifest, Processes, Started};
use crate::sys::process::{Found, Process, find, find_intended};
use crate::sys::sockets;

/// How long one command to a node may take. Generous: many nodes on few cores are slow at first.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// The same while nodes are formed, if the verb may take as long: a busy machine takes the processor
/// from a server for seconds, and what was begun should be brought to its end.
pub(super) const FORMING_LIMIT: Duration = Duration::from_secs(20);

/// How many lines of a dead server's log are shown.
const LOG_LINES: usize = 8;

/// What holds a node up.
#[derive(Debug)]
pub(super) enum Life {
    /// Nothing: it does not run.
    Dead,
    /// It was started on another machine or in another container.
    Elsewhere,
    /// A process that was started before.
    Process(Process),
    /// A process that this run spawned.
    Child(Child),
}

/// One node.
#[derive(Debug)]
pub(super) struct Node {
    /// Where it listens.
    pub(super) addr: NodeAddr,
    /// Where its peers reach it.
    pub(super) known_as: NodeAddr,
    /// Its process.
    pub(super) life: Life,
    /// Our connection to it, once it answered as the process we mean.
    pub(super) connection: Option<Connection>,
    /// Its log.
    pub(super) log: PathBuf,
    /// How its process ended, if it ended while we looked on.
    end: Option<String>,
    /// Whether this run spawned it.
    spawned: bool,
}

impl Node {
    /// Node `number` (from 0) of `manifest`, at `addr`, with the process `life`.
    pub(super) fn new(
        cluster: &Cluster,
        manifest: &Manifest,
        number: usize,
        addr: NodeAddr,
        life: Life,
    ) -> Self {
        let log = cluster.node_path(addr.port).join(LOG_FILE);
        Self {
            addr,
            known_as: manifest.spec.known_as(number, addr),
            life,
            connection: None,
            log,
            end: None,
            spawned: false,
        }
    }

    /// Its PID, if it runs.
    pub(super) fn pid(&self) -> Option<i32> {
        match &self.life {
            Life::Process(process) => Some(process.pid()),
            Life::Child(child) => Some(child.pid()),
            Life::Dead | Life::Elsewhere => None,
        }
    }

    /// Whether it ran a moment ago.
    pub(super) fn runs(&self) -> bool {
        self.pid().is_some()
    }

    /// Looks whether its process has ended; then how, in words.
    pub(super) fn has_ended(&mut self) -> Option<String> {
        let how = match &mut self.life {
            Life::Elsewhere => return Some("cannot be seen from here".into()),
            Life::Dead => return Some(self.end.clone().unwrap_or_else(|| "does not run".into())),
            Life::Process(process) => process.has_ended().then(|| "has ended".to_owned()),
            Life::Child(child) => match child.ended() {
                Ok(Some(status)) => Some(format!("ended with {status}")),
                Ok(None) | Err(_) => None,
            },
        }?;
        self.spawned = matches!(self.life, Life::Child(_));
        self.life = Life::Dead;
        self.connection = None;
        self.end = Some(how.clone());
        Some(how)
    }

    /// Looks again for its process, by what is written down now: somebody may have started it anew.
    /// Says whether rcluster ended it, as far as that is written down.
    pub(super) fn find_again(&mut self, cluster: &Cluster) -> bool {
        let Ok(processes) = cluster.processes() else {
            return false;
        };
        let processes = processes.unwrap_or_default();
        if let Ok(life) = life_of(cluster, &processes, self.addr.port) {
            self.life = life;
        }
        processes.stopping || !processes.nodes.contains_key(&self.addr.port)
    }

    /// Its death, if it has ended: how, why, and the end of its log.
    pub(super) fn death(&mut self) -> Option<NodeProblem> {
        let how = self.has_ended()?;
        let mut problem = NodeProblem::new(self.addr, &*how);
        if let Ok(end) = server::log_end(&self.log) {
            if let Some(reason) = server::fatal_line(&end) {
                problem.message = format!("{how}: {reason}");
            }
            problem.log = server::tail(&end, LOG_LINES);
        }
        Some(problem)
    }

    /// Connects, and makes sure that who answers is the process we mean.
    pub(super) async fn connect(&mut self, access: &Access, limit: Duration) -> Result<(), Fault> {
        if self.connection.is_some() {
            return Ok(());
        }
        // TLS proves who answers; without it a password would be told to whoever took the port
        // that a server of ours was to get. One that ran before has it.
        if access.password.is_some()
            && access.tls.is_none()
            && let Life::Child(child) = &self.life
            && sockets::listens(child.pid(), self.addr.port) == Some(false)
        {
            return Err(Fault::Unreachable {
                why: "it does not listen yet".into(),
                refused: true,
            });
        }
        let opened = Connection::open(self.addr, access, limit).await?;
        self.connection = Some(self.admit(opened)?);
        Ok(())
    }

    /// A connection of its own, on which answers may take any time: to the process we mean.
    pub(super) async fn converse(
        &self,
        access: &Access,
        limit: Duration,
    ) -> Result<Connection, Fault> {
        if !self.runs() {
            return Err(Fault::Foreign(None));
        }
        self.admit(Connection::open_patient(self.addr, access, limit).await?)
    }

    /// Lets only the process we mean be spoken to: a stranger on the port answers PING too.
    fn admit(&self, (connection, info): (Connection, Info)) -> Result<Connection, Fault> {
        let answered = info.number("process_id");
        if answered.and_then(|pid| i32::try_from(pid).ok()) != self.pid() {
            return Err(Fault::Foreign(answered));
        }
        Ok(connection)
    }

    /// What it sees, told within `limit`. Reconnects if the connection broke.
    pub(super) async fn view(
        &mut self,
        shards: bool,
        access: &Access,
        limit: Duration,
    ) -> Result<View, String> {
        if let Some(how) = self.has_ended() {
            return Err(how);
        }
        let result = async {
            self.connect(access, limit).await?;
            match &self.connection {
                Some(connection) => connection.view_within(shards, limit).await,
                None => Err(Fault::Silent),
            }
        }
        .await;
        result.map_err(|fault| {
            if fault.breaks_connection() {
                self.connection = None;
            }
            fault.to_string()
        })
    }
}

/// All nodes of a cluster, numbered from 0 in the order of the manifest.
#[derive(Debug)]
pub(super) struct Fleet {
    pub(super) nodes: Vec<Node>,
    /// Whether the servers know what came with 7.0.
    pub(super) seven: bool,
    /// Whether what they say in `CLUSTER SHARDS` counts.
    pub(super) shards: bool,
    /// How we come in.
    pub(super) access: Access,
    /// How long one command may take.
    pub(super) limit: Duration,
}

impl Fleet {
    /// The nodes of `manifest`, with those of their processes that live, to be spoken to.
    pub(super) fn open(context: &Context, cluster: &Cluster, manifest: &Manifest) -> Result<Self> {
        let mut fleet = Self::observe(cluster, manifest)?.within(context);
        fleet.access = access(cluster, manifest)?;
        Ok(fleet)
    }

    /// The same, to be looked at and ended: that needs no way in.
    pub(super) fn observe(cluster: &Cluster, manifest: &Manifest) -> Result<Self> {
        let processes = cluster.processes()?.unwrap_or_default();
        let nodes = manifest
            .nodes
            .iter()
            .enumerate()
            .map(|(number, entry)| {
                let life = life_of(cluster, &processes, entry.addr.port)?;
                Ok(Node::new(cluster, manifest, number, entry.addr, life))
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            nodes,
            seven: know_seven(manifest),
            shards: know_seven(manifest) && agree_on_shards(manifest),
            access: Access::default(),
            limit: ANSWER_LIMIT,
        })
    }

    /// The same, with commands that take no longer than `context` lets the verb take.
    pub(super) fn within(mut self, context: &Context) -> Self {
        self.limit = self
            .limit
            .min(context.timeout.max(Duration::from_millis(100)));
        self
    }

    /// Waits for answers for as long as forming may take, from now on.
    pub(super) fn wait_longer(&mut self, context: &Context) {
        self.limit = self.limit.max(FORMING_LIMIT.min(context.timeout));
        for connection in self
            .nodes
            .iter_mut()
            .filter_map(|node| node.connection.as_mut())
        {
            connection.answers_within(self.limit);
        }
    }

    /// How nodes are called in messages.
    pub(super) fn names(&self) -> Vec<String> {
        self.nodes
            .iter()
            .map(|node| node.addr.to_string())
            .collect()
    }

    /// Refuses to work on nodes that may run where we cannot see them.
    pub(super) fn refuse_elsewhere(&self) -> Result<()> {
        let elsewhere: Vec<_> = self
            .nodes
            .iter()
            .filter(|node| matches!(node.life, Life::Elsewhere))
            .collect();
        match elsewhere.first() {
            None => Ok(()),
            Some(node) => Err(Error::Unsafe {
                message: format!(
                    "{} of {} nodes ({}…) were started on another machine or in another container, and may still run there",
                    elsewhere.len(),
                    self.nodes.len(),
                    node.addr
                ),
                hint: self.cure_for_elsewhere(&node.log),
            }),
        }
    }

    /// What to do about nodes that may run elsewhere; `log` is that of one of them. The record of
    /// processes may go only if none of them runs anywhere: without it every node counts as dead, so
    /// that one that lives would be given a second server on its data.
    fn cure_for_elsewhere(&self, log: &Path) -> String {
        let record = log.ancestors().nth(3).map(|dir| dir.join("processes.json"));
        match record {
            Some(record) if !self.nodes.iter().any(Node::runs) => format!(
                "stop the cluster there; only if that container or machine is gone for good, or was restarted since, so that no node runs any more, delete {}",
                record.display()
            ),
            _ => "stop the cluster there".into(),
        }
    }

    /// Refuses while any node runs.
    pub(super) fn refuse_running(&self) -> Result<()> {
        let running = self.nodes.iter().filter(|node| node.runs()).count();
        if running == 0 {
            return Ok(());
        }
        Err(Error::Unsafe {
            message: format!("{running} of {} nodes run", self.nodes.len()),
            hint: "stop them (`{rcluster} stop`, or `{rcluster} down` for both)".into(),
        })
    }

    /// Connects to every living node at once.
    pub(super) async fn connect(&mut self) -> Result<(), Vec<(NodeProblem, Fault)>> {
        let (access, limit) = (&self.access, self.limit);
        let living = self.nodes.iter_mut().filter(|node| node.runs());
        let tasks = living.map(async |node| {
            let fault = node.connect(access, limit).await.err()?;
            let stopped = matches!(&node.life, Life::Process(process) if process.is_stopped());
            let message = if stopped {
                "is stopped (SIGSTOP)".to_owned()
            } else {
                fault.to_string()
            };
            Some((NodeProblem::new(node.addr, message), fault))
        });
        let problems: Vec<_> = join_all(tasks).await.into_iter().flatten().collect();
        if problems.is_empty() {
            Ok(())
        } else {
            Err(problems)
        }
    }

    /// Drops connections that broke at the last look at all nodes, and makes them anew. Who cannot be
    /// reached now is seen at the next look; fails if a node refuses for want of rights.
    ///
    /// A server closes a connection that waits in `WAIT` when it becomes a replica
    /// (`disconnectAllBlockedClients`).
    pub(super) async fn reconnect_broken<T>(&mut self, looks: &[Result<T, Fault>]) -> Result<()> {
        for (node, look) in self.nodes.iter_mut().zip(looks) {
            if matches!(look, Err(fault) if fault.breaks_connection()) {
                node.connection = None;
            }
        }
        let problems = self.connect().await.err();
        refuse_refused(&problems.unwrap_or_default())
    }

    /// Connects to every living node, and waits for those that do not answer yet. Fails at once
    /// if one ends meanwhile, or refuses for want of rights.
    pub(super) async fn connect_all(
        &mut self,
        context: &Context,
        patience: &Patience,
    ) -> Result<()> {
        let mut said = false;
        while let Err(problems) = self.connect().await {
            refuse_refused(&problems)?;
            self.refuse_dead_nodes()?;
            if let Some((problem, _)) = problems
                .first()
                .filter(|_| !std::mem::replace(&mut said, true))
            {
                context.events.note(format!(
                    "waiting for {}, which {}",
                    problem.node, problem.message
                ));
            }
            let missing = || problems.into_iter().map(|(problem, _)| problem).collect();
            patience.pause(Duration::from_millis(20), missing).await?;
        }
        Ok(())
    }

    /// Whether nodes have ended while we looked on, and none of them was spawned by us.
    pub(super) fn only_old_nodes_died(&self) -> bool {
        let ended = || self.nodes.iter().filter(|node| node.end.is_some());
        ended().count() > 0 && ended().all(|node| !node.spawned)
    }

    /// Fails at once if any process has ended, or if a node has refused a command for want of
    /// rights: waiting cures neither.
    pub(super) fn refuse_dead_nodes(&mut self) -> Result<()> {
        let nodes: Vec<NodeProblem> = self.nodes.iter_mut().filter_map(Node::death).collect();
        if !nodes.is_empty() {
            return Err(Error::NodesDied {
                nodes,
                left: String::new(),
            });
        }
        self.refuse_refusals()
    }

    /// Fails if a node has refused a command for want of rights.
    pub(super) fn refuse_refusals(&self) -> Result<()> {
        let refusals = self.nodes.iter().filter_map(|node| {
            let message = node.connection.as_ref()?.refusal()?.to_owned();
            let node = node.addr.to_string();
            Some(Error::Refused { node, message })
        });
        refusals.take(1).try_for_each(Err)
    }

    /// Asks every node for what it sees.
    pub(super) async fn views(&mut self) -> Vec<Result<View, String>> {
        let (shards, access, limit) = (self.shards, &self.access, self.limit);
        let views = self
            .nodes
            .iter_mut()
            .map(|node| node.view(shards, access, limit));
        join_all(views).await
    }

    /// The same, having connected to every living node first; and which could not be connected to.
    /// Nobody is waited for twice.
    pub(super) async fn connect_and_view(
        &mut self,
    ) -> (Vec<Result<View, String>>, Vec<(NodeProblem, Fault)>) {
        let problems = self.connect().await.err().unwrap_or_default();
        let (shards, access, limit) = (self.shards, &self.access, self.limit);
        let unheard = |node: &Node| {
            let addr = node.addr.to_string();
            let problem = problems.iter().find(|(problem, _)| problem.node == addr);
            problem.map(|(problem, _)| problem.message.clone())
        };
        let views = self.nodes.iter_mut().map(async |node| match unheard(node) {
            Some(message) => Err(node.has_ended().unwrap_or(message)),
            None => node.view(shards, access, limit).await,
        });
        (join_all(views).await, problems)
    }

    /// The same, once every node answers: one that loads its data does not, for a while.
    pub(super) async fn settled_views(
        &mut self,
        context: &Context,
    ) -> Result<Vec<Result<View, String>>> {
        let patience = context.patience("every node to answer");
        loop {
            let views = self.views().await;
            let nodes = self.nodes.iter().zip(&views);
            let silent: Vec<NodeProblem> = nodes
                .filter_map(|(node, view)| {
                    Some(NodeProblem::new(node.addr, view.as_ref().err()?.clone()))
                })
                .collect();
            if silent.is_empty() {
                return Ok(views);
            }
            self.refuse_dead_nodes()?;
            patience.pause(Duration::from_millis(20), || silent).await?;
        }
    }

    /// Does `work` on every connected node at once, given its number; the first failure is the error.
    pub(super) async fn each<'a, F>(
        &'a self,
        what: &str,
        work: impl Fn(usize, &'a Connection) -> F,
    ) -> Result<()>
    where
        F: Future<Output = Result<(), Fault>>,
    {
        let work = &work;
        let tasks = self.nodes.iter().enumerate().filter_map(|(number, node)| {
            let connection = node.connection.as_ref()?;
            Some(async move { (number, work(number, connection).await) })
        });
        let mut problems = Vec::new();
        for (number, result) in join_all(tasks).await {
            if let Err(fault) = result {
                if fault.is_refusal() {
                    let NodeProblem { node, message, .. } = self.problem(number, &fault);
                    return Err(Error::Refused { node, message });
                }
                problems.push(self.problem(number, &fault));
            }
        }
        if problems.is_empty() {
            Ok(())
        } else {
            Err(failed(what, problems))
        }
    }

    /// Has `node` MEET the nodes `peers`, by number, at the addresses that peers know them by.
    pub(super) async fn introduce(
        &self,
        node: &Connection,
        peers: impl Iterator<Item = usize>,
    ) -> Result<(), Fault> {
        let known_as = |number: usize| self.nodes.get(number).map(|node| node.known_as);
        let peers: Vec<NodeAddr> = peers.filter_map(known_as).collect();
        node.meet(&peers).await
    }

    /// Node `number` (from 0), which somebody named.
    pub(super) fn node_mut(&mut self, number: usize) -> Result<&mut Node> {
        let count = self.nodes.len();
        self.nodes.get_mut(number).ok_or_else(|| {
            Error::usage(
                format!("there is no node {}", number + 1),
                format!("nodes are 1 to {count}"),
            )
        })
    }

    /// The connection to node `number`, which must be there.
    pub(super) fn connection(&self, number: usize) -> Result<&Connection> {
        self.nodes
            .get(number)
            .and_then(|node| node.connection.as_ref())
            .ok_or_else(|| {
                let name = self
                    .nodes
                    .get(number)
                    .map_or(format!("node {}", number + 1), |node| node.addr.to_string());
                failed(
                    "a node is not there any more",
                    vec![NodeProblem::new(name, "is not connected")],
                )
            })
    }

    /// The error of work that failed on node `number`.
    pub(super) fn failure(&self, what: &str, number: usize, fault: &Fault) -> Error {
        let problem = self.problem(number, fault);
        if fault.is_refusal() {
            let NodeProblem { node, message, .. } = problem;
            return Error::Refused { node, message };
        }
        failed(what, vec![problem])
    }

    /// A node's trouble, with its name.
    pub(super) fn problem(&self, number: usize, fault: &Fault) -> NodeProblem {
        let name = self
            .nodes
            .get(number)
            .map_or(String::new(), |node| node.addr.to_string());
        NodeProblem::new(name, fault.to_string())
    }

    /// Whether nodes `test` as asked, by number.
    pub(super) fn numbers(&self, test: impl Fn(&Node) -> bool) -> Vec<usize> {
        (0..self.nodes.len())
            .filter(|&number| self.nodes.get(number).is_some_and(&test))
            .collect()
    }
}

/// Fails if a node could not be connected to for want of rights.
fn refuse_refused(problems: &[(NodeProblem, Fault)]) -> Result<()> {
    let refused = problems.iter().find(|(_, fault)| fault.is_refusal());
    refused.map_or(Ok(()), |(NodeProblem { node, message, .. }, _)| {
        Err(Error::Refused {
            node: node.clone(),
            message: message.clone(),
        })
    })
}

/// The error of work that failed on some nodes.
pub(super) fn failed(what: &str, nodes: Vec<NodeProblem>) -> Error {
    Error::Nodes {
        message: what.to_owned(),
        nodes,
        hint: None,
    }
}

/// Whether a process works in the directory of the same node of another cluster: of the one that ours was
/// copied from, with what was written down of its processes.
fn is_the_originals(cluster: &Cluster, process: &Process, port: u16) -> bool {
    let ours = cluster.node(port).ok().flatten();
    let ours = ours.and_then(|dir| dir.id().ok());
    process
        .working_dir()
        .zip(ours)
        .is_some_and(|((path, id), ours)| {
            id != ours
                && path.ends_with(Path::new("nodes").join(port.to_string()))
                && path.ancestors().nth(2).is_some_and(Manifest::is_in)
        })
}

fn life_of(cluster: &Cluster, processes: &Processes, port: u16) -> Result<Life> {
    let Some(Started {
        epoch,
        intent,
        record,
    }) = processes.nodes.get(&port)
    else {
        return Ok(Life::Dead);
    };
    let found = match record {
        Some(record) => find(epoch, record),
        None => find_intended(epoch, intent),
    };
    let found = found.map_err(|source| Error::Io {
        what: "look for processes in /proc".into(),
        source,
    })?;
    Ok(match found {
        Found::Running(process) if is_the_originals(cluster, &process, port) => Life::Dead,
        Found::Running(process) => Life::Process(process),
        Found::Dead => Life::Dead,
        Found::Elsewhere => Life::Elsewhere,
    })
}
