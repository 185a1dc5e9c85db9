//! `logs`: what all servers wrote, in the order of time, and on while they write.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::sandbox::{Sandbox, kill_and_wait, pid_on, ports, signal, wait_for};

/// `logs -f`, whose output goes to a file.
struct Followed {
    child: Child,
    out: PathBuf,
    err: PathBuf,
}

impl Followed {
    fn new(sandbox: &Sandbox, line: &str) -> Self {
        let arguments: Vec<&str> = line.split(' ').collect();
        let (out, err) = (
            sandbox.path().join("followed"),
            sandbox.path().join("followed.err"),
        );
        let child = sandbox
            .command(&arguments)
            .stdout(File::create(&out).expect("made"))
            .stderr(File::create(&err).expect("made"))
            .spawn()
            .expect("the program runs");
        Self { child, out, err }
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.out).expect("UTF-8")
    }

    fn wait_for(&self, text: &str) {
        wait_for(&format!("{text}, followed"), || {
            self.text().contains(text).then_some(())
        });
    }

    /// Interrupts it, after which it must be dead by that signal and have said nothing of it.
    fn interrupt(mut self) -> String {
        signal("INT", self.child.id());
        let status = self.child.wait().expect("reaped");
        assert_eq!(status.signal(), Some(2), "{status}");
        assert_eq!(fs::read_to_string(&self.err).expect("UTF-8"), "");
        self.text()
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn lines(document: &Value) -> &Vec<Value> {
    document["lines"].as_array().expect("lines")
}

fn append(log: &Path, text: impl AsRef<[u8]>) {
    let mut file = File::options().append(true).open(log).expect("a log");
    file.write_all(text.as_ref()).expect("written");
}

/// A node that was started once and does not run, and its log.
fn stopped_node(sandbox: &Sandbox) -> (u64, PathBuf) {
    let status = sandbox
        .ok("start --primaries 1 --replicas 0 --port auto --json")
        .json();
    sandbox.ok("stop");
    let port = ports(&status)[0];
    (port, sandbox.node(port).join("server.log"))
}

#[test]
fn logs_of_all_nodes_are_one_in_the_order_of_time() {
    let sandbox = Sandbox::new();
    sandbox.fails("logs", 4);
    assert_eq!(
        sandbox.fails("logs -f --json", 4).json_error()["code"],
        "no_such_cluster"
    );
    let status = sandbox.up("--primaries 3 --replicas 1");
    let ports = ports(&status);
    for state in ["running", "stopped"] {
        if state == "stopped" {
            sandbox.ok("stop");
        }
        let document = sandbox.ok("logs --json").json();
        assert_eq!(document["problems"], Value::Array(Vec::new()));
        let all = lines(&document);
        // A child that a server forked may write late into its parent's log.
        for pair in all.windows(2) {
            let time = |line: &Value| line["time"].as_str().expect("a time").to_owned();
            assert!(
                time(&pair[0]) <= time(&pair[1]) || pair[0]["node"] == pair[1]["node"],
                "{state}: {pair:?}"
            );
        }
        for port in &ports {
            let node = format!("127.0.0.1:{port}");
            let text = fs::read_to_string(sandbox.node(*port).join("server.log")).expect("a log");
            let of_node = all.iter().filter(|line| line["node"] == node.as_str());
            let written: Vec<&str> = text.lines().map(str::trim_end).collect();
            let texts: Vec<&str> = of_node
                .map(|line| line["text"].as_str().expect("a text"))
                .collect();
            assert_eq!(texts.len(), written.len(), "{state}");
            for (text, written) in texts.iter().zip(written) {
                assert!(written.ends_with(text), "{text}\n{written}");
            }
        }
        assert!(all.iter().any(|line| line["role"] == "replica"));
        assert!(all.iter().any(|line| line["level"] == "warning"));

        let words = sandbox.ok("logs");
        assert_eq!(words.out.lines().count(), all.len(), "{state}");
        assert_eq!(words.err, "");
        for line in words.out.lines() {
            let (port, _) = line.split_once(" | ").expect("a prefix");
            assert!(
                ports.contains(&port.trim().parse().expect("a port")),
                "{line}"
            );
        }
        let last = sandbox.ok("logs --tail 2");
        assert_eq!(last.out.lines().count(), 12, "{last}");
        assert_eq!(sandbox.ok("logs --tail 0").out, "");
        let one = sandbox.ok(&format!("logs --tail 3 {} 2", ports[1]));
        assert_eq!(one.out.lines().count(), 3, "{one}");
        assert!(
            one.out
                .lines()
                .all(|line| line.starts_with(&format!("{:>5} | ", ports[1])))
        );
        let primaries = sandbox.ok("logs --tail 1 primary");
        assert_eq!(primaries.out.lines().count(), 3, "{primaries}");
    }
    let painted = sandbox.ok("logs --tail 1 --color always");
    assert_eq!(painted.out.matches("\x1b[0m |").count(), 0, "{painted}");
    assert_eq!(painted.out.matches("\x1b[0m ").count(), 6, "{painted}");
    assert!(!sandbox.ok("logs --tail 1").out.contains('\x1b'));
    // Everything was written just now; nothing was in the next hour.
    let recent = sandbox.ok("logs --since 1h --json").json();
    assert_eq!(lines(&recent), lines(&sandbox.ok("logs --json").json()));
    assert_eq!(lines(&sandbox.ok("logs --since 0s --json").json()).len(), 0);
    sandbox.gone("down --yes");
}

#[test]
fn words_that_name_no_lines_are_refused() {
    let sandbox = Sandbox::new();
    let (port, _) = stopped_node(&sandbox);
    for line in [
        "logs 9",
        "logs primary:2",
        "logs nobody",
        "logs --tail -1",
        "logs --tail many",
        "logs --since 5",
        &format!("logs {}", port + 1),
    ] {
        let ran = sandbox.fails(line, 2);
        assert_eq!(ran.out, "", "{ran}");
    }
    sandbox.gone("down --yes");
}

#[test]
fn a_followed_log_outlives_its_node_its_file_and_its_directory() {
    let sandbox = Sandbox::new();
    let status = sandbox.up("--primaries 3 --replicas 0");
    let port = ports(&status)[1];
    let log = sandbox.node(port).join("server.log");
    let followed = Followed::new(&sandbox, "logs -f --tail 1");
    wait_for("the last lines", || {
        (followed.text().lines().count() >= 3).then_some(())
    });
    // The node dies and is started again.
    kill_and_wait(pid_on(&status, port));
    append(&log, "after death\n");
    followed.wait_for(&format!("{port:>5} | after death\n"));
    sandbox.ok("start");
    wait_for("the new server's first words", || {
        let text = followed.text();
        let (_, after) = text.split_once("after death")?;
        after.contains("Ready to accept connections").then_some(())
    });
    sandbox.ok("stop");
    // Emptied, and written on.
    File::create(&log).expect("emptied");
    append(&log, "after truncation\n");
    followed.wait_for("after truncation\n");
    // A line that is not complete is no line.
    append(&log, "first half, ");
    assert!(!followed.text().contains("first half"));
    append(&log, "second half\n");
    followed.wait_for("first half, second half\n");
    // Turned away: what still comes into the old file is read, then the new one from its start.
    let old = log.with_extension("log.1");
    fs::rename(&log, &old).expect("renamed");
    append(&old, "last words\n");
    followed.wait_for("last words\n");
    fs::write(&log, "first words\n").expect("written");
    followed.wait_for("first words\n");
    fs::remove_file(&old).expect("removed");
    // Even the directory goes and comes back.
    let node = sandbox.node(port);
    fs::rename(&node, sandbox.path().join("away")).expect("renamed");
    fs::create_dir(&node).expect("made");
    fs::write(&log, "in another directory\n").expect("written");
    followed.wait_for("in another directory\n");
    let text = followed.interrupt();
    for once in [
        "after death",
        "after truncation",
        "last words",
        "first words",
    ] {
        assert_eq!(text.matches(once).count(), 1, "{once}: {text}");
    }
    sandbox.gone("down --yes");
}

#[test]
fn following_ends_with_the_cluster_and_speaks_json() {
    let sandbox = Sandbox::new();
    let (port, log) = stopped_node(&sandbox);
    let mut followed = Followed::new(&sandbox, "logs -f --json --tail 0");
    wait_for("the follower to look", || {
        append(&log, "9:M 23 Nov 2026 00:00:00.000 # trouble\n");
        followed.text().contains('\n').then_some(())
    });
    sandbox.gone("down --yes");
    let status = followed.child.wait().expect("reaped");
    assert_eq!(status.code(), Some(0));
    let text = followed.text();
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).expect("a document");
        assert_eq!(line["node"], format!("127.0.0.1:{port}"));
        assert_eq!(
            (&line["ok"], &line["schema_version"]),
            (&true.into(), &1.into())
        );
        assert_eq!(line["text"], "trouble");
        assert_eq!(
            (&line["level"], &line["role"]),
            (&"warning".into(), &"primary".into())
        );
    }
}

