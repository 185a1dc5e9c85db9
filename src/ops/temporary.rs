//! A cluster that lasts no longer than we do: in a home of its own that nobody else knows, on ports
//! that nobody else has, and gone when we are, whatever ends us.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use secrecy::SecretString;
use tempfile::TempDir;

use super::answer::Answer;
use super::clean::down;
use super::context::Context;
use super::env::{Variable, environment, secrets};
use super::fleet::{Fleet, Life};
use super::limits::room_for;
use super::programs::Programs;
use super::up::up_with;
use super::wish::StartWish;
use crate::error::{Error, Result};
use crate::plan::PortChoice;
use crate::server::{DEATH, Lifeline};
use crate::store::{ClusterName, Home};
use crate::sys::mounts::memory_dir;
use crate::sys::process::Process;

/// What a memory-backed directory must have free: logs, `nodes.conf` and a first copy to a replica
/// are small, and tests may write more.
const ROOM: u64 = 128 << 20;

/// How long the nodes may take to end by themselves: nothing that they hold is kept.
const GRACE: Duration = Duration::from_secs(3);

/// What a temporary cluster is made of.
#[derive(Clone, Debug, Default)]
pub struct TemporaryWish {
    /// Its shape. Unless it says otherwise, ports are `auto` and nothing is persisted.
    pub start: StartWish,
    /// Where its home is made, instead of in memory, else among temporary files.
    pub parent: Option<PathBuf>,
    /// The `rcluster` program, if there is one: should we be killed, it ends what others have
    /// started in our home.
    pub program: Option<PathBuf>,
}

/// A ready cluster with a home of its own. Dropped, it is gone.
#[derive(Debug)]
pub struct Temporary {
    /// How it was when it was ready.
    pub answer: Answer,
    place: Place,
}

/// What is there before the cluster is, and after it.
#[derive(Debug)]
struct Place {
    context: Context,
    lifeline: Option<Lifeline>,
    home: Option<TempDir>,
}

impl Temporary {
    /// Has a new cluster, ready. Servers are looked for as `context` says, and nothing else of its
    /// home is touched.
    pub async fn start(context: &Context, wish: &TemporaryWish) -> Result<Self> {
        let start = StartWish {
            port: wish.start.port.or(Some(PortChoice::Auto)),
            ephemeral: wish.start.ephemeral.or(Some(true)),
            // What is made is removed in any case, with its home.
            retain: true,
            ..wish.start.clone()
        };
        start.check()?;
        let found = Programs::find(context, &start).await;
        let mut place = Place::new(context, wish)?;
        // Before anything else: killed from here on, we leave no directory behind.
        place.hold(wish.program.as_deref())?;
        let programs = room_for(&place.context, &start, found)?;
        let answer = up_with(&place.context, &start, programs).await?;
        Ok(Self { answer, place })
    }

    /// The cluster's own context: its home, and the deadline of its start.
    pub fn context(&self) -> &Context {
        &self.place.context
    }

    /// What a command finds in its environment: what `env --with-secrets` shows.
    pub fn variables(&self) -> Result<Vec<Variable>> {
        let secrets = secrets(self.context(), &self.answer)?;
        environment(&self.answer, self.context().home.path(), Some(&secrets))
    }

    /// The password, if there is one.
    pub fn password(&self) -> Result<Option<SecretString>> {
        secrets(self.context(), &self.answer).map(|secrets| secrets.password)
    }

    /// Ends the nodes, in their own time if it is short, and removes all that was made.
    pub async fn end(mut self) -> Result<()> {
        // Who knows the home may have made more clusters in it.
        for name in self.place.names() {
            let context = Context {
                verb: "down",
                name,
                began: Instant::now(),
                ..self.place.context.clone()
            };
            if let Err(error) = down(&context, Some(GRACE)).await {
                // What it refuses to end or to delete, the command's own among it, ends with the home.
                context.events.detail(error.to_string());
            }
        }
        self.place.remove()
    }
}

