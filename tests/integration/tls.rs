//! TLS: everywhere or nowhere, believed for a reason or refused with one.
//!
//! Where the server under test was built without TLS, rcluster must say so (10), and that is tested.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, SanType,
};
use rustls::ClientConnection;
use rustls::pki_types::ServerName;
use serde_json::Value;
use time::OffsetDateTime;

use crate::sandbox::{Sandbox, kill_and_wait, node_on, nodes, pid_on, ports, process_words};
use crate::witness::{Guest, tls_config};

const HOST: &str = "127.0.0.1";

/// Whether the server under test was built with TLS, by what is in its file; `None` for a script.
pub(crate) fn has_tls() -> Option<bool> {
    let server = std::env::var("RCLUSTER_TEST_SERVER").unwrap_or_else(|_| "redis-server".into());
    let found = Command::new("sh")
        .args(["-c", "command -v \"$0\"", &server])
        .output()
        .expect("sh runs");
    let path = String::from_utf8(found.stdout).expect("UTF-8");
    let has = |text: &str| {
        Command::new("grep")
            .args(["-qaF", text, path.trim_end()])
            .status()
            .expect("grep runs")
            .success()
    };
    (!has("#!/bin/")).then(|| has("SSL_CTX_new"))
}

/// Runs `line`, which asks for TLS and must succeed; `None` where the server has none, which must
/// be said.
fn tls(sandbox: &Sandbox, line: &str) -> Option<Value> {
    let ran = sandbox.run(&format!("{line} --json"));
    if ran.code == Some(10) {
        assert_ne!(has_tls(), Some(true), "it has TLS: {ran}");
        let error = ran.json_error();
        assert!(
            error["message"]
                .to_string()
                .contains("was built without TLS"),
            "{error}"
        );
        sandbox.assert_untouched(&ran);
        return None;
    }
    assert_eq!(ran.code, Some(0), "{ran}");
    Some(ran.json())
}

/// The files that rcluster made for the default cluster.
fn made(sandbox: &Sandbox, file: &str) -> PathBuf {
    sandbox.cluster().join("tls").join(file)
}

/// Somebody who believes the cluster's CA, and has nothing to show.
fn guest(sandbox: &Sandbox) -> Guest {
    Guest::default().over_tls(&made(sandbox, "ca.crt"), None)
}

/// What a port answers to the first packet of a TLS connection.
fn greets_with_tls(sandbox: &Sandbox, port: u64) -> bool {
    let config = tls_config(&made(sandbox, "ca.crt"), None);
    let name = ServerName::try_from(HOST).expect("an address");
    let mut connection = ClientConnection::new(Arc::new(config), name).expect("a connection");
    let mut hello = Vec::new();
    connection.write_tls(&mut hello).expect("a packet");
    // A handshake of any version.
    matches!(first_answer(port, &hello)[..], [0x16, 3, ..])
}

/// The first bytes that a port answers to `said`; none if it hangs up, or says nothing for a second.
fn first_answer(port: u64, said: &[u8]) -> Vec<u8> {
    let port = u16::try_from(port).expect("a port");
    let mut stream = TcpStream::connect((HOST, port)).expect("somebody listens");
    stream
        .set_read_timeout(Some(Duration::from_secs(1)))
        .expect("a timeout");
    let mut answer = vec![0; 16];
    let length = stream
        .write_all(said)
        .and_then(|()| stream.read(&mut answer));
    answer.truncate(length.unwrap_or(0));
    answer
}

/// That no port of the cluster takes a word in clear, and that every one speaks TLS.
fn assert_nothing_in_clear(sandbox: &Sandbox, document: &Value) {
    for node in nodes(document) {
        for name in ["port", "bus_port"] {
            let port = node[name].as_u64().expect("a port");
            assert!(
                greets_with_tls(sandbox, port),
                "{name} {port} speaks no TLS"
            );
            let answer = first_answer(port, b"PING\r\n");
            assert!(!answer.starts_with(b"+PONG"), "{name} {port} is open");
        }
    }
}

