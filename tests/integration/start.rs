//! `rcluster start`: nodes that know only themselves, and clusters that come back.

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::sandbox::{
    Ran, Sandbox, free_ports, kill_and_wait, node_on, nodes, pid_on, set_on_both, signal, wait_for,
};
use crate::witness::{
    ask, assert_ready, cluster_nodes, config, field, ports, redis_cli, text_at, what_is_missing,
};

fn pids(document: &Value) -> Vec<Option<u64>> {
    nodes(document)
        .iter()
        .map(|node| node["pid"].as_u64())
        .collect()
}

fn ids(document: &Value) -> Vec<String> {
    let id = |node: &Value| node["id"].as_str().expect("an id").to_owned();
    nodes(document).iter().map(id).collect()
}

fn node_file(sandbox: &Sandbox, port: u64, name: &str) -> PathBuf {
    sandbox.home().join(format!("default/nodes/{port}/{name}"))
}

/// A script that is the real server, except in the directory of the node at `port`.
fn server_that_dies_at(sandbox: &Sandbox, port: u16) -> String {
    let real = std::env::var("RCLUSTER_TEST_SERVER").unwrap_or_else(|_| "redis-server".into());
    let path = sandbox.path().join("server");
    let script = format!(
        "#!/bin/sh\ncase \"$(pwd -P)\" in */{port}) echo 'the disk is made of cheese'; exit 3;; esac\n\
         exec {real} \"$@\"\n"
    );
    fs::write(&path, script).expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("executable");
    path.to_str().expect("UTF-8").to_owned()
}

#[test]
fn after_a_first_start_every_node_knows_only_itself() {
    let sandbox = Sandbox::new();
    let base = free_ports(6);
    let started = sandbox.ok(&format!("start --port {base} --json")).json();
    assert_eq!(
        (&started["state"], &started["changed"]),
        (&"unformed".into(), &true.into())
    );
    let wanted: Vec<u64> = (0..6).map(|number| u64::from(base) + number).collect();
    assert_eq!(ports(&started), wanted);
    for (number, node) in nodes(&started).iter().enumerate() {
        let port = node["port"].as_u64().expect("a port");
        let lines = cluster_nodes("127.0.0.1", port);
        let [line] = lines.as_slice() else {
            panic!("{port} knows others: {lines:?}");
        };
        let host = format!("127.0.0.1:{port}@{}", node["bus_port"]);
        assert_eq!(
            line.addr.split(',').next(),
            Some(host.as_str()),
            "its address is announced"
        );
        assert!(
            line.slots.is_empty() && line.flags.contains("master"),
            "{line:?}"
        );
        assert_eq!(node["id"], *line.id);
        assert_eq!(ask(port, &["CLUSTER", "MYID"]), *line.id);
        assert_eq!(config(port, "cluster-announce-ip"), "127.0.0.1");
        let info = text_at("127.0.0.1", port, &["INFO", "server"]);
        assert_eq!(field(&info, "process_id"), Some(node["pid"].to_string()));
        let title = fs::read(format!("/proc/{}/cmdline", node["pid"])).expect("it runs");
        let title = String::from_utf8_lossy(&title)
            .trim_end_matches(['\0', ' '])
            .to_owned();
        assert!(
            title.ends_with(&format!("rcluster:default/{}", number + 1)),
            "{title}"
        );
    }
    assert_eq!(
        sandbox.fails("status --json", 5).json()["state"],
        "unformed"
    );

    let again = sandbox.ok("start --json").json();
    assert_eq!(
        (&again["changed"], pids(&again)),
        (&false.into(), pids(&started))
    );
    assert!(sandbox.ok("start").out.starts_with("unchanged"));
    sandbox.ok("down --yes");
}

#[test]
fn what_is_written_is_for_the_owner_alone() {
    let sandbox = Sandbox::new();
    let base = free_ports(6);
    // Somebody has made the cluster's directory, and lets everybody look into it.
    let default = sandbox.home().join("default");
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&default)
        .expect("made");
    fs::set_permissions(&default, fs::Permissions::from_mode(0o755)).expect("changed");
    sandbox.ok(&format!("up --port {base}"));
    redis_cli(&["-c", "-p", &base.to_string(), "SET", "wat", "2"], "");
    ask(u64::from(base), &["SAVE"]);
    let files = sandbox.files();
    for file in ["redis.conf", "nodes.conf", "server.log", "dump.rdb"] {
        let path = Path::new("default/nodes").join(base.to_string()).join(file);
        assert!(files.contains(&path), "{file}: {files:?}");
    }
    for path in files
        .iter()
        .map(|path| sandbox.home().join(path))
        .chain([sandbox.home()])
    {
        let about = fs::symlink_metadata(&path).expect("it is there");
        let wanted = if about.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(
            about.permissions().mode() & 0o7777,
            wanted,
            "{}",
            path.display()
        );
    }
    sandbox.ok("down --yes");
}

