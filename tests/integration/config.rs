//! Files of settings: what wins, what is refused, and what `config show` says of it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::CommandFactory as _;
use serde_json::{Value, json};

use crate::sandbox::{Ran, Sandbox, ports, redis};

const SECRET: &str = "hunter2";

/// The cells of a row of a table.
fn cells<const N: usize>(row: &str) -> [&str; N] {
    let cells: Vec<&str> = row.split('|').map(str::trim).collect();
    cells
        .try_into()
        .unwrap_or_else(|_| panic!("not {N} cells: {row}"))
}

/// Options that no file may hold.
const NOT_KEPT: [&str; 6] = ["json", "config", "retain", "yes", "help", "version"];

/// Writes a file that only its owner may write to, whatever the umask.
fn write(path: &Path, text: impl AsRef<[u8]>) -> PathBuf {
    fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
    fs::write(path, text).expect("written");
    set_mode(path, 0o644);
    path.to_owned()
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
}

impl Sandbox {
    /// Where the test works, as the kernel says it.
    fn real(&self) -> PathBuf {
        fs::canonicalize(self.path()).expect("the sandbox is there")
    }

    /// Writes the project's file.
    fn project(&self, text: impl AsRef<[u8]>) -> PathBuf {
        write(&self.real().join("rcluster.toml"), text)
    }

    /// Writes the user's file.
    fn user_file(&self, text: impl AsRef<[u8]>) -> PathBuf {
        write(&self.user_config().join("rcluster/config.toml"), text)
    }
}

/// Runs `arguments` with more in the environment.
fn run_with(sandbox: &Sandbox, arguments: &[&str], environment: &[(&str, &str)]) -> Ran {
    let mut command = sandbox.command(arguments);
    command.envs(environment.iter().copied());
    Ran::of(command, &format!("{arguments:?} {environment:?}"))
}

/// The document of `config show`.
fn show(sandbox: &Sandbox, arguments: &[&str], environment: &[(&str, &str)]) -> Value {
    let arguments = [&["config", "show", "--json"], arguments].concat();
    let ran = run_with(sandbox, &arguments, environment);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{ran}");
    ran.json()
}

/// The value of `key` and its origin.
fn value(document: &Value, key: &str) -> (Value, String) {
    let values = document["values"].as_array().expect("values");
    let found: Vec<&Value> = values.iter().filter(|value| value["key"] == key).collect();
    assert_eq!(found.len(), 1, "{key}: {document}");
    let origin = found[0]["origin"].as_str().expect("an origin");
    (found[0]["value"].clone(), origin.to_owned())
}

/// The options of `up` that have a long name, but for those that are not about the cluster.
fn options() -> BTreeSet<String> {
    let mut command = rcluster::cli::Cli::command();
    command.build();
    let up = command.find_subcommand("up").expect("up");
    let about_it = |option: &&clap::Arg| option.get_help_heading() != Some("Foreground");
    let names = up
        .get_arguments()
        .filter(about_it)
        .filter_map(clap::Arg::get_long);
    names.map(str::to_owned).collect()
}

/// Options that may stand in a file.
fn keys() -> BTreeSet<String> {
    let mut keys = options();
    keys.retain(|name| !NOT_KEPT.contains(&name.as_str()));
    keys
}

/// An option of each kind | what is typed | in the environment | in the project's file | in the user's |
/// the values that these five and nobody at all give it, as JSON.
const CHAIN: &str = r#"
name                   | --name=flag                | RCLUSTER_NAME=env   | name = "project"                    | name = "user"                  | "flag"   | "env" | "project"                 | "user"        | "default"
timeout                | --timeout=1s               |                     | timeout = "2s"                      | timeout = "3s"                 | "1s"     |       | "2s"                      | "3s"          | "60s"
color                  | --color=never              |                     | color = "always"                    | color = "never"                | "never"  |       | "always"                  | "never"       | "auto"
primaries              | --primaries=5              |                     | primaries = 6                       | primaries = 7                  | 5        |       | 6                         | 7             | 3
port                   | --port=auto                |                     | port = 7000                         | port = "auto"                  | "auto"   |       | 7000                      | "auto"        | 30001
announce-port          | --announce-port=1          |                     | announce-port = 2                   | announce-port = 3              | 1        |       | 2                         | 3             | null
ephemeral              | --ephemeral                |                     | ephemeral = false                   | ephemeral = true               | true     |       | false                     | true          | false
unix-socket            | --unix-socket=no           |                     | unix-socket = true                  | unix-socket = false            | false    |       | true                      | false         | false
tls                    | --tls                      |                     | tls = "both"                        | tls = true                     | true     |       | "both"                    | true          | false
tls-auth-clients       | --tls-auth-clients=no      |                     | tls-auth-clients = "yes"            | tls-auth-clients = "optional"  | "no"     |       | "yes"                     | "optional"    | "optional"
node-timeout           | --node-timeout=1500ms      |                     | node-timeout = "3s"                 | node-timeout = "4s"            | "1500ms" |       | "3s"                      | "4s"          | "2s"
server                 | --server=flag              | RCLUSTER_SERVER=env | server = "project"                  | server = "user"                | "flag"   | "env" | "project"                 | "user"        | null
bind                   | --bind=::1                 |                     | bind = ["127.0.0.2", "127.0.0.3"]   | bind = "127.0.0.4"             | ["::1"]  |       | ["127.0.0.2","127.0.0.3"] | ["127.0.0.4"] | ["127.0.0.1"]
conf                   | --conf=/flag               |                     | conf = "/project"                   | conf = "/user"                 | "/flag"  |       | "/project"                | "/user"       | null
set.hz                 | --set=hz=10                |                     | set.hz = 20                         | set.hz = 30                    | 10       |       | 20                        | 30            | null
set-for.replica.hz     | --set-for slave hz=10      |                     | set-for.replica.hz = 20             | set-for.replica.hz = 30        | 10       |       | 20                        | 30            | null
server-for."replica:2" | --server-for=slave:2=/flag |                     | server-for."replica:2" = "/project" | server-for."slave:2" = "/user" | "/flag"  |       | "/project"                | "/user"       | null
"#;

