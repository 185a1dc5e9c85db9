//! `wait`: until a cluster is ready, serves, or has stopped, whoever makes it so.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::sandbox::{Sandbox, kill_and_wait, nodes, pid_on, ports, redis, signal};

/// What a wait that timed out says is missing: `node message`.
fn missing(sandbox: &Sandbox, line: &str) -> Vec<String> {
    let error = sandbox.fails(&format!("{line} --json"), 6).json_error();
    assert_eq!(error["code"], "timed_out");
    let list = error["nodes"].as_array().expect("nodes").clone();
    assert!(!list.is_empty(), "nothing is missing: {error}");
    let words = |problem: &Value| {
        let word = |name: &str| problem[name].as_str().unwrap_or_default().to_owned();
        format!("{} {}", word("node"), word("message"))
    };
    list.iter().map(words).collect()
}

#[test]
fn a_cluster_is_waited_for_through_its_whole_life() {
    let sandbox = Sandbox::new();
    for goal in ["ready", "serving", "stopped"] {
        let ran = sandbox.fails(&format!("wait --for {goal} --json"), 4);
        assert_eq!(ran.json_error()["code"], "no_such_cluster");
    }
    sandbox.fails("wait --for happiness", 2);

    sandbox.ok("start --primaries 3 --replicas 1 --port auto");
    // Time enough for each of them to answer: what does not answer lacks nothing else.
    let lacks = missing(&sandbox, "wait --timeout 2s");
    assert_eq!(lacks.len(), 6, "{lacks:?}");
    assert!(
        lacks.iter().all(|line| line.contains("slots are assigned")),
        "{lacks:?}"
    );
    let waiting = sandbox.spawn("wait --json");
    sandbox.ok("create");
    let ran = waiting.end();
    assert_eq!(ran.code, Some(0), "{ran}");
    let document = ran.json();
    assert_eq!(
        (&document["state"], &document["changed"]),
        (&"ok".into(), &false.into())
    );
    for goal in ["ready", "serving"] {
        let ran = sandbox.ok(&format!("wait --for {goal}"));
        assert_eq!(ran.out.lines().count(), 1, "{ran}");
    }
    let lacks = missing(&sandbox, "wait --for stopped --timeout 200ms");
    assert_eq!(lacks.len(), 6, "{lacks:?}");

    let waiting = sandbox.spawn("wait --for stopped --json");
    sandbox.ok("stop");
    let ran = waiting.end();
    assert_eq!(ran.code, Some(0), "{ran}");
    assert_eq!(ran.json()["state"], "stopped");
    assert_eq!(sandbox.survivors().len(), 0, "{ran}");
    let lacks = missing(&sandbox, "wait --timeout 200ms");
    assert!(
        lacks.iter().all(|line| line.ends_with("does not run")),
        "{lacks:?}"
    );
    let waiting = sandbox.spawn("wait");
    sandbox.ok("start");
    let ran = waiting.end();
    assert_eq!(ran.code, Some(0), "{ran}");
    assert_eq!(sandbox.run("status").code, Some(0), "ready is ready");
    sandbox.gone("down --yes");
}

#[test]
fn serving_bears_dead_nodes_but_no_slot_without_primary() {
    let sandbox = Sandbox::new();
    let status = sandbox.up("");
    let of = |role: &str, shard: u64| {
        let mut all = nodes(&status).iter();
        let found = all.find(|node| node["role"] == role && node["shard"] == shard);
        found.expect("a node")["port"].as_u64().expect("a port")
    };
    let (replica, primary) = (of("replica", 1), of("primary", 1));
    kill_and_wait(pid_on(&status, replica));
    let lacks = missing(&sandbox, "wait --timeout 500ms");
    assert!(
        lacks
            .iter()
            .any(|line| *line == format!("127.0.0.1:{replica} does not run")),
        "{lacks:?}"
    );
    let document = sandbox.ok("wait --for serving --json").json();
    assert_eq!(document["state"], "degraded");
    assert!(
        !document["problems"]
            .as_array()
            .expect("problems")
            .is_empty()
    );

    // The other half of that shard goes too.
    kill_and_wait(pid_on(&status, primary));
    let lacks = missing(&sandbox, "wait --for serving --timeout 2s");
    assert!(
        lacks
            .iter()
            .any(|line| line.contains("slots without a living primary")),
        "{lacks:?}"
    );
    sandbox.ok("start");
    sandbox.ok("wait");

    // A failover is waited for.
    let status = sandbox.status();
    let other = nodes(&status)
        .iter()
        .find(|node| node["role"] == "primary")
        .expect("a primary");
    kill_and_wait(other["pid"].as_i64().expect("a PID"));
    let document = sandbox.ok("wait --for serving --json").json();
    assert_eq!(document["slots_ok"], 16384, "{document}");
    let served = nodes(&document)
        .iter()
        .filter(|node| node["role"] == "primary");
    assert_eq!(served.count(), 3, "{document}");
    // One that hangs is not dead.
    let hung = ports(&status)[5];
    let pid = pid_on(&sandbox.status(), hung);
    signal("STOP", pid);
    let lacks = missing(&sandbox, "wait --for serving --timeout 300ms");
    let stopped = format!("127.0.0.1:{hung} is stopped (SIGSTOP)");
    assert!(lacks.contains(&stopped), "{lacks:?}");
    signal("CONT", pid);
    sandbox.gone("down --yes");
}

#[test]
fn what_waiting_cannot_cure_is_told_at_once() {
    let sandbox = Sandbox::new();
    let status = sandbox.up("--primaries 3 --replicas 0");
    let port = ports(&status)[1];
    assert_eq!(redis(port, &["CONFIG", "SET", "maxmemory", "1"]), "OK");
    for goal in ["ready", "serving"] {
        let began = Instant::now();
        let error = sandbox
            .fails(&format!("wait --for {goal} --json"), 1)
            .json_error();
        assert!(began.elapsed() < Duration::from_secs(10), "{error}");
        assert!(
            error["nodes"][0]["message"]
                .as_str()
                .is_some_and(|text| text.contains("OOM")),
            "{error}"
        );
    }
    assert_eq!(redis(port, &["CONFIG", "SET", "maxmemory", "0"]), "OK");
    sandbox.ok("wait");
    // Missing rights are another matter.
    assert_eq!(redis(port, &["ACL", "SETUSER", "default", "-set"]), "OK");
    assert_eq!(
        sandbox.fails("wait --json", 8).json_error()["code"],
        "refused_by_server"
    );
    sandbox.gone("down --yes");
}

#[test]
fn waiting_is_in_nobodys_way() {
    let sandbox = Sandbox::new();
    sandbox.ok("start --primaries 3 --replicas 0 --port auto");
    let waiting = sandbox.spawn("wait");
    sandbox.ok("up");
    let ran = waiting.end();
    assert_eq!(ran.code, Some(0), "{ran}");
    // Deleted meanwhile: there is nothing to wait for any more.
    sandbox.ok("stop");
    let waiting = sandbox.spawn("wait --json");
    sandbox.ok("down --yes");
    assert_eq!(waiting.end().json_error()["code"], "no_such_cluster");
}
