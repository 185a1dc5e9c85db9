//! Servers that are not fit, servers that die, and what a server gets from us.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::sandbox::{
    Ran, Sandbox, Stranger, kill_and_wait, node_on, nodes, pid_on, ports, process_words, redis,
    wait_for,
};

const SMALL: &str = "--primaries 1 --replicas 0";

#[test]
fn a_server_that_cannot_be_used_is_refused_before_anything_is_made() {
    let sandbox = Sandbox::new();
    let pid = sandbox.path().join("pid");
    let not_executable = sandbox.path().join("plain");
    fs::write(&not_executable, "#!/bin/sh\n").expect("written");
    let looped = sandbox.path().join("loop");
    symlink(&looped, &looped).expect("linked");
    let cases = [
        ("/nonexistent/redis-server".to_owned(), "/nonexistent"),
        ("no-such-redis-server".to_owned(), "no-such-redis-server"),
        ("/bin/true".to_owned(), "/bin/true"),
        ("/bin/false".to_owned(), "/bin/false"),
        ("redis-cli".to_owned(), "no Redis or Valkey server"),
        ("/".to_owned(), "\"/\""),
        (not_executable.to_string_lossy().into_owned(), "plain"),
        (looped.to_string_lossy().into_owned(), "loop"),
        (
            sandbox.script("old", "echo 'Redis server v=6.0.0 sha=0:0'"),
            "6.0.0 is too old",
        ),
        (
            sandbox.script("odd", "echo 'Redis server v=x'; printf '\\033[31m\\007'"),
            "no Redis or Valkey server",
        ),
        (
            sandbox.script("wordy", "head -c 5000000 /dev/zero | tr '\\0' x"),
            "no Redis or Valkey server",
        ),
        (
            sandbox.script(
                "hanging",
                &format!("echo $$ >'{}'; exec sleep 600", pid.display()),
            ),
            "--version",
        ),
    ];
    for (server, said) in &cases {
        let verb = if said.contains("old") { "start" } else { "up" };
        let arguments = [verb, "--port=auto", "--json", "--server", server];
        let ran = Ran::of(sandbox.command(&arguments), server);
        assert_eq!(ran.code, Some(10), "{ran}");
        let error = ran.json_error();
        assert_eq!(error["code"], "environment");
        let message = error["message"].as_str().expect("a message");
        assert!(message.contains(said), "{ran}");
        assert!(message.len() < 500, "{ran}");
        assert!(!message.contains('\u{1b}'), "{ran}");
        assert_eq!(sandbox.files(), Vec::<PathBuf>::new(), "{server}");
    }
    // The one that hung is not left behind.
    let pid = fs::read_to_string(&pid).expect("it ran");
    wait_for("the hanging program to be ended", || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
        stat.map_or(true, |stat| stat.contains(") Z "))
            .then_some(())
    });
    // None named, and none on PATH.
    let mut command = sandbox.command(&["up", "--port=auto", "--json"]);
    command
        .env("PATH", "/nonexistent")
        .env_remove("RCLUSTER_SERVER");
    let ran = Ran::of(command, "up without PATH");
    assert_eq!(ran.code, Some(10), "{ran}");
    let error = ran.json_error();
    assert!(error["message"].to_string().contains("PATH"), "{error}");
    assert!(error["hint"].to_string().contains("install"), "{error}");
}

/// A server that says `boom` and ends where `condition` holds.
fn dying(sandbox: &Sandbox, condition: &str) -> String {
    sandbox.script(
        "dying-server",
        &format!(
            "[ \"$1\" = redis.conf ] || exec redis-server \"$@\"\n\
             if {condition}; then echo boom >&2; exit 3; fi\n\
             exec redis-server \"$@\""
        ),
    )
}

#[test]
fn servers_that_die_at_once_are_shown_with_their_reason_and_nothing_is_left() {
    let sandbox = Sandbox::new();
    // All of them, and the fourth alone.
    for (condition, dead) in [("true", 6), ("case $PWD in *4) true;; *) false;; esac", 1)] {
        let server = dying(&sandbox, condition);
        let base = loop {
            // A block in which one port alone ends in 4.
            let base = crate::sandbox::free_ports(6);
            if base % 10 <= 4 {
                break base;
            }
        };
        for verb in ["up", "start"] {
            let line = format!("{verb} --port {base} --server {server}");
            let error = sandbox.fails(&format!("{line} --json"), 1).json_error();
            assert_eq!(error["code"], "node_died", "{error}");
            let told = error["nodes"].as_array().expect("nodes");
            if dead == 1 {
                assert_eq!(told.len(), 1, "{error}");
                assert!(told[0]["node"].to_string().contains("4\""), "{error}");
            }
            assert!(!told.is_empty(), "{error}");
            for node in told {
                assert!(
                    node["message"].to_string().contains("exit status: 3"),
                    "{error}"
                );
                assert!(node["log"].to_string().contains("boom"), "{error}");
            }
            let text = sandbox.fails(&line, 1);
            assert!(text.err.contains("boom"), "{text}");
            assert!(sandbox.survivors().is_empty(), "after {line}");
            assert_eq!(sandbox.files(), Vec::<PathBuf>::new(), "after {line}");

            sandbox.fails(&format!("{line} --retain"), 1);
            assert!(!sandbox.files().is_empty(), "after {line} --retain");
            sandbox.gone("down --yes");
        }
    }
}

