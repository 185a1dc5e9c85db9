//! `kill -9` of rcluster at any moment leaves a state from which the same verb, or `down`, goes on.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::sandbox::{Ran, Running, Sandbox, hang_up_is_heard, ports, redis, signal, wait_for};

/// Not the servers' defaults, so that a value that was lost shows.
const USER: &str = "--set hz=17 --set repl-diskless-sync-delay=3 --node-timeout 3s";

/// Moments from the start of a verb to its end, `of` of them; and how long the whole verb takes.
fn moments(whole: Duration, of: u32) -> impl Iterator<Item = Duration> {
    (0..of).map(move |i| whole * i / of)
}

/// How long `line` takes when nobody disturbs it.
fn measure(sandbox: &Sandbox, line: &str) -> Duration {
    let began = Instant::now();
    sandbox.ok(line);
    began.elapsed()
}

/// Every node has the user's configuration, and no work is left over.
fn settled(sandbox: &Sandbox, when: Duration) {
    for port in ports(&sandbox.status()) {
        for (name, value) in [
            ("hz", "17"),
            ("repl-diskless-sync-delay", "3"),
            ("cluster-node-timeout", "3000"),
            ("cluster-require-full-coverage", "yes"),
        ] {
            assert_eq!(
                redis(port, &["CONFIG", "GET", name]),
                format!("{name}\n{value}"),
                "{port}, killed after {when:?}"
            );
        }
    }
    assert!(
        !sandbox.cluster().join("journal.json").exists(),
        "killed after {when:?}"
    );
}

fn ready(sandbox: &Sandbox, when: Duration) {
    let status = sandbox.run("status --json");
    assert_eq!(status.code, Some(0), "killed after {when:?}: {status}");
    assert_eq!(sandbox.servers().len(), 6, "killed after {when:?}");
    settled(sandbox, when);
}

/// Kills `line` after `when`, and then has it done.
fn kill_and_repeat(sandbox: &Sandbox, line: &str, when: Duration) -> bool {
    let killed = sandbox.spawn(line).kill_after(when);
    sandbox.run("status").nothing_odd();
    let again = sandbox.run(line);
    assert_eq!(again.code, Some(0), "killed after {when:?}: {again}");
    killed
}

#[test]
fn an_up_that_was_killed_is_finished_by_the_next() {
    let sandbox = Sandbox::new();
    let line = format!("up --port auto {USER}");
    let whole = measure(&sandbox, &line);
    sandbox.gone("down --yes");
    let mut killed = 0;
    for when in moments(whole, 12) {
        killed += usize::from(kill_and_repeat(&sandbox, &line, when));
        ready(&sandbox, when);
        sandbox.gone("down --yes");
    }
    assert!(killed >= 6, "only {killed} were killed in time");
}

#[test]
fn an_up_that_was_killed_is_cleared_away_by_down() {
    let sandbox = Sandbox::new();
    let line = format!("up --port auto {USER}");
    let whole = measure(&sandbox, &line);
    sandbox.gone("down --yes");
    for when in moments(whole, 12) {
        sandbox.spawn(&line).kill_after(when);
        sandbox.gone("down --yes");
    }
    for when in moments(whole, 4) {
        // The two steps of down, and another home for the same name.
        sandbox.spawn(&line).kill_after(when);
        let stop = sandbox.run("stop");
        assert!(matches!(stop.code, Some(0 | 4)), "{stop}");
        assert_eq!(sandbox.survivors(), BTreeMap::new());
        sandbox.gone("clean --yes");
    }
}

#[test]
fn a_first_start_that_was_killed_is_finished_by_the_next_or_cleared_away() {
    let sandbox = Sandbox::new();
    let line = format!("start --port auto {USER}");
    let whole = measure(&sandbox, &line);
    sandbox.gone("down --yes");
    for (number, when) in moments(whole, 12).enumerate() {
        if number % 3 == 2 {
            sandbox.spawn(&line).kill_after(when);
        } else {
            kill_and_repeat(&sandbox, &line, when);
            let status = sandbox.fails("status --json", 5).json();
            assert_eq!(status["state"], "unformed", "killed after {when:?}");
            assert_eq!(sandbox.servers().len(), 6, "killed after {when:?}");
            settled(&sandbox, when);
            for port in ports(&status) {
                let info = redis(port, &["CLUSTER", "INFO"]);
                assert!(
                    info.contains("cluster_known_nodes:1\n")
                        && info.contains("cluster_slots_assigned:0\n"),
                    "killed after {when:?}: {info}"
                );
            }
            if number % 3 == 1 {
                sandbox.ok("create");
                ready(&sandbox, when);
            }
        }
        sandbox.gone("down --yes");
    }
}

#[test]
fn a_start_of_a_cluster_with_data_that_was_killed_is_finished_and_loses_nothing() {
    let sandbox = Sandbox::new();
    sandbox.ok(&format!("up --port auto {USER}"));
    let status = sandbox.status();
    assert_eq!(redis(ports(&status)[1], &["SET", "wat", "2"]), "OK");
    sandbox.ok("stop");
    let whole = measure(&sandbox, "start");
    for when in moments(whole, 6) {
        sandbox.ok("stop");
        kill_and_repeat(&sandbox, "start", when);
        ready(&sandbox, when);
        assert_eq!(redis(ports(&status)[1], &["GET", "wat"]), "2");
    }
    sandbox.gone("down --yes");
}

