//! The tutorial that started this project, word for word, with `rcluster` for the script.

use crate::sandbox::{Sandbox, free_ports};
use crate::witness::redis_cli;

#[test]
fn the_tutorial_works_word_for_word() {
    let sandbox = Sandbox::new();
    let base = free_ports(6);
    // The tutorial's cluster stands at 30001, which a test cannot have for itself.
    sandbox.ok(&format!("start --port {base}"));
    sandbox.ok("create");

    let session = "SET 'wat' 2\n\
         MSET one 1 two 2 three 3\n\
         MSET {first}one 1 {first}two 2 {first}three 3\n\
         MGET {first}one {first}two {first}three\n\
         GET wat\n";
    let out = redis_cli(&["-c", "-p", &base.to_string()], session);
    let lines: Vec<&str> = out.lines().filter(|line| !line.is_empty()).collect();
    let redirected = |slot: u16, port: u16| {
        format!("-> Redirected to slot [{slot}] located at 127.0.0.1:{port}")
    };
    let wanted = [
        &redirected(7056, base + 1),
        "OK",
        "CROSSSLOT Keys in request don't hash to the same slot",
        &redirected(11149, base + 2),
        "OK",
        "1",
        "2",
        "3",
        &redirected(7056, base + 1),
        "2",
    ];
    assert_eq!(lines, wanted);
    sandbox.ok("down --yes");
}
