//! A machine without room is told before anything is touched, and `doctor` tells all of it.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::sandbox::{Ran, Sandbox, edit_json, nodes, pid_on, ports, wait_for};

const SMALL: &str = "--primaries 1 --replicas 0";

/// Every check that a machine like this one has; `open_files_system` binds only ordinary users.
const CHECKS: [&str; 23] = [
    "platform",
    "pidfd",
    "proc",
    "overcommit",
    "huge_pages",
    "backlog",
    "loopback",
    "server",
    "client",
    "home",
    "home_file_system",
    "home_trial",
    "home_path",
    "open_files",
    "pids",
    "memory",
    "home_writable",
    "disk_space",
    "disk_inodes",
    "port_range",
    "ports",
    "clusters",
    "orphans",
];

fn is_root() -> bool {
    fs::metadata("/proc/self").expect("/proc").uid() == 0
}

/// Runs the program by way of `wrapper`, such as `prlimit --nofile=64`.
fn by(sandbox: &Sandbox, wrapper: &[&str], line: &str) -> Ran {
    let arguments: Vec<&str> = line.split_ascii_whitespace().collect();
    let inner = sandbox.command(&arguments);
    let mut outer = Command::new(wrapper[0]);
    outer
        .args(&wrapper[1..])
        .arg(inner.get_program())
        .args(inner.get_args())
        .current_dir(sandbox.path())
        .stdin(Stdio::null());
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => outer.env(name, value),
            None => outer.env_remove(name),
        };
    }
    Ran::of(outer, &format!("{wrapper:?} {line}"))
}

/// Runs the program where `prepare`, a shell script, has mounted what the test needs; `$0` is the
/// home. What is in the home afterwards is left in the file `left`.
fn mounted(sandbox: &Sandbox, prepare: &str, line: &str) -> Ran {
    let script = format!(
        "set -e; mkdir -p \"$0\"; {prepare}\n\
         code=0; \"$@\" || code=$?; find \"$0\" -mindepth 1 >left; exit $code"
    );
    let home = sandbox.home();
    let namespace = if is_root() { "-m" } else { "-Urm" };
    let home = home.to_str().expect("UTF-8");
    by(
        sandbox,
        &["unshare", namespace, "sh", "-c", &script, home],
        line,
    )
}

fn left(sandbox: &Sandbox) -> String {
    fs::read_to_string(sandbox.path().join("left")).expect("the script ended")
}

/// The check `id` of a document: how it came out, and in which words.
fn check<'a>(document: &'a Value, id: &str) -> (&'a str, String) {
    let checks = document["checks"].as_array().expect("checks");
    let found: Vec<&Value> = checks.iter().filter(|check| check["id"] == id).collect();
    let status = found.first().unwrap_or_else(|| panic!("{id}: {document}"))["status"]
        .as_str()
        .expect("a word");
    let text = found
        .iter()
        .map(|check| format!("{} / {}", check["message"], check["fix"]));
    (status, text.collect::<Vec<_>>().join("\n"))
}

/// `doctor --json`, which must say that check `id` came out as `status`.
fn doctor_says(ran: &Ran, id: &str, status: &str, words: &[&str]) {
    let document = ran.json();
    let (found, text) = check(&document, id);
    assert_eq!(found, status, "{ran}");
    for word in words {
        assert!(text.contains(word), "{word}: {text}");
    }
    let failed = document["checks"]
        .as_array()
        .expect("checks")
        .iter()
        .any(|check| check["status"] == "fail");
    assert_eq!(ran.code, Some(if failed { 10 } else { 0 }), "{ran}");
}

/// A refusal for want of room: exit 10, before even the home was made.
fn refused(sandbox: &Sandbox, ran: &Ran, words: &[&str]) {
    assert_eq!(ran.code, Some(10), "{ran}");
    let error = ran.json_error();
    assert_eq!(error["code"], "environment");
    let text = format!("{} / {}", error["message"], error["hint"]);
    for word in words {
        assert!(text.contains(word), "{word}: {text}");
    }
    assert!(sandbox.survivors().is_empty(), "{ran}");
}