#[test]
fn with_tls_nothing_is_said_in_clear_in_any_stage_of_a_life() {
    let sandbox = Sandbox::new();
    let Some(started) = tls(&sandbox, "start --port auto --tls") else {
        return;
    };
    assert_eq!(started["state"], "unformed");
    let created = sandbox.ok("create --json").json();
    guest(&sandbox).assert_ready(&created, 3, 1);
    assert_nothing_in_clear(&sandbox, &created);
    for node in nodes(&created) {
        assert_eq!(node["tls_port"], node["port"], "the only port");
        let port = node["port"].as_u64().expect("a port");
        assert_eq!(guest(&sandbox).config(HOST, port, "port"), "0");
        for name in ["tls-cluster", "tls-replication"] {
            assert_eq!(guest(&sandbox).config(HOST, port, name), "yes");
        }
    }
    let about = &created["tls"];
    assert_eq!(
        (&about["enabled"], &about["plain_port"]),
        (&true.into(), &false.into())
    );
    assert_eq!(
        about["ca"],
        made(&sandbox, "ca.crt").to_str().expect("UTF-8")
    );
    let status = sandbox.ok("status");
    assert!(status.out.contains("TLS"), "{status}");

    // A replica that was killed, and then all that were stopped.
    let port = ports(&created)[4];
    kill_and_wait(pid_on(&created, port));
    let again = sandbox.ok("start --json").json();
    guest(&sandbox).assert_ready(&again, 3, 1);
    assert_ne!(pid_on(&again, port), pid_on(&created, port));
    sandbox.ok("stop");
    let again = sandbox.ok("start --json").json();
    guest(&sandbox).assert_ready(&again, 3, 1);
    assert_nothing_in_clear(&sandbox, &again);
    for verb in ["up", "start"] {
        assert_eq!(
            sandbox.ok(&format!("{verb} --tls --json")).json()["changed"],
            false
        );
        let other = sandbox.fails(&format!("{verb} --tls=both"), 7);
        assert!(other.err.contains("--tls only, not both"), "{other}");
    }
    sandbox.gone("down --yes");
}

#[test]
fn a_seeded_start_over_tls_is_ready_without_replicas_too() {
    for (shape, primaries, replicas) in [
        ("", 3, 1),
        ("--replicas 0", 3, 0),
        ("--primaries 1 --replicas 2", 1, 2),
    ] {
        let sandbox = Sandbox::new();
        let Some(up) = tls(&sandbox, &format!("up --port auto --tls {shape}")) else {
            return;
        };
        guest(&sandbox).assert_ready(&up, primaries, replicas);
        assert_nothing_in_clear(&sandbox, &up);
        let port = ports(&up)[0];
        kill_and_wait(pid_on(&up, port));
        if replicas == 0 {
            let again = sandbox.ok("start --json").json();
            guest(&sandbox).assert_ready(&again, primaries, replicas);
        }
        sandbox.gone("down --yes");
    }
}

#[test]
fn certificates_and_keys_are_for_the_owner_alone_and_no_secret_is_told() {
    let sandbox = Sandbox::new();
    let Some(_) = tls(
        &sandbox,
        "up -v --port auto --tls --primaries 1 --replicas 0",
    ) else {
        return;
    };
    let mode = |path: &Path| {
        fs::symlink_metadata(path)
            .expect("it is there")
            .permissions()
            .mode()
            & 0o7777
    };
    assert_eq!(mode(&sandbox.cluster().join("tls")), 0o700);
    let mut keys = Vec::new();
    for file in [
        "ca.crt",
        "ca.key",
        "node.crt",
        "node.key",
        "client.crt",
        "client.key",
    ] {
        let path = made(&sandbox, file);
        assert_eq!(mode(&path), 0o600, "{file}");
        let text = fs::read_to_string(&path).expect("readable");
        if file.contains(".key") {
            keys.push(text.lines().nth(1).expect("a line of the key").to_owned());
        }
    }
    let said = [
        sandbox.ok("status --json"),
        sandbox.ok("up -v"),
        sandbox.ok("stop -v"),
    ];
    for key in &keys {
        for ran in &said {
            assert!(!ran.out.contains(key) && !ran.err.contains(key), "{ran}");
        }
        let holders: Vec<PathBuf> = sandbox
            .files()
            .into_iter()
            .filter(|path| {
                let text = fs::read(sandbox.home().join(path)).unwrap_or_default();
                String::from_utf8_lossy(&text).contains(key)
            })
            .collect();
        assert_eq!(holders.len(), 1, "a key is in {holders:?}");
        assert!(holders[0].starts_with("default/tls"), "{holders:?}");
    }
    sandbox.gone("down --yes");
}

