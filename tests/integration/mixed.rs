//! What is not the same on every node: its server, its settings; and modules, which are.
//!
//! Other servers than the one under test are taken from `.servers/` (`scripts/servers` fills it), or
//! from `RCLUSTER_TEST_SERVERS_DIR`. Where there is none that goes with it, the same server under
//! another name stands in, so that what belongs to whom is tested all the same.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::sandbox::{Ran, Sandbox, free_ports, kill_and_wait, node_on, nodes, pid_on, ports};
use crate::witness::{ask, assert_ready, config, field, redis_cli, text_at};

const LOCAL: &str = "127.0.0.1";

/// A server program.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Server {
    path: PathBuf,
    valkey: bool,
    version: (u32, u32, u32),
}

impl Server {
    fn at(path: &Path) -> Option<Self> {
        let output = Command::new(path).arg("--version").output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        let (_, version) = text.split_once("v=")?;
        let mut numbers = version
            .split([' ', '.', '-'])
            .map_while(|number| number.parse().ok());
        Some(Self {
            path: path.to_owned(),
            valkey: text.starts_with("Valkey"),
            version: (numbers.next()?, numbers.next()?, numbers.next()?),
        })
    }

    /// The server that the whole suite runs on.
    fn under_test() -> Self {
        let name = std::env::var("RCLUSTER_TEST_SERVER").unwrap_or_else(|_| "redis-server".into());
        let found = Command::new("sh")
            .args(["-c", "command -v \"$0\"", &name])
            .output()
            .expect("sh runs");
        let path = String::from_utf8(found.stdout).expect("UTF-8");
        Self::at(Path::new(path.trim_end())).expect("the server under test")
    }

    /// Those of `.servers/`: `<kind>-<version>/bin/<kind>-server`.
    fn others() -> Vec<Self> {
        let dir = std::env::var_os("RCLUSTER_TEST_SERVERS_DIR").map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join(".servers"),
            PathBuf::from,
        );
        let mut paths: Vec<PathBuf> = fs::read_dir(dir)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .collect();
        paths.sort();
        let server = |path: &PathBuf| {
            let name = path.file_name()?.to_str()?;
            let (kind, _) = name.split_once('-')?;
            Self::at(&path.join("bin").join(format!("{kind}-server")))
        };
        paths.iter().filter_map(server).collect()
    }

    /// As rcluster prints it.
    fn word(&self) -> String {
        let (major, minor, patch) = self.version;
        let kind = if self.valkey { "valkey" } else { "redis" };
        format!("{kind} {major}.{minor}.{patch}")
    }

    /// Whether replicas of this server understand the snapshots of `primary`, and say so.
    fn follows(&self, primary: &Self) -> bool {
        // Both went on from Redis 7.2's format, each with formats of its own.
        let is_old =
            |server: &Self| server.version < (if server.valkey { (9, 0, 0) } else { (7, 4, 0) });
        if self.valkey == primary.valkey {
            self.version >= primary.version
        } else {
            !primary.valkey && is_old(primary) && self.version >= (7, 2, 0)
        }
    }

    /// Whether it is this program that runs as process `pid`.
    fn runs_as(&self, pid: i64) -> bool {
        let real = |path: &Path| fs::canonicalize(path).expect("it is there");
        let title = fs::read(format!("/proc/{pid}/cmdline")).expect("it runs");
        let exe = real(Path::new(&format!("/proc/{pid}/exe")));
        exe == real(&self.path) && title.starts_with(self.path.as_os_str().as_encoded_bytes())
    }
}

/// Two servers, of which the second can follow the first.
struct Pair {
    old: Server,
    new: Server,
}

impl Pair {
    fn new(sandbox: &Sandbox) -> Self {
        let one = Server::under_test();
        let others = Server::others();
        let fits = |other: &&Server| {
            other.word() != one.word() && (other.follows(&one) || one.follows(other))
        };
        // Of the same kind if there is one: then the newer takes the older's data without a question.
        let mut fitting: Vec<&Server> = others.iter().filter(fits).collect();
        fitting.sort_by_key(|other| other.valkey != one.valkey);
        match fitting.first() {
            Some(other) if other.follows(&one) => Self {
                old: one,
                new: (*other).clone(),
            },
            Some(other) => Self {
                old: (*other).clone(),
                new: one,
            },
            None => {
                let path = sandbox.path().join("another-server");
                std::os::unix::fs::symlink(&one.path, &path).expect("linked");
                let new = Server {
                    path,
                    ..one.clone()
                };
                Self { old: one, new }
            }
        }
    }

