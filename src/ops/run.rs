//! `run`: a command of the user's with a cluster of its own.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};

use super::env::{VARIABLES, Variable};
use crate::cluster::printable;
use crate::error::{Error, Result};
use crate::event::Events;
use crate::server::{NoCommand, look_for_command};
use crate::sys::StartedAs;
use crate::sys::process::Process;
use crate::sys::signals::{Caught, Signals};

/// "Exec format error" (execve(2)); the same number on every Linux.
const ENOEXEC: i32 = 8;

/// A command of the user's.
#[derive(Clone, Debug)]
pub struct Command {
    /// Its name and its arguments; at least one word.
    words: Vec<OsString>,
    /// What it gets of ours.
    started_as: StartedAs,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunEnd {
    /// Its exit code, or 128 and the number of the signal that ended it.
    pub code: u8,
}

impl Command {
    /// The command `words`, to be run as we were started. Refuses what is no program.
    pub fn new(words: &[OsString], started_as: &StartedAs) -> Result<Self> {
        let command = Self {
            words: words.to_vec(),
            started_as: started_as.clone(),
        };
        let Some(program) = words.first() else {
            return Err(Error::usage(
                "there is no command to run",
                "name one behind --: {rcluster} run -- CMD",
            ));
        };
        look_for_command(program).map_err(|why| match why {
            NoCommand::Missing => command.cannot_be_run(None),
            NoCommand::NotExecutable(why) => command.cannot_be_run(Some(format!("it is {why}"))),
            NoCommand::NoInterpreter(path) => {
                command.cannot_be_run(Some(format!("its interpreter {path} is not there")))
            }
        })?;
        Ok(command)
    }

    /// Its name.
    pub fn name(&self) -> String {
        match self.words.first() {
            Some(name) if name.is_empty() => "\"\"".into(),
            Some(name) => printable(&name.to_string_lossy(), 80),
            None => String::new(),
        }
    }

    fn cannot_be_run(&self, why: Option<String>) -> Error {
        let name = self.name();
        Error::NoCommand { name, why }
    }

    fn spawn(&self, variables: &[Variable]) -> Result<tokio::process::Child> {
        let (program, arguments) = self.words.split_first().ok_or(Error::NoCommand {
            name: String::new(),
            why: None,
        })?;
        let spawned = match self.try_spawn(program, None, arguments, variables) {
            // A script without a first line that says whose it is: sh's, to whoever calls execvp(3).
            Err(error) if error.raw_os_error() == Some(ENOEXEC) => {
                let script = look_for_command(program).unwrap_or_else(|_| program.into());
                self.try_spawn(OsStr::new("/bin/sh"), Some(script), arguments, variables)
            }
            spawned => spawned,
        };
        spawned.map_err(|error| match error.kind() {
            // Its interpreter may be missing where it is not.
            io::ErrorKind::NotFound if look_for_command(program).is_err() => {
                self.cannot_be_run(None)
            }
            _ => self.cannot_be_run(Some(error.to_string())),
        })
    }

    fn try_spawn(
        &self,
        program: &OsStr,
        script: Option<PathBuf>,
        arguments: &[OsString],
        variables: &[Variable],
    ) -> io::Result<tokio::process::Child> {
        let mut command = tokio::process::Command::new(program);
        // What is left of another cluster in our environment would lead to that one.
        for name in VARIABLES {
            command.env_remove(name);
        }
        command
            .args(script)
            .args(arguments)
            .envs(
                variables
                    .iter()
                    .map(|variable| (variable.name, variable.expose())),
            )
            .stdin(Stdio::inherit())
            .stdout(Stdio::inherit())
            .stderr(Stdio::inherit());
        // In our process group, so that it owns the terminal as we do.
        self.started_as.for_programs(|| command.spawn())
    }
}

/// Runs `command` with `cluster` in its environment to its end. Signals that reach us are passed on
/// to it, those first that came `early`; but not those that it gets from the terminal as we do.
pub async fn run(
    command: &Command,
    variables: &[Variable],
    signals: &mut Signals,
    early: &[Caught],
    events: &Events,
) -> Result<RunEnd> {
    let failed = |source| Error::Io {
        what: format!("wait for {}", command.name()),
        source,
    };
    let mut child = command.spawn(variables)?;
    let process = child.id().map(Process::of_child);
    let process = process.transpose().map_err(failed)?;
    let pass_on = |caught: Caught| {
        let Some(process) = process.as_ref().filter(|_| !caught.to_group) else {
            return;
        };
        // It may have become somebody else's (sudo): it is waited for all the same.
        if let Err(error) = process.pass_on(caught.number) {
            let name = command.name();
            events.note(format!(
                "signal {} could not be passed on to {name}: {error}",
                caught.number
            ));
        }
    };
    early.iter().copied().for_each(pass_on);
    let status = loop {
        tokio::select! {
            ended = child.wait() => break ended.map_err(failed)?,
            caught = signals.next() => pass_on(caught),
        }
    };
    // What came before we heard of the command's end was the command's, whether or not we have heard of
    // it yet: a terminal signals all of its group before any of them can end. This says so by order, and
    // not by time.
    signals.forget();
    Ok(RunEnd { code: code(status) })
}

/// As a shell tells it.
fn code(status: ExitStatus) -> u8 {
    let code = match (status.code(), status.signal()) {
        (Some(code), _) => code,
        (None, Some(signal)) => 128 + signal,
        (None, None) => 255,
    };
    u8::try_from(code).unwrap_or(255)
}
