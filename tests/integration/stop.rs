//! `stop`: every node ends, no stranger does, and nothing fails over on the way down.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::sandbox::{
    Sandbox, Stranger, edit_json, kill_and_wait, node_on, nodes, pid_on, ports, process_words,
    signal, wait_for,
};

/// How each node ended, in the order of the answer.
fn results(stopped: &Value) -> Vec<&str> {
    nodes(stopped)
        .iter()
        .map(|node| node["result"].as_str().unwrap_or("?"))
        .collect()
}

#[test]
fn stop_ends_all_nodes_and_a_second_stop_finds_nothing_to_do() {
    let sandbox = Sandbox::new();
    sandbox.fails("stop", 4);
    assert_eq!(
        sandbox.fails("stop --json", 4).json_error()["code"],
        "no_such_cluster"
    );
    sandbox.up("");
    assert_eq!(sandbox.servers().len(), 6);

    let stopped = sandbox.ok("stop --json").json();
    assert_eq!(sandbox.survivors(), BTreeMap::new());
    assert_eq!(stopped["changed"], true);
    assert_eq!(results(&stopped), ["stopped"; 6]);

    let again = sandbox.ok("stop --json").json();
    assert_eq!(again["changed"], false);
    assert_eq!(results(&again), ["was_dead"; 6]);
    let text = sandbox.ok("stop");
    assert!(text.out.contains("unchanged"), "{text}");
    assert_eq!(sandbox.fails("status --json", 3).json()["state"], "stopped");
    sandbox.gone("down --yes");
    sandbox.fails("stop", 4);
}

#[test]
fn stop_ends_nodes_that_are_suspended() {
    let sandbox = Sandbox::new();
    let status = sandbox.up("");
    // One primary and one replica: neither the order nor the kind may matter.
    for port in [ports(&status)[0], ports(&status)[5]] {
        signal("STOP", pid_on(&status, port));
    }
    let stopped = sandbox.ok("stop --json").json();
    assert_eq!(sandbox.survivors(), BTreeMap::new());
    assert!(
        results(&stopped)
            .iter()
            .all(|result| ["stopped", "killed"].contains(result)),
        "{stopped}"
    );
    sandbox.gone("down --yes");
}

#[test]
fn a_node_that_cannot_save_its_snapshot_is_killed_after_the_grace_and_reported() {
    let sandbox = Sandbox::new();
    let arguments = [
        "up",
        "--port=auto",
        "--primaries=3",
        "--replicas=0",
        "--set=save=3600 1",
        "--json",
    ];
    let ran = crate::sandbox::Ran::of(sandbox.command(&arguments), "up --set save");
    assert_eq!(ran.code, Some(0), "{ran}");
    let port = ports(&ran.json())[1];
    // Root may write everywhere, but nobody can rename a file onto a directory.
    let obstacle = sandbox.node(port).join("dump.rdb");
    fs::create_dir(&obstacle).expect("mkdir");

    let text = sandbox.ok("stop --grace 1200ms");
    assert_eq!(sandbox.survivors(), BTreeMap::new());
    assert!(
        text.out
            .contains(&format!("127.0.0.1:{port} did not end by itself")),
        "{text}"
    );
    assert_eq!(text.out.matches("did not end").count(), 1, "{text}");
    let log = fs::read_to_string(sandbox.node(port).join("server.log")).expect("a log");
    assert!(log.contains("can't exit"), "the test tests nothing: {log}");

    sandbox.ok("start");
    let stopped = sandbox.ok("stop --grace 1s --json").json();
    assert_eq!(sandbox.survivors(), BTreeMap::new());
    assert_eq!(results(&stopped), ["stopped", "killed", "stopped"]);

    // Once it can be saved, the node ends by itself, though it refused at first.
    sandbox.ok("start");
    let stop = sandbox.spawn("stop --grace 60s --json");
    wait_for("the node to refuse", || {
        let now = fs::read_to_string(sandbox.node(port).join("server.log")).ok()?;
        let refusals = |log: &str| log.matches("can't exit").count();
        (refusals(&now) > refusals(&log) + 1).then_some(())
    });
    fs::remove_dir(&obstacle).expect("rmdir");
    let stopped = stop.end();
    assert_eq!(stopped.code, Some(0), "{stopped}");
    assert_eq!(results(&stopped.json()), ["stopped"; 3]);
    sandbox.gone("down --yes");
}

