//! `status` and `list`: what is true, said at once, whatever the nodes do.

use std::net::{Ipv4Addr, TcpListener};

use serde_json::Value;

use crate::sandbox::{
    Ran, Sandbox, Stranger, free_ports, kill_and_wait, node_on, nodes, pid_on, ports,
    process_words, redis, signal,
};

fn listen(port: u64) -> TcpListener {
    TcpListener::bind((Ipv4Addr::LOCALHOST, u16::try_from(port).expect("a port"))).expect("free")
}

#[test]
fn each_state_has_its_word_and_its_exit_code() {
    let sandbox = Sandbox::new();
    let absent = sandbox.fails("status --json", 4).json_error();
    assert_eq!(absent["code"], "no_such_cluster");

    sandbox.ok("start --port auto --primaries 3 --replicas 0");
    let status = sandbox.fails("status --json", 5).json();
    assert_eq!(
        (&status["state"], &status["ok"]),
        (&"unformed".into(), &true.into())
    );
    assert_eq!(process_words(&status), ["running"; 3]);
    assert!(sandbox.fails("status", 5).out.contains("unformed"));

    sandbox.ok("create");
    let status = sandbox.ok("status --json").json();
    assert_eq!(status["state"], "ok");
    assert_eq!(status["problems"], Value::Array(Vec::new()));
    assert_eq!(status["slots_ok"], 16384);
    let text = sandbox.ok("status");
    assert!(text.out.contains("ok"));
    // The picture: its width is fixed where nobody looks at it on a terminal.
    let picture = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| line.starts_with("  shard "));
        lines.map(str::to_owned).collect()
    };
    let mut ascii = sandbox.command(&["status"]);
    ascii.env("LC_ALL", "C");
    let ascii = Ran::of(ascii, "status");
    assert_eq!(
        picture(&ascii.out),
        [
            format!(
                "  shard 1  {}{}  5461 slots",
                "#".repeat(19),
                ".".repeat(38)
            ),
            format!(
                "  shard 2  {0}{1}+{2}  5462 slots",
                ".".repeat(19),
                "#".repeat(19),
                ".".repeat(18)
            ),
            format!(
                "  shard 3  {}+{}  5461 slots",
                ".".repeat(38),
                "#".repeat(18)
            ),
        ],
        "{ascii}"
    );
    let mut utf8 = sandbox.command(&["status"]);
    utf8.env("LC_ALL", "C.UTF-8");
    let utf8 = Ran::of(utf8, "status").out;
    let signs = [("█", "#"), ("▒", "+"), ("·", ".")];
    let signs = signs.iter().fold(utf8, |text, (a, b)| text.replace(a, b));
    assert_eq!(picture(&signs), picture(&ascii.out));

    let port = ports(&status)[1];
    kill_and_wait(pid_on(&status, port));
    let status = sandbox.fails("status --json", 5).json();
    assert_eq!(status["state"], "degraded");
    assert_eq!(process_words(&status), ["running", "dead", "running"]);
    assert_eq!(node_on(&status, port)["pid"], Value::Null);
    let text = sandbox.fails("status", 5).out;
    assert!(text.contains(" 5462 slots, no primary\n"), "{text}");
    assert!(
        status["problems"].to_string().contains(&port.to_string()),
        "{status}"
    );

    sandbox.ok("stop");
    let status = sandbox.fails("status --json", 3).json();
    assert_eq!(status["state"], "stopped");
    assert_eq!(process_words(&status), ["dead"; 3]);
    sandbox.gone("down --yes");
}