/// Forms a cluster of `count` started nodes with the stock tool.
fn form_with_redis_cli(base: u16, count: u16, replicas: &str) {
    let hosts: Vec<String> = (base..base + count)
        .map(|port| format!("127.0.0.1:{port}"))
        .collect();
    let mut arguments = vec!["--cluster", "create"];
    arguments.extend(hosts.iter().map(String::as_str));
    arguments.extend(["--cluster-replicas", replicas, "--cluster-yes"]);
    let out = redis_cli(&arguments, "");
    assert!(out.contains("[OK] All 16384 slots covered."), "{out}");
}

#[test]
fn stock_redis_cli_forms_a_cluster_of_started_nodes_and_create_makes_it_ready() {
    let sandbox = Sandbox::new();
    let base = free_ports(6);
    let started = sandbox.ok(&format!("start --port {base}"));
    assert!(
        started.err.contains("rcluster create"),
        "what to do next: {started}"
    );
    form_with_redis_cli(base, 6, "1");
    // Stock tools return long before replicas are in sync and listed.
    let first = sandbox.ok("create --json").json();
    assert_ready(&first, 3, 1);
    let again = sandbox.ok("create --json").json();
    assert_eq!(again["changed"], false);
    assert_eq!(ids(&first), ids(&again));
    assert!(sandbox.ok("create").out.contains("unchanged"));
    sandbox.ok("down --yes");
}

#[test]
fn a_ready_cluster_that_redis_cli_formed_is_nothing_to_do_for_create() {
    let sandbox = Sandbox::new();
    let base = free_ports(3);
    let line = format!("start --replicas 0 --port {base} --json");
    let started = sandbox.ok(&line).json();
    form_with_redis_cli(base, 3, "0");
    wait_for("the stock tool's cluster", || {
        what_is_missing(&started, 3, 0).is_empty().then_some(())
    });
    let found = sandbox.ok("create --json").json();
    assert_eq!(
        (&found["state"], &found["changed"]),
        (&"ok".into(), &false.into())
    );
    assert_eq!(ids(&found), ids(&started));
    assert_eq!(sandbox.status()["state"], "ok");
    sandbox.ok("down --yes");
}

#[test]
fn options_that_differ_from_the_recorded_shape_are_all_listed() {
    let sandbox = Sandbox::new();
    let base = free_ports(2);
    let shape = format!("--primaries 2 --replicas 0 --port {base} --set hz=20");
    let started = sandbox.ok(&format!("start {shape} --json")).json();
    assert_eq!(
        sandbox.ok(&format!("start {shape} --json")).json()["changed"],
        false
    );
    let others = format!(
        "--primaries 3 --replicas 1 --port {} --bus-port {} --bind 127.0.0.2 --node-timeout 7s \
         --set hz=50 --ephemeral",
        base + 1,
        base + 1001
    );
    for verb in ["start", "up"] {
        let refused = sandbox
            .fails(&format!("{verb} {others} --json"), 7)
            .json_error();
        assert_eq!(refused["code"], "shape_differs");
        let message = refused["message"].as_str().expect("a message");
        for difference in [
            "primaries 2, not 3",
            "replicas 0, not 1",
            "bind 127.0.0.1, not 127.0.0.2",
            "node-timeout 2s, not 7s",
            "hz 20",
            "ephemeral",
            "bus-port",
            &format!("port {base}, not {}", base + 1),
        ] {
            assert!(message.contains(difference), "{difference}: {message}");
        }
    }
    assert_eq!(pids(&sandbox.status()), pids(&started));
    assert_eq!(sandbox.status()["state"], "unformed");
    sandbox.ok("down --yes");
}

#[test]
fn a_directive_that_the_server_refuses_leaves_nothing_but_its_words() {
    for verb in ["start", "up"] {
        let sandbox = Sandbox::new();
        let base = free_ports(3);
        let line = format!("{verb} --replicas 0 --port {base} --set maxmemory-policy=cheese");
        let failed = sandbox.fails(&line, 1);
        assert_eq!(failed.out, "", "{failed}");
        assert!(
            failed.err.contains("maxmemory-policy"),
            "the server's log is shown: {failed}"
        );
        assert!(
            failed.err.contains("hint: correct that directive"),
            "{failed}"
        );
        assert_eq!(sandbox.survivors().len(), 0);
        assert_eq!(sandbox.files(), Vec::<PathBuf>::new(), "nothing is left");
    }
}

