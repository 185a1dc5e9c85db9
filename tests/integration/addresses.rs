//! Where nodes listen, what they say of where they are, and who is warned of it.

use std::io;
use std::net::{IpAddr, Ipv6Addr, Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rustls::ClientConnection;
use rustls::pki_types::ServerName;
use serde_json::Value;

use crate::sandbox::{
    Ran, Sandbox, Stranger, free_ports, kill_and_wait, nodes, pid_on, ports, wait_for,
};
use crate::witness::{Guest, assert_ready, tls_config};

const LOCAL: &str = "127.0.0.1";

/// That `host` does not let anybody in on the ports of a document.
fn assert_closed(host: &str, document: &Value) {
    let host: IpAddr = host.parse().expect("an address");
    for port in ports(document) {
        let port = u16::try_from(port).expect("a port");
        assert!(
            TcpStream::connect((host, port)).is_err(),
            "{host} {port} is open"
        );
    }
}

/// That wherever an IPv6 address stands before a port, it stands in brackets.
fn assert_brackets(ran: &Ran) {
    let text = format!("{}{}", ran.out, ran.err);
    for line in text.lines().filter(|line| !line.contains("next: ")) {
        for (at, _) in line.match_indices("::1") {
            let after = line.get(at + 3..).unwrap_or_default();
            assert!(
                !after.starts_with(':') && !after.starts_with('.'),
                "no brackets: {line}"
            );
            assert!(
                !after.starts_with(']') || line[..at].ends_with('['),
                "half a bracket: {line}"
            );
        }
    }
    assert!(text.contains("[::1]:"), "the test tests nothing: {ran}");
}

#[test]
fn a_cluster_on_ipv6_is_ready_and_its_addresses_have_brackets() {
    let sandbox = Sandbox::new();
    let started = sandbox.ok("start --port auto --bind ::1 --replicas 1");
    assert_brackets(&started);
    assert_brackets(&sandbox.ok("create --dry-run"));
    assert_brackets(&sandbox.ok("create -v"));
    let status = sandbox.ok("status");
    assert_brackets(&status);
    let document = sandbox.status();
    assert_ready(&document, 3, 1);
    assert!(
        nodes(&document).iter().all(|node| node["host"] == "::1"),
        "{document}"
    );
    assert_closed(LOCAL, &document);
    assert_brackets(&sandbox.ok("list"));
    // The hint is a command that works as it stands.
    let hint = sandbox.ok("up").err;
    let (_, client) = hint.trim_end().split_once("next: ").expect("a hint");
    let client = client.replace("valkey-cli", "redis-cli");
    let said = Command::new("sh")
        .args(["-c", &format!("{client} PING")])
        .output()
        .expect("sh runs");
    assert_eq!(String::from_utf8_lossy(&said.stdout), "PONG\n", "{client}");

    // A node that is dead, and one that is somebody else's: problems and errors name nodes too.
    let port = ports(&document)[0];
    for pid in nodes(&document)
        .iter()
        .filter_map(|node| node["pid"].as_i64())
    {
        kill_and_wait(pid);
    }
    let held = TcpListener::bind((Ipv6Addr::LOCALHOST, u16::try_from(port).expect("a port")));
    let refused = sandbox.fails("start --json", 7);
    let error = refused.json_error();
    assert_eq!(
        error["nodes"][0]["node"],
        format!("[::1]:{port}"),
        "{error}"
    );
    assert_brackets(&sandbox.fails("start", 7));
    drop(held);
    assert_brackets(&sandbox.ok("start"));
    let stopped = sandbox.ok("stop --json").json();
    for node in nodes(&stopped) {
        let name = node["node"].as_str().expect("a name");
        assert!(name.starts_with("[::1]:"), "{stopped}");
    }
    sandbox.gone("down --yes");

    let up = sandbox.ok("up --port auto --bind ::1");
    assert_brackets(&up);
    assert_ready(&sandbox.status(), 3, 1);
    sandbox.gone("down --yes");
}

#[test]
fn nodes_listen_on_every_address_that_was_named_and_on_no_other() {
    for (binds, open, closed) in [
        (
            "--bind 127.0.0.1,::1",
            vec![LOCAL, "::1"],
            vec!["127.0.0.2"],
        ),
        (
            "--bind ::1 --bind 127.0.0.3",
            vec!["::1", "127.0.0.3"],
            vec![LOCAL],
        ),
        ("--bind 127.0.0.2", vec!["127.0.0.2"], vec![LOCAL, "::1"]),
    ] {
        let sandbox = Sandbox::new();
        let up = sandbox.up(binds);
        assert_ready(&up, 3, 1);
        assert_eq!(
            up["nodes"][0]["host"], open[0],
            "the first is the one we use"
        );
        for host in &open {
            for port in ports(&up) {
                assert_eq!(
                    Guest::default().ask(host, port, &["PING"]),
                    "PONG",
                    "{host} {port}"
                );
            }
        }
        for host in closed {
            assert_closed(host, &up);
        }
        sandbox.ok("stop");
        // Somebody may have taken a port on one of them meanwhile.
        let last: IpAddr = open.last().expect("one").parse().expect("an address");
        let port = u16::try_from(ports(&up)[2]).expect("a port");
        let held = TcpListener::bind((last, port)).expect("free");
        let error = sandbox.fails("start --json", 7).json_error();
        let named = std::net::SocketAddr::new(last, port).to_string();
        assert_eq!(error["nodes"][0]["node"], named, "{error}");
        drop(held);
        assert_ready(&sandbox.ok("start --json").json(), 3, 1);
        let bare = binds.replace("--bind ", "").replace(' ', ",");
        let same = sandbox.ok(&format!("up --json --bind {bare}"));
        assert_eq!(same.json()["changed"], false);
        sandbox.fails("up --bind 127.0.0.1,127.0.0.2", 7);
        sandbox.gone("down --yes");
    }
}

#[test]
fn a_port_that_is_taken_on_the_second_address_is_a_conflict_before_anything_is_made() {
    let sandbox = Sandbox::new();
    let base = free_ports(6);
    let _held = TcpListener::bind((Ipv6Addr::LOCALHOST, base + 3)).expect("free");
    for verb in ["up", "start"] {
        let line = format!("{verb} --port {base} --bind 127.0.0.1,::1 --json");
        let ran = sandbox.fails(&line, 7);
        let error = ran.json_error();
        assert_eq!(error["code"], "port_in_use");
        assert_eq!(
            error["nodes"].as_array().expect("nodes").len(),
            1,
            "{error}"
        );
        assert_eq!(
            error["nodes"][0]["node"],
            format!("[::1]:{}", base + 3),
            "{error}"
        );
        sandbox.assert_untouched(&ran);
    }
}

/// Nodes that listen everywhere call themselves what they were told, and reach each other there.
#[test]
fn an_announced_address_is_what_clients_and_nodes_are_told() {
    let sandbox = Sandbox::new();
    let file = sandbox.file("password", "safe");
    let line = format!("--bind 0.0.0.0 --announce-ip 127.0.0.9 --password-file {file}");
    let guest = Guest::with("safe").announced("127.0.0.9");
    for verbs in [&["start", "create"][..], &["up"]] {
        let mut options = format!("--port auto {line}");
        for verb in verbs {
            let ran = sandbox.ok(&format!("{verb} --json {options}"));
            options.clear();
            assert_eq!(ran.err, "", "a document, and nothing beside it");
        }
        let document = sandbox.status();
        assert_eq!(document["nodes"][0]["host"], LOCAL, "where we reach them");
        guest.assert_ready(&document, 3, 1);
        for port in ports(&document) {
            let nodes = guest.text(LOCAL, port, &["CLUSTER", "NODES"]);
            assert!(
                nodes.lines().all(|line| line.contains(" 127.0.0.9:")),
                "{nodes}"
            );
        }
        sandbox.ok("stop");
        guest.assert_ready(&sandbox.ok("start --json").json(), 3, 1);
        assert_eq!(
            sandbox.ok("up --announce-ip 127.0.0.9 --json").json()["changed"],
            false
        );
        let other = sandbox.fails("up --announce-ip 127.0.0.8", 7);
        assert!(
            other.err.contains("--announce-ip 127.0.0.9, not 127.0.0.8"),
            "{other}"
        );
        sandbox.gone("down --yes");
    }
}

/// The host names that CLUSTER SLOTS lists, each with its port.
fn hostnames(guest: &Guest, host: &str, port: u64) -> Vec<(String, u64)> {
    let slots = guest.ask(host, port, &["CLUSTER", "SLOTS"]);
    let ranges = slots.as_array().expect("a list").iter();
    let mut found: Vec<(String, u64)> = ranges
        .flat_map(|range| range.as_array().expect("a range").iter().skip(2))
        .filter_map(|node| {
            let metadata: Vec<&str> = node[3]
                .as_array()?
                .iter()
                .filter_map(Value::as_str)
                .collect();
            let named = metadata.chunks(2).find(|pair| pair[0] == "hostname")?;
            Some((named[1].to_owned(), node[1].as_u64()?))
        })
        .collect();
    found.sort();
    found
}

/// Runs `line`, which needs `cluster-announce-hostname`; `None` where the server does not know it,
/// which must be said.
fn with_hostnames(sandbox: &Sandbox, line: &str) -> Option<Value> {
    let ran = sandbox.run(&format!("{line} --json"));
    if ran.code == Some(10) {
        let message = ran.json_error()["message"].to_string();
        sandbox.assert_untouched(&ran);
        if message.contains("was built without TLS") {
            return None;
        }
        assert!(
            message.contains("does not know cluster-announce-hostname"),
            "{message}"
        );
        assert!(
            message.contains(" 6.2"),
            "from 7.0 on every server knows it: {message}"
        );
        return None;
    }
    assert_eq!(ran.code, Some(0), "{ran}");
    Some(ran.json())
}

#[test]
fn announced_host_names_are_each_nodes_own() {
    let sandbox = Sandbox::new();
    for (option, name) in [
        (
            "--announce-hostname n{index}.test",
            &(|index, _| format!("n{index}.test")) as &dyn Fn(u64, u64) -> String,
        ),
        (
            "--announce-hostname {port}-{index}.test --set cluster-preferred-endpoint-type=hostname",
            &|index, port| format!("{port}-{index}.test"),
        ),
    ] {
        let Some(up) = with_hostnames(&sandbox, &format!("up --port auto {option}")) else {
            return;
        };
        let mut wanted: Vec<(String, u64)> = nodes(&up)
            .iter()
            .map(|node| {
                let number = |name: &str| node[name].as_u64().expect("a number");
                (name(number("index"), number("port")), number("port"))
            })
            .collect();
        wanted.sort();
        assert_eq!(sandbox.status()["state"], "ok");
        let guest = Guest::default();
        for port in ports(&up) {
            let nodes = guest.text(LOCAL, port, &["CLUSTER", "NODES"]);
            for (name, port) in &wanted {
                assert!(nodes.contains(&format!(",{name}")), "{port}: {nodes}");
            }
        }
        if option.contains("--set") {
            // The name has taken the address's place.
            let slots = guest.ask(LOCAL, ports(&up)[0], &["CLUSTER", "SLOTS"]);
            let (name, _) = &wanted[0];
            assert!(slots.to_string().contains(name.as_str()), "{slots}");
        } else {
            assert_ready(&up, 3, 1);
            assert_eq!(hostnames(&guest, LOCAL, ports(&up)[0]), wanted);
        }
        sandbox.ok("stop");
        sandbox.ok("start");
        assert_eq!(sandbox.status()["state"], "ok");
        sandbox.gone("down --yes");
    }
}

#[test]
fn certificates_that_are_made_are_good_for_announced_names_too() {
    let sandbox = Sandbox::new();
    let line =
        "up --port auto --tls --bind 127.0.0.2 --announce-hostname n{index}.test --replicas 0";
    let Some(up) = with_hostnames(&sandbox, line) else {
        return;
    };
    let config = Arc::new(tls_config(&sandbox.cluster().join("tls/ca.crt"), None));
    let greet = |name: &str| -> io::Result<()> {
        let port = u16::try_from(ports(&up)[1]).expect("a port");
        let mut stream = TcpStream::connect(("127.0.0.2", port)).expect("a server listens");
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let mut connection = ClientConnection::new(Arc::clone(&config), name).expect("a client");
        while connection.is_handshaking() {
            connection.complete_io(&mut stream)?;
        }
        Ok(())
    };
    for name in ["n2.test", "localhost", "127.0.0.2", LOCAL, "::1"] {
        greet(name).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    for name in ["n4.test", "example.test", "127.0.0.3"] {
        assert!(greet(name).is_err(), "{name} is nobody's");
    }
    sandbox.gone("down --yes");
}

// Ports that others see differently.

/// Passes on what comes in at one port to another, until it is dropped.
struct Forwarder {
    passed: Arc<AtomicUsize>,
    ended: Arc<AtomicBool>,
    port: u16,
}

impl Forwarder {
    fn new(from: u16, to: u16) -> Self {
        let listener = TcpListener::bind((LOCAL, from)).expect("a free port");
        let forwarder = Self {
            passed: Arc::default(),
            ended: Arc::default(),
            port: from,
        };
        let (passed, ended) = (Arc::clone(&forwarder.passed), Arc::clone(&forwarder.ended));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if ended.load(Ordering::SeqCst) {
                    break;
                }
                let Ok(server) = TcpStream::connect((LOCAL, to)) else {
                    // Nobody listens there, so nobody listens here.
                    continue;
                };
                passed.fetch_add(1, Ordering::SeqCst);
                for (mut from, mut to) in [
                    (
                        client.try_clone().expect("a handle"),
                        server.try_clone().expect("a handle"),
                    ),
                    (server, client),
                ] {
                    std::thread::spawn(move || {
                        // What ends it, ends both ways.
                        io::copy(&mut from, &mut to).ok();
                        for stream in [&from, &to] {
                            stream.shutdown(Shutdown::Both).ok();
                        }
                    });
                }
            }
        });
        forwarder
    }

    fn passed(&self) -> usize {
        self.passed.load(Ordering::SeqCst)
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        // Wakes the listener.
        TcpStream::connect((LOCAL, self.port)).ok();
    }
}

