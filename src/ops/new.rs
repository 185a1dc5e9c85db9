//! Making a cluster's nodes: ports, manifest, directories, processes.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use secrecy::ExposeSecret as _;

use super::access::access;
use super::clean::remove_node_dirs;
use super::commands::user_conf;
use super::context::Context;
use super::fleet::{FORMING_LIMIT, Fleet, Life, Node};
use super::launch::Launch;
use super::limits::fit_programs;
use super::programs::{Programs, agree_on_shards};
use super::security::{credentials, no_random, refuse_exposure};
use super::settle::Pace;
use super::stop::end;
use super::wait::Patience;
use super::wish::{StartWish, ports_error};
use crate::cluster::{NodeAddr, NodeId};
use crate::error::{Error, Result};
use crate::plan::{ClusterSpec, Layout, PortChoice, Secrets, Seed, SeedNode, Technique};
use crate::server::{self, ACL_FILE, Capabilities, NodeConf, Ports, PortsError, PortsWish, SOCKET};
use crate::store::{Cluster, Journal, Lock, Manifest, NodeEntry, PortLock, ServerInfo, Work};
use crate::sys;
use crate::sys::dir::Dir;
use crate::sys::process::working_below;
use crate::sys::sockets::{self, DeadPort};

/// How often `auto` tries other ports after some were stolen between test and bind.
const PORT_TRIES: usize = 5;

/// How long servers may take to end by themselves when what was made is removed: killed at once,
/// Redis 6.2 leaves a fork behind that waits for it for 5 s.
const UNMAKING: Duration = Duration::from_secs(2);

