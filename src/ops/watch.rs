//! `watch`: looks at every node again and again, until nobody wants to know any more.
//!
//! Every node has a task of its own, with its own connection, that is kept open. A node that does
//! not answer holds up nobody, and gets no second question before it has answered the first: it would
//! find them all when it wakes up. A cluster that goes away is looked for until it is there again.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

use super::context::Context;
use super::fleet::{Fleet, Life, Node};
use super::wait::{self, Beat};
use crate::client::{Access, Fault};
use crate::error::{Error, Result};
use crate::plan::watch::{Found, Look, Seen, Watched, WatchedNode};
use crate::server;
use crate::store::{Cluster, Manifest};

/// How long a node may take to answer before it is called hung.
const PATIENCE: Duration = Duration::from_millis(600);

/// How long an answer is waited for before the connection is given up.
const FOR_LONG: Duration = Duration::from_secs(3600);

/// How often the cluster itself is looked for: whether it is there, and the same.
const CHECK: Duration = Duration::from_secs(1);

/// How long news are gathered, so that nodes that answer at one time are one piece of news.
const GATHER: Duration = Duration::from_millis(30);

/// How many lines of a log are read.
const LOG_LINES: usize = 400;

/// What a watch finds.
#[derive(Debug)]
pub enum News {
    /// The cluster is there, or there again, perhaps with other nodes.
    Opened(Watched),
    /// It cannot be found any more: why, in one line.
    Lost(String),
    /// A look at one node, by its number from 0.
    Looked(usize, Look),
}

/// A cluster that is watched.
#[derive(Debug)]
pub struct Watch {
    context: Context,
    interval: Duration,
    began: Instant,
    check: Beat,
    open: Option<Open>,
    gathered: Vec<News>,
}

/// The cluster as it was last found, and the tasks that look at its nodes.
#[derive(Debug)]
struct Open {
    manifest: Manifest,
    logs: Vec<PathBuf>,
    looks: UnboundedReceiver<(usize, Look)>,
    /// Ended when this is dropped.
    _tasks: JoinSet<()>,
}

impl Watch {
    /// Begins to look at every node of the cluster each `interval`. Fails if there is no cluster, or
    /// if none of its nodes runs.
    pub fn open(context: &Context, interval: Duration) -> Result<Self> {
        let began = Instant::now();
        let mut watch = Self {
            context: context.clone(),
            interval,
            began,
            check: Beat::new(began + CHECK, CHECK),
            open: None,
            gathered: Vec::new(),
        };
        let (cluster, manifest) = context.existing()?;
        let fleet = Fleet::open(context, &cluster, &manifest)?;
        if fleet
            .nodes
            .iter()
            .all(|node| matches!(node.life, Life::Dead))
        {
            return Err(Error::NotRunning {
                name: context.name.to_string(),
            });
        }
        watch.begin(cluster, manifest, fleet);
        Ok(watch)
    }

    /// How long the watch lasts by now.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Waits for news, for a second at most; gathers what comes at one time. Nothing is lost if the
    /// wait is dropped.
    pub async fn next(&mut self) -> Vec<News> {
        if self.gathered.is_empty() {
            let news = if let Some(open) = &mut self.open {
                tokio::select! {
                    Some((number, look)) = open.looks.recv() => Some(News::Looked(number, look)),
                    _ = self.check.next() => None,
                }
            } else {
                self.check.next().await;
                None
            };
            match news {
                Some(news) => self.gathered.push(news),
                None => self.look_for_it(),
            }
        }
        wait::moment(GATHER).await;
        if let Some(open) = &mut self.open {
            while let Ok((number, look)) = open.looks.try_recv() {
                self.gathered.push(News::Looked(number, look));
            }
        }
        std::mem::take(&mut self.gathered)
    }

    /// The last lines of a node's log, fit for a terminal; or why it cannot be read.
    pub fn log(&self, number: usize) -> Result<Vec<String>, String> {
        let path = self.open.as_ref().and_then(|open| open.logs.get(number));
        let path = path.ok_or("the cluster is gone")?;
        let end = server::log_end(path).map_err(|error| error.to_string())?;
        Ok(server::tail(&end, LOG_LINES))
    }

    /// Looks whether the cluster is still there, and the same.
    fn look_for_it(&mut self) {
        let found = self.context.existing().and_then(|(cluster, manifest)| {
            if self
                .open
                .as_ref()
                .is_some_and(|open| open.manifest == manifest)
            {
                return Ok(None);
            }
            let fleet = Fleet::open(&self.context, &cluster, &manifest)?;
            Ok(Some((cluster, manifest, fleet)))
        });
        match found {
            Ok(None) => {}
            Ok(Some((cluster, manifest, fleet))) => self.begin(cluster, manifest, fleet),
            Err(error) => {
                self.open = None;
                let why = match error {
                    Error::NoSuchCluster { .. } => "the cluster was deleted".to_owned(),
                    error => error.to_string(),
                };
                self.gathered.push(News::Lost(why));
            }
        }
    }

