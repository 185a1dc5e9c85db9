//! Making a cluster's nodes: ports, manifest, directories, processes.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::context::Context;
use super::fleet::{Fleet, Life, Node};
use super::launch::Launch;
use super::limits::fit_server;
use super::settle::Pace;
use super::stop::end;
use crate::cluster::{NodeAddr, NodeId};
use crate::error::{Error, Result};
use crate::plan::{ClusterSpec, Directive, Layout, PortChoice, Seed, SeedNode, Technique};
use crate::server::{self, Binary, Ports, PortsError, PortsWish};
use crate::store::{
    Cluster, DataNames, Journal, Lock, Manifest, NodeEntry, PortLock, ServerInfo, Work,
};
use crate::sys;
use crate::sys::sockets::{self, DeadPort};

/// The port that node 1 gets if nobody says otherwise: create-cluster's.
const DEFAULT_PORT: u16 = 30001;

/// How often `auto` tries other ports after some were stolen between test and bind.
const PORT_TRIES: usize = 5;

/// What options say about the shape; `None` where they say nothing.
#[derive(Clone, Debug, Default)]
pub struct StartWish {
    /// `--primaries`.
    pub primaries: Option<usize>,
    /// `--replicas`.
    pub replicas: Option<usize>,
    /// `--port`.
    pub port: Option<PortChoice>,
    /// `--bus-port`.
    pub bus_port: Option<PortChoice>,
    /// `--bind`.
    pub bind: Option<IpAddr>,
    /// `--server`: a path, or a name on `PATH`.
    pub server: Option<String>,
    /// `--node-timeout`.
    pub node_timeout: Option<Duration>,
    /// `--conf` and `--set`.
    pub directives: Option<Vec<Directive>>,
    /// `--ephemeral`.
    pub ephemeral: bool,
    /// `--yes`: older servers, and those of the other kind, may be given the data.
    pub yes: bool,
    /// `--retain`: what a failed first start made is kept.
    pub retain: bool,
}

impl StartWish {
    /// The shape of a new cluster.
    pub(super) fn spec(&self) -> Result<ClusterSpec> {
        let default = ClusterSpec::default();
        let timeout = self
            .node_timeout
            .map(|timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX));
        let spec = ClusterSpec {
            primaries: self.primaries.unwrap_or(default.primaries),
            replicas: self.replicas.unwrap_or(default.replicas),
            bind: self.bind.unwrap_or(default.bind),
            node_timeout_ms: timeout.unwrap_or(default.node_timeout_ms),
            directives: self.directives.clone().unwrap_or_default(),
            ephemeral: self.ephemeral,
        };
        spec.check()?;
        Ok(spec)
    }

    /// Refuses what no machine can do, before anything is touched.
    pub(super) fn check(&self) -> Result<()> {
        let spec = self.spec()?;
        let [client, bus] = self.ports();
        server::check_ports(client, bus, spec.node_count()).map_err(ports_error)
    }

    /// The ports that were asked for: of clients, and of the bus.
    pub(super) fn ports(&self) -> [PortChoice; 2] {
        let client = self.port.unwrap_or(PortChoice::Base(DEFAULT_PORT));
        [client, self.bus_port.unwrap_or(PortChoice::Auto)]
    }

    /// Where the options that were given differ from a cluster that exists.
    pub(super) fn differences(&self, manifest: &Manifest) -> Vec<String> {
        let mut found = Vec::new();
        let mut compare = |what: &str, wish: Option<String>, is: String| {
            if let Some(wish) = wish.filter(|wish| *wish != is) {
                found.push(format!("{what} {is}, not {wish}"));
            }
        };
        let base = |choice: Option<PortChoice>| match choice {
            Some(PortChoice::Base(port)) => Some(port.to_string()),
            Some(PortChoice::Auto) | None => None,
        };
        let spec = &manifest.spec;
        let first = manifest.nodes.first().map(|node| node.addr);
        let number = |port: Option<u16>| port.map(|port| port.to_string()).unwrap_or_default();
        let millis = |ms: u64| humantime::format_duration(Duration::from_millis(ms)).to_string();
        compare(
            "--primaries",
            self.primaries.map(|n| n.to_string()),
            spec.primaries.to_string(),
        );
        compare(
            "--replicas",
            self.replicas.map(|n| n.to_string()),
            spec.replicas.to_string(),
        );
        compare(
            "--port",
            base(self.port),
            number(first.map(|addr| addr.port)),
        );
        compare(
            "--bus-port",
            base(self.bus_port),
            number(first.map(|addr| addr.bus_port)),
        );
        compare(
            "--bind",
            self.bind.map(|bind| bind.to_string()),
            spec.bind.to_string(),
        );
        let timeout = self
            .node_timeout
            .map(|timeout| humantime::format_duration(timeout).to_string());
        compare("--node-timeout", timeout, millis(spec.node_timeout_ms));
        if self.ephemeral && !spec.ephemeral {
            found.push("the cluster is not --ephemeral".into());
        }
        if self
            .directives
            .as_ref()
            .is_some_and(|wish| *wish != spec.directives)
        {
            let is: Vec<String> = spec.directives.iter().map(ToString::to_string).collect();
            let is = if is.is_empty() {
                "nothing".to_owned()
            } else {
                is.join(", ")
            };
            found.push(format!("--set and --conf gave {is}"));
        }
        found
    }
}

