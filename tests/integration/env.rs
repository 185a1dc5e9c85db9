//! `env`: what programs are told, to whom it is told, and that no shell runs any of it.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::sandbox::{Ran, Sandbox, Stranger, kill_and_wait, nodes, pid_on, ports, signal};
use crate::tls::has_tls;

/// A password that needs care everywhere.
const PASSWORD: &str = "p%40 '\"$(id)`x`\\é@/:?#&";
const ENCODED: &str = "p%2540%20%27%22%24%28id%29%60x%60%5C%C3%A9%40%2F%3A%3F%23%26";

fn variables(sandbox: &Sandbox, more: &str) -> BTreeMap<String, String> {
    let document = sandbox.ok(&format!("env --json {more}")).json();
    serde_json::from_value(document["env"].clone()).expect("names and values")
}

/// What a program that a shell starts after `script` has in its environment.
fn after(shell: &str, script: &str, program: &mut Command) -> BTreeMap<String, String> {
    let output = program
        .args(["-c", script])
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{shell}: {error}"));
    assert!(output.status.success(), "{shell}: {output:?}");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let pairs = text.split('\0').filter_map(|pair| pair.split_once('='));
    pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}

/// The environment file as a GitHub runner reads it.
fn by_runner(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut lines = text.lines();
    while let Some(head) = lines.next() {
        let (name, end) = head.split_once("<<").expect("NAME<<DELIMITER");
        let value: Vec<&str> = lines.by_ref().take_while(|line| *line != end).collect();
        found.insert(name.to_owned(), value.join("\n"));
    }
    found
}

#[test]
fn every_state_of_a_cluster_has_its_answer() {
    let sandbox = Sandbox::new();
    let absent = sandbox.fails("env --json", 4).json_error();
    assert_eq!(absent["code"], "no_such_cluster");
    let up = sandbox.up("");
    let all = ports(&up);
    let ok = sandbox.ok("env");
    assert_eq!(ok.err, "", "nothing to note: {ok}");
    let document = sandbox.ok("env --json").json();
    assert_eq!(document["schema_version"], 1);
    assert_eq!(
        (&document["ok"], &document["state"]),
        (&true.into(), &"ok".into())
    );

    let before = variables(&sandbox, "");
    let joined: Vec<String> = all.iter().map(u64::to_string).collect();
    assert_eq!(before["RCLUSTER_PORTS"], joined.join(","));
    assert_eq!(before["REDIS_URL"], format!("redis://127.0.0.1:{}", all[0]));
    assert_eq!(before["RCLUSTER_NAME"], "default");
    assert_eq!(Path::new(&before["RCLUSTER_HOME"]), sandbox.home());
    let names: Vec<&str> = before.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "RCLUSTER_HOME",
            "RCLUSTER_NAME",
            "RCLUSTER_PORTS",
            "REDIS_CLUSTER_NODES",
            "REDIS_URL"
        ],
        "nothing else is an input of ours, or of anybody"
    );

    // The first node dies, the second hangs: the first that lives is the third.
    kill_and_wait(pid_on(&up, all[0]));
    signal("STOP", pid_on(&up, all[1]));
    let degraded = sandbox.ok("env");
    assert!(degraded.err.contains("degraded"), "{degraded}");
    assert!(!degraded.out.contains("degraded"), "{degraded}");
    let now = variables(&sandbox, "");
    assert_eq!(now["REDIS_URL"], format!("redis://127.0.0.1:{}", all[2]));
    assert_eq!(now["RCLUSTER_PORTS"], before["RCLUSTER_PORTS"]);
    signal("CONT", pid_on(&up, all[1]));

    // Nobody is sent to a stranger.
    let stranger = Stranger::redis(all[0]);
    let now = variables(&sandbox, "");
    assert!(!now["RCLUSTER_PORTS"].contains(&joined[0]), "{now:?}");
    assert!(!now["REDIS_CLUSTER_NODES"].contains(&joined[0]), "{now:?}");
    drop(stranger);

    // One that hangs runs: to start it is no help.
    for port in &all[1..] {
        signal("STOP", pid_on(&up, *port));
    }
    let hung = sandbox.fails("env --json", 1).json_error();
    assert_eq!(hung["message"], "no node answers");
    assert!(
        hung["hint"].to_string().contains("rcluster restart"),
        "{hung}"
    );
    assert_eq!(
        hung["nodes"].as_array().map(Vec::len),
        Some(all.len() - 1),
        "{hung}"
    );

    sandbox.ok("stop");
    let stopped = sandbox.fails("env", 3);
    assert_eq!(stopped.out, "", "{stopped}");
    assert_eq!(
        sandbox.fails("env --json", 3).json_error()["code"],
        "not_running"
    );
    sandbox.gone("down --yes");
    sandbox.fails("env --format csh", 2);
}

