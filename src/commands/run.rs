//! `rcluster run`.

use std::env;
use std::io;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use super::{Call, NOWHERE, origin};
use crate::cli::RunArgs;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::ops::{self, Command, Context, Temporary, TemporaryWish};
use crate::report::Report;
use crate::settings::Origin;
use crate::store::Home;
use crate::sys::signals::Signals;

/// What a cluster that could not be had, or could not be cleared away, is to whoever waits for the
/// command.
const OUR_FAILURE: u8 = 125;

/// How long after the command's end a signal that reached both of us may take to be heard here.
const MEANT_FOR_COMMAND: Duration = Duration::from_millis(300);

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
    let command = Command::new(&args.command, &call.started_as)?;
    let mut signals = Signals::catch(true).map_err(|source| Error::Io {
        what: "catch signals".into(),
        source,
    })?;
    let context = Context {
        home: readable(call),
        ..call.context.clone()
    };
    let wish = TemporaryWish {
        start: call.wish.clone(),
        parent: args.tmp_dir.clone(),
        program: env::current_exe().ok(),
    };
    let mut early = Vec::new();
    let mut start = Box::pin(Temporary::start(&context, &wish));
    let cluster = loop {
        tokio::select! {
            started = &mut start => break started?,
            caught = signals.next() => {
                if !caught.ends() {
                    early.push(caught);
                    continue;
                }
                // What was begun is gone with it.
                drop(start);
                interrupted(&call.report);
                return Ok(call.die_by(caught.number));
            }
        }
    };
    drop(start);
    call.progress.show(&Event::Running {
        command: command.name(),
        cluster: cluster.to_string(),
        after: cluster.answer.elapsed,
    });
    // Nothing of ours is drawn over what the command says.
    call.progress.finish_with_lines();
    let variables = cluster.variables()?;
    let events = &call.context.events;
    let ended = ops::run(&command, &variables, &mut signals, &early, events).await;
    let over = Instant::now();
    let mut end = Box::pin(cluster.end());
    let removed = loop {
        tokio::select! {
            removed = &mut end => break removed,
            caught = signals.next_end() => {
                // What comes with the command's end was meant for it. Clearing away may keep us from
                // reading it for long, so what counts is when it came.
                if caught.at.saturating_duration_since(over) > MEANT_FOR_COMMAND {
                    drop(end);
                    return Ok(call.die_by(caught.number));
                }
            }
        }
    };
    let code = ended?.code;
    match removed {
        Err(error) if code == 0 => Err(error),
        Err(error) => {
            call.report.failure(&error);
            Ok(ExitCode::from(code))
        }
        Ok(()) => Ok(ExitCode::from(code)),
    }
}

fn interrupted(report: &Report) {
    if !report.json {
        report.say("interrupted; nothing is left of the cluster");
    }
}

/// The home that installed servers are looked for in. One that nobody named, and that we may not look
/// into, has none: a command in a container may run as somebody whose home is another's.
fn readable(call: &Call) -> Home {
    let home = &call.context.home;
    let is_named = origin(&call.settings, "home") != Some(&Origin::Default);
    match home.open() {
        Err(Error::Io { source, .. })
            if source.kind() == io::ErrorKind::PermissionDenied && !is_named =>
        {
            Home::new(NOWHERE.into())
        }
        _ => home.clone(),
    }
}