/// A cluster whose processes were made just now.
pub(super) struct Made {
    pub(super) manifest: Manifest,
    pub(super) fleet: Fleet,
    /// There for a seeded start.
    pub(super) seed: Option<Seed>,
    /// The port that phantoms are said to listen on; held until they are forgotten.
    pub(super) dead_port: Option<DeadPort>,
    /// What forming has to put back.
    pub(super) journal: Journal,
    /// How the nodes may be formed.
    pub(super) pace: Pace,
}

/// Makes all nodes of a new cluster, waits until they answer and does `finish` with them. On
/// failure, unless it was a deadline that passed, nothing that was made is left (`--retain` keeps it).
/// `found` is the server for which there is room, if it was looked for already.
pub(super) async fn make<T>(
    context: &Context,
    cluster: &Cluster,
    lock: &Lock,
    wish: &StartWish,
    found: Option<Binary>,
    work: Work,
    finish: impl AsyncFnOnce(Made) -> Result<T>,
) -> Result<T> {
    let made = try_make(context, cluster, wish, found, work).await;
    let result = match made {
        Ok(made) => finish(made).await,
        Err(error) => Err(error),
    };
    let Err(error) = result else { return result };
    // A refusal to write comes from a cluster that is whole: it is left to be looked at.
    if matches!(error, Error::TimedOut { .. } | Error::Nodes { .. }) {
        return Err(error);
    }
    let mut said = "what was made is kept".to_owned();
    if !wish.retain {
        said = match unmake(context, cluster, lock).await {
            Ok(left) if left.is_empty() => {
                "the others were stopped, and what was made was removed".into()
            }
            Ok(left) => format!("the others were stopped; {} files were left", left.len()),
            // The first failure is the one to know of.
            Err(second) => format!("what was made is left, because: {second}"),
        };
    }
    match error {
        Error::NodesDied { nodes, .. } => Err(Error::NodesDied { nodes, left: said }),
        other => Err(other),
    }
}

async fn try_make(
    context: &Context,
    cluster: &Cluster,
    wish: &StartWish,
    found: Option<Binary>,
    work: Work,
) -> Result<Made> {
    let spec = wish.spec()?;
    let binary = match found {
        Some(binary) => binary,
        None => fit_server(context, wish).await?,
    };
    if spec.primaries < 3 && spec.replicas > 0 {
        context.events.note("failover needs 3 primaries or more: replicas of this cluster will not take over by themselves");
    }
    let ports_lock = context.lock_ports().await?;
    for tries_left in (0..PORT_TRIES).rev() {
        let [client, bus] = wish.ports();
        let ports = choose_ports(context, &spec, client, bus, &binary)?;
        if let Some(note) = &ports.note {
            context.events.note(note.clone());
        }
        let manifest = Manifest {
            schema_version: Manifest::SCHEMA_VERSION,
            name: context.name.to_string(),
            server: server_info(&binary),
            nodes: addresses(&spec, &ports)
                .map(|addr| NodeEntry { addr, id: None })
                .collect(),
            spec: spec.clone(),
            formed: false,
            cleaning: false,
        };
        match make_nodes(context, cluster, manifest, &binary, work, &ports_lock).await {
            Err(Error::NodesDied { nodes, .. })
                if tries_left > 0
                    && (client == PortChoice::Auto || bus == PortChoice::Auto)
                    && nodes
                        .iter()
                        .any(|node| node.message.contains("Failed listening")) =>
            {
                context
                    .events
                    .note("a port was taken just now; trying others");
                remove_nodes(cluster).await?;
            }
            other => return other,
        }
    }
    Err(Error::Unfit {
        message: "ports were stolen again and again".into(),
        hint: "name some with --port BASE".into(),
    })
}

