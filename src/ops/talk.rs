//! `cli`: a conversation with a cluster, by a client that is installed or by ourselves.
//!
//! Whoever answers a redirect is told a password, so we follow it only to nodes of this cluster
//! whose processes are ours, at the addresses that we know them by.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

use super::answer::{Answer, NodeAnswer, ProcessState};
use super::context::Context;
use super::env::{UNHEARD, caution, first_living, secrets};
use super::fleet::{Fleet, Life, Node};
use super::status::status;
use crate::client::{Connection, Fault};
use crate::cluster::{NodeAddr, Redirect, Resp, is_word, printable};
use crate::error::{Error, NodeProblem, Result};
use crate::plan::Target;
use crate::store::Manifest;

/// How long a node may take to let us in.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// A slot does not move so often while one command is under way.
const MOST_REDIRECTS: usize = 16;

/// A node to talk to, and the way in.
#[derive(Debug)]
pub struct Visit {
    /// The cluster.
    pub answer: Answer,
    /// The node.
    pub node: NodeAnswer,
    /// The password, if there is one.
    pub password: Option<SecretString>,
    /// The program of the node's server.
    pub server: PathBuf,
}

impl Visit {
    /// The options of redis-cli and valkey-cli that lead there; the password is none of them.
    pub fn options(&self) -> Result<Vec<std::ffi::OsString>> {
        let (addr, entrance) = (self.node.addr, &self.answer.entrance);
        let mut options: Vec<std::ffi::OsString> = vec!["-c".into()];
        options.extend(["-h".into(), addr.host.to_string().into()]);
        options.extend(["-p".into(), addr.port.to_string().into()]);
        if let Some(user) = entrance.user.as_ref().filter(|_| self.password.is_some()) {
            options.extend(["--user".into(), user.into()]);
        }
        if let Some(ca) = entrance.ca.as_ref().filter(|_| !entrance.plain) {
            options.extend(["--tls".into(), "--cacert".into(), ca.into()]);
            if let Some((certificate, key)) = &entrance.client_certificate {
                options.extend(["--cert".into(), certificate.into()]);
                options.extend(["--key".into(), key.into()]);
            }
        }
        Ok(options)
    }

    /// Whether that needs a client that knows TLS.
    pub fn needs_tls(&self) -> bool {
        !self.answer.entrance.plain
    }
}

/// Chooses the first living node, of those that `target` means if there is one.
pub async fn visit(context: &Context, target: Option<&Target>) -> Result<Visit> {
    let answer = status(context).await?;
    first_living(&answer)?;
    let meant = match target {
        Some(target) => answer.find(std::slice::from_ref(target))?,
        None => (0..answer.nodes.len()).collect(),
    };
    let meant = || meant.iter().filter_map(|place| answer.nodes.get(*place));
    let node = meant().find(|node| node.process == ProcessState::Running);
    let node = node.cloned().ok_or_else(|| Error::Nodes {
        message: "no node that is meant can be talked to".into(),
        nodes: meant()
            .map(|node| NodeProblem::new(node.addr, node.process.absence()))
            .collect(),
        hint: Some(UNHEARD),
    })?;
    let password = secrets(context, &answer)?.password;
    if let Some(note) = caution(&answer) {
        context.events.note(note);
    }
    Ok(Visit {
        server: node.server.path.clone(),
        answer,
        node,
        password,
    })
}

/// What became of a command.
#[derive(Debug)]
pub struct Heard {
    /// The redirects that were followed to the answer.
    pub redirects: Vec<Redirect>,
    /// The answer; or why there is none, in a sentence.
    pub answer: Result<Resp, String>,
}

/// A conversation. It has one connection at a time, as redis-cli has: what a node keeps for a
/// connection (a transaction, watched keys, READONLY) does not wait for it there.
#[derive(Debug)]
pub struct Talk<'a> {
    context: &'a Context,
    manifest: Manifest,
    /// The place of the node that is talked to.
    place: usize,
    connection: Option<Connection>,
    /// The database that was chosen: each new connection begins in the first one.
    database: u64,
    /// In a transaction: the database to which one that fails returns.
    transaction: Option<u64>,
}