#[test]
fn one_node_that_dies_takes_a_first_start_with_it() {
    for verb in ["start", "up"] {
        let sandbox = Sandbox::new();
        let base = free_ports(3);
        let server = server_that_dies_at(&sandbox, base + 1);
        let line = format!("{verb} --replicas 0 --port {base} --server {server} --json");
        let failed = sandbox.fails(&line, 1).json_error();
        assert_eq!(failed["code"], "node_died");
        let dead = failed["nodes"].as_array().expect("nodes");
        assert_eq!(dead.len(), 1, "only the one that died is named: {failed}");
        assert_eq!(dead[0]["node"], format!("127.0.0.1:{}", base + 1));
        assert!(
            dead[0]["log"]
                .to_string()
                .contains("the disk is made of cheese"),
            "{failed}"
        );
        assert_eq!(sandbox.survivors().len(), 0, "the others were stopped");
        assert_eq!(sandbox.files(), Vec::<PathBuf>::new(), "nothing is left");

        let kept = sandbox.fails(&format!("{line} --retain"), 1).json_error();
        assert_eq!(kept["code"], "node_died");
        let log = node_file(&sandbox, u64::from(base) + 1, "server.log");
        assert_eq!(
            fs::read_to_string(log).expect("kept"),
            "the disk is made of cheese\n"
        );
        sandbox.ok("down --yes");
        assert_eq!(sandbox.survivors().len(), 0);
    }
}

#[test]
fn a_stopped_cluster_comes_back_with_its_data_and_is_ready() {
    let sandbox = Sandbox::new();
    let base = free_ports(6);
    let up = sandbox.ok(&format!("up --port {base} --json")).json();
    let port = base.to_string();
    let keys = 0..30_u8;
    let each = |what: &dyn Fn(u8) -> String| keys.clone().map(what).collect::<Vec<_>>();
    let sets = each(&|key| format!("SET key:{key} value:{key}")).join("\n");
    let out = redis_cli(&["-c", "-p", &port], &sets);
    assert_eq!(
        out.lines().filter(|line| *line == "OK").count(),
        30,
        "{out}"
    );

    for killed in [false, true] {
        if killed {
            // A power cut: nothing was shut down.
            for pid in pids(&sandbox.status()).into_iter().flatten() {
                signal("KILL", pid);
            }
            sandbox.wait_for_status("the end of all", |status| status["state"] == "stopped");
        } else {
            sandbox.ok("stop");
        }
        assert_eq!(sandbox.survivors().len(), 0);
        assert_eq!(sandbox.fails("status --json", 3).json()["state"], "stopped");

        let started = sandbox.ok("start --json").json();
        assert_ready(&started, 3, 1);
        assert_eq!(
            (&started["state"], &started["changed"]),
            (&"ok".into(), &true.into())
        );
        assert_eq!(ids(&started), ids(&up), "every node is who it was");
        let gets = each(&|key| format!("GET key:{key}")).join("\n");
        let out = redis_cli(&["-c", "-p", &port], &gets);
        let read: Vec<&str> = out
            .lines()
            .filter(|line| line.starts_with("value:"))
            .collect();
        assert_eq!(read, each(&|key| format!("value:{key}")));
        for port in ports(&started) {
            assert_eq!(config(port, "repl-diskless-sync-delay"), "5");
            assert_eq!(config(port, "hz"), "10");
        }
        let again = sandbox.ok("start --json").json();
        assert_eq!(
            (&again["changed"], pids(&again)),
            (&false.into(), pids(&started))
        );
    }
    sandbox.ok("down --yes");
}

