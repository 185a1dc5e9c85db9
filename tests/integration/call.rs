//! `call`: one command on many nodes, and none of them hides the others' answers.

use std::ffi::OsStr;
use std::io::Read as _;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::ffi::OsStrExt as _;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::sandbox::{
    Ran, Sandbox, kill_and_wait, node_on, nodes, pid_on, ports, signal, wait_for,
};
use crate::tls::has_tls;

/// Somebody who took the port of a dead node, and keeps what is said to him.
pub(crate) struct Listener(Receiver<Vec<u8>>);

impl Listener {
    pub(crate) fn on(port: u64) -> Self {
        let address = (Ipv4Addr::LOCALHOST, u16::try_from(port).expect("a port"));
        let listener = TcpListener::bind(address).expect("free");
        let (sender, heard) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let sender = sender.clone();
                std::thread::spawn(move || {
                    stream.set_read_timeout(Some(Duration::from_secs(30))).ok();
                    let mut bytes = [0; 4096];
                    while let Ok(read @ 1..) = stream.read(&mut bytes) {
                        sender.send(bytes[..read].to_vec()).ok();
                    }
                });
            }
        });
        Self(heard)
    }

    /// All that was said until now.
    pub(crate) fn heard(&self) -> String {
        let all: Vec<u8> = self.0.try_iter().flatten().collect();
        String::from_utf8_lossy(&all).into_owned()
    }
}

/// For each node of a document of `call`, whether all is well with it.
fn oks(document: &Value) -> Vec<bool> {
    let ok = |node: &Value| node["ok"].as_bool().expect("a boolean");
    nodes(document).iter().map(ok).collect()
}

#[test]
fn every_node_answers_behind_its_name() {
    let sandbox = Sandbox::new();
    sandbox.fails("call -- PING", 4);
    let up = sandbox.up("");
    let all = ports(&up);
    let lines: Vec<String> = all
        .iter()
        .map(|port| format!("127.0.0.1:{port}  PONG\n"))
        .collect();
    let wanted = lines.concat();
    for line in ["call -- PING", "call PING", "call --on all -- ping"] {
        assert_eq!(sandbox.ok(line).out, wanted, "{line}");
    }
    let document = sandbox.ok("call --json -- DBSIZE").json();
    assert_eq!(
        (&document["schema_version"], &document["ok"]),
        (&1.into(), &true.into())
    );
    assert_eq!(
        (&document["failed"], oks(&document)),
        (&0.into(), vec![true; 6])
    );
    assert_eq!(nodes(&document)[0]["reply"], 0);
    assert_eq!(nodes(&document)[5]["port"], all[5]);

    // Several lines stand below the name of their node.
    let info = sandbox.ok("call --on 1 --on 1 -- INFO server").out;
    let first = format!("127.0.0.1:{}\n  # Server\n", all[0]);
    assert!(info.starts_with(&first), "{info}");
    assert!(
        info.contains(&format!("\n  tcp_port:{}\n", all[0])),
        "{info}"
    );
    assert_eq!(
        info.matches("127.0.0.1:").count(),
        1,
        "chosen twice, asked once: {info}"
    );

    // Not the command's options are ours, nor ours the command's.
    let echo = sandbox.ok("call --on 1 -- ECHO --json");
    assert_eq!(echo.out, format!("127.0.0.1:{}  \"--json\"\n", all[0]));

    let moved = sandbox.fails("call --on 1 -- GET wat", 1);
    assert!(moved.out.contains("(error) MOVED 7056"), "{moved}");
    let some = sandbox
        .fails("call --json --on primary -- GET wat", 1)
        .json();
    assert_eq!(
        (&some["failed"], oks(&some)),
        (&2.into(), vec![false, true, false])
    );
    assert_eq!(nodes(&some)[0]["error"]["code"], "server");
    assert_eq!(nodes(&some)[1]["reply"], Value::Null);

    for (line, code) in [
        ("call", 2),
        ("call --on leader -- PING", 2),
        ("call --on 99 -- PING", 2),
        ("call -- SUBSCRIBE x", 2),
        ("call -- monitor", 2),
        ("call -- client reply off", 2),
        ("call -- multi", 2),
        ("call -- WATCH a", 2),
    ] {
        sandbox.fails(line, code);
    }

    // Nobody can name a node of the moment but by the moment.
    sandbox.ok("call --on replica:1 -- CLUSTER FAILOVER");
    sandbox.wait_for_status("the replica to take over", |status| {
        nodes(status)[0]["role"] == "replica" && status["state"] == "ok"
    });
    let primary = sandbox.ok("call --json --on primary:1 -- ROLE").json();
    assert_ne!(nodes(&primary)[0]["port"], all[0]);
    assert_eq!(nodes(&primary)[0]["reply"][0], "master");

    // A server that goes as it is told has answered.
    let gone = sandbox.ok("call -- SHUTDOWN NOSAVE");
    assert_eq!(gone.out.lines().count(), 6, "{gone}");
    wait_for("all to be gone", || {
        sandbox.servers().is_empty().then_some(())
    });
    assert_eq!(
        sandbox.fails("call --json -- PING", 3).json_error()["code"],
        "not_running"
    );
    sandbox.gone("down --yes");
}

