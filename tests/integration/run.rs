//! `run`: a command with a cluster of its own, which is gone however the command, or rcluster, ends.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::sandbox::{self, Ran, Running, Sandbox, hang_up_is_heard, signal, wait_for};

/// The directory for the temporary homes of a test.
fn tmp(sandbox: &Sandbox) -> PathBuf {
    let dir = sandbox.path().join("tmp");
    fs::create_dir_all(&dir).expect("made");
    dir
}

/// `run` with its home in the sandbox, and the shell line `script` as its command.
fn command(sandbox: &Sandbox, options: &[&str], script: &str) -> Command {
    let dir = tmp(sandbox);
    let mut words = vec!["run", "--tmp-dir", dir.to_str().expect("UTF-8")];
    words.extend(options);
    words.extend(["--", "sh", "-c", script]);
    sandbox.command(&words)
}

/// `command` as the last arguments of another program, with all that it was given.
fn behind(words: &[&str], command: &Command) -> Command {
    let mut outer = Command::new(words[0]);
    outer
        .args(&words[1..])
        .arg(command.get_program())
        .args(command.get_args());
    if let Some(dir) = command.get_current_dir() {
        outer.current_dir(dir);
    }
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => outer.env(name, value),
            None => outer.env_remove(name),
        };
    }
    outer
}

fn run(sandbox: &Sandbox, options: &[&str], script: &str) -> Ran {
    Ran::of(command(sandbox, options, script), script)
}

/// That no process and no file is left of any run, and the home was not touched.
fn assert_nothing_left(sandbox: &Sandbox, ran: impl std::fmt::Display) {
    assert_eq!(sandbox.survivors().len(), 0, "{ran}");
    assert_eq!(
        fs::read_dir(tmp(sandbox)).expect("listed").count(),
        0,
        "{ran}"
    );
    assert!(!sandbox.home().exists(), "{ran}");
}

/// Waits until the command of a run has written `file`.
fn wait_for_file(file: &Path) -> String {
    wait_for("the command to write its file", || {
        fs::read_to_string(file)
            .ok()
            .filter(|text| text.ends_with('\n'))
    })
}

#[test]
fn the_command_finds_a_ready_cluster_in_its_environment_and_its_code_is_ours() {
    let sandbox = Sandbox::new();
    let ran = run(
        &sandbox,
        &[],
        "redis-cli -u $REDIS_URL -c set wat 2 && echo $REDIS_CLUSTER_NODES && echo $RCLUSTER_HOME && exit 7",
    );
    assert_eq!(ran.code, Some(7), "{ran}");
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!(lines.len(), 3, "standard output is the command's: {ran}");
    assert_eq!(lines[0], "OK", "{ran}");
    assert_eq!(lines[1].split(',').count(), 6, "{ran}");
    assert!(
        lines[2].starts_with(tmp(&sandbox).to_str().expect("UTF-8")),
        "{ran}"
    );
    assert!(ran.err.contains("3 primaries and 3 replicas of "), "{ran}");
    assert!(ran.err.contains("; running sh"), "{ran}");
    assert_nothing_left(&sandbox, &ran);
}

#[test]
fn rcluster_itself_is_at_home_in_the_command() {
    let sandbox = Sandbox::new();
    let rcluster = env!("CARGO_BIN_EXE_rcluster");
    // A node that the command has started again is ended with the others.
    let script = format!(
        "{rcluster} status --json >/dev/null && {rcluster} -q stop && {rcluster} status >/dev/null; test $? = 3 && {rcluster} -q start && redis-cli -u $REDIS_URL ping"
    );
    let ran = run(&sandbox, &["-q"], &script);
    assert_eq!(ran.code, Some(0), "{ran}");
    assert!(ran.out.ends_with("PONG\n"), "{ran}");
    assert_nothing_left(&sandbox, &ran);
}

#[test]
fn what_is_quiet_says_nothing() {
    let sandbox = Sandbox::new();
    let ran = run(
        &sandbox,
        &["-q", "--primaries", "1", "--replicas", "0"],
        "true",
    );
    assert_eq!(
        (ran.code, ran.out.as_str(), ran.err.as_str()),
        (Some(0), "", ""),
        "{ran}"
    );
    assert_nothing_left(&sandbox, &ran);
}

