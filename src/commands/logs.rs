//! `rcluster logs`.

use std::io;
use std::path::Path;
use std::process::ExitCode;

use super::Call;
use crate::cli::LogsArgs;
use crate::error::{Error, Result};
use crate::ops::{self, LogStart, LogsWish};
use crate::report::{LogPrinter, Shown, Sight};
use crate::sys;

/// How many lines of each node are shown before it is followed.
const LAST: u64 = 10;

pub(super) async fn run(call: &Call, args: &LogsArgs) -> Result<ExitCode> {
    let context = &call.context;
    if let Some(directory) = &args.export {
        return export(call, args, directory).await;
    }
    if args.errors {
        let troubles = ops::troubles(context, &args.nodes, args.since).await?;
        call.answer(&Shown::Troubles(&troubles))?;
        return Ok(if troubles.found.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(5)
        });
    }
    let tail = args
        .tail
        .or((args.follow && args.since.is_none()).then_some(LAST));
    let wish = LogsWish {
        targets: args.nodes.clone(),
        start: tail.map_or(LogStart::First, LogStart::Last),
        since: args.since,
    };
    let mut printer = LogPrinter::new(&call.report, context.name.as_str(), args.follow);
    if args.follow {
        let mut show = |lines: &[_]| {
            printer.lines(lines)?;
            // Whoever read the last line may be gone before there is another.
            if sys::reader_is_gone(&printer) {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            Ok(())
        };
        ops::follow_logs(context, &wish, &mut show).await?;
    } else {
        let problems = ops::logs(context, &wish, &mut |lines| printer.lines(lines)).await?;
        printer.end(&problems).map_err(Error::unwritten)?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn export(call: &Call, args: &LogsArgs, directory: &Path) -> Result<ExitCode> {
    let context = &call.context;
    let report = &call.report;
    let mut texts = vec![("versions.json", report.for_file(&Shown::Version, true))];
    // What cannot be seen is told by its file too, and the rest is exported all the same.
    texts.push(match ops::status(context).await {
        Ok(mut answer) => {
            ops::scrub(context, &mut answer)?;
            let sight = Sight {
                terminal: None,
                all: true,
            };
            let text = report.for_file(&Shown::Status(&answer, sight), true);
            ("status.json", text)
        }
        Err(error @ Error::NoSuchCluster { .. }) => return Err(error),
        Err(error) => ("status.txt", format!("{error}\n")),
    });
    texts.push((
        "errors.txt",
        match ops::troubles(context, &args.nodes, None).await {
            Ok(troubles) => report.for_file(&Shown::Troubles(&troubles), false),
            Err(error @ Error::Usage { .. }) => return Err(error),
            Err(error) => format!("{error}\n"),
        },
    ));
    let exported = ops::export(context, &args.nodes, directory, &texts).await?;
    call.answer(&Shown::Exported(&exported))?;
    Ok(ExitCode::SUCCESS)
}
