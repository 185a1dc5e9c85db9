//! `rcluster run`.

use std::env;
use std::process::ExitCode;

use super::{Call, died_by};
use crate::cli::RunArgs;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::ops::{self, Command, Temporary, TemporaryWish};
use crate::report::Report;
use crate::sys::signals::Signals;

/// What a cluster that could not be had, or could not be cleared away, is to whoever waits for the
/// command.
const OUR_FAILURE: u8 = 125;

/// The exit code of a failure of ours.
pub(super) fn exit_code(error: &Error) -> u8 {
    match error {
        Error::NoCommand { .. } => error.exit_code(),
        _ => OUR_FAILURE,
    }
}

pub(super) async fn run(call: &Call, args: &RunArgs) -> Result<ExitCode> {
    if args.shape.retain {
        return Err(Error::usage(
            "--retain keeps what a failed start has made, and `run` keeps nothing",
            "leave it out; to look at a cluster that does not start: {rcluster} up --retain",
        ));
    }
    let started_as = &call.started_as;
    let command = Command::new(&args.command, started_as.umask, &started_as.descriptors)?;
    let mut signals = Signals::catch(true).map_err(|source| Error::Io {
        what: "catch signals".into(),
        source,
    })?;
    let wish = TemporaryWish {
        start: call.wish.clone(),
        parent: args.tmp_dir.clone(),
        program: env::current_exe().ok(),
    };
    let cluster = tokio::select! {
        started = Temporary::start(&call.context, &wish) => started?,
        // Dropped, what was begun is gone.
        caught = signals.next_end() => {
            interrupted(&call.report);
            return Ok(died_by(caught.number));
        }
    };
    call.progress.show(&Event::Running {
        command: command.name(),
        cluster: cluster.to_string(),
        after: cluster.answer.elapsed,
    });
    // Nothing of ours is drawn over what the command says.
    call.progress.finish_with_lines();
    let variables = cluster.variables()?;
    let ended = ops::run(&command, &variables, &mut signals).await;
    tokio::select! {
        removed = cluster.end() => {
            if let Err(error) = removed {
                call.report.failure(&error);
            }
        }
        caught = signals.next_end() => return Ok(died_by(caught.number)),
    }
    Ok(ExitCode::from(ended?.code))
}

fn interrupted(report: &Report) {
    if !report.json {
        report.say("interrupted; nothing is left of the cluster");
    }
}