#[test]
fn both_kinds_of_ports_answer_where_both_are_wanted() {
    let sandbox = Sandbox::new();
    let Some(mut document) = tls(&sandbox, "start --port auto --tls=both --replicas 1") else {
        return;
    };
    assert_eq!(document["tls"]["plain_port"], true);
    sandbox.ok("create");
    for stage in ["created", "started again", "made in one"] {
        if stage == "started again" {
            sandbox.ok("stop");
            document = sandbox.ok("start --json").json();
        } else if stage == "made in one" {
            sandbox.gone("down --yes");
            document = sandbox.ok("up --port auto --tls=both --json").json();
        }
        Guest::default().assert_ready(&document, 3, 1);
        guest(&sandbox).assert_ready(&document, 3, 1);
        for node in nodes(&document) {
            let port = |name: &str| node[name].as_u64().expect("a port");
            let (plain, tls, bus) = (port("port"), port("tls_port"), port("bus_port"));
            assert!(plain != tls && tls != bus && bus != plain, "{node}");
            assert!(greets_with_tls(&sandbox, tls) && greets_with_tls(&sandbox, bus));
            // Who does not speak TLS waits for the end of a line: one of them is enough.
            assert!(
                node["index"] != 1 || !greets_with_tls(&sandbox, plain),
                "{plain} is the plain port"
            );
        }
        // Each client is sent on to ports of its own kind.
        let node = &nodes(&document)[0];
        for (guest, name) in [(Guest::default(), "port"), (guest(&sandbox), "tls_port")] {
            let slots = guest.ask(
                HOST,
                node[name].as_u64().expect("a port"),
                &["CLUSTER", "SLOTS"],
            );
            let listed: Vec<u64> = slots
                .as_array()
                .expect("a list")
                .iter()
                .flat_map(|range| range.as_array().expect("a range").iter().skip(2))
                .filter_map(|node| node[1].as_u64())
                .collect();
            let wanted: Vec<u64> = nodes(&document)
                .iter()
                .filter_map(|node| node[name].as_u64())
                .collect();
            assert!(
                !listed.is_empty() && listed.iter().all(|port| wanted.contains(port)),
                "{name}: {slots}"
            );
        }
    }
    sandbox.gone("down --yes");
}

#[test]
fn who_must_show_a_certificate_and_has_none_stays_outside() {
    let sandbox = Sandbox::new();
    let Some(started) = tls(&sandbox, "start --port auto --tls --tls-auth-clients yes") else {
        return;
    };
    assert_eq!(started["state"], "unformed");
    let mut document = sandbox.ok("create --json").json();
    let (certificate, key) = (made(&sandbox, "client.crt"), made(&sandbox, "client.key"));
    let member = Guest::default().over_tls(&made(&sandbox, "ca.crt"), Some((&certificate, &key)));
    for _ in 0..2 {
        member.assert_ready(&document, 3, 1);
        let nobody = guest(&sandbox).try_ask(HOST, ports(&document)[0], &["PING"]);
        let error = nobody.expect_err("nobody gets in without a certificate");
        assert!(error.to_string().contains("CertificateRequired"), "{error}");
        sandbox.ok("stop");
        document = sandbox.ok("start --json").json();
    }
    assert_eq!(sandbox.ok("up --json").json()["changed"], false);
    // The hint is a command that works as it stands, where the client was built with TLS.
    let hint = sandbox.ok("up").err;
    let (_, client) = hint.trim_end().split_once("next: ").expect("a hint");
    let client = client.replace("valkey-cli", "redis-cli");
    let help = Command::new("redis-cli")
        .arg("--help")
        .output()
        .expect("redis-cli runs");
    if String::from_utf8_lossy(&[help.stdout, help.stderr].concat()).contains("--tls") {
        let said = Command::new("sh")
            .args(["-c", &format!("{client} PING")])
            .output()
            .expect("sh runs");
        assert_eq!(
            String::from_utf8_lossy(&said.stdout),
            "PONG\n",
            "{client}: {said:?}"
        );
    }
    sandbox.gone("down --yes");
}