#[test]
fn announced_ports_are_what_nodes_tell_and_use() {
    let sandbox = Sandbox::new();
    let (base, seen) = (free_ports(4), free_ports(4));
    let probe = format!(
        "start --primaries 2 --port {base} --bus-port {}",
        base + 1000
    );
    // Before 7.0 the bus port is not ours to choose.
    let ran = sandbox.run(&probe);
    let bus = if ran.code == Some(2) {
        base + 10_000
    } else {
        base + 1000
    };
    if ran.code == Some(0) {
        sandbox.gone("down --yes");
    }
    let pairs = (0..4).flat_map(|i| [(seen + i, base + i), (seen + 1000 + i, bus + i)]);
    let forwarders: Vec<Forwarder> = pairs.map(|(from, to)| Forwarder::new(from, to)).collect();
    for verbs in [&["start", "create"][..], &["up"]] {
        let before: Vec<usize> = forwarders.iter().map(Forwarder::passed).collect();
        let mut options = format!(
            "--primaries 2 --port {base} --bus-port {bus} --announce-port {seen} --announce-bus-port {}",
            seen + 1000
        );
        for verb in verbs {
            sandbox.ok(&format!("{verb} {options}"));
            options.clear();
        }
        let document = sandbox.status();
        assert_ready(&document, 2, 1);
        assert_eq!(ports(&document)[0], u64::from(base), "where they listen");
        for (forwarder, before) in forwarders.iter().zip(before) {
            // A replica reaches its primary at the client port, everybody each other at the bus.
            let is_bus = forwarder.port >= seen + 1000;
            assert!(
                !is_bus || forwarder.passed() > before,
                "nobody came by {}",
                forwarder.port
            );
        }
        for port in ports(&document) {
            let nodes = Guest::default().text(LOCAL, port, &["CLUSTER", "NODES"]);
            for i in 0..4 {
                let told = format!(" {LOCAL}:{}@{}", seen + i, seen + 1000 + i);
                assert!(nodes.contains(&told), "{told}: {nodes}");
            }
            let slots = Guest::default().ask(LOCAL, port, &["CLUSTER", "SLOTS"]);
            let listed = slots[0][2][1].as_u64().expect("a port");
            assert!(
                (seen..seen + 4).map(u64::from).any(|port| port == listed),
                "{slots}"
            );
        }
        sandbox.ok("stop");
        assert_ready(&sandbox.ok("start --json").json(), 2, 1);
        sandbox.gone("down --yes");
    }
}

