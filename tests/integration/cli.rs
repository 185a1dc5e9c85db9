//! `cli`: redis-cli as if it was typed, and a prompt like it where there is none.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::call::Listener;
use crate::sandbox::{
    Ran, Sandbox, kill_and_wait, node_on, nodes, pid_on, ports, signal, wait_for,
};
use crate::tls::has_tls;

const PASSWORD: &str = "hunter2 '\"$x";

/// Runs the program with `input` on its standard input.
fn fed(sandbox: &Sandbox, arguments: &[&str], input: &str) -> Ran {
    let file = sandbox.file("input", input);
    let mut command = sandbox.command(arguments);
    command.stdin(Stdio::from(fs::File::open(file).expect("written")));
    Ran::of(command, &format!("{arguments:?}"))
}

/// The port of the primary that owns slot 7056, that of `wat`.
fn owner_of_wat(status: &Value) -> u64 {
    let owns = |node: &&Value| {
        let ranges = node["slots"].as_array().expect("ranges").iter();
        let mut ranges = ranges.map(|r| (r[0].as_u64(), r[1].as_u64()));
        ranges.any(|(first, last)| first <= Some(7056) && Some(7056) <= last)
    };
    let node = nodes(status).iter().find(owns).expect("an owner");
    node["port"].as_u64().expect("a port")
}

/// A copy of the server in a directory of its own, where there is no client beside it.
fn lonely_server(sandbox: &Sandbox) -> PathBuf {
    let server = std::env::var("RCLUSTER_TEST_SERVER").unwrap_or("redis-server".into());
    let found = Command::new("sh")
        .args(["-c", "command -v \"$0\"", &server])
        .output();
    let found = String::from_utf8(found.expect("sh").stdout).expect("UTF-8");
    let bin = sandbox.path().join("bin");
    fs::create_dir(&bin).expect("made");
    let copy = bin.join("redis-server");
    let done = Command::new("cp")
        .arg("-L")
        .arg(found.trim())
        .arg(&copy)
        .status();
    assert!(done.expect("cp").success());
    copy
}

/// A client that writes down what it was given instead of talking.
const SPY: &str = "for a; do [ \"$a\" = --help ] && { echo '  --tls  TLS'; exit; }; done
tr '\\0' '\\n' < /proc/$$/cmdline > $0.argv; env -0 > $0.env; exit 42";

/// Whether the server under test has no TLS, which is said elsewhere.
fn lacks_tls() -> bool {
    has_tls() == Some(false)
}

#[test]
fn the_client_gets_its_options_and_the_password_in_its_environment_alone() {
    if lacks_tls() {
        return;
    }
    let sandbox = Sandbox::new();
    let server = lonely_server(&sandbox);
    let server = server.to_str().expect("UTF-8");
    let spy = sandbox.script("bin/redis-cli", SPY);
    let given = || {
        let argv = fs::read_to_string(format!("{spy}.argv")).expect("it ran");
        let env = fs::read_to_string(format!("{spy}.env")).expect("it ran");
        let argv: Vec<String> = argv.lines().skip(2).map(str::to_owned).collect();
        let env: Vec<String> = env.split('\0').map(str::to_owned).collect();
        (argv, env)
    };
    let acl = sandbox.file(
        "users.acl",
        "user default off\nuser boss on nopass ~* &* +@all\n",
    );
    let text = fs::read_to_string(&acl)
        .expect("read")
        .replace("nopass", ">hunter2");
    fs::write(&acl, text).expect("written");
    let file = sandbox.file("password", "hunter2");
    let up = sandbox.up(&format!("--server {server} --aclfile {acl} --user boss --password-file {file} --tls --tls-auth-clients yes --primaries 1 --replicas 1"));
    let all = ports(&up);
    let mut command = sandbox.command(&["cli", "replica", "--", "GET", "a b", "-x"]);
    command
        .env("REDISCLI_AUTH", "of another")
        .env("RCLUSTER_PASSWORD", "an input");
    let ran = Ran::of(command, "cli replica");
    assert_eq!(ran.code, Some(42), "its code is ours: {ran}");
    let (argv, env) = given();
    let tls = sandbox.cluster().join("tls");
    let path = |name: &str| tls.join(name).to_str().expect("UTF-8").to_owned();
    let wanted = [
        "-c",
        "-h",
        "127.0.0.1",
        "-p",
        &all[1].to_string(),
        "--user",
        "boss",
        "--tls",
        "--cacert",
        &path("ca.crt"),
        "--cert",
        &path("client.crt"),
        "--key",
        &path("client.key"),
        "GET",
        "a b",
        "-x",
    ];
    assert_eq!(argv, wanted);
    assert!(env.contains(&"REDISCLI_AUTH=hunter2".to_owned()), "{env:?}");
    assert!(
        !env.iter().any(|pair| pair.starts_with("RCLUSTER_PASSWORD")),
        "{env:?}"
    );
    sandbox.gone("down --yes");

    // Where no password is needed none is handed on.
    sandbox.up(&format!(
        "--server {server} --primaries 1 --replicas 0 --bind ::1"
    ));
    let mut command = sandbox.command(&["cli"]);
    command.env("REDISCLI_AUTH", "of another");
    assert_eq!(Ran::of(command, "cli").code, Some(42));
    let (argv, env) = given();
    assert_eq!(argv[..3], ["-c", "-h", "::1"]);
    assert_eq!(argv.len(), 5, "{argv:?}");
    assert!(!env.iter().any(|pair| pair.contains("CLI_AUTH")), "{env:?}");
    sandbox.gone("down --yes");
}