    /// Whether they are two.
    fn is_two(&self) -> bool {
        self.old.word() != self.new.word()
    }

    /// What `new` needs to be given the data of `old`.
    fn consent(&self) -> &'static str {
        if self.old.valkey == self.new.valkey {
            ""
        } else {
            "--yes"
        }
    }
}

/// Runs the program with `server` for all nodes, whatever the suite runs on.
fn run(sandbox: &Sandbox, server: Option<&Server>, line: &str) -> Ran {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let mut command = sandbox.command(&words);
    command.env_remove("RCLUSTER_SERVER");
    if let Some(server) = server {
        command.arg("--server").arg(&server.path);
    }
    Ran::of(command, line)
}

fn ok(sandbox: &Sandbox, server: Option<&Server>, line: &str) -> Value {
    let ran = run(sandbox, server, &format!("{line} --json"));
    assert_eq!(ran.code, Some(0), "{ran}");
    ran.json()
}

/// That each node runs the server that `wanted` says for its index, by every witness there is.
fn assert_servers<'a>(document: &Value, wanted: impl Fn(u64) -> &'a Server) {
    for node in nodes(document) {
        let wanted = wanted(node["index"].as_u64().expect("an index"));
        let pid = node["pid"].as_i64().expect("a PID");
        assert!(
            wanted.runs_as(pid),
            "{} runs something else: {node}",
            wanted.path.display()
        );
        let said = format!(
            "{} {}",
            node["server"]["kind"].as_str().expect("a kind"),
            node["server"]["version"].as_str().expect("a version")
        );
        assert_eq!(said, wanted.word(), "{node}");
        let info = text_at(
            LOCAL,
            node["port"].as_u64().expect("a port"),
            &["INFO", "server"],
        );
        let name = if wanted.valkey {
            "valkey_version"
        } else {
            "redis_version"
        };
        let (major, minor, patch) = wanted.version;
        assert_eq!(
            field(&info, name),
            Some(format!("{major}.{minor}.{patch}")),
            "{node}"
        );
    }
}

#[test]
fn some_nodes_may_run_another_server_and_keep_it() {
    for verbs in [&["start", "create"][..], &["up"]] {
        let sandbox = Sandbox::new();
        let pair = Pair::new(&sandbox);
        let new = pair.new.path.display();
        let options = format!("--port auto --server-for replica={new}");
        let (first, rest) = verbs.split_first().expect("a verb");
        let made = run(&sandbox, Some(&pair.old), &format!("{first} {options}"));
        assert_eq!(made.code, Some(0), "{made}");
        assert!(!made.err.contains("may not understand"), "{made}");
        for verb in rest {
            ok(&sandbox, None, verb);
        }
        let server = |index| if index > 3 { &pair.new } else { &pair.old };
        let document = sandbox.status();
        assert_ready(&document, 3, 1);
        assert_servers(&document, server);
        assert_eq!(
            document["server"]["path"],
            pair.old.path.to_str().expect("UTF-8")
        );
        if pair.is_two() {
            let status = sandbox.ok("status");
            let both = format!(
                "{} (3 nodes) and {} (3 nodes)",
                pair.old.word(),
                pair.new.word()
            );
            assert!(status.out.contains(&both), "{both}: {status}");
        }

        // A node that died, and then all: each has its own again.
        let port = ports(&document)[5];
        kill_and_wait(pid_on(&document, port));
        let document = ok(&sandbox, None, "start");
        assert_ready(&document, 3, 1);
        assert_servers(&document, server);
        sandbox.ok("stop");
        let document = ok(&sandbox, None, "up");
        assert_ready(&document, 3, 1);
        assert_servers(&document, server);
        assert_eq!(
            ok(&sandbox, None, &format!("up --server-for replica={new}"))["changed"],
            false
        );
        sandbox.gone("down --yes");
    }
}

