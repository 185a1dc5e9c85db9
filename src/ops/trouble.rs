//! What went wrong, by the logs: `logs --errors`.
//!
//! Servers write warnings in every healthy life, and losses of connections that the next line
//! makes good. So each node's log is read as a story: known harmless lines are left out, a loss
//! counts if it lasts, a process that begins anew without having said goodbye was killed.

use std::mem;
use std::time::Duration;

use super::context::Context;
use super::fleet::{Fleet, Life};
use super::follow::{Follower, LogStart, NodeLine};
use super::logs::{ago, chosen};
use crate::cluster::{Level, LogTime, NodeAddr};
use crate::error::{NodeProblem, Result};
use crate::plan::Target;

/// What kind of trouble it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TroubleKind {
    /// A process fell over, or was killed.
    Crash,
    /// A server could not start.
    Start,
    /// Memory was missing.
    Memory,
    /// A file could not be written or read.
    Disk,
    /// A replica lost its primary for longer than a moment.
    Replication,
    /// A node was found failing, or an election was held.
    Failover,
    /// The cluster took no commands for longer than a moment.
    State,
    /// Another warning.
    Warning,
}

/// One thing that went wrong on one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The node's number, from 1.
    pub index: usize,
    /// Where it listens.
    pub addr: NodeAddr,
    /// When.
    pub time: Option<LogTime>,
    /// What kind.
    pub kind: TroubleKind,
    /// What, in one line.
    pub text: String,
    /// The lines that tell of it.
    pub lines: Vec<String>,
    /// How often it was told in a row.
    pub times: usize,
}

/// What went wrong on some nodes.
#[derive(Clone, Debug)]
pub struct Troubles {
    /// The cluster.
    pub name: String,
    /// How many nodes' logs were read.
    pub nodes: usize,
    /// In the order of time.
    pub found: Vec<Trouble>,
    /// How many more there were than are told.
    pub left_out: usize,
    /// Logs that could not be read.
    pub problems: Vec<NodeProblem>,
}

/// More than anybody reads; the oldest are kept, since they tell how it began.
const MOST: usize = 1000;

/// The most lines of one trouble: longer than a crash report.
const MOST_LINES: usize = 2000;

/// How long a replica may be without its primary, in milliseconds: the other is being started.
const LINK_GRACE: i64 = 10_000;

/// How long the cluster's state may be `fail`, in milliseconds: it is while a cluster is formed.
const STATE_GRACE: i64 = 1000;

/// Reads the logs of the nodes that `targets` mean for what went wrong.
pub async fn troubles(
    context: &Context,
    targets: &[Target],
    since: Option<Duration>,
) -> Result<Troubles> {
    let (cluster, nodes) = chosen(context, targets).await?;
    let manifest = cluster
        .manifest()?
        .ok_or_else(|| context.no_such_cluster())?;
    let mut follower = Follower::new(&cluster, since.map(ago));
    let mut stories: Vec<Story> = Vec::new();
    for &(index, addr) in &nodes {
        follower.add(index, addr, LogStart::First);
        stories.push(Story::new(index, addr));
    }
    loop {
        let lines = follower.read_once();
        if lines.is_empty() {
            break;
        }
        for line in &lines {
            if let Some(story) = stories.iter_mut().find(|story| story.index == line.index) {
                story.hear(line);
            }
        }
    }
    // Looked at after the logs: who dies meanwhile has not told why yet, and runs for us.
    let fleet = Fleet::observe(&cluster, &manifest)?;
    let mut found = Vec::new();
    let mut left_out = 0;
    for mut story in stories {
        let node = fleet.nodes.get(story.index - 1);
        story.end(node.is_some_and(|node| matches!(node.life, Life::Dead)));
        left_out += story.left_out;
        found.append(&mut story.found);
    }
    found.sort_by_key(|trouble| trouble.time);
    Ok(Troubles {
        name: context.name.to_string(),
        nodes: nodes.len(),
        found,
        left_out,
        problems: follower.problems(),
    })
}

