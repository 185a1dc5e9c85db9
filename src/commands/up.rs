//! `rcluster up`.

use std::process::ExitCode;

use super::{Call, died_by};
use crate::cli::{RestartPolicy, UpArgs};
use crate::error::{Error, Result};
use crate::ops::{self, Foreground, Restart};
use crate::report::{LogPrinter, Shown};
use crate::sys::signals::Signals;

pub(super) async fn run(call: &Call, args: &UpArgs) -> Result<ExitCode> {
    if args.foreground {
        return foreground(call, args).await;
    }
    let answer = ops::up(&call.context, &call.wish).await?;
    call.answer(&Shown::Formed(&answer))?;
    Ok(ExitCode::SUCCESS)
}

/// Stays with the cluster until it ends, or a signal ends us and it.
async fn foreground(call: &Call, args: &UpArgs) -> Result<ExitCode> {
    let mut signals = Signals::catch(false).map_err(|source| Error::Io {
        what: "catch signals".into(),
        source,
    })?;
    let restart = match args.restart {
        RestartPolicy::Never => Restart::Never,
        RestartPolicy::OnFailure => Restart::OnFailure,
    };
    let mut cluster = Foreground::new(&call.context, restart);
    let caught = tokio::select! {
        ended = stay(call, args, &mut cluster) => match ended {
            Err(Error::Io { source, what }) if source.kind() == std::io::ErrorKind::BrokenPipe => {
                if !args.keep {
                    cluster.tear_down().await?;
                }
                return Err(Error::Io { what, source });
            }
            ended => return ended,
        },
        caught = signals.next_end() => caught,
    };
    call.progress.finish();
    if args.keep {
        call.context
            .events
            .note("the nodes keep running; `{rcluster} stop` ends them");
        return Ok(died_by(caught.number));
    }
    tokio::select! {
        ended = cluster.tear_down() => ended?,
        // Whoever asks twice does not want to wait.
        _ = signals.next_end() => cluster.end_at_once().await?,
    }
    Ok(died_by(caught.number))
}

async fn stay(call: &Call, args: &UpArgs, cluster: &mut Foreground) -> Result<ExitCode> {
    let answer = cluster.up(&call.wish).await?;
    call.answer(&Shown::Formed(&answer))?;
    call.progress.finish_with_lines();
    let events = &call.context.events;
    events.note(match (args.keep, cluster.is_made_here()) {
        (true, _) => "Ctrl-C leaves the nodes running",
        (false, true) => "Ctrl-C stops the nodes and deletes their data",
        (false, false) => "Ctrl-C stops the nodes; their data is kept",
    });
    let silent = call.report.json || call.report.quiet;
    let mut printer = LogPrinter::new(&call.report, &answer.name, true);
    cluster
        .watch(&mut |lines| {
            if silent {
                return Ok(());
            }
            printer.lines(lines)
        })
        .await?;
    Ok(ExitCode::SUCCESS)
}