#[test]
fn failures_before_the_command_are_told_from_the_commands_own() {
    let sandbox = Sandbox::new();
    let plain = sandbox.file("plain", "not a program");
    for (words, code, json) in [
        (
            &["--", "no-such-program-anywhere"][..],
            127,
            "command_not_found",
        ),
        (&["--", "./no-such-program"], 127, "command_not_found"),
        (&["--", "/"], 126, "not_executable"),
        (&["--", &plain], 126, "not_executable"),
        (
            &["--server", "/nonexistent/redis-server", "--", "true"],
            125,
            "environment",
        ),
        (&["--primaries", "0", "--", "true"], 125, "usage"),
        (&["--set", "requirepass=x", "--", "true"], 125, "usage"),
        (
            &["--set", "maxmemory=nonsense", "--", "true"],
            125,
            "node_died",
        ),
        (&["--retain", "--", "true"], 125, "usage"),
        (&["--tmp-dir", "./not-there", "--", "true"], 125, "io"),
    ] {
        let dir = tmp(&sandbox);
        let mut line = vec!["run", "--json"];
        if words[0] != "--tmp-dir" {
            line.extend(["--tmp-dir", dir.to_str().expect("UTF-8")]);
        }
        line.extend(words);
        let ran = sandbox.run_words(&line);
        assert_eq!(ran.code, Some(code), "{ran}");
        assert_eq!(ran.json_error()["code"], json, "{ran}");
        assert_nothing_left(&sandbox, &ran);
    }
    // What cannot be read as a command line is bad usage, as everywhere.
    for line in ["run", "run true", "run --no-such-option -- true"] {
        let ran = sandbox.fails(line, 2);
        assert_nothing_left(&sandbox, &ran);
    }
}

#[test]
fn a_command_that_a_signal_ends_is_told_as_shells_tell_it() {
    let sandbox = Sandbox::new();
    for (name, code) in [("TERM", 143), ("KILL", 137), ("SEGV", 139)] {
        let ran = run(&sandbox, &["--replicas=0"], &format!("kill -{name} $$"));
        assert_eq!((ran.code, ran.signal), (Some(code), None), "{ran}");
        assert_nothing_left(&sandbox, &ran);
    }
}

#[test]
fn signals_are_passed_on_and_the_command_decides() {
    let sandbox = Sandbox::new();
    let file = sandbox.path().join("signals");
    let script = format!(
        "for s in HUP INT QUIT USR1 USR2; do trap \"echo $s >> {0}\" $s; done; trap 'echo TERM >> {0}; exit 3' TERM; echo ready >> {0}; while :; do sleep 0.05; done",
        file.display()
    );
    let running = Running::of(command(&sandbox, &["--replicas=0"], &script), "run");
    wait_for_file(&file);
    let mut wanted = "ready\n".to_owned();
    for name in ["HUP", "INT", "QUIT", "USR1", "USR2"] {
        if name == "HUP" && !hang_up_is_heard() {
            continue;
        }
        wanted += name;
        wanted += "\n";
        signal(name, running.pid());
        wait_for("the signal", || {
            fs::read_to_string(&file).ok()?.contains(name).then_some(())
        });
    }
    signal("TERM", running.pid());
    let ran = running.end();
    assert_eq!(ran.code, Some(3), "{ran}");
    let said = fs::read_to_string(&file).expect("written");
    assert_eq!(said, wanted + "TERM\n", "each came once");
    assert_nothing_left(&sandbox, &ran);
}

/// Types `keys` into a terminal of its own that `command` runs in, once `file` is there.
fn on_a_terminal(sandbox: &Sandbox, line: &str, file: &Path, keys: &[u8]) -> Ran {
    let mut terminal = sandbox::on_a_terminal(line);
    terminal
        .env("RCLUSTER_HOME", sandbox.home())
        .current_dir(sandbox.path())
        .stdin(Stdio::piped());
    if let Some(server) = std::env::var_os("RCLUSTER_TEST_SERVER") {
        terminal.env("RCLUSTER_SERVER", server);
    }
    let mut terminal = Running::of(terminal, line);
    wait_for_file(file);
    let mut keyboard = terminal.stdin();
    keyboard.write_all(keys).expect("typed");
    // Closed before the end it would type an end of file.
    let ran = terminal.end();
    drop(keyboard);
    ran
}

