//! The only door to the `redis` crate: one connection to one node, one method a command.
//!
//! A connection is never silently reopened and a command never silently repeated: whether that is
//! right depends on the command, so those who use it decide. RESP2 throughout, because every
//! server speaks it.

mod access;
mod fault;
mod mismatch;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, Cmd, ConnectionAddr, IntoConnectionInfo,
    RedisConnectionInfo, TlsCertificates, Value, cmd,
};
use secrecy::ExposeSecret as _;

pub use access::{Access, BadCertificate, Identity};
pub use fault::Fault;

use crate::cluster::{
    ClusterInfo, Info, NodeAddr, NodeId, Reply, Resp, SlotRange, parse_nodes, parse_shards,
    parse_slots,
};
use crate::plan::watch::{Load, Seen};
use crate::plan::{Replication, View, Writes};

/// What a node holds, as far as it decides whether the node is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// Any key in any database.
    pub keys: bool,
    /// Any library loaded with `FUNCTION LOAD`.
    pub functions: bool,
}

impl Contents {
    /// Whether there is nothing to lose.
    pub fn is_empty(&self) -> bool {
        !self.keys && !self.functions
    }
}

/// A connection to one node. Cheap to clone; commands may be sent concurrently.
#[derive(Clone)]
pub struct Connection {
    inner: MultiplexedConnection,
    refusal: Arc<OnceLock<String>>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connection")
    }
}

impl Connection {
    /// Connects to a node, is let in, and asks `INFO server`, so that it is known to whom we speak.
    /// `limit` bounds the connect and each later answer.
    pub async fn open(
        addr: NodeAddr,
        access: &Access,
        limit: Duration,
    ) -> Result<(Self, Info), Fault> {
        Self::open_with(addr, access, limit, Some(limit)).await
    }

    /// The same; but answers may take any time, as those of commands that wait do.
    pub async fn open_patient(
        addr: NodeAddr,
        access: &Access,
        limit: Duration,
    ) -> Result<(Self, Info), Fault> {
        let opened = Self::open_with(addr, access, limit, None);
        // What is asked to be let in is answered at once.
        let opened = tokio::time::timeout(limit, opened).await;
        opened.unwrap_or(Err(Fault::Silent))
    }

    /// From now on, answers may take so long.
    pub fn answers_within(&mut self, limit: Duration) {
        self.inner.set_response_timeout(limit);
    }

    async fn open_with(
        addr: NodeAddr,
        access: &Access,
        limit: Duration,
        answers: Option<Duration>,
    ) -> Result<(Self, Info), Fault> {
        let opened = async {
            let connection = Self::try_open(addr, access, limit, answers).await?;
            let info = info(connection.one(words("INFO server")).await)?;
            Ok((connection, info))
        };
        match opened.await {
            Err(fault) => Err(mismatch::explain(addr, access.tls.is_some(), fault).await),
            opened => opened,
        }
    }

