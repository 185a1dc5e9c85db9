//! Bad input is refused with exit 2 before anything is touched.

use std::fs;
use std::path::PathBuf;

use crate::sandbox::{Ran, Sandbox};

const SECRET: &str = "hunter2";

/// Runs `arguments`, which must be refused, in words and in JSON, without a trace in the home.
fn refused(sandbox: &Sandbox, arguments: &[&str]) -> Ran {
    let line = format!("{arguments:?}");
    let ran = Ran::of(sandbox.command(arguments), &line);
    assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{ran}");
    assert!(ran.err.contains("error: "), "{ran}");
    let json = [arguments, &["--json"]].concat();
    let json = Ran::of(sandbox.command(&json), &line);
    assert_eq!(json.code, Some(2), "{json}");
    assert_eq!(json.json_error()["code"], "usage", "{json}");
    for ran in [&ran, &json] {
        assert!(!ran.err.contains(SECRET), "a secret is told on: {ran}");
    }
    assert_eq!(
        sandbox.files(),
        Vec::<PathBuf>::new(),
        "something was made: {ran}"
    );
    assert_eq!(sandbox.survivors().len(), 0, "something runs: {ran}");
    ran
}

#[test]
fn words_and_numbers_that_make_no_sense_are_refused() {
    let sandbox = Sandbox::new();
    for line in [
        "frobnicate",
        "up extra",
        "up --frobnicate",
        "-q -v up",
        "up --color sometimes",
        // Not built, so not there.
        "create 127.0.0.1:7000",
        "up --primaries 0",
        "up --primaries -1",
        "up --primaries three",
        "up --primaries 1001 --replicas 0",
        "up --primaries 501 --replicas 1",
        "up --primaries 1 --replicas 1000",
        "up --primaries 18446744073709551615 --replicas 18446744073709551615",
        "up --primaries 18446744073709551616",
        "up --replicas -1",
        "up --port 0",
        "up --port 65536",
        "up --port 65535",
        "up --port 30001-30006",
        "up --port AUTO",
        "up --bus-port 0",
        "up --bus-port 65531",
        "up --port 12000 --bus-port 12003",
        "up --bind localhost",
        "up --bind 192.0.2.1",
        "up --timeout 5",
        "up --timeout soon",
        "up --timeout=-1s",
        "up --node-timeout 2",
        "up --node-timeout 0s",
        "up --node-timeout 99ms",
        "up --node-timeout 1000days",
        "stop --grace 15",
        "up --ephemeral --set appendonly=yes",
        "up --ephemeral --set save=60",
        "create --primaries x",
    ] {
        let arguments: Vec<&str> = line.split(' ').collect();
        refused(&sandbox, &arguments);
    }
    for verb in ["start", "up"] {
        refused(&sandbox, &[verb, "--primaries", "0"]);
        refused(&sandbox, &[verb, "--bind", "192.0.2.1"]);
    }
}

#[test]
fn names_that_are_no_names_are_refused_by_every_verb() {
    let sandbox = Sandbox::new();
    let long = "a".repeat(41);
    for name in [
        "", "A", "-a", "a-", "a_b", "a b", "a.b", ".", "..", "../x", "a/b", "/tmp", ".hidden", "ä",
        "a\n", &long,
    ] {
        refused(&sandbox, &["up", &format!("--name={name}")]);
    }
    for verb in ["start", "create", "status", "stop", "clean", "down"] {
        refused(&sandbox, &[verb, "--name=../x"]);
    }
    let mut from_environment = sandbox.command(&["up"]);
    from_environment.env("RCLUSTER_NAME", "../x");
    assert_eq!(Ran::of(from_environment, "up of ../x").code, Some(2));
    let longest = "a".repeat(40);
    sandbox.fails(&format!("status -n {longest}"), 4);
}

