//! `clean` and `down` delete what rcluster made, and nothing else.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::sandbox::{Sandbox, Stranger, is_before_seven, ports, redis, signal};

const SMALL: &str = "--primaries 1 --replicas 0";

/// Everything below `dir` with its content; links are not followed.
fn content(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).expect("a directory").flatten() {
            let path = entry.path();
            let kind = entry.file_type().expect("a kind");
            if kind.is_dir() {
                open.push(path.clone());
            }
            let bytes = if kind.is_file() {
                fs::read(&path).expect("readable")
            } else {
                Vec::new()
            };
            found.insert(path, bytes);
        }
    }
    found
}

/// A directory outside the home, with files of all the names that rcluster may delete elsewhere.
fn canaries(sandbox: &Sandbox) -> PathBuf {
    let outside = sandbox.path().join("outside");
    for dir in ["", "appendonlydir", "7001", "7001/appendonlydir"] {
        let dir = outside.join(dir);
        fs::create_dir_all(&dir).expect("mkdir");
        for name in [
            "nodes.conf",
            "redis.conf",
            "server.log",
            "dump.rdb",
            "manifest.json",
            "lock",
            "appendonly.aof",
            "appendonly.aof.manifest",
            "appendonly.aof.1.incr.aof",
            "temp-1.rdb",
            "canary",
        ] {
            fs::write(dir.join(name), "precious").expect("written");
        }
    }
    outside
}

#[test]
fn clean_leaves_nothing_and_is_done_when_there_is_nothing() {
    let sandbox = Sandbox::new();
    // Nothing to confirm where there is nothing.
    for line in ["clean", "down", "clean --yes", "down --yes"] {
        let ran = sandbox.ok(line);
        assert!(ran.out.contains("unchanged"), "{ran}");
    }
    assert!(!sandbox.home().exists());

    let status = sandbox.up("");
    for port in ports(&status).into_iter().take(3) {
        redis(port, &["BGREWRITEAOF"]);
    }
    sandbox.ok("stop");
    let cleaned = sandbox.ok("clean --yes --json").json();
    assert_eq!(cleaned["changed"], true);
    assert_eq!(cleaned["left"], serde_json::json!([]));
    assert_eq!(sandbox.files(), Vec::<PathBuf>::new());
    assert_eq!(
        sandbox.ok("clean --yes --json").json()["changed"],
        serde_json::json!(false)
    );
}

#[test]
fn nothing_is_deleted_while_nodes_run_or_without_a_confirmation() {
    let sandbox = Sandbox::new();
    let status = sandbox.up("");
    let running = sandbox.servers();
    assert_eq!(redis(ports(&status)[1], &["SET", "wat", "2"]), "OK");
    for (line, code) in [
        ("clean --yes", "unsafe"),
        ("clean", "confirmation_needed"),
        ("down", "confirmation_needed"),
    ] {
        let error = sandbox.fails(&format!("{line} --json"), 9).json_error();
        assert_eq!(error["code"], code, "{line}: {error}");
        sandbox.fails(line, 9);
        assert_eq!(sandbox.servers(), running, "after {line}");
        assert_eq!(redis(ports(&status)[1], &["GET", "wat"]), "2");
        sandbox.ok("status");
    }
    sandbox.ok("stop");
    let files = sandbox.files();
    sandbox.fails("clean", 9);
    sandbox.fails("down", 9);
    assert_eq!(sandbox.files(), files);
    sandbox.gone("clean --yes");
}

