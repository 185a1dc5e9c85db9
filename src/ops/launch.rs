//! Spawning servers and waiting until each of *our* processes answers.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;

use super::context::Context;
use super::fleet::{FORMING_LIMIT, Fleet, Life};
use super::programs::Programs;
use crate::error::{Error, NodeProblem, Result};
use crate::event::Event;
use crate::plan::ClusterSpec;
use crate::server;
use crate::store::{Cluster, LOG_FILE, Started};
use crate::sys::dir;
use crate::sys::process::{Epoch, Intent, now_ticks};

/// How long a new server may take to answer one question.
const FIRST_ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// How long a server that found its port taken may need to end.
const DEATH_PATIENCE: Duration = Duration::from_millis(50);

/// Server processes to spawn.
pub(super) struct Launch<'a> {
    pub(super) context: &'a Context,
    pub(super) cluster: &'a Cluster,
    /// The cluster's shape.
    pub(super) spec: &'a ClusterSpec,
    pub(super) programs: &'a Programs,
    /// Values for the command line.
    pub(super) values: &'a [(&'static str, String)],
}

impl Launch<'_> {
    /// Spawns the nodes `numbers` of `fleet`, in that order, and waits until each answers.
    ///
    /// What is about to be spawned is on disk before the first spawn, and what was spawned after
    /// the last: whoever finds us killed in between can tell our processes from strangers.
    pub(super) async fn run(&self, fleet: &mut Fleet, numbers: &[usize]) -> Result<()> {
        if numbers.is_empty() {
            return Ok(());
        }
        self.context.reached("spawning");
        self.spawn_all(fleet, numbers)?;
        self.context.reached("spawned");
        self.wait_for_answers(fleet, numbers).await?;
        self.context.reached("every server answers");
        Ok(())
    }

    fn spawn_all(&self, fleet: &mut Fleet, numbers: &[usize]) -> Result<()> {
        let proc_error = |source| Error::Io {
            what: "read /proc".into(),
            source,
        };
        let epoch = Epoch::now().map_err(proc_error)?;
        let since_ticks = now_ticks().map_err(proc_error)?;
        let mut processes = self.cluster.processes()?.unwrap_or_default();
        let mut places = BTreeMap::new();
        for &number in numbers {
            let Some(port) = fleet.nodes.get(number).map(|node| node.addr.port) else {
                continue;
            };
            let path = self.cluster.node_path(port);
            let node_dir = self.cluster.node(port)?.ok_or_else(|| Error::Corrupt {
                path: path.clone(),
                why: "it is gone".into(),
            })?;
            let open = || -> std::io::Result<_> {
                let log = node_dir.append(LOG_FILE)?;
                Ok((
                    Intent {
                        since_ticks,
                        dir: node_dir.id()?,
                        log: dir::file_id(&log)?,
                    },
                    log,
                ))
            };
            let (intent, log) = open().map_err(Error::io("write the log in", &path))?;
            processes.nodes.insert(
                port,
                Started {
                    epoch: epoch.clone(),
                    intent,
                    record: None,
                },
            );
            places.insert(number, (path, log));
        }
        self.cluster.write_processes(&processes)?;

        let mut failure = None;
        for number in numbers {
            let Some(node) = fleet.nodes.get_mut(*number) else {
                continue;
            };
            let Some((path, log)) = places.get(number) else {
                continue;
            };
            let program = &self
                .programs
                .program(self.spec, *number, node.addr.port)
                .path;
            match server::spawn(program, path, log, self.values, self.context.group) {
                Ok(child) => {
                    if let Some(started) = processes.nodes.get_mut(&node.addr.port) {
                        started.record = Some(child.record());
                    }
                    node.life = Life::Child(child);
                }
                Err(source) => {
                    failure = Some(Error::Io {
                        what: format!("run {}", program.display()),
                        source,
                    });
                    break;
                }
            }
        }
        self.cluster.write_processes(&processes)?;
        failure.map_or(Ok(()), Err)
    }

    /// Says that the nodes `numbers` of `fleet` are about to be started.
    pub(super) fn announce(&self, fleet: &Fleet, numbers: &[usize]) {
        let addr = |number: &usize| fleet.nodes.get(*number).map(|node| node.addr);
        let (first, last) = (
            numbers.iter().min().and_then(addr),
            numbers.iter().max().and_then(addr),
        );
        let at = match (first, last) {
            (Some(first), Some(last)) if first != last => format!("{first}-{}", last.port),
            (first, _) => first.map(|addr| addr.to_string()).unwrap_or_default(),
        };
        self.context.events.emit(Event::Starting {
            nodes: numbers.len(),
            server: self.servers(fleet, numbers),
            at,
        });
    }

    /// What the nodes `numbers` run, in words.
    fn servers(&self, fleet: &Fleet, numbers: &[usize]) -> String {
        let mut servers = Vec::new();
        for number in numbers {
            let port = fleet.nodes.get(*number).map_or(0, |node| node.addr.port);
            let server = self.programs.program(self.spec, *number, port).to_string();
            if !servers.contains(&server) {
                servers.push(server);
            }
        }
        servers.join(" and ")
    }

    async fn wait_for_answers(&self, fleet: &mut Fleet, numbers: &[usize]) -> Result<()> {
        let patience = self.context.patience(match numbers.len() {
            1 => "the server to answer".to_owned(),
            count => format!("{count} servers to answer"),
        });
        // Looking too often takes the processor from those who shall answer.
        let pause = Duration::from_millis(1)
            .max(Duration::from_micros(200) * u32::try_from(numbers.len()).unwrap_or(1));
        let (events, done) = (&self.context.events, &std::cell::Cell::new(0));
        let someone_died = &std::cell::Cell::new(false);
        let access = &fleet.access;
        // One that has answered, and dies, is not waited for.
        let limit = FORMING_LIMIT.min(self.context.timeout);
        let limit = limit.max(FIRST_ANSWER_LIMIT);
        let chosen = fleet.nodes.iter_mut().enumerate();
        let chosen = chosen.filter(|(number, _)| numbers.contains(number));
        let tasks = chosen.map(async |(_, node)| {
            loop {
                if let Some(death) = node.death() {
                    someone_died.set(true);
                    return Some(Unready::Died(death));
                }
                let fault = match node.connect(access, FIRST_ANSWER_LIMIT).await {
                    Ok(()) => {
                        if let Some(connection) = &mut node.connection {
                            connection.answers_within(limit);
                        }
                        done.set(done.get() + 1);
                        let (done, of) = (done.get(), numbers.len());
                        events.emit(Event::Answered { done, of });
                        return None;
                    }
                    Err(fault) => fault,
                };
                let problem = NodeProblem::new(node.addr, fault.to_string());
                if fault.is_refusal() {
                    // It may be a stranger who took the port that our process then did not get.
                    patience.nap(DEATH_PATIENCE).await;
                    if let Some(death) = node.death() {
                        someone_died.set(true);
                        return Some(Unready::Died(death));
                    }
                    return Some(Unready::Refused(problem));
                }
                // Nobody waits for the others once one has died.
                if someone_died.get() || patience.is_over() {
                    return Some(Unready::Late(problem));
                }
                patience.nap(pause).await;
            }
        });
        let unready: Vec<Unready> = join_all(tasks).await.into_iter().flatten().collect();
        let (mut dead, mut late, mut refused) = (Vec::new(), Vec::new(), None);
        for node in unready {
            match node {
                Unready::Died(problem) => dead.push(problem),
                Unready::Late(problem) => late.push(problem),
                Unready::Refused(NodeProblem { node, message, .. }) => {
                    refused = Some(Error::Refused { node, message });
                }
            }
        }
        if !dead.is_empty() {
            return Err(Error::NodesDied {
                nodes: dead,
                left: String::new(),
            });
        }
        if let Some(refused) = refused {
            return Err(refused);
        }
        if !late.is_empty() {
            return Err(patience.timed_out(late));
        }
        Ok(())
    }
}

/// Why a node that was spawned does not answer.
enum Unready {
    /// Its process has ended.
    Died(NodeProblem),
    /// It has not answered in time.
    Late(NodeProblem),
    /// It answers, and refuses for want of rights.
    Refused(NodeProblem),
}
