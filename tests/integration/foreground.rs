//! `up --foreground`: what is told of the nodes, which are started again, and what is left.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::sandbox::{
    Recorded, Sandbox, hang_up_is_heard, kill_and_wait, node_on, nodes, pid_on, ports,
    process_words, redis, set_on_both, signal, wait_for,
};

/// `up --foreground` in the background, when it has said how it will end.
fn foreground(sandbox: &Sandbox, line: &str) -> Recorded {
    let foreground = sandbox.record(&format!("up --foreground {line}"));
    foreground.wait_until_it_says("Ctrl-C ");
    foreground
}

fn replica_and_primary(status: &Value) -> [u64; 2] {
    let port = |role: &str| {
        let mut all = nodes(status).iter();
        let node = all.find(|node| node["role"] == role).expect("one");
        node["port"].as_u64().expect("a port")
    };
    [port("replica"), port("primary")]
}

#[test]
fn a_cluster_that_it_made_is_gone_with_it() {
    let sandbox = Sandbox::new();
    for name in ["INT", "TERM", "HUP"] {
        if name == "HUP" && !hang_up_is_heard() {
            continue;
        }
        let foreground = foreground(&sandbox, "--port auto");
        let status = sandbox.status();
        assert_eq!(status["state"], "ok", "{status}");
        for port in ports(&status) {
            let line = format!("{port:>5} | ");
            wait_for("each node's log", || {
                foreground
                    .out()
                    .lines()
                    .any(|said| said.starts_with(&line))
                    .then_some(())
            });
        }
        assert!(
            foreground.err().contains("deletes their data"),
            "{}",
            foreground.err()
        );
        foreground.signal(name);
        let number = match name {
            "INT" => 2,
            "TERM" => 15,
            _ => 1,
        };
        assert_eq!(foreground.end(), (None, Some(number)), "{name}");
        assert_eq!(sandbox.survivors().len(), 0, "{name}");
        assert_eq!(sandbox.files(), Vec::<PathBuf>::new(), "{name}");
    }
}

#[test]
fn a_cluster_that_was_there_before_keeps_its_data() {
    let sandbox = Sandbox::new();
    let port = ports(&sandbox.up("--replicas 0 --primaries 1"))[0];
    assert_eq!(redis(port, &["SET", "wat", "2"]), "OK");
    let foreground = foreground(&sandbox, "");
    assert!(
        foreground.err().contains("their data is kept"),
        "{}",
        foreground.err()
    );
    foreground.signal("INT");
    assert_eq!(foreground.end(), (None, Some(2)));
    assert_eq!(sandbox.survivors().len(), 0);
    sandbox.ok("start");
    assert_eq!(redis(port, &["GET", "wat"]), "2");
    sandbox.gone("down --yes");
}

#[test]
fn kept_nodes_keep_running() {
    let sandbox = Sandbox::new();
    let foreground = foreground(&sandbox, "--port auto --replicas 0 --keep");
    let before = sandbox.status();
    foreground.signal("INT");
    assert_eq!(foreground.end(), (None, Some(2)));
    let after = sandbox.status();
    assert_eq!(after["state"], "ok", "{after}");
    assert_eq!(after["nodes"], before["nodes"]);
    sandbox.gone("down --yes");
}

#[test]
fn a_node_that_dies_is_told_of_with_its_reason_and_is_left_alone_unless_asked() {
    let sandbox = Sandbox::new();
    let foreground = foreground(&sandbox, "--port auto");
    let status = sandbox.status();
    let [replica, primary] = replica_and_primary(&status);
    kill_and_wait(pid_on(&status, replica));
    foreground.wait_until_it_says(&format!("127.0.0.1:{replica}, replica of shard "));
    foreground.wait_until_it_says("ended with signal: 9 (SIGKILL)");
    signal("TERM", pid_on(&status, primary));
    foreground.wait_until_it_says(&format!("127.0.0.1:{primary}, primary of shard "));
    foreground.wait_until_it_says("ended with exit status: 0");
    let dead = sandbox.status();
    assert_eq!(node_on(&dead, replica)["process"], "dead", "{dead}");
    // Somebody else starts them again.
    sandbox.ok("up");
    foreground.wait_until_it_says(&format!("127.0.0.1:{replica} runs again"));
    foreground.signal("INT");
    assert_eq!(foreground.end(), (None, Some(2)));
    assert_eq!(sandbox.files(), Vec::<PathBuf>::new());
}