#[test]
fn a_server_that_refuses_its_configuration_is_shown_in_its_own_words() {
    let sandbox = Sandbox::new();
    for (set, words) in [
        ("no-such-directive=1", "no-such-directive"),
        ("maxmemory-policy=nonsense", "maxmemory-policy"),
    ] {
        let ran = sandbox.fails(&format!("up --port auto {SMALL} --set {set}"), 1);
        assert!(ran.err.contains(words), "{ran}");
        assert!(sandbox.files().is_empty() && sandbox.survivors().is_empty());
    }
}

#[test]
fn a_node_of_an_existing_cluster_that_dies_is_named_and_nothing_is_removed() {
    let sandbox = Sandbox::new();
    let up = sandbox.up("--primaries 3 --replicas 0");
    let all = ports(&up);
    assert_eq!(redis(all[1], &["SET", "wat", "2"]), "OK");
    sandbox.ok("stop");
    let append = sandbox.node(all[1]).join("appendonlydir");
    let manifest = append.join("appendonly.aof.manifest");
    let good = fs::read(&manifest).expect("readable");
    fs::write(&manifest, "garbage\n").expect("written");
    let files = sandbox.files();
    for verb in ["start", "up"] {
        let error = sandbox.fails(&format!("{verb} --json"), 1).json_error();
        assert_eq!(error["code"], "node_died", "{error}");
        let told = error["nodes"].as_array().expect("nodes");
        assert_eq!(told.len(), 1, "{error}");
        assert_eq!(told[0]["node"], format!("127.0.0.1:{}", all[1]));
        assert!(
            !told[0]["log"].as_array().expect("lines").is_empty(),
            "{error}"
        );
        // The nodes that started stay up, and all files stay.
        let status = sandbox.fails("status --json", 5).json();
        assert_eq!(process_words(&status), ["running", "dead", "running"]);
        let now = sandbox.files();
        assert!(files.iter().all(|file| now.contains(file)), "{now:?}");
    }
    fs::write(&manifest, good).expect("written");
    sandbox.ok("start");
    assert_eq!(redis(all[1], &["GET", "wat"]), "2");
    sandbox.gone("down --yes");
}

#[test]
fn too_low_a_limit_of_open_files_is_said_in_numbers() {
    let sandbox = Sandbox::new();
    let program = sandbox.command(&[]);
    let mut command = Command::new("sh");
    command
        .args(["-c", "ulimit -n 64; exec \"$0\" \"$@\""])
        .arg(program.get_program())
        .args(["up", "--port", "auto", "--json"])
        .current_dir(sandbox.path())
        .env("RCLUSTER_HOME", sandbox.home());
    let ran = Ran::of(command, "up with ulimit -n 64");
    assert_eq!(ran.code, Some(10), "{ran}");
    let error = ran.json_error();
    assert_eq!(error["code"], "environment");
    let message = error["message"].as_str().expect("a message");
    let numbers: Vec<u32> = message
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|number| number.parse().ok())
        .collect();
    assert!(numbers.contains(&64), "{error}");
    assert!(numbers.iter().any(|number| *number > 64), "{error}");
    assert!(sandbox.files().is_empty(), "{:?}", sandbox.files());
    assert!(sandbox.survivors().is_empty());
}

