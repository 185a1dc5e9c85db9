//! `restart`: nodes end and start again, and neither data nor roles that matter are lost.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;

use crate::sandbox::{
    Sandbox, kill_and_wait, node_on, nodes, pid_on, ports, redis, set_on_both, signal, wait_for,
};

/// One command and its answer's first line; `None` if nobody answers.
fn ask(port: u64, words: &[&str]) -> Option<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, u16::try_from(port).ok()?)).ok()?;
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .ok()?;
    let words: Vec<String> = words
        .iter()
        .map(|word| format!("${}\r\n{word}\r\n", word.len()))
        .collect();
    let request = format!("*{}\r\n{}", words.len(), words.concat());
    stream.write_all(request.as_bytes()).ok()?;
    let mut bytes = [0; 512];
    let length = stream.read(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
    text.contains("\r\n").then_some(text)
}

/// The same, to whichever node the cluster says; `None` if it says something else than an answer.
fn ask_cluster(ports: &[u64], words: &[&str]) -> Option<String> {
    for &first in ports {
        let mut port = first;
        for _ in 0..5 {
            let Some(answer) = ask(port, words) else {
                break;
            };
            match answer.strip_prefix("-MOVED ") {
                Some(moved) => {
                    port = moved.trim().rsplit_once(':')?.1.parse().ok()?;
                }
                None if answer.starts_with('-') => break,
                None => return Some(answer),
            }
        }
    }
    None
}

/// Writes one key after the other until it is stopped, and knows which were acknowledged.
struct Writer {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Vec<String>>>,
    ports: Vec<u64>,
}

