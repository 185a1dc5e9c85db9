//! `rcluster up`: ready when it returns, whatever there was before.

use std::net::{Ipv6Addr, TcpListener};
use std::thread;
use std::time::{Duration, Instant};

use crate::sandbox::{Sandbox, free_ports, nodes, signal, wait_for};
use crate::witness::{Guest, ask, assert_ready, ports};

fn up_is_ready(primaries: usize, replicas: usize, options: &str) {
    let sandbox = Sandbox::new();
    let count = primaries * (replicas + 1);
    let base = free_ports(u16::try_from(count).expect("small"));
    let shape = format!("--primaries {primaries} --replicas {replicas} --port {base} {options}");
    let up = sandbox.ok(&format!("up {shape} --json")).json();
    assert_ready(&up, primaries, replicas);
    assert_eq!((&up["state"], &up["changed"]), (&"ok".into(), &true.into()));

    // The same options are no difference, and nothing is done.
    let again = sandbox.ok(&format!("up {shape} --json")).json();
    assert_eq!(
        (&again["state"], &again["changed"]),
        (&"ok".into(), &false.into())
    );
    let pids = |document| {
        let pid = |node: &serde_json::Value| node["pid"].as_u64();
        nodes(document).iter().map(pid).collect::<Vec<_>>()
    };
    assert_eq!(pids(&up), pids(&again));
    sandbox.ok("down --yes");
    assert!(sandbox.survivors().is_empty());
}

#[test]
fn three_primaries_with_a_replica_each_are_ready_when_up_returns() {
    up_is_ready(3, 1, "");
}

#[test]
fn three_primaries_without_replicas_are_ready_when_up_returns() {
    up_is_ready(3, 0, "");
}

#[test]
fn one_primary_is_ready_when_up_returns() {
    up_is_ready(1, 0, "");
    up_is_ready(1, 1, "");
}

#[test]
fn two_primaries_with_two_replicas_each_are_ready_when_up_returns() {
    up_is_ready(2, 2, "");
}

#[test]
fn an_ephemeral_cluster_is_ready_when_up_returns() {
    up_is_ready(3, 1, "--ephemeral");
}

#[test]
fn the_other_loopback_addresses_are_ready_when_up_returns() {
    up_is_ready(3, 1, "--bind 127.0.0.2");
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
        up_is_ready(3, 1, "--bind ::1");
    }
}

#[test]
fn two_clusters_with_ports_of_their_own_stand_side_by_side() {
    let sandbox = Sandbox::new();
    let one = sandbox
        .ok("up -n one --replicas 0 --port auto --json")
        .json();
    let two = sandbox
        .ok("up -n two --replicas 0 --port auto --json")
        .json();
    assert_ready(&one, 3, 0);
    assert_ready(&two, 3, 0);
    let (of_one, of_two) = (ports(&one), ports(&two));
    assert!(
        of_one.iter().all(|port| !of_two.contains(port)),
        "{of_one:?} {of_two:?}"
    );

    let list = sandbox.ok("list --json").json();
    let clusters = list["clusters"].as_array().expect("clusters");
    let seen: Vec<_> = clusters
        .iter()
        .map(|cluster| (cluster["name"].as_str(), cluster["state"].as_str()))
        .collect();
    assert_eq!(seen, [(Some("one"), Some("ok")), (Some("two"), Some("ok"))]);
    let text = sandbox.ok("list").out;
    assert!(text.contains("one") && text.contains("two"), "{text}");

    sandbox.ok("down -n one --yes");
    assert_ready(&two, 3, 0);
    sandbox.ok("status -n two");
    sandbox.fails("status -n one", 4);
    sandbox.ok("down -n two --yes");
}

#[test]
fn up_forms_nodes_that_were_started() {
    let sandbox = Sandbox::new();
    let base = free_ports(6);
    let started = sandbox.ok(&format!("start --port {base} --json")).json();
    let up = sandbox.ok("up --json").json();
    assert_ready(&up, 3, 1);
    assert_eq!(up["changed"], true);
    let pid = |document: &serde_json::Value| document["nodes"][0]["pid"].clone();
    assert_eq!(pid(&started), pid(&up), "the nodes are the same");
    assert_eq!(sandbox.ok("start --json").json()["changed"], false);
    sandbox.ok("down --yes");
}

/// How long servers stand still: a busy machine may take the processor from one for seconds. It is longer
/// than the node timeout of the cluster to be.
const STILL: Duration = Duration::from_secs(6);

