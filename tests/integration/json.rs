//! What programs read: the documents, and nothing beside them.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};
use std::process::Stdio;

use serde_json::Value;

use crate::sandbox::{self, Ran, Sandbox, free_ports, nodes, signal};

fn keys(object: &Value) -> BTreeSet<&str> {
    let object = object
        .as_object()
        .unwrap_or_else(|| panic!("no object: {object}"));
    object.keys().map(String::as_str).collect()
}

fn one_of(value: &Value, words: &[&str]) -> bool {
    value.as_str().is_some_and(|word| words.contains(&word))
}

/// The document of `status`, `start`, `create` and `up`, field by field.
fn assert_form(document: &Value) {
    let wanted = [
        "schema_version",
        "ok",
        "name",
        "state",
        "changed",
        "elapsed_ms",
        "server",
        "tls",
        "user",
        "password_file",
        "primaries",
        "replicas",
        "slots_assigned",
        "slots_ok",
        "nodes",
        "problems",
    ];
    assert_eq!(keys(document), BTreeSet::from(wanted), "{document}");
    assert_eq!(
        (&document["schema_version"], &document["ok"]),
        (&1.into(), &true.into())
    );
    let states = ["ok", "degraded", "forming", "unformed", "stopped"];
    assert!(one_of(&document["state"], &states), "{document}");
    assert!(
        document["name"].is_string() && document["changed"].is_boolean(),
        "{document}"
    );
    for number in [
        "elapsed_ms",
        "primaries",
        "replicas",
        "slots_assigned",
        "slots_ok",
    ] {
        assert!(document[number].is_u64(), "{number}: {document}");
    }
    let server = &document["server"];
    assert_eq!(keys(server), BTreeSet::from(["kind", "version", "path"]));
    assert!(one_of(&server["kind"], &["redis", "valkey"]), "{server}");
    let version = server["version"].as_str().expect("a version");
    assert_eq!(
        version
            .split('.')
            .filter_map(|part| part.parse::<u16>().ok())
            .count(),
        3
    );
    assert!(
        server["path"]
            .as_str()
            .is_some_and(|path| path.starts_with('/')),
        "{server}"
    );
    let tls = &document["tls"];
    assert_eq!(keys(tls), BTreeSet::from(["enabled", "ca", "plain_port"]));
    assert_eq!(
        (&tls["enabled"], &tls["plain_port"]),
        (&false.into(), &true.into())
    );
    assert!(
        tls["ca"].is_null() && document["user"].is_null() && document["password_file"].is_null()
    );
    let problems = document["problems"].as_array().expect("problems");
    assert!(problems.iter().all(Value::is_string), "{document}");
    for (number, node) in nodes(document).iter().enumerate() {
        assert_eq!(node["index"], number + 1);
        assert_form_of_node(node);
    }
}

