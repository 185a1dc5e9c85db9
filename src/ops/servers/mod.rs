//! `server`: programs that are installed into the home, and which of them runs.
//!
//! A ready-made one is fetched by the user's uv or pip ([`fetch`]), another is built from its
//! source ([`build`]). Both are made in a directory of their own under the lock of all servers,
//! compared, tried, and put in place by one rename.

mod build;
mod choose;
mod fetch;
mod install;
mod list;
mod remove;
mod resolve;

use std::path::PathBuf;
use std::time::Duration;

pub use choose::{ChosenServer, use_server};
pub use install::{InstallWish, Installation, install_server};
pub use list::{ListedServer, ServerState, list_servers};
pub use remove::{RemovedServer, remove_server};

use crate::error::{Error, Result};
use crate::event::Event;
use crate::ops::context::Context;
use crate::ops::wait::Patience;
use crate::server::{PACKAGES, Tool, ToolEnd, sha256};
use crate::store::{InstalledServer, Origin, ServerName, Servers, ServersAttempt, ServersLock};

/// What a verb about servers answers.
#[derive(Clone, Debug)]
pub enum ServerAnswer {
    /// `server list`.
    List(Vec<ListedServer>),
    /// `server install`.
    Installed(Installation),
    /// `server use`.
    Chosen(ChosenServer),
    /// `server remove`.
    Removed(RemovedServer),
}

/// A server program that can be run.
#[derive(Clone, Debug)]
pub struct UsableServer {
    /// What it is called here, if it is an installed one.
    pub name: Option<String>,
    /// `redis` or `valkey`.
    pub kind: String,
    /// `9.1.2`.
    pub version: String,
    /// The program.
    pub path: PathBuf,
}

impl Context {
    /// Locks the servers of the home, waiting while somebody else has them; with `make`, makes
    /// their directory.
    async fn lock_servers(&self, make: bool) -> Result<Option<ServersLock>> {
        let patience = self.patience("the lock on servers");
        let mut said = false;
        loop {
            match ServersLock::attempt(&self.home, self.verb, make)? {
                ServersAttempt::Locked(lock) => return Ok(Some(lock)),
                ServersAttempt::Absent => return Ok(None),
                ServersAttempt::Held(holder) => {
                    if patience.is_over() {
                        let what = format!("the servers in {}", self.home.path().display());
                        return Err(Error::HomeLocked { what, holder });
                    }
                    if !std::mem::replace(&mut said, true) {
                        self.events.emit(Event::WaitingForLock { holder });
                    }
                    patience.nap(Duration::from_millis(20)).await;
                }
            }
        }
    }

    /// Runs a program of the user's; `limit` bounds it if it was asked for.
    async fn run_tool(
        &self,
        tool: &Tool,
        log: Option<&std::fs::File>,
        what: &str,
        limit: Option<Duration>,
    ) -> Result<ToolEnd> {
        let run = tool.run(log, |line| {
            self.events.emit(Event::Said {
                tool: tool.name().to_owned(),
                line: line.to_owned(),
            });
        });
        let ended = match limit {
            None => run.await,
            Some(limit) => Patience::new(what, self.began, limit).bound(run).await?,
        };
        ended.map_err(|source| Error::Io {
            what: format!("run {}", tool.name()),
            source,
        })
    }
}

/// Why an installed server is not what was installed; `None` if it is, byte by byte.
fn damage(servers: &Servers, server: &InstalledServer) -> Result<Option<String>> {
    let record = match &server.record {
        Ok(record) => record,
        Err(why) => return Ok(Some(why.clone())),
    };
    if !record.programs.contains_key(record.server()) {
        return Ok(Some(format!("its record names no {}", record.server())));
    }
    for (program, recorded) in &record.programs {
        let Some(file) = servers.open_program(&server.name, program)? else {
            return Ok(Some(format!("{program} is missing")));
        };
        let path = server.program(program);
        if sha256(file).map_err(Error::io("read", &path))? != *recorded {
            return Ok(Some(format!("{program} was changed")));
        }
        // A record can be changed too; the table cannot.
        if pinned(&record.origin, program).is_some_and(|pin| pin != recorded) {
            return Ok(Some(format!("{program} is not the pinned one")));
        }
    }
    Ok(None)
}

/// The digest that the table has for a program of such an origin.
fn pinned(origin: &Origin, program: &str) -> Option<&'static str> {
    let Origin::Wheel { project, release } = origin else {
        return None;
    };
    let is_it = |package: &&crate::server::Package| {
        package.project == *project && package.release == *release
    };
    let wheel = PACKAGES.iter().find(is_it)?.wheel(std::env::consts::ARCH)?;
    let program = wheel.programs.iter().find(|known| known.name == program)?;
    Some(program.sha256)
}

/// Reads the name of a server that the user gives.
fn server_name(text: &str) -> Result<ServerName> {
    text.parse().map_err(|why: String| {
        Error::usage(
            format!(
                "\"{}\" is no name of a server: {why}",
                crate::cluster::printable(text, 60)
            ),
            "see `{rcluster} server list`",
        )
    })
}

impl UsableServer {
    /// An installed one whose record is readable.
    fn installed(server: &InstalledServer) -> Option<Self> {
        let record = server.record.as_ref().ok()?;
        Some(Self {
            name: Some(server.name.to_string()),
            kind: record.kind.clone(),
            version: record.version.clone(),
            path: server.program(record.server()),
        })
    }
}
