//! A home of its own for each test, and the proof that nothing is left of it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Above this a test hangs: far longer than anything may take on a loaded machine.
const LIMIT: Duration = Duration::from_secs(90);

/// A temporary home. Dropping it ends the servers that are left in it, and fails the test if
/// there were any or if one of its files is left.
pub(crate) struct Sandbox {
    dir: tempfile::TempDir,
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        let dir = tempfile::Builder::new()
            .prefix("rcluster-test-")
            .tempdir()
            .expect("a temporary directory");
        Self { dir }
    }

    /// A directory for the test's own files; not the home.
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    /// The program, with this sandbox's home and an environment that cannot disturb it.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rcluster"));
        for name in [
            "RCLUSTER_NAME",
            "RCLUSTER_HOME",
            "RCLUSTER_SERVER",
            "NO_COLOR",
            "XDG_STATE_HOME",
        ] {
            command.env_remove(name);
        }
        command
            .env("TERM", "dumb")
            .env("RCLUSTER_HOME", self.home())
            .stdin(Stdio::null());
        if let Some(server) = std::env::var_os("RCLUSTER_TEST_SERVER") {
            command.env("RCLUSTER_SERVER", server);
        }
        command.args(arguments).current_dir(self.path());
        command
    }

    /// Runs the program to its end. Arguments are split at spaces.
    pub(crate) fn run(&self, line: &str) -> Ran {
        let arguments: Vec<&str> = line.split_ascii_whitespace().collect();
        Ran::of(self.command(&arguments), line)
    }

    /// Runs the program, which must succeed.
    pub(crate) fn ok(&self, line: &str) -> Ran {
        let ran = self.run(line);
        assert_eq!(ran.code, Some(0), "{ran}");
        ran
    }

    /// Runs the program, which must end with `code`.
    pub(crate) fn fails(&self, line: &str, code: i32) -> Ran {
        let ran = self.run(line);
        assert_eq!(ran.code, Some(code), "{ran}");
        ran
    }

    /// What `status --json` says.
    pub(crate) fn status(&self) -> Value {
        self.run("status --json").json()
    }

    /// Waits until `test` is true of `status --json`.
    pub(crate) fn wait_for_status(&self, what: &str, test: impl Fn(&Value) -> bool) -> Value {
        wait_for(what, || {
            let status = self.status();
            test(&status).then_some(status)
        })
    }

    /// Living processes whose working directory lies in the sandbox: the process table is the only
    /// honest witness, since a file says what was once meant, and a port does not say who holds it.
    pub(crate) fn survivors(&self) -> BTreeMap<i32, PathBuf> {
        let root = fs::canonicalize(self.path()).expect("the sandbox is there");
        let mut found = BTreeMap::new();
        for process in fs::read_dir("/proc").expect("/proc").flatten() {
            let Some(pid) = process
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok())
            else {
                continue;
            };
            // A zombie has no working directory any more.
            if let Ok(cwd) = fs::read_link(process.path().join("cwd"))
                && cwd != root
                && cwd.starts_with(&root)
            {
                found.insert(pid, cwd);
            }
        }
        found
    }

    /// What is in the home, all levels, relative.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut open = vec![self.home()];
        while let Some(dir) = open.pop() {
            for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    open.push(entry.path());
                }
                found.push(
                    entry
                        .path()
                        .strip_prefix(self.home())
                        .expect("below the home")
                        .to_owned(),
                );
            }
        }
        found.sort();
        found
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let survivors = self.survivors();
        for pid in survivors.keys() {
            // Found by directory, so it is this test's own.
            Command::new("kill")
                .args(["-KILL", &pid.to_string()])
                .status()
                .ok();
        }
        if !std::thread::panicking() {
            assert!(survivors.is_empty(), "servers were left: {survivors:?}");
        }
    }
}

/// What a run of the program came to.
#[must_use = "look at the code or at the output"]
pub(crate) struct Ran {
    pub(crate) line: String,
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    pub(crate) fn of(mut command: Command, line: &str) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program runs");
        let output = finish(&mut child, line);
        Self {
            line: line.to_owned(),
            code: output.status.code(),
            out: String::from_utf8(output.stdout).expect("UTF-8"),
            err: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }

