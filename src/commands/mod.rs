//! One verb, one file: arguments → ops → answer. This file is the way from the command line to the
//! verb, and from its result to the exit code.

mod call;
mod clean;
mod complete;
mod completions;
mod config;
mod create;
mod doctor;
mod down;
mod env;
mod list;
mod logs;
mod man;
mod restart;
mod run;
mod server;
mod start;
mod status;
mod stop;
mod talk;
mod up;
mod version;
mod wait;
mod watch;

use std::env::var_os;
use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use tokio::signal::unix::{SignalKind, signal};

use crate::cli::{self, CommandLine, Global, Parsed, Refusal, Refused, ServerVerb, Verb, When};
use crate::error::{Error, Result};
use crate::event::{Event, Events};
use crate::ops::{Context, StartWish};
use crate::report::{Progress, Report, Style, shell_word};
use crate::settings::{Level, Origin, Setting};
use crate::store::Home;
use crate::sys::{self, StartedAs};

/// Runs the command line `arguments` (the program's name first) to its exit code.
pub fn main(arguments: &[OsString]) -> ExitCode {
    if let Some(completion) = cli::Completion::asked(arguments) {
        return complete::run(completion);
    }
    let started_as = StartedAs::now();
    let wish = cli::wants_color(arguments);
    let mut report = Report {
        program: "rcluster".into(),
        json: cli::wants_json(arguments),
        quiet: false,
        out: Style::new(wish, io::stdout().is_terminal()),
        err: Style::new(wish, io::stderr().is_terminal()),
    };
    let paints = |out: bool| if out { report.out } else { report.err }.paints();
    let line = match CommandLine::read(arguments, paints) {
        Ok(line) => line,
        Err(refusal) => return refused(&report, &refusal),
    };
    let parsed = config::files(&line)
        .map_err(Refused::Settings)
        .and_then(|(files, notes)| Ok((line.with(&files, paints)?, files, notes)));
    let (parsed, files, mut notes) = match parsed {
        Ok(parsed) => parsed,
        Err(Refused::Arguments(refusal)) => return refused(&report, &refusal),
        Err(Refused::Settings(error)) => {
            report.failure(&error);
            let is_run = line.runs_a_command();
            return ExitCode::from(if is_run {
                run::exit_code(&error)
            } else {
                error.exit_code()
            });
        }
    };
    notes.extend_from_slice(&parsed.notes);
    let global = &parsed.cli.global;
    let wish = match global.color {
        When::Auto => None,
        When::Always => Some(true),
        When::Never => Some(false),
    };
    report = Report {
        program: program(&parsed),
        json: global.json,
        quiet: global.quiet == Some(true),
        out: Style::new(wish, io::stdout().is_terminal()),
        err: Style::new(wish, io::stderr().is_terminal()),
    };
    let files = files.into_iter().map(|file| (file.level, file.path));
    run(&parsed, files.collect(), &notes, &report, started_as)
}

/// Who gave the value of an option; nobody knows of those that no file can give.
fn origin<'a>(settings: &'a [Setting], option: &str) -> Option<&'a Origin> {
    let mut settings = settings.iter();
    let setting = settings.find(|setting| setting.key == [option])?;
    Some(&setting.origin)
}

/// The program with the options that name the cluster, as hints repeat it: in this shell the line
/// means the same cluster. What the environment says is still there for the next command.
fn program(parsed: &Parsed) -> String {
    let global = &parsed.cli.global;
    let is_inherited =
        |option: &str, variable: &str, value: &OsStr| match origin(&parsed.settings, option) {
            Some(Origin::Default | Origin::Environment(_)) => true,
            Some(Origin::Flag | Origin::File { .. }) | None => {
                var_os(variable).is_some_and(|inherited| inherited == value)
            }
        };
    let mut program = "rcluster".to_owned();
    let mut add = |option: &str, variable: &str, value: &OsStr, short: &str| {
        if !is_inherited(option, variable, value) {
            program.extend([" ", short, " ", &shell_word(&value.to_string_lossy())]);
        }
    };
    let name = global.name.as_str();
    add("name", "RCLUSTER_NAME", OsStr::new(name), "-n");
    if let Some(home) = &global.home {
        add("home", "RCLUSTER_HOME", home.as_os_str(), "--home");
    }
    if let Some(config) = &global.config {
        add("config", "RCLUSTER_CONFIG", config.as_os_str(), "--config");
    }
    program
}