    fn begin(&mut self, cluster: Cluster, manifest: Manifest, fleet: Fleet) {
        self.gathered.push(News::Opened(watched(&manifest)));
        let (sender, looks) = unbounded_channel();
        let cluster = Arc::new(cluster);
        let mut tasks = JoinSet::new();
        let logs = fleet.nodes.iter().map(|node| node.log.clone()).collect();
        // So that rounds go on being the same for all.
        let beat = || Beat::new(self.began, self.interval);
        for (number, node) in fleet.nodes.into_iter().enumerate() {
            let looker = Looker {
                node,
                number,
                cluster: Arc::clone(&cluster),
                access: fleet.access.clone(),
                began: self.began,
                sender: sender.clone(),
                stopped: None,
            };
            tasks.spawn(looker.look_on(beat()));
        }
        self.open = Some(Open {
            manifest,
            logs,
            looks,
            _tasks: tasks,
        });
    }
}

fn watched(manifest: &Manifest) -> Watched {
    let mut servers: Vec<String> = Vec::new();
    for number in 0..manifest.nodes.len() {
        let server = manifest.server_of(number);
        let text = format!("{} {}", server.kind, server.version);
        if !servers.contains(&text) {
            servers.push(text);
        }
    }
    let nodes = manifest.nodes.iter().map(|entry| WatchedNode {
        addr: entry.addr,
        id: entry.id.clone(),
    });
    Watched {
        name: manifest.name.clone(),
        server: servers.join(", "),
        tls: manifest.spec.security.tls.is_some(),
        formed: manifest.formed,
        nodes: nodes.collect(),
    }
}

/// Looks at one node.
struct Looker {
    node: Node,
    number: usize,
    cluster: Arc<Cluster>,
    access: Access,
    began: Instant,
    sender: UnboundedSender<(usize, Look)>,
    /// Of a node that does not run: whether rcluster ended it, as was written down when that was seen.
    /// What is stopped later changes nothing about it.
    stopped: Option<bool>,
}

impl Looker {
    /// Looks at the node at each beat, until nobody listens.
    async fn look_on(mut self, mut beat: Beat) {
        loop {
            let round = beat.next().await;
            if self.sender.is_closed() {
                return;
            }
            if let Some(found) = self.look_from_outside() {
                self.tell(None, found);
                continue;
            }
            let pid = self.node.pid();
            let mut late = false;
            let answer = {
                let asking = ask(&mut self.node, &self.access);
                tokio::pin!(asking);
                loop {
                    tokio::select! {
                        answer = &mut asking => break answer,
                        () = wait::moment(PATIENCE), if !late => {}
                        _ = beat.next(), if late => {}
                    }
                    late = true;
                    let look = Look {
                        at: self.began.elapsed(),
                        round: None,
                        pid,
                        found: Found::Silent("does not answer".into()),
                    };
                    if self.sender.send((self.number, look)).is_err() {
                        return;
                    }
                }
            };
            let found = self.understand(answer).await;
            self.tell((!late).then_some(round), found);
        }
    }

    fn tell(&self, round: Option<u64>, found: Found) {
        let look = Look {
            at: self.began.elapsed(),
            round,
            pid: self.node.pid(),
            found,
        };
        // Nobody listens any more: the next round ends the task.
        self.sender.send((self.number, look)).ok();
    }

    /// What can be said of the node without asking it.
    fn look_from_outside(&mut self) -> Option<Found> {
        if self.node.has_ended().is_some() {
            // Somebody may have started it anew.
            let stopped = self.node.find_again(&self.cluster);
            if matches!(self.node.life, Life::Dead) {
                let stopped = self.stopped.unwrap_or(true) && stopped;
                self.stopped = Some(stopped);
                return Some(Found::Dead { stopped });
            }
            self.stopped = None;
        }
        match &self.node.life {
            Life::Elsewhere => Some(Found::Elsewhere),
            Life::Process(process) if process.is_stopped() => {
                Some(Found::Silent("is stopped (SIGSTOP)".into()))
            }
            _ => None,
        }
    }

    async fn understand(&mut self, answer: Result<Seen, Fault>) -> Found {
        let fault = match answer {
            Ok(seen) => return Found::Answers(Box::new(seen)),
            Err(fault) => fault,
        };
        if fault.breaks_connection() || matches!(fault, Fault::Silent) {
            self.node.connection = None;
        }
        if matches!(fault, Fault::Unreachable { .. }) {
            // The connection of a process that ends breaks just before it has ended.
            wait::moment(GATHER).await;
            if let Some(found) = self.look_from_outside() {
                return found;
            }
        }
        match fault {
            Fault::Foreign(_) => Found::Foreign(fault.to_string()),
            Fault::Silent => Found::Silent(fault.to_string()),
            Fault::Unreachable { .. } => Found::Unreachable(fault.to_string()),
            Fault::NotLetIn(_) | Fault::Server { .. } | Fault::Garbled(_) => {
                Found::Refuses(fault.to_string())
            }
        }
    }
}

async fn ask(node: &mut Node, access: &Access) -> Result<Seen, Fault> {
    node.connect(access, FOR_LONG).await?;
    match &node.connection {
        Some(connection) => connection.look().await,
        None => Err(Fault::Silent),
    }
}