/// How long what a killed server has forked may take to end, with next to nothing to write.
const FORKS: Duration = Duration::from_secs(2);

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
    found: Option<Programs>,
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
    // A temporary cluster ends with us, whatever is left here.
    let mut said = match context.group {
        Some(_) => String::new(),
        None => "what was made is kept".to_owned(),
    };
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
    found: Option<Programs>,
    work: Work,
) -> Result<Made> {
    let spec = wish.spec()?;
    let programs = match found {
        Some(programs) => programs,
        None => fit_programs(context, wish).await?,
    };
    programs.check(&spec).await?;
    let hosts: Vec<IpAddr> = spec.binds().collect();
    server::check_hosts(&hosts).map_err(ports_error)?;
    refuse_exposure(context, &spec, wish.acl.as_ref(), wish.yes)?;
    if spec.primaries < 3 {
        context.events.note(if spec.replicas > 0 {
            "failover needs 3 primaries or more: replicas of this cluster will not take over by themselves"
        } else {
            "failover needs 3 primaries or more, with replicas"
        });
    }
    let ports_lock = context.lock_ports().await?;
    for tries_left in (0..PORT_TRIES).rev() {
        let [client, bus] = wish.ports();
        let ports = choose_ports(context, &spec, wish, programs.capabilities())?;
        let addresses: Vec<NodeAddr> = addresses(&spec, &ports).collect();
        let client_ports: Vec<u16> = addresses.iter().map(|addr| addr.port).collect();
        wish.check_selectors(&spec, &client_ports)?;
        refuse_long_socket(cluster, &spec, &client_ports)?;
        if let Some(note) = &ports.note {
            context.events.note(note.clone());
        }
        let (secrets, certificates) = credentials(context, wish, &spec, &client_ports)?;
        // Before the manifest: a cluster that has one has all that its nodes need.
        cluster.write_secrets(&secrets)?;
        cluster.write_certificates(certificates.as_ref())?;
        let mut manifest = Manifest {
            schema_version: Manifest::SCHEMA_VERSION,
            name: context.name.to_string(),
            server: ServerInfo::default(),
            nodes: addresses
                .into_iter()
                .map(|addr| NodeEntry {
                    addr,
                    id: None,
                    server: None,
                })
                .collect(),
            spec: spec.clone(),
            formed: false,
            cleaning: false,
        };
        programs.record(&mut manifest);
        programs.warn_of_mixture(context, &manifest);
        match make_nodes(context, cluster, manifest, &programs, work, &ports_lock).await {
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

/// Refuses Unix sockets whose path no client could name (`sun_path` has 108 bytes, with its end).
fn refuse_long_socket(cluster: &Cluster, spec: &ClusterSpec, ports: &[u16]) -> Result<()> {
    const LIMIT: usize = 107;
    let path = |port: &u16| cluster.node_path(*port).join(SOCKET);
    let longest = ports
        .iter()
        .map(path)
        .max_by_key(|path| path.as_os_str().len());
    match longest.filter(|path| spec.unix_socket && path.as_os_str().len() > LIMIT) {
        None => Ok(()),
        Some(path) => Err(Error::usage(
            format!(
                "the Unix socket {} would have a path of {} bytes, and {LIMIT} are possible",
                path.display(),
                path.as_os_str().len()
            ),
            "pass a shorter --home or --name, or leave --unix-socket out",
        )),
    }
}

fn choose_ports(
    context: &Context,
    spec: &ClusterSpec,
    wish: &StartWish,
    capabilities: Capabilities,
) -> Result<Ports> {
    let io = |what: &'static str| {
        move |source| Error::Io {
            what: what.into(),
            source,
        }
    };
    let [client, bus] = wish.ports();
    let both = spec.security.tls.as_ref().is_some_and(|tls| tls.plain_too);
    let mut wish = PortsWish {
        hosts: spec.binds().collect(),
        nodes: spec.node_count(),
        client,
        tls: both.then(|| wish.tls_port.unwrap_or(PortChoice::Auto)),
        bus,
        cluster_port: capabilities.cluster_port,
        ephemeral: sockets::ephemeral_ports().map_err(io("read the kernel's port range"))?,
        taken: ports_of_others(context)?,
        random: sys::random_number().map_err(io("get a random number"))?,
    };
    let mut tries_left = PORT_TRIES;
    loop {
        match server::reserve(&wish) {
            // Free a moment ago: somebody else, with a home of their own, has them, or tests them
            // just now.
            Err(PortsError::InUse(_)) if client == PortChoice::Auto && tries_left > 0 => {
                tries_left -= 1;
                wish.random = sys::random_number().map_err(io("get a random number"))?;
            }
            reserved => return reserved.map_err(ports_error),
        }
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
        ports.extend(nodes.iter().flat_map(|node| node.addr.ports()));
    }
    Ok(ports)
}

fn addresses(spec: &ClusterSpec, ports: &Ports) -> impl Iterator<Item = NodeAddr> {
    let host = spec.dial();
    let (client, bus, tls) = (ports.client, ports.bus, ports.tls);
    (0..).take(spec.node_count()).map(move |i: u16| NodeAddr {
        host,
        port: client + i,
        bus_port: bus + i,
        tls_port: tls.map(|tls| tls + i),
    })
}

/// Makes directories, configurations and processes for `manifest`. The port lock is held until
/// the servers hold the ports themselves.
pub(super) async fn make_nodes(
    context: &Context,
    cluster: &Cluster,
    mut manifest: Manifest,
    programs: &Programs,
    work: Work,
    _ports: &PortLock,
) -> Result<Made> {
    let capabilities = programs.capabilities();
    let secrets = cluster.secrets()?;
    let count = manifest.nodes.len();
    let seed = if work == Work::Seeding {
        Some(Seeded::new(&manifest)?)
    } else {
        None
    };
    if let Some(Seeded { seed, .. }) = &seed {
        for (entry, node) in manifest.nodes.iter_mut().zip(&seed.nodes) {
            entry.id = Some(node.id.clone());
        }
    }

    let timeout = manifest.spec.node_timeout_ms;
    let mut values = server::forming_values(timeout, capabilities, work == Work::Seeding);
    cluster.write_manifest(&manifest)?;
    // Written before the first directory: whatever exists from here on is known to be new.
    cluster.write_journal(&Journal::new(context.verb, work))?;
    for (number, entry) in manifest.nodes.iter().enumerate() {
        let dir = cluster.make_node(entry.addr.port)?;
        let path = cluster.node_path(entry.addr.port);
        write_conf(
            context, cluster, &manifest, &secrets, programs, number, &dir,
        )?;
        if let Some(Seeded { seed, .. }) = &seed {
            let program = programs.program(&manifest.spec, number, entry.addr.port);
            let text = seed.nodes_conf(number, program.capabilities().shard_ids);
            dir.write_new("nodes.conf", text.as_bytes())
                .map_err(Error::io("write nodes.conf in", &path))?;
        }
    }
    let mut journal = Journal::new(context.verb, work);
    if let Some(Seeded { seed, .. }) = &seed {
        let all: Vec<usize> = (0..count).collect();
        journal = journal_for(context, work, cluster, &manifest, &values, &all)?;
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
            .enumerate()
            .map(|(number, entry)| Node::new(cluster, &manifest, number, entry.addr, Life::Dead))
            .collect(),
        seven: capabilities.seven,
        shards: capabilities.seven && agree_on_shards(&manifest),
        access: access(cluster, &manifest)?,
        limit: FORMING_LIMIT,
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
        spec: &manifest.spec,
        programs,
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

/// Writes what a node's server reads at its start.
pub(super) fn write_conf(
    context: &Context,
    cluster: &Cluster,
    manifest: &Manifest,
    secrets: &Secrets,
    programs: &Programs,
    number: usize,
    dir: &Dir,
) -> Result<()> {
    let Some(entry) = manifest.nodes.get(number) else {
        return Ok(());
    };
    let port = entry.addr.port;
    let path = cluster.node_path(port);
    // The bus port is chosen for all alike, so one that cannot be told gets what it would take.
    let text = NodeConf {
        spec: &manifest.spec,
        secrets,
        capabilities: programs
            .program(&manifest.spec, number, port)
            .capabilities(),
        number,
        addr: entry.addr,
        title: &format!("rcluster:{}/{}", context.name, number + 1),
    }
    .text();
    let is_there = |name: &str| -> Result<bool> {
        let id = dir.file_id(name).map_err(Error::io("look into", &path))?;
        Ok(id.is_some())
    };
    // In a directory that was made just now nothing has to be replaced, nor outlast a power cut.
    let written = if is_there("redis.conf")? {
        dir.write("redis.conf", text.as_bytes())
    } else {
        dir.write_new("redis.conf", text.as_bytes())
    };
    written.map_err(Error::io("write redis.conf in", &path))?;
    // One that is there may have been changed by ACL SAVE.
    if let Some(acl) = &secrets.acl
        && !is_there(ACL_FILE)?
    {
        dir.write_new(ACL_FILE, acl.expose_secret().as_bytes())
            .map_err(Error::io("write the ACL file in", &path))?;
    }
    Ok(())
}

/// The journal of work that gives directives `values` of ours to the nodes `numbers`; the user's
/// values are read from their own `redis.conf`.
pub(super) fn journal_for(
    context: &Context,
    work: Work,
    cluster: &Cluster,
    manifest: &Manifest,
    values: &[(&'static str, String)],
    numbers: &[usize],
) -> Result<Journal> {
    let mut journal = Journal::new(context.verb, work);
    for &number in numbers.iter().filter(|_| !values.is_empty()) {
        let conf = user_conf(cluster, manifest, number)?;
        let user = |name: &str| match server::user_value(&conf, name) {
            None if name == "cluster-node-timeout" => {
                Some(manifest.spec.node_timeout_ms.to_string())
            }
            value => value,
        };
        let restore = values
            .iter()
            .filter_map(|(name, _)| Some(((*name).to_owned(), user(name)?)));
        if let Some(entry) = manifest.nodes.get(number) {
            journal.restore.insert(entry.addr.port, restore.collect());
        }
    }
    Ok(journal)
}

/// A seed and the port that stands for phantoms while the nodes start.
struct Seeded {
    seed: Seed,
    dead_port: Option<DeadPort>,
}

impl Seeded {
    fn new(manifest: &Manifest) -> Result<Self> {
        let id = || -> Result<NodeId> {
            let bytes = sys::random_bytes().map_err(no_random)?;
            Ok(NodeId::from_bytes(bytes))
        };
        let layout = Layout::new(manifest.spec.primaries, manifest.spec.replicas);
        let technique = Technique::for_layout(&layout);
        let nodes = manifest
            .nodes
            .iter()
            .enumerate()
            .map(|(number, entry)| {
                Ok(SeedNode {
                    id: id()?,
                    addr: manifest.spec.known_as(number, entry.addr),
                })
            })
            .collect::<Result<_>>()?;
        let (dead_port, phantoms) = match technique {
            Technique::Phantom => {
                let dead = DeadPort::hold(manifest.spec.dial()).map_err(|source| Error::Io {
                    what: "hold a port that nobody answers".into(),
                    source,
                })?;
                let nowhere = NodeAddr {
                    host: manifest.spec.dial(),
                    port: dead.port(),
                    bus_port: dead.port(),
                    tls_port: None,
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
        let shard_ids = (0..layout.shards.len())
            .map(|_| id())
            .collect::<Result<_>>()?;
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

/// Waits a while for what servers have forked that were killed: it writes a snapshot to its end,
/// into a directory that is to go.
async fn wait_for_forks(cluster: &Cluster) {
    let patience = Patience::new("forks to end", Instant::now(), FORKS);
    let any = || working_below(cluster.path()).is_ok_and(|users| !users.is_empty());
    while any() && !patience.is_over() {
        patience.nap(Duration::from_millis(2)).await;
    }
}

/// Ends the processes of a cluster that holds nothing, and removes its node directories.
pub(super) async fn remove_nodes(cluster: &Cluster) -> Result<()> {
    let Some(manifest) = cluster.manifest()? else {
        return Ok(());
    };
    let fleet = Fleet::observe(cluster, &manifest)?;
    end(fleet, UNMAKING).await?;
    wait_for_forks(cluster).await;
    remove_node_dirs(cluster, &manifest, &mut Vec::new())
}