    async fn try_open(
        addr: NodeAddr,
        access: &Access,
        limit: Duration,
        answers: Option<Duration>,
    ) -> Result<Self, Fault> {
        let (host, port) = (addr.host.to_string(), addr.peer_port());
        let target = match &access.tls {
            None => ConnectionAddr::Tcp(host, port),
            Some(_) => ConnectionAddr::TcpTls {
                host,
                port,
                insecure: false,
                tls_params: None,
            },
        };
        // CLIENT SETINFO would be a round trip more, and an error in old servers' statistics.
        let settings = RedisConnectionInfo::default().set_skip_set_lib_name();
        let info = target
            .into_connection_info()?
            .set_tcp_settings(redis::io::tcp::TcpSettings::default().set_nodelay(true))
            .set_redis_settings(settings);
        let client = match &access.tls {
            None => Client::open(info)?,
            Some(identity) => {
                access::install_provider();
                let certificates = TlsCertificates {
                    client_tls: Some(ClientTlsConfig {
                        client_cert: identity.certificate.clone(),
                        client_key: identity.key.clone(),
                    }),
                    root_cert: Some(identity.ca.clone()),
                };
                Client::build_with_tls(info, certificates)?
            }
        };
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(limit))
            .set_response_timeout(answers);
        let inner = client
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        let connection = Self {
            inner,
            refusal: Arc::default(),
        };
        if let Some(password) = &access.password {
            connection
                .authenticate(access.user.as_deref(), password.expose_secret())
                .await?;
        }
        Ok(connection)
    }

    /// `AUTH`. Not left to the crate, which keeps the server's words to itself.
    async fn authenticate(&self, user: Option<&str>, password: &str) -> Result<(), Fault> {
        let mut command = cmd("AUTH");
        if let Some(user) = user {
            command.arg(user);
        }
        command.arg(password);
        match self.one(command).await {
            // Of all that begins with ERR only what says that there is no such password: a server
            // with too many clients says ERR too.
            Err(Fault::Server { code, message })
                if code == "WRONGPASS"
                    || code == "ERR" && message.contains("without any password") =>
            {
                Err(Fault::NotLetIn(format!(
                    "does not let rcluster in: {message}"
                )))
            }
            // One that does not know AUTH repeats what it was sent.
            Err(Fault::Server { code, message }) => Err(Fault::Server {
                code,
                message: without_arguments(&message).to_owned(),
            }),
            other => other.map(drop),
        }
    }

    /// Sends `commands` at once; each has its own answer. The first refusal is kept.
    async fn ask(&self, commands: Vec<Cmd>) -> Result<Vec<Result<Reply, Fault>>, Fault> {
        let answers = self.send(commands).await?;
        if let Some(Err(fault)) = answers
            .iter()
            .find(|answer| matches!(answer, Err(fault) if fault.is_refusal()))
        {
            // Only the first is kept.
            self.refusal.set(fault.to_string()).ok();
        }
        Ok(answers)
    }

    async fn send(&self, commands: Vec<Cmd>) -> Result<Vec<Result<Reply, Fault>>, Fault> {
        let wanted = commands.len();
        // An empty pipeline is an error to the crate; to us it is nothing to do.
        if wanted == 0 {
            return Ok(Vec::new());
        }
        let mut pipeline = redis::Pipeline::with_capacity(wanted);
        for command in commands {
            pipeline.add_command(command);
        }
        let mut connection = self.inner.clone();
        let answers: Vec<redis::RedisResult<Value>> = pipeline
            .ignore_errors()
            .query_async(&mut connection)
            .await?;
        if answers.len() != wanted {
            return Err(Fault::Garbled(format!(
                "{} answers to {wanted} commands",
                answers.len()
            )));
        }
        Ok(answers
            .into_iter()
            .map(|answer| answer.map_err(Fault::from).and_then(reply))
            .collect())
    }

    /// The first command that was refused for want of rights, in the server's words. Whatever
    /// waits for what that command was to do waits in vain.
    pub fn refusal(&self) -> Option<&str> {
        self.refusal.get().map(String::as_str)
    }

    async fn one(&self, command: Cmd) -> Result<Reply, Fault> {
        self.ask(vec![command])
            .await?
            .pop()
            .unwrap_or(Ok(Reply::Nil))
    }

    /// A command of the user's, whatever it is. An error of the server's is an answer.
    pub async fn command(&self, words: &[Vec<u8>]) -> Result<Resp, Fault> {
        let mut command = Cmd::new();
        for word in words {
            command.arg(word.as_slice());
        }
        let mut connection = self.inner.clone();
        let answer = connection.send_packed_command(&command).await;
        answer.map(resp).or_else(|error| match Fault::from(error) {
            Fault::Server { message, .. } => Ok(Resp::Error(message)),
            fault => Err(fault),
        })
    }

    /// `PING`.
    pub async fn ping(&self) -> Result<(), Fault> {
        self.one(words("PING")).await.map(drop)
    }

    /// `CLUSTER INFO`.
    pub async fn cluster_info(&self) -> Result<ClusterInfo, Fault> {
        Ok(ClusterInfo::try_from(&info(
            self.one(words("CLUSTER INFO")).await,
        )?)?)
    }

    /// Everything that *ready* depends on, asked at one time. `shards`: whether
    /// `CLUSTER SHARDS` is known and counts.
    pub async fn view(&self, shards: bool) -> Result<View, Fault> {
        let mut commands = vec![
            words("CLUSTER INFO"),
            words("CLUSTER NODES"),
            words("INFO replication"),
            words("CLUSTER SLOTS"),
        ];
        if shards {
            commands.push(words("CLUSTER SHARDS"));
        }
        let mut answers = self.ask(commands).await?.into_iter();
        let mut next = || answers.next().unwrap_or(Ok(Reply::Nil));
        Ok(View {
            info: ClusterInfo::try_from(&info(next())?)?,
            nodes: parse_nodes(&text(next()?)?)?,
            replication: replication(&info(next())?),
            slots: parse_slots(&next()?)?,
            shards: if shards {
                Some(parse_shards(&next()?)?)
            } else {
                None
            },
        })
    }

    /// The same, in `limit`, however long answers on this connection may take otherwise.
    pub async fn view_within(&self, shards: bool, limit: Duration) -> Result<View, Fault> {
        let view = tokio::time::timeout(limit, self.view(shards)).await;
        view.unwrap_or(Err(Fault::Silent))
    }

    /// What is watched of a node, asked at one time, by as few commands as it takes.
    pub async fn look(&self) -> Result<Seen, Fault> {
        let commands = ["CLUSTER INFO", "CLUSTER NODES", "INFO"].map(words);
        let mut answers = self.ask(commands.into()).await?.into_iter();
        let mut next = || answers.next().unwrap_or(Ok(Reply::Nil));
        let cluster = ClusterInfo::try_from(&info(next())?)?;
        let nodes = parse_nodes(&text(next()?)?)?;
        let info = info(next())?;
        Ok(Seen {
            info: cluster,
            nodes,
            replication: replication(&info),
            load: load(&info),
        })
    }

    /// The node's own replication.
    pub async fn replication(&self) -> Result<Replication, Fault> {
        Ok(replication(&info(
            self.one(words("INFO replication")).await,
        )?))
    }

    /// What the node holds. `seven`: whether the server knows functions.
    pub async fn contents(&self, seven: bool) -> Result<Contents, Fault> {
        let mut commands = vec![words("INFO keyspace")];
        if seven {
            commands.push(words("FUNCTION LIST"));
        }
        let mut answers = self.ask(commands).await?.into_iter();
        let keys = info(answers.next().unwrap_or(Ok(Reply::Nil)))?.has_keys();
        let functions = match answers.next() {
            Some(answer) => !matches!(answer?, Reply::List(libraries) if libraries.is_empty()),
            None => false,
        };
        Ok(Contents { keys, functions })
    }

    /// `CLUSTER ADDSLOTSRANGE`, or `ADDSLOTS` with each slot before 7.0.
    pub async fn add_slots(&self, slots: SlotRange, seven: bool) -> Result<(), Fault> {
        let mut command = words(if seven {
            "CLUSTER ADDSLOTSRANGE"
        } else {
            "CLUSTER ADDSLOTS"
        });
        if seven {
            command.arg(slots.first()).arg(slots.last());
        } else {
            command.arg((slots.first()..=slots.last()).collect::<Vec<_>>());
        }
        self.one(command).await.map(drop)
    }

    /// `CLUSTER SET-CONFIG-EPOCH`.
    pub async fn set_config_epoch(&self, epoch: u64) -> Result<(), Fault> {
        let mut command = words("CLUSTER SET-CONFIG-EPOCH");
        command.arg(epoch);
        self.one(command).await.map(drop)
    }

    /// `CLUSTER MEET` with each of `peers`, sent at once. To a node that is known already it
    /// pushes what we say of ourselves: the peer reads the whole header of the MEET packet.
    pub async fn meet(&self, peers: &[NodeAddr]) -> Result<(), Fault> {
        let meet = |peer: &NodeAddr| {
            let mut command = words("CLUSTER MEET");
            command
                .arg(peer.host.to_string())
                .arg(peer.peer_port())
                .arg(peer.bus_port);
            command
        };
        self.all_ok(peers.iter().map(meet).collect()).await
    }

    /// `CLUSTER REPLICATE`.
    pub async fn replicate(&self, primary: &NodeId) -> Result<(), Fault> {
        let mut command = words("CLUSTER REPLICATE");
        command.arg(primary.as_str());
        self.one(command).await.map(drop)
    }

    /// `CLUSTER FAILOVER TAKEOVER`: becomes the primary without asking anybody. Only ever of nodes
    /// proven empty.
    pub async fn take_over(&self) -> Result<(), Fault> {
        self.one(words("CLUSTER FAILOVER TAKEOVER")).await.map(drop)
    }

    /// `CLUSTER FAILOVER`, sent to a replica: its primary stops taking writes, it catches up, and an
    /// election makes it the primary. Nothing that was acknowledged is lost.
    pub async fn fail_over(&self) -> Result<(), Fault> {
        self.one(words("CLUSTER FAILOVER")).await.map(drop)
    }

    /// What the node writes to disk as it runs now, whatever its `redis.conf` says.
    pub async fn persistence(&self) -> Result<Writes, Fault> {
        let value = async |name: &str| self.config_get(name).await.map(Option::unwrap_or_default);
        Ok(Writes {
            appendonly: value("appendonly").await?,
            save: value("save").await?,
            at_sigterm: value("shutdown-on-sigterm").await?,
        })
    }

    /// The value of a directive now, by `CONFIG GET`; `None` if the server does not know it.
    pub async fn config_get(&self, name: &str) -> Result<Option<String>, Fault> {
        let mut command = words("CONFIG GET");
        command.arg(name);
        Ok(match self.one(command).await? {
            Reply::List(pair) => match pair.as_slice() {
                [_, Reply::Text(value)] => Some(value.clone()),
                _ => None,
            },
            _ => None,
        })
    }

    /// `CLUSTER FORGET` of each of `ids`; that one is not known is no error.
    pub async fn forget(&self, ids: &[NodeId]) -> Result<(), Fault> {
        let forget = |id: &NodeId| {
            let mut command = words("CLUSTER FORGET");
            command.arg(id.as_str());
            command
        };
        for answer in self.ask(ids.iter().map(forget).collect()).await? {
            match answer {
                Err(Fault::Server { message, .. }) if message.contains("Unknown node") => {}
                other => drop(other?),
            }
        }
        Ok(())
    }

    /// `CONFIG SET`, one directive a command: more at once is known from 7.0 on only.
    pub async fn config_set<'a>(
        &self,
        values: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<(), Fault> {
        let set = |(name, value): (&str, &str)| {
            let mut command = words("CONFIG SET");
            command.arg(name).arg(value);
            command
        };
        self.all_ok(values.into_iter().map(set).collect()).await
    }

    /// `CLIENT PAUSE … WRITE`: commands that write wait, for `hold` at most.
    pub async fn pause_writes(&self, hold: Duration) -> Result<(), Fault> {
        let mut command = words("CLIENT PAUSE");
        command
            .arg(u64::try_from(hold.as_millis()).unwrap_or(u64::MAX))
            .arg("WRITE");
        self.one(command).await.map(drop)
    }

    /// `CLIENT UNPAUSE`.
    pub async fn resume_writes(&self) -> Result<(), Fault> {
        self.one(words("CLIENT UNPAUSE")).await.map(drop)
    }

    /// `WAIT` for more replicas than there are: the primary asks those it has to acknowledge, and
    /// that request is itself a part of the replication stream, so that their offsets rise above 0.
    pub async fn request_acks(&self) -> Result<(), Fault> {
        self.one(words("WAIT 1000 1")).await.map(drop)
    }

    /// `CLIENT KILL TYPE master`: a replica's link to its primary, which it makes anew at once. A
    /// help that may be refused: nobody waits for it in vain, so a refusal is not kept.
    pub async fn drop_link_to_primary(&self) -> Result<(), Fault> {
        let answers = self.send(vec![words("CLIENT KILL TYPE master")]).await?;
        answers.into_iter().try_for_each(|answer| answer.map(drop))
    }

    /// Publishes nothing to nobody: the message crosses the bus, and its header tells every node
    /// our replication offset.
    pub async fn publish_header(&self, channel: &str) -> Result<(), Fault> {
        let mut command = cmd("PUBLISH");
        command.arg(channel).arg("");
        self.one(command).await.map(drop)
    }

    /// Writes a key that nobody uses, and deletes it again.
    pub async fn try_write(&self, key: &str) -> Result<(), Fault> {
        let mut set = cmd("SET");
        set.arg(key).arg(1).arg("NX").arg("PX").arg(10_000);
        let mut delete = cmd("DEL");
        delete.arg(key);
        let mut answers = self.ask(vec![set, delete]).await?.into_iter();
        match answers.next().unwrap_or(Ok(Reply::Nil))? {
            Reply::Nil => Err(Fault::Garbled(format!("key {key} was there already"))),
            _ => answers.next().unwrap_or(Ok(Reply::Nil)).map(drop),
        }
    }

    async fn all_ok(&self, commands: Vec<Cmd>) -> Result<(), Fault> {
        self.ask(commands)
            .await?
            .into_iter()
            .try_for_each(|answer| answer.map(drop))
    }
}