#[test]
fn nodes_that_fail_are_started_again() {
    let sandbox = Sandbox::new();
    let foreground = foreground(&sandbox, "--port auto --restart on-failure");
    let status = sandbox.status();
    for port in replica_and_primary(&status) {
        kill_and_wait(pid_on(&status, port));
        foreground.wait_until_it_says(&format!("127.0.0.1:{port} runs again"));
    }
    let healed = sandbox.wait_for_status("health", |status| status["state"] == "ok");
    assert_eq!(process_words(&healed), ["running"; 6]);
    foreground.signal("INT");
    assert_eq!(foreground.end(), (None, Some(2)));
    assert_eq!(sandbox.files(), Vec::<PathBuf>::new());
}

#[test]
fn a_primary_without_persistence_waits_for_its_replica_to_take_over() {
    waits_for_its_replica_to_take_over(&Sandbox::new(), "--ephemeral", "persists nothing");
}

#[test]
fn a_crashed_primary_that_writes_only_snapshots_waits_too() {
    let sandbox = Sandbox::new();
    let conf = sandbox.file("snapshots.conf", "appendonly no\nsave 3600 1\n");
    let line = format!("--conf {conf}");
    waits_for_its_replica_to_take_over(&sandbox, &line, "persists snapshots only");
}

fn waits_for_its_replica_to_take_over(sandbox: &Sandbox, line: &str, why: &str) {
    let foreground = foreground(
        sandbox,
        &format!("--port auto {line} --restart on-failure --node-timeout 1s"),
    );
    let status = sandbox.status();
    // wat lies in slot 7056, of the second shard.
    let port = ports(&status)[1];
    set_on_both(port, "wat", "precious");
    kill_and_wait(pid_on(&status, port));
    foreground.wait_until_it_says(&format!("waiting: cluster \"default\" {why}"));
    foreground.wait_until_it_says(&format!("127.0.0.1:{port} runs again"));
    let healed = sandbox.wait_for_status("health", |status| status["state"] == "ok");
    assert_eq!(node_on(&healed, port)["role"], "replica", "{healed}");
    let mut all = nodes(&healed).iter();
    let owner = all
        .find(|node| node["role"] == "primary" && node["shard"] == 2)
        .expect("an owner");
    let owner = owner["port"].as_u64().expect("a port");
    assert_eq!(redis(owner, &["GET", "wat"]), "precious");
    foreground.signal("INT");
    assert_eq!(foreground.end(), (None, Some(2)));
    assert_eq!(sandbox.files(), Vec::<PathBuf>::new());
}

#[test]
fn stopped_by_another_verb_it_ends_well_and_starts_nothing_again() {
    for verb in ["stop", "down --yes"] {
        let sandbox = Sandbox::new();
        let foreground = foreground(&sandbox, "--port auto --replicas 0 --restart on-failure");
        sandbox.ok(verb);
        foreground.wait_until_it_says("cluster \"default\" was stopped");
        assert!(
            !foreground.err().contains("warning"),
            "{}",
            foreground.err()
        );
        assert_eq!(foreground.end(), (Some(0), None), "{verb}");
        assert_eq!(sandbox.survivors().len(), 0, "{verb}");
        sandbox.gone("down --yes");
    }
}

#[test]
fn that_every_node_failed_is_a_failure() {
    let sandbox = Sandbox::new();
    let foreground = foreground(&sandbox, "--port auto --replicas 0");
    let all = ports(&sandbox.status());
    for pid in sandbox.servers().into_keys() {
        signal("KILL", pid);
    }
    foreground.wait_until_it_says("no node runs any more");
    for port in all {
        // As its error says it; the warning before it names the role too.
        let how = format!("  127.0.0.1:{port} ended with signal: 9 (SIGKILL)\n");
        foreground.wait_until_it_says(&how);
    }
    assert_eq!(foreground.end(), (Some(1), None));
    // What they wrote is there to be looked at.
    assert!(!sandbox.files().is_empty());
    sandbox.gone("down --yes");
}