#[test]
fn without_a_demand_for_certificates_nobody_needs_one() {
    for word in ["no", "optional"] {
        let sandbox = Sandbox::new();
        let line = format!("up --port auto --tls --tls-auth-clients {word} --replicas 0");
        let Some(up) = tls(&sandbox, &line) else {
            return;
        };
        guest(&sandbox).assert_ready(&up, 3, 0);
        assert_eq!(
            guest(&sandbox).config(HOST, ports(&up)[0], "tls-auth-clients"),
            word
        );
        sandbox.gone("down --yes");
    }
}

#[test]
fn tls_an_acl_file_and_an_odd_password_go_together() {
    let password = "it's \"all\" \\ # in here, ünd\nmore ";
    let sandbox = Sandbox::new();
    let file = sandbox.file("password", password);
    let hash = Command::new("sha256sum")
        .arg(&file)
        .output()
        .expect("sha256sum runs");
    let hash = String::from_utf8(hash.stdout).expect("UTF-8");
    let hash = hash.split(' ').next().expect("a hash");
    let users = sandbox.file(
        "users.acl",
        format!("user default off\nuser tool on #{hash} ~* &* +@all\n"),
    );
    let line = format!(
        "start --port auto --tls --tls-auth-clients yes --aclfile {users} --user tool --password-file {file}"
    );
    let Some(_) = tls(&sandbox, &line) else {
        return;
    };
    let mut document = sandbox.ok("create --json").json();
    let (certificate, key) = (made(&sandbox, "client.crt"), made(&sandbox, "client.key"));
    let over_tls =
        |guest: Guest| guest.over_tls(&made(&sandbox, "ca.crt"), Some((&certificate, &key)));
    let tool = over_tls(Guest::of("tool", password));
    for _ in 0..2 {
        tool.assert_ready(&document, 3, 1);
        let nobody = over_tls(Guest::default()).ask(HOST, ports(&document)[5], &["PING"]);
        assert!(nobody["error"].to_string().contains("NOAUTH"), "{nobody}");
        assert_eq!(sandbox.status()["state"], "ok");
        sandbox.ok("stop");
        document = sandbox.ok("start --json").json();
    }
    sandbox.gone("down --yes");
}

// The user's own certificates.

/// An authority that signs whatever a test needs.
struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate to be signed.
struct Wish {
    /// From and until how many days from now it is good.
    days: (i64, i64),
    sans: Vec<SanType>,
    purposes: Vec<ExtendedKeyUsagePurpose>,
}

const BOTH: [ExtendedKeyUsagePurpose; 2] = [
    ExtendedKeyUsagePurpose::ServerAuth,
    ExtendedKeyUsagePurpose::ClientAuth,
];

fn day(number: i64) -> OffsetDateTime {
    OffsetDateTime::now_utc() + time::Duration::days(number)
}

fn params(name: &str, (from, until): (i64, i64)) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = day(from);
    params.not_after = day(until);
    params
}

impl Default for Wish {
    fn default() -> Self {
        Self {
            days: (-1, 1),
            sans: vec![SanType::IpAddress(HOST.parse().expect("an address"))],
            purposes: BOTH.to_vec(),
        }
    }
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = params(name, (-2, 2));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("a CA"))
    }

    /// One below this one.
    fn intermediate(&self) -> Self {
        let mut params = params("intermediate", (-2, 2));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::signed_by(params, key, &self.0).expect("a CA"))
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate and its key, in PEM.
    fn issue(&self, wish: Wish) -> (String, String) {
        let mut params = params("node", wish.days);
        params.subject_alt_names = wish.sans;
        params.extended_key_usages = wish.purposes;
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    }
}

/// The options that name three files of these texts.
fn own(sandbox: &Sandbox, ca: &str, certificate: &str, key: &str) -> String {
    format!(
        "--tls-ca {} --tls-cert {} --tls-key {}",
        sandbox.file("ca.pem", ca),
        sandbox.file("cert.pem", certificate),
        sandbox.file("key.pem", key)
    )
}