fn choose_ports(
    context: &Context,
    spec: &ClusterSpec,
    client: PortChoice,
    bus: PortChoice,
    binary: &Binary,
) -> Result<Ports> {
    let io = |what: &'static str| {
        move |source| Error::Io {
            what: what.into(),
            source,
        }
    };
    let wish = PortsWish {
        host: spec.bind,
        nodes: spec.node_count(),
        client,
        bus,
        cluster_port: binary.capabilities().cluster_port,
        ephemeral: sockets::ephemeral_ports().map_err(io("read the kernel's port range"))?,
        taken: ports_of_others(context)?,
        random: sys::random_number().map_err(io("get a random number"))?,
    };
    server::reserve(&wish).map_err(ports_error)
}

fn ports_error(error: PortsError) -> Error {
    match error {
        PortsError::Impossible(message, hint) => Error::usage(message, hint),
        PortsError::InUse(conflicts) => Error::PortsInUse { conflicts },
    }
}

/// The ports of all clusters of the home but this one.
fn ports_of_others(context: &Context) -> Result<BTreeSet<u16>> {
    let mut ports = BTreeSet::new();
    for name in context
        .home
        .names()?
        .into_iter()
        .filter(|name| *name != context.name)
    {
        // One that cannot be read is not ours to judge now; its ports are tested like all others.
        let manifest = context
            .home
            .cluster(&name)
            .and_then(|cluster| match cluster {
                Some(cluster) => cluster.manifest(),
                None => Ok(None),
            });
        let nodes = manifest
            .ok()
            .flatten()
            .map(|manifest| manifest.nodes)
            .unwrap_or_default();
        ports.extend(
            nodes
                .iter()
                .flat_map(|node| [node.addr.port, node.addr.bus_port]),
        );
    }
    Ok(ports)
}

pub(super) fn server_info(binary: &Binary) -> ServerInfo {
    ServerInfo {
        kind: binary.kind.to_string(),
        version: binary.version.to_string(),
        path: binary.path.clone(),
    }
}

fn addresses(spec: &ClusterSpec, ports: &Ports) -> impl Iterator<Item = NodeAddr> {
    let (host, client, bus) = (spec.bind, ports.client, ports.bus);
    (0..).take(spec.node_count()).map(move |i: u16| NodeAddr {
        host,
        port: client + i,
        bus_port: bus + i,
    })
}

/// Makes directories, configurations and processes for `manifest`. The port lock is held until
/// the servers hold the ports themselves.
pub(super) async fn make_nodes(
    context: &Context,
    cluster: &Cluster,
    mut manifest: Manifest,
    binary: &Binary,
    work: Work,
    _ports: &PortLock,
) -> Result<Made> {
    let capabilities = binary.capabilities();
    let count = manifest.nodes.len();
    let seed = if work == Work::Seeding {
        Some(Seeded::new(&manifest, capabilities.shard_ids)?)
    } else {
        None
    };
    if let Some(Seeded { seed, .. }) = &seed {
        for (entry, node) in manifest.nodes.iter_mut().zip(&seed.nodes) {
            entry.id = Some(node.id.clone());
        }
    }

    let mut values = server::forming_values(
        count,
        manifest.spec.node_timeout_ms,
        capabilities,
        work == Work::Seeding,
    );
    let mut conf_text = String::new();
    cluster.write_manifest(&manifest)?;
    // Written before the first directory: whatever exists from here on is known to be new.
    cluster.write_journal(&Journal::new(context.verb, work))?;
    for (number, entry) in manifest.nodes.iter().enumerate() {
        let dir = cluster.make_node(entry.addr.port)?;
        let title = format!("rcluster:{}/{}", context.name, number + 1);
        conf_text = server::redis_conf(&manifest.spec, entry.addr, capabilities, &title);
        let path = cluster.node_path(entry.addr.port);
        dir.write_new("redis.conf", conf_text.as_bytes())
            .map_err(Error::io("write redis.conf in", &path))?;
        if let Some(Seeded { seed, .. }) = &seed {
            dir.write_new("nodes.conf", seed.nodes_conf(number).as_bytes())
                .map_err(Error::io("write nodes.conf in", &path))?;
        }
    }
    let mut journal = Journal::new(context.verb, work);
    if let Some(Seeded { seed, .. }) = &seed {
        let ports = manifest.nodes.iter().map(|entry| entry.addr.port);
        journal = journal_for(context, work, &manifest, &values, &conf_text, ports);
        journal.phantoms = seed
            .phantoms
            .iter()
            .map(|phantom| phantom.id.clone())
            .collect();
        cluster.write_journal(&journal)?;
    } else {
        // A first start shows the nodes as the user asked for them, at once.
        values.clear();
    }

    let mut fleet = Fleet {
        nodes: manifest
            .nodes
            .iter()
            .map(|entry| Node::new(cluster, entry.addr, Life::Dead))
            .collect(),
        seven: capabilities.seven,
        limit: Duration::from_secs(5),
    }
    .within(context);
    let pace = Pace::fresh(&values, capabilities);
    if !fleet.is_small() {
        // Each tick of a node tries all who do not listen yet; many nodes must not tick often.
        values.retain(|(name, _)| *name != "hz");
    }
    let launch = Launch {
        context,
        cluster,
        binary,
        values: &values,
    };
    launch.announce(&fleet, &(0..count).collect::<Vec<_>>());
    match &seed {
        Some(Seeded { seed, .. }) => {
            for wave in seed.waves() {
                launch.run(&mut fleet, &wave).await?;
            }
        }
        None => {
            launch
                .run(&mut fleet, &(0..count).collect::<Vec<_>>())
                .await?;
        }
    }
    let (seed, dead_port) = seed
        .map(|Seeded { seed, dead_port }| (seed, dead_port))
        .unzip();
    Ok(Made {
        manifest,
        fleet,
        seed,
        dead_port: dead_port.flatten(),
        journal,
        pace,
    })
}