#[test]
fn every_check_is_one_line_or_one_object_and_nothing_is_touched() {
    let sandbox = Sandbox::new();
    let ran = sandbox.run("doctor --json");
    let document = ran.json();
    assert_eq!(
        (&document["schema_version"], &document["ok"]),
        (&1.into(), &true.into())
    );
    let checks = document["checks"].as_array().expect("checks");
    let ids: BTreeSet<&str> = checks
        .iter()
        .filter_map(|check| check["id"].as_str())
        .collect();
    for id in CHECKS {
        assert!(ids.contains(id), "{id}: {document}");
    }
    for check in checks {
        let keys: Vec<&String> = check.as_object().expect("an object").keys().collect();
        assert_eq!(keys, ["fix", "id", "message", "status"]);
        let status = check["status"].as_str().expect("a word");
        assert!(["ok", "warn", "fail"].contains(&status), "{check}");
        assert_eq!(check["fix"].is_null(), status == "ok", "{check}");
    }
    doctor_says(&ran, "server", "ok", &[" at /"]);

    let text = sandbox.run("doctor");
    assert_eq!(text.code, ran.code);
    let lines: Vec<&str> = text.out.lines().collect();
    assert_eq!(lines.len(), checks.len() + 1, "{text}");
    for (line, check) in lines.iter().zip(checks) {
        let (status, id) = (check["status"].as_str(), check["id"].as_str());
        assert!(line.contains(id.expect("a word")), "{line}");
        // Another test may have held one of the default ports, or had a server without a directory,
        // while only one of the two looked.
        if matches!(id, Some("ports" | "orphans")) {
            continue;
        }
        assert!(line.starts_with(status.expect("a word")), "{line}");
        assert_eq!(line.contains("; fix: "), !check["fix"].is_null(), "{line}");
    }
    assert_eq!(text.err, "", "{text}");
    assert!(!sandbox.home().exists());
}

#[test]
fn a_shape_that_makes_no_sense_is_refused() {
    let sandbox = Sandbox::new();
    sandbox.fails("doctor --primaries 0", 2);
    sandbox.fails("doctor --primaries 501", 2);
    sandbox.fails("doctor extra", 2);
}

#[test]
fn without_a_server_all_else_is_checked_still() {
    let sandbox = Sandbox::new();
    let ran = sandbox.fails("doctor --json --server no-such-server", 10);
    doctor_says(&ran, "server", "fail", &["no-such-server", "--server"]);
    doctor_says(&ran, "open_files", "ok", &["6 nodes"]);
    let text = sandbox.script("not-a-server", "echo hello");
    let ran = sandbox.fails(&format!("doctor --json --server {text}"), 10);
    doctor_says(&ran, "server", "fail", &["no Redis or Valkey server"]);
}

#[test]
fn too_few_open_files_are_refused_before_anything_is_touched() {
    let sandbox = Sandbox::new();
    for verb in ["up", "start"] {
        let line = format!("{verb} --json --port auto");
        let ran = by(&sandbox, &["prlimit", "--nofile=70"], &line);
        refused(
            &sandbox,
            &ran,
            &[
                "6 nodes need 74 open files",
                "70",
                "ulimit -n 74",
                "limits.conf",
            ],
        );
        assert!(!sandbox.home().exists(), "not even the home: {ran}");
    }
    let ran = by(&sandbox, &["prlimit", "--nofile=70"], "doctor --json");
    doctor_says(&ran, "open_files", "fail", &["74", "70"]);
    let ran = by(
        &sandbox,
        &["prlimit", "--nofile=2000"],
        "doctor --json --primaries 500 --replicas 1",
    );
    doctor_says(
        &ran,
        "open_files",
        "fail",
        &["1000 nodes need 2062", "2000"],
    );
    assert!(!sandbox.home().exists());
}

#[test]
fn the_soft_limit_is_raised_to_what_servers_ask_for_and_the_hard_one_is_left() {
    let sandbox = Sandbox::new();
    let line = format!("up --port auto --json {SMALL}");
    let up = by(&sandbox, &["prlimit", "--nofile=50:15000"], &line);
    assert_eq!(up.code, Some(0), "{up}");
    let pid = nodes(&up.json())[0]["pid"].as_u64().expect("a PID");
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).expect("it runs");
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))
        .expect("the limit");
    let numbers: Vec<&str> = line.split_ascii_whitespace().skip(3).take(2).collect();
    assert_eq!(numbers, ["10032", "15000"]);
    sandbox.ok("down --yes");
}