/// That `up` refuses `options` with `code`, in one line that has `cause`; `start` as well.
fn refused(options: &dyn Fn(&Sandbox) -> String, code: i32, cause: &str) {
    let sandbox = Sandbox::new();
    let options = options(&sandbox);
    let text = sandbox.run(&format!("up --port auto {options}"));
    if text.code == Some(10) && has_tls() != Some(true) {
        // Without TLS there is nothing to be good or bad for.
        return;
    }
    assert_eq!(text.code, Some(code), "{cause}: {text}");
    let errors: Vec<&str> = text
        .err
        .lines()
        .filter(|line| !line.starts_with("hint: "))
        .collect();
    let [line] = errors.as_slice() else {
        panic!("not one line: {text}");
    };
    assert!(
        line.starts_with("error: ") && line.contains(cause),
        "{cause}: {text}"
    );
    let json = sandbox.fails(&format!("start --port auto --json {options}"), code);
    let error = json.json_error();
    assert!(error["message"].to_string().contains(cause), "{error}");
    assert_eq!(
        error["code"],
        if code == 8 {
            "bad_certificate"
        } else {
            "usage"
        }
    );
    sandbox.assert_untouched(&json);
}

#[test]
fn own_certificates_that_are_good_are_used() {
    let root = Authority::new("root");
    let lower = root.intermediate();
    let (direct, direct_key) = root.issue(Wish::default());
    let (leaf, leaf_key) = lower.issue(Wish::default());
    let chain = format!("{leaf}{}", lower.pem());
    for (certificate, key) in [(&direct, &direct_key), (&chain, &leaf_key)] {
        let sandbox = Sandbox::new();
        let options = own(&sandbox, &root.pem(), certificate, key);
        let Some(up) = tls(
            &sandbox,
            &format!("up --port auto --tls-auth-clients yes {options}"),
        ) else {
            return;
        };
        let (certificate, key) = (
            sandbox.path().join("cert.pem"),
            sandbox.path().join("key.pem"),
        );
        let member =
            Guest::default().over_tls(&sandbox.path().join("ca.pem"), Some((&certificate, &key)));
        member.assert_ready(&up, 3, 1);
        // The files may go: the cluster has its own copies. The key of the CA is nobody's business.
        for file in ["ca.pem", "cert.pem", "key.pem"] {
            fs::rename(
                sandbox.path().join(file),
                sandbox.path().join(format!("{file}.old")),
            )
            .expect("moved");
        }
        assert!(!made(&sandbox, "ca.key").exists());
        sandbox.ok("stop");
        sandbox.ok("start");
        assert_eq!(sandbox.status()["state"], "ok");
        for file in ["ca.pem", "cert.pem", "key.pem"] {
            fs::rename(
                sandbox.path().join(format!("{file}.old")),
                sandbox.path().join(file),
            )
            .expect("moved");
        }
        let same = sandbox.ok(&format!("up --json {options}"));
        assert_eq!(same.json()["changed"], false, "{same}");
        let (other, other_key) = root.issue(Wish::default());
        let other = own(&sandbox, &root.pem(), &other, &other_key);
        sandbox.fails(&format!("up {other}"), 7);
        sandbox.gone("down --yes");
    }
}

#[test]
fn own_certificates_that_nobody_would_accept_are_refused_with_their_one_cause() {
    let root = Authority::new("root");
    let namesake = Authority::new("root");
    let stranger = Authority::new("stranger");
    let good = Wish::default;
    let address = |text: &str| vec![SanType::IpAddress(text.parse().expect("an address"))];
    let named = vec![SanType::DnsName("localhost".try_into().expect("a name"))];
    let wrong = [
        (
            &root,
            &root,
            Wish {
                days: (-2, -1),
                ..good()
            },
            "has expired",
        ),
        (
            &root,
            &root,
            Wish {
                days: (1, 2),
                ..good()
            },
            "is not valid yet",
        ),
        (&root, &stranger, good(), "was not issued by the CA"),
        (&root, &namesake, good(), "is not signed by the CA"),
        (
            &root,
            &root,
            Wish {
                sans: address("127.0.0.2"),
                ..good()
            },
            "is not for this address",
        ),
        (
            &root,
            &root,
            Wish {
                sans: named,
                ..good()
            },
            "is not for this address",
        ),
        (
            &root,
            &root,
            Wish {
                sans: Vec::new(),
                ..good()
            },
            "is not for this address",
        ),
        (
            &root,
            &root,
            Wish {
                purposes: BOTH[..1].to_vec(),
                ..good()
            },
            "as a client's",
        ),
        (
            &root,
            &root,
            Wish {
                purposes: BOTH[1..].to_vec(),
                ..good()
            },
            "is not for this purpose",
        ),
    ];
    for (believed, signer, wish, cause) in wrong {
        let (certificate, key) = signer.issue(wish);
        refused(
            &|sandbox| own(sandbox, &believed.pem(), &certificate, &key),
            8,
            cause,
        );
    }
}

