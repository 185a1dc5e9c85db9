//! `logs`: what all servers wrote, in the order of time, and on while they write.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::sandbox::{
    Ran, Sandbox, kill_and_wait, node_on, nodes, pid_on, ports, redis, signal, wait_for,
};

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
    let written = |port: u64| -> Vec<String> {
        let text = fs::read_to_string(sandbox.node(port).join("server.log")).expect("a log");
        text.lines()
            .map(|line| line.trim_end().to_owned())
            .collect()
    };
    let all_written = || -> Vec<Vec<String>> { ports.iter().map(|port| written(*port)).collect() };
    for state in ["running", "stopped"] {
        if state == "stopped" {
            sandbox.ok("stop");
        }
        // While they run, servers write on: what is told is between what was written before and
        // what is afterwards.
        let before = all_written();
        let document = sandbox.ok("logs --json").json();
        assert_eq!(document["problems"], Value::Array(Vec::new()));
        let all = lines(&document);
        let words = sandbox.ok("logs");
        let after = all_written();
        if state == "stopped" {
            assert_eq!(before, after);
        }
        // A child that a server forked may write late into its parent's log.
        for pair in all.windows(2) {
            let time = |line: &Value| line["time"].as_str().expect("a time").to_owned();
            assert!(
                time(&pair[0]) <= time(&pair[1]) || pair[0]["node"] == pair[1]["node"],
                "{state}: {pair:?}"
            );
        }
        for ((port, before), after) in ports.iter().zip(before).zip(&after) {
            let node = format!("127.0.0.1:{port}");
            let of_node = all.iter().filter(|line| line["node"] == node.as_str());
            let texts: Vec<&str> = of_node
                .map(|line| line["text"].as_str().expect("a text"))
                .collect();
            assert!(
                (before.len()..=after.len()).contains(&texts.len()),
                "{state}: {} of {} to {}",
                texts.len(),
                before.len(),
                after.len()
            );
            for (text, written) in texts.iter().zip(after) {
                assert!(written.ends_with(text), "{text}\n{written}");
            }
        }
        assert!(all.iter().any(|line| line["role"] == "replica"));
        assert!(all.iter().any(|line| line["level"] == "warning"));

        let in_words = words.out.lines().count();
        assert!(
            (all.len()..=after.iter().map(Vec::len).sum()).contains(&in_words),
            "{state}: {words}"
        );
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
    let followed = sandbox.record("logs -f --tail 1");
    wait_for("the last lines", || {
        (followed.out().lines().count() >= 3).then_some(())
    });
    // The node dies and is started again.
    kill_and_wait(pid_on(&status, port));
    append(&log, "after death\n");
    followed.wait_until_it_writes(&format!("{port:>5} | after death\n"));
    sandbox.ok("start");
    wait_for("the new server's first words", || {
        let text = followed.out();
        let (_, after) = text.split_once("after death")?;
        after.contains("Ready to accept connections").then_some(())
    });
    sandbox.ok("stop");
    // Emptied, and written on.
    File::create(&log).expect("emptied");
    append(&log, "after truncation\n");
    followed.wait_until_it_writes("after truncation\n");
    // A line that is not complete is no line.
    append(&log, "first half, ");
    // When it has told two lines of another node's, one after the other, it has looked at this log.
    let other = sandbox.node(ports(&status)[0]).join("server.log");
    for line in ["one look\n", "another look\n"] {
        append(&other, line);
        followed.wait_until_it_writes(line);
    }
    assert!(!followed.out().contains("first half"));
    append(&log, "second half\n");
    followed.wait_until_it_writes("first half, second half\n");
    // Turned away: what still comes into the old file is read, then the new one from its start.
    let old = log.with_extension("log.1");
    fs::rename(&log, &old).expect("renamed");
    append(&old, "last words\n");
    followed.wait_until_it_writes("last words\n");
    fs::write(&log, "first words\n").expect("written");
    followed.wait_until_it_writes("first words\n");
    fs::remove_file(&old).expect("removed");
    // Even the directory goes and comes back.
    let node = sandbox.node(port);
    fs::rename(&node, sandbox.path().join("away")).expect("renamed");
    fs::create_dir(&node).expect("made");
    fs::write(&log, "in another directory\n").expect("written");
    followed.wait_until_it_writes("in another directory\n");
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
    let mut followed = sandbox.record("logs -f --json --tail 0");
    wait_for("the follower to look", || {
        append(&log, "9:M 23 Nov 2026 00:00:00.000 # trouble\n");
        followed.out().contains('\n').then_some(())
    });
    sandbox.gone("down --yes");
    assert_eq!(followed.wait(), (Some(0), None));
    let text = followed.out();
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
    // 1 TiB that takes no room: read whole, it would take longer than any run of a test may, and
    // memory that there is not.
    let mut file = File::options().write(true).open(&log).expect("a log");
    file.seek(SeekFrom::Start(1 << 40)).expect("sought");
    file.write_all("\nnumber 1\nnumber 2\nnumber 3\n".as_bytes())
        .expect("written");
    let program = env!("CARGO_BIN_EXE_rcluster");
    let mut command = sandbox.command(&[]);
    let home = sandbox.home();
    let mut shell = Command::new("sh");
    shell
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
        );
    let ran = Ran::of(shell, "logs --tail 2");
    assert_eq!(ran.code, Some(0), "{ran}");
    let texts: Vec<&str> = ran
        .out
        .lines()
        .filter_map(|line| line.split(" | ").nth(1))
        .collect();
    assert_eq!(texts, ["number 2", "number 3"]);
    sandbox.gone("down --yes");
}