impl<'a> Talk<'a> {
    /// Begins one, at the node of `visit`.
    pub async fn begin(context: &'a Context, visit: &Visit) -> Result<Self> {
        let (cluster, manifest) = context.existing()?;
        let fleet = Fleet::open(context, &cluster, &manifest)?;
        let mut talk = Self {
            context,
            manifest,
            place: visit.node.index.saturating_sub(1),
            connection: None,
            database: 0,
            transaction: None,
        };
        let Err(fault) = talk.connect(&fleet).await else {
            return Ok(talk);
        };
        let (node, message) = (visit.node.addr.to_string(), fault.to_string());
        Err(if fault.is_refusal() {
            Error::Refused { node, message }
        } else {
            Error::Nodes {
                message: "the node cannot be talked to".into(),
                nodes: vec![NodeProblem::new(node, message)],
                hint: Some(UNHEARD),
            }
        })
    }

    /// What a prompt says: where we are, and in which database or transaction.
    pub fn prompt(&self) -> String {
        if self.connection.is_none() {
            return "not connected> ".into();
        }
        let database = match self.database {
            0 => String::new(),
            number => format!("[{number}]"),
        };
        let transaction = self.transaction.map_or("", |_| "(TX)");
        format!("{}{database}{transaction}> ", self.at())
    }

    /// Sends a command, and follows redirects to where it is answered.
    pub async fn send(&mut self, words: &[Vec<u8>]) -> Heard {
        let mut redirects: Vec<Redirect> = Vec::new();
        let mut came_from = None;
        let answer = loop {
            let asking = redirects.last().is_some_and(|redirect| redirect.ask);
            let reply = match self.once(words, asking, !redirects.is_empty()).await {
                Ok(reply) => reply,
                Err(why) => {
                    // Where nobody let us in we are not: the conversation goes on where it was.
                    if self.connection.is_none()
                        && let Some(last) = came_from
                    {
                        (self.place, self.connection) = last;
                        redirects.pop();
                    }
                    break Err(why);
                }
            };
            let Some(redirect) = reply.error().and_then(Redirect::read) else {
                break Ok(reply);
            };
            let Some(place) = self.place_of(&redirect) else {
                break Err(format!(
                    "{}: not followed, since no node of this cluster is there",
                    printable(reply.error().unwrap_or_default(), 200)
                ));
            };
            if redirects.len() == MOST_REDIRECTS {
                break Ok(reply);
            }
            let connection = self.connection.take();
            // Nothing can come any more of a transaction that was redirected: the node would queue
            // what follows, and refuse EXEC.
            let connection = connection.filter(|_| self.transaction.is_none());
            self.abort();
            came_from = Some((std::mem::replace(&mut self.place, place), connection));
            redirects.push(redirect);
        };
        if let Ok(reply) = &answer {
            self.note(words, reply);
        }
        Heard { redirects, answer }
    }

    async fn once(
        &mut self,
        words: &[Vec<u8>],
        asking: bool,
        is_redirected: bool,
    ) -> Result<Resp, String> {
        let (connection, is_new) = self.connection(is_redirected).await?;
        let send = async {
            if is_new && self.database != 0 {
                let select = [b"SELECT".to_vec(), self.database.to_string().into_bytes()];
                connection.command(&select).await?;
            }
            if asking {
                connection.command(&[b"ASKING".to_vec()]).await?;
            }
            connection.command(words).await
        };
        match send.await {
            Ok(reply) => Ok(reply),
            Err(_) if is_shutdown(words) => {
                self.lose();
                Ok(Resp::Status("the server closed the connection".into()))
            }
            Err(fault) => {
                self.lose();
                Err(format!("{} {fault}", self.at()))
            }
        }
    }

    fn lose(&mut self) {
        self.connection = None;
        self.abort();
    }

    /// Forgets a transaction, and what it would have changed.
    fn abort(&mut self) {
        if let Some(database) = self.transaction.take() {
            self.database = database;
        }
    }

    /// The connection to the node that is talked to, and whether it was made just now. If its
    /// process is gone it is the first living node's, unless we were sent to that one.
    async fn connection(&mut self, is_redirected: bool) -> Result<(Connection, bool), String> {
        if let Some(connection) = &self.connection {
            return Ok((connection.clone(), false));
        }
        let was = self.at();
        let mut fleet = self.look().map_err(|error| error.to_string())?;
        let process = fleet.nodes.get(self.place).map(process);
        let process = process.unwrap_or(ProcessState::Unknown);
        if process != ProcessState::Running {
            if is_redirected {
                return Err(format!("{was}, where the slot is, {}", process.absence()));
            }
            let answer = status(self.context).await;
            let answer = answer.map_err(|error| error.to_string())?;
            let first = first_living(&answer).map_err(|error| error.to_string())?;
            // What is there may be a cluster that was made anew, even since a moment ago.
            fleet = self.look().map_err(|error| error.to_string())?;
            self.place = first.index.saturating_sub(1);
            let events = &self.context.events;
            events.note(format!("{was} is gone; talking to {}", self.at()));
        }
        let connected = self.connect(&fleet).await;
        let connection = connected.map_err(|fault| format!("{} {fault}", self.at()))?;
        Ok((connection, true))
    }