/// Whether whoever read our answer has seen enough.
fn is_enough(error: &Error) -> bool {
    matches!(error, Error::Io { source, .. } if source.kind() == io::ErrorKind::BrokenPipe)
        && error.is_unwritten()
}

/// Help and version are answers; anything else is a usage error.
fn refused(report: &Report, refusal: &Refusal) -> ExitCode {
    if refusal.is_answer {
        return match report.help(&refusal.text).map_err(Error::unwritten) {
            Err(error) if !is_enough(&error) => {
                report.failure(&error);
                ExitCode::from(error.exit_code())
            }
            _ => ExitCode::SUCCESS,
        };
    }
    if report.json {
        let Refusal { sentence, hint, .. } = refusal;
        report.failure(&Error::usage(sentence, hint));
    } else {
        report.say(refusal.text.trim_end());
    }
    ExitCode::from(refusal.exit_code)
}

fn run(
    parsed: &Parsed,
    files: Vec<(Level, PathBuf)>,
    notes: &[String],
    report: &Report,
    started_as: StartedAs,
) -> ExitCode {
    let cli = &parsed.cli;
    let global = &cli.global;
    let dumb = var_os("TERM").is_none_or(|term| term == "dumb");
    let terminal = io::stderr().is_terminal() && !dumb;
    let progress = Arc::new(Progress::new(
        terminal,
        global.verbose == Some(true),
        report,
    ));
    for note in notes {
        progress.show(&Event::Note(note.clone()));
    }
    // Read before signals are caught: whoever is to type a password may press Ctrl-C instead.
    let wish = match &cli.verb {
        Verb::Start(args) => start::wish(args),
        Verb::Up(args) => start::wish(&args.shape),
        Verb::Run(args) => start::wish(&args.shape),
        _ => Ok(StartWish::default()),
    };
    let result = wish.and_then(|wish| {
        let context = context(global, cli.verb.name(), &progress)?;
        let call = Call {
            wish,
            context,
            report: report.clone(),
            progress: Arc::clone(&progress),
            timeout_given: cli.timeout_given,
            verbose: global.verbose == Some(true),
            settings: parsed.settings.clone(),
            files,
            started_as,
        };
        // Asked before signals are caught: whoever presses Ctrl-C at a question means it.
        match &cli.verb {
            Verb::Clean(args) if args.logs => {}
            Verb::Clean(args) => call.confirm_deletion(args.yes)?,
            Verb::Down(args) => call.confirm_deletion(args.yes)?,
            _ => {}
        }
        perform(&call, &cli.verb, &progress)
    });
    result.unwrap_or_else(|error| {
        progress.finish();
        let error = config::explain(error, parsed);
        match &error {
            error if is_enough(error) => ExitCode::SUCCESS,
            error => {
                // Nobody reads it, and we would wait for ever.
                if progress.drain() {
                    report.failure(error);
                }
                ExitCode::from(match &cli.verb {
                    Verb::Run(_) => run::exit_code(error),
                    _ => error.exit_code(),
                })
            }
        }
    })
}

fn perform(call: &Call, verb: &Verb, progress: &Progress) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| Error::Io {
            what: "start the runtime".into(),
            source,
        })?;
    let work = dispatch(call, verb);
    let ended = runtime.block_on(async {
        // `run` and `up --foreground` do something of their own when a signal comes. `logs` leaves
        // nothing behind: a signal ends it even while nobody takes what it writes.
        let minds_signals = match verb {
            Verb::Run(_) | Verb::Logs(_) => true,
            Verb::Up(args) => args.foreground,
            _ => false,
        };
        if minds_signals {
            Ended::Done(work.await)
        } else {
            until_signal(work).await
        }
    });
    progress.finish();
    progress.drain();
    match ended {
        Ended::Done(result) => result,
        Ended::Signal(number) => {
            interrupted(&call.report, verb);
            Ok(died_by(number))
        }
    }
}

