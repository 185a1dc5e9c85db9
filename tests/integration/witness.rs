//! What clients and other nodes see, asked without a line of rcluster: the contract's *Ready*,
//! looked at once and not waited for.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::{IpAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value, json};

use crate::sandbox::nodes;

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// How a client comes in: as whom, with which password, over which TLS.
#[derive(Clone, Default)]
pub(crate) struct Guest {
    user: Option<String>,
    password: Option<String>,
    tls: Option<Arc<ClientConfig>>,
    /// What nodes call themselves, where it is not where we reach them.
    announced: Option<String>,
}

/// Bytes to and from a server.
trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

impl Guest {
    /// With the password of the default user.
    pub(crate) fn with(password: &str) -> Self {
        Self {
            password: Some(password.to_owned()),
            ..Self::default()
        }
    }

    /// As an ACL user.
    pub(crate) fn of(user: &str, password: &str) -> Self {
        Self {
            user: Some(user.to_owned()),
            ..Self::with(password)
        }
    }

    /// Over TLS, believing the CA in the file `ca`, and showing `own` (certificate and key).
    pub(crate) fn over_tls(self, ca: &Path, own: Option<(&Path, &Path)>) -> Self {
        Self {
            tls: Some(Arc::new(tls_config(ca, own))),
            ..self
        }
    }

    /// Of nodes that say of themselves that they are at `host`.
    pub(crate) fn announced(self, host: &str) -> Self {
        Self {
            announced: Some(host.to_owned()),
            ..self
        }
    }

    /// The port of `node`, of a document, that this guest comes in by.
    fn port(&self, node: &Value) -> u64 {
        let name = if self.tls.is_some() {
            "tls_port"
        } else {
            "port"
        };
        node[name]
            .as_u64()
            .unwrap_or_else(|| panic!("no {name}: {node}"))
    }