#[test]
fn no_format_lets_a_hostile_home_say_anything() {
    let sandbox = Sandbox::new();
    let names = [
        "$(touch pwned)`touch pwned`",
        "-n it's\\' \"x\"; touch pwned #",
        "a\nPWNED=1\nexport PWNED é",
    ];
    for name in names {
        let home = sandbox.path().join(name);
        let run = |line: &str| {
            let arguments: Vec<&str> = line.split(' ').collect();
            let mut command = sandbox.command(&arguments);
            command.env("RCLUSTER_HOME", &home);
            Ran::of(command, line)
        };
        let up =
            run("up --port auto --json --primaries 1 --replicas 0 --ephemeral --generate-password");
        assert_eq!(up.code, Some(0), "{up}");
        let wanted = run("env --json --with-secrets").json()["env"].clone();
        let wanted: BTreeMap<String, String> = serde_json::from_value(wanted).expect("env");
        assert_eq!(Path::new(&wanted["RCLUSTER_HOME"]), home);
        let plain = run("env --format json --with-secrets").json();
        assert_eq!(plain["RCLUSTER_HOME"], *wanted["RCLUSTER_HOME"]);

        let program = env!("CARGO_BIN_EXE_rcluster");
        let environment = |shell: &str, format: &str, script: &str| {
            let mut command = Command::new(shell);
            if shell == "fish" {
                command.arg("--no-config");
            }
            command
                .current_dir(sandbox.path())
                .env("RCLUSTER_HOME", &home)
                // fish makes directories there.
                .env("HOME", sandbox.path())
                // fish 3.6 spoils what it inherits where the locale knows no such letters.
                .env("LC_ALL", "C.UTF-8")
                .env(
                    "R",
                    format!("{program} env --with-secrets --format {format}"),
                );
            after(shell, script, &mut command)
        };
        // The home is forgotten in between: what counts is what is read.
        let script = "o=\"$($R; echo x)\"; unset RCLUSTER_HOME; eval \"${o%x}\"; exec env -0";
        let mut shells = vec![("sh", "sh", script), ("bash", "sh", script)];
        let fish = "set o (eval $R | string collect); set -e RCLUSTER_HOME; echo -n $o | source; exec env -0";
        let has_fish = Command::new("fish").arg("--version").output().is_ok();
        if has_fish {
            shells.push(("fish", "fish", fish));
        }
        for (shell, format, script) in shells {
            let found = environment(shell, format, script);
            for (name, value) in &wanted {
                assert_eq!(found.get(name), Some(value), "{shell}: {name}");
            }
            assert!(!found.contains_key("PWNED"), "{shell}: {found:?}");
        }
        let github = run("env --format github --with-secrets");
        assert_eq!(by_runner(&github.out), wanted, "{github}");
        let dotenv = run("env --format dotenv");
        if dotenv.code == Some(0) {
            assert_eq!(name, names[0], "{dotenv}");
            let line = format!("RCLUSTER_HOME='{}'", home.display());
            assert!(dotenv.out.lines().any(|found| found == line), "{dotenv}");
        } else {
            assert_eq!(
                (dotenv.code, dotenv.out.as_str()),
                (Some(2), ""),
                "{dotenv}"
            );
        }
        assert_eq!(run("down --yes").code, Some(0));
        assert!(!sandbox.path().join("pwned").exists(), "something was run");
        assert!(fs::read_dir(&home).expect("a home").flatten().all(|entry| {
            entry
                .file_name()
                .to_str()
                .is_some_and(|name| name.starts_with('.'))
        }));
    }
}

#[test]
fn later_calls_mean_the_cluster_whose_environment_it_is() {
    let sandbox = Sandbox::new();
    sandbox.ok("up --port auto -n other --primaries 1 --replicas 0 --ephemeral");
    let mut shell = Command::new("sh");
    shell
        .current_dir(sandbox.path())
        .env_remove("RCLUSTER_NAME");
    shell
        .env("R", env!("CARGO_BIN_EXE_rcluster"))
        .env("H", sandbox.home());
    let script = "eval \"$(\"$R\" --home \"$H\" -n other env)\" && \"$R\" status --json && \"$R\" down --yes --json";
    let output = shell.args(["-c", script]).output().expect("sh");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(
        text.lines().all(|line| line.contains("\"name\":\"other\"")),
        "{text}"
    );
    assert_eq!(sandbox.survivors().len(), 0);
}