/// The kinds and texts of what went wrong.
fn errors(sandbox: &Sandbox, code: i32) -> Vec<(String, String)> {
    let ran = sandbox.run("logs --errors --json");
    assert_eq!(ran.code, Some(code), "{ran}");
    let document = ran.json();
    let list = document["errors"].as_array().expect("errors").clone();
    let word = |error: &Value, name: &str| error[name].as_str().expect("a text").to_owned();
    list.iter()
        .map(|error| (word(error, "kind"), word(error, "text")))
        .collect()
}

#[test]
fn errors_are_none_in_a_healthy_life_and_all_told_in_another() {
    let sandbox = Sandbox::new();
    sandbox.fails("logs --errors", 4);
    // No stall of the machine is to look like a failure of a node.
    let status = sandbox.up("--node-timeout 30s");
    for _ in 0..2 {
        sandbox.ok("stop");
        sandbox.ok("start");
    }
    assert_eq!(errors(&sandbox, 0), []);
    let text = sandbox.ok("logs --errors");
    assert_eq!(text.out, "no errors in the logs of 6 nodes\n");

    let status = sandbox.wait_for_status("a primary", |now| {
        now["state"] == "ok" && nodes(&status).len() == 6
    });
    let primary = nodes(&status)
        .iter()
        .find(|node| node["role"] == "primary")
        .expect("a primary");
    for port in ports(&status) {
        let set = ["CONFIG", "SET", "cluster-node-timeout", "2000"];
        assert_eq!(redis(port, &set), "OK");
    }
    signal("SEGV", primary["pid"].as_i64().expect("a PID"));
    // Its report is complete when it has ended, which may take longer than the failover.
    let port = primary["port"].as_u64().expect("a port");
    sandbox.wait_for_status("its end and a failover", |now| {
        let living = nodes(now).iter().filter(|node| node["role"] == "primary");
        let is_dead = node_on(now, port)["process"] == "dead";
        is_dead && living.count() == 3 && now["slots_ok"] == 16384
    });
    let found = errors(&sandbox, 5);
    let is_there = |kind: &str, words: &str| {
        found
            .iter()
            .any(|(a_kind, text)| a_kind == kind && text.contains(words))
    };
    assert!(is_there("crash", "crashed by signal: 11"), "{found:?}");
    assert!(is_there("failover", "as failing"), "{found:?}");
    assert!(is_there("failover", "Failover election won"), "{found:?}");
    assert!(
        !found.iter().any(|(kind, _)| kind == "warning"),
        "{found:?}"
    );
    let text = sandbox.fails("logs --errors", 5);
    assert!(text.out.contains("STACK TRACE"), "the whole report: {text}");
    assert!(
        text.out.contains("BUG REPORT END"),
        "the whole report: {text}"
    );
    assert!(!text.out.contains("Server initialized"), "{text}");

    // Killed without a word, while it is dead and after it was started again.
    let port = sandbox.ok("start --json").json()["nodes"][4]["port"]
        .as_u64()
        .expect("a port");
    let before = errors(&sandbox, 5);
    kill_and_wait(pid_on(&sandbox.status(), port));
    let one = |errors: &[(String, String)]| {
        let silent = errors
            .iter()
            .filter(|(_, text)| text.contains("without a word"));
        silent.count()
    };
    assert_eq!(one(&before), 0, "{before:?}");
    assert_eq!(one(&errors(&sandbox, 5)), 1);
    sandbox.ok("start");
    assert_eq!(one(&errors(&sandbox, 5)), 1);
    // What is older is no concern.
    assert_eq!(
        sandbox.ok("logs --errors --since 0s").out,
        "no errors in the logs of 6 nodes\n"
    );
    sandbox.gone("down --yes");
}