    /// The one document on standard output.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("no JSON ({error}): {self}"))
    }

    /// The error document on standard error; standard output must be empty.
    pub(crate) fn json_error(&self) -> Value {
        assert_eq!(self.out, "", "{self}");
        let document: Value = serde_json::from_str(&self.err)
            .unwrap_or_else(|error| panic!("no JSON ({error}): {self}"));
        assert_eq!(document["ok"], false);
        document["error"].clone()
    }
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "rcluster {} -> {:?}\nout: {}\nerr: {}",
            self.line, self.code, self.out, self.err
        )
    }
}

/// Waits for a child while its pipes are read, and kills it when it takes too long.
fn finish(child: &mut Child, line: &str) -> Output {
    let read = |pipe: Option<Box<dyn std::io::Read + Send>>| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            if let Some(mut pipe) = pipe {
                pipe.read_to_end(&mut bytes).ok();
            }
            bytes
        })
    };
    let out = read(child.stdout.take().map(|pipe| Box::new(pipe) as _));
    let err = read(child.stderr.take().map(|pipe| Box::new(pipe) as _));
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child can be waited for") {
            break status;
        }
        if began.elapsed() > LIMIT {
            child.kill().ok();
            panic!("rcluster {line} did not end within {LIMIT:?}");
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    Output {
        status,
        stdout: out.join().expect("read"),
        stderr: err.join().expect("read"),
    }
}

/// Looks until `look` finds something.
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < LIMIT, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The first of `count` neighbouring ports that are free, each with the bus ports near and far
/// (+1000, +10000) free too. Tests of one run get different ones.
pub(crate) fn free_ports(count: u16) -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let places = 200;
    let start = u16::try_from(std::process::id() % 97).expect("small") * 2;
    loop {
        let place = (start + NEXT.fetch_add(1, Ordering::Relaxed)) % places;
        let base = 12_000 + place * 50;
        let ports = (base..base + count).flat_map(|port| [port, port + 1000, port + 10_000]);
        let held: Result<Vec<_>, _> = ports
            .map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)))
            .collect();
        if held.is_ok() {
            return base;
        }
    }
}

/// Sends one command to a server and returns the answer as text: the least that shows what a
/// client sees, errors included.
pub(crate) fn redis(port: u64, arguments: &[&str]) -> String {
    let mut stream =
        TcpStream::connect((Ipv4Addr::LOCALHOST, u16::try_from(port).expect("a port")))
            .expect("a server listens");
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .expect("a timeout");
    let mut request = format!("*{}\r\n", arguments.len());
    for argument in arguments {
        request.push_str(&format!("${}\r\n{argument}\r\n", argument.len()));
    }
    stream.write_all(request.as_bytes()).expect("written");
    let mut reply = Vec::new();
    let mut buffer = [0; 65536];
    loop {
        let read = stream.read(&mut buffer).expect("an answer");
        assert!(
            read > 0,
            "the server hung up: {}",
            String::from_utf8_lossy(&reply)
        );
        reply.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&reply).into_owned();
        let whole = match text.split_once("\r\n") {
            Some((head, rest)) if head.starts_with('$') => {
                let length: i64 = head[1..].parse().expect("a length");
                length < 0 || rest.len() >= usize::try_from(length).expect("positive") + 2
            }
            Some((head, rest)) if head.starts_with('*') => {
                // Flat lists of bulk strings are all that tests ask for.
                let items: usize = head[1..].parse().expect("a count");
                rest.matches("\r\n").count() >= 2 * items
            }
            Some(_) => true,
            None => false,
        };
        if whole {
            let lines = text
                .lines()
                .filter(|line| !line.starts_with('$') && !line.starts_with('*'));
            return lines
                .collect::<Vec<_>>()
                .join("\n")
                .trim_start_matches('+')
                .to_owned();
        }
    }
}

/// The nodes of a status document.
pub(crate) fn nodes(status: &Value) -> &[Value] {
    status["nodes"].as_array().expect("nodes").as_slice()
}

/// Sends a signal with kill(1).
pub(crate) fn signal(name: &str, pid: impl fmt::Display) {
    let done = Command::new("kill")
        .arg(format!("-{name}"))
        .arg(pid.to_string())
        .status()
        .expect("kill runs");
    assert!(done.success(), "kill -{name} {pid}");
}

/// Whether a program is on `PATH`.
pub(crate) fn has_program(name: impl AsRef<OsStr>) -> bool {
    Command::new(name)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok()
}