#[test]
fn a_recorded_pid_that_belongs_to_a_stranger_is_not_signalled() {
    let sandbox = Sandbox::new();
    let status = sandbox.up("--primaries 3 --replicas 0");
    let port = ports(&status)[0];
    kill_and_wait(pid_on(&status, port));
    let mut stranger = Stranger::sleep();
    let file = sandbox.cluster().join("processes.json");
    edit_json(&file, |processes| {
        processes["nodes"][port.to_string()]["record"]["pid"] = json!(stranger.pid());
    });

    let status = sandbox.fails("status --json", 5).json();
    assert_eq!(node_on(&status, port)["process"], "dead");
    let stopped = sandbox.ok("stop --json --grace 1s").json();
    assert_eq!(results(&stopped), ["was_dead", "stopped", "stopped"]);
    assert!(stranger.lives());
    assert_eq!(sandbox.survivors(), BTreeMap::new());
    // And it does not keep the node from being started, or the cluster from being deleted.
    sandbox.ok("start");
    kill_and_wait(pid_on(&sandbox.status(), port));
    edit_json(&file, |processes| {
        processes["nodes"][port.to_string()]["record"]["pid"] = json!(stranger.pid());
    });
    sandbox.gone("down --yes --grace 1s");
    assert!(stranger.lives());
}

#[test]
fn pids_that_cannot_be_a_nodes_are_never_signalled() {
    let sandbox = Sandbox::new();
    let status = sandbox.up("--primaries 1 --replicas 0");
    let port = ports(&status)[0].to_string();
    let file = sandbox.cluster().join("processes.json");
    let original = fs::read(&file).expect("readable");
    sandbox.ok("stop");
    // kill(0) and kill(-1) would end this test too.
    let own = std::process::id();
    let mut stranger = Stranger::sleep();
    for pid in [
        json!(0),
        json!(1),
        json!(-1),
        json!(2),
        json!(own),
        json!(-i64::from(own)),
        json!(-i64::from(stranger.pid())),
        json!(i32::MAX),
        json!(i32::MIN),
    ] {
        fs::write(&file, &original).expect("written");
        edit_json(&file, |processes| {
            processes["nodes"][&port]["record"]["pid"] = pid.clone();
        });
        let stopped = sandbox.ok("stop --json --grace 0s").json();
        assert_eq!(results(&stopped), ["was_dead"], "{pid}");
        sandbox.fails("status", 3);
    }
    for pid in [
        json!(1_i64 << 31),
        json!(1_i64 << 40),
        json!("all"),
        json!(1.5),
        json!([7]),
    ] {
        fs::write(&file, &original).expect("written");
        edit_json(&file, |processes| {
            processes["nodes"][&port]["record"]["pid"] = pid.clone();
        });
        let error = sandbox.fails("stop --json --grace 0s", 1).json_error();
        assert_eq!(error["code"], "corrupt_state", "{pid}: {error}");
        assert!(
            error["message"]
                .as_str()
                .is_some_and(|text| text.contains("processes.json")),
            "{pid}: {error}"
        );
        sandbox.run("status").nothing_odd();
    }
    for text in ["", "{", "[]", "\u{0}\u{0}", "null", "{\"nodes\":7}"] {
        fs::write(&file, text).expect("written");
        let error = sandbox.fails("stop --json", 1).json_error();
        assert_eq!(error["code"], "corrupt_state", "{text:?}: {error}");
    }
    assert!(stranger.lives());
    // Without the file nothing ever ran.
    fs::remove_file(&file).expect("removed");
    sandbox.ok("stop");
    sandbox.gone("down --yes");
}