#[test]
fn files_that_are_no_certificates_and_keys_are_refused() {
    let root = Authority::new("root");
    let ca = root.pem();
    let (certificate, key) = root.issue(Wish::default());
    let (_, other_key) = root.issue(Wish::default());
    let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let body: String = key.lines().filter(|line| !line.starts_with('-')).collect();
    let old_style = format!(
        "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\n{body}\n-----END EC PRIVATE KEY-----\n"
    );
    let cut: String = certificate.chars().take(certificate.len() / 2).collect();
    let wrong = [
        (
            (&*ca, &*certificate, &*other_key),
            "not the key of the certificate",
        ),
        (
            (&ca, &certificate, &encrypted),
            "no private key in PEM that is not encrypted",
        ),
        (
            (&ca, &certificate, &old_style),
            "no private key in PEM that is not encrypted",
        ),
        ((&ca, &certificate, &certificate), "no private key in PEM"),
        ((&ca, &certificate, "hello"), "no private key in PEM"),
        ((&ca, &certificate, ""), "no private key in PEM"),
        ((&ca, &key, &key), "the certificate file"),
        ((&ca, "hello", &key), "no certificate in PEM"),
        ((&ca, "", &key), "no certificate in PEM"),
        ((&ca, &cut, &key), "the certificate file"),
        (("hello", &certificate, &key), "the CA file"),
        (("", &certificate, &key), "the CA file"),
    ];
    for ((ca, certificate, key), cause) in wrong {
        refused(&|sandbox| own(sandbox, ca, certificate, key), 2, cause);
    }
}

#[test]
fn a_certificate_for_servers_alone_needs_another_for_clients() {
    let root = Authority::new("root");
    let (server, server_key) = root.issue(Wish {
        purposes: BOTH[..1].to_vec(),
        ..Wish::default()
    });
    let (client, client_key) = root.issue(Wish {
        purposes: BOTH[1..].to_vec(),
        sans: Vec::new(),
        ..Wish::default()
    });
    let sandbox = Sandbox::new();
    let options = format!(
        "{} --tls-client-cert {} --tls-client-key {}",
        own(&sandbox, &root.pem(), &server, &server_key),
        sandbox.file("client.pem", client),
        sandbox.file("client-key.pem", client_key)
    );
    let line = format!("start --port auto --tls-auth-clients yes {options}");
    let Some(_) = tls(&sandbox, &line) else {
        return;
    };
    let created = sandbox.ok("create --json").json();
    let file = |name: &str| sandbox.path().join(name);
    let (certificate, key) = (file("client.pem"), file("client-key.pem"));
    let member = Guest::default().over_tls(&file("ca.pem"), Some((&certificate, &key)));
    member.assert_ready(&created, 3, 1);
    sandbox.gone("down --yes");
}