#[test]
fn a_cluster_that_runs_needs_no_room_and_one_that_stopped_does() {
    let sandbox = Sandbox::new();
    let status = sandbox.up(SMALL);
    let port = ports(&status)[0];
    let narrow = ["prlimit", "--nofile=40"];
    let up = by(&sandbox, &narrow, "up --json");
    assert_eq!((up.code, &up.json()["changed"]), (Some(0), &false.into()));
    sandbox.ok("stop");

    // What `prepare` would make anew is missing: it is not made.
    fs::remove_file(sandbox.node(port).join("redis.conf")).expect("removed");
    let files = sandbox.files();
    for verb in ["up", "start"] {
        let ran = by(&sandbox, &narrow, &format!("{verb} --json"));
        refused(&sandbox, &ran, &["1 node needs", "64", "40"]);
        assert_eq!(sandbox.files(), files);
    }
    sandbox.ok("start");
    sandbox.ok("down --yes");
}

#[test]
fn too_few_processes_are_refused_before_anything_is_touched() {
    let sandbox = Sandbox::new();
    // Another user may not look into the directories of this one.
    let program = sandbox.path().join("rcluster");
    let copied = Command::new("cp")
        .arg(env!("CARGO_BIN_EXE_rcluster"))
        .arg(&program)
        .status();
    assert!(copied.expect("cp runs").success());
    let mut wrapper = vec!["prlimit", "--nproc=10"];
    // Root has no limit of processes: another user is needed, one whom nobody else is.
    if is_root() {
        let owned = Command::new("chown")
            .args(["-R", "61234:61234"])
            .arg(sandbox.path())
            .status();
        assert!(owned.expect("chown runs").success());
        let user = [
            "setpriv",
            "--reuid=61234",
            "--regid=61234",
            "--clear-groups",
        ];
        wrapper.splice(..0, user);
    }
    let run = |line: &str| {
        let mut command = Command::new(wrapper[0]);
        command
            .args(&wrapper[1..])
            .arg(&program)
            .args(line.split(' '))
            .arg("--json")
            .current_dir(sandbox.path())
            .env_remove("RCLUSTER_SERVER")
            .env_remove("RCLUSTER_NAME")
            .env("RCLUSTER_HOME", sandbox.home())
            .stdin(Stdio::null());
        Ran::of(command, line)
    };
    let ran = run("up --port auto");
    refused(
        &sandbox,
        &ran,
        &["6 nodes need", "threads", "(10)", "ulimit -u", "LimitNPROC"],
    );
    assert!(!sandbox.home().exists(), "not even the home");
    doctor_says(&run("doctor"), "pids", "fail", &["(10)", "ulimit -u"]);
    assert!(!sandbox.home().exists());
}

#[test]
fn a_control_group_that_is_too_small_is_refused_before_anything_is_touched() {
    let sandbox = Sandbox::new();
    // The group's files as a kernel would show them, of both versions, over the real ones.
    let groups = "g=/sys/fs/cgroup; mount -t tmpfs tmpfs $g; mkdir $g/pids $g/memory
         for d in $g $g/pids; do echo 40 >$d/pids.max; echo 15 >$d/pids.current; done
         for d in $g $g/memory; do
           for f in memory.max memory.limit_in_bytes; do echo 20000000 >$d/$f; done
           for f in memory.current memory.usage_in_bytes; do echo 15000000 >$d/$f; done
           echo max >$d/memory.swap.max
         done; ";
    let ran = mounted(&sandbox, groups, "up --port auto --json");
    refused(
        &sandbox,
        &ran,
        &[
            "pids.max (40) leaves 25",
            "TasksMax",
            "threads and processes",
        ],
    );
    assert_eq!(left(&sandbox), "");
    let ran = mounted(&sandbox, groups, "doctor --json");
    doctor_says(&ran, "pids", "fail", &["leaves 25"]);

    // Two limits at once are told at once. Swap is room too, so here there must be none left.
    let none = format!("{groups} echo 0 | tee $g/memory.swap.max >$g/memory/memory.swap.max;");
    let ran = mounted(&sandbox, &none, "up --port auto --json");
    refused(
        &sandbox,
        &ran,
        &["pids.max (40)", "6 nodes take", "leaves 4882 KiB"],
    );
    assert_eq!(left(&sandbox), "");
}