#[test]
fn servers_get_no_secret_and_nothing_else_of_ours() {
    let sandbox = Sandbox::new();
    let seen = sandbox.path().join("seen");
    fs::create_dir(&seen).expect("mkdir");
    let server = sandbox.script(
        "telling-server",
        &format!(
            "{{ echo \"run with $1\"; env; ls -l /proc/self/fd; }} >'{}'/$$\n\
             exec redis-server \"$@\"",
            seen.display()
        ),
    );
    let secrets = [
        ("SECRET_X", "swordfish"),
        ("REDISCLI_AUTH", "swordfish"),
        ("AWS_SECRET_ACCESS_KEY", "swordfish"),
        ("RCLUSTER_NAME", "default"),
    ];
    let line = format!("up --port auto --server {server}");
    let arguments: Vec<&str> = line.split(' ').collect();
    let mut command = sandbox.command(&arguments);
    command.envs(secrets);
    let up = Ran::of(command, &line);
    assert_eq!(up.code, Some(0), "{up}");

    let told: Vec<String> = fs::read_dir(&seen)
        .expect("a directory")
        .flatten()
        .map(|entry| fs::read_to_string(entry.path()).expect("readable"))
        .collect();
    // The nodes, and the runs that only ask what the program is and can.
    let (nodes, asked): (Vec<String>, Vec<String>) = told
        .into_iter()
        .partition(|told| told.starts_with("run with redis.conf\n"));
    assert_eq!(nodes.len(), 6);
    assert!(!asked.is_empty(), "the test tests nothing");
    for told in nodes.iter().chain(&asked) {
        assert!(told.contains("PATH="), "the test tests nothing: {told}");
        for (name, value) in secrets {
            assert!(!told.contains(name), "{name}: {told}");
            assert!(value == "default" || !told.contains(value), "{told}");
        }
        // Of our files, a server has its log alone: else the lock would outlive us.
        assert!(
            told.contains("server.log") || asked.contains(told),
            "the test tests nothing: {told}"
        );
        assert!(
            !told.contains("/lock") && !told.contains("manifest"),
            "{told}"
        );
    }
    for pid in sandbox.survivors().keys() {
        for file in ["environ", "cmdline"] {
            let bytes = fs::read(format!("/proc/{pid}/{file}")).expect("readable");
            assert!(!String::from_utf8_lossy(&bytes).contains("swordfish"));
        }
    }
    for file in sandbox.files() {
        if let Ok(text) = fs::read(sandbox.home().join(&file)) {
            assert!(
                !String::from_utf8_lossy(&text).contains("swordfish"),
                "{file:?}"
            );
        }
    }
    sandbox.gone("down --yes");
}

#[test]
fn servers_outlive_rcluster_in_groups_of_their_own() {
    let sandbox = Sandbox::new();
    let up = sandbox.up("");
    for port in ports(&up) {
        let pid = pid_on(&up, port);
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it lives");
        let behind = stat.rsplit_once(')').expect("a name").1.to_owned();
        let fields: Vec<&str> = behind.split_ascii_whitespace().collect();
        assert_eq!(fields[2], pid.to_string(), "its process group: {stat}");
        assert_ne!(fields[1], std::process::id().to_string(), "its parent");
        // No terminal and no pipe of ours: whoever reads our output sees its end.
        for (fd, kind) in [("0", "/dev/null"), ("1", "server.log"), ("2", "server.log")] {
            let link = fs::read_link(format!("/proc/{pid}/fd/{fd}")).expect("open");
            assert!(link.ends_with(kind), "{fd} is {}", link.display());
        }
        let title = fs::read(format!("/proc/{pid}/cmdline")).expect("readable");
        let index = node_on(&up, port)["index"].as_u64().expect("an index");
        assert!(
            String::from_utf8_lossy(&title).contains(&format!("rcluster:default/{index}")),
            "{}",
            String::from_utf8_lossy(&title)
        );
    }
    sandbox.gone("down --yes");
}

#[test]
fn whatever_rcluster_and_its_servers_write_is_private() {
    let sandbox = Sandbox::new();
    let program = sandbox.command(&[]);
    let run = |line: &str| {
        let mut command = Command::new("sh");
        command
            .args(["-c", "umask 000; exec \"$0\" \"$@\""])
            .arg(program.get_program())
            .args(line.split(' '))
            .current_dir(sandbox.path())
            .env("RCLUSTER_HOME", sandbox.home());
        let ran = Ran::of(command, line);
        assert_eq!(ran.code, Some(0), "{ran}");
    };
    let mode = |path: &Path| {
        let meta = fs::symlink_metadata(path).expect("there");
        (meta.is_dir(), meta.permissions().mode() & 0o777)
    };
    run("up --port auto");
    for port in ports(&sandbox.status()) {
        redis(port, &["BGSAVE"]);
        wait_for("the snapshot", || {
            sandbox.node(port).join("dump.rdb").exists().then_some(())
        });
    }
    run("stop");
    run("start");
    let expected = |dir: bool| if dir { 0o700 } else { 0o600 };
    for file in sandbox.files() {
        let (dir, mode) = mode(&sandbox.home().join(&file));
        assert_eq!(mode, expected(dir), "{}: {mode:o}", file.display());
    }
    assert_eq!(mode(&sandbox.home()), (true, 0o700));
    sandbox.gone("down --yes");
}

