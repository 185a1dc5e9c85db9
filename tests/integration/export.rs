//! What is kept of a cluster by `logs --export`.

use std::fs::{self, File};
use std::io::Write as _;

use crate::sandbox::{Sandbox, ports};

#[test]
fn a_file_that_is_copied_in_part_is_told() {
    let sandbox = Sandbox::new();
    let password = "correct-horse-battery";
    let file = sandbox.file("password", password);
    let up = sandbox.up(&format!(
        "--primaries 1 --replicas 0 --ephemeral --password-file {file}"
    ));
    let port = ports(&up)[0];
    sandbox.ok("stop");
    let path = sandbox.node(port).join("nodes.conf");
    let before = fs::read(&path).expect("readable");
    // Where 16 MiB end, there is half a password.
    let mut long = vec![b'x'; (16 << 20) - 8];
    long[(16 << 20) - 20] = b'\n';
    long.extend_from_slice(password.as_bytes());
    let mut conf = File::create(&path).expect("made");
    conf.write_all(&long).expect("written");
    let document = sandbox.ok("logs --export out --json").json();
    let problems = document["problems"].to_string();
    assert!(
        problems.contains("its nodes.conf is too long: only the first 16 MiB were copied"),
        "{document}"
    );
    let copied = sandbox.path().join("out").join(port.to_string());
    let copied = fs::read_to_string(copied.join("nodes.conf")).expect("one");
    assert!(!copied.contains("correct"), "half a password");
    assert_eq!(copied.len(), (16 << 20) - 19);
    fs::write(&path, &before).expect("put back");
    sandbox.gone("down --yes");
}

#[test]
fn nothing_is_exported_among_the_clusters() {
    let sandbox = Sandbox::new();
    sandbox.up("--primaries 1 --replicas 0");
    sandbox.ok("stop");
    let before = sandbox.files();
    for place in ["home/new", "home/default/new/deep", "home/default", "home"] {
        let ran = sandbox.fails(&format!("logs --export {place}"), 2);
        assert!(ran.err.contains("lies in the home"), "{ran}");
    }
    assert_eq!(sandbox.files(), before);
    sandbox.ok("logs --export beside");
    sandbox.gone("down --yes");
}
