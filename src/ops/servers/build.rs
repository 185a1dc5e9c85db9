//! Installing a server that is built from its source.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use super::install::{self, DISK_HINT, InstallWish, is_disk_full, is_whole, take_program};
use super::server_name;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::ops::context::Context;
use crate::server::{Binary, Source, ToolEnd, built_programs, jobs, version_of_source};
use crate::store::{InstalledServer, Origin, ServerName, ServersLock, Staging};

/// Copying such a directory would copy the copy.
pub(super) fn refuse_home_inside(context: &Context, source: &Source) -> Result<()> {
    // What does not exist yet is nowhere.
    let real = |path: &Path| path.ancestors().find_map(|path| path.canonicalize().ok());
    if let (Some(home), Some(from)) = (real(context.home.path()), real(source.path()))
        && home.starts_with(&from)
    {
        return Err(Error::usage(
            format!(
                "--from {} has rcluster's home in it: {}",
                from.display(),
                home.display()
            ),
            "pass the directory of the source alone, or another --home",
        ));
    }
    Ok(())
}

/// Builds the server in `source` and installs it, unless the same build is there and whole. Says
/// whether it did anything.
pub(super) async fn install(
    context: &Context,
    lock: &ServersLock,
    source: &Source,
    name: Option<&ServerName>,
    wish: &InstallWish,
) -> Result<(InstalledServer, bool)> {
    let origin = Origin::Source {
        from: source.path().to_owned(),
        digest: source.digest()?,
        make: source.arguments().to_vec(),
    };
    if !wish.force
        && let Some(server) = same_build(context, lock, &origin, name)?
    {
        return Ok((server, false));
    }
    let staging = lock.stage()?;
    let root = unpack(context, &staging, source, wish).await?;
    // Whoever knows beforehand what it will be need not wait for the refusal.
    let expected = version_of_source(&root).map(|(kind, version)| format!("{kind}-{version}"));
    let expected = match name {
        Some(name) => Some(name.clone()),
        None => expected.as_deref().map(server_name).transpose()?,
    };
    if let Some(name) = &expected {
        refuse_replacing(context, lock, name, &origin, wish)?;
    }
    let what = expected.as_ref().map_or_else(
        || source.path().display().to_string(),
        ServerName::to_string,
    );
    make(context, &staging, source, (&root, &what), wish).await?;

    let built = built_programs(&root);
    let Some((server, _)) = built.first() else {
        return Err(failed(
            &staging,
            "make built no src/redis-server and no src/valkey-server",
            Vec::new(),
        )?);
    };
    let mut programs = BTreeMap::new();
    for (program, path) in &built {
        let file = File::open(path).map_err(Error::io("open", path))?;
        let digest = take_program(&staging, program, file)?;
        programs.insert((*program).to_owned(), digest);
    }
    let binary = match Binary::probe(&staging.program(server)).await {
        Ok(binary) => binary,
        Err(error) => {
            return Err(failed(
                &staging,
                &format!("what was built does not run: {error}"),
                Vec::new(),
            )?);
        }
    };
    let name = match name {
        Some(name) => name.clone(),
        None => server_name(&format!("{}-{}", binary.kind, binary.version))?,
    };
    if expected.as_ref() != Some(&name) {
        refuse_replacing(context, lock, &name, &origin, wish)?;
    }
    let record = install::record(&binary, origin, programs);
    let server = staging.publish(&name, &record)?;
    lock.remove_failed_log()?;
    Ok((server, true))
}

/// The installed server that is this very build, if it is whole.
fn same_build(
    context: &Context,
    lock: &ServersLock,
    origin: &Origin,
    name: Option<&ServerName>,
) -> Result<Option<InstalledServer>> {
    for server in lock.servers().all()? {
        let is_same = |record: &crate::store::ServerRecord| same_source(&record.origin, origin);
        if name.is_none_or(|name| *name == server.name) && server.record.as_ref().is_ok_and(is_same)
        {
            return is_whole(context, lock, &server.name);
        }
    }
    Ok(None)
}

