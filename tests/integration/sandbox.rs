//! A home of its own for each test, and the proof that nothing is left of it.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::NamedTempFile;

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

    /// Where the program looks for the user's configuration.
    pub(crate) fn user_config(&self) -> PathBuf {
        self.dir.path().join("config")
    }

    /// The program, with this sandbox's home and an environment that cannot disturb it.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rcluster"));
        for name in [
            "RCLUSTER_NAME",
            "RCLUSTER_HOME",
            "RCLUSTER_SERVER",
            "RCLUSTER_CONFIG",
            "RCLUSTER_PASSWORD",
            "NO_COLOR",
            "XDG_STATE_HOME",
        ] {
            command.env_remove(name);
        }
        command
            .env("TERM", "dumb")
            .env("RCLUSTER_HOME", self.home())
            .env("XDG_CONFIG_HOME", self.user_config())
            .stdin(Stdio::null());
        if let Some(server) = std::env::var_os("RCLUSTER_TEST_SERVER") {
            command.env("RCLUSTER_SERVER", server);
        }
        command.args(arguments).current_dir(self.path());
        command
    }

    /// Runs the program to its end. Arguments are split at spaces.
    #[must_use = "look at the code or at the output"]
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

    /// Runs the program with arguments that may have spaces in them.
    #[must_use = "look at the code or at the output"]
    pub(crate) fn run_words(&self, arguments: &[&str]) -> Ran {
        Ran::of(self.command(arguments), &format!("{arguments:?}"))
    }

    /// Writes a file of the test's own, outside of the home, and returns its path.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path().join(name);
        fs::write(&path, content).expect("written");
        path.to_str().expect("UTF-8").to_owned()
    }

    /// That nothing is in the home, and nothing runs.
    pub(crate) fn assert_untouched(&self, ran: &Ran) {
        assert_eq!(self.survivors(), BTreeMap::new(), "something runs: {ran}");
        assert_eq!(
            self.files(),
            Vec::<PathBuf>::new(),
            "something was made: {ran}"
        );
    }

    /// Runs the program in the background.
    pub(crate) fn spawn(&self, line: &str) -> Running {
        let arguments: Vec<&str> = line.split_ascii_whitespace().collect();
        Running::of(self.command(&arguments), line)
    }

    /// Runs the program in the background, with what it says in files.
    pub(crate) fn record(&self, line: &str) -> Recorded {
        let arguments: Vec<&str> = line.split_ascii_whitespace().collect();
        let file = || NamedTempFile::new_in(self.path()).expect("made");
        let (out, err) = (file(), file());
        let child = self
            .command(&arguments)
            .stdout(out.reopen().expect("opened"))
            .stderr(err.reopen().expect("opened"))
            .spawn()
            .expect("the program runs");
        Recorded { child, out, err }
    }

    /// `up` on ports that it chooses itself, and its answer.
    pub(crate) fn up(&self, more: &str) -> Value {
        self.ok(&format!("up --port auto --json {more}")).json()
    }

    /// The directory of the default cluster.
    pub(crate) fn cluster(&self) -> PathBuf {
        self.home().join("default")
    }

    /// The working directory of a node of the default cluster.
    pub(crate) fn node(&self, port: u64) -> PathBuf {
        self.cluster().join("nodes").join(port.to_string())
    }

    /// Deletes the default cluster, after which nothing may be left of it.
    pub(crate) fn gone(&self, line: &str) {
        self.ok(line).nothing_odd();
        assert_eq!(self.survivors(), BTreeMap::new(), "after {line}");
        assert_eq!(self.files(), Vec::<PathBuf>::new(), "after {line}");
    }

    /// Writes an executable script, and returns its path.
    pub(crate) fn script(&self, name: &str, text: &str) -> String {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.path().join(name);
        // Written by a child: a descriptor open for writing, inherited by the child of another
        // thread, would make the script "busy".
        let mut writer = Command::new("sh")
            .args(["-c", "cat > \"$0\""])
            .arg(&path)
            .stdin(Stdio::piped())
            .spawn()
            .expect("sh runs");
        let mut pipe = writer.stdin.take().expect("a pipe");
        pipe.write_all(format!("#!/bin/sh\n{text}\n").as_bytes())
            .expect("written");
        drop(pipe);
        assert!(writer.wait().expect("reaped").success());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("executable");
        path.to_str().expect("UTF-8").to_owned()
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

    /// Ends them all, those too that they start meanwhile; what each was, and where.
    pub(crate) fn kill_survivors(&self) -> Vec<String> {
        let began = Instant::now();
        let mut ended = BTreeMap::new();
        loop {
            let survivors = self.survivors();
            // Whoever withstands SIGKILL is seen by scripts/test.
            if survivors.is_empty() || began.elapsed() > LIMIT {
                return ended.into_values().collect();
            }
            for (pid, cwd) in survivors {
                let what = ended.entry(pid);
                what.or_insert_with(|| what_is(pid, &cwd));
                // Found by directory, so it is this test's own.
                Command::new("kill")
                    .args(["-KILL", &pid.to_string()])
                    .stderr(Stdio::null())
                    .status()
                    .ok();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The same without the children of servers: after its first copy a replica rewrites its
    /// append-only file, in a process that looks like a server and ends by itself.
    pub(crate) fn servers(&self) -> BTreeMap<i32, PathBuf> {
        let all = self.survivors();
        let parent = |pid: &i32| -> Option<i32> {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            // The name, in parentheses, may contain anything; then come the state and the parent.
            stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
        };
        let is_child = |pid: &i32| parent(pid).is_none_or(|parent| all.contains_key(&parent));
        let servers = all.iter().filter(|(pid, _)| !is_child(pid));
        servers.map(|(pid, cwd)| (*pid, cwd.clone())).collect()
    }

    /// Waits until nothing runs here any more, which must be so within two seconds. Those are promised
    /// on a machine that is free: time in which somebody waited for a processor does not count.
    pub(crate) fn is_soon_empty(&self, what: &str) {
        let (began, waited) = (Instant::now(), waited_for_processors());
        wait_for("the servers to be gone", || {
            self.survivors().is_empty().then_some(())
        });
        let took = began.elapsed();
        let waited = waited_for_processors().saturating_sub(waited);
        assert!(
            took < Duration::from_secs(2) + waited,
            "{what}: {took:?}, in {waited:?} of which the machine was too busy"
        );
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

/// A process as messages show it: `4711 `redis-server` in /tmp/…`.
fn what_is(pid: i32, cwd: &Path) -> String {
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words = String::from_utf8_lossy(&words).replace('\0', " ");
    format!("{pid} `{}` in {}", words.trim_end(), cwd.display())
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let survivors = self.kill_survivors();
        if !std::thread::panicking() {
            assert!(survivors.is_empty(), "servers were left: {survivors:?}");
        }
    }
}

/// The program in the background; killed when dropped.
pub(crate) struct Running {
    child: Child,
    line: String,
}

impl Running {
    pub(crate) fn of(mut command: Command, line: &str) -> Self {
        let child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program runs");
        Self {
            child,
            line: line.to_owned(),
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its standard input, if that was made a pipe.
    pub(crate) fn stdin(&mut self) -> ChildStdin {
        self.child.stdin.take().expect("a pipe")
    }

    /// Whether it has not ended yet.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_none()
    }

    /// Waits for its end.
    #[must_use = "look at the code or at the output"]
    pub(crate) fn end(mut self) -> Ran {
        let output = finish(&mut self.child, &self.line);
        Ran::new(&self.line, output)
    }

    /// Ends it by SIGKILL `after` it was started, if it still runs then. Says whether it did.
    pub(crate) fn kill_after(mut self, after: Duration) -> bool {
        let began = Instant::now();
        wait_for("a moment", || (began.elapsed() >= after).then_some(()));
        let running = self.child.try_wait().expect("a child").is_none();
        self.child.kill().expect("killed");
        self.child.wait().expect("reaped");
        running
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The program in the background, with what it says in two files; killed when dropped.
pub(crate) struct Recorded {
    child: Child,
    out: NamedTempFile,
    err: NamedTempFile,
}

impl Recorded {
    pub(crate) fn out(&self) -> String {
        fs::read_to_string(&self.out).expect("UTF-8")
    }

    pub(crate) fn err(&self) -> String {
        fs::read_to_string(&self.err).expect("UTF-8")
    }

    pub(crate) fn wait_until_it_writes(&self, what: &str) {
        wait_for(&format!("\"{what}\" on standard output"), || {
            self.out().contains(what).then_some(())
        });
    }

    pub(crate) fn wait_until_it_says(&self, what: &str) {
        wait_for(&format!("\"{what}\" on standard error"), || {
            self.err().contains(what).then_some(())
        });
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(name, self.child.id());
    }

    /// Waits for its end: its exit code and the signal that ended it.
    pub(crate) fn wait(&mut self) -> (Option<i32>, Option<i32>) {
        use std::os::unix::process::ExitStatusExt as _;
        let status = wait_for("its end", || self.child.try_wait().expect("a child"));
        (status.code(), status.signal())
    }

    /// The same, where nobody reads what it said.
    pub(crate) fn end(mut self) -> (Option<i32>, Option<i32>) {
        self.wait()
    }

    /// Interrupts it, after which it must be dead by that signal and have said nothing of it; what
    /// it wrote.
    pub(crate) fn interrupt(mut self) -> String {
        self.signal("INT");
        assert_eq!(self.wait(), (None, Some(2)), "{}", self.err());
        assert_eq!(self.err(), "");
        self.out()
    }
}

impl Drop for Recorded {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A process that is none of rcluster's business; killed when dropped.
pub(crate) struct Stranger(Child);

impl Stranger {
    pub(crate) fn new(command: &mut Command) -> Self {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the stranger runs");
        Self(child)
    }

    pub(crate) fn sleep() -> Self {
        Self::new(Command::new("sleep").arg("600"))
    }

    /// A server without a cluster, on `port`, which answers.
    pub(crate) fn redis(port: u64) -> Self {
        let stranger = Self::new(
            Command::new("redis-server")
                .args(["--port", &port.to_string()])
                .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
                .current_dir("/"),
        );
        let address = (Ipv4Addr::LOCALHOST, u16::try_from(port).expect("a port"));
        wait_for("the stranger to listen", || {
            TcpStream::connect(address).ok()
        });
        assert_eq!(redis(port, &["SET", "canary", "alive"]), "OK");
        stranger
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// That nobody ended it.
    pub(crate) fn lives(&mut self) -> bool {
        self.0.try_wait().expect("a child").is_none()
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// `line` on a terminal of its own, by script(1); the exit code is that of `line`.
pub(crate) fn on_a_terminal(line: &str) -> Command {
    let mut command = Command::new("/usr/bin/script");
    // The user's shell may be any or none, and some stand between: dash waits for what it runs, and an
    // interrupt ends it.
    command
        .env("SHELL", "/bin/sh")
        .args(["-qefc", &format!("exec {line}"), "/dev/null"]);
    command
}

/// What a run of the program came to.
pub(crate) struct Ran {
    pub(crate) line: String,
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    #[must_use = "look at the code or at the output"]
    pub(crate) fn of(command: Command, line: &str) -> Self {
        Running::of(command, line).end()
    }

    fn new(line: &str, output: Output) -> Self {
        use std::os::unix::process::ExitStatusExt as _;
        Self {
            line: line.to_owned(),
            code: output.status.code(),
            signal: output.status.signal(),
            out: String::from_utf8(output.stdout).expect("UTF-8"),
            err: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }

    /// That it did not fall over: it ended by itself, and did not panic.
    pub(crate) fn nothing_odd(&self) {
        assert!(
            self.code.is_some_and(|code| (0..=10).contains(&code)),
            "{self}"
        );
        assert!(!self.err.contains("panicked"), "{self}");
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

/// For how long, since the machine was started, somebody has waited for a processor, or a processor
/// for the machine that lends it to us: nothing where the kernel does not tell.
fn waited_for_processors() -> Duration {
    let text = fs::read_to_string("/proc/pressure/cpu").unwrap_or_default();
    let mut words = text.lines().take(1).flat_map(str::split_ascii_whitespace);
    let total = words.find_map(|word| word.strip_prefix("total=")?.parse().ok());
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    // The eighth number of the first line, in hundredths of a second (proc_stat(5)).
    let mut words = text.lines().take(1).flat_map(str::split_ascii_whitespace);
    let stolen: Option<u64> = words.nth(8).and_then(|ticks| ticks.parse().ok());
    Duration::from_micros(total.unwrap_or(0)) + Duration::from_millis(stolen.unwrap_or(0) * 10)
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
///
/// They lie below what `--port auto` takes, else the cluster of another test might sit down on them
/// before their own does; and in the even thousands, which leaves the odd ones to the bus.
pub(crate) fn free_ports(count: u16) -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let (width, in_a_thousand, places) = (20, 50, 200);
    assert!(count <= width, "{count} ports are more than a place has");
    let start = u16::try_from(std::process::id() % 97).expect("small") * 2;
    loop {
        let place = (start + NEXT.fetch_add(1, Ordering::Relaxed)) % places;
        let base = 2000 + place / in_a_thousand * 2000 + place % in_a_thousand * width;
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
        write!(request, "${}\r\n{argument}\r\n", argument.len()).expect("a string");
    }
    stream.write_all(request.as_bytes()).expect("written");
    let mut reply = Vec::new();
    let mut buffer = [0; 8192];
    loop {
        let read = match stream.read(&mut buffer) {
            // A read with a timeout is not begun anew when the process was stopped meanwhile.
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            read => read.expect("an answer"),
        };
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

/// Whether the server of a document is older than 7.0, the version that `cluster-port` and the
/// directory of append-only files came with.
pub(crate) fn is_before_seven(document: &Value) -> bool {
    let version = document["server"]["version"].as_str().expect("a version");
    document["server"]["kind"] == "redis" && version.starts_with("6.")
}

/// The nodes of a status document.
pub(crate) fn nodes(status: &Value) -> &[Value] {
    status["nodes"].as_array().expect("nodes").as_slice()
}

/// Whether programs hear SIGHUP: those that the tests start ignore it if the tests do (nohup).
pub(crate) fn hang_up_is_heard() -> bool {
    let status = fs::read_to_string("/proc/self/status").expect("/proc");
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .expect("a mask");
    u64::from_str_radix(mask.trim(), 16).expect("hex") & 1 == 0
}

/// Sets a key, and waits until a replica has it too: `WAIT` speaks of its own connection's writes.
pub(crate) fn set_on_both(port: u64, key: &str, value: &str) {
    let address = (Ipv4Addr::LOCALHOST, u16::try_from(port).expect("a port"));
    let mut stream = TcpStream::connect(address).expect("a server listens");
    let timeout = Some(Duration::from_secs(10));
    stream.set_read_timeout(timeout).expect("a timeout");
    write!(stream, "SET {key} {value}\r\nWAIT 1 5000\r\n").expect("written");
    let mut reply = [0; 9];
    stream.read_exact(&mut reply).expect("two answers");
    assert_eq!(&reply, b"+OK\r\n:1\r\n");
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

/// The node of a status document that is on `port`.
pub(crate) fn node_on(status: &Value, port: u64) -> &Value {
    nodes(status)
        .iter()
        .find(|node| node["port"] == port)
        .unwrap_or_else(|| panic!("no node on {port}: {status}"))
}

/// The client ports of a status document.
pub(crate) fn ports(status: &Value) -> Vec<u64> {
    let port = |node: &Value| node["port"].as_u64().expect("a port");
    nodes(status).iter().map(port).collect()
}

/// The PID of the node on `port`, by a status document.
pub(crate) fn pid_on(status: &Value, port: u64) -> i64 {
    node_on(status, port)["pid"].as_i64().expect("a PID")
}

/// What every node's process is doing, by a status document.
pub(crate) fn process_words(status: &Value) -> Vec<String> {
    let word = |node: &Value| -> String { node["process"].as_str().unwrap_or("?").to_owned() };
    nodes(status).iter().map(word).collect()
}

/// Reads, edits and writes a JSON file.
pub(crate) fn edit_json(path: &Path, edit: impl FnOnce(&mut Value)) {
    let mut document: Value =
        serde_json::from_slice(&fs::read(path).expect("readable")).expect("JSON");
    edit(&mut document);
    fs::write(path, document.to_string()).expect("written");
}

/// Ends a process by SIGKILL and waits until it is gone: all its threads, since its ports are
/// held until the last of them has ended.
pub(crate) fn kill_and_wait(pid: i64) {
    signal("KILL", pid);
    wait_for("the killed process to end", || {
        let threads = fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
        (threads <= 1 && stat.map_or(true, |stat| stat.contains(") Z "))).then_some(())
    });
}