#[test]
fn readers_that_go_away_end_it_quietly() {
    let sandbox = Sandbox::new();
    let (_, log) = stopped_node(&sandbox);
    append(&log, "x\n".repeat(200_000));
    for arguments in [
        &["logs"][..],
        &["logs", "-f"],
        &["logs", "-f", "--tail", "0"],
    ] {
        let mut child = sandbox
            .command(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program runs");
        let mut out = child.stdout.take().expect("a pipe");
        if !arguments.contains(&"0") {
            out.read_exact(&mut [0; 10]).expect("some lines");
        }
        drop(out);
        let ended = wait_for("the end", || child.try_wait().expect("a child"));
        assert_eq!(ended.code(), Some(0), "{arguments:?}");
        let mut err = String::new();
        child
            .stderr
            .take()
            .expect("a pipe")
            .read_to_string(&mut err)
            .expect("UTF-8");
        assert_eq!(err, "", "{arguments:?}");
    }
    sandbox.gone("down --yes");
}

#[test]
fn hostile_logs_reach_no_terminal_and_no_other_file() {
    let sandbox = Sandbox::new();
    let (_, log) = stopped_node(&sandbox);
    append(&log, b"\x1b[2J\x07\xff\xfe cleared\n\xe2\x80\xae turned\n");
    let ran = sandbox.ok("logs");
    assert!(
        ran.out.contains(" cleared\n") && ran.out.contains(" turned\n"),
        "{ran}"
    );
    assert!(!ran.out.contains(['\x1b', '\x07', '\u{202e}']), "{ran}");

    fs::remove_file(&log).expect("removed");
    let canary = sandbox.file("canary", "canary\n");
    symlink(&canary, &log).expect("linked");
    let ran = sandbox.ok("logs");
    assert_eq!(ran.out, "", "{ran}");
    assert!(ran.err.contains("its log cannot be read"), "{ran}");
    let document = sandbox.ok("logs --json").json();
    assert_eq!(lines(&document).len(), 0);
    assert_eq!(
        document["problems"].as_array().map(Vec::len),
        Some(1),
        "{document}"
    );
    // A pipe in its place must not be waited for.
    fs::remove_file(&log).expect("removed");
    assert!(
        Command::new("mkfifo")
            .arg(&log)
            .status()
            .expect("mkfifo")
            .success()
    );
    sandbox.ok("logs");
    fs::remove_file(&log).expect("removed");
    assert_eq!(sandbox.ok("logs").out, "");
    sandbox.gone("down --yes");
}

#[test]
fn a_large_log_is_not_read_for_its_last_lines() {
    let sandbox = Sandbox::new();
    let (_, log) = stopped_node(&sandbox);
    // 4 GiB that take no room: read whole, they would take seconds, and memory that there is not.
    let mut file = File::options().write(true).open(&log).expect("a log");
    file.seek(SeekFrom::Start(4 << 30)).expect("sought");
    file.write_all("\nnumber 1\nnumber 2\nnumber 3\n".as_bytes())
        .expect("written");
    let began = Instant::now();
    let program = env!("CARGO_BIN_EXE_rcluster");
    let mut command = sandbox.command(&[]);
    let home = sandbox.home();
    let out = Command::new("sh")
        .args([
            "-c",
            "ulimit -v 400000; exec \"$0\" --home \"$1\" logs --tail 2",
            program,
        ])
        .arg(&home)
        .env_clear()
        .envs(
            command
                .current_dir("/")
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .output()
        .expect("sh runs");
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
    let text = String::from_utf8(out.stdout).expect("UTF-8");
    assert!(out.status.success(), "{:?}", out.status);
    let texts: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split(" | ").nth(1))
        .collect();
    assert_eq!(texts, ["number 2", "number 3"]);
    sandbox.gone("down --yes");
}