/// What one node's log tells, line by line.
#[derive(Debug)]
struct Story {
    index: usize,
    addr: NodeAddr,
    found: Vec<Trouble>,
    left_out: usize,
    /// A report whose end has not come.
    report: Option<(Trouble, Report)>,
    /// The primary was lost, and not found again yet.
    link: Option<Trouble>,
    /// The cluster's state is `fail`.
    state: Option<Trouble>,
    /// A process has begun, and neither said goodbye nor why it ends.
    lives: bool,
    last: Option<NodeLine>,
}

/// What a report of several lines is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Report {
    Crash,
    Configuration,
}

impl Story {
    fn new(index: usize, addr: NodeAddr) -> Self {
        Self {
            index,
            addr,
            found: Vec::new(),
            left_out: 0,
            report: None,
            link: None,
            state: None,
            lives: false,
            last: None,
        }
    }

    fn hear(&mut self, line: &NodeLine) {
        let text = line.message();
        let begins = has(text, &["Redis is starting oO", "Valkey is starting oO"]);
        if self.in_report(line, begins) {
            return;
        }
        self.pass(line.time);
        if begins {
            self.begin(line);
        } else if has(text, &["BUG REPORT START", "FATAL CONFIG FILE ERROR"]) {
            self.lives = false;
            let (kind, report) = if text.contains("BUG REPORT") {
                (TroubleKind::Crash, Report::Crash)
            } else {
                (TroubleKind::Start, Report::Configuration)
            };
            self.report = Some((self.trouble(kind, line), report));
        } else if has(text, LINK_FOUND) {
            self.link = None;
        } else if text.contains("Cluster state changed: ok") {
            self.state = None;
        } else if text.contains("Cluster state changed: fail") {
            self.state = Some(self.trouble(TroubleKind::State, line));
        } else if has(text, LINK_LOST) {
            match &mut self.link {
                Some(trouble) => trouble.lines.push(line.line.clone()),
                None => self.link = Some(self.trouble(TroubleKind::Replication, line)),
            }
        } else if let Some(kind) = kind_of(line) {
            if kind == TroubleKind::Start {
                self.lives = false;
            }
            let trouble = self.trouble(kind, line);
            self.tell(trouble);
        }
        if has(text, GOODBYE) {
            self.lives = false;
            self.link = None;
            self.state = None;
        }
        self.last = Some(line.clone());
    }

    /// Adds a line to the report that is going on, if there is one. Says whether it did.
    fn in_report(&mut self, line: &NodeLine, begins: bool) -> bool {
        let Some((trouble, report)) = &mut self.report else {
            return false;
        };
        let text = line.message();
        let ends_before = match report {
            Report::Crash => begins,
            Report::Configuration => line.message_at > 0,
        };
        if ends_before {
            let trouble = self.report.take().map(|(trouble, _)| trouble);
            trouble.into_iter().for_each(|trouble| self.tell(trouble));
            return false;
        }
        let reason = match report {
            Report::Crash => has(text, &["crashed by signal", "ASSERTION FAILED"]),
            // It follows the line that is quoted.
            Report::Configuration => trouble
                .lines
                .last()
                .is_some_and(|line| line.starts_with(">>>")),
        };
        if reason {
            text.clone_into(&mut trouble.text);
            trouble.time = line.time;
        }
        if trouble.lines.len() < MOST_LINES && !line.line.is_empty() {
            trouble.lines.push(line.line.clone());
        }
        if *report == Report::Crash && text.contains("BUG REPORT END") {
            let trouble = self.report.take().map(|(trouble, _)| trouble);
            trouble.into_iter().for_each(|trouble| self.tell(trouble));
        }
        true
    }