// Unix sockets.

#[test]
fn nodes_answer_on_their_unix_sockets_too() {
    let sandbox = Sandbox::new();
    let home = sandbox.path().join("a \"home\" with 'quotes'");
    let home = home.to_str().expect("UTF-8");
    let run = |words: &[&str]| sandbox.run_words(&[words, &["--json", "--home", home]].concat());
    let mut ran = run(&["up", "--port", "auto", "--unix-socket", "--primaries", "1"]);
    for stage in ["made", "killed", "stopped"] {
        assert_eq!(ran.code, Some(0), "{ran}");
        let document = ran.json();
        assert_ready(&document, 1, 1);
        for node in nodes(&document) {
            let path = PathBuf::from(node["unix_socket"].as_str().expect("a path"));
            assert_eq!(Guest::default().ask_socket(&path, &["PING"]), "PONG");
            let mode = std::fs::metadata(&path)
                .expect("there")
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o700, "{}", path.display());
        }
        match stage {
            "made" => {
                // What was killed leaves its socket behind.
                for port in ports(&document) {
                    kill_and_wait(pid_on(&document, port));
                }
            }
            _ => assert_eq!(run(&["stop"]).code, Some(0)),
        }
        ran = run(&["start"]);
    }
    let down = run(&["down", "--yes"]);
    assert_eq!(down.json()["left"], Value::Array(Vec::new()), "{down}");
    assert!(!Path::new(home).join("default").exists(), "{down}");
    assert!(sandbox.survivors().is_empty());
}