#[test]
fn a_dead_node_may_be_upgraded_and_then_all() {
    let sandbox = Sandbox::new();
    let pair = Pair::new(&sandbox);
    let (old, new, consent) = (&pair.old, pair.new.path.display(), pair.consent());
    let up = ok(&sandbox, Some(old), "up --port auto");
    let port = ports(&up)[3];
    redis_cli(&["-c", "-p", &port.to_string(), "SET", "wat", "2"], "");
    let with = |line: &str| run(&sandbox, None, line);

    // Nothing is exchanged under a node that runs.
    let running = with(&format!("start --server-for 4={new} {consent}"));
    assert_eq!(
        running.code,
        Some(if pair.is_two() { 7 } else { 0 }),
        "{running}"
    );
    assert_eq!(pid_on(&sandbox.status(), port), pid_on(&up, port));

    kill_and_wait(pid_on(&up, port));
    if !consent.is_empty() {
        let refused = with(&format!("start --server-for 4={new}"));
        assert_eq!(refused.code, Some(9), "{refused}");
        assert!(
            refused.err.contains(&pair.old.word()) && refused.err.contains(&pair.new.word()),
            "{refused}"
        );
        assert_eq!(node_on(&sandbox.status(), port)["process"], "dead");
    }
    let server = |index| if index == 4 { &pair.new } else { &pair.old };
    let started = ok(
        &sandbox,
        None,
        &format!("start --server-for 4={new} {consent}"),
    );
    assert_ready(&started, 3, 1);
    assert_servers(&started, server);
    sandbox.ok("stop");
    let started = ok(&sandbox, None, "start");
    assert_ready(&started, 3, 1);
    assert_servers(&started, server);

    sandbox.ok("stop");
    let started = ok(&sandbox, Some(&pair.new), &format!("start {consent}"));
    assert_ready(&started, 3, 1);
    assert_servers(&started, |_| &pair.new);
    assert_eq!(
        redis_cli(&["-c", "-p", &port.to_string(), "GET", "wat"], ""),
        "2\n"
    );
    sandbox.gone("down --yes");
}

#[test]
fn an_older_server_is_given_the_data_of_a_newer_only_if_that_is_meant() {
    let sandbox = Sandbox::new();
    let pair = Pair::new(&sandbox);
    let up = ok(&sandbox, Some(&pair.new), "up --port auto --replicas 0");
    sandbox.ok("stop");
    let old = pair.old.path.display();
    for line in [
        format!("start --server {old}"),
        format!("start --server-for 2={old}"),
        format!("up --server-for primary:2={old}"),
    ] {
        let ran = run(&sandbox, None, &line);
        if pair.is_two() {
            assert_eq!(ran.code, Some(9), "{ran}");
            assert!(
                ran.err.contains(&pair.old.word()) && ran.err.contains(&pair.new.word()),
                "{ran}"
            );
            assert!(sandbox.survivors().is_empty(), "{ran}");
        } else {
            assert_eq!(ran.code, Some(0), "{ran}");
            sandbox.ok("stop");
        }
    }
    let started = ok(&sandbox, Some(&pair.new), "start");
    assert_ready(&started, 3, 0);
    assert_eq!(ports(&started), ports(&up));
    sandbox.gone("down --yes");
}

#[test]
fn nodes_of_a_large_cluster_can_be_named_when_it_is_started_again() {
    let sandbox = Sandbox::new();
    let pair = Pair::new(&sandbox);
    let (new, consent) = (pair.new.path.display(), pair.consent());
    let up = ok(
        &sandbox,
        Some(&pair.old),
        "up --port auto --primaries 4 --replicas 1",
    );
    let port = ports(&up)[7];
    for selector in ["8".to_owned(), "replica:4".into(), port.to_string()] {
        sandbox.ok("stop");
        let line = format!("start --server-for {selector}={new} {consent}");
        let started = ok(&sandbox, None, &line);
        assert_ready(&started, 4, 1);
    }
    // And those that there are not, cannot.
    sandbox.ok("stop");
    for selector in ["9", "primary:5", "1025"] {
        let ran = run(
            &sandbox,
            None,
            &format!("start --server-for {selector}={new} {consent}"),
        );
        assert_eq!(ran.code, Some(2), "{ran}");
        assert!(ran.err.contains("means none of the 8 nodes"), "{ran}");
        assert!(sandbox.survivors().is_empty(), "{ran}");
    }
    sandbox.gone("down --yes");
}

#[test]
fn selectors_that_mean_nobody_are_refused_before_anything_is_made() {
    let base = free_ports(6);
    for option in ["--server-for {}=redis-server", "--set-for {} hz=20"] {
        for selector in [
            "7",
            "1000",
            "primary:4",
            "replica:4",
            "replica:1.2",
            "12000",
            "65535",
        ] {
            let sandbox = Sandbox::new();
            let option = option.replace("{}", selector);
            let ran = sandbox.fails(&format!("up --port {base} {option}"), 2);
            let name = option.split(' ').next().expect("an option");
            assert!(
                ran.err.contains(name) && ran.err.contains("means none of the 6 nodes"),
                "{ran}"
            );
            sandbox.assert_untouched(&ran);
        }
        let sandbox = Sandbox::new();
        let option = option.replace("{}", "replica");
        let ran = sandbox.fails(&format!("up --port {base} --replicas 0 {option}"), 2);
        assert!(ran.err.contains("means none of the 3 nodes"), "{ran}");
        sandbox.assert_untouched(&ran);
    }
}

