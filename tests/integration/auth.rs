//! Passwords and ACL files: who has them gets in, who has not does not, and they are told to nobody.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::sandbox::{Ran, Running, Sandbox, nodes, ports, process_words, wait_for};
use crate::witness::{Guest, field};

const HOST: &str = "127.0.0.1";

/// A primary and its replica, which must be let in too.
const PAIR: &str = "--primaries 1 --replicas 1";

/// Runs the program with `input` on its standard input.
fn with_input(mut command: Command, input: &str, label: &str) -> Ran {
    let mut file = tempfile::tempfile().expect("a temporary file");
    file.write_all(input.as_bytes()).expect("written");
    std::io::Seek::rewind(&mut file).expect("rewound");
    command.stdin(Stdio::from(file));
    Ran::of(command, label)
}

fn words(line: &str) -> Vec<&str> {
    line.split_ascii_whitespace().collect()
}

/// That every node lets `guest` in, and nobody without a password; and that replicas are in sync.
fn assert_let_in(document: &Value, guest: &Guest) {
    for port in ports(document) {
        assert_eq!(guest.ask(HOST, port, &["PING"]), "PONG", "{port}");
        let nobody = Guest::default().ask(HOST, port, &["PING"]);
        let error = nobody["error"].as_str().unwrap_or_default();
        assert!(error.starts_with("NOAUTH"), "{port}: {nobody}");
        let stranger = Guest::with("another").ask(HOST, port, &["PING"]);
        let error = stranger["error"].as_str().unwrap_or_default();
        assert!(error.starts_with("WRONGPASS"), "{port}: {stranger}");
    }
}

/// A cluster lives with `password`: made, looked at, stopped, started, found as asked, removed.
fn live_with(password: &str, line_break: &str) {
    let sandbox = Sandbox::new();
    let file = sandbox.file("password", format!("{password}{line_break}"));
    let guest = Guest::with(password);
    let up = sandbox.ok(&format!(
        "up --port auto --json {PAIR} --password-file {file}"
    ));
    let document = up.json();
    guest.assert_ready(&document, 1, 1);
    assert_let_in(&document, &guest);
    let status = sandbox.status();
    assert_eq!(
        status["state"], "ok",
        "{password:?}: {}",
        status["problems"]
    );
    let recorded = document["password_file"].as_str().expect("a path");
    assert_eq!(fs::read_to_string(recorded).expect("readable"), password);

    sandbox.ok("stop");
    let started = sandbox.ok("start --json").json();
    guest.assert_ready(&started, 1, 1);
    assert_let_in(&started, &guest);
    let again = sandbox.ok(&format!("up --json --password-file {file}"));
    assert_eq!(again.json()["changed"], false, "{again}");
    sandbox.gone("down --yes");
}

/// The same with many: at once, because nodes with data take their time when they start again.
fn live_with_all(passwords: &[(&str, &str)]) {
    std::thread::scope(|scope| {
        for (password, line_break) in passwords {
            scope.spawn(|| live_with(password, line_break));
        }
    });
}

#[test]
fn passwords_with_odd_characters_do_what_plain_ones_do() {
    let passwords = [
        "with some spaces",
        "both 'kinds' of \"quotes\"",
        "back\\slash\\n and \\x41\\",
        "# no comment",
        " leading and trailing ",
        "\ttab",
        "pässwörd 密码 🔑",
    ];
    live_with_all(&passwords.map(|password| (password, "\n")));
}

#[test]
fn passwords_that_look_like_something_else_do_what_plain_ones_do() {
    live_with_all(&[
        ("two\nlines", "\n"),
        ("ends with a line break\n", "\n"),
        ("windows", "\r\n"),
        ("no line break", ""),
        ("carriage return\r", ""),
        ("--x", "\n"),
        ("%s%n", "\n"),
        ("$HOME `id` $(id)", "\n"),
        ("\u{7f}\u{1b}[31m", "\n"),
        ("\u{feff}bom", "\n"),
        (&*"x".repeat(512), "\n"),
        (&*"é".repeat(256), ""),
    ]);
}