/// A command of fixed words.
fn words(text: &str) -> Cmd {
    let mut words = text.split(' ');
    let mut command = cmd(words.next().unwrap_or_default());
    for word in words {
        command.arg(word);
    }
    command
}

fn text(reply: Reply) -> Result<String, Fault> {
    match reply {
        Reply::Text(text) => Ok(text),
        other => Err(Fault::Garbled(crate::cluster::printable(
            &format!("{other:?}"),
            60,
        ))),
    }
}

fn info(answer: Result<Reply, Fault>) -> Result<Info, Fault> {
    Ok(Info::new(text(answer?)?))
}

fn replication(info: &Info) -> Replication {
    let replica = matches!(info.get("role"), Some("slave" | "replica"));
    // Redis says master and slave, Valkey begins to say primary and replica.
    let number = |names: [&str; 2]| names.into_iter().find_map(|name| info.number(name));
    let link = info
        .get("master_link_status")
        .or_else(|| info.get("primary_link_status"));
    let offset = if replica {
        ["slave_repl_offset", "replica_repl_offset"]
    } else {
        ["master_repl_offset", "primary_repl_offset"]
    };
    Replication {
        replica,
        link_up: replica && link == Some("up"),
        syncing: number(["master_sync_in_progress", "primary_sync_in_progress"])
            .is_some_and(|number| number != 0),
        offset: number(offset).unwrap_or_default(),
    }
}