#[test]
fn passwords_are_told_only_to_who_asks() {
    let sandbox = Sandbox::new();
    let acl = sandbox.file(
        "users.acl",
        "user default off\nuser boss@x on >x ~* &* +@all\n",
    );
    let file = sandbox.file("password", PASSWORD);
    let acl_text = fs::read_to_string(&acl)
        .expect("read")
        .replace(">x", &format!("#{}", sha256(PASSWORD)));
    fs::write(&acl, acl_text).expect("written");
    sandbox.up(&format!(
        "--aclfile {acl} --user boss@x --password-file {file} --primaries 1 --replicas 0"
    ));
    for format in ["sh", "fish", "dotenv", "github", "json"] {
        for more in ["", "--json"] {
            let ran = sandbox.ok(&format!("env -v {more} --format {format}"));
            for secret in [PASSWORD, ENCODED, "p%40", "p%2540", "add-mask"] {
                assert!(
                    !ran.out.contains(secret) && !ran.err.contains(secret),
                    "{ran}"
                );
            }
        }
    }
    let open = variables(&sandbox, "");
    assert_eq!(open["REDIS_USERNAME"], "boss@x");
    let kept = fs::read_to_string(&open["REDIS_PASSWORD_FILE"]).expect("a file");
    assert_eq!(kept, PASSWORD);

    let told = variables(&sandbox, "--with-secrets");
    assert_eq!(
        (&*told["REDIS_PASSWORD"], &*told["REDISCLI_AUTH"]),
        (PASSWORD, PASSWORD)
    );
    let address = &told["REDIS_CLUSTER_NODES"];
    assert_eq!(
        told["REDIS_URL"],
        format!("redis://boss%40x:{ENCODED}@{address}")
    );
    assert!(!told.contains_key("RCLUSTER_PASSWORD"), "that is an input");

    let github = sandbox.ok("env --format github --with-secrets");
    assert!(!github.out.contains("add-mask"), "{github}");
    let masks: Vec<&str> = github
        .err
        .lines()
        .filter(|l| l.starts_with("::add-mask::"))
        .collect();
    let escaped = |text: &str| format!("::add-mask::{}", text.replace('%', "%25"));
    assert_eq!(masks, [escaped(ENCODED), escaped(PASSWORD)], "{github}");
    let json = sandbox.ok("env --json --format github --with-secrets");
    assert_eq!(json.err, "", "{json}");
    sandbox.fails("env --format dotenv --with-secrets", 2);

    // A password that is gone is no reason to hide the rest.
    fs::remove_file(&open["REDIS_PASSWORD_FILE"]).expect("removed");
    let ran = sandbox.run("env --with-secrets");
    assert!(ran.code != Some(0) && ran.out.is_empty(), "{ran}");
    sandbox.gone("down --yes");
}

fn sha256(text: &str) -> String {
    let script = "import sys,hashlib; print(hashlib.sha256(sys.argv[1].encode()).hexdigest())";
    let output = Command::new("python3").args(["-c", script, text]).output();
    let digest = String::from_utf8(output.expect("python3").stdout).expect("hex");
    digest.trim().to_owned()
}