#[test]
fn a_home_without_room_is_refused_before_anything_is_touched() {
    let sandbox = Sandbox::new();
    for (options, words) in [
        (
            "size=128k",
            ["6 nodes need 338 KiB on disk", "128 KiB free"],
        ),
        ("nr_inodes=30", ["6 nodes need 70 files", "has 29 left"]),
        ("ro", ["read-only", "--home DIR"]),
    ] {
        let tiny = format!("mount -t tmpfs -o {options} tmpfs \"$0\"");
        for verb in ["up", "start"] {
            let ran = mounted(&sandbox, &tiny, &format!("{verb} --port auto --json"));
            refused(&sandbox, &ran, &words);
            assert_eq!(left(&sandbox), "");
        }
        let ran = mounted(&sandbox, &tiny, "doctor --json");
        assert_eq!(ran.code, Some(10), "{ran}");
        assert_eq!(left(&sandbox), "");
    }
    let tiny = "mount -t tmpfs -o size=128k,nr_inodes=30 tmpfs \"$0\"; ulimit -n 70";
    let ran = mounted(&sandbox, tiny, "up --port auto --json");
    // Everything that is wrong, at once.
    refused(
        &sandbox,
        &ran,
        &[
            "open files",
            "338 KiB on disk",
            "70 files",
            "ulimit -n 74",
            "make room",
        ],
    );
    let ran = mounted(&sandbox, tiny, "doctor --json");
    doctor_says(&ran, "home_trial", "fail", &["No space left on device"]);
    doctor_says(&ran, "home_file_system", "ok", &["tmpfs"]);
}

#[test]
fn a_home_with_little_room_is_used_with_a_note() {
    let sandbox = Sandbox::new();
    // In the same namespace, since nobody else sees what was mounted there.
    let script = "mount -t tmpfs -o size=30m tmpfs \"$0\"
         \"$1\" up --port auto --primaries 1 --replicas 0 2>notes || exit 1
         \"$1\" doctor --json >checks || exit 2
         exec \"$1\" down --yes";
    let namespace = if is_root() { "-m" } else { "-Urm" };
    fs::create_dir(sandbox.home()).expect("mkdir");
    let inner = sandbox.command(&[]);
    let mut outer = Command::new("unshare");
    outer
        .args([namespace, "sh", "-c", script])
        .arg(sandbox.home())
        .arg(inner.get_program())
        .current_dir(sandbox.path())
        .env("RCLUSTER_HOME", sandbox.home())
        .env("TERM", "dumb")
        .stdin(Stdio::null());
    let ran = Ran::of(outer, "up, doctor, down on a small disk");
    assert_eq!(ran.code, Some(0), "{ran}");
    let read = |name| fs::read_to_string(sandbox.path().join(name)).expect("written");
    let notes = read("notes");
    assert!(
        notes.contains("note: 1 node needs") && notes.contains("30 MiB free"),
        "{notes}"
    );
    let checks: Value = serde_json::from_str(&read("checks")).expect("JSON");
    assert_eq!(check(&checks, "disk_space").0, "warn");
}

#[test]
fn a_machine_without_loopback_is_told() {
    let sandbox = Sandbox::new();
    let namespace = if is_root() { "-n" } else { "-Urn" };
    let ran = by(&sandbox, &["unshare", namespace], "doctor --json");
    assert_eq!(ran.code, Some(10), "{ran}");
    doctor_says(
        &ran,
        "loopback",
        "fail",
        &["127.0.0.1", "ip link set lo up"],
    );
}

#[test]
fn a_home_that_is_not_safe_or_no_directory_is_told() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.home()).expect("mkdir");
    let mode = |mode| {
        fs::set_permissions(sandbox.home(), fs::Permissions::from_mode(mode)).expect("chmod");
    };
    mode(0o700);
    doctor_says(&sandbox.run("doctor --json"), "home", "ok", &["0700"]);
    mode(0o777);
    let ran = sandbox.run("doctor --json");
    doctor_says(&ran, "home", "warn", &["0777", "chmod go-w"]);
    fs::remove_dir(sandbox.home()).expect("removed");

    fs::write(sandbox.home(), "").expect("written");
    let ran = sandbox.fails("doctor --json", 10);
    doctor_says(&ran, "home", "fail", &["--home DIR"]);
    // Below a file there is no home either: one line says so, and each that fails what to do.
    let below = format!("doctor --json --home {}/x", sandbox.home().display());
    let ran = sandbox.fails(&below, 10);
    doctor_says(&ran, "home", "fail", &["is no directory", "--home DIR"]);
    let text = ran.json()["checks"].to_string();
    assert!(!text.contains("\"fix\":\"\""), "{text}");
    for other in ["home_writable", "clusters"] {
        assert!(!text.contains(&format!("\"{other}\"")), "{text}");
    }
    fs::remove_file(sandbox.home()).expect("removed");

    let deep = format!(
        "doctor --json --home {}/{}",
        sandbox.path().display(),
        "x".repeat(90)
    );
    doctor_says(
        &sandbox.run(&deep),
        "home_path",
        "warn",
        &["107", "at most"],
    );
}