#[test]
fn flag_beats_environment_beats_project_beats_user_beats_default() {
    let sandbox = Sandbox::new();
    for row in CHAIN.trim().lines() {
        let [key, flag, variable, project, user, values @ ..] = cells::<10>(row);
        let [by_flag, by_environment, by_project, by_user, by_nobody] =
            values.map(|value| match value {
                "" => Value::Null,
                json => serde_json::from_str(json).expect("JSON"),
            });
        let project_file = sandbox.project(format!("# mine\n{project}\n"));
        let user_file = sandbox.user_file(format!("\n\n{user}\n"));
        let flag: Vec<&str> = flag.split(' ').collect();
        let environment: Vec<(&str, &str)> = variable.split_once('=').into_iter().collect();
        let is = |flag: &[&str], environment: &[(&str, &str)]| {
            value(&show(&sandbox, flag, environment), key)
        };
        assert_eq!(
            is(&flag, &environment),
            (by_flag.clone(), "flag".into()),
            "{key}"
        );
        if let [(variable, _)] = environment[..] {
            let wanted = (by_environment.clone(), format!("environment {variable}"));
            assert_eq!(is(&[], &environment), wanted, "{key}");
        }
        let at = |path: &Path, line: usize| format!("{}:{line}", path.display());
        // The variable of a test run on another server would win.
        let clean = || {
            let mut command = sandbox.command(&["config", "show", "--json"]);
            command.env_remove("RCLUSTER_SERVER");
            Ran::of(command, key).json()
        };
        let wanted = (by_project.clone(), at(&project_file, 2));
        assert_eq!(value(&clean(), key), wanted, "{key}");
        fs::remove_file(&project_file).expect("removed");
        let wanted = (by_user.clone(), at(&user_file, 3));
        assert_eq!(value(&clean(), key), wanted, "{key}");
        fs::remove_file(&user_file).expect("removed");
        if let Some((table, _)) = key.split_once('.') {
            assert_eq!(
                value(&clean(), table),
                (json!({}), "default".into()),
                "{key}"
            );
        } else {
            assert_eq!(
                value(&clean(), key),
                (by_nobody.clone(), "default".into()),
                "{key}"
            );
        }
    }
}

#[test]
fn every_option_is_a_key_and_the_reference_has_them_all() {
    let sandbox = Sandbox::new();
    let documentation = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let text = fs::read_to_string(documentation).expect("docs/configuration.md");
    let examples: Vec<&str> = text
        .split("```toml\n")
        .skip(1)
        .filter_map(|rest| Some(rest.split_once("```")?.0))
        .collect();
    assert_eq!(examples.len(), 1, "one example has every key");
    let file = sandbox.project(examples[0]);
    let mut command = sandbox.command(&["config", "show", "--json"]);
    for name in ["RCLUSTER_HOME", "RCLUSTER_SERVER"] {
        command.env_remove(name);
    }
    let document = Ran::of(command, "config show of the example").json();
    let of_file = format!("{}:", file.display());
    let mut found = BTreeSet::new();
    for value in document["values"].as_array().expect("values") {
        let key = value["key"].as_str().expect("a key");
        let origin = value["origin"].as_str().expect("an origin");
        assert!(
            origin.starts_with(&of_file),
            "{key} comes from {origin}: say it in the example"
        );
        found.insert(key.split('.').next().expect("a name").to_owned());
    }
    assert_eq!(
        found,
        keys(),
        "every option is a key: in docs/configuration.md too"
    );
    // What may not stand in a file is said to be an option, or what looks like a secret.
    for name in NOT_KEPT {
        sandbox.project(format!("{name} = true\n"));
        let ran = sandbox.fails("config show", 2);
        assert!(ran.err.contains("rcluster.toml:1: "), "{ran}");
        assert!(ran.err.contains(&format!("`{name}`")), "{ran}");
    }
}

#[test]
fn the_readmes_example_is_taken() {
    let sandbox = Sandbox::new();
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md"));
    let text = text.expect("README.md");
    let (_, rest) = text.split_once("```toml\n").expect("an example");
    let (example, _) = rest.split_once("```").expect("its end");
    sandbox.project(example);
    let document = show(&sandbox, &[], &[]);
    assert_eq!(value(&document, "tls").0, "both");
    assert_eq!(
        value(&document, "set-for.\"replica:2\".maxmemory").0,
        "20mb"
    );
}

#[test]
fn help_names_the_defaults_that_are_shown() {
    let sandbox = Sandbox::new();
    let mut command = sandbox.command(&["config", "show", "--json"]);
    command.env_remove("RCLUSTER_SERVER");
    let document = Ran::of(command, "config show").json();
    let mut cli = rcluster::cli::Cli::command();
    cli.build();
    let up = cli.find_subcommand("up").expect("up");
    let mut compared = 0;
    for option in up.get_arguments() {
        let is_kept = |name: &&str| keys().contains(*name);
        let Some(name) = option.get_long().filter(is_kept) else {
            continue;
        };
        let help = option
            .get_help()
            .map(ToString::to_string)
            .unwrap_or_default();
        let in_help = help
            .split_once("[default: ")
            .map(|(_, rest)| rest.trim_end_matches(']').to_owned());
        let by_clap = option.get_default_values().first();
        let by_clap = by_clap.map(|value| value.to_string_lossy().into_owned());
        let (shown, _) = value(&document, name);
        match in_help.or(by_clap) {
            // Words and not a value: `the same`.
            Some(default) if default.contains(' ') => {}
            Some(default) => {
                let shown = match &shown {
                    Value::Array(items) => items[0].clone(),
                    one => one.clone(),
                };
                let shown = shown.as_str().map_or(shown.to_string(), str::to_owned);
                assert_eq!(shown, default, "{name}");
                compared += 1;
            }
            None => assert!(
                [json!(null), json!(false), json!({})].contains(&shown),
                "{name} is {shown}, and its help does not say so"
            ),
        }
    }
    assert!(compared >= 10, "{compared}");
}