/// The journal of work that gives directives `values` of ours to the nodes on `ports`; the user's
/// values are read from `conf`, the text of a `redis.conf`.
pub(super) fn journal_for(
    context: &Context,
    work: Work,
    manifest: &Manifest,
    values: &[(&'static str, String)],
    conf: &str,
    ports: impl IntoIterator<Item = u16>,
) -> Journal {
    let user = |name: &str| match server::user_value(conf, name) {
        None if name == "cluster-node-timeout" => Some(manifest.spec.node_timeout_ms.to_string()),
        value => value,
    };
    let restore = values
        .iter()
        .filter_map(|(name, _)| Some(((*name).to_owned(), user(name)?)));
    Journal {
        restore: restore.collect(),
        nodes: ports.into_iter().collect(),
        ..Journal::new(context.verb, work)
    }
}

/// A seed and the port that stands for phantoms while the nodes start.
struct Seeded {
    seed: Seed,
    dead_port: Option<DeadPort>,
}

impl Seeded {
    fn new(manifest: &Manifest, shard_ids: bool) -> Result<Self> {
        let id = || -> Result<NodeId> {
            let bytes = sys::random_bytes().map_err(|source| Error::Io {
                what: "get random numbers".into(),
                source,
            })?;
            Ok(NodeId::from_bytes(bytes))
        };
        let layout = Layout::new(manifest.spec.primaries, manifest.spec.replicas);
        let technique = Technique::for_layout(&layout);
        let nodes = manifest
            .nodes
            .iter()
            .map(|entry| {
                Ok(SeedNode {
                    id: id()?,
                    addr: entry.addr,
                })
            })
            .collect::<Result<_>>()?;
        let (dead_port, phantoms) = match technique {
            Technique::Phantom => {
                let dead = DeadPort::hold(manifest.spec.bind).map_err(|source| Error::Io {
                    what: "hold a port that nobody answers".into(),
                    source,
                })?;
                let nowhere = NodeAddr {
                    host: manifest.spec.bind,
                    port: dead.port(),
                    bus_port: dead.port(),
                };
                let phantom = |_| {
                    Ok(SeedNode {
                        id: id()?,
                        addr: nowhere,
                    })
                };
                (
                    Some(dead),
                    (0..layout.shards.len())
                        .map(phantom)
                        .collect::<Result<_>>()?,
                )
            }
            Technique::Swapped | Technique::Straight => (None, Vec::new()),
        };
        let shard_ids = if shard_ids {
            Some(
                (0..layout.shards.len())
                    .map(|_| id())
                    .collect::<Result<_>>()?,
            )
        } else {
            None
        };
        Ok(Self {
            seed: Seed {
                layout,
                nodes,
                technique,
                shard_ids,
                phantoms,
            },
            dead_port,
        })
    }
}

/// Ends what a failed first start spawned and removes all it made; returns what is not ours.
async fn unmake(context: &Context, cluster: &Cluster, lock: &Lock) -> Result<Vec<PathBuf>> {
    remove_nodes(cluster).await?;
    let mut left = Vec::new();
    cluster.remove_files(&mut left)?;
    lock.remove_cluster(&context.home, cluster)?;
    PortLock::tidy(&context.home)?;
    Ok(left)
}

/// Ends the processes of a cluster that holds nothing, and removes its node directories.
pub(super) async fn remove_nodes(cluster: &Cluster) -> Result<()> {
    let Some(manifest) = cluster.manifest()? else {
        return Ok(());
    };
    let fleet = Fleet::observe(cluster, &manifest, true)?;
    end(fleet, Duration::ZERO).await?;
    let names = DataNames::of(&manifest.spec.directives);
    let mut left = Vec::new();
    for entry in &manifest.nodes {
        cluster.remove_node(entry.addr.port, &names, &mut left)?;
    }
    Ok(())
}