#[test]
fn an_interrupt_at_the_terminal_reaches_the_command_once() {
    let sandbox = Sandbox::new();
    let file = sandbox.path().join("signals");
    let script = sandbox.script(
        "waits",
        &format!(
            "trap 'echo INT >> {0}; exit 5' INT\necho ready >> {0}\nwhile :; do sleep 0.05; done",
            file.display()
        ),
    );
    let line = format!(
        "{} run --replicas=0 --primaries=1 --tmp-dir {} -- {script}",
        env!("CARGO_BIN_EXE_rcluster"),
        tmp(&sandbox).display()
    );
    // That the command ends at once is the hard case: its end and the interrupt come together.
    for _ in 0..5 {
        fs::remove_file(&file).ok();
        let ran = on_a_terminal(&sandbox, &line, &file, b"\x03");
        assert_eq!(ran.code, Some(5), "{ran}");
        assert_eq!(fs::read_to_string(&file).expect("written"), "ready\nINT\n");
        assert_nothing_left(&sandbox, ran);
    }
}

#[test]
fn started_to_ignore_a_hang_up_it_does() {
    let sandbox = Sandbox::new();
    let file = sandbox.path().join("ready");
    // It ends when the hang-up was sent, whenever that is.
    let script = format!(
        "echo ready > {}; until test -e sent; do sleep 0.05; done; exit 4",
        file.display()
    );
    let command = command(&sandbox, &["-q", "--replicas=0"], &script);
    let nohup = behind(&["nohup"], &command);
    let running = Running::of(nohup, "run");
    wait_for_file(&file);
    signal("HUP", running.pid());
    sandbox.file("sent", "");
    let ran = running.end();
    assert_eq!(ran.code, Some(4), "{ran}");
    assert_nothing_left(&sandbox, &ran);
}

#[test]
fn the_command_may_ask_at_the_terminal() {
    let sandbox = Sandbox::new();
    let file = sandbox.path().join("asked");
    let script = sandbox.script(
        "asks",
        &format!(
            "echo ready > {}\nread -r answer\ntest \"$answer\" = yes",
            file.display()
        ),
    );
    let line = format!(
        "{} run --replicas=0 --tmp-dir {} -- {script}",
        env!("CARGO_BIN_EXE_rcluster"),
        tmp(&sandbox).display()
    );
    let ran = on_a_terminal(&sandbox, &line, &file, b"yes\r");
    assert_eq!(ran.code, Some(0), "{ran}");
    assert_nothing_left(&sandbox, ran);
}

#[test]
fn interrupted_before_the_command_it_leaves_nothing() {
    let sandbox = Sandbox::new();
    for (name, number) in [("INT", 2), ("TERM", 15), ("HUP", 1)] {
        if name == "HUP" && !hang_up_is_heard() {
            continue;
        }
        let mut running = Running::of(
            command(&sandbox, &["--primaries=9", "--replicas=2"], "sleep 60"),
            "run",
        );
        wait_for("a server", || {
            (!running.is_running() || !sandbox.survivors().is_empty()).then_some(())
        });
        signal(name, running.pid());
        let ran = running.end();
        assert!(
            (ran.code, ran.signal) == (None, Some(number)) || ran.code == Some(128 + number),
            "{ran}"
        );
        assert_nothing_left(&sandbox, &ran);
    }
}

