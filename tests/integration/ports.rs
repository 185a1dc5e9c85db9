//! Which ports nodes get, and what happens when somebody else has them.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use serde_json::Value;

use crate::sandbox::{Sandbox, Stranger, free_ports, nodes, ports, redis, wait_for};

const SMALL: &str = "--primaries 1 --replicas 0";

fn listen(address: Ipv4Addr, port: u16) -> TcpListener {
    TcpListener::bind((address, port)).expect("a free port")
}

/// From where the kernel takes ports for outgoing connections.
fn ephemeral() -> std::ops::RangeInclusive<u64> {
    let text = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").expect("proc");
    let numbers: Vec<u64> = text
        .split_ascii_whitespace()
        .map(|number| number.parse().expect("a number"))
        .collect();
    numbers[0]..=numbers[1]
}

fn bus_ports(status: &Value) -> Vec<u64> {
    let port = |node: &Value| node["bus_port"].as_u64().expect("a port");
    nodes(status).iter().map(port).collect()
}

/// The nodes that an error names, and what it says about them.
fn conflicts(error: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let nodes = error["nodes"].as_array().expect("nodes");
    nodes
        .iter()
        .map(|node| (text(&node["node"]), text(&node["message"])))
        .collect()
}

#[test]
fn every_port_that_is_taken_is_reported_at_once_and_nothing_is_left() {
    let sandbox = Sandbox::new();
    let base = free_ports(6);
    let line = format!("up --port {base} --bus-port {}", base + 1000);
    // One client port, one that is taken on all addresses, one bus port.
    let held = [
        listen(Ipv4Addr::LOCALHOST, base + 1),
        listen(Ipv4Addr::UNSPECIFIED, base + 4),
        listen(Ipv4Addr::LOCALHOST, base + 1002),
    ];
    for verb in ["up", "start"] {
        let line = line.replacen("up", verb, 1);
        let error = sandbox.fails(&format!("{line} --json"), 7).json_error();
        assert_eq!(error["code"], "port_in_use");
        let found = conflicts(&error);
        let expected = [base + 1, base + 4, base + 1002].map(|port| format!("127.0.0.1:{port}"));
        assert_eq!(
            found.iter().map(|(node, _)| node).collect::<Vec<_>>(),
            expected.iter().collect::<Vec<_>>()
        );
        for (_, message) in &found {
            let holder = format!("pid {} ", std::process::id());
            assert!(message.contains(&holder), "{error}");
        }
        assert!(
            found[0].1.contains("client port") && found[2].1.contains("bus port"),
            "{error}"
        );
        let text = sandbox.fails(&line, 7);
        assert!(
            expected.iter().all(|port| text.err.contains(port)),
            "{text}"
        );
        assert_eq!(sandbox.files(), Vec::<std::path::PathBuf>::new());
        assert!(sandbox.survivors().is_empty());
    }
    for listener in &held {
        let address = listener.local_addr().expect("an address");
        TcpStream::connect((Ipv4Addr::LOCALHOST, address.port())).expect("untouched");
    }
    drop(held);
    sandbox.ok(&line);
    sandbox.gone("down --yes");
}

#[test]
fn a_redis_of_somebody_else_is_neither_taken_for_a_node_nor_touched() {
    let sandbox = Sandbox::new();
    let base = free_ports(6);
    let foreign = u64::from(base) + 3;
    let mut stranger = Stranger::redis(foreign);
    let config = || redis(foreign, &["CONFIG", "GET", "*"]);
    let before = config();
    for line in ["up", "start", "up --retain"] {
        let ran = sandbox.fails(&format!("{line} --port {base}"), 7);
        assert!(
            ran.err
                .contains(&format!("pid {} (redis-server)", stranger.pid())),
            "{ran}"
        );
        assert!(sandbox.survivors().is_empty(), "after {line}");
    }
    sandbox.ok("down --yes");
    assert!(stranger.lives());
    assert_eq!(redis(foreign, &["GET", "canary"]), "alive");
    assert_eq!(redis(foreign, &["DBSIZE"]), ":1");
    assert_eq!(config(), before);
    assert!(sandbox.files().is_empty(), "{:?}", sandbox.files());
}

