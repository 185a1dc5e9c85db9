//! What happens, while it happens: a bar on a terminal, lines in a log.

use std::io::Write as _;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Report;
use super::style::Style;
use crate::event::Event;

/// How many lines may wait to be read.
const QUEUE: usize = 1024;

/// How long the last lines may take to be read.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Shows events on standard error.
#[derive(Debug)]
pub struct Progress {
    bar: Option<Mutex<ProgressBar>>,
    /// The way of lines when the bar is taken away for good.
    queue: OnceLock<Option<Queue>>,
    quiet: bool,
    json: bool,
    verbose: bool,
    style: Style,
    /// The program with the options that name the cluster.
    program: String,
}

impl Progress {
    /// A bar if standard error is a terminal (`terminal`), else lines, as much as `report` wants:
    /// with `quiet` only warnings; with `json` not even those, since standard error may carry a
    /// document.
    pub fn new(terminal: bool, verbose: bool, report: &Report) -> Self {
        let (json, style) = (report.json, report.err);
        let quiet = report.quiet || json;
        let bar = (terminal && !quiet).then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            let template = ProgressStyle::with_template("{spinner} {wide_msg}")
                .unwrap_or_else(|_| ProgressStyle::default_spinner());
            bar.set_style(template);
            Mutex::new(bar)
        });
        Self {
            bar,
            queue: OnceLock::new(),
            quiet,
            json,
            verbose,
            style,
            program: report.program.clone(),
        }
    }

    /// Shows `event`.
    pub fn show(&self, event: &Event) {
        if self.quiet {
            if let (Event::Warning(text), false) = (event, self.json) {
                self.print(event, text);
            }
            return;
        }
        let bar = self.bar.as_ref();
        let Some(bar) = bar.filter(|_| self.queue.get().is_none()) else {
            if let Some(line) = line(event, self.verbose) {
                self.print(event, &line);
            }
            return;
        };
        let bar = bar.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Note(_)
            | Event::Warning(_)
            | Event::Died { .. }
            | Event::Killed { .. }
            | Event::Running { .. }
            | Event::Detail(_) => {
                if let Some(line) = line(event, self.verbose) {
                    bar.suspend(|| self.print(event, &line));
                }
            }
            // In the bar a line would be gone with the next one.
            Event::Said { .. } if self.verbose => {
                bar.suspend(|| self.print(event, &state(event)));
            }
            _ => {
                bar.set_message(state(event));
                bar.enable_steady_tick(Duration::from_millis(100));
            }
        }
    }

    /// Takes the bar away, before anything else is written.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .finish_and_clear();
        }
    }

    /// The same for good: what comes is shown in lines, among what nodes or programs write. They are
    /// written by a thread of their own: a pager that is not read on must keep us from nothing. Of
    /// those that nobody has read for long, the newest are left out.
    pub fn finish_with_lines(&self) {
        self.finish();
        self.queue.get_or_init(Queue::new);
    }

    /// Waits until all that was shown is written, but not for long. `false` if it was not: whoever
    /// writes to standard error now waits for somebody to read it.
    pub fn drain(&self) -> bool {
        let queue = self.queue.get().and_then(Option::as_ref);
        queue.is_none_or(Queue::drain)
    }

    fn print(&self, event: &Event, line: &str) {
        let line = &super::with_program(line, &self.program);
        let line = match event {
            Event::Note(_) | Event::Killed { .. } => format!("{} {line}", self.style.warn("note:")),
            Event::Warning(_) | Event::Died { .. } => {
                format!("{} {line}", self.style.bad("warning:"))
            }
            _ => line.to_owned(),
        };
        match self.queue.get().and_then(Option::as_ref) {
            Some(queue) => queue.write(line),
            None => write(&line),
        }
    }
}

fn write(line: &str) {
    // A closed standard error is no reason to stop.
    writeln!(std::io::stderr().lock(), "{line}").ok();
}

/// Lines for a thread that writes them.
#[derive(Debug)]
struct Queue {
    lines: SyncSender<Queued>,
    /// Says that all lines before an end were written, by its number; and the last number.
    written: Mutex<(Receiver<u64>, u64)>,
}

#[derive(Debug)]
enum Queued {
    Line(String),
    /// To be told when all lines before are written.
    End(u64),
}