#[test]
fn tls_and_addresses_are_told_as_clients_need_them() {
    if has_tls() == Some(false) {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.up("--tls --tls-auth-clients yes --primaries 1 --replicas 0 --bind ::1");
    let env = variables(&sandbox, "");
    assert!(env["REDIS_URL"].starts_with("rediss://[::1]:"), "{env:?}");
    assert!(env["REDIS_CLUSTER_NODES"].starts_with("[::1]:"), "{env:?}");
    for name in ["RCLUSTER_TLS_CA", "RCLUSTER_TLS_CERT", "RCLUSTER_TLS_KEY"] {
        let pem = fs::read_to_string(&env[name]).expect(name);
        assert!(pem.starts_with("-----BEGIN "), "{name}");
    }
    sandbox.gone("down --yes");

    sandbox.up("--tls=both --primaries 1 --replicas 0");
    let env = variables(&sandbox, "");
    let status: Value = sandbox.status();
    let port = nodes(&status)[0]["port"].as_u64().expect("a port");
    assert_eq!(env["REDIS_URL"], format!("redis://127.0.0.1:{port}"));
    let tls = &env["REDIS_TLS_URL"];
    assert!(
        tls.starts_with("rediss://127.0.0.1:") && !tls.ends_with(&port.to_string()),
        "{tls}"
    );
    assert!(!env.contains_key("RCLUSTER_TLS_CERT"), "none is demanded");
    sandbox.gone("down --yes");

    sandbox.up("--bind 0.0.0.0 --generate-password --primaries 1 --replicas 0");
    let env = variables(&sandbox, "");
    let (host, port) = env["REDIS_CLUSTER_NODES"]
        .split_once(':')
        .expect("an address");
    let address: (IpAddr, u16) = (host.parse().expect("an IP"), port.parse().expect("a port"));
    assert!(!address.0.is_unspecified());
    TcpStream::connect(address).expect("somebody listens there");
    sandbox.gone("down --yes");
}

#[test]
fn what_another_cluster_left_in_the_shell_is_ended() {
    let sandbox = Sandbox::new();
    sandbox.ok("up -n secret --port auto --primaries 1 --replicas 0 --generate-password");
    sandbox.ok("up -n plain --port auto --primaries 1 --replicas 0");
    let rcluster = env!("CARGO_BIN_EXE_rcluster");
    let in_shell = |shell: &str, script: &str| {
        let mut program = Command::new(shell);
        program
            .env_remove("REDISCLI_AUTH")
            .env("HOME", sandbox.path())
            .env("RCLUSTER_HOME", sandbox.home());
        after(shell, &format!("{script}; env -0"), &mut program)
    };
    for (shell, first, second) in [
        (
            "sh",
            format!("eval \"$({rcluster} -n secret env --with-secrets)\""),
            format!("eval \"$({rcluster} -n plain env)\""),
        ),
        (
            "fish",
            format!("{rcluster} -n secret env --format fish --with-secrets | source"),
            format!("{rcluster} -n plain env --format fish | source"),
        ),
    ] {
        let env = in_shell(shell, &first);
        assert!(env.contains_key("REDISCLI_AUTH"), "{shell}: {env:?}");
        let env = in_shell(shell, &format!("{first}; {second}"));
        assert_eq!(env["RCLUSTER_NAME"], "plain", "{shell}");
        for name in ["REDISCLI_AUTH", "REDIS_PASSWORD", "REDIS_PASSWORD_FILE"] {
            assert!(!env.contains_key(name), "{shell}: {name} is left");
        }
        // Of the same cluster they are as good as they were.
        let again = first.replace(" --with-secrets", "");
        let env = in_shell(shell, &format!("{first}; {again}"));
        assert!(env.contains_key("REDISCLI_AUTH"), "{shell}: {env:?}");
    }
    // Made anew under the same name, its password is another.
    let env = after(
        "sh",
        &format!(
            "eval \"$({rcluster} -n secret env --with-secrets)\"; {rcluster} down -q --yes >/dev/null; \
             {rcluster} up -q --port auto --primaries 1 --replicas 0 --generate-password >/dev/null; \
             eval \"$({rcluster} env)\"; env -0"
        ),
        Command::new("sh").env("RCLUSTER_HOME", sandbox.home()),
    );
    assert_eq!(env["RCLUSTER_NAME"], "secret");
    assert!(
        !env.contains_key("REDISCLI_AUTH"),
        "the old password is left"
    );
    sandbox.ok("down -n secret --yes");
    sandbox.gone("down -n plain --yes");
}

/// The URL is for programs: redis-cli 7.0 would take an empty user name for a user's.
#[test]
fn the_real_redis_cli_takes_a_url_with_a_password() {
    let sandbox = Sandbox::new();
    let file = sandbox.file("password", PASSWORD);
    for options in ["--generate-password", &format!("--password-file {file}")] {
        sandbox.up(&format!("{options} --primaries 1 --replicas 0"));
        let told = variables(&sandbox, "--with-secrets");
        let output = Command::new("redis-cli")
            .args(["-u", &told["REDIS_URL"], "SET", "wat", "2"])
            .env_remove("REDISCLI_AUTH")
            .output()
            .expect("redis-cli runs");
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(said, "OK\n", "{output:?}");
        sandbox.gone("down --yes");
    }
}
