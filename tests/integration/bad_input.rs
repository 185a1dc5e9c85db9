//! What a server, a password, a certificate, an address or a setting may not be: an action, its
//! exit code, words of its message, and nothing left. Certificates of every bad kind are in `tls`,
//! keys of a project file in `config`, passwords and ACL files that servers refuse in `auth`.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::sandbox::Sandbox;

/// Runs `arguments`, which must end with `code`, one sentence with all of `words`, and no trace.
fn refused(sandbox: &Sandbox, arguments: &[&str], code: i32, words: &[&str]) {
    let ran = sandbox.run_words(arguments);
    assert_eq!(ran.code, Some(code), "{ran}");
    assert_eq!(ran.out, "", "{ran}");
    let said = ran.err.to_lowercase();
    for word in words {
        assert!(said.contains(&word.to_lowercase()), "no \"{word}\": {ran}");
    }
    assert!(said.contains("error: "), "{ran}");
    assert_eq!(sandbox.survivors().len(), 0, "something runs: {ran}");
    assert_eq!(
        sandbox.files(),
        Vec::<PathBuf>::new(),
        "something was made: {ran}"
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn each_bad_input_has_its_code_its_words_and_leaves_nothing() {
    let sandbox = Sandbox::new();
    let file = |name: &str, content: &[u8]| sandbox.file(name, content);
    let empty = file("empty", b"");
    let nul = file("nul", b"a\0b");
    let long = file("long", &[b'x'; 513]);
    let bytes = file("bytes", b"\xff\xfe");
    let good = file("good", b"geheim");
    let users = file("users.acl", b"user default off\n");
    let text = file("text.pem", b"no certificate");
    let dir = sandbox.path().to_str().expect("UTF-8").to_owned();
    let none = format!("{dir}/none");
    let up = |more: &[&str]| -> Vec<String> {
        let start = [
            "up",
            "--port",
            "auto",
            "--primaries",
            "1",
            "--replicas",
            "0",
        ];
        start.iter().chain(more).map(ToString::to_string).collect()
    };
    let table: &[(&[&str], i32, &[&str])] = &[
        // Passwords and users.
        (
            &["--password-file", &none],
            2,
            &["--password-file", "No such file"],
        ),
        (&["--password-file", &dir], 2, &["no file"]),
        (&["--password-file", &empty], 2, &["empty password"]),
        (&["--password-file", &nul], 2, &["NUL"]),
        (&["--password-file", &long], 2, &["513 bytes", "512"]),
        (
            &["--password-file", &bytes],
            2,
            &["cannot be read", "UTF-8"],
        ),
        (
            &["--password-file", &good, "--generate-password"],
            2,
            &["cannot be used with"],
        ),
        (
            &["--user", "tool"],
            2,
            &["--user has no password", "--password-file"],
        ),
        (
            &["--user", "tool", "--password-file", &good],
            2,
            &["no ACL file", "--aclfile"],
        ),
        (
            &[
                "--user",
                "a b",
                "--password-file",
                &good,
                "--aclfile",
                &users,
            ],
            2,
            &["no name of a user"],
        ),
        (
            &["--replication-user", "copy", "--aclfile", &users],
            2,
            &["has no password"],
        ),
        (
            &["--replication-password-file", &good],
            2,
            &["--replication-user"],
        ),
        (
            &["--generate-password", "--aclfile", &users],
            2,
            &["ACL file does not know"],
        ),
        (&["--aclfile", &none], 2, &["--aclfile", "No such file"]),
        // TLS.
        (&["--tls=maybe"], 2, &["--tls"]),
        (
            &["--tls-auth-clients", "yes"],
            2,
            &["there is none", "--tls"],
        ),
        (&["--tls-port", "20000"], 2, &["--tls"]),
        (&["--tls", "--tls-port", "20000"], 2, &["--tls=both"]),
        (&["--tls-cert", &text], 2, &["--tls-key"]),
        // Addresses.
        (&["--bind", "localhost"], 2, &["--bind"]),
        (
            &["--bind", "192.0.2.1"],
            2,
            &["192.0.2.1", "cannot be listened on"],
        ),
        (&["--bind", "127.0.0.1,127.0.0.1"], 2, &["given twice"]),
        (&["--bind", "0.0.0.0,127.0.0.1"], 2, &["every address"]),
        (
            &["--bind", "0.0.0.0"],
            9,
            &["warning: ", "password", "--yes"],
        ),
        (
            &["--bind", "0.0.0.0", "--aclfile", &empty],
            9,
            &["warning: ", "--yes"],
        ),
        (&["--announce-ip", "0.0.0.0"], 2, &["--announce-ip"]),
        (&["--announce-port", "70000"], 2, &["--announce-port"]),
        (&["--announce-hostname", "a b"], 2, &["no host name"]),
        // Settings.
        (
            &["--set", "requirepass=x"],
            2,
            &["requirepass", "--password-file"],
        ),
        (&["--set", "tls-port=1"], 2, &["tls-port", "--tls"]),
        (&["--set", "aclfile=x"], 2, &["aclfile", "--aclfile"]),
        (&["--set", "unixsocket=/tmp/x"], 2, &["--unix-socket"]),
        (
            &["--set-for", "replica:9", "hz=50"],
            2,
            &["replica:9", "none of the 1 nodes"],
        ),
        (
            &["--set-for", "leader", "hz=50"],
            2,
            &["expected", "primary"],
        ),
        (&["--set-for", "1", "port=1"], 2, &["port", "--port"]),
        (&["--set-for", "1", "hz"], 2, &["needs a ="]),
        (&["--loadmodule", &none], 2, &["names no file"]),
        (&["--server-for", "replica"], 2, &["no ="]),
        (
            &["--server-for", "7=redis-server"],
            2,
            &["none of the 1 nodes"],
        ),
        (&["--server-for", &format!("1={none}")], 10, &["no program"]),
    ];
    for (more, code, words) in table {
        let line = up(more);
        let line: Vec<&str> = line.iter().map(String::as_str).collect();
        refused(&sandbox, &line, *code, words);
    }
}

#[test]
fn what_is_no_server_is_told_within_five_seconds() {
    let sandbox = Sandbox::new();
    let old = sandbox.script(
        "old",
        "echo 'Redis server v=6.0.16 sha=0:0 malloc=libc bits=64'",
    );
    let other = sandbox.script("other", "echo 'hello'");
    let hangs = sandbox.script("hangs", "exec sleep 60");
    let pretends = sandbox.script(
        "pretends",
        "if [ \"$1\" = --version ]; then echo 'Redis server v=7.0.15 sha=0:0'; else exec sleep 60; fi",
    );
    let plain = sandbox.file("plain", "no program");
    let dir = sandbox.path().to_str().expect("UTF-8").to_owned();
    for (server, words) in [
        (&old, &["too old", "6.2"][..]),
        (&other, &["no Redis or Valkey server", "hello"]),
        (&hangs, &["--version", "gave no answer"]),
        (&pretends, &["gave no answer"]),
        (&plain, &["no program"]),
        (&dir, &["no program"]),
    ] {
        let began = Instant::now();
        refused(
            &sandbox,
            &["up", "--port", "auto", "--server", server],
            10,
            words,
        );
        // The limit itself is 4.5 s. The machine may be busy; the script would take 60 s.
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "{server}: {:?}",
            began.elapsed()
        );
    }
}