#[test]
fn without_a_client_that_can_there_is_a_prompt_and_a_note() {
    if lacks_tls() {
        return;
    }
    let sandbox = Sandbox::new();
    let server = lonely_server(&sandbox);
    let bin = server.parent().expect("a directory").to_owned();
    let shape = format!(
        "up --port auto --json --server {} --primaries 1 --replicas 0 --ephemeral",
        server.display()
    );
    let run = |line: &str| {
        let arguments: Vec<&str> = line.split(' ').collect();
        let mut command = sandbox.command(&arguments);
        command
            .env("PATH", "/nonexistent")
            .env_remove("RCLUSTER_SERVER");
        Ran::of(command, line)
    };
    assert_eq!(run(&shape).code, Some(0));
    let ran = run("cli -- SET a 1");
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "OK\n"), "{ran}");
    assert!(ran.err.contains("there is no redis-cli"), "{ran}");
    let ran = run("cli -- --scan");
    assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{ran}");
    assert_eq!(run("down --yes").code, Some(0));

    // One that knows no TLS, as many builds.
    sandbox.script("bin/redis-cli", "echo \"no option '$1'\"; exit 1");
    assert_eq!(run(&format!("{shape} --tls")).code, Some(0));
    let ran = run("cli -- PING");
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "PONG\n"), "{ran}");
    assert!(ran.err.contains("without TLS"), "{ran}");
    assert!(bin.join("redis-cli").exists());
    assert_eq!(run("down --yes").code, Some(0));
}

#[test]
fn every_state_and_every_wrong_word_has_its_code() {
    let sandbox = Sandbox::new();
    for builtin in ["", " --builtin"] {
        sandbox.fails(&format!("cli{builtin} -- PING"), 4);
    }
    let up = sandbox.up("--primaries 3 --replicas 0");
    let all = ports(&up);
    sandbox.fails("cli --builtin 77 -- PING", 2);
    sandbox.fails("cli --builtin leader -- PING", 2);
    sandbox.fails("cli --json -- PING", 2).json_error();
    sandbox.fails("cli GET wat", 2);
    kill_and_wait(pid_on(&up, all[0]));
    signal("STOP", pid_on(&up, all[1]));
    let dead = sandbox.fails("cli --builtin 1 -- PING", 1);
    assert!(dead.err.contains("does not run"), "{dead}");
    sandbox.fails("cli 2 -- PING", 1);
    let first = sandbox.ok("cli --builtin -- CONFIG GET port");
    assert_eq!(
        first.out,
        format!("port\n{}\n", all[2]),
        "the first that lives: {first}"
    );
    assert!(first.err.contains("degraded"), "{first}");
    signal("CONT", pid_on(&up, all[1]));
    sandbox.ok("stop");
    sandbox.fails("cli -- PING", 3);
    sandbox.fails("cli primary:9 -- PING", 3);
    sandbox.gone("down --yes");
}