fn assert_form_of_node(node: &Value) {
    let wanted = [
        "index",
        "id",
        "host",
        "port",
        "bus_port",
        "tls_port",
        "unix_socket",
        "server",
        "pid",
        "process",
        "role",
        "replicates",
        "shard",
        "slots",
        "cluster_state",
        "replication_link",
        "config_epoch",
        "log",
    ];
    assert_eq!(keys(node), BTreeSet::from(wanted), "{node}");
    let is_id = |id: &Value| {
        let text = id.as_str().unwrap_or_default();
        text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    assert!(is_id(&node["id"]), "{node}");
    assert_eq!(node["host"], "127.0.0.1");
    assert!(node["port"].is_u64() && node["bus_port"].is_u64(), "{node}");
    assert!(
        node["tls_port"].is_null() && node["unix_socket"].is_null(),
        "{node}"
    );
    assert_eq!(keys(&node["server"]), BTreeSet::from(["kind", "version"]));
    let running = node["process"] == "running";
    assert!(running || one_of(&node["process"], &["dead", "hung", "foreign", "unknown"]));
    assert_eq!(node["pid"].is_u64(), running, "{node}");
    assert!(node["role"].is_null() || one_of(&node["role"], &["primary", "replica"]));
    let replica = node["role"] == "replica";
    assert_eq!(is_id(&node["replicates"]), replica, "{node}");
    assert_eq!(
        one_of(&node["replication_link"], &["up", "down"]),
        replica,
        "{node}"
    );
    assert!(replica || (node["replicates"].is_null() && node["replication_link"].is_null()));
    assert!(
        node["shard"].is_null() || node["shard"].as_u64() > Some(0),
        "{node}"
    );
    for range in node["slots"].as_array().expect("slots") {
        let ends: Vec<u64> = range
            .as_array()
            .expect("a range")
            .iter()
            .filter_map(Value::as_u64)
            .collect();
        assert!(
            matches!(ends[..], [first, last] if first <= last && last < 16384),
            "{node}"
        );
    }
    assert_eq!(
        one_of(&node["cluster_state"], &["ok", "fail"]),
        running,
        "{node}"
    );
    assert_eq!(node["config_epoch"].is_u64(), running, "{node}");
    let log = node["log"].as_str().expect("a path");
    assert!(std::path::Path::new(log).is_file(), "{log}");
}

#[test]
fn the_document_of_a_cluster_has_the_contracts_fields_in_every_state() {
    let sandbox = Sandbox::new();
    let base = free_ports(6);
    let states: Vec<(String, i32, &str, Option<bool>)> = vec![
        (format!("start --port {base}"), 0, "unformed", Some(true)),
        ("start".into(), 0, "unformed", Some(false)),
        ("status".into(), 5, "unformed", None),
        ("create".into(), 0, "ok", Some(true)),
        ("create".into(), 0, "ok", Some(false)),
        ("status".into(), 0, "ok", None),
        ("up".into(), 0, "ok", Some(false)),
    ];
    for (line, code, state, changed) in states {
        let ran = sandbox.fails(&format!("{line} --json"), code);
        let document = ran.json();
        assert_eq!(ran.out.lines().count(), 1, "one document: {ran}");
        assert_eq!(ran.err, "", "{ran}");
        assert_form(&document);
        assert_eq!(document["state"], state, "{ran}");
        assert!(
            changed.is_none_or(|changed| document["changed"] == changed),
            "{ran}"
        );
        let formed = state == "ok";
        assert_eq!(
            document["slots_assigned"],
            if formed { 16384 } else { 0 },
            "{ran}"
        );
        if formed {
            assert_eq!(document["problems"], Value::Array(Vec::new()), "{ran}");
            let shards: Vec<_> = nodes(&document)
                .iter()
                .filter_map(|node| node["shard"].as_u64())
                .collect();
            assert_eq!(shards, [1, 2, 3, 3, 1, 2], "{ran}");
        }
    }
    let pid = sandbox.status()["nodes"][5]["pid"].clone();
    signal("KILL", pid);
    let degraded = sandbox.wait_for_status("the death", |status| {
        status["nodes"][5]["process"] == "dead"
    });
    assert_form(&degraded);
    assert_eq!(degraded["state"], "degraded");
    assert!(
        !degraded["problems"]
            .as_array()
            .expect("problems")
            .is_empty()
    );
    sandbox.ok("stop");
    let stopped = sandbox.fails("status --json", 3).json();
    assert_form(&stopped);
    assert_eq!(
        (&stopped["state"], &stopped["slots_ok"]),
        (&"stopped".into(), &0.into())
    );
    sandbox.ok("down --yes");
}

#[test]
fn every_port_conflict_is_in_one_error_document() {
    let sandbox = Sandbox::new();
    let base = free_ports(6);
    let held: Vec<TcpListener> = [base + 2, base + 4, base + 1005]
        .into_iter()
        .map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("a free port"))
        .collect();
    for verb in ["start", "up"] {
        let line = format!("{verb} --port {base} --bus-port {} --json", base + 1000);
        let error = sandbox.fails(&line, 7).json_error();
        assert_eq!(
            keys(&error),
            BTreeSet::from(["code", "message", "hint", "nodes"])
        );
        assert_eq!(error["code"], "port_in_use");
        assert!(
            error["message"].is_string() && error["hint"].is_string(),
            "{error}"
        );
        let conflicts = error["nodes"].as_array().expect("nodes");
        assert_eq!(conflicts.len(), 3, "{error}");
        for port in [base + 2, base + 4, base + 1005] {
            let named = conflicts
                .iter()
                .any(|node| node.to_string().contains(&port.to_string()));
            assert!(named, "{port}: {error}");
        }
        assert_eq!(
            sandbox.files(),
            Vec::<std::path::PathBuf>::new(),
            "nothing was made"
        );
    }
    drop(held);
}