// Settings.

/// What `name` is on every node, by index.
fn everywhere(document: &Value, name: &str) -> Vec<String> {
    ports(document)
        .into_iter()
        .map(|port| config(port, name))
        .collect()
}

#[test]
fn settings_for_some_nodes_are_on_those_alone_and_stay() {
    for verbs in [&["start", "create"][..], &["up"]] {
        let sandbox = Sandbox::new();
        let base = free_ports(9);
        let options = format!(
            "--replicas 2 --set slowlog-max-len=1 \
             --set-for replica slowlog-max-len=2 --set-for replica:2 slowlog-max-len=3 \
             --set-for replica:3.2 slowlog-max-len=4 --set-for primary:1 slowlog-max-len=5 \
             --set-for 2 slowlog-max-len=6 --set-for {} slowlog-max-len=7 \
             --set-for primary maxmemory=100mb --set-for all latency-monitor-threshold=8",
            base + 2
        );
        let mut line = format!("--port {base} {options}");
        for verb in verbs {
            sandbox.ok(&format!("{verb} {line}"));
            line.clear();
        }
        let mut document = sandbox.status();
        // Who is whose replica is what the cluster says.
        let shards: Vec<u64> = nodes(&document)
            .iter()
            .map(|node| node["shard"].as_u64().expect("a shard"))
            .collect();
        let mut third = 0;
        let wanted: Vec<String> = shards
            .iter()
            .enumerate()
            .map(|(number, shard)| {
                third += usize::from(number > 2 && *shard == 3);
                let value = match (number, shard) {
                    (0, _) => 5,
                    (1, _) => 6,
                    (2, _) => 7,
                    (_, 2) => 3,
                    (_, 3) if third == 2 => 4,
                    _ => 2,
                };
                value.to_string()
            })
            .collect();
        for again in 0..2 {
            assert_ready(&document, 3, 2);
            assert_eq!(everywhere(&document, "slowlog-max-len"), wanted, "{again}");
            let memory: Vec<&str> = [["104857600"; 3].as_slice(), &["0"; 6]].concat();
            assert_eq!(everywhere(&document, "maxmemory"), memory);
            assert_eq!(everywhere(&document, "latency-monitor-threshold"), ["8"; 9]);
            sandbox.ok("stop");
            document = sandbox.ok("start --json").json();
        }
        let same = sandbox.ok(&format!("up --json {options}"));
        assert_eq!(same.json()["changed"], false);
        let other = sandbox.fails("up --set-for 1 maxmemory=1gb", 7);
        assert!(
            other.err.contains("--set-for") && other.err.contains("maxmemory"),
            "{other}"
        );
        sandbox.gone("down --yes");
    }
}

#[test]
fn a_setting_of_what_forming_changes_is_put_back_on_its_own_node() {
    let settings = "--set repl-diskless-sync-delay=3 --set-for 1 hz=20 --set-for 2 hz=30 \
                    --set-for replica repl-diskless-sync-delay=6 \
                    --set-for 1 cluster-require-full-coverage=no";
    for verbs in [&["start", "create"][..], &["up"]] {
        let sandbox = Sandbox::new();
        let mut options = format!("--port auto {settings}");
        for verb in verbs {
            sandbox.ok(&format!("{verb} {options}"));
            options.clear();
        }
        let mut document = sandbox.status();
        for stage in ["formed", "started again"] {
            assert_eq!(
                everywhere(&document, "hz"),
                ["20", "30", "10", "10", "10", "10"],
                "{stage}"
            );
            assert_eq!(
                everywhere(&document, "repl-diskless-sync-delay"),
                ["3", "3", "3", "6", "6", "6"],
                "{stage}"
            );
            assert_eq!(
                everywhere(&document, "cluster-require-full-coverage"),
                ["no", "yes", "yes", "yes", "yes", "yes"],
                "{stage}"
            );
            sandbox.ok("stop");
            document = sandbox.ok("start --json").json();
        }
        sandbox.gone("down --yes");
    }
}