#[test]
fn a_second_interrupt_does_not_wait() {
    let sandbox = Sandbox::new();
    // A script that never ends keeps its server from hearing SIGTERM.
    let foreground = foreground(&sandbox, "--port auto --replicas 0 --set lua-time-limit=0");
    let port = ports(&sandbox.status())[0];
    let asleep = std::thread::spawn(move || {
        Command::new("redis-cli")
            .args(["-p", &port.to_string(), "eval", "while true do end", "0"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
    });
    let status = || sandbox.status();
    wait_for("the node to sleep", || {
        (node_on(&status(), port)["process"] == "hung").then_some(())
    });
    foreground.signal("INT");
    wait_for("the others to end", || {
        (sandbox.servers().len() == 1).then_some(())
    });
    let asked = std::time::Instant::now();
    foreground.signal("INT");
    assert_eq!(foreground.end(), (None, Some(2)));
    assert!(asked.elapsed().as_secs() < 10, "it waited for the grace");
    asleep.join().expect("joined").ok();
    assert_eq!(sandbox.survivors().len(), 0);
    assert_eq!(sandbox.files(), Vec::<PathBuf>::new());
}

#[test]
fn with_json_only_the_answer_is_on_standard_output() {
    let sandbox = Sandbox::new();
    let mut foreground = sandbox.record("up --foreground --json --port auto --replicas 0");
    let answer: Value = wait_for("the answer", || {
        serde_json::from_str(&foreground.out()).ok()
    });
    assert_eq!(answer["state"], "ok");
    foreground.signal("TERM");
    foreground.wait();
    let out: Value = serde_json::from_str(&foreground.out()).expect("one document");
    assert_eq!(out, answer);
    assert_eq!(sandbox.files(), Vec::<PathBuf>::new());
}

#[test]
fn its_options_need_it() {
    let sandbox = Sandbox::new();
    for line in [
        "up --restart on-failure",
        "up --keep",
        "up --foreground --restart always",
    ] {
        let ran = sandbox.fails(line, 2);
        sandbox.assert_untouched(&ran);
    }
}

#[test]
fn a_stop_by_another_verb_is_not_undone_while_a_primary_waits() {
    let sandbox = Sandbox::new();
    // No replica can be elected: there is no majority of primaries.
    let foreground = foreground(
        &sandbox,
        "--port auto --primaries 1 --ephemeral --restart on-failure",
    );
    let status = sandbox.status();
    let [_, primary] = replica_and_primary(&status);
    kill_and_wait(pid_on(&status, primary));
    foreground.wait_until_it_says("waiting: cluster");
    sandbox.ok("stop");
    foreground.wait_until_it_says("cluster \"default\" was stopped");
    assert_eq!(foreground.end(), (Some(0), None));
    assert_eq!(sandbox.survivors().len(), 0);
    sandbox.gone("down --yes");
}

#[test]
fn a_primary_that_nobody_can_succeed_is_left_down_in_the_end() {
    let sandbox = Sandbox::new();
    let foreground = foreground(
        &sandbox,
        "--port auto --primaries 1 --ephemeral --restart on-failure --timeout 5s",
    );
    let status = sandbox.status();
    let [_, primary] = replica_and_primary(&status);
    kill_and_wait(pid_on(&status, primary));
    foreground.wait_until_it_says("waiting: cluster");
    foreground.wait_until_it_says("not started again: cluster");
    foreground.signal("INT");
    assert_eq!(foreground.end(), (None, Some(2)));
    assert_eq!(sandbox.files(), Vec::<PathBuf>::new());
}

#[test]
fn while_somebody_else_has_the_lock_a_signal_touches_nothing() {
    let sandbox = Sandbox::new();
    let before = sandbox.up("--replicas 0");
    let lock = fs::File::open(sandbox.cluster().join("lock")).expect("there");
    lock.lock().expect("free");
    let waiting = sandbox.record("up --foreground");
    waiting.wait_until_it_says("waiting for the lock");
    waiting.signal("TERM");
    assert_eq!(waiting.end(), (None, Some(15)));
    drop(lock);
    let after = sandbox.status();
    assert_eq!(after["nodes"], before["nodes"]);
    sandbox.gone("down --yes");
}

#[test]
fn a_reader_that_stalls_or_goes_keeps_it_from_nothing() {
    use std::io::Read as _;
    for stalls in [true, false] {
        let sandbox = Sandbox::new();
        let mut child = sandbox
            .command(&[
                "up",
                "--foreground",
                "--port",
                "auto",
                "--set",
                "loglevel=debug",
            ])
            .stdout(Stdio::piped())
            .stderr(Stdio::from(
                fs::File::create(sandbox.path().join("err")).expect("made"),
            ))
            .spawn()
            .expect("runs");
        let mut out = child.stdout.take().expect("a pipe");
        out.read_exact(&mut [0; 64]).expect("an answer");
        wait_for("the logs to follow", || {
            fs::read_to_string(sandbox.path().join("err"))
                .expect("readable")
                .contains("Ctrl-C ")
                .then_some(())
        });
        if stalls {
            // Far more than a pipe holds is written meanwhile.
            for port in ports(&sandbox.status()) {
                for _ in 0..200 {
                    redis(port, &["PING", &"x".repeat(400)]);
                }
            }
            signal("INT", child.id());
        } else {
            drop(out);
        }
        wait_for("its end", || child.try_wait().expect("a child"));
        assert_eq!(sandbox.survivors().len(), 0, "stalls: {stalls}");
        assert_eq!(sandbox.files(), Vec::<PathBuf>::new(), "stalls: {stalls}");
    }
}

#[test]
fn a_start_that_fails_leaves_nothing() {
    let sandbox = Sandbox::new();
    let ran = sandbox.fails("up --foreground --port auto --set maxmemory=nonsense", 1);
    sandbox.assert_untouched(&ran);
    // Nor does one whose answer nobody can have.
    let mut child = sandbox
        .command(&["up", "--foreground", "--port", "auto", "--replicas", "0"])
        .stdout(Stdio::from(
            fs::OpenOptions::new()
                .write(true)
                .open("/dev/full")
                .expect("there"),
        ))
        .stderr(Stdio::null())
        .spawn()
        .expect("runs");
    let status = wait_for("its end", || child.try_wait().expect("a child"));
    assert_eq!(status.code(), Some(10));
    assert_eq!(sandbox.survivors().len(), 0);
    assert_eq!(sandbox.files(), Vec::<PathBuf>::new());
}

#[test]
fn nodes_whose_directory_somebody_deletes_are_ended() {
    let sandbox = Sandbox::new();
    let foreground = foreground(&sandbox, "--port auto --replicas 0");
    let before = sandbox.status();
    fs::remove_dir_all(sandbox.cluster()).expect("removed");
    foreground.wait_until_it_says("was deleted while its nodes ran");
    assert_eq!(foreground.end(), (Some(1), None));
    for port in ports(&before) {
        let pid = pid_on(&before, port);
        wait_for("the node to be gone", || {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
            stat.map_or(true, |stat| stat.contains(") Z "))
                .then_some(())
        });
    }
}

#[test]
fn a_reader_that_goes_away_is_noticed_while_no_node_writes() {
    use std::io::Read as _;
    let sandbox = Sandbox::new();
    let mut child = sandbox
        .command(&["up", "--foreground", "--port", "auto", "--primaries", "1"])
        .args(["--replicas", "0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::from(
            fs::File::create(sandbox.path().join("err")).expect("made"),
        ))
        .spawn()
        .expect("runs");
    let mut out = child.stdout.take().expect("a pipe");
    out.read_exact(&mut [0; 64]).expect("an answer");
    drop(out);
    let status = wait_for("its end", || child.try_wait().expect("a child"));
    assert_eq!(
        status.code(),
        Some(0),
        "as every program whose reader has enough"
    );
    assert_eq!(sandbox.survivors().len(), 0);
    assert_eq!(sandbox.files(), Vec::<PathBuf>::new());
}

#[test]
fn standard_error_that_nobody_reads_keeps_it_from_nothing() {
    use std::io::Read as _;
    let sandbox = Sandbox::new();
    // One pipe for both streams, as `2>&1 | less` has it.
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    let mut child = sandbox
        .command(&["up", "--foreground", "--port", "auto", "--replicas", "0"])
        .args(["--set", "loglevel=debug"])
        .stdout(Stdio::from(writer.try_clone().expect("cloned")))
        .stderr(Stdio::from(writer))
        .spawn()
        .expect("runs");
    let mut said = Vec::new();
    while !String::from_utf8_lossy(&said).contains("Ctrl-C ") {
        let mut bytes = [0; 256];
        let read = reader.read(&mut bytes).expect("readable");
        assert!(read > 0, "{}", String::from_utf8_lossy(&said));
        said.extend_from_slice(&bytes[..read]);
    }
    let status = sandbox.status();
    // Far more than a pipe holds; then something to tell on standard error.
    for port in ports(&status) {
        for _ in 0..200 {
            redis(port, &["PING", &"x".repeat(400)]);
        }
    }
    kill_and_wait(pid_on(&status, ports(&status)[0]));
    sandbox.wait_for_status("the death to be seen", |status| {
        process_words(status)[0] == "dead"
    });
    signal("TERM", child.id());
    wait_for("its end", || child.try_wait().expect("a child"));
    assert_eq!(sandbox.survivors().len(), 0);
    assert_eq!(sandbox.files(), Vec::<PathBuf>::new());
}

#[test]
fn a_large_log_of_earlier_runs_is_not_read() {
    let sandbox = Sandbox::new();
    let port = ports(&sandbox.up("--primaries 1 --replicas 0"))[0];
    sandbox.ok("stop");
    let log = sandbox.node(port).join("server.log");
    // A hole of 1 TiB, which nobody could read to its end, and a line behind it.
    let file = fs::OpenOptions::new()
        .append(true)
        .open(&log)
        .expect("there");
    file.set_len(1 << 40).expect("grown");
    std::io::Write::write_all(&mut &file, b"\nthe last word before\n").expect("written");
    let foreground = foreground(&sandbox, "");
    foreground.wait_until_it_writes("Ready to accept connections");
    assert!(!foreground.out().contains("the last word before"));
    foreground.signal("INT");
    assert_eq!(foreground.end(), (None, Some(2)));
    sandbox.gone("down --yes");
}

#[test]
fn what_other_verbs_do_is_told_apart_from_what_befalls_nodes() {
    let sandbox = Sandbox::new();
    let foreground = foreground(&sandbox, "--port auto --primaries 1 --replicas 1");
    // From the second time on they are not our children, and do not tell us how they ended.
    for times in 1..=2 {
        sandbox.ok("restart replica");
        wait_for("the restart to be told", || {
            (foreground.err().matches("runs again").count() == times).then_some(())
        });
    }
    let said = foreground.err();
    assert!(!said.contains("warning: "), "{said}");
    assert_eq!(said.matches("(restart)").count(), 2, "{said}");
    kill_and_wait(pid_on(
        &sandbox.status(),
        replica_and_primary(&sandbox.status())[0],
    ));
    foreground.wait_until_it_says("warning: ");
    foreground.signal("INT");
    assert_eq!(foreground.end(), (None, Some(2)));
}

#[test]
fn data_that_was_said_to_be_kept_is_kept_though_nobody_reads() {
    use std::io::Read as _;
    let sandbox = Sandbox::new();
    let mut child = sandbox
        .command(&["up", "--foreground", "--port", "auto", "--primaries", "1"])
        .args(["--replicas", "0", "--set", "loglevel=debug"])
        .stdout(Stdio::piped())
        .stderr(Stdio::from(
            fs::File::create(sandbox.path().join("err")).expect("made"),
        ))
        .spawn()
        .expect("runs");
    let err = || fs::read_to_string(sandbox.path().join("err")).expect("readable");
    let mut out = child.stdout.take().expect("a pipe");
    out.read_exact(&mut [0; 64]).expect("an answer");
    wait_for("the logs to follow", || {
        err().contains("Ctrl-C ").then_some(())
    });
    let status = sandbox.status();
    let port = ports(&status)[0];
    assert_eq!(redis(port, &["SET", "wat", "2"]), "OK");
    // Far more than a pipe holds.
    for _ in 0..600 {
        redis(port, &["PING", &"x".repeat(400)]);
    }
    kill_and_wait(pid_on(&status, port));
    wait_for("its word", || {
        err().contains("data and logs are kept").then_some(())
    });
    signal("INT", child.id());
    let status = wait_for("its end", || child.try_wait().expect("a child"));
    assert_eq!(status.code(), Some(1), "{}", err());
    sandbox.ok("up");
    assert_eq!(redis(port, &["GET", "wat"]), "2");
    sandbox.gone("down --yes");
}