#[test]
fn a_node_that_would_start_as_somebody_else_is_not_started() {
    let sandbox = Sandbox::new();
    let base = u64::from(free_ports(3));
    sandbox.ok(&format!("up --replicas 0 --port {base}"));
    sandbox.ok("stop");
    let own = node_file(&sandbox, base, "nodes.conf");
    let good = fs::read(&own).expect("nodes.conf");
    let foreign = fs::read(node_file(&sandbox, base + 1, "nodes.conf")).expect("nodes.conf");
    let refused = |what: &str| {
        for verb in ["start", "up"] {
            let error = sandbox.fails(&format!("{verb} --json"), 1).json_error();
            assert_eq!(error["code"], "identity_lost", "{what}: {error}");
            assert_eq!(
                error["nodes"][0]["node"],
                format!("127.0.0.1:{base}"),
                "{what}: {error}"
            );
            assert_eq!(
                error["nodes"].as_array().map(Vec::len),
                Some(1),
                "{what}: {error}"
            );
            assert_eq!(sandbox.survivors().len(), 0, "{what}: nothing was started");
        }
    };
    fs::write(&own, b"").expect("written");
    refused("empty");
    fs::write(&own, &foreign).expect("written");
    refused("that of another node");
    fs::write(&own, b"\0\xffnonsense\n").expect("written");
    refused("damaged");
    fs::remove_file(&own).expect("removed");
    refused("gone");
    fs::write(&own, &good).expect("written");
    assert_ready(&sandbox.ok("start --json").json(), 3, 0);
    sandbox.ok("down --yes");
}

#[test]
fn where_one_node_is_lost_the_others_are_left_as_they_are() {
    let sandbox = Sandbox::new();
    let base = u64::from(free_ports(3));
    sandbox.ok(&format!("up --replicas 0 --port {base}"));
    sandbox.ok("stop");
    // The first would be put in order, if the last were there.
    let conf = node_file(&sandbox, base, "redis.conf");
    fs::write(&conf, b"").expect("written");
    let lost = node_file(&sandbox, base + 2, "nodes.conf");
    let good = fs::read(&lost).expect("nodes.conf");
    fs::remove_file(&lost).expect("removed");
    let error = sandbox.fails("start --json", 1).json_error();
    assert_eq!(error["code"], "identity_lost", "{error}");
    assert_eq!(fs::read(&conf).expect("redis.conf"), b"");
    fs::write(&lost, &good).expect("written");
    assert_ready(&sandbox.ok("start --json").json(), 3, 0);
    assert_ne!(fs::read(&conf).expect("redis.conf"), b"");
    sandbox.ok("down --yes");
}

#[test]
fn a_configuration_from_a_pipe_is_read_whole_or_refused() {
    let sandbox = Sandbox::new();
    let long = sandbox.file("long", "# a comment\n".repeat(100_000));
    for arguments in ["--conf", "--password-file"] {
        let mut command = std::process::Command::new("bash");
        let program = sandbox.command(&[]);
        let line = format!("exec \"$0\" up --port auto {arguments} <(cat {long})");
        command
            .args(["-c", &line])
            .arg(program.get_program())
            .envs(program.get_envs().filter_map(|(k, v)| Some((k, v?))))
            .current_dir(sandbox.path());
        let ran = Ran::of(command, &line);
        assert_eq!(ran.code, Some(2), "{ran}");
        assert!(ran.err.contains("longer than 1 MiB"), "{ran}");
        sandbox.assert_untouched(&ran);
    }
    let mut command = sandbox.command(&["up", "--port", "auto", "--password-file", "-"]);
    command.stdin(fs::File::open(&long).expect("written"));
    let ran = Ran::of(command, "up --password-file -");
    assert_eq!(ran.code, Some(2), "{ran}");
    assert!(ran.err.contains("longer than 1 MiB"), "{ran}");
    sandbox.assert_untouched(&ran);
}

#[test]
fn data_of_a_newer_server_is_not_given_to_an_older_one_unasked() {
    let sandbox = Sandbox::new();
    let base = u64::from(free_ports(1));
    sandbox.ok(&format!("up --primaries 1 --replicas 0 --port {base}"));
    assert_eq!(ask(base, &["SET", "wat", "2"]), "OK");
    sandbox.ok("stop");
    let path = sandbox.home().join("default/manifest.json");
    let text = fs::read_to_string(&path).expect("the manifest");
    let manifest: Value = serde_json::from_str(&text).expect("JSON");
    let other_kind = if manifest["server"]["kind"] == "valkey" {
        "redis"
    } else {
        "valkey"
    };
    for (field, value) in [("version", "99.0.0"), ("kind", other_kind)] {
        let mut changed = manifest.clone();
        changed["server"][field] = value.into();
        fs::write(&path, changed.to_string()).expect("written");
        for verb in ["start", "up"] {
            let refused = sandbox.fails(&format!("{verb} --json"), 9).json_error();
            assert_eq!(refused["code"], "confirmation_needed", "{field}: {refused}");
            assert_eq!(sandbox.survivors().len(), 0, "{field}: nothing was started");
        }
        let started = sandbox.ok("start --yes --json").json();
        assert_ready(&started, 1, 0);
        assert_eq!(
            started["server"][field], manifest["server"][field],
            "who wrote last"
        );
        assert_eq!(ask(base, &["GET", "wat"]), "2");
        sandbox.ok("stop");
    }
    sandbox.ok("down --yes");
}