#[test]
fn a_connection_in_time_wait_is_no_conflict() {
    let sandbox = Sandbox::new();
    let base = free_ports(1);
    for port in [base, base + 1000] {
        let listener = listen(Ipv4Addr::LOCALHOST, port);
        let client = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("connected");
        let (server, _) = listener.accept().expect("accepted");
        // Who closes first has to wait.
        drop((server, listener));
        drop(client);
        let local = format!("0100007F:{port:04X}");
        wait_for("the connection to wait", || {
            let table = fs::read_to_string("/proc/net/tcp").expect("proc");
            table
                .lines()
                .any(|line| {
                    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
                    fields.get(1) == Some(&local.as_str()) && fields.get(3) == Some(&"06")
                })
                .then_some(())
        });
    }
    sandbox.ok(&format!(
        "up --port {base} --bus-port {} {SMALL}",
        base + 1000
    ));
    sandbox.gone("down --yes");
}

#[test]
fn ports_that_rcluster_chooses_lie_outside_the_range_of_outgoing_connections() {
    let sandbox = Sandbox::new();
    let ephemeral = ephemeral();
    let base = free_ports(3);
    for line in [
        format!("start --port {base} --primaries 3 --replicas 0"),
        "start --port auto --primaries 3 --replicas 0".to_owned(),
        "start --port auto --bus-port auto --primaries 3 --replicas 0".to_owned(),
    ] {
        let ran = sandbox.ok(&format!("{line} --json"));
        let (client, bus) = (ports(&ran.json()), bus_ports(&ran.json()));
        assert!(bus.iter().all(|port| !ephemeral.contains(port)), "{ran}");
        assert!(client.iter().all(|port| !ephemeral.contains(port)), "{ran}");
        assert!(bus.iter().all(|port| !client.contains(port)), "{ran}");
        assert!(bus[2] == bus[0] + 2 && client[2] == client[0] + 2, "{ran}");
        sandbox.gone("down --yes");
    }
}

#[test]
fn bus_ports_are_those_that_were_asked_for() {
    let sandbox = Sandbox::new();
    let base = free_ports(3);
    for (client, shape) in [(base.to_string(), 3), ("auto".to_owned(), 1)] {
        let bus = base + 10_000;
        let up = sandbox.ok(&format!(
            "up --json --port {client} --bus-port {bus} --primaries {shape} --replicas 0"
        ));
        let expected: Vec<u64> = (0..shape).map(|i| u64::from(bus) + i).collect();
        assert_eq!(bus_ports(&up.json()), expected, "{up}");
        for port in expected {
            let port = u16::try_from(port).expect("a port");
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("the bus listens");
        }
        // The same ports again are as asked, others are not.
        sandbox.ok(&format!("up --bus-port {bus}"));
        let ran = sandbox.fails(&format!("up --bus-port {}", bus + 10), 7);
        assert!(ran.err.contains("--bus-port"), "{ran}");
        sandbox.gone("down --yes");
    }
}

#[test]
fn ports_that_cannot_be_are_refused_before_anything_is_made() {
    let sandbox = Sandbox::new();
    for line in [
        "up --port 20001 --bus-port 20001",
        "up --port 20001 --bus-port 20003",
        "up --port 20001 --bus-port 19998",
        "start --port 20001 --bus-port 20006",
        "up --port 65531",
        "up --port 20001 --bus-port 65531",
        "up --port auto --bus-port 65531",
        "start --port 65535",
        "up --port 0",
        "up --port 65536",
        "up --port -1",
        "up --port x",
        "up --bus-port 0",
        "up --bus-port 99999",
    ] {
        let error = sandbox.fails(&format!("{line} --json"), 2).json_error();
        assert_eq!(error["code"], "usage", "{line}: {error}");
        assert!(!sandbox.home().exists(), "{line}: {:?}", sandbox.files());
    }
}

#[test]
fn the_highest_ports_can_be_used() {
    let sandbox = Sandbox::new();
    let free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    let port = (65_000..=65_535).rev().find(free).expect("a free port");
    let up = sandbox.ok(&format!("up --json --port {port} {SMALL}"));
    assert_eq!(ports(&up.json()), [u64::from(port)]);
    assert!(bus_ports(&up.json())[0] <= 65_535);
    sandbox.ok("status");
    sandbox.ok("stop");
    sandbox.ok("start");
    sandbox.gone("down --yes");
}