#[test]
fn failures_are_one_document_on_standard_error() {
    let sandbox = Sandbox::new();
    for (line, code, word) in [
        ("status", 4, "no_such_cluster"),
        ("create", 4, "no_such_cluster"),
        ("stop", 4, "no_such_cluster"),
        ("up --primaries 0", 2, "usage"),
        ("up --primaries three", 2, "usage"),
        ("frobnicate", 2, "usage"),
        ("up --server /nowhere/redis-server", 10, "environment"),
    ] {
        let ran = sandbox.fails(&format!("{line} --json"), code);
        let error = ran.json_error();
        assert_eq!(ran.err.lines().count(), 1, "{ran}");
        assert_eq!(
            keys(&error),
            BTreeSet::from(["code", "message", "hint", "nodes"]),
            "{ran}"
        );
        assert_eq!(error["code"], word, "{ran}");
        assert!(
            error["message"]
                .as_str()
                .is_some_and(|text| !text.is_empty()),
            "{ran}"
        );
        assert!(!ran.err.contains("\\u001b"), "no colours in JSON: {ran}");
        // For people the same failure is on standard error too, and nothing on standard output.
        let text = sandbox.fails(line, code);
        assert_eq!(text.out, "", "{text}");
        assert!(text.err.starts_with("error: "), "{text}");
        assert_eq!(sandbox.files(), Vec::<std::path::PathBuf>::new(), "{line}");
    }
    let base = free_ports(1);
    sandbox.ok(&format!("start --primaries 1 --replicas 0 --port {base}"));
    let unasked = sandbox.fails("down --json", 9).json_error();
    assert_eq!(unasked["code"], "confirmation_needed");
    sandbox.fails("clean", 9);
    sandbox.ok("stop");
    assert_eq!(
        sandbox.fails("create --json", 3).json_error()["code"],
        "not_running"
    );
    let gone = sandbox.ok("down --yes --json").json();
    assert_eq!(
        (&gone["ok"], &gone["changed"]),
        (&true.into(), &true.into())
    );
    for line in ["down --yes --json", "clean --yes --json", "down --json"] {
        let nothing = sandbox.ok(line).json();
        assert_eq!(
            (&nothing["ok"], &nothing["changed"]),
            (&true.into(), &false.into()),
            "{line}"
        );
    }
}

#[test]
fn quiet_says_nothing_but_the_answer() {
    let sandbox = Sandbox::new();
    let base = free_ports(2);
    for (line, answer) in [
        (
            format!("start -q --primaries 2 --replicas 0 --port {base}"),
            "Started 2 nodes",
        ),
        ("create -q".to_owned(), "[OK] All 16384 slots covered."),
        ("-q status".into(), "16384"),
        ("list --quiet".to_owned(), "default"),
        ("down -q --yes".into(), "Deleted"),
    ] {
        let ran = sandbox.ok(&line);
        assert_eq!(ran.err, "", "{ran}");
        assert!(ran.out.contains(answer), "{ran}");
    }
    let failed = sandbox.fails("-q status", 4);
    assert!(
        failed.err.starts_with("error: "),
        "a failure is an answer: {failed}"
    );
}

/// Runs the program on a terminal.
fn on_a_terminal(sandbox: &Sandbox, line: &str, environment: &[(&str, &str)]) -> String {
    let inner = sandbox.command(&[]);
    let program = inner.get_program().to_str().expect("UTF-8").to_owned();
    let mut script = sandbox::on_a_terminal(&format!("{program} {line}"));
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => script.env(name, value),
            None => script.env_remove(name),
        };
    }
    script
        .env("TERM", "xterm")
        .envs(environment.iter().copied())
        .stdin(Stdio::null());
    Ran::of(script, line).out
}

#[test]
fn colours_are_for_terminals_and_for_those_who_ask() {
    let sandbox = Sandbox::new();
    let base = free_ports(1);
    sandbox.ok(&format!("up --primaries 1 --replicas 0 --port {base}"));
    let esc = '\u{1b}';
    assert!(!sandbox.ok("status").out.contains(esc));
    assert!(sandbox.ok("--color always status").out.contains(esc));
    assert!(sandbox.ok("status --color=always").out.contains(esc));
    assert!(!sandbox.ok("--color never status").out.contains(esc));
    assert!(!sandbox.ok("--color always status --json").out.contains(esc));
    assert!(
        sandbox
            .fails("--color always status -n none", 4)
            .err
            .contains(esc)
    );
    assert!(!sandbox.fails("status -n none", 4).err.contains(esc));

    assert!(on_a_terminal(&sandbox, "status", &[]).contains(esc));
    assert!(!on_a_terminal(&sandbox, "status", &[("NO_COLOR", "1")]).contains(esc));
    assert!(!on_a_terminal(&sandbox, "status", &[("TERM", "dumb")]).contains(esc));
    assert!(!on_a_terminal(&sandbox, "status --color never", &[]).contains(esc));
    let asked = on_a_terminal(&sandbox, "status --color always", &[("NO_COLOR", "1")]);
    assert!(asked.contains(esc), "who asks for colours gets them");
    sandbox.ok("down --yes");
}