fn resp(value: Value) -> Resp {
    let all = |values: Vec<Value>| values.into_iter().map(resp).collect();
    match value {
        Value::Nil => Resp::Nil,
        Value::Int(number) => Resp::Int(number),
        Value::Double(number) => Resp::Double(number),
        Value::Boolean(is) => Resp::Bool(is),
        Value::BigNumber(digits) => Resp::Big(String::from_utf8_lossy(&digits).into_owned()),
        Value::Okay => Resp::Status("OK".into()),
        Value::SimpleString(text) => Resp::Status(text),
        Value::BulkString(bytes) => Resp::Bulk(bytes),
        Value::VerbatimString { text, .. } => Resp::Verbatim(text),
        Value::ServerError(error) => Resp::Error(match error.details() {
            Some(details) => format!("{} {details}", error.code()),
            None => error.code().to_owned(),
        }),
        Value::Array(values) => Resp::Array(all(values)),
        Value::Set(values) => Resp::Set(all(values)),
        Value::Push { data, .. } => Resp::Push(all(data)),
        Value::Attribute { data, .. } => resp(*data),
        Value::Map(pairs) => {
            let pairs = pairs.into_iter();
            Resp::Map(pairs.map(|(key, value)| (resp(key), resp(value))).collect())
        }
        // The crate may come to know more kinds than there are today.
        other => Resp::Verbatim(format!("{other:?}")),
    }
}