#[test]
fn records_of_another_boot_or_container_are_not_acted_upon() {
    let sandbox = Sandbox::new();
    sandbox.up("--primaries 3 --replicas 0");
    let before = sandbox.servers();
    let file = sandbox.cluster().join("processes.json");
    let original = fs::read(&file).expect("readable");
    let edit = |values: &[(&str, Value)]| {
        fs::write(&file, &original).expect("written");
        edit_json(&file, |processes| {
            let nodes = processes["nodes"].as_object_mut().expect("nodes");
            for node in nodes.values_mut() {
                for (field, value) in values {
                    assert!(!node["epoch"][*field].is_null(), "{field}");
                    node["epoch"][*field] = value.clone();
                }
            }
        });
    };

    // Before the last boot: whoever has these PIDs now is a stranger.
    let boot = ("boot_id", json!("00000000-0000-0000-0000-000000000000"));
    edit(std::slice::from_ref(&boot));
    let stopped = sandbox.ok("stop --json --grace 0s").json();
    assert_eq!(results(&stopped), ["was_dead"; 3]);
    assert_eq!(sandbox.servers(), before);

    // In another container, or on another machine: they may run there, out of our sight.
    let container = vec![("pid_namespace", json!(1))];
    let machine = vec![boot, ("host", json!("elsewhere"))];
    for (field, values) in [("container", container), ("machine", machine)] {
        edit(&values);
        let stop = sandbox.fails("stop --grace 0s --json", 9).json_error();
        assert!(
            hint(&stop).contains(file.to_str().expect("UTF-8")),
            "{stop}"
        );
        sandbox.fails("down --yes --grace 0s", 9);
        assert_eq!(process_words(&sandbox.status()), ["unknown"; 3], "{field}");
        let up = sandbox.run("up --timeout 3s");
        assert!(up.code != Some(0), "{up}");
        assert_eq!(sandbox.servers(), before, "{field}");
    }

    // The machine was given another name while they ran: they are ours all the same.
    edit(&[("host", json!("renamed"))]);
    sandbox.ok("status");
    sandbox.gone("down --yes");
}

#[test]
fn nothing_fails_over_on_the_way_down() {
    let sandbox = Sandbox::new();
    // Ready to fail over at once, to make it likely if it were possible at all.
    sandbox.up("--node-timeout 500ms");
    let roles = |status: &Value| -> Vec<(Value, Value, Value, Value)> {
        let role = |node: &Value| {
            let field = |name: &str| node[name].clone();
            (
                field("port"),
                field("role"),
                field("replicates"),
                field("config_epoch"),
            )
        };
        nodes(status).iter().map(role).collect()
    };
    let before = roles(&sandbox.status());
    for _ in 0..3 {
        sandbox.ok("stop");
        let started = sandbox.ok("start --json").json();
        assert_eq!(started["state"], "ok");
        assert_eq!(roles(&started), before);
    }
    sandbox.gone("down --yes");
}

fn hint(error: &Value) -> &str {
    error["hint"].as_str().expect("a hint")
}

/// The container of a CI job was restarted: its processes are gone, its files are not.
#[test]
fn what_the_hint_has_deleted_lets_a_cluster_of_a_container_that_is_gone_come_back() {
    let sandbox = Sandbox::new();
    let up = sandbox.up("--primaries 1 --replicas 0");
    let port = nodes(&up)[0]["port"].as_u64().expect("a port");
    sandbox.ok("call -- SET wat 2");
    for pid in sandbox.survivors().into_keys() {
        kill_and_wait(pid.into());
    }
    let file = sandbox.cluster().join("processes.json");
    edit_json(&file, |processes| {
        processes["nodes"][port.to_string()]["epoch"]["pid_namespace"] = json!(1);
    });
    for verb in ["down --yes", "stop"] {
        let error = sandbox.fails(&format!("{verb} --json"), 9).json_error();
        let (_, named) = hint(&error).split_once("delete ").expect("what to delete");
        assert_eq!(Path::new(named), file);
    }
    fs::remove_file(&file).expect("removed");
    assert_eq!(sandbox.ok("up --json").json()["state"], "ok");
    let got = sandbox.ok("call -- GET wat");
    assert!(got.out.contains('2'), "{got}");
    sandbox.gone("down --yes");
}

/// While a node runs here, nobody may be told to forget what is known of it.
#[test]
fn a_node_that_runs_here_is_not_to_be_forgotten() {
    let sandbox = Sandbox::new();
    let up = sandbox.up("--primaries 2 --replicas 0");
    let port = nodes(&up)[0]["port"].as_u64().expect("a port");
    let file = sandbox.cluster().join("processes.json");
    let original = fs::read(&file).expect("readable");
    edit_json(&file, |processes| {
        processes["nodes"][port.to_string()]["epoch"]["pid_namespace"] = json!(1);
    });
    let error = sandbox.fails("stop --json", 9).json_error();
    assert_eq!(hint(&error), "stop the cluster there");
    fs::write(&file, original).expect("written");
    sandbox.gone("down --yes");
}