#[test]
fn an_ephemeral_cluster_comes_back_formed_and_empty() {
    let sandbox = Sandbox::new();
    let base = free_ports(6);
    let up = sandbox
        .ok(&format!("up --ephemeral --port {base} --json"))
        .json();
    redis_cli(&["-c", "-p", &base.to_string(), "SET", "wat", "2"], "");
    sandbox.ok("stop");
    let started = sandbox.ok("start --json").json();
    assert_ready(&started, 3, 1);
    assert_eq!(ids(&started), ids(&up));
    for port in ports(&started) {
        assert_eq!(ask(port, &["DBSIZE"]), 0, "{port}");
        assert_eq!(config(port, "appendonly"), "no");
        assert_eq!(config(port, "save"), "");
    }
    sandbox.ok("down --yes");
}

#[test]
fn a_crashed_primary_that_writes_only_snapshots_is_succeeded_before_it_starts() {
    let sandbox = Sandbox::new();
    let conf = sandbox.file("snapshots.conf", "appendonly no\nsave 3600 1\n");
    let status = sandbox.up(&format!("--conf {conf} --node-timeout 3s"));
    // wat lies in slot 7056, of the second shard.
    let port = ports(&status)[1];
    let of_second = |node: &&Value| node["role"] == "replica" && node["shard"] == 2;
    let replica = nodes(&status).iter().find(of_second).expect("a replica");
    let replica = replica["port"].as_u64().expect("a port");
    set_on_both(port, "wat", "precious");
    kill_and_wait(pid_on(&status, port));
    for verb in ["up", "start"] {
        let ran = sandbox.fails(verb, 9);
        assert!(ran.err.contains("persists snapshots only"), "{ran}");
    }
    sandbox.wait_for_status("a successor", |now| {
        node_on(now, replica)["role"] == "primary" && now["slots_ok"] == 16384
    });
    sandbox.ok("up");
    let healed = sandbox.status();
    assert_eq!(node_on(&healed, port)["role"], "replica", "{healed}");
    let value = redis_cli(&["-c", "-p", &port.to_string(), "GET", "wat"], "");
    assert!(value.contains("precious"), "{value}");
    // Stopped, all have written a snapshot.
    sandbox.ok("stop");
    sandbox.ok("start");
    let value = redis_cli(&["-c", "-p", &port.to_string(), "GET", "wat"], "");
    assert!(value.contains("precious"), "{value}");
    sandbox.ok("down --yes");
}

#[test]
fn a_node_that_died_in_a_formed_cluster_is_started_again() {
    let sandbox = Sandbox::new();
    let base = free_ports(6);
    let up = sandbox.ok(&format!("up --port {base} --json")).json();
    for verb in ["up", "start"] {
        let status = sandbox.status();
        let replica = nodes(&status).iter().find(|node| node["role"] == "replica");
        let replica = replica.expect("a replica").clone();
        // After a first copy it rewrites its append-only file, in a child that holds its socket to
        // the primary too and outlives it (on 6.2 for up to seconds): so long the primary would
        // count a replica that is dead.
        let port = replica["port"].as_u64().expect("a port");
        wait_for("the end of the rewrite", || {
            let info = text_at("127.0.0.1", port, &["INFO", "persistence"]);
            let ended = field(&info, "aof_rewrite_in_progress")? == "0"
                && field(&info, "aof_rewrite_scheduled")? == "0";
            ended.then_some(())
        });
        signal("KILL", &replica["pid"]);
        let degraded = sandbox.wait_for_status("its death", |status| {
            let dead = nodes(status)
                .iter()
                .find(|node| node["index"] == replica["index"]);
            dead.is_some_and(|node| node["process"] == "dead")
        });
        assert_eq!(degraded["state"], "degraded");
        sandbox.fails("status", 5);
        // A node is missing, and this is not `create`'s to cure.
        sandbox.fails("create", 1);

        let again = sandbox.ok(&format!("{verb} --json")).json();
        assert_ready(&again, 3, 1);
        assert_eq!(
            (&again["changed"], ids(&again)),
            (&true.into(), ids(&up)),
            "{verb}"
        );
        let restarted = pids(&again)
            .iter()
            .zip(pids(&status))
            .filter(|(new, old)| *new != old)
            .count();
        assert_eq!(restarted, 1, "{verb} leaves those that run alone");
    }
    sandbox.ok("down --yes");
}
