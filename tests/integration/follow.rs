//! Logs that are followed while the cluster changes.

use std::fs::{self, File};
use std::io::Write as _;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::sandbox::{Sandbox, edit_json, ports, wait_for};

#[test]
fn a_new_node_is_followed_however_much_the_others_write() {
    let sandbox = Sandbox::new();
    let up = sandbox.up("--primaries 1 --replicas 0");
    let port = ports(&up)[0];
    let manifest = sandbox.cluster().join("manifest.json");
    let before = fs::read(&manifest).expect("readable");
    let out = sandbox.path().join("followed");
    let mut command = sandbox.command(&["logs", "-f"]);
    command.stdout(Stdio::from(File::create(&out).expect("made")));
    let mut child = command.stderr(Stdio::null()).spawn().expect("runs");

    let done = AtomicBool::new(false);
    let found = std::thread::scope(|scope| {
        scope.spawn(|| {
            let path = sandbox.node(port).join("server.log");
            let mut log = File::options().append(true).open(path).expect("a log");
            let began = Instant::now();
            // If the test fails meanwhile, nobody says that it is done.
            while !done.load(Ordering::Relaxed) && began.elapsed() < Duration::from_secs(120) {
                writeln!(log, "noise").expect("written");
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        let text = || fs::read_to_string(&out).expect("readable");
        wait_for("the log to be followed", || {
            text().contains("noise").then_some(())
        });
        let new = port + 3;
        let dir = sandbox.node(new);
        fs::create_dir(&dir).expect("made");
        fs::write(dir.join("server.log"), "the new one\n").expect("written");
        edit_json(&manifest, |document| {
            document["spec"]["replicas"] = 1.into();
            let mut node = document["nodes"][0].clone();
            node["addr"]["port"] = new.into();
            node["addr"]["bus_port"] = (new + 1).into();
            node["id"] = "f".repeat(40).into();
            let nodes = document["nodes"].as_array_mut().expect("nodes");
            nodes.push(node);
        });
        let began = Instant::now();
        let found = loop {
            let found = text().contains("the new one");
            if found || began.elapsed() > Duration::from_secs(20) {
                break found;
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        done.store(true, Ordering::Relaxed);
        fs::write(&manifest, &before).expect("put back");
        fs::remove_dir_all(&dir).expect("removed");
        found
    });
    child.kill().expect("killed");
    child.wait().expect("reaped");
    assert!(found, "the new node's log was not followed");
    sandbox.gone("down --yes");
}