/// What both are given.
const DIALOGUE: &str = r#"SET wat 2
GET wat
MSET one 1 two 2 three 3
MSET {first}one 1 {first}two 2 {first}three 3
MGET {first}one {first}two {first}three {first}none
SET {first}bytes "\x00\xff\n\"\\x"
GET {first}bytes
  get   '{first}bytes'
EVAL "return {1,{2,{3,false}},{},'x',redis.error_reply('ERR mine')}" 1 {first}
HGETALL {first}none
"unbalanced
'a'b

NOSUCH
INCR {first}n
3 INCR {first}n
MULTI
SET {first}one 2
EXEC
PING "a b"
ECHO ""
GET
GET hello
MULTI
SET wat 1
GET hello
GET hello
EXEC
GET wat
MULTI
GET wat
GET hello
MULTI
NOSUCH
EXEC
GET hello
MULTI
DISCARD
DISCARD
"#;

#[test]
fn the_prompt_says_what_redis_cli_says() {
    let sandbox = Sandbox::new();
    let up = sandbox.up("--replicas 0 --ephemeral --generate-password");
    for more in ["--raw", "--no-raw"] {
        let mut said = Vec::new();
        for who in [&["cli", "--"][..], &["cli", "--builtin", "--"]] {
            sandbox.ok("call -- FLUSHALL");
            // What is no text stays out of what is compared as text.
            let dialogue = match more {
                "--raw" => DIALOGUE.replace(r"\xff", r"\x7f"),
                _ => DIALOGUE.to_owned(),
            };
            let ran = fed(&sandbox, &[who, &[more]].concat(), &dialogue);
            assert_eq!(ran.code, Some(0), "{ran}");
            said.push(ran.out);
        }
        assert_eq!(said[1], said[0], "{more}");
        let redirect = format!(
            "-> Redirected to slot [7056] located at 127.0.0.1:{}\n",
            owner_of_wat(&up)
        );
        assert!(said[0].contains(&redirect), "{}", said[0]);
        assert!(said[0].contains("CROSSSLOT Keys in request"), "{}", said[0]);
    }
    // One command: no redirect is shown, and only -e makes an error count.
    for arguments in [
        &["SET", "wat", "a \u{1}"][..],
        &["GET", "wat"],
        &["--no-raw", "GET", "wat"],
        &["NOSUCH"],
        &["-e", "NOSUCH"],
        &["-e", "PING"],
    ] {
        let by = |more: &[&str]| {
            let ran = sandbox.run_words(&[&["cli"], more, &["--"], arguments].concat());
            (ran.code, ran.out, ran.err)
        };
        let (code, out, err) = by(&[]);
        let (own_code, own_out, own_err) = by(&["--builtin"]);
        assert_eq!(own_code, code, "{arguments:?}: {out} {err}");
        // redis-cli has two ways to show an error, by whether it counts.
        assert_eq!(own_out.trim(), out.trim(), "{arguments:?}");
        assert_eq!(own_err.trim(), err.trim(), "{arguments:?}");
    }
    sandbox.gone("down --yes");
}

#[test]
fn every_way_in_is_found() {
    let sandbox = Sandbox::new();
    let file = sandbox.file("password", PASSWORD);
    let mut shapes = vec![
        format!("--password-file {file} --tls"),
        format!("--password-file {file} --tls --tls-auth-clients yes --bind ::1"),
        format!("--password-file {file} --tls=both"),
        "--bind 0.0.0.0 --generate-password".to_owned(),
        "--bind ::1".to_owned(),
    ];
    let valkey = Path::new("/work/main/.servers/valkey-8.0/bin/valkey-server");
    if valkey.exists() && std::env::var_os("RCLUSTER_TEST_SERVER").is_none() {
        shapes.push(format!(
            "--tls --generate-password --server {}",
            valkey.display()
        ));
    }
    if lacks_tls() {
        shapes.retain(|shape| !shape.contains("--tls"));
    }
    for shape in shapes {
        sandbox.up(&format!("{shape} --replicas 0 --ephemeral"));
        for (who, value) in [("", "1"), (" --builtin", "2")] {
            let set = sandbox.ok(&format!("cli{who} -- SET wat {value}"));
            assert_eq!(set.out.trim(), "OK", "{shape}: {set}");
            let get = sandbox.ok(&format!("cli{who} 3 -- GET wat"));
            assert_eq!(get.out.trim(), value, "{shape}: {get}");
            assert!(
                !get.err.contains("hunter2") && !get.out.contains("hunter2"),
                "{get}"
            );
        }
        sandbox.gone("down --yes");
    }
}