#[test]
fn arguments_and_answers_are_bytes() {
    let sandbox = Sandbox::new();
    let up = sandbox.up("--primaries 1 --replicas 0 --ephemeral");
    let run = |words: &[&[u8]]| {
        let mut command = sandbox.command(&["call", "--json", "--"]);
        command.args(words.iter().map(|word| OsStr::from_bytes(word)));
        Ran::of(command, &format!("call of {words:?}")).json()
    };
    run(&[b"SET", b"k\xff \r\n", b"-v\x01\xfe\r\n$3"]);
    let reply = run(&[b"GET", b"k\xff \r\n"]);
    assert_eq!(nodes(&reply)[0]["reply"]["hex"], "2d7601fe0d0a2433");
    let empty = run(&[b"ECHO", b""]);
    assert_eq!(nodes(&empty)[0]["reply"], "");
    let nested = run(&[
        b"EVAL",
        b"return {1,{'a',false},redis.error_reply('ERR x')}",
        b"0",
    ]);
    assert_eq!(
        nodes(&nested)[0]["reply"].to_string(),
        r#"[1,["a",null],{"error":"ERR x"}]"#
    );
    let map = run(&[b"HELLO", b"3"]);
    assert_eq!(nodes(&map)[0]["reply"]["proto"], 3, "{map}");

    // What a server says does not steer the terminal.
    let evil = "return redis.status_reply('\x1b]0;x\x07y')";
    let ran = sandbox.run_words(&["call", "--color", "always", "--", "EVAL", evil, "0"]);
    assert_eq!(
        ran.out,
        format!("127.0.0.1:{}   ]0;x y\n", ports(&up)[0]),
        "{ran}"
    );
    sandbox.gone("down --yes");
}

