//! The logs of several nodes as one: in the order of time, and on while they grow.
//!
//! Used by `logs`, and by whoever watches over nodes that run: a [`Follower`] is asked again and
//! again for what has come, and may be dropped at any moment.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::cluster::{Level, LogRole, LogTime, NodeAddr, Prefix, Stamp, printable};
use crate::error::{NodeProblem, Result};
use crate::server::{LINE_LIMIT, LogReader, zone};
use crate::store::{Cluster, LOG_FILE};

/// How often logs are looked at while nothing comes: often enough to look like at once.
const LOOK: Duration = Duration::from_millis(50);

/// How many lines are handed out at once.
const BATCH: usize = 256;

/// One line of a node's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeLine {
    /// The node's number in the manifest, from 1.
    pub index: usize,
    /// Where it listens.
    pub addr: NodeAddr,
    /// When it was written; of a line that does not say so, when the one before it was.
    pub time: Option<LogTime>,
    /// What the process was that wrote it; `None` if the line does not say.
    pub role: Option<LogRole>,
    /// How bad it is; `None` if the line does not say.
    pub level: Option<Level>,
    /// The line, fit for a terminal.
    pub line: String,
    /// Where its message begins, in bytes; 0 for a line that has no time.
    pub message_at: usize,
}

impl NodeLine {
    /// The line without process, time and level.
    pub fn message(&self) -> &str {
        self.line.get(self.message_at..).unwrap_or(&self.line)
    }
}

/// Where reading begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogStart {
    /// At the first line.
    First,
    /// That many lines before the end.
    Last(u64),
    /// At this byte; at the first line of a file that is shorter.
    At(u64),
}

/// The logs of some nodes, read together.
#[derive(Debug)]
pub(super) struct Follower<'a> {
    cluster: &'a Cluster,
    sources: Vec<Source>,
    since: Option<LogTime>,
    /// The node that the last line came from.
    last: usize,
}

#[derive(Debug)]
struct Source {
    index: usize,
    addr: NodeAddr,
    reader: Option<LogReader>,
    /// How far east of UTC its clock is.
    zone: Option<i64>,
    /// The time of the last line.
    time: Option<LogTime>,
    /// The next line.
    head: Option<NodeLine>,
    /// Nothing more was there at the last look.
    at_end: bool,
    /// Why it cannot be read.
    problem: Option<String>,
    told: bool,
}

impl<'a> Follower<'a> {
    /// Follows nobody yet. Lines older than `since` are left out.
    pub(super) fn new(cluster: &'a Cluster, since: Option<LogTime>) -> Self {
        Self {
            cluster,
            sources: Vec::new(),
            since,
            last: 0,
        }
    }

    /// Whether the node with this number is followed.
    pub(super) fn follows(&self, index: usize) -> bool {
        self.sources.iter().any(|source| source.index == index)
    }

    /// Follows a node too. It need not have a log, nor a directory, yet: then all that comes is new.
    pub(super) fn add(&mut self, index: usize, addr: NodeAddr, start: LogStart) {
        let mut source = Source {
            index,
            addr,
            reader: None,
            zone: None,
            time: None,
            head: None,
            at_end: false,
            problem: None,
            told: false,
        };
        source.open(self.cluster, start);
        self.sources.push(source);
        // A log whose end does not show its clock goes by those of the others.
        let known = self.sources.iter().find_map(|source| source.zone);
        for source in &mut self.sources {
            source.zone = source.zone.or(known);
        }
    }

    /// The next lines that are there, in the order of time; empty when there are none for now.
    pub(super) fn read(&mut self) -> Vec<NodeLine> {
        for source in &mut self.sources {
            source.at_end = false;
        }
        self.more()
    }

    /// The next lines of logs that are read once, in the order of time: their ends are where they
    /// are found, whatever comes meanwhile. Empty when all is read.
    pub(super) fn read_once(&mut self) -> Vec<NodeLine> {
        let lines = self.more();
        if !lines.is_empty() {
            return lines;
        }
        let rest = self.sources.iter_mut().filter_map(|source| {
            let rest = source.reader.as_mut()?.rest()?;
            Some(source.line(&rest))
        });
        rest.collect()
    }

    /// Waits until there are lines, but no longer than `limit`. Dropped meanwhile, it loses none.
    pub(super) async fn next(&mut self, limit: Duration) -> Vec<NodeLine> {
        // However many lines there are, signals are heard between them.
        tokio::task::yield_now().await;
        let began = Instant::now();
        loop {
            let lines = self.read();
            if !lines.is_empty() || began.elapsed() >= limit {
                return lines;
            }
            super::wait::moment(LOOK).await;
        }
    }

    /// What kept logs from being read, each time it is something new.
    pub(super) fn problems(&mut self) -> Vec<NodeProblem> {
        let told = self.sources.iter_mut().filter_map(|source| {
            let problem = source.problem.clone()?;
            let is_new = !std::mem::replace(&mut source.told, true);
            is_new.then(|| NodeProblem::new(source.addr, problem))
        });
        told.collect()
    }