impl Writer {
    fn new(ports: &[u64]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, to) = (Arc::clone(&stop), ports.to_vec());
        let thread = std::thread::spawn(move || {
            let mut acknowledged = Vec::new();
            let mut number = 0_u64;
            while !stopped.load(Ordering::Relaxed) {
                let key = format!("key:{number}");
                number += 1;
                if ask_cluster(&to, &["SET", &key, &key]).is_some_and(|reply| reply == "+OK\r\n") {
                    acknowledged.push(key);
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            acknowledged
        });
        Self {
            stop,
            thread: Some(thread),
            ports: ports.to_vec(),
        }
    }

    /// Stops writing, after which every key that was acknowledged must be there.
    fn check(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().expect("a thread");
        let keys = thread.join().expect("the writer");
        assert!(
            keys.len() > 100,
            "hardly anything was written: {}",
            keys.len()
        );
        let is_lost = |key: &&String| {
            ask_cluster(&self.ports, &["GET", key])
                .is_none_or(|reply| !reply.contains(key.as_str()))
        };
        let lost: Vec<&String> = keys.iter().filter(is_lost).collect();
        assert!(
            lost.is_empty(),
            "{} of {} are lost: {lost:?}",
            lost.len(),
            keys.len()
        );
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn pids(status: &Value) -> BTreeMap<u64, i64> {
    let of = ports(status).into_iter();
    of.map(|port| (port, pid_on(status, port))).collect()
}

fn by_role(status: &Value, role: &str) -> Vec<u64> {
    let with = nodes(status).iter().filter(|node| node["role"] == role);
    with.map(|node| node["port"].as_u64().expect("a port"))
        .collect()
}

/// The ports that a restart says it restarted, in that order.
fn restarted(document: &Value) -> Vec<u64> {
    let list = document["restarted"].as_array().expect("restarted");
    let port = |name: &Value| name.as_str()?.rsplit_once(':')?.1.parse().ok();
    list.iter()
        .map(|name| port(name).expect("a port"))
        .collect()
}

fn assert_ready(sandbox: &Sandbox, document: &Value) {
    assert_eq!(
        (&document["state"], &document["changed"]),
        (&"ok".into(), &true.into())
    );
    assert_eq!(sandbox.status()["state"], "ok");
    assert_eq!(sandbox.servers().len(), nodes(document).len());
}

#[test]
fn a_rolling_restart_loses_no_write_and_keeps_the_order() {
    let sandbox = Sandbox::new();
    sandbox.fails("restart", 4);
    let before = sandbox.up("");
    let writer = Writer::new(&ports(&before));
    let document = sandbox.ok("restart --json").json();
    writer.check();
    assert_ready(&sandbox, &document);
    let (old, new) = (pids(&before), pids(&sandbox.status()));
    assert!(
        old.iter().all(|(port, pid)| new[port] != *pid),
        "{old:?} {new:?}"
    );
    let order = restarted(&document);
    let expected = [by_role(&before, "replica"), by_role(&before, "primary")].concat();
    assert_eq!(order, expected);
    // Some nodes only, by what they are now.
    let status = sandbox.status();
    let text = sandbox.ok("restart replica");
    assert!(text.out.starts_with("Restarted 3 nodes in "), "{text}");
    let (old, new) = (pids(&status), pids(&sandbox.status()));
    for port in by_role(&status, "primary") {
        assert_eq!(old[&port], new[&port], "{text}");
    }
    for port in by_role(&status, "replica") {
        assert_ne!(old[&port], new[&port], "{text}");
    }
    sandbox.fails("restart 9", 2);
    sandbox.gone("down --yes");
}

#[test]
fn primaries_that_persist_nothing_hand_their_slots_over_first() {
    let sandbox = Sandbox::new();
    let before = sandbox.up("--ephemeral");
    let writer = Writer::new(&ports(&before));
    let document = sandbox.ok("restart --json").json();
    writer.check();
    assert_ready(&sandbox, &document);
    let (old, new) = (pids(&before), pids(&sandbox.status()));
    assert!(
        old.iter().all(|(port, pid)| new[port] != *pid),
        "{old:?} {new:?}"
    );
    // Each primary is a replica now, of the node that was its replica.
    for port in by_role(&before, "primary") {
        assert_eq!(node_on(&document, port)["role"], "replica", "{document}");
    }
    sandbox.gone("down --yes");
}

#[test]
fn what_a_node_does_now_counts_not_what_its_file_says() {
    let sandbox = Sandbox::new();
    let before = sandbox.up("");
    let primary = by_role(&before, "primary")[0];
    assert_eq!(redis(primary, &["CONFIG", "SET", "appendonly", "no"]), "OK");
    let writer = Writer::new(&ports(&before));
    let ran = sandbox.ok(&format!("restart {primary}"));
    writer.check();
    assert!(ran.err.contains("took over from"), "{ran}");
    sandbox.gone("down --yes");
}

#[test]
fn what_would_be_lost_needs_a_yes_before_anything_is_touched() {
    let sandbox = Sandbox::new();
    let before = sandbox.up("--ephemeral --primaries 3 --replicas 0");
    // Nothing to lose: nothing to ask.
    sandbox.ok("restart");
    let empty = sandbox.status();
    let first = ports(&before)[0];
    let key = (0..1000)
        .map(|number| format!("key:{number}"))
        .find(|key| ask(first, &["SET", key, "x"]).is_some_and(|reply| reply == "+OK\r\n"))
        .expect("a key of its slots");
    let error = sandbox.fails("restart --json", 9).json_error();
    assert_eq!(error["code"], "confirmation_needed");
    let message = error["message"].as_str().expect("a message");
    assert!(message.contains(&first.to_string()), "{message}");
    assert_eq!(
        pids(&sandbox.status()),
        pids(&empty),
        "something was touched"
    );
    assert!(ask(first, &["GET", &key]).is_some_and(|reply| reply.contains('x')));
    // Others may go.
    sandbox.ok("restart 2 3");
    sandbox.ok("restart --yes");
    assert!(ask(first, &["GET", &key]).is_some_and(|reply| reply == "$-1\r\n"));
    sandbox.gone("down --yes");
}

#[test]
fn a_replica_that_is_not_in_sync_takes_nothing_over() {
    let sandbox = Sandbox::new();
    let before = sandbox.up("--ephemeral");
    let primary = by_role(&before, "primary")[0];
    let shard = &node_on(&before, primary)["shard"];
    let replica = nodes(&before)
        .iter()
        .find(|node| node["role"] == "replica" && node["shard"] == *shard)
        .expect("a replica")["port"]
        .as_u64()
        .expect("a port");
    // It may not connect any more.
    for (name, value) in [("masterauth", "wrong"), ("masteruser", "nobody")] {
        assert_eq!(redis(replica, &["CONFIG", "SET", name, value]), "OK");
    }
    assert_eq!(redis(primary, &["CLIENT", "KILL", "TYPE", "replica"]), ":1");
    sandbox.wait_for_status("the link to be down", |now| {
        node_on(now, replica)["replication_link"] == "down"
    });
    let old = pids(&sandbox.status());
    let ran = sandbox.fails(&format!("restart {primary}"), 9);
    assert!(ran.err.contains("has no replica in sync"), "{ran}");
    assert_eq!(pids(&sandbox.status()), old);
    sandbox.gone("down --yes");
}

#[test]
fn dead_hung_and_stopped_nodes_are_started() {
    let sandbox = Sandbox::new();
    let status = sandbox.up("--ephemeral");
    let (dead, hung) = (
        by_role(&status, "replica")[0],
        by_role(&status, "replica")[1],
    );
    kill_and_wait(pid_on(&status, dead));
    signal("STOP", pid_on(&status, hung));
    let document = sandbox
        .ok(&format!("restart --grace 300ms --json {dead} {hung}"))
        .json();
    assert_ready(&sandbox, &document);
    let mut order = restarted(&document);
    order.sort_unstable();
    let mut wanted = vec![dead, hung];
    wanted.sort_unstable();
    assert_eq!(order, wanted);

    // A primary that hangs and persists nothing is succeeded before it comes back.
    let status = sandbox.status();
    let port = by_role(&status, "primary")[1];
    let writer = Writer::new(&ports(&status));
    signal("STOP", pid_on(&status, port));
    let document = sandbox
        .ok(&format!("restart --grace 100ms --json {port}"))
        .json();
    assert_ready(&sandbox, &document);
    assert_eq!(node_on(&document, port)["role"], "replica", "{document}");
    drop(writer);

    // One that does not run at all is started.
    sandbox.ok("stop");
    let document = sandbox.ok("restart --json").json();
    assert_ready(&sandbox, &document);
    assert_eq!(restarted(&document).len(), 6);
    sandbox.gone("down --yes");
}

#[test]
fn nodes_that_are_no_cluster_yet_restart_too() {
    let sandbox = Sandbox::new();
    let before = sandbox
        .ok("start --primaries 3 --replicas 0 --port auto --json")
        .json();
    let document = sandbox.ok("restart --json").json();
    assert_eq!(document["state"], "unformed", "{document}");
    assert_eq!(restarted(&document).len(), 3);
    let (old, new) = (pids(&before), pids(&document));
    assert!(
        old.iter().all(|(port, pid)| new[port] != *pid),
        "{document}"
    );
    sandbox.ok("create");
    sandbox.gone("down --yes");
}

#[test]
fn killed_on_the_way_it_leaves_what_the_next_verb_finishes() {
    for delay in [40, 150, 400, 900] {
        let sandbox = Sandbox::new();
        let status = sandbox.up("--ephemeral");
        let all = ports(&status);
        let key = ask_cluster(&all, &["SET", "kept", "value"]);
        assert_eq!(key.as_deref(), Some("+OK\r\n"));
        let running = sandbox.spawn("restart");
        running.kill_after(Duration::from_millis(delay));
        let verb = if delay < 200 { "up" } else { "restart" };
        let ran = sandbox.run(verb);
        // A primary that was killed away between its end and its start is succeeded first.
        if ran.code != Some(0) {
            assert_eq!(ran.code, Some(9), "{delay}: {ran}");
            // Nor may a replica that copies it still be the only one of its shard.
            sandbox.wait_for_status("a successor, and replicas in sync", |now| {
                let lags = |node: &Value| {
                    node["process"] == "running" && node["replication_link"] == "down"
                };
                now["slots_ok"] == 16384 && !nodes(now).iter().any(lags)
            });
            sandbox.ok(verb);
        }
        sandbox.ok("wait");
        let kept = ask_cluster(&all, &["GET", "kept"]);
        assert_eq!(kept.as_deref(), Some("$5\r\nvalue\r\n"), "{delay}");
        sandbox.gone("down --yes");
    }
}

#[test]
fn snapshots_are_enough_for_a_clean_end_and_not_for_a_kill() {
    let sandbox = Sandbox::new();
    let conf = sandbox.file("snapshots.conf", "appendonly no\nsave 3600 1\n");
    let before = sandbox.up(&format!("--conf {conf} --node-timeout 3s"));
    let all = ports(&before);
    let writer = Writer::new(&all);
    sandbox.ok("restart");
    writer.check();
    let after = sandbox.status();
    assert_eq!(by_role(&after, "primary"), by_role(&before, "primary"));

    // wat lies in slot 7056, of the second shard.
    for (value, hangs) in [("one", false), ("two", true)] {
        let status = sandbox.status();
        let mut primaries = by_role(&status, "primary").into_iter();
        let port = primaries
            .find(|&port| ask(port, &["SET", "wat", value]).as_deref() == Some("+OK\r\n"))
            .expect("an owner");
        set_on_both(port, "wat", value);
        if hangs {
            signal("STOP", pid_on(&status, port));
        }
        // No time to write a snapshot.
        let document = sandbox
            .ok(&format!("restart --grace 0ms --json {port}"))
            .json();
        assert_ready(&sandbox, &document);
        assert_eq!(node_on(&document, port)["role"], "replica", "{document}");
        let kept = ask_cluster(&all, &["GET", "wat"]);
        assert_eq!(kept, Some(format!("$3\r\n{value}\r\n")), "{hangs}");
    }
    sandbox.gone("down --yes");
}

#[test]
fn what_may_be_lost_is_what_was_named() {
    let sandbox = Sandbox::new();
    let status = sandbox.up("--ephemeral --node-timeout 20s");
    let primaries = by_role(&status, "primary");
    // wat lies in slot 7056, of the second shard.
    let (first, second) = (primaries[0], primaries[1]);
    set_on_both(second, "wat", "precious");
    let of_second = |node: &&Value| node["role"] == "replica" && node["shard"] == 2;
    let mut replicas = nodes(&status).iter().filter(of_second);
    let replica = replicas.next().expect("one")["port"].as_u64();
    let replica = replica.expect("a port");
    kill_and_wait(pid_on(&status, second));
    let old = pid_on(&status, first);
    let ran = sandbox.fails(&format!("restart {first} --yes"), 9);
    assert!(ran.err.contains(&second.to_string()), "{ran}");
    assert_eq!(pid_on(&sandbox.status(), first), old, "it was touched");
    assert_eq!(redis(replica, &["DBSIZE"]), ":1");
    // Named, it may.
    sandbox.ok(&format!("restart {second} --yes"));
    assert_eq!(redis(second, &["DBSIZE"]), ":0");
    sandbox.gone("down --yes");
}

#[test]
fn after_an_interrupted_create_it_names_what_it_started() {
    let sandbox = Sandbox::new();
    let journal = sandbox.cluster().join("journal.json");
    // It may be done before it is killed.
    let (before, ran) = wait_for("an interrupted create", || {
        sandbox.ok("start --port auto");
        let running = sandbox.spawn("create");
        wait_for("the forming", || journal.exists().then_some(()));
        running.kill_after(Duration::ZERO);
        let before = pids(&sandbox.status());
        let was_interrupted = journal.exists() && sandbox.status()["state"] != "ok";
        let ran = sandbox.ok("restart 1 --json");
        if was_interrupted {
            return Some((before, ran));
        }
        sandbox.gone("down --yes");
        None
    });
    let document = ran.json();
    assert_ready(&sandbox, &document);
    let after = pids(&document);
    let is_new = |port: &u64| before[port] != after[port];
    let new: Vec<u64> = after.keys().copied().filter(is_new).collect();
    assert_eq!(restarted(&document), new);
    sandbox.gone("down --yes");
}