/// Whether two origins are the same bytes, built in the same way, wherever they lay.
fn same_source(one: &Origin, other: &Origin) -> bool {
    match (one, other) {
        (
            Origin::Source { digest, make, .. },
            Origin::Source {
                digest: other_digest,
                make: other_make,
                ..
            },
        ) => digest == other_digest && make == other_make,
        _ => false,
    }
}

/// Refuses to replace a server that comes from elsewhere, unless it is damaged or the user insists.
fn refuse_replacing(
    context: &Context,
    lock: &ServersLock,
    name: &ServerName,
    origin: &Origin,
    wish: &InstallWish,
) -> Result<()> {
    lock.check_place(name)?;
    let Some(there) = lock.servers().get(name)? else {
        return Ok(());
    };
    let from = |origin: &Origin| match origin {
        Origin::Source { from, .. } => Some(from.clone()),
        Origin::Wheel { .. } => None,
    };
    let Ok(record) = &there.record else {
        return Ok(());
    };
    // A source that was changed since is built again without a word.
    let is_other = from(&record.origin).is_none_or(|path| Some(path) != from(origin));
    if wish.force || !is_other || is_whole(context, lock, name)?.is_none() {
        return Ok(());
    }
    Err(Error::Conflict {
        message: format!("{name} is installed already: {}", record.origin),
        hint: "call it something else (`{rcluster} server install NAME --from …`), or replace it with --force".into(),
    })
}

async fn unpack(
    context: &Context,
    staging: &Staging<'_>,
    source: &Source,
    wish: &InstallWish,
) -> Result<PathBuf> {
    let tool = source
        .unpack(&staging.work())
        .env("TMPDIR", staging.temporary());
    let shown = source.path().display();
    let what = format!("{} to unpack {shown}", tool.name());
    let end = context.run_tool(&tool, None, &what, wish.limit).await?;
    if !end.success {
        let lacks = |line: &String| line.contains("Cannot exec");
        let lacks_program = end.last.iter().any(lacks);
        let unfit = lacks_program || is_disk_full(&end.last);
        let hint = if lacks_program {
            "install the program that tar did not find (Debian: apt-get install gzip bzip2 xz-utils)"
        } else if unfit {
            DISK_HINT
        } else {
            "pass a release tarball of Redis or Valkey, or the directory that one was unpacked to"
        };
        return Err(Error::Tool {
            message: format!("{} could not unpack {shown}: it {}", tool.name(), end.how),
            said: end.last,
            hint: hint.into(),
            unfit,
        });
    }
    source.root(&staging.work())
}

async fn make(
    context: &Context,
    staging: &Staging<'_>,
    source: &Source,
    (root, what): (&Path, &str),
    wish: &InstallWish,
) -> Result<()> {
    context.events.emit(Event::Building {
        what: what.to_owned(),
        jobs: jobs(),
    });
    let tool = source.build(root).env("TMPDIR", staging.temporary());
    let log = staging.log()?;
    let waited = format!("make to build {what}");
    let ToolEnd { success, how, last } = context
        .run_tool(&tool, Some(&log), &waited, wish.limit)
        .await?;
    if success {
        return Ok(());
    }
    Err(failed(
        staging,
        &format!("make could not build {what}: it {how}"),
        last,
    )?)
}

/// The error of a build that failed, and its log in a place that stays.
fn failed(staging: &Staging, message: &str, last: Vec<String>) -> Result<Error> {
    let log = staging.keep_log()?;
    // Where make goes in and out says nothing of what went wrong.
    let is_way = |line: &String| line.starts_with("make[") && line.contains(" directory ");
    let last: Vec<String> = last.into_iter().filter(|line| !is_way(line)).collect();
    let unfit = is_disk_full(&last);
    let hint = if unfit {
        DISK_HINT.to_owned()
    } else {
        "read the log from its first error on; where a library is missing, install it or leave it out (--make-arg MALLOC=libc does without jemalloc)".to_owned()
    };
    Ok(Error::Tool {
        message: format!("{message}; its whole output is in {}", log.display()),
        said: last,
        hint,
        unfit,
    })
}