#[test]
fn a_socket_with_a_path_that_nobody_can_name_is_refused() {
    let sandbox = Sandbox::new();
    let long = sandbox.path().join("x".repeat(80));
    for verb in ["up", "start"] {
        let line = format!("{verb} --port auto --unix-socket --home {}", long.display());
        let ran = sandbox.fails(&line, 2);
        assert!(ran.err.contains("bytes, and 107 are possible"), "{ran}");
        assert!(ran.err.contains("redis.sock"), "it is named: {ran}");
        assert!(!long.join("default").exists(), "something was made: {ran}");
    }
    // Without a socket the same home is long enough for everything.
    let line = format!(
        "up --port auto --primaries 1 --replicas 0 --home {}",
        long.display()
    );
    sandbox.ok(&line);
    sandbox.ok(&format!("down --yes --home {}", long.display()));
}

// Beyond loopback.

/// A network of this test's own, with an address that is not loopback; nobody else is on it.
struct Network {
    holder: Stranger,
    user: bool,
}

/// The address, of those that documentation may use.
const ADDRESS: &str = "192.0.2.10";

impl Network {
    /// `None` where this machine does not let us have one.
    fn new() -> Option<Self> {
        let works = |options: &[&str]| {
            let tried = Command::new("unshare")
                .args(options)
                .args(["ip", "link", "set", "lo", "up"])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
            tried.is_ok_and(|status| status.success())
        };
        let user = match (works(&["-n"]), works(&["-rn"])) {
            (true, _) => false,
            (false, true) => true,
            (false, false) => return None,
        };
        let options: &[&str] = if user { &["-rn"] } else { &["-n"] };
        let holder = Stranger::new(Command::new("unshare").args(options).args(["sleep", "600"]));
        let network = Self { holder, user };
        let space = |process: &str| std::fs::read_link(format!("/proc/{process}/ns/net")).ok();
        let (ours, theirs) = (space("self"), network.holder.pid().to_string());
        wait_for("the network", || {
            let comm = std::fs::read_to_string(format!("/proc/{theirs}/comm")).ok()?;
            (space(&theirs) != ours && comm.trim() == "sleep").then_some(())
        });
        let address = format!("{ADDRESS}/32");
        for words in [
            &["ip", "link", "set", "lo", "up"][..],
            &["ip", "address", "add", &address, "dev", "lo"],
        ] {
            let mut command = Command::new(words[0]);
            command.args(&words[1..]);
            assert!(
                network.on(&command).status().expect("it runs").success(),
                "{words:?}"
            );
        }
        Some(network)
    }