#[test]
fn files_of_the_users_are_left_and_listed() {
    let sandbox = Sandbox::new();
    let port = ports(&sandbox.up(SMALL))[0];
    sandbox.ok("stop");
    let mine = [
        sandbox.cluster().join("notes.txt"),
        sandbox.node(port).join("backup.rdb"),
        sandbox.node(port).join("dump.rdb.1"),
        sandbox.node(port).join("appendonlydir/notes.txt"),
        sandbox.cluster().join("nodes/readme"),
        sandbox.node(port).join("scripts/a.lua"),
    ];
    for path in &mine {
        fs::create_dir_all(path.parent().expect("a parent")).expect("mkdir");
        fs::write(path, "mine").expect("written");
    }
    let ran = sandbox.ok("down --yes --json");
    let left = ran.json()["left"].to_string();
    for path in &mine {
        assert_eq!(fs::read_to_string(path).expect("still there"), "mine");
        // A directory that is left stands for what is in it.
        let parent = path.parent().expect("a parent");
        assert!(
            left.contains(&*path.to_string_lossy())
                || (parent.ends_with("scripts") && left.contains(&*parent.to_string_lossy())),
            "{path:?} is not listed: {ran}"
        );
    }
    // All else is gone, and what is left is no cluster any more, and not taken for one.
    let files = content(&sandbox.home());
    let known = |path: &PathBuf| mine.iter().any(|mine| mine.starts_with(path));
    assert!(
        files
            .keys()
            .all(|path| known(path) || path.ends_with(".ports.lock")),
        "{files:?}"
    );
    sandbox.fails("status", 4);
    sandbox.fails(&format!("up --port auto {SMALL}"), 7);
    sandbox.ok("down --yes");
    for path in &mine {
        assert_eq!(fs::read_to_string(path).expect("still there"), "mine");
    }
}

/// What is swapped, where it is, and which of the canaries it leads to then.
type Case = (&'static str, fn(&Sandbox, u64) -> PathBuf, &'static str);

#[test]
fn no_link_leads_a_deletion_out_of_the_cluster() {
    let sandbox = Sandbox::new();
    let outside = canaries(&sandbox);
    let before = content(&outside);
    let swap = |path: &Path, target: &Path| {
        if path.exists() {
            let aside = sandbox.path().join("aside");
            fs::create_dir_all(&aside).expect("mkdir");
            let name = format!("{}", fs::read_dir(&aside).expect("aside").count());
            fs::rename(path, aside.join(name)).expect("moved");
        }
        symlink(target, path).expect("linked");
    };
    let cases: [Case; 13] = [
        ("a file", |s, p| s.node(p).join("dump.rdb"), "canary"),
        ("a directory", |s, p| s.node(p).join("temp-2.rdb"), ""),
        (
            "nodes.conf",
            |s, p| s.node(p).join("nodes.conf"),
            "nodes.conf",
        ),
        ("the log", |s, p| s.node(p).join("server.log"), "server.log"),
        (
            "the append-only directory",
            |s, p| s.node(p).join("appendonlydir"),
            "appendonlydir",
        ),
        ("a node", Sandbox::node, "7001"),
        ("all nodes", |s, _| s.cluster().join("nodes"), ""),
        (
            "the processes",
            |s, _| s.cluster().join("processes.json"),
            "canary",
        ),
        (
            "the manifest",
            |s, _| s.cluster().join("manifest.json"),
            "manifest.json",
        ),
        (
            "a temporary file",
            |s, _| s.cluster().join("manifest.json.tmp"),
            "canary",
        ),
        ("the lock", |s, _| s.cluster().join("lock"), "lock"),
        ("the port lock", |s, _| s.home().join(".ports.lock"), "lock"),
        ("the cluster", |s, _| s.cluster(), ""),
    ];
    for (number, (what, place, target)) in cases.into_iter().enumerate() {
        let name = sandbox.path().join("home");
        if name.exists() {
            fs::rename(&name, sandbox.path().join(format!("home-{number}"))).expect("moved");
        }
        let port = ports(&sandbox.up(SMALL))[0];
        sandbox.ok("stop");
        swap(&place(&sandbox, port), &outside.join(target));
        // The verbs may refuse; a directory that is not as it was is none of their business.
        for line in ["clean --yes", "down --yes", "stop", "status", "list"] {
            sandbox.run(line).nothing_odd();
            assert_eq!(content(&outside), before, "{what}: after {line}");
        }
        assert_eq!(sandbox.survivors(), BTreeMap::new());
    }
}

#[test]
fn no_link_leads_a_write_out_of_the_cluster() {
    let sandbox = Sandbox::new();
    let outside = canaries(&sandbox);
    let before = content(&outside);
    for (what, file) in [
        ("the log", "nodes/PORT/server.log"),
        ("the manifest's replacement", "manifest.json.tmp"),
        ("the processes' replacement", "processes.json.tmp"),
        ("the journal's replacement", "journal.json.tmp"),
        ("the lock", "lock"),
    ] {
        let port = ports(&sandbox.up(SMALL))[0];
        sandbox.ok("stop");
        let path = sandbox
            .cluster()
            .join(file.replace("PORT", &port.to_string()));
        fs::remove_file(&path).ok();
        symlink(outside.join("canary"), &path).expect("linked");
        sandbox.run("start --timeout 10s").nothing_odd();
        assert_eq!(content(&outside), before, "{what}");
        fs::remove_file(&path).ok();
        sandbox.ok("down --yes");
        assert_eq!(content(&outside), before, "{what}");
    }
    sandbox.gone("down --yes");
}