    /// Sends one command and returns the reply; an error is `{"error": "…"}`. Whoever is not let
    /// in gets the server's error, or the system's.
    pub(crate) fn try_ask(&self, host: &str, port: u64, arguments: &[&str]) -> io::Result<Value> {
        let host: IpAddr = host.parse().expect("an address");
        let port = u16::try_from(port).expect("a port");
        let stream = TcpStream::connect((host, port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let stream: Box<dyn Stream> = match &self.tls {
            None => Box::new(stream),
            Some(config) => {
                let connection = ClientConnection::new(Arc::clone(config), ServerName::from(host))
                    .map_err(io::Error::other)?;
                Box::new(StreamOwned::new(connection, stream))
            }
        };
        self.ask_over(stream, arguments)
    }

    /// The same over a Unix socket.
    pub(crate) fn ask_socket(&self, path: &Path, arguments: &[&str]) -> Value {
        let stream = UnixStream::connect(path).expect("a server listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        self.ask_over(Box::new(stream), arguments)
            .expect("an answer")
    }

    fn ask_over(&self, stream: Box<dyn Stream>, arguments: &[&str]) -> io::Result<Value> {
        let mut stream = BufReader::new(stream);
        if let Some(password) = &self.password {
            let user = self.user.as_deref();
            let auth: Vec<&str> = ["AUTH"]
                .into_iter()
                .chain(user)
                .chain([&**password])
                .collect();
            send(stream.get_mut(), &auth)?;
            let answer = reply(&mut stream)?;
            if answer != "OK" {
                return Ok(answer);
            }
        }
        send(stream.get_mut(), arguments)?;
        reply(&mut stream)
    }

    /// The same, of somebody who must be let in.
    pub(crate) fn ask(&self, host: &str, port: u64, arguments: &[&str]) -> Value {
        self.try_ask(host, port, arguments)
            .unwrap_or_else(|error| panic!("{arguments:?} at {host} {port}: {error}"))
    }

    /// The reply to a command that answers text.
    pub(crate) fn text(&self, host: &str, port: u64, arguments: &[&str]) -> String {
        let answer = self.ask(host, port, arguments);
        let text = answer.as_str();
        text.unwrap_or_else(|| panic!("{arguments:?} at {port}: {answer}"))
            .to_owned()
    }

    /// What CONFIG GET says of one directive.
    pub(crate) fn config(&self, host: &str, port: u64, name: &str) -> String {
        let answer = self.ask(host, port, &["CONFIG", "GET", name]);
        answer[1]
            .as_str()
            .unwrap_or_else(|| panic!("{name}: {answer}"))
            .to_owned()
    }
}

/// What a TLS client is told: whom to believe, and what to show.
pub(crate) fn tls_config(ca: &Path, own: Option<(&Path, &Path)>) -> ClientConfig {
    let certificates = |path: &Path| -> Vec<CertificateDer<'static>> {
        CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca) {
        roots.add(certificate).expect("a CA");
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions of TLS")
        .with_root_certificates(roots);
    match own {
        None => config.with_no_client_auth(),
        Some((certificate, key)) => config
            .with_client_auth_cert(
                certificates(certificate),
                PrivateKeyDer::from_pem_file(key).expect("a key"),
            )
            .expect("a key that fits"),
    }
}

/// Asks a server of 127.0.0.1; see [`ask_at`].
pub(crate) fn ask(port: u64, arguments: &[&str]) -> Value {
    ask_at("127.0.0.1", port, arguments)
}

/// Sends one command and returns the reply; an error is `{"error": "…"}`.
pub(crate) fn ask_at(host: &str, port: u64, arguments: &[&str]) -> Value {
    Guest::default().ask(host, port, arguments)
}

fn send(stream: &mut dyn Stream, arguments: &[&str]) -> io::Result<()> {
    let mut request = format!("*{}\r\n", arguments.len());
    for argument in arguments {
        for part in [&format!("${}", argument.len()), *argument] {
            request.push_str(part);
            request.push_str("\r\n");
        }
    }
    stream.write_all(request.as_bytes())?;
    stream.flush()
}

fn reply(stream: &mut BufReader<Box<dyn Stream>>) -> io::Result<Value> {
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let line = line.trim_end();
    let hung_up = || io::Error::other("the server hung up");
    let (kind, rest) = line.split_at_checked(1).ok_or_else(hung_up)?;
    let number = || rest.parse::<i64>().expect("a number");
    Ok(match kind {
        "+" => json!(rest),
        "-" => json!({ "error": rest }),
        ":" => json!(number()),
        "$" => {
            let Ok(length) = usize::try_from(number()) else {
                return Ok(Value::Null);
            };
            let mut bytes = vec![0; length + 2];
            stream.read_exact(&mut bytes)?;
            bytes.truncate(length);
            json!(String::from_utf8(bytes).expect("UTF-8"))
        }
        "*" => (0..number())
            .map(|_| reply(stream))
            .collect::<io::Result<_>>()?,
        other => panic!("an unknown kind of reply: {other:?}"),
    })
}

/// The reply to a command that answers text.
pub(crate) fn text_at(host: &str, port: u64, arguments: &[&str]) -> String {
    Guest::default().text(host, port, arguments)
}

/// `name:value` of INFO or CLUSTER INFO.
pub(crate) fn field(text: &str, name: &str) -> Option<String> {
    text.lines().find_map(|line| {
        Some(
            line.strip_prefix(name)?
                .strip_prefix(':')?
                .trim()
                .to_owned(),
        )
    })
}

/// What CONFIG GET says of one directive.
pub(crate) fn config(port: u64, name: &str) -> String {
    Guest::default().config("127.0.0.1", port, name)
}

/// The ports of a document's nodes, by index.
pub(crate) fn ports(document: &Value) -> Vec<u64> {
    let port = |node: &Value| node["port"].as_u64().expect("a port");
    nodes(document).iter().map(port).collect()
}

/// The stock tool that belongs to the server under test; where none lies beside it, the one on `PATH`.
fn cli() -> PathBuf {
    let server = std::env::var_os("RCLUSTER_TEST_SERVER").map(PathBuf::from);
    let beside =
        |name: &&str| Some(server.as_ref()?.parent()?.join(name)).filter(|cli| cli.is_file());
    let mut names = ["valkey-cli", "redis-cli"].iter();
    names.find_map(beside).unwrap_or_else(|| "redis-cli".into())
}

/// Runs stock redis-cli with `arguments`, `input` as if typed, and returns what it printed.
pub(crate) fn redis_cli(arguments: &[&str], input: &str) -> String {
    let mut child = Command::new(cli())
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("redis-cli is installed");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(input.as_bytes()).expect("typed");
    drop(stdin);
    let output = child.wait_with_output().expect("redis-cli ends");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    let (out, err) = (text(output.stdout), text(output.stderr));
    assert!(
        output.status.success(),
        "redis-cli {arguments:?}: {out}{err}"
    );
    out
}

/// A line of CLUSTER NODES.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Line {
    pub(crate) id: String,
    pub(crate) addr: String,
    pub(crate) flags: BTreeSet<String>,
    pub(crate) primary: String,
    pub(crate) epoch: u64,
    pub(crate) link: String,
    pub(crate) slots: Vec<String>,
}

pub(crate) fn cluster_nodes(host: &str, port: u64) -> Vec<Line> {
    lines_of(&text_at(host, port, &["CLUSTER", "NODES"]))
}

fn lines_of(text: &str) -> Vec<Line> {
    let mut lines: Vec<Line> = text
        .lines()
        .map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            let [id, addr, flags, primary, _, _, epoch, link, slots @ ..] = words.as_slice() else {
                panic!("a line of CLUSTER NODES: {line}");
            };
            Line {
                id: (*id).to_owned(),
                // What follows a comma is not told by every server.
                addr: addr.split(',').next().unwrap_or_default().to_owned(),
                flags: flags.split(',').map(str::to_owned).collect(),
                primary: (*primary).to_owned(),
                epoch: epoch.parse().expect("an epoch"),
                link: (*link).to_owned(),
                slots: slots.iter().map(|slot| (*slot).to_owned()).collect(),
            }
        })
        .collect();
    lines.sort();
    lines
}

