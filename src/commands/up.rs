//! `rcluster up`.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::ExitCode;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::oneshot;

use super::Call;
use crate::cli::{RestartPolicy, UpArgs};
use crate::error::{Error, Result};
use crate::ops::{self, Foreground, NodeLine, Restart};
use crate::report::{LogPrinter, Shown};
use crate::sys::reader_is_gone;
use crate::sys::signals::Signals;

/// How long the last lines may take to be read.
const LAST_LINES: Duration = Duration::from_secs(5);

/// How many batches of lines may wait to be read.
const QUEUE: usize = 256;

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
    let mut writer = None;
    let over = tokio::select! {
        over = stay(call, args, &mut cluster, &mut writer) => over,
        caught = signals.next_end() => Ok(Over::Caught(caught.number)),
    };
    if let (Ok(Over::Stopped) | Err(_), Some(writer)) = (&over, writer) {
        // The last lines say why. Whoever does not read them can press Ctrl-C, which is about them alone.
        tokio::select! {
            _ = tokio::time::timeout(LAST_LINES, writer.finish()) => {}
            _ = signals.next_end() => {}
        }
    }
    call.progress.finish();
    let over = match over {
        Ok(over) => over,
        Err(error) => {
            if !args.keep && !args.shape.retain {
                // The first failure is the one to know of.
                let give_up = async |grace| cluster.give_up(grace).await;
                if let Cleared::Abandoned(number) = clear_away(give_up, &mut signals).await {
                    return Ok(call.die_by(number));
                }
            }
            return Err(error);
        }
    };
    match &over {
        Over::Stopped => return Ok(ExitCode::SUCCESS),
        _ if args.keep => call.context.events.note(format!(
            "the nodes keep running; `{} stop` ends them",
            call.report.program
        )),
        _ => {
            let tear_down = async |grace| cluster.tear_down(grace).await;
            match clear_away(tear_down, &mut signals).await {
                Cleared::Done(done) => done?,
                Cleared::Abandoned(number) => return Ok(call.die_by(number)),
            }
        }
    }
    match over {
        Over::Stopped => Ok(ExitCode::SUCCESS),
        Over::Caught(number) => Ok(call.die_by(number)),
        Over::Unread(error) => Err(error),
    }
}

/// How clearing away has ended.
enum Cleared {
    /// By itself.
    Done(Result<()>),
    /// By a third signal, this one.
    Abandoned(i32),
}

/// Clears away with `work`, which takes the time that nodes get to end by themselves. Whoever asks twice
/// does not want to wait for them, and whoever asks three times for nothing at all.
async fn clear_away(
    work: impl AsyncFn(Option<Duration>) -> Result<()>,
    signals: &mut Signals,
) -> Cleared {
    tokio::select! {
        done = work(None) => return Cleared::Done(done),
        _ = signals.next_end() => {}
    }
    tokio::select! {
        done = work(Some(Duration::ZERO)) => Cleared::Done(done),
        caught = signals.next_end() => Cleared::Abandoned(caught.number),
    }
}

/// Why we stay no longer.
enum Over {
    /// Somebody else has stopped the cluster.
    Stopped,
    /// This signal came.
    Caught(i32),
    /// Nobody takes what we write.
    Unread(Error),
}

/// Brings the cluster up and shows its logs, by the `writer` that is made then, until it is over.
async fn stay(
    call: &Call,
    args: &UpArgs,
    cluster: &mut Foreground,
    writer: &mut Option<Writer>,
) -> Result<Over> {
    let answer = cluster.up(&call.wish).await?;
    if let Err(error) = call.answer(&Shown::Formed(&answer)) {
        return unread(error);
    }
    call.progress.finish_with_lines();
    let events = &call.context.events;
    events.note(match (args.keep, cluster.is_made_here()) {
        (true, _) => "Ctrl-C leaves the nodes running",
        (false, true) => "Ctrl-C stops the nodes and deletes their data",
        (false, false) => "Ctrl-C stops the nodes; their data is kept",
    });
    let silent = call.report.json || call.report.quiet;
    let writer = writer.insert(Writer::new(LogPrinter::new(
        &call.report,
        &answer.name,
        true,
    ))?);
    let mut show = |lines: &[NodeLine]| {
        if silent { Ok(()) } else { writer.write(lines) }
    };
    let watched = cluster.watch(&mut show).await;
    watched.map_or_else(unread, |()| Ok(Over::Stopped))
}

fn unread(error: Error) -> Result<Over> {
    if error.is_unwritten() {
        Ok(Over::Unread(error))
    } else {
        Err(error)
    }
}

/// Writes lines of logs on a thread of its own: a terminal that was stopped (Ctrl-S), or a pager that
/// is not read on, must keep us from nothing.
struct Writer {
    lines: Option<SyncSender<Vec<NodeLine>>>,
    thread: Option<JoinHandle<io::Result<()>>>,
    /// Closed when the thread has ended.
    ended: oneshot::Receiver<()>,
    /// Where they go.
    out: OwnedFd,
}

impl Writer {
    fn new(mut printer: LogPrinter) -> Result<Self> {
        let out = printer.as_fd().try_clone_to_owned();
        let out = out.map_err(|source| Error::Io {
            what: "look at standard output".into(),
            source,
        })?;
        let (lines, come) = sync_channel::<Vec<NodeLine>>(QUEUE);
        let (ends, ended) = oneshot::channel();
        let write = move || {
            let _ends: oneshot::Sender<()> = ends;
            come.iter().try_for_each(|lines| printer.lines(&lines))
        };
        let thread = thread::Builder::new().name("logs".into()).spawn(write);
        let thread = thread.map_err(|source| Error::Io {
            what: "start a thread".into(),
            source,
        })?;
        Ok(Self {
            lines: Some(lines),
            thread: Some(thread),
            ended,
            out,
        })
    }

    /// Hands lines on. Of those that nobody has read for long, the newest are left out.
    fn write(&mut self, lines: &[NodeLine]) -> io::Result<()> {
        // Where no node writes, a reader that went away would never be noticed.
        let is_over = self.thread.as_ref().is_some_and(JoinHandle::is_finished);
        if is_over || reader_is_gone(&self.out) {
            return self
                .finish_writing()
                .and(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let sent = match &self.lines {
            Some(queue) if !lines.is_empty() => queue.try_send(lines.to_vec()),
            _ => Ok(()),
        };
        match sent {
            Ok(()) | Err(TrySendError::Full(_)) => Ok(()),
            Err(TrySendError::Disconnected(_)) => self.finish_writing(),
        }
    }

    /// Waits until everything is written, or cannot be: standard output that fails now keeps nobody from
    /// anything.
    async fn finish(mut self) {
        drop(self.lines.take());
        self.ended.await.ok();
    }

    fn finish_writing(&mut self) -> io::Result<()> {
        drop(self.lines.take());
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(written)) => written,
            Some(Err(_)) | None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }
}