#[test]
fn a_start_that_failed_and_a_full_disk_are_errors() {
    let sandbox = Sandbox::new();
    let (_, log) = stopped_node(&sandbox);
    append(
        &log,
        "\n*** FATAL CONFIG FILE ERROR (Redis 7.0.15) ***\nReading the configuration file, at line 3\n>>> 'nonsense 1'\nBad directive or wrong number of arguments\n\
         1:M 23 Nov 2026 00:00:00.000 # Failed listening on port 30001 (TCP), aborting.\n\
         1:M 23 Nov 2026 00:00:01.000 # Background saving error\n\
         1:M 23 Nov 2026 00:00:02.000 # Background saving error\n\
         1:S 23 Nov 2026 00:00:03.000 # Error condition on socket for SYNC: Connection refused\n\
         1:S 23 Nov 2026 00:00:04.000 # Error condition on socket for SYNC: Connection refused\n\
         1:S 23 Nov 2026 00:00:05.000 * MASTER <-> REPLICA sync: Finished with success\n\
         1:S 23 Nov 2026 00:00:06.000 # Something nobody has seen before\n\
         1:S 23 Nov 2026 00:01:03.000 # Error condition on socket for SYNC: Connection refused\n\
         1:S 23 Nov 2026 00:01:30.000 * Something else\n",
    );
    let found = errors(&sandbox, 5);
    let mut wanted = [
        ("start", "Bad directive or wrong number of arguments"),
        ("start", "Failed listening on port 30001 (TCP), aborting."),
        ("disk", "Background saving error"),
        ("warning", "Something nobody has seen before"),
        (
            "replication",
            "Error condition on socket for SYNC: Connection refused",
        ),
    ];
    let mut found: Vec<(&str, &str)> = found
        .iter()
        .map(|(kind, text)| (kind.as_str(), text.as_str()))
        .collect();
    // The first has no time of its own.
    found.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(found, wanted);
    sandbox.gone("down --yes");
}