#[test]
fn killed_at_any_moment_its_nodes_are_gone_within_two_seconds() {
    let rcluster = env!("CARGO_BIN_EXE_rcluster");
    for (moment, script) in [
        (Some(120), "exec sleep 30".to_owned()),
        (None, "exec sleep 30".to_owned()),
        // Started again by somebody else, they are in nobody's group.
        (None, format!("{rcluster} -q stop && {rcluster} -q start && echo again > again; exec sleep 30")),
        // A node that is stopped takes no SIGTERM.
        (None, "kill -STOP $(cat $RCLUSTER_HOME/default/processes.json | grep -o '\"pid\": *[0-9]*' | grep -o '[0-9]*' | head -2); echo again > again; exec sleep 30".to_owned()),
    ] {
        let sandbox = Sandbox::new();
        let file = sandbox.path().join("again");
        let ready = format!("echo $$ > ready; exec sh -c '{}'", script.replace('\'', "'\\''"));
        let mut running = Running::of(command(&sandbox, &["-q"], &ready), "run");
        match moment {
            Some(moment) => {
                let began = Instant::now();
                wait_for("a moment", || {
                    (began.elapsed() > Duration::from_millis(moment)).then_some(())
                });
            }
            None => drop(wait_for_file(&sandbox.path().join("ready"))),
        }
        if script.contains("again") {
            wait_for_file(&file);
        }
        assert!(running.is_running(), "{script}");
        signal("KILL", running.pid());
        // The command is not ours to end; its directory is the sandbox itself.
        sandbox.is_soon_empty(&script);
        wait_for("the home to be gone", || {
            (fs::read_dir(tmp(&sandbox)).expect("listed").count() == 0).then_some(())
        });
        // The command outlives us, as it would any parent.
        if let Ok(command) = fs::read_to_string(sandbox.path().join("ready")) {
            signal("KILL", command.trim());
        }
    }
}

#[test]
fn many_at_once_do_not_collide() {
    let sandbox = Sandbox::new();
    let runs: Vec<Running> = (0..4)
        .map(|_| {
            let script = "redis-cli -u $REDIS_URL dbsize && redis-cli -c -u $REDIS_URL set mine 1 && echo $RCLUSTER_HOME $REDIS_CLUSTER_NODES && sleep 0.5";
            Running::of(command(&sandbox, &["-q", "--replicas=0"], script), "run")
        })
        .collect();
    let mut seen = Vec::new();
    for running in runs {
        let ran = running.end();
        assert_eq!(ran.code, Some(0), "{ran}");
        assert!(
            ran.out.starts_with("0\nOK\n"),
            "somebody else's keys: {ran}"
        );
        seen.extend(
            ran.out
                .split_ascii_whitespace()
                .skip(2)
                .flat_map(|word| word.split(','))
                .map(str::to_owned)
                .collect::<Vec<_>>(),
        );
    }
    let all = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), all, "homes and addresses: {seen:?}");
    assert_nothing_left(&sandbox, "");
}

#[test]
fn the_command_gets_what_we_were_given() {
    let sandbox = Sandbox::new();
    let ran = command(
        &sandbox,
        &["-q", "--replicas=0"],
        "umask; echo nine >&9; pwd; cat",
    );
    // sh opens the descriptor and sets the umask; everything else is the program's.
    let words: Vec<String> = std::iter::once(ran.get_program())
        .chain(ran.get_args())
        .map(|word| format!("'{}'", word.to_str().expect("UTF-8")))
        .collect();
    let line = format!("umask 0027; exec 9>nine; exec {}", words.join(" "));
    let mut shell = Command::new("sh");
    shell.args(["-c", &line]).current_dir(sandbox.path());
    for (name, value) in ran.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell.stdin(Stdio::piped());
    let mut child = shell.stdout(Stdio::piped()).spawn().expect("runs");
    child
        .stdin
        .take()
        .expect("a pipe")
        .write_all(b"typed\n")
        .expect("written");
    let output = child.wait_with_output().expect("reaped");
    assert_eq!(output.status.code(), Some(0));
    let said = String::from_utf8_lossy(&output.stdout);
    let pwd = fs::canonicalize(sandbox.path()).expect("there");
    assert_eq!(said, format!("0027\n{}\ntyped\n", pwd.display()));
    assert_eq!(
        fs::read_to_string(sandbox.path().join("nine")).expect("written"),
        "nine\n"
    );
    assert_nothing_left(&sandbox, said);
}