#[test]
fn a_node_whose_identity_was_lost_is_not_started() {
    let sandbox = Sandbox::new();
    let up = sandbox.up("--primaries 3 --replicas 0");
    let all = ports(&up);
    sandbox.ok("stop");
    let path = |i: usize| sandbox.node(all[i]).join("nodes.conf");
    let good = fs::read(path(0)).expect("readable");
    let other = fs::read(path(1)).expect("readable");
    for bad in [Vec::new(), other, b"garbage".to_vec(), vec![0; 512]] {
        fs::write(path(0), &bad).expect("written");
        for verb in ["start", "up"] {
            let error = sandbox.fails(&format!("{verb} --json"), 1).json_error();
            assert!(error.to_string().contains(&all[0].to_string()), "{error}");
            assert!(sandbox.survivors().is_empty(), "{error}");
            assert_eq!(fs::read(path(0)).expect("readable"), bad);
        }
    }
    fs::remove_file(path(0)).expect("removed");
    sandbox.fails("start", 1);
    assert!(sandbox.survivors().is_empty() && !path(0).exists());
    fs::write(path(0), good).expect("written");
    let started = sandbox.ok("start --json").json();
    assert_eq!(nodes(&started)[0]["id"], nodes(&up)[0]["id"]);
    sandbox.gone("down --yes");
}

#[test]
fn a_stranger_that_was_started_from_the_same_program_is_left_alone() {
    let sandbox = Sandbox::new();
    let mut stranger = Stranger::redis(u64::from(crate::sandbox::free_ports(1)));
    sandbox.up(SMALL);
    sandbox.gone("down --yes --grace 0s");
    assert!(stranger.lives());
}

#[test]
fn a_start_of_nodes_that_run_unformed_finds_them_and_starts_only_the_dead() {
    let sandbox = Sandbox::new();
    let start = sandbox.ok("start --port auto --json").json();
    assert_eq!(start["changed"], true);
    let running = sandbox.servers();
    let again = sandbox.ok("start --json").json();
    assert_eq!(
        (&again["changed"], &again["state"]),
        (&false.into(), &"unformed".into())
    );
    assert_eq!(sandbox.servers(), running);

    let port = ports(&start)[2];
    kill_and_wait(pid_on(&start, port));
    let again = sandbox.ok("start --json").json();
    assert_eq!(again["changed"], true);
    assert_eq!(sandbox.servers().len(), 6);
    assert_eq!(
        pid_on(&again, ports(&start)[0]),
        pid_on(&start, ports(&start)[0])
    );
    sandbox.ok("create");
    sandbox.gone("down --yes");
}

#[test]
fn a_node_that_is_ending_just_now_is_started_again() {
    let sandbox = Sandbox::new();
    let up = sandbox.up(SMALL);
    let port = ports(&up)[0];
    // Its end takes a while: it has a snapshot to write, half a second a key.
    for (name, value) in [("save", "3600 1"), ("rdb-key-save-delay", "500000")] {
        assert_eq!(redis(port, &["CONFIG", "SET", name, value]), "OK");
    }
    for key in ["a", "b", "c", "d"] {
        assert_eq!(redis(port, &["SET", key, "1"]), "OK");
    }
    // What a `stop` leaves that was killed: a node that lives, but not for long.
    let stop = sandbox.spawn("stop");
    let log = sandbox.node(port).join("server.log");
    wait_for("the node to be ending", || {
        let text = fs::read_to_string(&log).ok()?;
        text.contains("Saving the final RDB snapshot").then_some(())
    });
    drop(stop);
    assert_eq!(sandbox.survivors().len(), 1, "the test tests nothing");
    sandbox.ok("start --timeout 20s");
    sandbox.ok("status");
    assert_eq!(redis(port, &["GET", "a"]), "1");
    sandbox.gone("down --yes");
}

/// From 7.0 on a server takes a path with these signs for a pattern, and if nothing matches it runs with
/// its defaults: port 6379, all addresses, no password.
#[test]
fn a_home_whose_path_looks_like_a_pattern_is_a_home_like_others() {
    let sandbox = Sandbox::new();
    symlink("app[id]", sandbox.path().join("link")).expect("made");
    for place in ["app[id]", "a?", "a*", r"a\[*", "link"] {
        let home = sandbox.path().join(place).join("home");
        fs::create_dir_all(&home).expect("made");
        let home = home.to_str().expect("UTF-8");
        let run = |line: &str| {
            let words: Vec<&str> = ["--home", home]
                .into_iter()
                .chain(line.split(' '))
                .collect();
            let ran = sandbox.run_words(&words);
            assert_eq!(ran.code, Some(0), "{ran}");
            ran
        };
        let up = run("up --json --port auto --primaries 1 --replicas 0 --set maxmemory=123mb");
        let port = ports(&up.json())[0];
        let asked = redis(port, &["CONFIG", "GET", "maxmemory"]);
        assert!(asked.ends_with("128974848"), "{place}: {asked}");
        // The server finds its file again, and writes it where it was.
        assert_eq!(redis(port, &["CONFIG", "REWRITE"]), "OK", "{place}");
        run("stop");
        run("start");
        run("down --yes");
    }
}