/// Asserts that the cluster of `document` is ready, as the contract defines it, at this very moment.
pub(crate) fn assert_ready(document: &Value, primaries: usize, replicas: usize) {
    let problems = what_is_missing(document, primaries, replicas);
    assert!(problems.is_empty(), "not ready:\n{}", problems.join("\n"));
}

/// What keeps the cluster of `document` from being ready at this very moment.
pub(crate) fn what_is_missing(document: &Value, primaries: usize, replicas: usize) -> Vec<String> {
    Guest::default().what_is_missing(document, primaries, replicas)
}

impl Guest {
    /// The same, seen by this guest.
    pub(crate) fn assert_ready(&self, document: &Value, primaries: usize, replicas: usize) {
        let problems = self.what_is_missing(document, primaries, replicas);
        assert!(problems.is_empty(), "not ready:\n{}", problems.join("\n"));
    }

    fn what_is_missing(&self, document: &Value, primaries: usize, replicas: usize) -> Vec<String> {
        let count = primaries * (replicas + 1);
        let mut problems = Vec::new();
        let mut views: BTreeMap<u64, Vec<Line>> = BTreeMap::new();
        let mut current_epochs = BTreeSet::new();
        assert_eq!(nodes(document).len(), count, "{document}");
        for node in nodes(document) {
            let host = node["host"].as_str().expect("a host");
            let port = self.port(node);
            let mut expect = |what: &str, holds: bool, seen: String| {
                if !holds {
                    problems.push(format!("{port}: {what}; seen: {seen}"));
                }
            };
            let info = self.text(host, port, &["CLUSTER", "INFO"]);
            for (name, wanted) in [
                ("cluster_state", "ok".to_owned()),
                ("cluster_slots_assigned", "16384".to_owned()),
                ("cluster_slots_ok", "16384".to_owned()),
                ("cluster_known_nodes", count.to_string()),
                ("cluster_size", primaries.to_string()),
            ] {
                let seen = field(&info, name).unwrap_or_default();
                expect(name, seen == wanted, seen.clone());
            }
            current_epochs.insert(field(&info, "cluster_current_epoch"));

            let lines = lines_of(&self.text(host, port, &["CLUSTER", "NODES"]));
            for line in &lines {
                let bad = ["handshake", "noaddr", "fail", "fail?"];
                let calm = bad.iter().all(|flag| !line.flags.contains(*flag));
                expect("every node is well", calm, format!("{line:?}"));
                expect(
                    "every link is there",
                    line.link == "connected",
                    format!("{line:?}"),
                );
            }
            let myself: Vec<&Line> = lines
                .iter()
                .filter(|line| line.flags.contains("myself"))
                .collect();
            let [myself] = myself.as_slice() else {
                panic!("{port} names no one as itself: {lines:?}");
            };
            expect(
                "the id is the document's",
                node["id"] == json!(myself.id),
                myself.id.clone(),
            );

            let replication = self.text(host, port, &["INFO", "replication"]);
            if myself.flags.contains("slave") {
                for (name, wanted) in [
                    ("role", "slave"),
                    ("master_link_status", "up"),
                    ("master_sync_in_progress", "0"),
                ] {
                    let seen = field(&replication, name).unwrap_or_default();
                    expect(name, seen == wanted, seen.clone());
                }
            } else {
                let listed = field(&replication, "connected_slaves").unwrap_or_default();
                expect(
                    "its replicas are connected",
                    listed == replicas.to_string(),
                    listed.clone(),
                );
                let answer = self.write(host, port);
                expect("it takes a write", answer.is_ok(), format!("{answer:?}"));
            }
            let slots = self.ask(host, port, &["CLUSTER", "SLOTS"]);
            let all = lists_all(
                &slots,
                self.announced.as_deref().unwrap_or(host),
                &lines,
                replicas,
            );
            expect(
                "CLUSTER SLOTS lists all",
                all == Some(true),
                slots.to_string(),
            );
            views.insert(port, lines);
        }
        if current_epochs.len() != 1 {
            problems.push(format!("several current epochs: {current_epochs:?}"));
        }
        problems.extend(disagreements(views, primaries, replicas));
        problems
    }

