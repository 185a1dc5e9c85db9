//! `rcluster watch`.

use std::env;
use std::io::{self, IsTerminal as _};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Call;
use crate::cli::WatchArgs;
use crate::error::{Error, Result};
use crate::ops::{News, Watch};
use crate::plan::watch::{Model, Mood, Watched};
use crate::report;
use crate::screen::{Action, Clock, Input, Look, Pane, Screen, View};
use crate::sys;
use crate::sys::signals::Stop;

/// What `--interval` may be: more often is of no use to eyes, and a load for the nodes.
const INTERVALS: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(3600);

pub(super) async fn run(call: &Call, args: &WatchArgs) -> Result<ExitCode> {
    check(call, args)?;
    // Asked before there are threads: with them it is not told. So it is not asked again.
    let ahead = sys::ahead_of_utc();
    let mut watch = Watch::open(&call.context, args.interval)?;
    let look = Look {
        color: call.report.out.paints(),
        ascii: !report::speaks_utf8(),
    };
    let mut model = Model::new(Watched::default());
    let mut view = View::new(look, clock(ahead, Duration::ZERO));
    call.progress.finish();
    let lost = |source| Error::Io {
        what: "use the terminal".into(),
        source,
    };
    let mut stops = sys::signals::Stops::catch().map_err(|source| Error::Io {
        what: "catch signals".into(),
        source,
    })?;
    let mut screen = Screen::open(look.color).map_err(lost)?;
    let mut greeted = false;
    loop {
        view.now = watch.elapsed();
        view.clock = clock(ahead, view.now);
        if matches!(&view.pane, Pane::Log(log) if !view.is_frozen() || log == &Ok(Vec::new()))
            && let Some(chosen) = view.chosen()
        {
            view.pane = Pane::Log(watch.log(chosen));
        }
        // Before anything is known there is nothing true to show.
        if greeted {
            screen.draw(&mut view, &model).map_err(lost)?;
        }
        let action = tokio::select! {
            news = watch.next() => {
                take(&mut model, news, watch.elapsed());
                if !std::mem::replace(&mut greeted, true) {
                    let every = humantime::format_duration(args.interval);
                    model.note(Duration::ZERO, Mood::Plain, format!("watching, every {every}"));
                }
                Action::None
            }
            input = screen.input() => match input {
                Input::Key(key) => view.press(key, &model),
                Input::Resized => Action::None,
                Input::Lost(source) => return Err(lost(source)),
            },
            stop = stops.next() => {
                match stop {
                    Stop::Asked => screen.lend(sys::stop_ourselves),
                    // Whoever had the terminal meanwhile has left it as it was before us.
                    Stop::Over => screen.lend(|| ()),
                }
                .map_err(lost)?;
                Action::None
            }
        };
        match action {
            Action::None => {}
            Action::Quit => return Ok(ExitCode::SUCCESS),
            Action::Interrupt => {
                // As the other verbs end of it; the terminal is given back first.
                drop(screen);
                sys::die_by(tokio::signal::unix::SignalKind::interrupt().as_raw_value());
                return Ok(ExitCode::FAILURE);
            }
            // Which reaches us too.
            Action::Suspend => sys::stop_group(),
            Action::Redraw => screen.clear().map_err(lost)?,
        }
    }
}

/// Refuses where there is nothing to draw on.
fn check(call: &Call, args: &WatchArgs) -> Result<()> {
    if call.report.json {
        return Err(Error::usage(
            "watch draws on a terminal and has no JSON",
            "ask for one document, as often as you need it: {rcluster} status --json",
        ));
    }
    if !INTERVALS.contains(&args.interval) {
        let interval = humantime::format_duration(args.interval);
        return Err(Error::usage(
            format!("--interval {interval} is not between 100ms and 1h"),
            "pass another one, such as --interval 1s",
        ));
    }
    if !io::stdout().is_terminal() {
        return Err(Error::usage(
            "standard output is not a terminal, and watch draws on one",
            "ask for one answer: {rcluster} status, for programs with --json",
        ));
    }
    let term = env::var("TERM").unwrap_or_default();
    if term.is_empty() || term == "dumb" {
        let what = if term.is_empty() {
            "TERM is not set".to_owned()
        } else {
            format!("TERM is {term}")
        };
        return Err(Error::usage(
            format!("{what}: this terminal cannot be drawn on"),
            "ask for one answer: {rcluster} status; or say what the terminal is, such as TERM=xterm",
        ));
    }
    Ok(())
}

fn take(model: &mut Model, news: Vec<News>, now: Duration) {
    for news in news {
        match news {
            News::Opened(watched) => model.open(watched, now),
            News::Lost(why) => model.lose(&why, now),
            News::Looked(number, look) => model.take(number, look),
        }
    }
    model.settle(now);
}

/// The time of day, which is `ahead` of UTC if that could be found out, in a watch that lasts for `elapsed` by now.
fn clock(ahead: Option<i32>, elapsed: Duration) -> Clock {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let began = i64::try_from(now.as_secs()).unwrap_or_default()
        - i64::try_from(elapsed.as_secs()).unwrap_or_default();
    Clock {
        began: began + i64::from(ahead.unwrap_or_default()),
        utc: ahead.is_none(),
    }
}