    /// A process begins.
    fn begin(&mut self, line: &NodeLine) {
        if self.lives {
            self.killed();
        }
        self.lives = true;
        self.link = None;
        self.state = None;
        self.last = Some(line.clone());
    }

    /// A process ended without a word.
    fn killed(&mut self) {
        let Some(last) = self.last.clone() else {
            return;
        };
        let mut trouble = self.trouble(TroubleKind::Crash, &last);
        trouble.text = "ended without a word: killed, or the machine went down".into();
        self.tell(trouble);
    }

    /// What has lasted too long when it is `time`.
    fn pass(&mut self, time: Option<LogTime>) {
        let is_over = |trouble: &Trouble, grace: i64| {
            let span = trouble.time.zip(time);
            span.is_some_and(|(since, now)| now.0 - since.0 > grace)
        };
        if let Some(trouble) = self.link.take_if(|link| is_over(link, LINK_GRACE)) {
            self.tell(trouble);
        }
        if let Some(trouble) = self.state.take_if(|state| is_over(state, STATE_GRACE)) {
            self.tell(trouble);
        }
    }

    /// The log ends here; `is_dead`: and so did the process.
    fn end(&mut self, is_dead: bool) {
        let open = [
            self.report.take().map(|(trouble, _)| trouble),
            self.link.take(),
            self.state.take(),
        ];
        open.into_iter()
            .flatten()
            .for_each(|trouble| self.tell(trouble));
        if is_dead && mem::take(&mut self.lives) {
            self.killed();
        }
    }

    fn trouble(&self, kind: TroubleKind, line: &NodeLine) -> Trouble {
        Trouble {
            index: self.index,
            addr: self.addr,
            time: line.time,
            kind,
            text: line.message().to_owned(),
            lines: vec![line.line.clone()],
            times: 1,
        }
    }

    fn tell(&mut self, mut trouble: Trouble) {
        if trouble.kind == TroubleKind::Replication {
            trouble.times = trouble.lines.len();
            trouble.lines.truncate(3);
        }
        if let Some(last) = self.found.last_mut()
            && last.kind == trouble.kind
            && last.lines.len() == 1
            && trouble.lines.len() == 1
            && without_numbers(&last.text) == without_numbers(&trouble.text)
        {
            last.times += 1;
        } else if self.found.len() < MOST {
            self.found.push(trouble);
        } else {
            self.left_out += 1;
        }
    }
}

fn has(text: &str, words: &[&str]) -> bool {
    words.iter().any(|word| text.contains(word))
}

fn without_numbers(text: &str) -> String {
    text.chars().filter(|c| !c.is_ascii_digit()).collect()
}

/// What a server says when it ends because it was told to.
const GOODBYE: &[&str] = &[
    "ready to exit",
    "User requested shutdown",
    "Received SIGTERM",
    "Received SIGINT",
    "Received shutdown",
];

/// What tells that a replica has no primary to copy; it is made good, or it lasts.
const LINK_LOST: &[&str] = &[
    "Connection with master lost",
    "Connection with primary lost",
    "Error condition on socket for SYNC",
    "Error reply to PING from",
    "did not respond to command during SYNC handshake",
    "Failed to read response from the server",
    "Unable to connect to MASTER",
    "Unable to connect to PRIMARY",
    "Timeout connecting to the MASTER",
    "Timeout connecting to the PRIMARY",
    "Timeout receiving bulk data",
    "I/O error trying to sync",
    "I/O error reading bulk count",
    "I/O error writing to MASTER",
    "I/O error writing to PRIMARY",
    "Master is currently unable to PSYNC",
    "Primary is currently unable to PSYNC",
    "-NOMASTERLINK",
];

/// What tells that it is made good, or that it has none to lose any more.
const LINK_FOUND: &[&str] = &[
    "sync: Finished with success",
    "Partial Resynchronization.",
    "Successful partial resynchronization",
    "Setting secondary replication ID",
    "Discarding previously cached",
    "MASTER MODE enabled",
    "PRIMARY MODE enabled",
];