impl Queue {
    /// None if there can be no thread: then lines are written by whoever has them.
    fn new() -> Option<Self> {
        let (lines, come) = sync_channel(QUEUE);
        let (say, written) = sync_channel(QUEUE);
        let work = move || {
            for queued in come {
                match queued {
                    Queued::Line(line) => write(&line),
                    Queued::End(number) => drop(say.try_send(number)),
                }
            }
        };
        let thread = thread::Builder::new().name("events".into()).spawn(work);
        thread.is_ok().then(|| Self {
            lines,
            written: Mutex::new((written, 0)),
        })
    }

    fn write(&self, line: String) {
        self.lines.try_send(Queued::Line(line)).ok();
    }

    fn drain(&self) -> bool {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let (written, number) = &mut *written;
        *number += 1;
        // Full, nobody reads.
        if self.lines.try_send(Queued::End(*number)).is_err() {
            return false;
        }
        let deadline = Instant::now() + LAST_LINES;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match written.recv_timeout(left) {
                // That of an earlier one, which was not waited for.
                Ok(earlier) if earlier < *number => {}
                said => return said.is_ok(),
            }
        }
    }
}

/// The words of an event for a log; `None` for what would only fill it.
fn line(event: &Event, verbose: bool) -> Option<String> {
    match event {
        Event::WaitingForLock { .. }
        | Event::Starting { .. }
        | Event::Forming { .. }
        | Event::Fetching { .. }
        | Event::Building { .. }
        | Event::Stopping { .. }
        | Event::Died { .. }
        | Event::Running { .. } => Some(state(event)),
        Event::Note(text) | Event::Warning(text) => Some(text.clone()),
        Event::Killed { node, grace } => Some(format!(
            "killed {node}: it did not end within {}",
            humantime::format_duration(*grace)
        )),
        Event::Waiting { .. }
        | Event::Answered { .. }
        | Event::Stopped { .. }
        | Event::Said { .. } => verbose.then(|| state(event)),
        Event::Detail(text) => verbose.then(|| text.clone()),
    }
}

/// What is going on, in words.
fn state(event: &Event) -> String {
    match event {
        Event::WaitingForLock { holder } => format!("waiting for the lock, held by {holder}"),
        Event::Starting { nodes, server, at } => {
            format!("starting {} of {server} at {at}", count(*nodes))
        }
        Event::Running {
            command,
            cluster,
            after,
        } => format!(
            "{cluster} ready in {}; running {command}",
            super::text::seconds(*after)
        ),
        Event::Died { node, how } => format!("{node}, {how}"),
        Event::Answered { done, of } => format!("{done} of {of} nodes answer"),
        Event::Forming { nodes } => format!("forming a cluster of {}", count(*nodes)),
        Event::Waiting { what, done, of } => format!("waiting for {what} ({done} of {of} nodes)"),
        Event::Stopping { nodes } => format!("stopping {}", count(*nodes)),
        Event::Stopped { done, of } => format!("{done} of {of} nodes have ended"),
        Event::Killed { node, .. } => format!("killed {node}"),
        Event::Fetching { what, with } => format!("fetching {what} with {with}"),
        Event::Building { what, jobs } => {
            format!("building {what} with make -j{jobs}, which may take minutes")
        }
        Event::Said { tool, line } => format!("{tool}: {line}"),
        Event::Note(text) | Event::Warning(text) | Event::Detail(text) => text.clone(),
    }
}

fn count(nodes: usize) -> String {
    format!("{nodes} {}", if nodes == 1 { "node" } else { "nodes" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_gets_the_steps_and_not_each_count() {
        let started = Event::Starting {
            nodes: 6,
            server: "redis 7.0.15".into(),
            at: "127.0.0.1:30001-30006".into(),
        };
        assert_eq!(
            line(&started, false).as_deref(),
            Some("starting 6 nodes of redis 7.0.15 at 127.0.0.1:30001-30006")
        );
        let running = Event::Running {
            command: "sh".into(),
            cluster: "3 primaries".into(),
            after: Duration::from_micros(187_230),
        };
        assert_eq!(
            line(&running, false).as_deref(),
            Some("3 primaries ready in 0.19 s; running sh")
        );
        let answered = Event::Answered { done: 1, of: 6 };
        assert_eq!(line(&answered, false), None);
        assert_eq!(
            line(&answered, true).as_deref(),
            Some("1 of 6 nodes answer")
        );
    }
}
