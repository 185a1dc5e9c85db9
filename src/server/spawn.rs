//! Spawning a server so that it outlives us and hears nothing of our terminal.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use crate::sys::process::{Process, Record};

/// What a server may need of our environment; a secret in the rest is none of its business.
const ENVIRONMENT: [&str; 8] = [
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "MALLOC_CONF",
];

/// The part of our environment that servers get.
pub(super) fn environment() -> impl Iterator<Item = (&'static str, OsString)> {
    let names = ENVIRONMENT.iter();
    names.filter_map(|name| Some((*name, std::env::var_os(name)?)))
}

/// A server that we spawned and have not let go.
///
/// It is not in our process group, so that Ctrl-C in our terminal reaches only us, and it is not
/// ended when this is dropped: it is meant to stay.
#[derive(Debug)]
pub struct Child {
    child: std::process::Child,
    process: Process,
}

/// The name by which a server in `dir` finds its configuration. From 7.0 on servers take the absolute
/// path for a pattern if it looks like one, and run with their defaults, on port 6379 of all addresses,
/// when nothing matches (`loadServerConfig` in config.c). The other name is no pattern, whatever the
/// directory is called; it is not for everybody, because people read it in `INFO`.
fn configuration(dir: &Path) -> &'static str {
    let is_pattern = |byte: &u8| matches!(byte, b'*' | b'?' | b'[');
    // What the server will see: no link in it.
    let dir = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    if dir.as_os_str().as_bytes().iter().any(is_pattern) {
        "/proc/self/cwd/redis.conf"
    } else {
        "redis.conf"
    }
}

/// Runs `binary redis.conf --daemonize no --name value…` in `dir`, with its output going to `log`,
/// in the process group `group`, else in one of its own.
pub fn spawn(
    binary: &Path,
    dir: &Path,
    log: &File,
    values: &[(&str, String)],
    group: Option<u32>,
) -> io::Result<Child> {
    let arguments = values
        .iter()
        .flat_map(|(name, value)| [OsString::from(format!("--{name}")), value.into()]);
    let child = Command::new(binary)
        .arg(configuration(dir))
        // Whatever the file says by now: a server that forks is no child of ours any more.
        .args(["--daemonize", "no"])
        .args(arguments)
        .current_dir(dir)
        .env_clear()
        .envs(environment())
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log.try_clone()?)
        .process_group(
            group
                .and_then(|group| i32::try_from(group).ok())
                .unwrap_or(0),
        )
        .spawn()?;
    let process = Process::of_child(child.id())?;
    Ok(Child { child, process })
}

impl Child {
    /// Its PID.
    pub fn pid(&self) -> i32 {
        self.process.pid()
    }

    /// What to write down, to find it again.
    pub fn record(&self) -> Record {
        self.process.record()
    }

    /// How it ended, if it has. Reaps it.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Lets go of the child and keeps the process.
    pub fn into_process(self) -> Process {
        self.process
    }
}