    /// The nodes as they are written down now.
    fn look(&mut self) -> Result<Fleet> {
        let (cluster, manifest) = self.context.existing()?;
        self.manifest = manifest;
        Fleet::open(self.context, &cluster, &self.manifest)
    }

    /// Connects to the node that is talked to.
    async fn connect(&mut self, fleet: &Fleet) -> Result<Connection, Fault> {
        let node = fleet.nodes.get(self.place).ok_or(Fault::Foreign(None))?;
        let connection = node.converse(&fleet.access, CONNECT_LIMIT).await?;
        self.connection = Some(connection.clone());
        Ok(connection)
    }

    /// The address of the node that is talked to.
    fn at(&self) -> String {
        let entry = self.manifest.nodes.get(self.place);
        entry.map_or(format!("node {}", self.place + 1), |entry| {
            let port = entry.addr.peer_port();
            NodeAddr { port, ..entry.addr }.to_string()
        })
    }

    /// Whom a redirect means: by the address that we know, or by the one that nodes announce.
    fn place_of(&self, redirect: &Redirect) -> Option<usize> {
        let spec = &self.manifest.spec;
        let numbered = self.manifest.nodes.iter().enumerate();
        let mut meant = numbered.filter(|(number, node)| {
            let known_as = spec.known_as(*number, node.addr);
            let hosts = [node.addr.host.to_string(), known_as.host.to_string()];
            let name = spec.hostname_of(*number, node.addr.port);
            let is_host = matches!(redirect.host.as_str(), "" | "?")
                || hosts.contains(&redirect.host)
                || name.as_ref() == Some(&redirect.host);
            let ports = [node.addr.port, node.addr.peer_port(), known_as.port];
            is_host && ports.contains(&redirect.port)
        });
        meant.next().map(|(number, _)| number)
    }

    /// Keeps in mind what `words`, which were answered by `reply`, changed.
    fn note(&mut self, words: &[Vec<u8>], reply: &Resp) {
        let is = |name: &str, length: usize| is_word(words, 0, name) && words.len() == length;
        let failed = reply.error().is_some();
        if is("EXEC", 1) {
            // It ends the transaction even if it refuses it.
            if failed || *reply == Resp::Nil {
                self.abort();
            }
            self.transaction = None;
            return;
        }
        if failed {
            return;
        }
        if is("MULTI", 1) {
            self.transaction = Some(self.database);
        } else if is("DISCARD", 1) {
            self.abort();
        } else if is("RESET", 1) {
            (self.database, self.transaction) = (0, None);
        } else if is("SELECT", 2) {
            let number = words.get(1).and_then(|word| std::str::from_utf8(word).ok());
            self.database = number
                .and_then(|text| text.parse().ok())
                .unwrap_or_default();
        }
    }
}

/// What a node's process does, as far as is seen without asking it.
fn process(node: &Node) -> ProcessState {
    match &node.life {
        Life::Dead => ProcessState::Dead,
        Life::Elsewhere => ProcessState::Unknown,
        Life::Process(process) if process.is_stopped() => ProcessState::Hung,
        Life::Process(_) | Life::Child(_) => ProcessState::Running,
    }
}

/// Whether a server that closes the connection does what `words` say.
pub(super) fn is_shutdown(words: &[Vec<u8>]) -> bool {
    is_word(words, 0, "SHUTDOWN") && !is_word(words, 1, "ABORT")
}

/// Why a command cannot be answered by one answer, in a sentence; `None` if it can.
pub fn unanswerable(words: &[Vec<u8>]) -> Option<String> {
    let endless = [
        "SUBSCRIBE",
        "PSUBSCRIBE",
        "SSUBSCRIBE",
        "MONITOR",
        "SYNC",
        "PSYNC",
    ];
    let reply =
        is_word(words, 0, "CLIENT") && is_word(words, 1, "REPLY") && !is_word(words, 2, "ON");
    let name = endless.into_iter().find(|name| is_word(words, 0, name));
    let name = name.or(reply.then_some("CLIENT REPLY"))?;
    Some(format!(
        "{name} is not answered by one answer, which is all that can be shown here; it needs redis-cli or valkey-cli"
    ))
}