#[test]
fn certificates_that_go_bad_later_are_told_and_stop_nobody_from_stopping() {
    let root = Authority::new("root");
    let (good, good_key) = root.issue(Wish::default());
    let (expired, expired_key) = root.issue(Wish {
        days: (-2, -1),
        ..Wish::default()
    });
    let sandbox = Sandbox::new();
    let options = own(&sandbox, &root.pem(), &good, &good_key);
    let line = format!("up --port auto --primaries 1 --replicas 1 {options}");
    let Some(up) = tls(&sandbox, &line) else {
        return;
    };
    let put = |certificate: &str, key: &str| {
        fs::write(made(&sandbox, "node.crt"), certificate).expect("written");
        fs::write(made(&sandbox, "node.key"), key).expect("written");
    };
    // On one node that lives: as if the clock had gone on.
    let port = ports(&up)[1];
    let member = Guest::default().over_tls(&sandbox.path().join("ca.pem"), None);
    put(&expired, &expired_key);
    let reload = ["CONFIG", "SET", "tls-cert-file", "../../tls/node.crt"];
    assert_eq!(member.ask(HOST, port, &reload), "OK");
    let status = sandbox.fails("status --json", 5).json();
    assert_eq!(process_words(&status), ["running", "running"]);
    assert!(
        status["problems"].to_string().contains("has expired"),
        "{status}"
    );
    let refused = sandbox.fails("up --json", 8).json_error();
    assert!(
        refused["message"].to_string().contains("has expired"),
        "{refused}"
    );
    sandbox.ok("stop");
    // And before nodes are started with it.
    let refused = sandbox.fails("start --json", 8).json_error();
    assert_eq!(refused["code"], "bad_certificate");
    assert!(sandbox.survivors().is_empty());
    put(&good, &good_key);
    member.assert_ready(&sandbox.ok("start --json").json(), 1, 1);
    sandbox.gone("down --yes");
}

// One speaks TLS, and the other does not.

/// Replaces lines of a stopped node's redis.conf.
fn edit_conf(sandbox: &Sandbox, port: u64, edit: &dyn Fn(&str) -> String) {
    let path = sandbox.node(port).join("redis.conf");
    let text = fs::read_to_string(&path).expect("readable");
    let lines: Vec<String> = text.lines().map(edit).collect();
    fs::write(&path, lines.join("\n") + "\n").expect("written");
}

/// That a node on `port` is told apart by `cause`, and that the cluster can be ended all the same.
fn told_apart(sandbox: &Sandbox, port: u64, cause: &str) {
    let error = sandbox.fails("start --json", 8).json_error();
    let message = error["message"].as_str().expect("a message");
    assert!(
        message.contains(cause) && message.contains(&port.to_string()),
        "{error}"
    );
    let status = sandbox.run("status --json").json();
    assert_eq!(node_on(&status, port)["process"], "running", "{status}");
    assert!(status["problems"].to_string().contains(cause), "{status}");
    sandbox.gone("down --yes");
}

#[test]
fn a_node_that_does_not_speak_tls_any_more_is_told_apart() {
    let sandbox = Sandbox::new();
    let Some(up) = tls(&sandbox, "up --port auto --tls --primaries 1 --replicas 1") else {
        return;
    };
    let port = ports(&up)[1];
    sandbox.ok("stop");
    edit_conf(&sandbox, port, &|line| match line.split(' ').next() {
        Some("port") => format!("port {port}"),
        Some("tls-port") => "tls-port 0".into(),
        Some("tls-cluster" | "tls-replication") => String::new(),
        _ => line.to_owned(),
    });
    told_apart(&sandbox, port, "does not speak TLS");
}

#[test]
fn a_node_that_speaks_tls_of_a_sudden_is_told_apart() {
    let root = Authority::new("root");
    let (certificate, key) = root.issue(Wish::default());
    let sandbox = Sandbox::new();
    // Only to learn whether the server can.
    let probe = Sandbox::new();
    if tls(&probe, "start --port auto --tls --primaries 1 --replicas 0").is_none() {
        return;
    }
    probe.gone("down --yes");
    own(&sandbox, &root.pem(), &certificate, &key);
    let files = ["ca-cert", "cert", "key"].map(|kind| {
        let file = format!("{}.pem", kind.trim_end_matches("-cert"));
        format!("tls-{kind}-file {}", sandbox.path().join(file).display())
    });
    let up = sandbox.up("--primaries 1 --replicas 1");
    let port = ports(&up)[1];
    sandbox.ok("stop");
    edit_conf(&sandbox, port, &|line| match line.split(' ').next() {
        Some("port") => format!("port 0\ntls-port {port}\n{}", files.join("\n")),
        _ => line.to_owned(),
    });
    told_apart(&sandbox, port, "speaks TLS");
}