impl fmt::Display for Temporary {
    /// `3 primaries and 3 replicas of redis 7.0.15 at 127.0.0.1:30001-30006`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let answer = &self.answer;
        let primaries = answer.primaries;
        let replicas = answer.nodes.len() - primaries.min(answer.nodes.len());
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        write!(
            f,
            "{primaries} primar{}",
            if primaries == 1 { "y" } else { "ies" }
        )?;
        if replicas > 0 {
            write!(f, " and {replicas} replica{}", plural(replicas))?;
        }
        write!(f, " of {} {}", answer.server.kind, answer.server.version)?;
        if let (Some(first), Some(last)) = (answer.nodes.first(), answer.nodes.last()) {
            write!(f, " at {}", first.addr)?;
            if last.index > first.index {
                write!(f, "-{}", last.addr.port)?;
            }
        }
        Ok(())
    }
}

impl Place {
    fn new(context: &Context, wish: &TemporaryWish) -> Result<Self> {
        let parent = match &wish.parent {
            Some(parent) => parent.clone(),
            None => memory_dir(ROOM).unwrap_or_else(env::temp_dir),
        };
        let home = tempfile::Builder::new()
            .prefix("rcluster-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(&parent)
            .map_err(Error::io("make a temporary directory in", &parent))?;
        let path = home.path().canonicalize();
        let path = path.map_err(Error::io("find", home.path()))?;
        context
            .events
            .detail(format!("the cluster lives in {}", path.display()));
        Ok(Self {
            context: Context {
                home: Home::new(path),
                ..context.clone()
            },
            lifeline: None,
            home: Some(home),
        })
    }

    /// Has the servers that are spawned from now on end with us.
    fn hold(&mut self, program: Option<&Path>) -> Result<()> {
        let home = self.context.home.path();
        let words = |program: &Path| -> Vec<OsString> {
            vec![
                program.into(),
                "--config=none".into(),
                "--home".into(),
                home.into(),
                "down".into(),
                "--yes".into(),
                "--grace=0s".into(),
                "--name".into(),
            ]
        };
        let last = program.map(words).unwrap_or_default();
        let lifeline = Lifeline::new(home, &last).map_err(|source| Error::Io {
            what: "run /bin/sh".into(),
            source,
        })?;
        self.context.group = Some(lifeline.group());
        self.lifeline = Some(lifeline);
        Ok(())
    }

    /// Ends at once what still runs, and deletes the home.
    fn remove(&mut self) -> Result<()> {
        let others = self.kill_others();
        if let Some(lifeline) = &mut self.lifeline {
            lifeline.cut();
        }
        for process in others {
            process.wait(DEATH);
        }
        if let Some(home) = self.home.take() {
            let path = home.keep();
            match fs::remove_dir_all(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    // Cut and not released, it goes on trying.
                    drop(self.lifeline.take());
                    return Err(Error::io("remove", &path)(error));
                }
                Ok(()) => {}
            }
        }
        if let Some(lifeline) = self.lifeline.take() {
            lifeline.release();
        }
        Ok(())
    }

    /// The clusters in our home: ours, and those that others have made.
    fn names(&self) -> Vec<ClusterName> {
        self.context.home.names().unwrap_or_default()
    }

    /// Kills the nodes, those too that others have started outside of our group.
    fn kill_others(&self) -> Vec<Process> {
        let names = self.names().into_iter();
        names.flat_map(|name| self.kill_all_of(&name)).collect()
    }

    fn kill_all_of(&self, name: &ClusterName) -> Vec<Process> {
        let Ok(Some(cluster)) = self.context.home.cluster(name) else {
            return Vec::new();
        };
        let fleet = match cluster.manifest() {
            Ok(Some(manifest)) => Fleet::observe(&cluster, &manifest),
            _ => return Vec::new(),
        };
        let nodes = fleet.into_iter().flat_map(|fleet| fleet.nodes);
        let processes = nodes.filter_map(|node| match node.life {
            Life::Process(process) => Some(process),
            _ => None,
        });
        // One that cannot be ended is none of ours any more.
        let killed = processes.inspect(|process| drop(process.kill()));
        killed.collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.remove().ok();
    }
}