#[test]
fn directives_that_rcluster_manages_and_secrets_are_refused() {
    let sandbox = Sandbox::new();
    for (name, value) in [
        ("requirepass", SECRET),
        ("REQUIREPASS", SECRET),
        (" requirepass ", SECRET),
        ("\"requirepass\"", SECRET),
        ("masterauth", SECRET),
        ("primaryauth", SECRET),
        ("masteruser", "me"),
        ("user", "me on >hunter2 ~* +@all"),
        ("aclfile", "/etc/users.acl"),
        ("tls-key-file-pass", SECRET),
        ("tls-port", "7000"),
        ("tls-cluster", "yes"),
        ("include", "/etc/passwd"),
        ("rename-command", "KEYS hunter2"),
        ("port", "7000"),
        ("bind", "0.0.0.0"),
        ("dir", "/tmp"),
        ("cluster-enabled", "no"),
        ("cluster-port", "7000"),
        ("cluster-config-file", "x"),
        ("cluster-node-timeout", "1"),
        ("cluster-announce-ip", "192.0.2.1"),
        ("daemonize", "yes"),
        ("logfile", "/tmp/x"),
        ("pidfile", "/tmp/x"),
        ("unixsocket", "/tmp/x"),
        ("replicaof", "127.0.0.1 7000"),
    ] {
        let ran = refused(&sandbox, &["up", "--set", &format!("{name}={value}")]);
        let plain = name.trim_matches([' ', '"']).to_lowercase();
        assert!(ran.err.contains(&plain), "it is named: {ran}");

        let conf = sandbox.path().join("x.conf");
        fs::write(&conf, format!("# mine\nmaxmemory 10mb\n{name} {value}\n")).expect("written");
        let conf = conf.to_str().expect("UTF-8");
        let ran = refused(&sandbox, &["start", "--conf", conf]);
        assert!(
            ran.err.contains(&plain) && ran.err.contains("line 3"),
            "{ran}"
        );
    }
    for bad in [
        "maxmemory",
        "=1",
        "",
        "a b=1",
        "hz=10\nrequirepass hunter2",
        "hz=10\rrequirepass hunter2",
        "maxmemory=\"1",
        "maxmemory='1'2",
    ] {
        refused(&sandbox, &["up", "--set", bad]);
    }
}

#[test]
fn a_mistyped_secret_is_not_told_on_either() {
    let sandbox = Sandbox::new();
    for bad in [
        "requirepass hunter2",
        "requirepass:hunter2",
        "requirepass hunter2=x",
    ] {
        refused(&sandbox, &["up", "--set", bad]);
    }
    let conf = sandbox.path().join("x.conf");
    for bad in ["requirepass=hunter2", "requirepass:hunter2"] {
        fs::write(&conf, format!("{bad}\n")).expect("written");
        refused(&sandbox, &["up", "--conf", conf.to_str().expect("UTF-8")]);
    }
}

#[test]
fn a_file_that_cannot_be_read_is_refused() {
    let sandbox = Sandbox::new();
    let path = |name: &str| {
        sandbox
            .path()
            .join(name)
            .to_str()
            .expect("UTF-8")
            .to_owned()
    };
    fs::write(path("binary"), b"maxmemory \xff\xfe\n").expect("written");
    fs::write(path("torn"), "maxmemory \"10mb\n").expect("written");
    for conf in ["missing", "binary", "torn", "."] {
        let ran = refused(&sandbox, &["up", "--conf", &path(conf)]);
        assert!(ran.err.contains(conf), "it is named: {ran}");
    }
}

#[test]
fn bad_input_leaves_a_cluster_that_exists_alone() {
    let sandbox = Sandbox::new();
    let base = crate::sandbox::free_ports(1);
    sandbox.ok(&format!("up --primaries 1 --replicas 0 --port {base}"));
    let (before, files) = (sandbox.status(), sandbox.files());
    for line in [
        "up --primaries 0",
        "start --set requirepass=hunter2",
        "up --bind 224.0.0.1",
        "stop --grace x",
    ] {
        sandbox.fails(line, 2);
    }
    let after = sandbox.status();
    assert_eq!(
        (&before["nodes"], sandbox.files()),
        (&after["nodes"], files)
    );
    sandbox.ok("down --yes");
}

/// A hint can be typed as it stands, and means the cluster that was named, whatever the environment says.
#[test]
fn hints_name_the_cluster_that_was_named() {
    let sandbox = Sandbox::new();
    let other = sandbox.path().join("o'ther $(id) home");
    let other = other.to_str().expect("UTF-8");
    let quoted = format!("'{}'", other.replace('\'', r"'\''"));
    let hint = |arguments: &[&str], name: Option<&str>| {
        let mut command = sandbox.command(arguments);
        if let Some(name) = name {
            command.env("RCLUSTER_NAME", name);
        }
        let ran = Ran::of(command, &format!("{arguments:?}"));
        assert_eq!(ran.code, Some(4), "{ran}");
        let (_, hint) = ran.err.split_once("hint: ").expect("a hint");
        hint.to_owned()
    };
    for (arguments, name, wanted) in [
        (&["stop"][..], None, "`rcluster list`".to_owned()),
        (&["-n", "x", "stop"], None, "`rcluster -n x list`".into()),
        (&["stop"], Some("x"), "`rcluster list`".into()),
        (&["-n", "x", "stop"], Some("x"), "`rcluster list`".into()),
        (
            &["-n", "default", "stop"],
            Some("x"),
            "`rcluster -n default list`".into(),
        ),
        (
            &["--home", other, "stop"],
            None,
            format!("`rcluster --home {quoted} list`"),
        ),
    ] {
        let said = hint(arguments, name);
        assert!(said.contains(&wanted), "{arguments:?}: {said}");
    }
    let home = sandbox.home();
    let said = hint(&["--home", home.to_str().expect("UTF-8"), "stop"], None);
    assert!(said.contains("`rcluster list`"), "{said}");
}