#[test]
fn a_setting_that_one_node_refuses_is_shown_in_the_servers_words_and_nothing_is_left() {
    for verb in ["up", "start"] {
        let sandbox = Sandbox::new();
        let line = format!("{verb} --port auto --json --set-for replica:2 maxmemory-policy=cheese");
        let ran = sandbox.fails(&line, 1);
        let error = ran.json_error();
        assert_eq!(
            error["nodes"].as_array().expect("nodes").len(),
            1,
            "{error}"
        );
        assert!(
            error["nodes"][0]["message"]
                .to_string()
                .contains("maxmemory-policy"),
            "{error}"
        );
        sandbox.assert_untouched(&ran);
    }
}

// Modules.

/// The least that is a module, by what `redismodule.h` would have declared: it wants one argument.
const MODULE: &str = r#"
typedef int (*get_api)(const char *, void *);
static void (*set_attributes)(void *, const char *, int, int);
int RedisModule_OnLoad(void *context, void **arguments, int count) {
  (void)arguments;
  get_api get = (get_api)((void **)context)[0];
  if (get("RedisModule_SetModuleAttribs", (void *)&set_attributes) != 0) return 1;
  set_attributes(context, "rctest", 7, 1);
  return count == 1 ? 0 : 1;
}
"#;

/// A module, made by the compiler that cargo needs for linking.
fn module(sandbox: &Sandbox, name: &str) -> String {
    let source = sandbox.file("module.c", MODULE);
    let path = sandbox.path().join(name);
    let made = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .arg(&path)
        .arg(source)
        .status()
        .expect("cc runs");
    assert!(made.success(), "cc made no module");
    path.to_str().expect("UTF-8").to_owned()
}

#[test]
fn a_module_is_on_every_node_and_stays() {
    let sandbox = Sandbox::new();
    module(&sandbox, "a module.so");
    // Named as seen from where rcluster runs; servers work elsewhere.
    let option = ["--loadmodule", "./a module.so argument"];
    let up = sandbox.run_words(&[&["up", "--port", "auto", "--json"][..], &option].concat());
    assert_eq!(up.code, Some(0), "{up}");
    let mut document = up.json();
    for _ in 0..2 {
        assert_ready(&document, 3, 1);
        for port in ports(&document) {
            let modules = ask(port, &["MODULE", "LIST"]).to_string();
            assert!(modules.contains("\"rctest\""), "{port}: {modules}");
        }
        sandbox.ok("stop");
        document = sandbox.ok("start --json").json();
    }
    let same = sandbox.run_words(&[&["up", "--json"][..], &option].concat());
    assert_eq!(same.json()["changed"], false, "{same}");
    sandbox.gone("down --yes");
}

#[test]
fn what_is_no_module_is_shown_in_the_servers_words_and_nothing_is_left() {
    let sandbox = Sandbox::new();
    let text = sandbox.file("text.so", "hello");
    let good = module(&sandbox, "good.so");
    for verb in ["up", "start"] {
        for (module, said) in [
            (text.clone(), "failed to load"),
            // It wants an argument.
            (good.clone(), "good.so"),
        ] {
            let ran = sandbox.fails(&format!("{verb} --port auto --loadmodule {module}"), 1);
            assert!(ran.err.contains(said) && ran.err.contains("odule"), "{ran}");
            sandbox.assert_untouched(&ran);
        }
        let ran = sandbox.fails(
            &format!("{verb} --port auto --loadmodule {text}.missing"),
            2,
        );
        assert!(ran.err.contains("names no file"), "{ran}");
        sandbox.assert_untouched(&ran);
    }
}

#[test]
fn a_mixture_that_may_not_work_is_told_before_it_is_tried() {
    let sandbox = Sandbox::new();
    let pair = Pair::new(&sandbox);
    let (old, new) = (pair.old.path.display(), pair.new.path.display());
    let told = format!(
        "replicas of {} may not understand the snapshots of {}",
        pair.old.word(),
        pair.new.word()
    );
    let warns = |ran: &Ran| assert_eq!(ran.err.contains(&told), pair.is_two(), "{ran}");
    // One primary, so that the wait for a replica that is never in sync is one.
    let line = format!("up --port auto --primaries 1 --server-for replica={old} --timeout 2s");
    let made = run(&sandbox, Some(&pair.new), &line);
    warns(&made);
    // Whether it is so, the servers know.
    assert!(matches!(made.code, Some(0 | 1 | 6)), "{made}");
    sandbox.gone("down --yes");

    let up = ok(&sandbox, Some(&pair.old), "up --port auto --primaries 1");
    sandbox.ok("stop");
    let line = format!(
        "start --server-for primary={new} --timeout 2s {}",
        pair.consent()
    );
    warns(&run(&sandbox, None, &line));
    assert_eq!(ports(&sandbox.status()), ports(&up));
    sandbox.gone("down --yes");
}