    /// The same command, on this network.
    fn on(&self, command: &Command) -> Command {
        let mut on = Command::new("nsenter");
        on.args(["-t", &self.holder.pid().to_string(), "-n"]);
        if self.user {
            on.args(["-U", "--preserve-credentials"]);
        }
        on.arg("--")
            .arg(command.get_program())
            .args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => on.env(name, value),
                None => on.env_remove(name),
            };
        }
        if let Some(dir) = command.get_current_dir() {
            on.current_dir(dir);
        }
        on.stdin(Stdio::null());
        on
    }

    fn run(&self, sandbox: &Sandbox, line: &str) -> Ran {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        Ran::of(self.on(&sandbox.command(&words)), line)
    }

    /// What stock redis-cli says there.
    fn redis_cli(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("redis-cli");
        command.args(arguments);
        let output = self.on(&command).output().expect("redis-cli runs");
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    }
}

/// The warnings of a run.
fn warnings(ran: &Ran) -> Vec<&str> {
    ran.err
        .lines()
        .filter_map(|line| line.strip_prefix("warning: "))
        .collect()
}

#[test]
fn a_cluster_that_anybody_could_enter_is_not_made_without_a_word() {
    for verb in ["up", "start"] {
        for bind in ["0.0.0.0", "::", "127.0.0.1,::", "0.0.0.0,::1"] {
            let sandbox = Sandbox::new();
            let line = format!("{verb} --port auto --bind {bind}");
            for quiet in ["", "-q"] {
                let ran = sandbox.fails(&format!("{line} {quiet}"), 9);
                let [warning] = warnings(&ran)[..] else {
                    panic!("no warning: {ran}");
                };
                assert!(
                    warning.contains("anybody who reaches this machine"),
                    "{ran}"
                );
                assert!(
                    ran.err.contains("--password-file") && ran.err.contains("--yes"),
                    "{ran}"
                );
                sandbox.assert_untouched(&ran);
            }
            let json = sandbox.fails(&format!("{line} --json"), 9);
            assert_eq!(json.json_error()["code"], "confirmation_needed");
            sandbox.assert_untouched(&json);
        }
    }
}

