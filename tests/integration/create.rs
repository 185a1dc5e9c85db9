//! `rcluster create`: forming by commands, from nodes that were started.

use serde_json::Value;

use crate::sandbox::{Sandbox, free_ports, kill_and_wait, nodes, pid_on};
use crate::witness::{ask, assert_ready, cluster_nodes, config, ports, what_is_missing};

/// What each node knows of a cluster and holds in slots.
fn known(document: &Value) -> Vec<(usize, usize)> {
    let look = |port| {
        let lines = cluster_nodes("127.0.0.1", port);
        (lines.len(), lines.iter().map(|line| line.slots.len()).sum())
    };
    ports(document).into_iter().map(look).collect()
}

#[test]
fn create_prints_what_people_know_and_a_dry_run_the_same_without_doing_it() {
    let sandbox = Sandbox::new();
    let base = free_ports(6);
    let started = sandbox.ok(&format!("start --port {base} --json")).json();
    let plan = [
        "Primary[0] -> Slots 0 - 5460".to_owned(),
        "Primary[1] -> Slots 5461 - 10922".to_owned(),
        "Primary[2] -> Slots 10923 - 16383".to_owned(),
        format!("Adding replica 127.0.0.1:{} to 127.0.0.1:{base}", base + 4),
        format!(
            "Adding replica 127.0.0.1:{} to 127.0.0.1:{}",
            base + 5,
            base + 1
        ),
        format!(
            "Adding replica 127.0.0.1:{} to 127.0.0.1:{}",
            base + 3,
            base + 2
        ),
    ];
    let files = sandbox.files();

    let dry = sandbox.ok("create --dry-run");
    let lines: Vec<&str> = dry.out.lines().collect();
    assert_eq!(
        lines.get(..6),
        Some(plan.each_ref().map(String::as_str).as_slice()),
        "{dry}"
    );
    assert!(
        lines.len() > 6 && !dry.out.contains("[OK]"),
        "the commands follow: {dry}"
    );
    assert_eq!(known(&started), [(1, 0); 6], "nothing was done");
    assert_eq!(sandbox.files(), files, "nothing was written");
    assert_eq!(sandbox.status()["state"], "unformed");
    assert!(!what_is_missing(&started, 3, 1).is_empty());

    let created = sandbox.ok("create");
    let lines: Vec<&str> = created.out.lines().collect();
    assert_eq!(
        lines.get(..6),
        Some(plan.each_ref().map(String::as_str).as_slice()),
        "{created}"
    );
    assert_eq!(
        lines.get(6),
        Some(&"[OK] All 16384 slots covered."),
        "{created}"
    );
    assert!(!created.out.contains("unchanged"), "{created}");
    assert_ready(&started, 3, 1);

    let again = sandbox.ok("create");
    assert!(again.out.lines().any(|line| line == "unchanged"), "{again}");
    let again = sandbox.ok("create --json").json();
    assert_eq!(
        (&again["changed"], &again["state"]),
        (&false.into(), &"ok".into())
    );
    sandbox.ok("down --yes");
}

#[test]
fn create_forms_another_shape_of_the_same_nodes_and_refuses_one_that_does_not_fit() {
    let sandbox = Sandbox::new();
    let base = free_ports(6);
    let started = sandbox.ok(&format!("start --port {base} --json")).json();
    for unfit in [
        "--primaries 4",
        "--replicas 3",
        "--primaries 2 --replicas 1",
        "--primaries 7",
    ] {
        let refused = sandbox
            .fails(&format!("create {unfit} --json"), 7)
            .json_error();
        assert_eq!(refused["code"], "shape_differs", "{unfit}: {refused}");
        sandbox.fails(&format!("create --dry-run {unfit}"), 7);
    }
    assert_eq!(known(&started), [(1, 0); 6], "a refusal changes nothing");

    let created = sandbox.ok("create --replicas 2 --json").json();
    assert_ready(&created, 2, 2);
    assert_eq!(
        (&created["primaries"], &created["replicas"]),
        (&2.into(), &2.into())
    );
    // It is the recorded shape from now on, and another one is a difference.
    assert_eq!(
        sandbox
            .ok("create --primaries 2 --replicas 2 --json")
            .json()["changed"],
        false
    );
    sandbox.fails("create --primaries 3 --replicas 1", 7);
    assert_eq!(sandbox.status()["primaries"], 2);
    sandbox.ok("down --yes");
}