#[test]
fn a_password_may_come_from_standard_input_or_the_environment() {
    let password = "from \"somewhere\"\nelse";
    let guest = Guest::with(password);
    let line = format!("up --port auto --json {PAIR}");

    let sandbox = Sandbox::new();
    let command = sandbox.command(&words(&format!("{line} --password-file -")));
    let up = with_input(command, &format!("{password}\n"), "up --password-file -");
    assert_eq!(up.code, Some(0), "{up}");
    assert_let_in(&up.json(), &guest);
    sandbox.ok("stop");
    // Who knows it need not say it again, and who says another is told so.
    assert_let_in(&sandbox.ok("start --json").json(), &guest);
    let other = with_input(
        sandbox.command(&["up", "--password-file", "-"]),
        "hunter2",
        "up with another password",
    );
    assert_eq!(other.code, Some(7), "{other}");
    sandbox.gone("down --yes");

    let sandbox = Sandbox::new();
    let mut command = sandbox.command(&words(&line));
    command.env("RCLUSTER_PASSWORD", password);
    let up = Ran::of(command, "up with RCLUSTER_PASSWORD");
    assert_eq!(up.code, Some(0), "{up}");
    assert_let_in(&up.json(), &guest);
    assert_eq!(sandbox.status()["state"], "ok");
    // A file is more than the environment.
    let file = sandbox.file("password", password);
    let mut command = sandbox.command(&["up", "--json", "--password-file", &file]);
    command.env("RCLUSTER_PASSWORD", "hunter2");
    let again = Ran::of(command, "up with both");
    assert_eq!(again.code, Some(0), "{again}");
    assert_eq!(again.json()["changed"], false);
    sandbox.gone("down --yes");
}