    /// Writes and deletes a key of one of the node's own slots.
    fn write(&self, host: &str, port: u64) -> Result<(), String> {
        for number in 0..100_000 {
            let key = format!("witness:{number}");
            let answer = self.ask(host, port, &["SET", &key, "1"]);
            match answer["error"].as_str() {
                Some(error) if error.starts_with("MOVED") => {}
                Some(error) => return Err(error.to_owned()),
                None => {
                    let deleted = self.ask(host, port, &["DEL", &key]);
                    return (deleted == 1).then_some(()).ok_or(deleted.to_string());
                }
            }
        }
        Err("every key belongs to somebody else".into())
    }
}

/// Where the nodes see different clusters, or all see another one than was asked for.
fn disagreements(
    mut views: BTreeMap<u64, Vec<Line>>,
    primaries: usize,
    replicas: usize,
) -> Vec<String> {
    let mut problems = Vec::new();
    let mut distinct = BTreeSet::new();
    for lines in views.values_mut() {
        for line in lines.iter_mut() {
            line.flags.remove("myself");
        }
        distinct.insert(lines.clone());
    }
    if distinct.len() != 1 {
        problems.push(format!("the nodes see different clusters: {views:#?}"));
    }
    let lines = distinct.first().expect("a view");
    let owners: Vec<&Line> = lines.iter().filter(|line| !line.slots.is_empty()).collect();
    let epochs: BTreeSet<u64> = owners.iter().map(|owner| owner.epoch).collect();
    if owners.len() != primaries || epochs.len() != primaries {
        problems.push(format!(
            "primaries or their epochs are not {primaries}: {owners:?}"
        ));
    }
    for owner in owners {
        let followers = lines.iter().filter(|line| line.primary == owner.id).count();
        if followers != replicas {
            problems.push(format!("{followers} replicas of {owner:?}"));
        }
    }
    problems
}

/// Whether CLUSTER SLOTS covers all slots, with every owner and its replicas as CLUSTER NODES of
/// the same node has them; `None` for a reply of another form.
fn lists_all(slots: &Value, host: &str, lines: &[Line], replicas: usize) -> Option<bool> {
    let mut covered = 0;
    for range in slots.as_array()? {
        let items = range.as_array()?;
        covered += items.get(1)?.as_u64()? + 1 - items.first()?.as_u64()?;
        let listed = items.get(2..)?;
        let ids: BTreeSet<&str> = listed.iter().filter_map(|node| node[2].as_str()).collect();
        let primary = listed.first()?[2].as_str()?;
        let wanted: BTreeSet<&str> = lines
            .iter()
            .filter(|line| line.id == primary || line.primary == primary)
            .map(|line| line.id.as_str())
            .collect();
        let strange = listed.iter().any(|node| node[0] != host);
        if ids != wanted || listed.len() != replicas + 1 || strange {
            return Some(false);
        }
    }
    Some(covered == 16384)
}
