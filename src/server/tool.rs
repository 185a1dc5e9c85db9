//! Running a program of the user's (pip, make, tar) so that it never outlives us.
//!
//! It gets a process group of its own, led by a shell whose standard input is a pipe that we hold:
//! a lifeline. When we end, by whatever signal, the kernel closes the pipe, the shell's reader of
//! it returns and ends the whole group. Nothing else ends the compilers of a `make -j` when we are
//! killed; and where we end in order, dropping the tool ends the group too.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use tokio::net::unix::pipe;
use tokio::process::{Child, ChildStdin, Command};

use crate::cluster::printable;
use crate::sys::process::end_group;

/// Runs its arguments, and ends its process group when its standard input is closed. The reader
/// leaves our pipe for output alone, so that the output ends with the program.
const LIFELINE: &str = r#"exec 3<&0 </dev/null
( read -r _ <&3; kill -KILL 0 ) >/dev/null 2>&1 &
reader=$!
exec 3<&-
"$@"
code=$?
kill "$reader" 2>/dev/null
exit "$code""#;

/// What may be secret, or would confuse a `make` that is run by us inside of another one.
pub(super) const NOT_HANDED_ON: [&str; 5] = [
    "RCLUSTER_PASSWORD",
    "REDISCLI_AUTH",
    "MAKEFLAGS",
    "MFLAGS",
    "MAKELEVEL",
];

/// How many of the last lines are kept for messages.
const LAST_LINES: usize = 15;

/// More of a line is not shown.
const LINE_LIMIT: usize = 300;

/// The path of the program `name`, by path or on `PATH`.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = which::which(name).ok()?;
    Some(std::path::absolute(&path).unwrap_or(path))
}

/// Why a command cannot be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoCommand {
    /// There is no such program.
    Missing,
    /// There is one, and it cannot be executed, for this reason.
    NotExecutable(&'static str),
    /// It is a script, and this interpreter that it names is not there.
    NoInterpreter(String),
}

/// Looks for the program `name` as a shell does, by path or on `PATH`, and whether it is executable;
/// its path.
pub fn look_for_command(name: &OsStr) -> Result<PathBuf, NoCommand> {
    if let Ok(program) = which::which(name) {
        return match interpreter(&program) {
            Some(missing) => Err(NoCommand::NoInterpreter(missing)),
            None => Ok(program),
        };
    }
    let is_path = name.as_encoded_bytes().contains(&b'/');
    let places = if is_path {
        vec![PathBuf::from(name)]
    } else {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let dirs = std::env::split_paths(&path);
        dirs.map(|dir| dir.join(name)).collect()
    };
    match places.iter().find_map(|place| place.metadata().ok()) {
        Some(found) if found.is_dir() && is_path => Err(NoCommand::NotExecutable("a directory")),
        Some(found) if !found.is_dir() => Err(NoCommand::NotExecutable("not executable")),
        _ => Err(NoCommand::Missing),
    }
}

/// The interpreter that a script names and that is not there (execve(2), "Interpreter scripts").
fn interpreter(script: &Path) -> Option<String> {
    // What follows the line is none of our business, and a longer line is cut by the kernel too.
    let mut line = [0; 256];
    let read = File::open(script).and_then(|mut file| file.read(&mut line));
    let line = line.get(..read.ok()?)?.strip_prefix(b"#!")?;
    let line = String::from_utf8_lossy(line.split(|byte| *byte == b'\n').next()?);
    let path = line.split_ascii_whitespace().next()?;
    (!Path::new(path).exists()).then(|| path.to_owned())
}

/// A program to be run.
#[derive(Clone, Debug)]
pub struct Tool {
    name: String,
    program: PathBuf,
    arguments: Vec<OsString>,
    dir: Option<PathBuf>,
    environment: Vec<(&'static str, OsString)>,
}

/// How a program ended.
#[derive(Clone, Debug)]
pub struct ToolEnd {
    /// Whether it said that all is well.
    pub success: bool,
    /// `ended with code 2`.
    pub how: String,
    /// The end of what it said.
    pub last: Vec<String>,
}

impl Tool {
    /// `program`, called `name` in messages.
    pub fn new(name: impl Into<String>, program: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            program: program.into(),
            arguments: Vec::new(),
            dir: None,
            environment: Vec::new(),
        }
    }