#[test]
fn a_password_that_is_made_up_is_strong_and_to_be_found() {
    let mut seen = BTreeSet::new();
    for _ in 0..2 {
        let sandbox = Sandbox::new();
        let up = sandbox.up(&format!("{PAIR} --generate-password"));
        let path = PathBuf::from(up["password_file"].as_str().expect("a path"));
        let password = fs::read_to_string(&path).expect("readable");
        assert!(password.len() >= 32, "too short to be strong");
        assert!(password.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        assert_let_in(&up, &Guest::with(&password));
        assert_eq!(
            sandbox.ok("up --json --generate-password").json()["changed"],
            false
        );
        seen.insert(password);
        // The hint is a command that works as it stands.
        let hint = sandbox.ok("up").err;
        let (_, client) = hint.trim_end().split_once("next: ").expect("a hint");
        assert!(
            client.contains("redis-cli") || client.contains("valkey-cli"),
            "{hint}"
        );
        let client = client.replace("valkey-cli", "redis-cli");
        let said = Command::new("sh")
            .args(["-c", &format!("{client} PING")])
            .output()
            .expect("sh runs");
        assert_eq!(String::from_utf8_lossy(&said.stdout), "PONG\n", "{client}");
        sandbox.gone("down --yes");
    }
    assert_eq!(seen.len(), 2, "the same twice");
}

#[test]
fn a_cluster_keeps_its_password_and_neither_is_shown() {
    let sandbox = Sandbox::new();
    let [first, second] = ["hunter2-first", "hunter2-second"];
    let file = sandbox.file("first", first);
    let other = sandbox.file("second", second);
    let shape = format!("--port auto {PAIR}");
    let up = sandbox
        .ok(&format!("up {shape} --password-file {file} --json"))
        .json();
    let refuse = |ran: Ran| {
        assert_eq!(ran.code, Some(7), "{ran}");
        assert!(ran.err.contains("password"), "{ran}");
        for secret in ["hunter2", "first", "second"] {
            let said = ran.err.replace(&file, "").replace(&other, "");
            assert!(!said.contains(secret), "a secret is told on: {ran}");
        }
    };
    for verb in ["up", "start"] {
        for json in ["", "--json"] {
            refuse(sandbox.run(&format!("{verb} --password-file {other} {json}")));
            let mut command = sandbox.command(&words(&format!("{verb} {json}")));
            command.env("RCLUSTER_PASSWORD", second);
            refuse(Ran::of(command, verb));
        }
        let same = sandbox.ok(&format!("{verb} --password-file {file} --json"));
        assert_eq!(same.json()["changed"], false, "{same}");
    }
    assert_let_in(&up, &Guest::with(first));
    sandbox.gone("down --yes");

    // And one that has none does not get one in passing.
    sandbox.up(PAIR);
    for line in [
        &format!("up --password-file {file}"),
        "up --generate-password",
    ] {
        let ran = sandbox.fails(line, 7);
        assert!(ran.err.contains("password"), "{ran}");
    }
    sandbox.gone("down --yes");
}

/// A file of users: nobody by default, one for rcluster, one for replicas.
const USERS: &str = "\
user default off
user tool on >tool-word ~* &* +@all
user copy on >copy-word +psync +replconf +ping
";

/// The options for [`USERS`] with `users` in their place.
fn acl_options(sandbox: &Sandbox, users: &str) -> String {
    let users = sandbox.file("users.acl", users);
    let tool = sandbox.file("tool", "tool-word\n");
    let copy = sandbox.file("copy", "copy-word\n");
    format!(
        "--aclfile {users} --user tool --password-file {tool} \
         --replication-user copy --replication-password-file {copy}"
    )
}

fn assert_users(document: &Value, primaries: usize, replicas: usize) {
    let tool = Guest::of("tool", "tool-word");
    tool.assert_ready(document, primaries, replicas);
    for port in ports(document) {
        for nobody in [
            Guest::default(),
            Guest::with("tool-word"),
            Guest::of("tool", "copy-word"),
        ] {
            let answer = nobody.ask(HOST, port, &["DBSIZE"]);
            let error = answer["error"].as_str().unwrap_or_default();
            assert!(
                error.starts_with("NOAUTH") || error.starts_with("WRONGPASS"),
                "{answer}"
            );
        }
        let copy = Guest::of("copy", "copy-word").ask(HOST, port, &["DBSIZE"]);
        assert!(copy["error"].to_string().contains("NOPERM"), "{copy}");
        assert_eq!(tool.config(HOST, port, "masteruser"), "copy");
    }
}

#[test]
fn a_cluster_with_an_acl_file_lives_its_whole_life() {
    let sandbox = Sandbox::new();
    let options = acl_options(&sandbox, USERS);
    let tool = Guest::of("tool", "tool-word");
    let started = sandbox
        .ok(&format!("start --port auto --json {options}"))
        .json();
    assert_eq!(started["state"], "unformed");
    let created = sandbox.ok("create --json").json();
    assert_users(&created, 3, 1);
    assert_eq!(created["user"], "tool");
    assert_eq!(sandbox.status()["state"], "ok");
    // What users change with ACL SAVE is theirs, also over a restart.
    let port = ports(&created)[0];
    assert_eq!(
        tool.ask(
            HOST,
            port,
            &["ACL", "SETUSER", "late", "on", ">late-word", "+ping"]
        ),
        "OK"
    );
    assert_eq!(tool.ask(HOST, port, &["ACL", "SAVE"]), "OK");

    sandbox.ok("stop");
    assert_users(&sandbox.ok("start --json").json(), 3, 1);
    assert_eq!(
        Guest::of("late", "late-word").ask(HOST, port, &["PING"]),
        "PONG"
    );
    let again = sandbox.ok(&format!("up --json {options}"));
    assert_eq!(again.json()["changed"], false, "{again}");
    sandbox.gone("down --yes");

    let up = sandbox
        .ok(&format!("up --port auto --json {options}"))
        .json();
    assert_users(&up, 3, 1);
    let other = sandbox.file("other.acl", format!("{USERS}user more on nopass +ping\n"));
    for wish in [
        format!("--aclfile {other}"),
        "--aclfile /dev/null".into(),
        format!("--replication-user tool --aclfile {other}"),
    ] {
        let ran = sandbox.run(&format!("up {wish}"));
        assert!(matches!(ran.code, Some(2 | 7)), "{ran}");
    }
    sandbox.gone("down --yes");
}

#[test]
fn an_acl_file_that_the_server_cannot_read_is_shown_in_its_words_and_nothing_is_left() {
    for (line, said) in [
        ("user late on >hunter2 +@nonexistent", "users.acl"),
        ("user late on >hunter2 +@all cheese", "users.acl"),
        ("usr late on >hunter2", "users.acl"),
        ("user late cheese", "ACL errors"),
    ] {
        let sandbox = Sandbox::new();
        let options = acl_options(&sandbox, &format!("{USERS}{line}\n"));
        for verb in ["up", "start"] {
            let ran = sandbox.fails(&format!("{verb} --port auto {options}"), 1);
            assert!(ran.err.contains(said), "{line}: {ran}");
            assert!(!ran.err.contains("hunter2"), "a secret is told on: {ran}");
            sandbox.assert_untouched(&ran);
        }
    }
}

/// What a user may lack, and the word by which the server names it. Not every server has a use for
/// WAIT.
const RIGHTS: [(&str, &str); 7] = [
    ("-config", "'config"),
    ("-cluster", "'cluster"),
    ("-info", "'info"),
    ("-set", "'set"),
    ("-del", "'del"),
    ("-wait", "'wait"),
    ("resetkeys ~other:*", "key"),
];

fn assert_lacks(ran: &Ran, (rights, lacks): (&str, &str)) {
    assert_eq!(ran.code, Some(8), "{rights}: {ran}");
    let error = ran.json_error();
    assert_eq!(error["code"], "refused_by_server");
    let message = error["message"].as_str().expect("a message");
    assert!(
        message.contains("NOPERM") && message.contains(lacks),
        "{rights}: {error}"
    );
}

#[test]
fn a_user_without_the_rights_that_are_needed_is_refused_by_the_name_of_what_it_lacks() {
    for (rights, lacks) in RIGHTS {
        let users = USERS.replace("+@all", &format!("+@all {rights}"));
        let sandbox = Sandbox::new();
        let options = acl_options(&sandbox, &users);
        let began = Instant::now();
        let up = sandbox.run(&format!("up --port auto --timeout 30s {options} --json"));
        if up.code == Some(0) && rights == "-wait" {
            assert_users(&up.json(), 3, 1);
            sandbox.gone("down --yes");
            continue;
        }
        assert_lacks(&up, (rights, lacks));
        assert!(
            began.elapsed() < Duration::from_secs(15),
            "not at once: {up}"
        );
        sandbox.assert_untouched(&up);
    }
}

#[test]
fn create_without_the_rights_that_are_needed_is_refused_and_the_nodes_stay() {
    for (rights, lacks) in RIGHTS {
        let users = USERS.replace("+@all", &format!("+@all {rights}"));
        let sandbox = Sandbox::new();
        let line = format!(
            "start --port auto --json {PAIR} {}",
            acl_options(&sandbox, &users)
        );
        let started = sandbox.run(&line);
        if rights == "-info" {
            // It is asked for already to know who answers.
            assert_lacks(&started, (rights, lacks));
            sandbox.assert_untouched(&started);
            continue;
        }
        assert_eq!(started.code, Some(0), "{started}");
        let created = sandbox.run("create --json --timeout 30s");
        if created.code == Some(0) && rights == "-wait" {
            assert_users(&created.json(), 1, 1);
        } else {
            assert_lacks(&created, (rights, lacks));
        }
        // A node that writes a snapshot is two processes for a moment.
        wait_for("two nodes to run", || {
            (sandbox.survivors().len() == 2).then_some(())
        });
        sandbox.gone("down --yes");
    }
}

#[test]
fn a_user_whom_nobody_lets_in_is_refused_and_nothing_is_left() {
    let users = [
        ("another password", USERS.replace("tool-word", "another")),
        ("a user that is off", USERS.replace("tool on", "tool off")),
        ("no such user", USERS.replace("user tool", "user someone")),
    ];
    for (what, users) in users {
        let sandbox = Sandbox::new();
        let options = acl_options(&sandbox, &users);
        for verb in ["up", "start"] {
            let ran = sandbox.fails(&format!("{verb} --port auto {options} --json"), 8);
            let error = ran.json_error();
            assert!(
                error["message"].to_string().contains("WRONGPASS"),
                "{what}: {error}"
            );
            assert!(!ran.err.contains("tool-word"), "{what}: {ran}");
            sandbox.assert_untouched(&ran);
        }
    }
    // Nobody at all: the file turns the default user off, and no other is named.
    let sandbox = Sandbox::new();
    let users = sandbox.file("users.acl", USERS);
    let ran = sandbox.fails(&format!("up --port auto --aclfile {users}"), 8);
    assert!(ran.err.contains("NOAUTH"), "{ran}");
    sandbox.assert_untouched(&ran);
}

#[test]
fn a_password_that_was_changed_behind_our_back_is_seen_and_stops_nobody_from_stopping() {
    let sandbox = Sandbox::new();
    let file = sandbox.file("password", "old");
    let up = sandbox.up(&format!("{PAIR} --password-file {file}"));
    let port = ports(&up)[1];
    let old = Guest::with("old");
    assert_eq!(
        old.ask(HOST, port, &["CONFIG", "SET", "requirepass", "new"]),
        "OK"
    );

    let began = Instant::now();
    let status = sandbox.fails("status --json", 5);
    assert!(began.elapsed() < Duration::from_secs(5), "status hung");
    let status = status.json();
    assert_eq!(process_words(&status), ["running", "running"]);
    let problems = status["problems"].to_string();
    assert!(
        problems.contains(&format!("{port} ")) && problems.contains("WRONGPASS"),
        "{problems}"
    );
    for verb in ["up", "start", "create"] {
        let ran = sandbox.fails(&format!("{verb} --json"), 8);
        let error = ran.json_error();
        assert!(
            error["message"]
                .to_string()
                .contains(&format!("{HOST}:{port}")),
            "{error}"
        );
    }
    sandbox.ok("stop");
    assert!(sandbox.survivors().is_empty());
    // It was changed in the server only: started again, it is the old one.
    old.assert_ready(&sandbox.ok("start --json").json(), 1, 1);
    assert_eq!(
        old.ask(HOST, port, &["CONFIG", "SET", "requirepass", "new"]),
        "OK"
    );
    sandbox.gone("down --yes");
}

// Secrets.

/// What only the files that are meant for it may hold.
const PASSWORD: &str = "Sw33pTheFloorForMe";
const TOOL: &str = "Wr3nchesAndHammers";
const REPLICATION: &str = "R3plicasMayComeInToo";

/// Every process in whose arguments or environment one of `secrets` is: its PID, where, and its name.
fn tellers(secrets: &[&str]) -> Vec<(u32, &'static str, String)> {
    let mut found = Vec::new();
    for process in fs::read_dir("/proc").expect("/proc").flatten() {
        let Some(pid) = process
            .file_name()
            .to_str()
            .and_then(|pid| pid.parse().ok())
        else {
            continue;
        };
        for place in ["cmdline", "environ"] {
            let text = fs::read(process.path().join(place)).unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            if secrets.iter().any(|secret| text.contains(secret)) {
                let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
                found.push((pid, place, name.trim().to_owned()));
            }
        }
    }
    found
}

/// Runs the program while the process table is read again and again. Servers must have been seen
/// while it ran; returns what the program said.
fn watched(sandbox: &Sandbox, command: Command, label: &str, secrets: &[&str], own: bool) -> Ran {
    let mut running = Running::of(command, label);
    let (mut looks, mut told) = (0, Vec::new());
    while running.is_running() {
        told.extend(tellers(secrets));
        looks += usize::from(!sandbox.survivors().is_empty());
    }
    let ran = running.end();
    // Whoever hands the password over in the environment has it there, and so has what it forks
    // until that is another program.
    told.retain(|(_, place, name)| !(own && *place == "environ" && name == "rcluster"));
    assert!(told.is_empty(), "secrets in the process table: {told:?}");
    assert!(looks > 0, "no server was seen while it ran: {ran}");
    ran
}

/// Files below `root` that hold one of `secrets`, relative.
fn holders(root: &Path, files: &[PathBuf], secrets: &[&str]) -> BTreeSet<PathBuf> {
    let holds = |path: &&PathBuf| {
        let bytes = fs::read(root.join(path)).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        secrets.iter().any(|secret| text.contains(secret))
    };
    files.iter().filter(holds).cloned().collect()
}

/// That `secrets` are in the files `meant` alone, which, and whose directories, are for us alone.
fn assert_kept(sandbox: &Sandbox, secrets: &[&str], meant: &dyn Fn(&Path) -> bool) {
    let (home, files) = (sandbox.home(), sandbox.files());
    let holders = holders(&home, &files, secrets);
    assert!(
        !holders.is_empty(),
        "nobody has the secret: the test is blind"
    );
    for path in &holders {
        assert!(meant(path), "a secret is in {}", path.display());
        let mode = |path: &Path| {
            let about = fs::symlink_metadata(home.join(path)).expect("it is there");
            about.permissions().mode() & 0o7777
        };
        assert_eq!(mode(path), 0o600, "{}", path.display());
        let dir = path.parent().expect("a directory");
        assert_eq!(mode(dir), 0o700, "{}", dir.display());
    }
}

fn is_password_file(path: &Path) -> bool {
    let name = path.file_name().expect("a name");
    path.parent().is_some_and(|dir| dir.ends_with("secrets"))
        || name == "redis.conf"
        || name == "users.acl"
}

#[test]
fn a_password_is_in_its_files_and_nowhere_else() {
    for from_environment in [true, false] {
        let sandbox = Sandbox::new();
        let secrets = [PASSWORD];
        let line = format!("up -v --port auto {PAIR}");
        let mut ran = Vec::new();
        let mut command = sandbox.command(&words(&line));
        if from_environment {
            command.env("RCLUSTER_PASSWORD", PASSWORD);
        } else {
            let mut input = tempfile::tempfile().expect("a temporary file");
            input.write_all(PASSWORD.as_bytes()).expect("written");
            std::io::Seek::rewind(&mut input).expect("rewound");
            command
                .args(["--password-file", "-"])
                .stdin(Stdio::from(input));
        }
        ran.push(watched(
            &sandbox,
            command,
            &line,
            &secrets,
            from_environment,
        ));
        assert_let_in(&sandbox.status(), &Guest::with(PASSWORD));
        assert_eq!(tellers(&secrets), []);
        assert_kept(&sandbox, &secrets, &is_password_file);
        for line in [
            "status",
            "status --json",
            "list --json",
            "up --json -v",
            "stop --json -v",
            "status --json",
            "start --json -v",
            "create -v",
        ] {
            ran.push(sandbox.run(line));
        }
        assert_kept(&sandbox, &secrets, &is_password_file);
        // Nor when a server ends with a word about its configuration.
        sandbox.ok("stop");
        for file in sandbox
            .files()
            .iter()
            .filter(|path| path.ends_with("redis.conf"))
        {
            let mut file = File::options()
                .append(true)
                .open(sandbox.home().join(file))
                .expect("there");
            writeln!(file, "cheese yes").expect("written");
        }
        ran.push(sandbox.fails("start -v", 1));
        ran.push(sandbox.fails("start --json -v", 1));
        for ran in &ran {
            for text in [&ran.out, &ran.err] {
                assert!(!text.contains(PASSWORD), "a secret is told on: {ran}");
            }
        }
        assert!(
            ran[0].code == Some(0) && ran[0].err.contains("ready"),
            "{}",
            ran[0]
        );
        sandbox.gone("down --yes");
    }
}

#[test]
fn the_secrets_of_an_acl_cluster_are_in_their_files_and_nowhere_else() {
    let sandbox = Sandbox::new();
    let secrets = [TOOL, REPLICATION];
    let users = USERS
        .replace("tool-word", TOOL)
        .replace("copy-word", REPLICATION);
    let users = sandbox.file("users.acl", users);
    let tool = sandbox.file("tool", TOOL);
    let copy = sandbox.file("copy", REPLICATION);
    let line = format!(
        "start -v --port auto {PAIR} --aclfile {users} --user tool --password-file {tool} \
         --replication-user copy --replication-password-file {copy}"
    );
    let start = watched(
        &sandbox,
        sandbox.command(&words(&line)),
        &line,
        &secrets,
        false,
    );
    let create = watched(
        &sandbox,
        sandbox.command(&["create", "-v"]),
        "create",
        &secrets,
        false,
    );
    let guest = Guest::of("tool", TOOL);
    guest.assert_ready(&sandbox.status(), 1, 1);
    let said = [
        start,
        create,
        sandbox.ok("status --json"),
        sandbox.ok("stop -v --json"),
    ];
    for ran in &said {
        for secret in secrets {
            assert!(!format!("{}{}", ran.out, ran.err).contains(secret), "{ran}");
        }
    }
    assert_kept(&sandbox, &secrets, &is_password_file);
    // Each of them where it belongs.
    let home = sandbox.home();
    let files = sandbox.files();
    for (secret, file) in [(TOOL, "password"), (REPLICATION, "replication-password")] {
        let path = Path::new("default/secrets").join(file);
        assert!(holders(&home, &files, &[secret]).contains(&path), "{file}");
    }
    sandbox.gone("down --yes");
}

#[test]
fn replicas_come_in_with_the_password_of_the_replication_user() {
    let sandbox = Sandbox::new();
    let options = acl_options(&sandbox, USERS);
    let up = sandbox
        .ok(&format!("up --port auto --json {PAIR} {options}"))
        .json();
    let tool = Guest::of("tool", "tool-word");
    let primary = nodes(&up)
        .iter()
        .find(|node| node["role"] == "primary")
        .and_then(|node| node["port"].as_u64())
        .expect("a primary");
    let clients = tool.text(HOST, primary, &["CLIENT", "LIST", "TYPE", "REPLICA"]);
    assert!(clients.contains("user=copy"), "{clients}");
    let replication = tool.text(HOST, primary, &["INFO", "replication"]);
    assert_eq!(
        field(&replication, "connected_slaves").as_deref(),
        Some("1")
    );
    sandbox.gone("down --yes");
}
