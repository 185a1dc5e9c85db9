//! `rcluster logs`.

use std::io;
use std::process::ExitCode;

use super::Call;
use crate::cli::LogsArgs;
use crate::error::{Error, Result};
use crate::ops::{self, LogStart, LogsWish};
use crate::report::LogPrinter;
use crate::sys;

/// How many lines of each node are shown before it is followed.
const LAST: u64 = 10;

pub(super) async fn run(call: &Call, args: &LogsArgs) -> Result<ExitCode> {
    let context = &call.context;
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
        printer.end(&problems).map_err(|source| Error::Io {
            what: "write the answer".into(),
            source,
        })?;
    }
    Ok(ExitCode::SUCCESS)
}