    /// What it is called in messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// With one more argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// With more arguments.
    #[must_use]
    pub fn args<T: AsRef<OsStr>>(self, arguments: impl IntoIterator<Item = T>) -> Self {
        arguments.into_iter().fold(self, Self::arg)
    }

    /// With the working directory `dir`; without, ours.
    #[must_use]
    pub fn dir(mut self, dir: &Path) -> Self {
        self.dir = Some(dir.to_owned());
        self
    }

    /// With the environment variable `name`, beside ours.
    #[must_use]
    pub fn env(mut self, name: &'static str, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name, value.as_ref().to_owned()));
        self
    }

    /// Runs it to its end. What it says goes to `log` as it is, and line by line to `said`.
    /// Dropped before, it ends the program and all that the program has started.
    pub async fn run(&self, mut log: Option<&File>, said: impl FnMut(&str)) -> io::Result<ToolEnd> {
        let (output, mut running) = self.spawn()?;
        let mut lines = Lines::new(said);
        let mut block = vec![0; 16 << 10];
        let mut take = |block: &mut [u8]| -> io::Result<Option<usize>> {
            let length = output.try_read(block)?;
            let block = block.get(..length).unwrap_or_default();
            if let Some(log) = &mut log {
                log.write_all(block)?;
            }
            lines.take(block);
            Ok((length > 0).then_some(length))
        };
        let would_block = |error: &io::Error| error.kind() == io::ErrorKind::WouldBlock;
        let mut open = true;
        let status = loop {
            tokio::select! {
                ready = output.readable(), if open => {
                    ready?;
                    match take(&mut block) {
                        Err(error) if would_block(&error) => {}
                        read => open = read?.is_some(),
                    }
                }
                ended = running.child.wait() => break ended?,
            }
        };
        // What it said last is still in the pipe. Whoever it has left behind is not waited for.
        loop {
            match take(&mut block) {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(error) if would_block(&error) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(ToolEnd {
            success: status.success(),
            how: how(status),
            last: lines.finish(),
        })
    }

    fn spawn(&self) -> io::Result<(pipe::Receiver, Running)> {
        let (reader, writer) = io::pipe()?;
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", LIFELINE, "sh"])
            .arg(&self.program)
            .args(&self.arguments)
            .stdin(Stdio::piped())
            .stdout(writer.try_clone()?)
            .stderr(writer)
            .process_group(0);
        for name in NOT_HANDED_ON {
            command.env_remove(name);
        }
        for (name, value) in &self.environment {
            command.env(name, value);
        }
        if let Some(dir) = &self.dir {
            command.current_dir(dir);
        }
        let mut child = command.spawn()?;
        // tokio would close it when the child is waited for.
        let lifeline = child.stdin.take();
        // Our own ends for writing: with them open the output would never end.
        drop(command);
        let running = Running {
            child,
            _lifeline: lifeline,
        };
        let output = pipe::Receiver::from_owned_fd(OwnedFd::from(reader))?;
        Ok((output, running))
    }
}

/// The shell that leads the group.
#[derive(Debug)]
struct Running {
    child: Child,
    _lifeline: Option<ChildStdin>,
}

impl Drop for Running {
    fn drop(&mut self) {
        // Reaped, it has no id any more, and its group's number may be somebody else's.
        if let Some(leader) = self.child.id() {
            end_group(leader);
        }
    }
}

fn how(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with code {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}

/// Cuts what a program says into lines, and remembers the last.
struct Lines<F> {
    said: F,
    begun: Vec<u8>,
    last: VecDeque<String>,
}

impl<F: FnMut(&str)> Lines<F> {
    fn new(said: F) -> Self {
        Self {
            said,
            begun: Vec::new(),
            last: VecDeque::new(),
        }
    }

    fn take(&mut self, block: &[u8]) {
        for &byte in block {
            // A carriage return draws a line over: what is new in it counts.
            if byte == b'\n' || byte == b'\r' {
                self.end_line();
            } else if self.begun.len() < 4 * LINE_LIMIT {
                self.begun.push(byte);
            }
        }
    }

    fn end_line(&mut self) {
        let line = plain(&String::from_utf8_lossy(&self.begun));
        self.begun.clear();
        if line.is_empty() {
            return;
        }
        (self.said)(&line);
        if self.last.len() == LAST_LINES {
            self.last.pop_front();
        }
        self.last.push_back(line);
    }

    fn finish(mut self) -> Vec<String> {
        self.end_line();
        self.last.into()
    }
}

/// A line without colours, and without what could do worse to a terminal.
fn plain(line: &str) -> String {
    let mut plain = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("\x1b[") {
        plain.push_str(before);
        let end = after.find(|c: char| ('@'..='~').contains(&c));
        rest = end.map_or("", |end| &after[end + 1..]);
    }
    plain.push_str(rest);
    printable(plain.trim_end(), LINE_LIMIT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    fn run(tool: &Tool) -> (ToolEnd, Vec<String>) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let mut said = Vec::new();
        let end = runtime.block_on(tool.run(None, |line| said.push(line.to_owned())));
        (end.expect("it runs"), said)
    }

    fn shell(script: &str) -> Tool {
        Tool::new("sh", "/bin/sh").args(["-c", script])
    }

    #[test]
    fn output_is_read_to_its_end_and_the_code_is_the_programs() {
        let (end, said) = run(&shell("echo one; echo two >&2; printf three; exit 7"));
        assert_eq!(
            (end.success, end.how.as_str()),
            (false, "ended with code 7")
        );
        assert_eq!(said, ["one", "two", "three"]);
        let (end, said) = run(&shell("seq 1 5000"));
        assert!(end.success && said.len() == 5000);
        assert_eq!(end.last.len(), LAST_LINES);
        assert_eq!(end.last.last().map(String::as_str), Some("5000"));
        let (end, _) = run(&shell("kill -TERM $$"));
        assert_eq!(end.how, "ended with code 143");
        let (end, _) = run(&Tool::new("x", "/does/not/exist"));
        assert_eq!(end.how, "ended with code 127");
    }

    #[test]
    fn secrets_and_the_outer_make_are_not_handed_on_and_the_rest_is() {
        let tool = shell("echo \"$MINE $PWD\"")
            .env("MINE", "x")
            .dir(Path::new("/"));
        assert_eq!(run(&tool).1, ["x /"]);
        let (_, environment) = run(&Tool::new("env", "/usr/bin/env"));
        let has = |name: &str| {
            environment
                .iter()
                .any(|line| line.starts_with(&format!("{name}=")))
        };
        assert!(has("PATH") && !NOT_HANDED_ON.into_iter().any(has));
    }

    #[test]
    fn a_dropped_tool_is_ended_with_all_that_it_started() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let tmp = tempfile::tempdir().expect("tempdir");
        let tool = shell("sleep 600 & echo $! > pid; wait").dir(tmp.path());
        let began = Instant::now();
        let pid = runtime.block_on(async {
            let look = async {
                loop {
                    if let Ok(text) = std::fs::read_to_string(tmp.path().join("pid"))
                        && let Ok(pid) = text.trim().parse::<i32>()
                    {
                        return pid;
                    }
                    assert!(began.elapsed() < Duration::from_secs(30));
                    tokio::task::yield_now().await;
                }
            };
            tokio::select! {
                end = tool.run(None, |_| ()) => panic!("{end:?}"),
                pid = look => pid,
            }
        });
        let lives = || {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
            stat.is_ok_and(|stat| !stat.contains(") Z "))
        };
        while lives() {
            assert!(began.elapsed() < Duration::from_secs(30), "{pid} lives");
            std::thread::yield_now();
        }
    }

    #[test]
    fn lines_are_shown_without_colours_and_control() {
        assert_eq!(plain("\x1b[34;1mCC\x1b[0m x.o \x1b[K"), "CC x.o");
        assert_eq!(plain("a\x07b"), "a b");
        assert_eq!(plain("torn \x1b[3"), "torn");
    }
}