/// Warnings of every healthy life.
const HARMLESS: &[&str] = &[
    "version=",
    "Configuration loaded",
    "Server initialized",
    "overcommit",
    "Transparent Huge Pages",
    "TCP backlog setting",
    "somaxconn",
    "User requested shutdown",
    "ready to exit",
    "Received SIGTERM",
    "Received SIGINT",
    "Taking over the",
    "New configEpoch set",
    "configEpoch set to",
    "Configuration change detected",
    "Configuration change acknowledged",
    "replication ID changed",
    "Done loading RDB",
    "Diskless rdb transfer",
    "There is a child",
    "terminated by signal",
    "Killing it",
    "another background operation",
    "Failover auth granted",
    "replication offset for paused",
    "replication stream processed",
    "Manual failover requested by",
    "Start of election delayed",
    "Changing databases number",
    // Valkey's reason for the state, which has a line of its own.
    "Cluster is currently down",
    "Connection with replica",
    "Bio worker thread",
    "IP address for this node updated",
    "Address updated for node",
    "Missing implement of",
    "FAIL message received",
    "Clear FAIL state",
];

/// What kind of trouble a line tells of, if any; not of what may be made good.
fn kind_of(line: &NodeLine) -> Option<TroubleKind> {
    let text = line.message();
    let kinds: [(TroubleKind, &[&str]); 5] = [
        (
            TroubleKind::Failover,
            &[
                "as failing (quorum reached)",
                "Starting a failover election",
                "Failover election won",
                "Failover attempt expired",
                "Manual failover user request accepted",
                "Manual failover timed out",
                "Forced failover user request accepted",
                "Failover auth denied",
                "Currently unable to failover",
            ],
        ),
        (
            TroubleKind::Memory,
            &["Out Of Memory", "Cannot allocate memory", "Guru Meditation"],
        ),
        (
            TroubleKind::Start,
            &[
                "Failed listening",
                "Aborting",
                "Fatal error",
                "Unrecoverable error",
                "Could not create server TCP",
                "error while loading shared libraries",
                "Can't load module",
                "Module Configuration detected",
                "unix socket path",
                "Short read or OOM loading DB",
                "Internal error in RDB",
                "Bad file format reading the append only file",
            ],
        ),
        (
            TroubleKind::Disk,
            &[
                "No space left",
                "Disk quota exceeded",
                "Read-only file system",
                "Input/output error",
                "Background saving error",
                "Background AOF rewrite terminated with error",
                "Error trying to save",
                "Error moving temp",
                "rror saving DB",
                "Failed opening",
                "Short write while writing to the AOF",
                "Error writing to the AOF",
                "Write error",
                "Fail to fsync",
                "can't exit",
                "Can't rewrite append only file",
                "Asynchronous AOF fsync is taking too long",
            ],
        ),
        (
            TroubleKind::Replication,
            &[
                "-WRONGPASS",
                "-NOAUTH",
                "-NOPERM",
                "-DENIED",
                "Can't handle RDB format",
            ],
        ),
    ];
    if has(text, &["Waiting for votes", "Waiting the delay"]) {
        return None;
    }
    let known = kinds.iter().find(|(_, words)| has(text, words));
    if let Some((kind, _)) = known {
        return Some(*kind);
    }
    match line.level {
        Some(Level::Warning) => {
            (!has(text, HARMLESS) && !text.is_empty()).then_some(TroubleKind::Warning)
        }
        Some(_) => None,
        // Not by the log function: the C library, or what watches over memory.
        None => {
            let lower = text.to_ascii_lowercase();
            let is_trouble = has(&lower, &["error", "fatal", "abort", "segmentation fault"]);
            // The last words of a crash report.
            (is_trouble && !lower.contains("suspect ram error")).then_some(TroubleKind::Warning)
        }
    }
}