#[test]
fn of_the_projects_file_all_counts_but_ports() {
    let sandbox = Sandbox::new();
    // A port that is surely held; and a shape of its own.
    let held = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = held.local_addr().expect("an address").port();
    sandbox.file(
        "rcluster.toml",
        format!("primaries = 2\nreplicas = 0\nport = {port}\nephemeral = false\n[set]\nmaxmemory-policy = \"allkeys-lfu\"\n"),
    );
    let ran = run(
        &sandbox,
        &[],
        "echo $REDIS_CLUSTER_NODES; redis-cli -u $REDIS_URL config get maxmemory-policy; redis-cli -u $REDIS_URL config get appendonly",
    );
    assert_eq!(ran.code, Some(0), "{ran}");
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!(lines[0].split(',').count(), 2, "{ran}");
    assert_eq!(
        &lines[1..],
        ["maxmemory-policy", "allkeys-lfu", "appendonly", "no"],
        "{ran}"
    );
    assert_nothing_left(&sandbox, &ran);
}

#[test]
fn without_a_directory_named_the_home_is_in_memory_and_nobody_elses() {
    let sandbox = Sandbox::new();
    let ran = sandbox.run_words(&[
        "run",
        "-q",
        "--replicas=0",
        "--",
        "sh",
        "-c",
        "echo $RCLUSTER_HOME; stat -c %a $RCLUSTER_HOME; stat -f -c %T $RCLUSTER_HOME",
    ]);
    assert_eq!(ran.code, Some(0), "{ran}");
    let lines: Vec<&str> = ran.out.lines().collect();
    assert!(!Path::new(lines[0]).exists(), "{ran}");
    assert_eq!(lines[1], "700", "{ran}");
    let memory = Command::new("stat")
        .args(["-f", "-c", "%T", "/dev/shm"])
        .output()
        .expect("stat runs");
    if String::from_utf8_lossy(&memory.stdout).trim() == "tmpfs" {
        assert_eq!(lines[2], "tmpfs", "{ran}");
    }
}

#[test]
fn what_another_cluster_left_in_the_environment_is_not_the_commands() {
    let sandbox = Sandbox::new();
    let mut command = command(&sandbox, &["-q", "--primaries=1", "--replicas=0"], "env");
    let left = [
        "REDIS_TLS_URL",
        "RCLUSTER_TLS_CA",
        "REDIS_PASSWORD",
        "REDISCLI_AUTH",
    ];
    for name in left {
        command.env(name, "of another");
    }
    command
        .env("REDIS_URL", "redis://of.another")
        .env("MINE", "kept");
    let ran = Ran::of(command, "env");
    assert_eq!(ran.code, Some(0), "{ran}");
    assert!(
        !ran.out.contains("of another") && !ran.out.contains("of.another"),
        "{ran}"
    );
    assert!(ran.out.contains("MINE=kept\n"), "{ran}");
    assert_nothing_left(&sandbox, &ran);
}

#[test]
fn clusters_that_the_command_made_in_its_home_are_gone_with_it() {
    let rcluster = env!("CARGO_BIN_EXE_rcluster");
    let made = format!("{rcluster} -n two up -q --port auto --primaries 1 --replicas 0 >/dev/null");
    let sandbox = Sandbox::new();
    let small = ["-q", "--primaries=1", "--replicas=0"];
    let ran = run(&sandbox, &small, &made);
    assert_eq!(ran.code, Some(0), "{ran}");
    assert_nothing_left(&sandbox, &ran);
    // Whatever ends us.
    let file = sandbox.path().join("made");
    let script = format!("{made} && echo made > {}; exec sleep 30", file.display());
    let running = Running::of(command(&sandbox, &small, &script), "run");
    wait_for_file(&file);
    signal("KILL", running.pid());
    drop(running.end());
    wait_for("everything to be gone", || {
        let is_gone = sandbox.survivors().len() <= usize::from(is_asleep(&sandbox));
        (is_gone && fs::read_dir(tmp(&sandbox)).expect("listed").count() == 0).then_some(())
    });
}

/// Whether a command that was not ours to end still sleeps in the sandbox.
fn is_asleep(sandbox: &Sandbox) -> bool {
    sandbox.survivors().keys().any(|pid| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "sleep\n")
    })
}

#[test]
fn the_limit_of_open_files_is_the_commands_as_it_was_ours() {
    let sandbox = Sandbox::new();
    let command = command(
        &sandbox,
        &["-q", "--primaries=1", "--replicas=0"],
        "ulimit -Sn",
    );
    let shell = ["sh", "-c", "ulimit -Sn 64; exec \"$0\" \"$@\""];
    let limited = behind(&shell, &command);
    let ran = Ran::of(limited, "run");
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "64\n"), "{ran}");
    assert_nothing_left(&sandbox, &ran);
}