#[test]
fn an_export_holds_all_and_no_secret() {
    let sandbox = Sandbox::new();
    sandbox.fails("logs --export out", 4);
    let password = "correct-horse-battery";
    let file = sandbox.file("password", password);
    let status = sandbox.up(&format!(
        "--primaries 3 --replicas 0 --password-file {file}"
    ));
    let ports = ports(&status);
    // Even if a server wrote it down.
    append(
        &sandbox.node(ports[0]).join("server.log"),
        format!("AUTH {password}\n"),
    );
    let out = sandbox.path().join("out");
    let document = sandbox.ok("logs --export out --json").json();
    assert_eq!(document["problems"], Value::Array(Vec::new()), "{document}");
    let listed: Vec<PathBuf> = document["files"]
        .as_array()
        .expect("files")
        .iter()
        .map(|name| out.join(name.as_str().expect("a name")))
        .collect();
    assert_eq!(listed.len(), 3 + 3 * 3, "{document}");
    for path in &listed {
        let text = fs::read_to_string(path).expect("exported");
        assert!(!text.contains(password), "{}", path.display());
        assert!(!text.is_empty(), "{}", path.display());
    }
    let conf = fs::read_to_string(out.join(ports[0].to_string()).join("redis.conf")).expect("one");
    assert!(conf.contains("requirepass (removed)\n"), "{conf}");
    let log = fs::read_to_string(out.join(ports[0].to_string()).join("server.log")).expect("one");
    assert!(log.contains("AUTH (removed)\n"), "{log}");
    let status: Value =
        serde_json::from_slice(&fs::read(out.join("status.json")).expect("one")).expect("JSON");
    assert_eq!(status["state"], "ok");
    let errors = fs::read_to_string(out.join("errors.txt")).expect("one");
    assert!(errors.starts_with("no errors"), "{errors}");

    // Not into what is there already.
    assert_eq!(
        sandbox.fails("logs --export out --json", 7).json_error()["code"],
        "conflict"
    );
    sandbox.fails(&format!("logs --export {file}"), 7);
    sandbox.fails("logs --export other 77", 2);
    assert!(!sandbox.path().join("other").exists());

    // Dead, damaged and hostile: what can be read is exported, and the rest is told.
    kill_and_wait(pid_on(&sandbox.status(), ports[1]));
    let node = sandbox.node(ports[1]);
    fs::rename(node.join("nodes.conf"), sandbox.path().join("away")).expect("moved");
    let canary = sandbox.file("canary", "canary");
    symlink(&canary, node.join("nodes.conf")).expect("linked");
    let ran = sandbox.ok("logs --export damaged");
    assert!(ran.out.contains("its nodes.conf cannot be read"), "{ran}");
    let damaged = sandbox.path().join("damaged");
    assert!(
        !damaged
            .join(ports[1].to_string())
            .join("nodes.conf")
            .exists()
    );
    assert!(
        damaged
            .join(ports[1].to_string())
            .join("server.log")
            .exists()
    );
    let errors = fs::read_to_string(damaged.join("errors.txt")).expect("one");
    assert!(errors.contains("ended without a word"), "{errors}");
    fs::remove_file(node.join("nodes.conf")).expect("removed");
    fs::remove_dir_all(sandbox.cluster().join("secrets")).expect("removed");
    let ran = sandbox.ok(&format!("logs --export less {}", ports[2]));
    assert!(
        sandbox
            .path()
            .join("less")
            .join(ports[2].to_string())
            .is_dir(),
        "{ran}"
    );
    assert!(
        !sandbox
            .path()
            .join("less")
            .join(ports[0].to_string())
            .exists(),
        "{ran}"
    );
    sandbox.ok("stop");
    sandbox.ok("logs --export stopped");
    sandbox.gone("down --yes");
}

#[test]
fn logs_are_emptied_while_servers_write_them() {
    let sandbox = Sandbox::new();
    let none = sandbox.ok("clean --logs --json").json();
    assert_eq!(none["changed"], false);
    assert!(!sandbox.home().exists());
    let status = sandbox.up("--primaries 3 --replicas 0");
    let all = ports(&status);
    let log = |port: u64| sandbox.node(port).join("server.log");
    let before = sandbox.files();
    // What is none of ours stays as it is: a link, and a file that has another name too.
    let canary = sandbox.file("canary", "canary");
    let aside = sandbox.path().join("aside");
    fs::rename(log(all[1]), &aside).expect("moved");
    symlink(&canary, log(all[1])).expect("linked");
    let document = sandbox.ok("clean --logs --json").json();
    assert_eq!(document["changed"], true);
    assert_eq!(
        document["logs"].as_array().map(Vec::len),
        Some(2),
        "{document}"
    );
    assert_eq!(document["left"], serde_json::json!([log(all[1])]));
    assert_eq!(fs::read_to_string(&canary).expect("there"), "canary");
    fs::remove_file(log(all[1])).expect("removed");
    fs::hard_link(&canary, log(all[1])).expect("linked");
    sandbox.ok("clean --logs");
    assert_eq!(fs::read_to_string(&canary).expect("there"), "canary");
    fs::remove_file(log(all[1])).expect("removed");
    fs::rename(&aside, log(all[1])).expect("moved back");
    assert_eq!(sandbox.files(), before);
    // Servers write on, from the file's start.
    let text = sandbox.ok("clean --logs");
    assert!(text.out.starts_with("Emptied "), "{text}");
    let again = sandbox.ok("clean --logs");
    assert!(again.out.starts_with("unchanged"), "{again}");
    sandbox.ok("stop");
    for port in all {
        let text = fs::read(log(port)).expect("a log");
        assert!(text.len() > 10 && text.len() < 5000, "{}", text.len());
        assert!(
            text[0].is_ascii_digit(),
            "{:?}",
            String::from_utf8_lossy(&text)
        );
    }
    sandbox.gone("down --yes");
}