#[test]
fn clusters_with_problems_are_told_and_left_alone() {
    let sandbox = Sandbox::new();
    sandbox.up(SMALL);
    let ran = sandbox.run("doctor --json");
    doctor_says(&ran, "clusters", "ok", &["there is 1"]);
    sandbox.ok("stop");
    let ran = sandbox.run("doctor --json");
    doctor_says(&ran, "clusters", "ok", &["there is 1"]);

    let journal = sandbox.cluster().join("journal.json");
    let text = r#"{"verb":"up","work":"restarting","restore":{},"nodes":[],"phantoms":[]}"#;
    fs::write(&journal, text).expect("written");
    let ran = sandbox.run("doctor --json");
    let words = [
        "cluster \\\"default\\\"",
        "`up` is at work, or was interrupted",
        "status",
    ];
    doctor_says(&ran, "clusters", "warn", &words);
    fs::remove_file(&journal).expect("removed");

    fs::write(sandbox.home().join("stray"), "").expect("written");
    fs::create_dir(sandbox.home().join("begun")).expect("mkdir");
    let ran = sandbox.run("doctor --json");
    doctor_says(&ran, "clusters", "warn", &["home/stray", "home/begun"]);
    fs::remove_file(sandbox.home().join("stray")).expect("removed");
    fs::remove_dir(sandbox.home().join("begun")).expect("removed");

    let manifest = sandbox.cluster().join("manifest.json");
    let good = fs::read(&manifest).expect("readable");
    fs::write(&manifest, "{\"schema_version\":").expect("written");
    let files = sandbox.files();
    let ran = sandbox.fails("doctor --json", 10);
    let words = [
        "cluster \\\"default\\\"",
        "manifest.json cannot be read",
        "backup",
    ];
    doctor_says(&ran, "clusters", "fail", &words);
    assert_eq!(sandbox.files(), files);
    fs::write(&manifest, good).expect("written");
    sandbox.ok("down --yes");
}

#[test]
fn servers_whose_directory_is_gone_are_told_and_left_alone() {
    let sandbox = Sandbox::new();
    let status = sandbox.up(SMALL);
    let pid = pid_on(&status, ports(&status)[0]);
    fs::remove_dir_all(sandbox.cluster()).expect("removed");
    let ran = sandbox.run("doctor --json");
    // From 7.0 on a title tells; of older servers nothing can be known.
    if status["server"]["version"]
        .as_str()
        .is_some_and(|version| !version.starts_with("6."))
    {
        let (pid, title) = (
            format!("pid {pid} (rcluster:default/1)"),
            format!("kill {pid}"),
        );
        doctor_says(&ran, "orphans", "warn", &[&pid, &title]);
    }
    assert!(
        sandbox
            .survivors()
            .contains_key(&i32::try_from(pid).expect("a PID"))
    );
    crate::sandbox::signal("TERM", pid);
    wait_for("the orphan to end", || {
        sandbox.survivors().is_empty().then_some(())
    });
}

#[test]
fn default_ports_that_are_held_are_told_with_their_holder() {
    let sandbox = Sandbox::new();
    // Held by us, or by somebody else: that is the same to who asks.
    let held = TcpListener::bind("127.0.0.1:30004");
    let ran = sandbox.run("doctor --json");
    let us = format!("pid {}", std::process::id());
    let holder = if held.is_ok() { us.as_str() } else { "30004" };
    doctor_says(
        &ran,
        "ports",
        "warn",
        &["127.0.0.1:30004", holder, "--port auto"],
    );

    // A cluster of this home is welcome to them.
    sandbox.up(SMALL);
    sandbox.ok("stop");
    let manifest = sandbox.cluster().join("manifest.json");
    let good = fs::read(&manifest).expect("readable");
    edit_json(&manifest, |manifest| {
        manifest["nodes"][0]["addr"]["port"] = 30004.into();
    });
    let ran = sandbox.run("doctor --json");
    let document = ran.json();
    let (status, text) = check(&document, "ports");
    // Somebody else may hold others of them.
    assert!(!text.contains(":30004"), "{ran}");
    assert!(status == "warn" || text.contains("default"), "{ran}");
    fs::write(&manifest, good).expect("written");
    drop(held);
    sandbox.ok("down --yes");
    assert_eq!(sandbox.files(), Vec::<PathBuf>::new());
}