#[test]
fn a_home_that_the_command_removed_is_no_failure() {
    let sandbox = Sandbox::new();
    let small = ["-q", "--primaries=1", "--replicas=0"];
    let ran = run(&sandbox, &small, "rm -rf \"$RCLUSTER_HOME\"");
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{ran}");
    assert_nothing_left(&sandbox, &ran);
}

#[test]
fn scripts_are_run_as_env_runs_them() {
    use std::os::unix::fs::PermissionsExt as _;
    let sandbox = Sandbox::new();
    let script = |name: &str, text: &str| {
        let path = sandbox.script(name, "");
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("executable");
        path
    };
    let dir = tmp(&sandbox);
    let run = |program: &str| {
        let mut line = vec!["run", "-q", "--primaries=1", "--replicas=0", "--tmp-dir"];
        line.extend([dir.to_str().expect("UTF-8"), "--", program, "7"]);
        sandbox.run_words(&line)
    };
    // Known before a cluster is made: it would be told in the log.
    let ran = run(&script("orphan", "#!/no/such/interpreter -x\nexit 1\n"));
    assert_eq!(ran.code, Some(126), "{ran}");
    assert!(
        ran.err
            .contains("its interpreter /no/such/interpreter is not there"),
        "{ran}"
    );
    let ran = run(&script("bare", "exit $1\n"));
    assert_eq!(ran.code, Some(7), "{ran}");
    let ran = run("");
    assert_eq!(ran.code, Some(127), "{ran}");
    assert!(ran.err.contains("there is no program \"\""), "{ran}");
    assert_nothing_left(&sandbox, &ran);
}

#[test]
fn files_of_settings_that_are_wrong_are_a_failure_of_ours() {
    let sandbox = Sandbox::new();
    sandbox.file("rcluster.toml", "primaries = \n");
    let ran = run(&sandbox, &["--json"], "true");
    assert_eq!(ran.code, Some(125), "{ran}");
    assert_eq!(ran.json_error()["code"], "usage", "{ran}");
    assert_nothing_left(&sandbox, &ran);
}

#[test]
fn a_start_that_fails_does_not_speak_of_what_is_kept() {
    let sandbox = Sandbox::new();
    let ran = run(&sandbox, &["--set", "maxmemory=nonsense"], "true");
    assert_eq!(ran.code, Some(125), "{ran}");
    assert!(ran.err.contains("did not stay up"), "{ran}");
    assert!(!ran.err.contains("kept"), "{ran}");
    assert_nothing_left(&sandbox, &ran);
}

/// The records of a cluster that was copied are those of the original's processes.
#[test]
fn what_was_copied_into_the_home_does_not_end_the_original() {
    let sandbox = Sandbox::new();
    sandbox.up("--primaries 1 --replicas 0");
    let original = sandbox.cluster();
    let script = format!("cp -r {} $RCLUSTER_HOME/copied", original.display());
    let small = ["-q", "--primaries=1", "--replicas=0"];
    let ran = run(&sandbox, &small, &script);
    assert_eq!(ran.code, Some(0), "{ran}");
    assert_eq!(sandbox.status()["state"], "ok");
    assert_eq!(fs::read_dir(tmp(&sandbox)).expect("listed").count(), 0);
    // Nor does a verb that is told of the copy.
    let other = sandbox.path().join("other");
    fs::create_dir(&other).expect("made");
    let copied = Command::new("cp")
        .arg("-r")
        .args([&original, &other.join("default")])
        .status();
    assert!(copied.expect("cp runs").success());
    let other = other.to_str().expect("UTF-8");
    let ran = sandbox.run_words(&["--home", other, "status", "--json"]);
    assert_eq!(ran.json()["nodes"][0]["process"], "foreign", "{ran}");
    let ran = sandbox.run_words(&["--home", other, "down", "--yes"]);
    assert_eq!(ran.code, Some(0), "{ran}");
    assert_eq!(sandbox.status()["state"], "ok");
    sandbox.gone("down --yes");
}