#[test]
fn dead_hung_and_usurped_nodes_hide_nobody() {
    let sandbox = Sandbox::new();
    let file = sandbox.file("password", "hunter2-hunter2");
    let up = sandbox.up(&format!("--password-file {file} --node-timeout 60s"));
    let all = ports(&up);
    kill_and_wait(pid_on(&up, all[0]));
    kill_and_wait(pid_on(&up, all[1]));
    let listener = Listener::on(all[1]);
    signal("STOP", pid_on(&up, all[2]));
    let began = Instant::now();
    let ran = sandbox.fails("call --json -- PING", 1);
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "a stopped one is not waited for"
    );
    let document = ran.json();
    assert_eq!(oks(&document), [false, false, false, true, true, true]);
    for node in &nodes(&document)[..3] {
        assert_eq!(node["error"]["code"], "unreachable", "{document}");
    }
    let text = sandbox.fails("call --on primary -- PING", 1);
    assert!(text.out.contains("(no answer)"), "{text}");
    sandbox.fails("call --on 1 -- PING", 1);
    sandbox.ok("call --on 4 --on 5 -- PING");

    // Nor do those that take their time.
    signal("CONT", pid_on(&up, all[2]));
    let began = Instant::now();
    let ran = sandbox.fails(
        "call --json --timeout 400ms --on 4 --on 5 -- XREAD BLOCK 0 STREAMS s $",
        1,
    );
    assert!(began.elapsed() < Duration::from_secs(10), "{ran}");
    let document = ran.json();
    for node in nodes(&document) {
        let code = &node["error"]["code"];
        assert!(code == "timed_out" || code == "server", "{document}");
    }
    let document = sandbox
        .fails("call --json --timeout 400ms --on 3 -- BLPOP {06S}x 0", 1)
        .json();
    assert!(nodes(&document)[0]["error"].is_object(), "{document}");

    // The usurper hears no password, from none of the verbs that would tell it.
    sandbox.ok("env --with-secrets");
    sandbox.fails("cli --builtin 2", 1);
    sandbox.run("cli --builtin -- GET wat").nothing_odd();
    let heard = listener.heard();
    assert!(
        !heard.contains("hunter2") && !heard.contains("AUTH"),
        "{heard}"
    );
    drop(listener);
    sandbox.ok("stop");
    // Its port is the listener's until this test ends: what is deleted needs none.
    sandbox.ok("clean --yes").nothing_odd();
}

#[test]
fn a_command_that_waits_is_bounded_by_the_timeout() {
    let sandbox = Sandbox::new();
    sandbox.up("--primaries 1 --replicas 0 --ephemeral");
    let began = Instant::now();
    let document = sandbox
        .fails("call --json --timeout 300ms -- BLPOP x 0", 1)
        .json();
    let took = began.elapsed();
    assert_eq!(
        nodes(&document)[0]["error"]["code"],
        "timed_out",
        "{document}"
    );
    assert!(
        took >= Duration::from_millis(300) && took < Duration::from_secs(10),
        "{took:?}"
    );
    assert_eq!(
        sandbox.ok("call --json -- BLPOP x 0.8").json()["failed"],
        0,
        "longer than the client library's 0.5 s"
    );
    sandbox.gone("down --yes");
}

#[test]
fn rights_certificates_and_addresses_are_in_the_way_of_nobody_who_has_them() {
    let sandbox = Sandbox::new();
    let acl = sandbox.file(
        "users.acl",
        "user default off\nuser boss on >hunter2 ~* &* +@all -flushall\n",
    );
    let file = sandbox.file("password", "hunter2");
    let tls = match has_tls() {
        Some(false) => "",
        _ => "--tls --tls-auth-clients yes",
    };
    sandbox.up(&format!(
        "--aclfile {acl} --user boss --password-file {file} --replicas 0 --bind ::1 {tls}"
    ));
    let who = sandbox.ok("call -- ACL WHOAMI");
    assert_eq!(who.out.matches("  \"boss\"\n").count(), 3, "{who}");
    assert!(who.out.starts_with("[::1]:"), "{who}");
    let refused = sandbox.fails("call -- FLUSHALL", 8);
    assert_eq!(
        refused.out.matches("(error) NOPERM").count(),
        3,
        "{refused}"
    );
    for ran in [&who, &refused] {
        assert!(
            !ran.out.contains("hunter2") && !ran.err.contains("hunter2"),
            "{ran}"
        );
    }
    sandbox.gone("down --yes");

    if tls.is_empty() {
        return;
    }
    let up = sandbox.up("--tls=both --bind 0.0.0.0 --generate-password --primaries 1 --replicas 0");
    let document = sandbox.ok("call --json -- PING").json();
    let port = ports(&up)[0];
    assert_eq!(node_on(&document, port)["reply"], "PONG");
    sandbox.gone("down --yes");
}
