//! `rcluster man`.

use std::fs::{self, Permissions};
use std::io::{self, IsTerminal as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use super::Call;
use crate::cli::{ManArgs, Page, pages};
use crate::cluster::printable;
use crate::error::{Error, Result};
use crate::report::Shown;

pub(super) fn run(call: &Call, args: &ManArgs) -> Result<ExitCode> {
    let pages = pages();
    if let Some(dir) = &args.out {
        let names = write(&pages, dir)?;
        call.answer(&Shown::Pages(dir, &names))?;
        return Ok(ExitCode::SUCCESS);
    }
    let name = args.verb.join("-");
    let name = match name.as_str() {
        "" | "rcluster" => "rcluster".to_owned(),
        name if name.starts_with("rcluster-") => name.to_owned(),
        name => format!("rcluster-{name}"),
    };
    let Some(page) = pages.iter().find(|page| page.name == name) else {
        let verb = printable(&args.verb.join(" "), 60);
        let verbs = "`{rcluster} --help` lists the verbs";
        return Err(Error::usage(format!("there is no verb `{verb}`"), verbs));
    };
    if !call.report.json && io::stdout().is_terminal() {
        call.progress.finish();
        let Err(why) = show(call, page) else {
            return Ok(ExitCode::SUCCESS);
        };
        call.report.say(&format!("{why}; this is --help"));
        call.answer(&Shown::Page(&page.name, &page.help))?;
    } else {
        call.answer(&Shown::Page(&page.name, &page.roff))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Shows a page with man(1), or says why it cannot be shown.
fn show(call: &Call, page: &Page) -> Result<(), String> {
    let mut man = Command::new("man");
    man.args(["-l", "-"]).stdin(Stdio::piped());
    let man = call.started_as.for_programs(|| man.spawn());
    let mut man = man.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => "`man` is not installed".to_owned(),
        _ => format!("`man` could not be started: {error}"),
    })?;
    if let Some(mut pipe) = man.stdin.take() {
        // It may end before it has read all: whoever looks at it decides.
        pipe.write_all(page.roff.as_bytes()).ok();
    }
    match man.wait() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`man` failed ({status})")),
        Err(error) => Err(format!("`man` could not be waited for: {error}")),
    }
}

/// Writes all pages, for everybody to read: they may be the system's.
fn write(pages: &[Page], dir: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    let missing: Vec<&Path> = dir.ancestors().take_while(|dir| !dir.exists()).collect();
    fs::create_dir_all(dir).map_err(Error::io("make", dir))?;
    for made in missing.iter().filter(|dir| dir.is_dir()) {
        let permissions = Permissions::from_mode(0o755);
        fs::set_permissions(made, permissions).map_err(Error::io("make", made))?;
    }
    for page in pages {
        let name = format!("{}.1", page.name);
        let path = dir.join(&name);
        fs::write(&path, &page.roff).map_err(Error::io("write", &path))?;
        let permissions = Permissions::from_mode(0o644);
        fs::set_permissions(&path, permissions).map_err(Error::io("write", &path))?;
        names.push(name);
    }
    Ok(names)
}