#[test]
fn dead_and_hung_nodes_are_told_apart_even_if_none_answers() {
    let sandbox = Sandbox::new();
    let up = sandbox.up("");
    let all = ports(&up);
    kill_and_wait(pid_on(&up, all[0]));
    signal("STOP", pid_on(&up, all[1]));
    let status = sandbox.fails("status --json", 5).json();
    assert_eq!(node_on(&status, all[0])["process"], "dead");
    assert_eq!(node_on(&status, all[1])["process"], "hung");
    assert_eq!(
        node_on(&status, all[1])["pid"].as_i64(),
        Some(pid_on(&up, all[1]))
    );
    for port in &all[2..] {
        assert_eq!(node_on(&status, *port)["process"], "running");
    }
    let text = sandbox.fails("status", 5).out;
    assert!(text.contains("dead") && text.contains("hung"), "{text}");

    // Nobody answers at all: this must end nevertheless.
    for port in &all[2..] {
        signal("STOP", pid_on(&up, *port));
    }
    let status = sandbox.fails("status --json", 5).json();
    assert_eq!(process_words(&status)[1..], ["hung"; 5]);
    sandbox.run("list").nothing_odd();
    for port in &all[1..] {
        signal("CONT", pid_on(&up, *port));
    }
    // The killed primary's replica may have its place now: `up` brings all back in any case.
    sandbox.ok("up");
    sandbox.ok("status");
    sandbox.gone("down --yes");
}

#[test]
fn a_busy_node_is_hung_and_not_dead() {
    let sandbox = Sandbox::new();
    let up = sandbox.up("--primaries 1 --replicas 0");
    let port = ports(&up)[0];
    // DEBUG is refused over the network by default, a script is not.
    let busy = std::thread::spawn(move || redis(port, &["EVAL", "while true do end", "0"]));
    let status = sandbox.wait_for_status("the node to be busy", |status| {
        process_words(status) != ["running"] || status["state"] != "ok"
    });
    let word = &process_words(&status)[0];
    assert!(["hung", "running"].contains(&word.as_str()), "{status}");
    assert_eq!(status["state"], "degraded");
    redis(port, &["SCRIPT", "KILL"]);
    busy.join().ok();
    sandbox.wait_for_status("the node to be well", |status| status["state"] == "ok");
    sandbox.gone("down --yes");
}

#[test]
fn strangers_on_the_ports_of_a_stopped_cluster_are_foreign_and_not_taken_for_nodes() {
    let sandbox = Sandbox::new();
    let base = free_ports(3);
    sandbox.ok(&format!("up --primaries 3 --replicas 0 --port {base}"));
    let [first, second, third] = [0, 1, 2].map(|i| u64::from(base) + i);
    sandbox.ok("stop");
    let mut stranger = Stranger::redis(first);
    // It accepts, by the kernel's grace, and never says a word.
    let silent = listen(second);

    let status = sandbox.fails("status --json", 3).json();
    assert_eq!(status["state"], "stopped");
    assert_eq!(process_words(&status), ["foreign", "foreign", "dead"]);
    assert!(
        status["problems"]
            .to_string()
            .contains(&format!("pid {}", stranger.pid())),
        "{status}"
    );
    assert!(sandbox.fails("status", 3).out.contains("foreign"));

    // The ports are taken: nothing is started, every conflict is named, no stranger is touched.
    for verb in ["start", "up"] {
        let error = sandbox.fails(&format!("{verb} --json"), 7).json_error();
        assert_eq!(error["code"], "port_in_use", "{error}");
        // No option gives a cluster that exists other ports.
        let hint = error["hint"].as_str().expect("a hint");
        assert!(hint.starts_with("end what holds them"), "{error}");
        let named = error["nodes"].to_string();
        assert!(
            named.contains(&first.to_string()) && named.contains(&second.to_string()),
            "{error}"
        );
        assert!(sandbox.survivors().is_empty());
    }
    assert_eq!(sandbox.ok("stop --json").json()["changed"], false);
    assert!(stranger.lives());
    assert_eq!(redis(first, &["GET", "canary"]), "alive");
    assert_eq!(redis(first, &["DBSIZE"]), ":1");

    drop((stranger, silent));
    sandbox.ok("start");
    // Now among nodes that run.
    let status = sandbox.status();
    kill_and_wait(pid_on(&status, third));
    let mut stranger = Stranger::redis(third);
    let status = sandbox.fails("status --json", 5).json();
    assert_eq!(process_words(&status), ["running", "running", "foreign"]);
    sandbox.ok("down --yes");
    assert!(stranger.lives());
    assert_eq!(redis(third, &["GET", "canary"]), "alive");
    assert!(sandbox.files().is_empty());
}