#[test]
fn a_directory_that_rcluster_did_not_make_is_refused_and_not_touched() {
    let sandbox = Sandbox::new();
    for (what, file, down) in [
        ("no manifest", "important.txt", 0),
        ("somebody's nodes", "nodes/30001/nodes.conf", 0),
        ("a manifest that is none", "manifest.json", 1),
    ] {
        let path = sandbox.cluster().join(file);
        fs::create_dir_all(path.parent().expect("a parent")).expect("mkdir");
        fs::write(&path, "precious").expect("written");
        Command::new("chmod")
            .args(["-R", "go-w"])
            .arg(sandbox.home())
            .status()
            .expect("chmod");
        let expected = if down == 0 { 7 } else { 1 };
        for verb in ["up", "start"] {
            let ran = sandbox.fails(&format!("{verb} --port auto {SMALL}"), expected);
            assert!(ran.err.contains("default"), "{what}: {ran}");
        }
        for verb in ["down", "clean"] {
            let ran = sandbox.run(&format!("{verb} --yes"));
            assert_eq!(ran.code, Some(down), "{what}: {ran}");
        }
        for line in ["stop", "status", "create"] {
            let ran = sandbox.run(line);
            assert!(matches!(ran.code, Some(1 | 4)), "{what}: {ran}");
        }
        assert_eq!(fs::read_to_string(&path).expect("there"), "precious");
        fs::remove_dir_all(sandbox.cluster()).expect("removed");
    }
}

#[test]
fn a_copy_of_a_cluster_has_no_right_to_the_originals_processes() {
    let sandbox = Sandbox::new();
    sandbox.up("--primaries 3 --replicas 0");
    let running = sandbox.servers();
    let copied = Command::new("cp")
        .arg("-a")
        .args([sandbox.cluster(), sandbox.home().join("other")])
        .status()
        .expect("cp runs");
    assert!(copied.success());
    let copy = content(&sandbox.home().join("other"));
    for line in [
        "stop --grace 0s",
        "clean --yes",
        "down --yes --grace 0s",
        "start",
        "up",
        "create",
    ] {
        let ran = sandbox.fails(&format!("-n other {line} --timeout 5s"), 7);
        assert!(ran.err.contains("default"), "{ran}");
        assert_eq!(sandbox.servers(), running, "after {line}");
    }
    let lock = sandbox.home().join("other/lock");
    let mut now = content(&sandbox.home().join("other"));
    // Who locked it last is all that may have changed.
    now.insert(lock.clone(), copy[&lock].clone());
    assert!(now == copy, "the copy was changed");
    sandbox.ok("status");
    sandbox.ok("down --yes");
    assert_eq!(sandbox.survivors(), BTreeMap::new());
}

#[test]
fn a_process_that_works_in_the_directory_keeps_it_from_being_deleted() {
    let sandbox = Sandbox::new();
    let up = sandbox.up(SMALL);
    let port = ports(&up)[0];
    sandbox.ok("stop");
    let mut places = vec![sandbox.cluster(), sandbox.node(port)];
    if !is_before_seven(&up) {
        places.push(sandbox.node(port).join("appendonlydir"));
    }
    for place in places {
        let mut stranger = Stranger::new(Command::new("sleep").arg("600").current_dir(&place));
        let files = sandbox.files();
        for line in ["clean --yes", "down --yes"] {
            let ran = sandbox.fails(line, 9);
            assert!(
                ran.err.contains(&format!("pid {}", stranger.pid())),
                "{ran}"
            );
        }
        // A stopped process is no less there.
        signal("STOP", stranger.pid());
        sandbox.fails("clean --yes", 9);
        assert!(stranger.lives());
        assert_eq!(sandbox.files(), files, "{place:?}");
    }
    sandbox.gone("clean --yes");
}