/// The primaries to be wait: Redis 8.2 may hang if a node hears of a takeover before it has heard what was
/// said before.
#[test]
fn nobody_takes_over_while_a_server_stands_still() {
    let sandbox = Sandbox::new();
    // They may have taken over before it can be stopped.
    for _ in 0..20 {
        let base = u64::from(free_ports(6));
        let mut up = sandbox.spawn(&format!("up --port {base} --ephemeral --json"));
        let pid = wait_for("the last node to have been spoken to", || {
            let (clients, pid) = (info(base + 5, "connected_clients"), "process_id");
            (clients? != "1").then(|| info(base + 5, pid)).flatten()
        });
        signal("STOP", &pid);
        // What was on its way arrives.
        thread::sleep(Duration::from_millis(200));
        let is_early = info(base + 2, "role").is_some_and(|role| role == "slave");
        if is_early {
            thread::sleep(STILL);
            let role = info(base + 2, "role");
            signal("CONT", &pid);
            assert_eq!(role.as_deref(), Some("slave"), "node 3 has taken over");
            assert!(up.is_running(), "it has not waited");
        } else {
            signal("CONT", &pid);
        }
        let up = up.end();
        assert_eq!(up.code, Some(0), "{up}");
        assert_ready(&up.json(), 3, 1);
        sandbox.gone("down --yes");
        if is_early {
            return;
        }
    }
    panic!("a stopped server was never waited for");
}

/// Nobody is elected in its place while the cluster forms.
#[test]
fn a_new_primary_that_stands_still_while_the_cluster_forms_is_waited_for() {
    let sandbox = Sandbox::new();
    // It may be ready before it can be stopped.
    for _ in 0..20 {
        let base = u64::from(free_ports(6));
        let mut up = sandbox.spawn(&format!("up --port {base} --ephemeral --json"));
        let pid = wait_for("node 2 to be a primary", || {
            let (role, pid) = (info(base + 1, "role"), "process_id");
            (role? == "master").then(|| info(base + 1, pid)).flatten()
        });
        signal("STOP", &pid);
        let began = Instant::now();
        while up.is_running() && began.elapsed() < STILL {
            thread::sleep(Duration::from_millis(20));
        }
        let stood_still = began.elapsed() >= STILL;
        signal("CONT", &pid);
        let up = up.end();
        assert_eq!(up.code, Some(0), "{up}");
        assert_ready(&up.json(), 3, 1);
        sandbox.gone("down --yes");
        if stood_still {
            return;
        }
    }
    panic!("no server could be stopped in time");
}

/// A field of what a server says of itself, if there is one and it answers.
fn info(port: u64, field: &str) -> Option<String> {
    let said = Guest::default()
        .try_ask("127.0.0.1", port, &["INFO"])
        .ok()?;
    let mut lines = said.as_str()?.lines();
    lines.find_map(|line| Some(line.strip_prefix(field)?.strip_prefix(':')?.to_owned()))
}

#[test]
fn a_failover_is_not_a_difference() {
    let sandbox = Sandbox::new();
    let base = free_ports(6);
    let up = sandbox.ok(&format!("up --port {base} --json")).json();
    let replica = nodes(&up)
        .iter()
        .find(|node| node["role"] == "replica")
        .expect("a replica");
    let (index, port) = (
        replica["index"].as_u64(),
        replica["port"].as_u64().expect("a port"),
    );
    let is_primary = |status: &serde_json::Value| {
        let promoted = nodes(status)
            .iter()
            .find(|node| node["index"].as_u64() == index);
        promoted.is_some_and(|node| node["role"] == "primary")
    };
    assert_eq!(ask(port, &["CLUSTER", "FAILOVER"]), "OK");
    sandbox.wait_for_status("the failover", |status| {
        status["state"] == "ok" && is_primary(status)
    });

    for verb in ["up", "create", "start"] {
        let after = sandbox.ok(&format!("{verb} --json")).json();
        assert_eq!(after["changed"], false, "{verb}: {after}");
        assert!(is_primary(&after), "{verb} took the role back: {after}");
        assert_ready(&after, 3, 1);
    }
    sandbox.ok("down --yes");
}

#[test]
fn a_cluster_that_takes_no_writes_is_a_failure_in_the_servers_words() {
    for verbs in [&["up"][..], &["start", "create"]] {
        let sandbox = Sandbox::new();
        let base = free_ports(3);
        let (last, before) = verbs.split_last().expect("a verb");
        let mut options = format!(
            "--replicas 0 --port {base} --set maxmemory=1 --set maxmemory-policy=noeviction"
        );
        for verb in before {
            sandbox.ok(&format!("{verb} {options}"));
            options.clear();
        }
        let failed = sandbox
            .fails(&format!("{last} {options} --json"), 1)
            .json_error();
        let nodes = failed["nodes"].as_array().expect("nodes");
        assert!(!nodes.is_empty(), "{failed}");
        for node in nodes {
            let words = node["message"].as_str().expect("a message");
            assert!(words.contains("OOM command not allowed"), "{failed}");
        }
        sandbox.ok("down --yes");
    }
}