#[test]
fn a_cluster_beyond_loopback_is_reached_there_and_warned_of_as_much_as_it_is_open() {
    // Where nobody may have a network, the refusal above is what can be tested.
    let Some(network) = Network::new() else {
        return;
    };
    let sandbox = Sandbox::new();
    let file = sandbox.file("password", "safe");
    let certificate = " --tls --tls-auth-clients yes";
    let shape = "--replicas 0 --port auto";
    let cases = [
        (
            "--yes".to_owned(),
            Some("anybody who reaches this machine"),
            &[][..],
        ),
        (
            format!("--password-file {file}"),
            Some("the cluster bus takes no password"),
            &["-a", "safe", "--no-auth-warning"],
        ),
        (
            format!("--password-file {file} --tls --tls-auth-clients no"),
            Some("who reaches a bus port can take the cluster over"),
            &["-a", "safe", "--no-auth-warning", "--tls", "--cacert"],
        ),
        (
            format!("--password-file {file}{certificate}"),
            None,
            &["-a", "safe", "--no-auth-warning", "--tls", "--cacert"],
        ),
    ];
    for (options, warned, client) in cases {
        for bind in [ADDRESS, "0.0.0.0 --announce-ip 127.0.0.9"] {
            let line = format!("up {shape} --bind {bind} {options}");
            let up = network.run(&sandbox, &line);
            if up.code == Some(10) && options.contains("--tls") {
                assert!(up.err.contains("was built without TLS"), "{up}");
                continue;
            }
            assert_eq!(up.code, Some(0), "{up}");
            match (warned, &warnings(&up)[..]) {
                (None, []) => {}
                (Some(words), [warning]) => assert!(warning.contains(words), "{up}"),
                _ => panic!("warned too much or too little: {up}"),
            }
            let document = network.run(&sandbox, "status --json");
            assert_eq!(document.code, Some(0), "{document}");
            let document = document.json();
            let mut client: Vec<&str> = client.to_vec();
            let tls = sandbox.cluster().join("tls");
            let files = ["ca.crt", "client.crt", "client.key"]
                .map(|name| tls.join(name).display().to_string());
            if client.contains(&"--cacert") {
                client.extend([&*files[0], "--cert", &files[1], "--key", &files[2]]);
            }
            let host = bind.rsplit(' ').next().expect("an address");
            for port in ports(&document) {
                let port = port.to_string();
                let address = ["-h", host, "-p", &port];
                let info =
                    network.redis_cli(&[&client[..], &address, &["CLUSTER", "INFO"]].concat());
                assert!(
                    info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3"),
                    "{options}: {info}"
                );
                let slots =
                    network.redis_cli(&[&client[..], &address, &["CLUSTER", "SLOTS"]].concat());
                assert_eq!(slots.matches(host).count(), 3, "{options}: {slots}");
            }
            if bind == ADDRESS && warned.is_none() {
                // Once it is made, nobody is warned again.
                assert_eq!(network.run(&sandbox, "stop").code, Some(0));
                let again = network.run(&sandbox, "start -q");
                assert_eq!((again.code, &*again.err), (Some(0), ""), "{again}");
            }
            assert_eq!(network.run(&sandbox, "down --yes").code, Some(0));
            assert!(sandbox.survivors().is_empty() && sandbox.files().is_empty());
        }
    }
    // Other machines' addresses are nobody's here.
    let ran = network.run(&sandbox, "up --port auto --bind 192.0.2.11 --yes");
    assert_eq!(ran.code, Some(2), "{ran}");
    sandbox.assert_untouched(&ran);
}