#[test]
fn a_create_that_was_killed_is_finished_by_the_next_and_loses_no_key() {
    let sandbox = Sandbox::new();
    let start = format!("start --port auto {USER}");
    sandbox.ok(&start);
    let whole = measure(&sandbox, "create");
    sandbox.gone("down --yes");
    for (number, when) in moments(whole, 16).enumerate() {
        sandbox.ok(&start);
        let all = ports(&sandbox.status());
        sandbox.spawn("create").kill_after(when);
        // Whatever a node takes in the meantime is there to stay.
        let mut taken = BTreeMap::new();
        for (&port, i) in all.iter().flat_map(|port| (0..20).map(move |i| (port, i))) {
            let (key, value) = (format!("key{i}-{port}"), format!("{port}"));
            if number % 2 == 1 && redis(port, &["SET", &key, &value]) == "OK" {
                taken.insert(key, value);
            }
        }
        // One of four goes on by `up`, which may do more.
        let verb = if number % 4 == 3 { "up" } else { "create" };
        let again = sandbox.run(verb);
        assert_eq!(again.code, Some(0), "killed after {when:?}: {again}");
        ready(&sandbox, when);
        for (key, value) in taken {
            let found = all.iter().any(|port| redis(*port, &["GET", &key]) == value);
            assert!(found, "{key} is lost, killed after {when:?}");
        }
        sandbox.gone("down --yes");
    }
}

#[test]
fn a_create_that_was_killed_is_cleared_away_by_down() {
    let sandbox = Sandbox::new();
    let start = format!("start --port auto {USER}");
    sandbox.ok(&start);
    let whole = measure(&sandbox, "create");
    sandbox.gone("down --yes");
    for when in moments(whole, 6) {
        sandbox.ok(&start);
        sandbox.spawn("create").kill_after(when);
        sandbox.gone("down --yes");
    }
}

#[test]
fn a_down_that_was_killed_is_finished_by_the_next_or_begun_anew_by_up() {
    let sandbox = Sandbox::new();
    let up = format!("up --port auto {USER}");
    sandbox.ok(&up);
    let whole = measure(&sandbox, "down --yes");
    for (number, when) in moments(whole, 12).enumerate() {
        sandbox.ok(&up);
        if number % 3 == 2 {
            sandbox.spawn("down --yes").kill_after(when);
            // Nodes that were told to end, and have not heard of it yet, look well: end them first.
            let stop = sandbox.run("stop");
            assert!(matches!(stop.code, Some(0 | 4)), "after {when:?}: {stop}");
            sandbox.ok(&up);
            ready(&sandbox, when);
        } else {
            kill_and_repeat(&sandbox, "down --yes", when);
        }
        sandbox.gone("down --yes");
    }
}

/// A server that suspends itself in front of a gate before it becomes what it is. A suspended
/// process whose parent ends is sent SIGHUP and SIGCONT by the kernel: it has to bear that.
fn gated(sandbox: &Sandbox) -> String {
    let gate = sandbox.path().join("gate");
    sandbox.script(
        "gated-server",
        &format!(
            "[ \"$1\" = redis.conf ] || exec redis-server \"$@\"\n\
             trap '' HUP\n\
             while [ ! -e '{}' ]; do kill -STOP $$; done\n\
             exec redis-server \"$@\"",
            gate.display()
        ),
    )
}

#[test]
fn a_signal_ends_rcluster_by_that_signal_and_leaves_the_servers_to_the_next_verb() {
    for (name, number) in [("INT", 2), ("TERM", 15), ("HUP", 1)] {
        if name == "HUP" && !hang_up_is_heard() {
            continue;
        }
        let sandbox = Sandbox::new();
        let server = gated(&sandbox);
        let line = format!("up --port auto --server {server} {USER}");
        let arguments: Vec<&str> = line.split(' ').collect();
        let mut command = sandbox.command(&arguments);
        command.process_group(0);
        let up = Running::of(command, &line);
        let group = up.pid();
        // Not all are spawned at once: these are the first, and all that there are for now.
        let file = sandbox.cluster().join("processes.json");
        let spawned = wait_for("servers to be spawned and written down", || {
            let text = fs::read_to_string(&file).ok()?;
            let found = sandbox.survivors();
            let recorded = text.matches("\"start_ticks\"").count();
            (recorded == found.len() && recorded > 0).then_some(found)
        });
        // To the whole group, as a terminal does it.
        let sent = Command::new("kill")
            .args([format!("-{name}"), "--".into(), format!("-{group}")])
            .status()
            .expect("kill runs");
        assert!(sent.success());
        let ran: Ran = up.end();
        assert_eq!((ran.signal, ran.code), (Some(number), None), "{ran}");
        assert!(
            ran.err.contains("interrupted") && ran.err.contains("rcluster up"),
            "{ran}"
        );
        assert_eq!(ran.out, "", "{ran}");
        assert_eq!(sandbox.survivors(), spawned, "after SIG{name}");

        fs::write(sandbox.path().join("gate"), "").expect("written");
        if name == "TERM" {
            sandbox.gone("down --yes");
            continue;
        }
        for pid in spawned.keys() {
            signal("CONT", pid);
        }
        sandbox.ok(&line);
        ready(&sandbox, Duration::ZERO);
        sandbox.gone("down --yes");
    }
}