    /// Lines until there are enough of them, or every source is at its end.
    fn more(&mut self) -> Vec<NodeLine> {
        let mut lines = Vec::new();
        while lines.len() < BATCH {
            for source in &mut self.sources {
                source.fill(self.cluster, self.since);
            }
            let heads = self
                .sources
                .iter_mut()
                .filter(|source| source.head.is_some());
            // Of lines of the same moment, those of one node stay together.
            let first = heads.min_by_key(|source| {
                let time = source.head.as_ref().and_then(|line| line.time);
                (time, source.index != self.last)
            });
            let Some(source) = first else {
                break;
            };
            self.last = source.index;
            lines.extend(source.head.take());
        }
        lines
    }
}

impl Source {
    fn open(&mut self, cluster: &Cluster, start: LogStart) {
        let opened = self.try_open(cluster, start);
        self.note(opened.err());
    }

    fn try_open(&mut self, cluster: &Cluster, start: LogStart) -> Result<(), String> {
        let dir = cluster
            .node(self.addr.port)
            .map_err(|error| error.to_string())?;
        let Some(dir) = dir else {
            return Ok(());
        };
        let words = |error: std::io::Error| format!("its log cannot be read: {error}");
        let Some(mut reader) = LogReader::open(&dir, LOG_FILE).map_err(words)? else {
            return Ok(());
        };
        match start {
            LogStart::First => Ok(()),
            LogStart::Last(lines) => reader.seek_last(lines),
            LogStart::At(byte) => reader.seek(byte),
        }
        .map_err(words)?;
        self.zone = self.zone.or(reader.zone().map_err(words)?);
        let near = reader.stamp_near().map_err(words)?;
        self.time = match near {
            Some(stamp) => Some(self.time_of(stamp)),
            None => reader.written().map(LogTime),
        };
        self.reader = Some(reader);
        Ok(())
    }

    fn note(&mut self, problem: Option<String>) {
        if self.problem != problem {
            self.problem = problem;
            self.told = false;
        }
    }

    /// Makes sure that the next line, if there is one, is in `head`.
    fn fill(&mut self, cluster: &Cluster, since: Option<LogTime>) {
        while self.head.is_none() && !self.at_end {
            match self.next_text(cluster) {
                Some(text) => {
                    let line = self.line(&text);
                    let is_old =
                        since.is_some_and(|since| line.time.is_none_or(|time| time < since));
                    self.head = Some(line).filter(|_| !is_old);
                }
                None => self.at_end = true,
            }
        }
    }

    fn next_text(&mut self, cluster: &Cluster) -> Option<String> {
        loop {
            let Some(reader) = &mut self.reader else {
                self.open(cluster, LogStart::First);
                self.reader.as_ref()?;
                continue;
            };
            match reader.next_line() {
                Ok(Some(text)) => return Some(text),
                Ok(None) => {}
                Err(error) => {
                    self.note(Some(format!("its log cannot be read: {error}")));
                    return None;
                }
            }
            // At the end of this file; is it still the log?
            if reader.is_shorter() {
                let rest = reader.rest();
                if reader.start_anew().is_err() {
                    self.reader = None;
                }
                match rest {
                    Some(rest) => return Some(rest),
                    None => continue,
                }
            }
            let dir = cluster.node(self.addr.port).ok().flatten()?;
            match dir.file_id(LOG_FILE).ok().flatten() {
                Some(id) if id != reader.id() => {
                    let rest = reader.rest();
                    self.reader = None;
                    if rest.is_some() {
                        return rest;
                    }
                }
                // Renamed, and not made anew yet: more may come into the renamed one.
                _ => return None,
            }
        }
    }

    fn line(&mut self, text: &str) -> NodeLine {
        let line = printable(text.trim_end(), LINE_LIMIT);
        let prefix = Prefix::of(&line);
        if let Some(prefix) = &prefix {
            self.time = Some(self.time_of(prefix.stamp));
        }
        NodeLine {
            index: self.index,
            addr: self.addr,
            time: self.time,
            role: prefix.and_then(|prefix| prefix.role),
            level: prefix.map(|prefix| prefix.level),
            message_at: prefix.map_or(0, |prefix| prefix.message_at),
            line,
        }
    }

    fn time_of(&mut self, stamp: Stamp) -> LogTime {
        match stamp {
            Stamp::Utc(time) => time,
            Stamp::Second(second) => self.time.map_or(second, |time| time.max(second)),
            Stamp::Wall(wall) => {
                // Nothing has shown the clock yet: then this is the first line of a new log.
                let zone = *self
                    .zone
                    .get_or_insert_with(|| zone(wall, now().0).unwrap_or(0));
                LogTime(wall - zone)
            }
        }
    }
}

/// The time now.
pub(super) fn now() -> LogTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let millis = since.map_or(0, |since| since.as_millis());
    LogTime(i64::try_from(millis).unwrap_or(i64::MAX))
}