#[test]
fn who_asks_for_help_gets_it() {
    let sandbox = Sandbox::new();
    for (line, like) in [
        ("help", "--help"),
        ("help up", "up --help"),
        ("-n x help server install", "server install --help"),
        ("server help", "server --help"),
        ("-n help help stop", "stop --help"),
    ] {
        assert_eq!(sandbox.ok(line).out, sandbox.ok(like).out, "{line}");
    }
    sandbox.fails("-n help bogus", 2);
    // The word that is none is named, and not `help`.
    for (line, word) in [("help bogus", "'bogus'"), ("help up stat", "'stat'")] {
        let ran = sandbox.fails(line, 2);
        assert!(
            ran.err
                .lines()
                .next()
                .is_some_and(|first| first.contains(word)),
            "{ran}"
        );
    }
    sandbox.fails("up help", 2);
    let alone = sandbox.fails("", 2);
    assert_eq!(alone.err.trim(), sandbox.ok("--help").out.trim());
}

#[test]
fn what_is_wrong_with_a_line_is_told_whole_and_with_what_helps() {
    let sandbox = Sandbox::new();
    for (line, message, hint) in [
        (
            "call",
            "the following required arguments were not provided: <CMD>...",
            "see `rcluster call --help`",
        ),
        (
            "server use",
            "the following required arguments were not provided: <NAME|PATH|--none>",
            "see `rcluster server use --help`",
        ),
        (
            "wait --for bogus",
            "invalid value 'bogus' for '--for <GOAL>' [possible values: ready, serving, stopped]",
            "see `rcluster wait --help`",
        ),
        (
            "ps",
            "unrecognized subcommand 'ps'",
            "that is `rcluster status` here",
        ),
        (
            "-n list frobnicate stop",
            "unrecognized subcommand 'frobnicate'",
            "see `rcluster --help`",
        ),
        (
            "server install x --timeout zz",
            "invalid value 'zz' for '--timeout <DURATION>': expected a number with a unit, such as 500ms, 60s or 2m",
            "see `rcluster server install --help`",
        ),
        (
            "--primaries 3 up",
            "unexpected argument '--primaries' found",
            "'up --primaries' exists",
        ),
    ] {
        let error = sandbox.fails(&format!("{line} --json"), 2).json_error();
        assert_eq!(
            (&error["message"], &error["hint"]),
            (&message.into(), &hint.into())
        );
    }
    // What follows -- would be another argument, or a program.
    for (line, is_value) in [
        ("logs --tail -1", false),
        ("run --bogus -- true", false),
        ("cli --stat", true),
    ] {
        let ran = sandbox.fails(line, 2);
        assert_eq!(ran.err.contains("as a value"), is_value, "{ran}");
    }
    // Who looks for a mistake in what was typed does not find it in the environment.
    for (variable, value, line, is_typed) in [
        ("RCLUSTER_HOME", "", "status", false),
        ("RCLUSTER_NAME", "Bad Name", "list", false),
        ("RCLUSTER_NAME", "Bad Name", "list --name Worse", true),
        ("RCLUSTER_NAME", "Bad Name", "list -nWorse", true),
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        let mut command = sandbox.command(&words);
        command.env(variable, value);
        let ran = Ran::of(command, line);
        assert_eq!(ran.code, Some(2), "{ran}");
        let tip = format!("tip: correct or unset the variable {variable}");
        assert_eq!(ran.err.contains(&tip), !is_typed, "{ran}");
    }
}

#[test]
fn what_needs_no_home_does_without() {
    let sandbox = Sandbox::new();
    let bare = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let mut command = sandbox.command(&words);
        command.env_remove("RCLUSTER_HOME").env_remove("HOME");
        Ran::of(command, line)
    };
    for line in ["version", "completions bash", "man", "config show"] {
        let ran = bare(line);
        assert_eq!(ran.code, Some(0), "{ran}");
        assert!(!ran.out.contains("/proc/"), "{ran}");
    }
    let ran = bare("list");
    assert_eq!(ran.code, Some(10), "{ran}");
    assert!(ran.err.contains("pass --home DIR"), "{ran}");
}