#[test]
fn list_shows_every_cluster_and_how_it_is() {
    let sandbox = Sandbox::new();
    assert!(sandbox.ok("list").out.contains("no clusters"));
    assert_eq!(
        sandbox.ok("list --json").json()["clusters"],
        Value::Array(Vec::new())
    );
    let small = "--port auto --primaries 1 --replicas 0";
    sandbox.ok(&format!("up -n good {small}"));
    sandbox.ok(&format!("up -n bad {small}"));
    sandbox.ok(&format!("start -n new {small}"));
    sandbox.ok(&format!("up -n hung {small}"));
    sandbox.ok("stop -n bad");
    let hung = sandbox.ok("status -n hung --json").json();
    signal("STOP", pid_on(&hung, ports(&hung)[0]));
    // None of these is a cluster.
    std::fs::create_dir(sandbox.home().join("empty")).expect("mkdir");
    std::fs::create_dir(sandbox.home().join(".hidden")).expect("mkdir");
    std::fs::write(sandbox.home().join("file"), "").expect("written");

    let ran = sandbox.ok("list --json");
    let document = ran.json();
    let clusters = document["clusters"].as_array().expect("clusters");
    let state = |name: &str| {
        let found: Vec<_> = clusters.iter().filter(|one| one["name"] == name).collect();
        assert_eq!(found.len(), 1, "{name}: {ran}");
        found[0]["state"].clone()
    };
    assert_eq!(clusters.len(), 4, "{ran}");
    assert_eq!(state("good"), "ok");
    assert_eq!(state("bad"), "stopped");
    assert_eq!(state("new"), "unformed");
    assert_eq!(state("hung"), "degraded");
    let text = sandbox.ok("list");
    for words in [
        ["good", "ok"],
        ["bad", "stopped"],
        ["new", "unformed"],
        ["hung", "degraded"],
    ] {
        assert!(
            text.out
                .lines()
                .any(|line| words.iter().all(|word| line.contains(word))),
            "{words:?}: {text}"
        );
    }
    assert_eq!(nodes(&clusters[0]).len(), 1);
    for name in ["good", "bad", "new", "hung"] {
        sandbox.ok(&format!("down --yes -n {name}"));
    }
    assert!(sandbox.survivors().is_empty());
}

#[test]
fn slots_without_owner_and_on_the_move_are_in_the_picture() {
    let sandbox = Sandbox::new();
    let up = sandbox.up("--primaries 3 --replicas 0");
    let all = ports(&up);
    let ids: Vec<&str> = nodes(&up)
        .iter()
        .filter_map(|node| node["id"].as_str())
        .collect();
    // Only the owner knows: it is the one that is believed, by the table and the picture.
    let mut delete = vec!["CLUSTER", "DELSLOTS", "7000", "7001", "9000"];
    let mut odd: Vec<String> = (20..90)
        .step_by(2)
        .map(|slot: u16| (7000 + slot).to_string())
        .collect();
    odd.push("5470".into());
    delete.extend(odd.iter().map(String::as_str));
    assert_eq!(redis(all[1], &delete), "OK");
    assert_eq!(
        redis(all[0], &["CLUSTER", "SETSLOT", "100", "MIGRATING", ids[2]]),
        "OK"
    );
    let text = sandbox.run("status").out;
    let nobody = text.lines().find(|line| line.starts_with("  nobody "));
    let nobody = nobody.unwrap_or_else(|| panic!("{text}"));
    assert!(
        nobody.contains('!') && nobody.contains("39 slots: 5470 7000-7001"),
        "{text}"
    );
    let moving = text.lines().find(|line| line.starts_with("  shard 1 "));
    assert!(
        moving.is_some_and(|line| line.contains(['>', '»'])),
        "{text}"
    );
    assert!(text.contains(" ranges)"), "{text}");
    assert!(
        text.lines().all(|line| line.chars().count() < 120),
        "{text}"
    );
    let whole = sandbox.run("status -v").out;
    assert!(whole.contains(" 7025 7027 7029 7031 "), "{whole}");
    sandbox.ok("down --yes");
}