/// What a verb works with.
struct Call {
    /// What the options of `start` and `up` say; nothing for other verbs.
    wish: StartWish,
    context: Context,
    report: Report,
    progress: Arc<Progress>,
    /// Whether the user said how long to wait.
    timeout_given: bool,
    /// Whether `--verbose` was given.
    verbose: bool,
    settings: Vec<Setting>,
    files: Vec<(Level, PathBuf)>,
    started_as: StartedAs,
}

impl Call {
    /// Shows an answer.
    fn answer(&self, shown: &crate::report::Shown) -> Result<()> {
        // The bar stands where the answer goes.
        self.progress.finish();
        self.report.answer(shown).map_err(Error::unwritten)
    }

    /// Ends us by signal `number`, after the last lines; the exit code is for where that fails.
    fn die_by(&self, number: i32) -> ExitCode {
        self.progress.drain();
        died_by(number)
    }

    /// Asks before data is deleted, unless `yes` was said already.
    fn confirm_deletion(&self, yes: bool) -> Result<()> {
        let context = &self.context;
        if yes || context.home.cluster(&context.name)?.is_none() {
            return Ok(());
        }
        let what = format!("delete the data of cluster \"{}\"", context.name);
        let can_ask = io::stdin().is_terminal() && io::stderr().is_terminal() && !self.report.json;
        if can_ask
            && self.report.confirm(&format!(
                "This will {what} in {}. Go on?",
                context.home.path().display()
            ))
        {
            return Ok(());
        }
        Err(Error::Unconfirmed { what })
    }
}

async fn dispatch(call: &Call, verb: &Verb) -> Result<ExitCode> {
    match verb {
        Verb::Start(_) => start::run(call, &call.wish).await,
        Verb::Create(args) => create::run(call, args).await,
        Verb::Up(args) => up::run(call, args).await,
        Verb::Run(args) => run::run(call, args).await,
        Verb::Status => status::run(call).await,
        Verb::List => list::run(call).await,
        Verb::Watch(args) => watch::run(call, args).await,
        Verb::Env(args) => env::run(call, args).await,
        Verb::Cli(args) => talk::run(call, args).await,
        Verb::Call(args) => call::run(call, args).await,
        Verb::Stop(args) => stop::run(call, args).await,
        Verb::Clean(args) => clean::run(call, args).await,
        Verb::Down(args) => down::run(call, args).await,
        Verb::Logs(args) => logs::run(call, args).await,
        Verb::Restart(args) => restart::run(call, args).await,
        Verb::Wait(args) => wait::run(call, args).await,
        Verb::Server(verb) => server::run(call, verb).await,
        Verb::Doctor(args) => doctor::run(call, args).await,
        Verb::Config(verb) => config::run(call, verb),
        Verb::Completions(args) => completions::run(call, args),
        Verb::Man(args) => man::run(call, args),
        Verb::Version => version::run(call),
    }
}

impl Verb {
    /// The verb as it is typed.
    fn name(&self) -> &'static str {
        match self {
            Self::Start(_) => "start",
            Self::Create(_) => "create",
            Self::Up(_) => "up",
            Self::Run(_) => "run",
            Self::Status => "status",
            Self::List => "list",
            Self::Watch(_) => "watch",
            Self::Env(_) => "env",
            Self::Cli(_) => "cli",
            Self::Call(_) => "call",
            Self::Stop(_) => "stop",
            Self::Clean(_) => "clean",
            Self::Down(_) => "down",
            Self::Logs(_) => "logs",
            Self::Restart(_) => "restart",
            Self::Wait(_) => "wait",
            Self::Server(verb) => verb.name(),
            Self::Doctor(_) => "doctor",
            Self::Config(_) => "config",
            Self::Completions(_) => "completions",
            Self::Man(_) => "man",
            Self::Version => "version",
        }
    }

    /// Whether it may leave something half done when it is interrupted.
    fn changes(&self) -> bool {
        !matches!(
            self,
            Self::Status
                | Self::List
                | Self::Watch(_)
                | Self::Env(_)
                | Self::Logs(_)
                | Self::Cli(_)
                | Self::Call(_)
                | Self::Wait(_)
                | Self::Server(ServerVerb::List)
                | Self::Doctor(_)
                | Self::Config(_)
                | Self::Completions(_)
                | Self::Man(_)
                | Self::Version
        )
    }
}