/// A server's error without the arguments of a command that it does not know (`commandUnknown` in
/// server.c, `processCommand` before 7.0).
fn without_arguments(message: &str) -> &str {
    message
        .split_once(", with args beginning with")
        .map_or(message, |(what, _)| what)
}

fn load(info: &Info) -> Load {
    let number = |name| info.number(name).unwrap_or_default();
    Load {
        commands: number("total_commands_processed"),
        ops: number("instantaneous_ops_per_sec"),
        memory: number("used_memory"),
        max_memory: number("maxmemory"),
        clients: number("connected_clients"),
        keys: info.keys(),
        uptime: number("uptime_in_seconds"),
    }
}

fn reply(value: Value) -> Result<Reply, Fault> {
    Ok(match value {
        Value::Nil => Reply::Nil,
        Value::Int(number) => Reply::Int(number),
        Value::BulkString(bytes) => Reply::Text(String::from_utf8_lossy(&bytes).into_owned()),
        Value::SimpleString(text) => Reply::Text(text),
        Value::Okay => Reply::Text("OK".to_owned()),
        Value::Array(items) => Reply::List(items.into_iter().map(reply).collect::<Result<_, _>>()?),
        Value::ServerError(error) => return Err(redis::RedisError::from(error).into()),
        other => {
            return Err(Fault::Garbled(crate::cluster::printable(
                &format!("{other:?}"),
                60,
            )));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::net::{IpAddr, Ipv4Addr};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn a_server_that_does_not_know_auth_does_not_tell_the_password() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("the network");
        let port = listener.local_addr().expect("bound").port();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("the network");
            let mut asked = Vec::new();
            while !asked.ends_with(b"hunter2\r\n") {
                let read = stream.read_buf(&mut asked).await;
                assert_ne!(read.expect("the network"), 0, "{asked:?}");
            }
            let said = b"-ERR unknown command 'AUTH', with args beginning with: 'hunter2' \r\n";
            stream.write_all(said).await.expect("the network");
        });
        let access = Access {
            password: Some("hunter2".to_owned().into()),
            ..Access::default()
        };
        let host = IpAddr::from(Ipv4Addr::LOCALHOST);
        let addr = NodeAddr {
            host,
            port,
            bus_port: 0,
            tls_port: None,
        };
        let fault = Connection::open(addr, &access, Duration::from_secs(20)).await;
        let message = fault.err().map(|fault| fault.to_string());
        assert_eq!(message.as_deref(), Some("ERR unknown command 'AUTH'"));
    }
}
