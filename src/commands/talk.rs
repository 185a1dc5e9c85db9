//! `rcluster cli`.

use std::ffi::OsString;
use std::io::{self, IsTerminal as _};
use std::os::unix::ffi::OsStrExt as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use super::Call;
use crate::cli::CliArgs;
use crate::cluster::{printable, split_words};
use crate::error::{Error, Result};
use crate::ops::{self, Talk, Visit};
use crate::report::{self, Prompt};
use crate::server::{self, ClientProgram};
use crate::sys;

/// From here on redis-cli says how long an answer took.
const SLOW: Duration = Duration::from_millis(500);

pub(super) async fn run(call: &Call, args: &CliArgs) -> Result<ExitCode> {
    if call.report.json {
        return Err(Error::usage(
            "a conversation is no JSON document",
            "send a command with `{rcluster} call --json -- CMD`; redis-cli has a --json of its own, behind --",
        ));
    }
    let visit = ops::visit(&call.context, args.node.as_ref()).await?;
    if !args.builtin {
        let note = match server::client_program(&visit.server, visit.needs_tls()) {
            ClientProgram::Found(program) => {
                let mut arguments = visit.options()?;
                arguments.extend_from_slice(&args.args);
                call.progress.finish();
                let password = visit.password.as_ref();
                let become_it = || server::become_client(&program, &arguments, password);
                let error = call.started_as.for_programs(become_it);
                return Err(Error::io("run", &program)(error));
            }
            ClientProgram::WithoutTls(program) => {
                format!("{} was built without TLS", program.display())
            }
            ClientProgram::Missing => "there is no redis-cli or valkey-cli".to_owned(),
        };
        call.context
            .events
            .note(format!("{note}: this is rcluster's own prompt"));
    }
    let options = Options::read(&args.args)?;
    let result = converse(call, &visit, &options).await;
    call.progress.finish();
    result
}

/// What our own prompt knows of redis-cli's options.
struct Options {
    /// An error is exit code 1.
    fails: bool,
    /// Answers as bytes, and not as they are shown to people.
    raw: bool,
    /// The one command; else there are many, and somebody gives them.
    command: Option<Vec<Vec<u8>>>,
}

impl Options {
    fn read(arguments: &[OsString]) -> Result<Self> {
        let mut options = Self {
            fails: false,
            raw: !io::stdout().is_terminal(),
            command: None,
        };
        let mut rest = arguments;
        while let [first, tail @ ..] = rest {
            match first.to_str() {
                Some("-e") => options.fails = true,
                Some("--raw") => options.raw = true,
                Some("--no-raw") => options.raw = false,
                // A cluster is all that it can talk to.
                Some("-c") => {}
                Some(option) if option.starts_with('-') => {
                    return Err(Error::usage(
                        format!("rcluster's own prompt does not know {option}"),
                        "install redis-cli or valkey-cli, which is used unless --builtin is given; or leave that option out",
                    ));
                }
                _ => break,
            }
            rest = tail;
        }
        if !rest.is_empty() {
            let words = rest.iter().map(|word| word.as_bytes().to_vec());
            options.command = Some(words.collect());
        }
        Ok(options)
    }
}

async fn converse(call: &Call, visit: &Visit, options: &Options) -> Result<ExitCode> {
    let mut talk = Talk::begin(&call.context, visit).await?;
    if let Some(words) = &options.command {
        if words.len() == 1 && words[0].eq_ignore_ascii_case(b"help") {
            call.report.write(HELP).map_err(Error::unwritten)?;
            return Ok(ExitCode::SUCCESS);
        }
        let is_fine = say(call, &mut talk, words, options, false).await?;
        return Ok(if is_fine {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        });
    }
    let terminal = io::stdin().is_terminal();
    // Whatever ends us while a line is edited must not leave the terminal as editors need it.
    let _saved = sys::terminal::SavedTerminal::of_stdin();
    let mut prompt = Prompt::new(terminal).map_err(reading)?;
    loop {
        let question = talk.prompt();
        // Elsewhere, so that signals are heeded while nothing is typed.
        let read = tokio::task::spawn_blocking(move || {
            let line = prompt.read(&question);
            (prompt, line)
        });
        let (back, line) = read
            .await
            .map_err(|error| reading(io::Error::other(error)))?;
        prompt = back;
        let Some(line) = line.map_err(reading)? else {
            return Ok(ExitCode::SUCCESS);
        };
        let Some(words) = split_words(&line) else {
            call.report
                .write(b"Invalid argument(s)\n")
                .map_err(Error::unwritten)?;
            continue;
        };
        let Some(first) = words.first() else { continue };
        let (repeat, words) = repetition(&words);
        match first.to_ascii_lowercase().as_slice() {
            b"quit" | b"exit" => return Ok(ExitCode::SUCCESS),
            b"clear" if terminal => prompt.clear(),
            b"help" | b"?" => call.report.write(HELP).map_err(Error::unwritten)?,
            _ if repeat == 0 => call
                .report
                .write(b"Invalid redis-cli repeat command option value.\n")
                .map_err(Error::unwritten)?,
            _ => {
                for _ in 0..repeat {
                    let is_fine = say(call, &mut talk, words, options, true).await?;
                    if !is_fine && options.fails && !terminal {
                        return Ok(ExitCode::FAILURE);
                    }
                }
            }
        }
    }
}

const HELP: &[u8] = b"A redis command a line, quoted as in redis-cli; quit or Ctrl-D ends.\n";

/// `3 PING` is three times `PING`. What is no number of times is none.
fn repetition(words: &[Vec<u8>]) -> (u32, &[Vec<u8>]) {
    let number = |word: &Vec<u8>| -> Option<u32> {
        let number: i64 = std::str::from_utf8(word).ok()?.parse().ok()?;
        Some(u32::try_from(number).unwrap_or(0))
    };
    match words {
        [first, rest @ ..] if !rest.is_empty() => match number(first) {
            Some(number) => (number, rest),
            None => (1, words),
        },
        _ => (1, words),
    }
}

/// Sends a command and shows what becomes of it. Whether that was no error, where errors count.
async fn say(
    call: &Call,
    talk: &mut Talk<'_>,
    words: &[Vec<u8>],
    options: &Options,
    is_many: bool,
) -> Result<bool> {
    let write = |bytes: &[u8]| call.report.write(bytes).map_err(Error::unwritten);
    if let Some(why) = ops::unanswerable(words) {
        call.report.say(&why);
        return Ok(false);
    }
    let began = Instant::now();
    let heard = talk.send(words).await;
    // Where there is one answer, it is all that redis-cli shows.
    for redirect in heard.redirects.iter().filter(|_| is_many) {
        write(format!("{}\n", report::redirected(redirect)).as_bytes())?;
    }
    match heard.answer {
        Ok(reply) => {
            // To whoever asked for a code an error is no data.
            if let (true, Some(error)) = (options.fails, reply.error()) {
                call.report.say(&printable(error, usize::MAX));
                return Ok(false);
            }
            if options.raw {
                write(&report::raw(&reply))?;
            } else {
                write(report::formatted(&reply, words).as_bytes())?;
            }
            let took = began.elapsed();
            if is_many && !options.raw && took >= SLOW {
                write(format!("({:.2}s)\n", took.as_secs_f64()).as_bytes())?;
            }
            Ok(true)
        }
        Err(why) => {
            call.report.say(&format!("Error: {why}"));
            Ok(false)
        }
    }
}

fn reading(source: io::Error) -> Error {
    Error::Io {
        what: "read commands".into(),
        source,
    }
}