/// The home where there is none: nothing is ever there.
const NOWHERE: &str = "/proc/rcluster";

fn context(global: &Global, verb: &'static str, progress: &Arc<Progress>) -> Result<Context> {
    let progress = Arc::clone(progress);
    Ok(Context {
        home: Home::new(match home(global.home.as_ref()) {
            // `run` has a home of its own, and the others need none: packages are built where there is
            // no HOME.
            Err(Error::Unfit { .. })
                if matches!(verb, "run" | "version" | "completions" | "man" | "config") =>
            {
                NOWHERE.into()
            }
            home => home?,
        }),
        name: global.name.clone(),
        verb,
        timeout: global.timeout,
        began: Instant::now(),
        events: Events::new(move |event| progress.show(&event)),
        group: None,
    })
}

/// `--home`, else [the usual one](Home::usual); absolute.
fn home(wish: Option<&PathBuf>) -> Result<PathBuf> {
    let path = wish
        .cloned()
        .or_else(Home::usual)
        .ok_or_else(|| Error::Unfit {
            message: "neither HOME nor XDG_STATE_HOME names a directory by its whole path".into(),
            hint: "pass --home DIR".into(),
        })?;
    std::path::absolute(&path).map_err(|source| Error::Io {
        what: format!("find {}", path.display()),
        source,
    })
}

/// How a verb ended.
enum Ended {
    Done(Result<ExitCode>),
    Signal(i32),
}

/// Does `work` until it is done or a signal ends it: dropping it is enough, since whatever was
/// begun is in the journal.
async fn until_signal(work: impl Future<Output = Result<ExitCode>>) -> Ended {
    // Whoever was started by nohup is to go on.
    let hang_up_is_ignored = sys::signals::hang_up_is_ignored();
    let kinds = [
        SignalKind::interrupt(),
        SignalKind::terminate(),
        SignalKind::hangup(),
        SignalKind::quit(),
    ];
    let [
        Ok(mut interrupt),
        Ok(mut terminate),
        Ok(mut hangup),
        Ok(mut quit),
    ] = kinds.map(signal)
    else {
        return Ended::Done(work.await);
    };
    tokio::select! {
        result = work => Ended::Done(result),
        _ = interrupt.recv() => Ended::Signal(SignalKind::interrupt().as_raw_value()),
        _ = quit.recv() => Ended::Signal(SignalKind::quit().as_raw_value()),
        _ = terminate.recv() => Ended::Signal(SignalKind::terminate().as_raw_value()),
        _ = hangup.recv(), if !hang_up_is_ignored => {
            Ended::Signal(SignalKind::hangup().as_raw_value())
        }
    }
}

/// Ends us by signal `number`; the exit code is for where that fails.
fn died_by(number: i32) -> ExitCode {
    sys::die_by(number);
    u8::try_from(128 + number).map_or(ExitCode::FAILURE, ExitCode::from)
}

fn interrupted(report: &Report, verb: &Verb) {
    if verb.changes() && !report.json {
        let (program, name) = (&report.program, verb.name());
        report.say(&if matches!(verb, Verb::Server(_)) {
            format!("interrupted; `{program} {name}` left nothing half done")
        } else {
            format!(
                "interrupted; `{program} {name}` goes on from here, `{program} down` clears it away"
            )
        });
    }
}