#[test]
fn create_needs_started_nodes() {
    let sandbox = Sandbox::new();
    assert_eq!(
        sandbox.fails("create --json", 4).json_error()["code"],
        "no_such_cluster"
    );
    assert_eq!(sandbox.files(), Vec::<std::path::PathBuf>::new());
    let base = free_ports(3);
    sandbox.ok(&format!("start --replicas 0 --port {base}"));
    sandbox.ok("stop");
    assert_eq!(
        sandbox.fails("create --json", 3).json_error()["code"],
        "not_running"
    );
    // Nor is it told what would be sent to nobody.
    sandbox.fails("create --dry-run", 3);
    assert_eq!(sandbox.status()["state"], "stopped");
    let started = sandbox.ok("start --json").json();
    let port = ports(&started)[1];
    kill_and_wait(pid_on(&started, port));
    for verb in ["create", "create --dry-run"] {
        let error = sandbox.fails(&format!("{verb} --json"), 1).json_error();
        assert_eq!(error["message"], "not all nodes run");
        assert_eq!(error["hint"], "start them first: rcluster start");
        assert!(error["nodes"].to_string().contains(&port.to_string()));
    }
    sandbox.ok("start");
    assert_ready(&sandbox.ok("create --json").json(), 3, 0);
    sandbox.ok("down --yes");
}

#[test]
fn create_refuses_nodes_that_hold_keys_and_leaves_them_as_they_are() {
    let sandbox = Sandbox::new();
    let base = u64::from(free_ports(3));
    sandbox.ok(&format!(
        "start --replicas 0 --port {base} --set cluster-require-full-coverage=no"
    ));
    let port = base + 1;
    assert_eq!(ask(port, &["CLUSTER", "ADDSLOTS", "7056"]), "OK");
    crate::sandbox::wait_for("a write", || {
        (ask(port, &["SET", "wat", "2"]) == "OK").then_some(())
    });
    assert_eq!(ask(port, &["CLUSTER", "DELSLOTS", "7056"]), "OK");

    let refused = sandbox.fails("create --json", 7).json_error();
    assert_eq!(refused["code"], "node_not_empty", "{refused}");
    let named = refused["nodes"].as_array().expect("nodes");
    assert_eq!(named.len(), 1, "{refused}");
    assert_eq!(named[0]["node"], format!("127.0.0.1:{port}"));
    assert_eq!(ask(port, &["DBSIZE"]), 1);
    sandbox.ok("down --yes");
}

#[test]
fn small_clusters_form_too() {
    for (primaries, replicas) in [(1, 0), (2, 0), (1, 2), (2, 1)] {
        let sandbox = Sandbox::new();
        let count = primaries * (replicas + 1);
        let base = free_ports(u16::try_from(count).expect("small"));
        let started = sandbox.ok(&format!(
            "start --primaries {primaries} --replicas {replicas} --port {base}"
        ));
        assert!(
            started.err.contains("note: failover needs 3 primaries"),
            "{started}"
        );
        assert_ready(&sandbox.ok("create --json").json(), primaries, replicas);
        sandbox.ok("down --yes");
    }
}

#[test]
fn after_create_and_up_the_configuration_is_the_users() {
    for verbs in [&["start", "create"][..], &["up"]] {
        let sandbox = Sandbox::new();
        let base = free_ports(6);
        let options =
            format!("--port {base} --set hz=50 --set repl-diskless-sync-delay=1 --node-timeout 3s");
        let (first, rest) = verbs.split_first().expect("a verb");
        sandbox.ok(&format!("{first} {options}"));
        for verb in rest {
            sandbox.ok(verb);
        }
        let status = sandbox.status();
        assert_eq!(nodes(&status).len(), 6);
        for port in ports(&status) {
            for (name, wanted) in [
                ("hz", "50"),
                ("repl-diskless-sync-delay", "1"),
                ("cluster-node-timeout", "3000"),
                ("cluster-require-full-coverage", "yes"),
                ("appendonly", "yes"),
            ] {
                assert_eq!(
                    config(port, name),
                    wanted,
                    "{name} of {port} after {verbs:?}"
                );
            }
        }
        sandbox.ok("down --yes");

        sandbox.ok(&format!("{first} --port {base}"));
        for verb in rest {
            sandbox.ok(verb);
        }
        for port in ports(&sandbox.status()) {
            for (name, wanted) in [
                ("hz", "10"),
                ("repl-diskless-sync-delay", "5"),
                ("cluster-node-timeout", "2000"),
                ("cluster-require-full-coverage", "yes"),
                ("repl-diskless-load", "disabled"),
            ] {
                assert_eq!(
                    config(port, name),
                    wanted,
                    "{name} of {port} after {verbs:?}"
                );
            }
        }
        sandbox.ok("down --yes");
    }
}
