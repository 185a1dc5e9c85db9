//! Many at once: one acts, the others wait for the lock and find it done.

use std::collections::BTreeSet;
use std::fs;

use crate::sandbox::{Ran, Running, Sandbox, nodes, ports, signal, wait_for};

fn together(sandbox: &Sandbox, lines: &[&str]) -> Vec<Ran> {
    let running: Vec<Running> = lines.iter().map(|line| sandbox.spawn(line)).collect();
    running.into_iter().map(Running::end).collect()
}

/// A cluster of one node that cannot end by itself, and a `stop` that waits for it under the lock.
fn holder(sandbox: &Sandbox) -> Running {
    let arguments = [
        "up",
        "--port=auto",
        "--primaries=1",
        "--replicas=0",
        "--set=save=3600 1",
        "--json",
    ];
    let up = Ran::of(sandbox.command(&arguments), "up --set save");
    assert_eq!(up.code, Some(0), "{up}");
    let port = ports(&up.json())[0];
    fs::create_dir(sandbox.node(port).join("dump.rdb")).expect("mkdir");
    let stop = sandbox.spawn("stop --grace 10m --timeout 10m");
    wait_for("the stop to be at work", || {
        let log = fs::read_to_string(sandbox.node(port).join("server.log")).ok()?;
        log.contains("can't exit").then_some(())
    });
    stop
}

/// Frees what [`holder`] made.
fn let_go(sandbox: &Sandbox) {
    let port = ports(&sandbox.status())[0];
    fs::remove_dir(sandbox.node(port).join("dump.rdb")).expect("rmdir");
    sandbox.gone("down --yes");
}

#[test]
fn of_twenty_ups_one_acts_and_the_others_find_it_done() {
    let sandbox = Sandbox::new();
    let ran = together(&sandbox, &["up --port auto --json"; 20]);
    let mut changed = 0;
    for ran in &ran {
        assert_eq!(ran.code, Some(0), "{ran}");
        let answer = ran.json();
        assert_eq!(answer["state"], "ok", "{ran}");
        changed += usize::from(answer["changed"] == true);
    }
    assert_eq!(changed, 1);
    assert_eq!(sandbox.servers().len(), 6);
    sandbox.ok("status");
    let gone = together(&sandbox, &["down --yes --json"; 10]);
    for ran in &gone {
        assert_eq!(ran.code, Some(0), "{ran}");
    }
    let acted = gone
        .iter()
        .filter(|ran| ran.json()["changed"] == true)
        .count();
    assert_eq!(acted, 1);
    sandbox.gone("down --yes");
}

#[test]
fn any_mix_of_verbs_at_once_leaves_a_cluster_that_can_be_used_and_deleted() {
    let sandbox = Sandbox::new();
    let shape = "--port auto --primaries 3 --replicas 1";
    let (up, start) = (format!("up {shape}"), format!("start {shape}"));
    let mix = [
        &*up,
        "stop",
        &*start,
        "down --yes",
        "status",
        "create",
        &*up,
        "down --yes",
        "clean --yes",
        &*start,
        "status",
        "stop",
        &*up,
        "create",
        "list",
        "down --yes",
        &*start,
        &*up,
        "stop",
        &*up,
    ];
    for ran in together(&sandbox, &mix) {
        ran.nothing_odd();
        let expected: &[i32] = match ran.line.split(' ').next() {
            Some("up" | "start" | "down" | "list") => &[0],
            Some("stop") => &[0, 4],
            Some("create") => &[0, 3, 4],
            Some("clean") => &[0, 9],
            _ => &[0, 3, 4, 5],
        };
        assert!(
            ran.code.is_some_and(|code| expected.contains(&code)),
            "{ran}"
        );
    }
    sandbox.ok(&up);
    sandbox.ok("status");
    assert_eq!(sandbox.servers().len(), 6);
    sandbox.gone("down --yes");
}

#[test]
fn who_holds_the_lock_is_named_and_status_needs_none() {
    let sandbox = Sandbox::new();
    let holder = holder(&sandbox);
    signal("STOP", holder.pid());
    let named = format!("pid {} (stop)", holder.pid());
    for line in ["up", "start", "stop", "create", "clean --yes", "down --yes"] {
        let error = sandbox
            .fails(&format!("{line} --timeout 300ms --json"), 7)
            .json_error();
        assert_eq!(error["code"], "locked", "{line}");
        assert!(
            error["message"]
                .as_str()
                .is_some_and(|text| text.contains(&named)),
            "{line}: {error}"
        );
    }
    let text = sandbox.fails("up --timeout 300ms", 7);
    assert!(text.err.contains(&named), "{text}");
    assert!(text.err.contains("hint:"), "{text}");
    // Nobody waits here: the holder will not go on before this is over.
    let status = sandbox.run("status --json");
    assert_eq!(nodes(&status.json()).len(), 1, "{status}");
    sandbox.ok("list");

    // Other clusters of the home are free, and so is this one as soon as its holder is dead.
    sandbox.ok("up -n other --port auto --primaries 1 --replicas 0");
    sandbox.ok("down --yes -n other");
    drop(holder);
    sandbox.ok("stop --grace 100ms");
    let_go(&sandbox);
}

#[test]
fn a_verb_goes_on_as_soon_as_the_holder_of_the_lock_is_killed() {
    let sandbox = Sandbox::new();
    let holder = holder(&sandbox);
    let waiting = sandbox.record("stop --grace 100ms --verbose");
    waiting.wait_until_it_says("waiting for the lock");
    signal("STOP", holder.pid());
    assert!(holder.kill_after(std::time::Duration::ZERO));
    assert_eq!(waiting.end(), (Some(0), None));
    assert!(sandbox.survivors().is_empty());
    let_go(&sandbox);
}

#[test]
fn clusters_that_are_started_at_once_get_ports_of_their_own() {
    let sandbox = Sandbox::new();
    let names = ["a", "b", "c", "d", "e", "f"];
    let lines =
        names.map(|name| format!("up -n {name} --port auto --primaries 3 --replicas 0 --json"));
    let ran = together(&sandbox, &lines.each_ref().map(String::as_str));
    let mut taken = BTreeSet::new();
    for ran in &ran {
        assert_eq!(ran.code, Some(0), "{ran}");
        for node in nodes(&ran.json()) {
            for field in ["port", "bus_port"] {
                let port = node[field].as_u64().expect("a port");
                assert!(taken.insert(port), "{port} twice");
            }
        }
    }
    assert_eq!(sandbox.servers().len(), 18);
    let lines = names.map(|name| format!("down -n {name} --yes"));
    for ran in together(&sandbox, &lines.each_ref().map(String::as_str)) {
        assert_eq!(ran.code, Some(0), "{ran}");
    }
    sandbox.gone("down --yes");
}