/// What is wrong with a file: the line at fault | the file, with ⏎ for line breaks | words of the
/// message and of the hint.
const REFUSED: &str = r#"
2 | primaries = 3⏎replcas = 1                    | `replcas` ; did you mean `replicas`?
1 | node_timeout = "2s"                          | `node_timeout` ; did you mean `node-timeout`?
1 | Primaries = 3                                | did you mean `primaries`?
1 | cluster-replicas = 3                         | did you mean `replicas`?
1 | nmae = "x"                                   | did you mean `name`?
1 | [sett]⏎hz = 1                                | did you mean `set`?
1 | frobnicate = 1                               | `frobnicate` ; rcluster --config none config show
1 | json = true                                  | `json` ; --json
1 | primaries = "3"                              | primaries: expected a number ; a string
1 | primaries = 3.0                              | primaries: expected a number ; a fraction
1 | primaries = true                             | primaries ; a boolean
1 | primaries = [3]                              | primaries ; an array
1 | primaries = 2026-11-22                       | primaries ; a date or time
1 | [primaries]⏎n = 3                            | primaries ; a table
1 | primaries = -1                               | --primaries ; invalid value '-1'
1 | primaries = 0                                | at least 1 primary
1 | primaries = 1001⏎replicas = 0                | 1000 nodes
1 | primaries = 99999999999999999999             | too large
1 | port = 0                                     | --port ; 1 to 65535
1 | port = 65536                                 | --port ; 1 to 65535
1 | port = "30001"                               | port: expected a number without quotes
1 | port = "anywhere"                            | --port ; 'anywhere'
1 | announce-port = 65536                        | --announce-port
1 | ephemeral = "yes"                            | ephemeral: expected true or false
1 | ephemeral = 1                                | ephemeral: expected true or false
1 | tls = "sometimes"                            | --tls ; 'sometimes'
1 | tls = 1                                      | tls: expected true, false or a word
1 | node-timeout = 2                             | node-timeout: expected a string
1 | node-timeout = "2"                           | --node-timeout ; 500ms
1 | node-timeout = "0s"                          | --node-timeout ; out of range
1 | timeout = "soon"                             | --timeout
1 | name = "../x"                                | --name ; lower-case letters
1 | color = "sometimes"                          | --color ; always
1 | bind = "localhost"                           | --bind ; 'localhost'
1 | bind = ["127.0.0.1", 1]                      | bind: expected a string ; an array
1 | bind = ["127.0.0.1",⏎"127.0.0.1"]            | --bind ; twice
1 | conf = ""                                    | --conf
1 | conf = "nowhere.conf"                        | --conf ; nowhere.conf ; cannot be read
1 | loadmodule = "nowhere.so"                    | --loadmodule ; names no file
1 | set = "hz=50"                                | set: expected a table ; [set]
1 | set = ["hz=50"]                              | set: expected a table
3 | [set]⏎hz = 50⏎port = 7000                    | sets port ; --port
2 | [set]⏎search.timeout = 1                     | search ; quotes
2 | [set]⏎"a b" = 1                              | --set ; no directive's name
2 | [set]⏎maxmemory = "a\nport 1"                | maxmemory ; line break
2 | [set-for]⏎maxmemory = "1mb"                  | maxmemory ; [set-for."replica:2"]
2 | [set-for.leader]⏎hz = 1                      | --set-for ; replica:SHARD
2 | [set-for."replica:9"]⏎hz = 1                 | --set-for replica:9 ; none of the 6 nodes
2 | [server-for]⏎leader = "/x"                   | --server-for ; replica:SHARD
2 | [server-for]⏎replica = 1                     | replica: expected a path or a name
1 | tls-key = "x"                                | tls-key ; --tls-cert
1 | tls-auth-clients = "no"                      | --tls-auth-clients ; TLS
2 | tls = false⏎tls-port = 7001                  | --tls-port
1 | quiet = true⏎verbose = true                  | --quiet ; --verbose
2 | password-file = "p"⏎generate-password = true | --generate-password ; --password-file
1 | user = "me"                                  | --user has no password
1 | ephemeral = true⏎[set]⏎appendonly = true     | --ephemeral ; contradict
1 | primaries 3                                  | TOML
2 | primaries = 3⏎name = search                  | TOML
2 | primaries = 3⏎primaries = 4                  | duplicate key
1 | [set⏎hz = 1                                  | TOML
1 | password = "hunter2"                         | no password ; password-file = 
1 | replication-password = "hunter2"             | no password
1 | requirepass = "hunter2"                      | no password
2 | [set]⏎requirepass = "hunter2"                | sets requirepass
2 | [set]⏎REQUIREPASS = "hunter2"                | sets requirepass
2 | [set-for.replica]⏎masterauth = "hunter2"     | sets masterauth
1 | password = hunter2                           | TOML
1 | password = "hunter2                          | TOML
1 | pasword = "hunter2"                          | unknown key
2 | [set]⏎"requirepass hunter2" = 1              | no directive's name
"#;

#[test]
fn what_makes_no_sense_is_refused_with_file_and_line() {
    let sandbox = Sandbox::new();
    for row in REFUSED.trim().lines() {
        let [line, text, words] = cells(row);
        let text = text.replace('⏎', "\n");
        let file = sandbox.project(&text);
        // Some are refused when ports are chosen, and those of the default may be taken.
        let ran = sandbox.fails("up --port auto", 2);
        let place = format!("error: {}:{line}: ", file.display());
        assert!(ran.err.starts_with(&place), "{text}: {ran}");
        for word in words.split(" ; ") {
            assert!(ran.err.contains(word), "{text}: {word}: {ran}");
        }
        let document = sandbox.fails("start --port auto --json", 2).json_error();
        assert_eq!(document["code"], "usage", "{text}: {document}");
        for ran in [
            &ran,
            &sandbox.run("config show"),
            &sandbox.run("status"),
            &sandbox.run("list -v"),
        ] {
            let told = format!("{}{}", ran.out, ran.err);
            assert!(!told.contains(SECRET), "a secret is told on: {text}: {ran}");
        }
        assert_eq!(
            sandbox.files(),
            Vec::<PathBuf>::new(),
            "something was made: {text}"
        );
        assert_eq!(sandbox.survivors().len(), 0, "something runs: {text}");
    }
}

#[test]
fn a_server_that_is_not_there_is_told_with_the_file_that_names_it() {
    let sandbox = Sandbox::new();
    for text in [
        "\nserver = \"nosuch-server\"",
        "\n[server-for]\nreplica = \"nosuch-server\"",
    ] {
        let file = sandbox.project(text);
        let mut command = sandbox.command(&["up"]);
        if !text.contains("server-for") {
            command.env_remove("RCLUSTER_SERVER");
        }
        let ran = Ran::of(command, text);
        assert_eq!(ran.code, Some(10), "{ran}");
        let line = text.lines().count();
        let place = format!("error: {}:{line}: ", file.display());
        assert!(ran.err.starts_with(&place), "{ran}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_refused() {
    let sandbox = Sandbox::new();
    let path = sandbox.real().join("rcluster.toml");
    let check = |what: &str| {
        let ran = sandbox.fails("up", 2);
        assert!(
            ran.err.contains(&path.display().to_string()),
            "{what}: {ran}"
        );
        assert!(ran.err.contains("--config none"), "{what}: {ran}");
        assert_eq!(sandbox.files(), Vec::<PathBuf>::new(), "{what}");
    };
    sandbox.project(b"name = \"\xff\"\n");
    check("not UTF-8");
    sandbox.project(format!("# {}\n", "x".repeat(1 << 20)));
    check("too large");
    sandbox.project(format!("#{}\n", "x".repeat((1 << 20) - 2)));
    sandbox.ok("config show");
    fs::remove_file(&path).expect("removed");
    fs::create_dir(&path).expect("a directory");
    check("a directory");
    fs::remove_dir(&path).expect("removed");
    std::os::unix::fs::symlink("nowhere", &path).expect("a link");
    check("a dangling link");
    fs::remove_file(&path).expect("removed");
    let made = Command::new("mkfifo")
        .arg(&path)
        .status()
        .expect("mkfifo runs");
    assert!(made.success());
    check("a pipe");
    fs::remove_file(&path).expect("removed");
    sandbox.project("primaries = 5\n");
    set_mode(&path, 0o000);
    // Root may read it all the same.
    if fs::read(&path).is_err() {
        check("unreadable");
    }
    let ran = sandbox.fails("config show --config missing.toml", 2);
    assert!(ran.err.contains("missing.toml"), "{ran}");
}

#[test]
fn a_file_that_somebody_else_may_have_written_is_refused() {
    let sandbox = Sandbox::new();
    let file = sandbox.project("primaries = 5\n");
    let user_file = sandbox.user_file("replicas = 2\n");
    let refused = |path: &Path, why: &str| {
        for line in ["up", "config show"] {
            let ran = sandbox.fails(line, 2);
            for word in [
                &path.display().to_string(),
                why,
                "chown",
                "chmod",
                "--config",
            ] {
                assert!(ran.err.contains(word), "{word}: {ran}");
            }
        }
        assert_eq!(sandbox.files(), Vec::<PathBuf>::new());
    };
    for path in [&file, &user_file] {
        set_mode(path, 0o646);
        refused(path, "everybody may write to it");
        set_mode(path, 0o644);
        sandbox.ok("config show");
    }
    // Named, it is the user's own word.
    set_mode(&file, 0o666);
    let ran = sandbox.ok("config show --config rcluster.toml");
    assert!(ran.out.contains("\nprimaries = 5\n"), "{ran}");
    set_mode(&file, 0o644);
    // Only root can give files away.
    let gives = |owner: &str| {
        let mut chown = Command::new("chown");
        let gave = chown.arg(owner).arg(&file).output().expect("chown runs");
        gave.status.success()
    };
    if gives("65534:0") {
        refused(&file, "it belongs to user 65534");
        assert!(gives("0:65534"));
        sandbox.ok("config show");
        set_mode(&file, 0o664);
        refused(&file, "group 65534 may write to it");
    }
}

#[test]
fn paths_are_relative_to_the_file() {
    let sandbox = Sandbox::new();
    let root = sandbox.real();
    let text = "conf = \"a.conf\"\naclfile = \"./x/users.acl\"\npassword-file = \"/etc/p\"\n\
                replication-password-file = \"-\"\nreplication-user = \"r\"\nhome = \"../home\"\n\
                loadmodule = [\"m/x.so ARG\", \"/y.so\"]\nserver = \"redis-server\"\n\
                tls-ca = \"ca.pem\"\ntls-cert = \"c.pem\"\ntls-key = \"k.pem\"\n\
                [server-for]\nprimary = \"bin/x\"\nreplica = \"x\"\n[set]\ndbfilename = \"a.rdb\"\n";
    write(&root.join("project/rcluster.toml"), text);
    fs::create_dir_all(root.join("project/deep/er")).expect("directories");
    let mut command = sandbox.command(&["config", "show", "--json"]);
    command.current_dir(root.join("project/deep/er"));
    command
        .env_remove("RCLUSTER_HOME")
        .env_remove("RCLUSTER_SERVER");
    let document = Ran::of(command, "config show from below").json();
    let below = |path: &str| json!(root.join("project").join(path));
    for (key, wanted) in [
        ("conf", below("a.conf")),
        ("aclfile", below("x/users.acl")),
        ("password-file", json!("/etc/p")),
        ("replication-password-file", json!("-")),
        ("home", below("../home")),
        ("loadmodule", json!([below("m/x.so ARG"), "/y.so"])),
        ("server", json!("redis-server")),
        ("tls-ca", below("ca.pem")),
        ("server-for.primary", below("bin/x")),
        ("server-for.replica", json!("x")),
        ("set.dbfilename", json!("a.rdb")),
    ] {
        assert_eq!(value(&document, key).0, wanted, "{key}");
    }
}

#[test]
fn the_nearest_file_upwards_is_the_projects() {
    let sandbox = Sandbox::new();
    let root = sandbox.real();
    let outer = write(&root.join("a/rcluster.toml"), "primaries = 5\n");
    let inner = write(&root.join("a/b/c/rcluster.toml"), "replicas = 2\n");
    fs::create_dir_all(root.join("a/b/c/d")).expect("directories");
    let at = |dir: &str, arguments: &[&str], environment: &[(&str, &str)]| {
        let arguments = [&["config", "show", "--json"], arguments].concat();
        let mut command = sandbox.command(&arguments);
        command
            .current_dir(root.join(dir))
            .envs(environment.iter().copied());
        let ran = Ran::of(command, dir);
        assert_eq!(ran.code, Some(0), "{ran}");
        let document = ran.json();
        let files = document["files"].as_array().expect("files").clone();
        let files = files
            .iter()
            .map(|file| (file["level"].clone(), file["path"].clone()));
        files.collect::<Vec<_>>()
    };
    let project = |path: &Path| (json!("project"), json!(path));
    assert_eq!(at(".", &[], &[]), []);
    assert_eq!(at("a", &[], &[]), [project(&outer)]);
    assert_eq!(at("a/b", &[], &[]), [project(&outer)]);
    assert_eq!(at("a/b/c", &[], &[]), [project(&inner)]);
    assert_eq!(at("a/b/c/d", &[], &[]), [project(&inner)]);
    // Another in its place, or none.
    let config = [("RCLUSTER_CONFIG", "../rcluster.toml")];
    assert_eq!(
        at("a/b", &[], &config),
        [project(&root.join("a/b/../rcluster.toml"))]
    );
    assert_eq!(
        at("a/b", &["--config", "c/rcluster.toml"], &config),
        [project(&inner)]
    );
    assert_eq!(at("a/b", &["--config", "none"], &config), []);
    // The user's file is where XDG says, by an absolute path.
    let user = sandbox.user_file("timeout = \"5s\"\n");
    let user = (json!("user"), json!(user));
    assert_eq!(at("a", &[], &[]), [project(&outer), user.clone()]);
    assert_eq!(
        at("a", &["--config", "b/c/rcluster.toml"], &[]),
        [project(&inner), user.clone()]
    );
    assert_eq!(at("a", &["--config", "none"], &[]), []);
    let home = write(
        &root.join("me/.config/rcluster/config.toml"),
        "timeout = \"6s\"\n",
    );
    let me = root.join("me");
    let me = me.to_str().expect("UTF-8");
    let relative = [("XDG_CONFIG_HOME", "config"), ("HOME", me)];
    assert_eq!(at(".", &[], &relative), [(json!("user"), json!(home))]);
    assert_eq!(at(".", &[], &[("HOME", me)]), [user]);
    // A directory that is gone has none above it, and no other verb falls over either.
    let gone = root.join("gone");
    fs::create_dir(&gone).expect("a directory");
    let script = format!(
        "cd {0} && rmdir {0} && exec {1} list",
        gone.display(),
        env!("CARGO_BIN_EXE_rcluster")
    );
    let mut command = Command::new("sh");
    command
        .args(["-c", &script])
        .env("RCLUSTER_HOME", sandbox.home())
        .env("XDG_CONFIG_HOME", sandbox.user_config());
    let ran = Ran::of(command, "list in a directory that is gone");
    assert_eq!(ran.code, Some(0), "{ran}");
}

#[test]
fn tables_are_merged_line_by_line_and_all_else_is_replaced() {
    let sandbox = Sandbox::new();
    let project = sandbox.project(
        "bind = [\"127.0.0.1\", \"::1\"]\nloadmodule = [\"/a.so\", \"/b.so\"]\n[set]\nhz = 20\n\
         save = [\"3600 1\", \"300 100\"]\n\"Search.Timeout\" = 1.5\n[set-for.replica]\nhz = 21\nmaxmemory = 1\n\
         [server-for]\nprimary = \"/p\"\n",
    );
    let user = sandbox.user_file(
        "[set]\nhz = 30\nmaxmemory = \"30mb\"\n[set-for.\"replica:2\"]\nhz = 31\n[server-for]\nreplica = \"/u\"\n",
    );
    let arguments = [
        "--set",
        "save=60 1",
        "--bind",
        "127.0.0.9",
        "--set-for",
        "slave",
        "HZ=11",
    ];
    let document = show(&sandbox, &arguments, &[]);
    let at = |path: &Path, line: usize| format!("{}:{line}", path.display());
    for (key, wanted, origin) in [
        ("bind", json!(["127.0.0.9"]), "flag".to_owned()),
        ("loadmodule", json!(["/a.so", "/b.so"]), at(&project, 2)),
        ("set.hz", json!(20), at(&project, 4)),
        ("set.save", json!("60 1"), "flag".to_owned()),
        ("set.\"search.timeout\"", json!("1.5"), at(&project, 6)),
        ("set.maxmemory", json!("30mb"), at(&user, 3)),
        ("set-for.replica.hz", json!(11), "flag".to_owned()),
        ("set-for.replica.maxmemory", json!(1), at(&project, 9)),
        ("set-for.\"replica:2\".hz", json!(31), at(&user, 5)),
        ("server-for.primary", json!("/p"), at(&project, 11)),
        ("server-for.replica", json!("/u"), at(&user, 7)),
    ] {
        assert_eq!(value(&document, key), (wanted, origin), "{key}");
    }
    let save = value(&show(&sandbox, &[], &[]), "set.save").0;
    assert_eq!(save, json!(["3600 1", "300 100"]));
    // An empty list says that there is none, whatever the user's file says.
    let project = sandbox.project("bind = []\nset.save = []\n");
    sandbox.user_file("bind = \"::1\"\nset.save = \"1 1\"\n");
    let document = show(&sandbox, &[], &[]);
    assert_eq!(value(&document, "bind"), (json!([]), at(&project, 1)));
    assert_eq!(value(&document, "set.save"), (json!([]), at(&project, 2)));
}

#[test]
fn what_a_file_turns_on_is_turned_off_again() {
    let sandbox = Sandbox::new();
    let file = sandbox.project(
        "ephemeral = true\nunix-socket = true\ngenerate-password = true\nverbose = true\ntls = \"both\"\n\
         tls-port = 7001\ntls-auth-clients = \"yes\"\ntls-ca = \"a\"\ntls-cert = \"c\"\ntls-key = \"k\"\n",
    );
    let off = [
        "--ephemeral=no",
        "--unix-socket=false",
        "--generate-password=off",
        "--verbose=0",
        "--tls=no",
    ];
    let document = show(&sandbox, &off, &[]);
    for key in [
        "ephemeral",
        "unix-socket",
        "generate-password",
        "verbose",
        "tls",
    ] {
        assert_eq!(
            value(&document, key),
            (json!(false), "flag".into()),
            "{key}"
        );
    }
    for key in ["tls-ca", "tls-cert", "tls-key"] {
        assert_eq!(
            value(&document, key),
            (json!(null), "default".into()),
            "{key}"
        );
    }
    for key in ["tls-port", "tls-auth-clients"] {
        assert_eq!(value(&document, key).1, "default", "{key}");
    }
    // The stronger of two that exclude each other counts.
    let document = show(&sandbox, &["-q", "--password-file", "p"], &[]);
    assert_eq!(
        value(&document, "verbose"),
        (json!(false), "default".into())
    );
    assert_eq!(
        value(&document, "generate-password"),
        (json!(false), "default".into())
    );
    // A no excludes nothing.
    let document = show(&sandbox, &["--quiet=no", "--ephemeral"], &[]);
    assert_eq!(
        value(&document, "verbose"),
        (json!(true), format!("{}:4", file.display()))
    );
    assert_eq!(value(&document, "ephemeral"), (json!(true), "flag".into()));
    sandbox.fails("config show -q -v", 2);
    sandbox.fails("config show --generate-password --password-file x", 2);
    sandbox.ok("config show --generate-password=no --password-file x");
    sandbox.fails("config show --ephemeral=perhaps", 2);
    sandbox.ok("config show -qv=no");
}

#[test]
fn an_option_may_need_another_that_a_file_gives() {
    let sandbox = Sandbox::new();
    let line = "config show --tls-key k";
    let ran = sandbox.fails(line, 2);
    assert!(
        ran.err.contains("--tls-cert") && !ran.err.contains("rcluster.toml"),
        "{ran}"
    );
    sandbox.project("tls-ca = \"a\"\ntls-cert = \"c\"\n");
    let ran = sandbox.fails("config show", 2);
    assert!(ran.err.contains("rcluster.toml:1: tls-ca: "), "{ran}");
    sandbox.ok(line);
    sandbox.ok("-n x config --json show --tls-key k");
}

#[test]
fn the_password_of_the_environment_wins_over_files_and_is_never_shown() {
    let sandbox = Sandbox::new();
    let password = [("RCLUSTER_PASSWORD", SECRET)];
    let origin = "environment RCLUSTER_PASSWORD";
    for text in ["", "password-file = \"p\"\n", "generate-password = true\n"] {
        sandbox.project(text);
        let document = show(&sandbox, &[], &password);
        assert_eq!(
            value(&document, "password-file"),
            (json!(null), origin.into()),
            "{text}"
        );
        assert_eq!(value(&document, "generate-password").0, false, "{text}");
        assert_eq!(
            document["environment"],
            json!([{ "name": "RCLUSTER_PASSWORD", "set": true }])
        );
        assert!(!document.to_string().contains(SECRET));
        let ran = run_with(&sandbox, &["config", "show", "--origin"], &password);
        assert!(!ran.out.contains(SECRET), "{ran}");
        assert!(ran.out.contains("\n# RCLUSTER_PASSWORD is set\n"), "{ran}");
        assert!(ran.out.contains(origin), "{ran}");
        let document = show(&sandbox, &["--generate-password"], &password);
        assert_eq!(
            value(&document, "generate-password"),
            (json!(true), "flag".into())
        );
        assert_eq!(value(&document, "password-file").1, "default");
    }
    assert_eq!(
        show(&sandbox, &[], &[])["environment"],
        json!([{ "name": "RCLUSTER_PASSWORD", "set": false }])
    );
    let ran = sandbox.fails("config show --set requirepass=hunter2", 2);
    assert!(!ran.err.contains(SECRET), "{ran}");
}

#[test]
fn what_is_shown_can_be_saved_and_says_the_same() {
    let sandbox = Sandbox::new();
    sandbox.user_file("replicas = 2\nserver-for.replica = \"/u\"\n[set]\nhz = 30\n");
    sandbox.project(
        "name = \"a\"\nport = \"auto\"\nbind = \"::1\"\nephemeral = true\nquiet = false\ntls = \"both\"\n\
         conf = \"a \\\"b\\\" \\\\ \\u0001 \\u202E é.conf\"\n[set]\nsave = [\"1 1\", \"2 2\"]\nhz = 40\n\
         appendonly = false\n\"x.y\" = \"'a b'\"\n[set-for.\"slave:2\"]\nmaxmemory = \"1mb\"\n",
    );
    let arguments = [
        "--set",
        "maxmemory=1mb",
        "--announce-hostname",
        "n{index}",
        "--loadmodule",
        "/a b.so X",
        "--user",
        "me\u{7f}",
        "--tls-auth-clients",
        "no",
    ];
    let first = Ran::of(
        sandbox.command(&[&["config", "show"], &arguments[..]].concat()),
        "first",
    );
    assert_eq!((first.code, first.err.as_str()), (Some(0), ""), "{first}");
    let odd = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
    assert!(!first.out.contains(odd), "{first}");
    let before = show(&sandbox, &arguments, &[]);
    fs::remove_dir_all(sandbox.user_config()).expect("removed");
    sandbox.project(&first.out);
    let second = sandbox.ok("config show");
    assert_eq!(second.out, first.out, "{second}");
    let plain = |document: &Value| -> Vec<(Value, Value)> {
        let values = document["values"].as_array().expect("values");
        values
            .iter()
            .map(|value| (value["key"].clone(), value["value"].clone()))
            .collect()
    };
    assert_eq!(plain(&show(&sandbox, &[], &[])), plain(&before));
    // With origins it can be saved too; and what nobody gave is not said.
    let third = sandbox.ok("config show --origin");
    sandbox.project(&third.out);
    assert_eq!(sandbox.ok("config show").out, first.out, "{third}");
    assert!(first.out.contains("\n# primaries = 3\n"), "{first}");
    assert!(first.out.contains("\n# announce-ip: not set\n"), "{first}");
}

#[test]
fn origins_are_told_in_words() {
    let sandbox = Sandbox::new();
    let file = sandbox.project("# mine\nreplicas = 2\n[set]\nhz = 50\n");
    let arguments = ["config", "show", "--origin", "--primaries", "5"];
    let ran = run_with(&sandbox, &arguments, &[("RCLUSTER_SERVER", "redis-server")]);
    let comment = |line: &str| {
        let found = ran.out.lines().find(|found| found.starts_with(line));
        let found = found.unwrap_or_else(|| panic!("{line}: {ran}"));
        let (_, comment) = found.rsplit_once("# ").expect("a comment");
        comment.to_owned()
    };
    let file = file.display();
    assert_eq!(comment("primaries = 5"), "flag");
    assert_eq!(
        comment("server = \"redis-server\""),
        "environment RCLUSTER_SERVER"
    );
    assert_eq!(comment("replicas = 2"), format!("{file}:2"));
    assert_eq!(comment("hz = 50"), format!("{file}:4"));
    assert_eq!(comment("# port = 30001"), "default");
    assert_eq!(comment("# project file: "), format!("project file: {file}"));
    let plain = sandbox.ok("config show --primaries 5");
    assert!(plain.out.contains("\nprimaries = 5\n"), "{plain}");
    assert!(!plain.out.contains("flag"), "{plain}");
    let document = show(&sandbox, &["--primaries", "5"], &[]);
    assert_eq!(
        (&document["schema_version"], &document["ok"]),
        (&json!(1), &json!(true))
    );
    assert_eq!(value(&document, "primaries"), (json!(5), "flag".into()));
    sandbox.fails("config", 2);
    sandbox.fails("config frobnicate", 2);
}

#[test]
fn settings_of_every_verb_hold_for_every_verb() {
    let sandbox = Sandbox::new();
    sandbox.project("name = \"elsewhere\"\ncolor = \"always\"\nhome = \"there\"\n");
    let mut command = sandbox.command(&["status"]);
    command.env_remove("RCLUSTER_HOME");
    let ran = Ran::of(command, "status");
    assert_eq!(ran.code, Some(4), "{ran}");
    let home = sandbox.real().join("there");
    let wanted = format!("there is no cluster \"elsewhere\" in {}", home.display());
    assert!(ran.err.contains(&wanted), "{ran}");
    assert!(
        ran.err.contains('\u{1b}'),
        "colours: {ran:?}",
        ran = ran.err
    );
    for line in [
        "-n here status",
        "status -n here",
        "--color never -n here status",
    ] {
        let ran = sandbox.fails(line, 4);
        assert!(ran.err.contains("no cluster \"here\""), "{ran}");
        assert_eq!(ran.err.contains('\u{1b}'), !line.contains("never"), "{ran}");
    }
    // A verb within a verb, and arguments that look like verbs.
    sandbox.project("name = \"up\"\ntimeout = \"5s\"\n");
    sandbox.ok("server list");
    let document = show(&sandbox, &["--user", "up", "--color=never", "-q"], &[]);
    assert_eq!(value(&document, "name").0, "up");
    assert_eq!(value(&document, "user"), (json!("up"), "flag".into()));
    sandbox.fails("--color never -q down --yes --name up extra", 2);
    sandbox.ok("-n up --color never down --yes");
}

#[test]
fn doctor_checks_for_what_the_file_describes() {
    let sandbox = Sandbox::new();
    sandbox.project("primaries = 4\nreplicas = 2\nserver = \"nosuch-server\"\n");
    let mut command = sandbox.command(&["doctor"]);
    command.env_remove("RCLUSTER_SERVER");
    let ran = Ran::of(command, "doctor");
    assert_eq!(ran.code, Some(10), "{ran}");
    assert!(
        ran.out.contains("there is no program \"nosuch-server\""),
        "{ran}"
    );
    assert!(ran.out.contains("12 nodes"), "{ran}");
    let ran = sandbox.run("doctor --primaries 1 --replicas 1");
    assert!(
        ran.out.contains("2 nodes") && !ran.out.contains("12 nodes"),
        "{ran}"
    );
    // It makes nothing, so that a bad value is no more than a note.
    sandbox.project("primaries = \"three\"\n");
    let ran = sandbox.run("doctor");
    assert!(
        ran.err.contains("note: ") && ran.out.contains("6 nodes"),
        "{ran}"
    );
}

#[test]
fn a_broken_file_stops_no_verb_that_knows_its_cluster() {
    let sandbox = Sandbox::new();
    let up = "up --primaries 1 --replicas 0 --port auto";
    sandbox.ok(up);
    // What is wrong with the shape, or unknown, is none of these verbs' business.
    for text in [
        "primaries = \"three\"",
        "frobnicate = 1",
        "password = \"hunter2\"",
        "timeout = 5",
        "timeout = \"soon\"",
        "color = \"sometimes\"",
        "tls-key = \"x\"",
        "[set]\nrequirepass = \"hunter2\"",
    ] {
        let file = sandbox.project(text);
        sandbox.fails("up", 2);
        for verb in ["status", "list", "start --help", "create", "version"] {
            let ran = sandbox.ok(verb);
            assert!(!ran.err.contains(SECRET), "{text}: {ran}");
            assert!(!ran.err.contains("error:"), "{text}: {ran}");
        }
        let ran = sandbox.ok("status");
        let is_noted = ran.err.contains(&format!("note: {}:1: ", file.display()));
        let is_shape = ["primaries", "tls-key", "[set]"]
            .iter()
            .any(|key| text.starts_with(key));
        assert_eq!(is_noted, !is_shape, "{text}: {ran}");
        assert_eq!(sandbox.ok("status -q").err, "", "{text}");
        assert_eq!(sandbox.ok("status --json").err, "", "{text}");
    }
    // Which cluster is meant must be beyond doubt: in words, or by the file.
    let named = "-n default";
    for text in [
        "name = default",
        "name = 5",
        "name = \"NO\"",
        "nmae = \"other\"",
        "hoem = \"x\"",
        "]",
    ] {
        let file = sandbox.project(text);
        for verb in [
            "status",
            "stop",
            "down --yes",
            "clean --yes",
            "list",
            "create",
        ] {
            let ran = sandbox.fails(verb, 2);
            assert!(
                ran.err.contains(&format!("error: {}:1: ", file.display())),
                "{text}: {ran}"
            );
            assert_eq!(sandbox.survivors().len(), 1, "{text} {verb}");
        }
        sandbox.ok("version");
        let ran = sandbox.ok(&format!("{named} status"));
        assert!(ran.err.contains("note: "), "{text}: {ran}");
        sandbox.ok("--config none status");
        let environment = [("RCLUSTER_CONFIG", "none")];
        assert_eq!(run_with(&sandbox, &["status"], &environment).code, Some(0));
    }
    set_mode(&sandbox.project("primaries = 1\n"), 0o666);
    sandbox.fails("stop", 2);
    sandbox.ok(&format!("{named} stop"));
    sandbox.ok(&format!("down --yes {named}"));
    assert_eq!(sandbox.survivors().len(), 0);
}

/// The value of a directive on a node of 127.0.0.1.
fn directive(port: u64, name: &str) -> String {
    let answer = redis(port, &["CONFIG", "GET", name]);
    answer.lines().last().expect("a value").to_owned()
}

#[test]
fn up_makes_what_the_file_says_and_flags_change_it() {
    let sandbox = Sandbox::new();
    let conf = write(
        &sandbox.real().join("etc/common.conf"),
        "maxmemory 7mb\nhz 13\n",
    );
    let file = sandbox.project(
        "name = \"mine\"\nprimaries = 1\nreplicas = 2\nport = \"auto\"\nephemeral = true\n\
         conf = \"etc/common.conf\"\n[set]\nmaxmemory = \"20mb\"\nmaxmemory-policy = \"allkeys-lru\"\n\
         [set-for.3]\nmaxmemory = \"30mb\"\n",
    );
    assert!(conf.exists());
    let made = sandbox
        .ok("up --json --set maxmemory=40mb --ephemeral=no")
        .json();
    assert_eq!(made["name"], "mine");
    let ports = ports(&made);
    assert_eq!(ports.len(), 3);
    let of =
        |name: &str| -> Vec<String> { ports.iter().map(|port| directive(*port, name)).collect() };
    let megabytes = |number: u64| (number << 20).to_string();
    assert_eq!(
        of("maxmemory"),
        [megabytes(40), megabytes(40), megabytes(30)]
    );
    assert_eq!(of("maxmemory-policy"), ["allkeys-lru"; 3]);
    assert_eq!(of("hz"), ["13"; 3]);
    assert_eq!(of("appendonly"), ["yes"; 3]);
    // The file counts as given: where the cluster is otherwise, it says so.
    let again = sandbox.fails("up", 7);
    let from = |line: usize| format!("(from {}:{line})", file.display());
    assert!(
        again
            .err
            .contains(&format!("it was not made with --ephemeral {}", from(5))),
        "{again}"
    );
    assert!(again.err.contains(&from(8)), "the directives: {again}");
    assert!(!again.err.contains(&from(2)), "{again}");
    let line = "up --set maxmemory=40mb --ephemeral=no";
    let again = sandbox.ok(&format!("{line} --json")).json();
    assert_eq!(again["changed"], false);
    let other = sandbox.fails(&format!("{line} --primaries 3"), 7);
    assert!(other.err.contains("--primaries 1, not 3"), "{other}");
    assert!(!other.err.contains("(from"), "{other}");
    sandbox.project("name = \"mine\"\nprimaries = 3\nunix-socket = false\n");
    let other = sandbox.fails("start", 7);
    assert!(
        other
            .err
            .contains(&format!("--primaries 1, not 3 {}", from(2))),
        "{other}"
    );
    // create forms what was started, and takes its shape from no file.
    sandbox.ok("create");
    sandbox.ok("stop");
    sandbox.ok("down --yes");
    assert_eq!(sandbox.survivors().len(), 0);
}

#[test]
fn up_makes_a_tls_cluster_that_a_file_describes() {
    let sandbox = Sandbox::new();
    let file = sandbox.project(
        "primaries = 1\nreplicas = 0\nport = \"auto\"\ntls = \"both\"\ntls-auth-clients = \"yes\"\n\
         [set-for.primary]\nmaxmemory = \"30mb\"\n",
    );
    let ran = sandbox.run("up --json");
    if ran.code == Some(10) && ran.err.contains("built without TLS") {
        // Such a server can still be had without what the file turns on.
        sandbox.ok("up --tls=no");
        sandbox.ok("down --yes");
        return;
    }
    let made = ran.json();
    assert_eq!(directive(ports(&made)[0], "tls-auth-clients"), "yes");
    assert_eq!(
        directive(ports(&made)[0], "maxmemory"),
        (30 << 20).to_string()
    );
    let other = sandbox.fails("up --tls=no", 7);
    assert!(other.err.contains("--tls both, not no"), "{other}");
    sandbox.project("primaries = 1\nreplicas = 0\ntls = true\n");
    let other = sandbox.fails("start", 7);
    let wanted = format!("--tls both, not only (from {}:3)", file.display());
    assert!(other.err.contains(&wanted), "{other}");
    sandbox.ok("down --yes");
    // Turned off, the keys of TLS go with it; one that stays is refused.
    sandbox.project(
        "primaries = 1\nreplicas = 0\nport = \"auto\"\ntls = true\ntls-auth-clients = \"yes\"\n",
    );
    let made = sandbox.ok("up --json --tls=no").json();
    assert_eq!(redis(ports(&made)[0], &["PING"]), "PONG");
    let other = sandbox.fails("up", 7);
    assert!(
        other
            .err
            .contains(&format!("--tls no, not only (from {}:4)", file.display())),
        "{other}"
    );
    sandbox.fails("up --tls=no --tls-auth-clients no", 2);
    sandbox.ok("down --yes");
}