#[test]
fn redirects_lead_to_nodes_of_the_cluster_and_nowhere_else() {
    let sandbox = Sandbox::new();
    let file = sandbox.file("password", "hunter2-hunter2");
    let up = sandbox.up(&format!("--password-file {file} --set cluster-require-full-coverage=no --replicas 0 --node-timeout 60s"));
    let port = owner_of_wat(&up);
    kill_and_wait(pid_on(&up, port));
    let ran = sandbox.fails("cli --builtin -- GET wat", 1);
    assert!(ran.err.contains("Error: ") && ran.out.is_empty(), "{ran}");
    let listener = Listener::on(port);
    let ran = sandbox.fails("cli --builtin -- GET wat", 1);
    assert!(ran.err.contains("Error: ") && ran.out.is_empty(), "{ran}");
    let heard = listener.heard();
    assert!(
        !heard.contains("hunter2") && !heard.contains("AUTH"),
        "{heard}"
    );
    // The conversation goes on with those that are left.
    let ran = fed(&sandbox, &["cli", "--builtin"], "GET wat\nPING\n");
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "PONG\n"), "{ran}");
    sandbox.ok("stop");
    sandbox.ok("clean --yes").nothing_odd();
}

/// A conversation over pipes.
struct Conversation {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Conversation {
    fn new(sandbox: &Sandbox) -> Self {
        let mut command = sandbox.command(&["cli", "--builtin"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::piped()).spawn().expect("runs");
        let out = BufReader::new(child.stdout.take().expect("a pipe"));
        Self { child, out }
    }

    /// Sends a line, and returns the first line of the answer.
    fn say(&mut self, line: &str) -> String {
        let input = self.child.stdin.as_mut().expect("a pipe");
        writeln!(input, "{line}").expect("written");
        let mut answer = String::new();
        self.out.read_line(&mut answer).expect("an answer");
        answer
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[test]
fn a_conversation_survives_a_cluster_that_is_made_anew() {
    let sandbox = Sandbox::new();
    sandbox.up("--primaries 1 --replicas 0 --ephemeral");
    let mut conversation = Conversation::new(&sandbox);
    assert_eq!(conversation.say("PING"), "PONG\n");
    sandbox.ok("down --yes");
    let up = sandbox
        .up("--replicas 0 --ephemeral --generate-password --set cluster-require-full-coverage=no");
    // The first that lives has a place that there was not before.
    kill_and_wait(pid_on(&up, ports(&up)[0]));
    let input = conversation.child.stdin.as_mut().expect("a pipe");
    // Broken; there is no answer to this one.
    writeln!(input, "PING").expect("written");
    assert_eq!(conversation.say("PING"), "PONG\n");
    assert_eq!(
        conversation.say("CONFIG GET port"),
        "port\n",
        "it goes on, at another node"
    );
    drop(conversation);
    sandbox.gone("down --yes");
}

#[test]
fn after_a_failover_the_prompt_finds_the_new_primary() {
    let sandbox = Sandbox::new();
    let up = sandbox.up("");
    sandbox.ok("cli --builtin -- SET wat 2");
    let was = owner_of_wat(&up);
    kill_and_wait(pid_on(&up, was));
    let status = sandbox.wait_for_status("the replica to take over", |status| {
        let mut others = nodes(status)
            .iter()
            .filter(|node| node["process"] == "running");
        others.any(|node| node["role"] == "primary" && node["shard"] == node_on(&up, was)["shard"])
    });
    assert_ne!(owner_of_wat(&status), was);
    wait_for("the value", || {
        let ran = sandbox.run("cli --builtin -- GET wat");
        (ran.out == "2\n").then_some(())
    });
    sandbox.gone("down --yes");
}

/// A terminal of its own.
struct Terminal<'a> {
    sandbox: &'a Sandbox,
    socket: PathBuf,
}

impl<'a> Terminal<'a> {
    fn new(sandbox: &'a Sandbox) -> Self {
        let terminal = Self {
            sandbox,
            socket: sandbox.path().join("tmux"),
        };
        let program = Path::new(env!("CARGO_BIN_EXE_rcluster"))
            .parent()
            .expect("a directory");
        let path = format!("{}:/usr/bin:/bin", program.display());
        let home = sandbox.home();
        let mut command = terminal.tmux(&[
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-x",
            "100",
            "-y",
            "30",
            "exec env PS1='$ ' sh",
        ]);
        command
            .env("PATH", path)
            .env("RCLUSTER_HOME", home)
            .env("HOME", sandbox.path())
            // It starts what it is given by the user's shell, which may be any or none.
            .env("SHELL", "/bin/sh")
            .current_dir("/");
        command.env_remove("RCLUSTER_NAME").env_remove("TMUX");
        assert!(command.status().expect("tmux is needed").success());
        terminal
    }

    fn tmux(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("tmux");
        command.arg("-S").arg(&self.socket).args(arguments);
        command
    }

    fn types(&self, keys: &[&str]) {
        let done = self.tmux(&["send-keys"]).args(keys).status();
        assert!(done.expect("tmux").success());
    }

    fn screen(&self) -> String {
        let output = self.tmux(&["capture-pane", "-p"]).output().expect("tmux");
        String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .to_owned()
    }

    fn shows(&self, what: &str) -> String {
        let began = std::time::Instant::now();
        loop {
            let screen = self.screen();
            if screen.contains(what) {
                // Whoever wrote it may still be at it, and throw away what is typed meanwhile.
                std::thread::sleep(Duration::from_millis(60));
                if self.screen() == screen {
                    return screen;
                }
                continue;
            }
            assert!(
                began.elapsed() < Duration::from_secs(60),
                "no {what:?} in:\n{screen}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Terminal<'_> {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]).status().ok();
        let _ = self.sandbox;
    }
}

#[test]
fn on_a_terminal_both_are_a_prompt_that_moves_along() {
    let sandbox = Sandbox::new();
    let up = sandbox.up("--replicas 0 --ephemeral --generate-password");
    let (first, last, owner) = (ports(&up)[0], ports(&up)[2], owner_of_wat(&up));
    let terminal = Terminal::new(&sandbox);
    for line in ["rcluster cli", "rcluster cli --builtin"] {
        terminal.types(&["clear", "Enter"]);
        terminal.types(&[line, "Enter"]);
        terminal.shows(&format!("127.0.0.1:{first}>"));
        terminal.types(&["SET 'wat' 2", "Enter"]);
        terminal.shows(&format!(
            "-> Redirected to slot [7056] located at 127.0.0.1:{owner}\nOK\n127.0.0.1:{owner}>"
        ));
        terminal.types(&["GET wat", "Enter"]);
        terminal.shows(&format!("127.0.0.1:{owner}> GET wat\n\"2\"\n"));
        // The line before, edited: an arrow, one letter less, two more.
        terminal.types(&["Up", "BSpace", "t2", "Enter"]);
        terminal.shows("\n(nil)\n127.0.0.1:");
        terminal.types(&["MULTI", "Enter"]);
        terminal.shows("(TX)>");
        terminal.types(&["DISCARD", "Enter"]);
        terminal.shows("DISCARD\nOK\n127.0.0.1:");
        // A redirect and a failed EXEC end a transaction too.
        terminal.types(&["MULTI", "Enter"]);
        terminal.shows(&format!(
            "DISCARD\nOK\n127.0.0.1:{last}> MULTI\nOK\n127.0.0.1:{last}(TX)>"
        ));
        terminal.types(&["GET hello", "Enter"]);
        terminal.shows(&format!(
            "-> Redirected to slot [866] located at 127.0.0.1:{first}\n(nil)\n127.0.0.1:{first}>"
        ));
        terminal.types(&["MULTI", "Enter"]);
        terminal.shows(&format!("127.0.0.1:{first}(TX)>"));
        terminal.types(&["NOSUCH", "Enter"]);
        terminal.shows("unknown command");
        terminal.types(&["EXEC", "Enter"]);
        terminal.shows(&format!(
            "discarded because of previous errors.\n127.0.0.1:{first}>"
        ));
        terminal.types(&["C-d"]);
        terminal.shows("\n$");
        terminal.types(&["echo left-$?", "Enter"]);
        terminal.shows("left-0");
    }

    sandbox.gone("down --yes");
}

#[test]
fn a_signal_at_the_prompt_leaves_the_terminal_as_it_was() {
    let sandbox = Sandbox::new();
    let up = sandbox.up("--primaries 1 --replicas 0 --ephemeral");
    let port = ports(&up)[0];
    let terminal = Terminal::new(&sandbox);
    // Ctrl-C while an answer is waited for ends the wait, and the prompt with it.
    terminal.types(&["rcluster cli --builtin", "Enter"]);
    terminal.shows(&format!("127.0.0.1:{port}>"));
    terminal.types(&["BLPOP none 0", "Enter"]);
    wait_for("the command to wait", || {
        let info = sandbox.ok("call -- INFO clients").out;
        info.contains("blocked_clients:1").then_some(())
    });
    terminal.types(&["C-c"]);
    terminal.shows("\n$");
    terminal.types(&["echo waited-$?", "Enter"]);
    terminal.shows("waited-130");

    for (name, code) in [("TERM", 143), ("INT", 130), ("HUP", 129)] {
        terminal.types(&["clear", "Enter"]);
        terminal.types(&["rcluster cli --builtin", "Enter"]);
        terminal.shows(&format!("127.0.0.1:{port}>"));
        let pid = wait_for("the prompt's process", || {
            let pane = terminal
                .tmux(&["display", "-p", "#{pane_pid}"])
                .output()
                .expect("tmux");
            let pane = String::from_utf8_lossy(&pane.stdout).trim().to_owned();
            let children = fs::read_to_string(format!("/proc/{pane}/task/{pane}/children")).ok()?;
            children.split_whitespace().next().map(str::to_owned)
        });
        signal(name, &pid);
        let process = Path::new("/proc").join(&pid);
        wait_for("its end", || (!process.exists()).then_some(()));
        terminal.types(&["echo ended-$?", "Enter"]);
        terminal.shows(&format!("ended-{code}"));
        terminal.types(&["clear; stty -a | tr ' ' ':'", "Enter"]);
        let settings = terminal.shows(":icanon");
        assert!(
            settings.contains(":icanon") && settings.contains(":echo:"),
            "{settings}"
        );
        assert!(
            !settings.contains(":-icanon") && !settings.contains(":-echo:"),
            "{settings}"
        );
    }
    sandbox.gone("down --yes");
}

#[test]
fn whoever_closes_the_pipe_has_seen_enough_and_endless_commands_are_refused() {
    let sandbox = Sandbox::new();
    sandbox.up("--primaries 1 --replicas 0 --ephemeral");
    let mut command = sandbox.command(&["cli", "--builtin"]);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("runs");
    drop(child.stdout.take());
    let mut input = child.stdin.take().expect("a pipe");
    input.write_all(b"PING\nPING\n").expect("read");
    drop(input);
    assert_eq!(
        child.wait_with_output().expect("ends").status.code(),
        Some(0)
    );

    for words in [
        "MONITOR",
        "subscribe a",
        "PSUBSCRIBE *",
        "CLIENT REPLY OFF",
        "SYNC",
    ] {
        let ran = fed(&sandbox, &["cli", "--builtin"], &format!("{words}\nPING\n"));
        assert_eq!((ran.code, ran.out.as_str()), (Some(0), "PONG\n"), "{ran}");
        assert!(ran.err.contains("needs redis-cli"), "{ran}");
    }
    let ran = fed(
        &sandbox,
        &["cli", "--builtin"],
        "BLPOP none 0.8\nPING\nquit\nPING\n",
    );
    assert_eq!(ran.out, "\nPONG\n", "an answer may take its time: {ran}");
    sandbox.gone("down --yes");
}
