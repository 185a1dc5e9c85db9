//! Which server program each node runs.

use std::collections::BTreeSet;

use super::context::Context;
use super::wish::StartWish;
use crate::error::{Error, Result};
use crate::plan::{ClusterSpec, Layout, Selector};
use crate::server::{Binary, Capabilities, Kind, Probed, Version};
use crate::store::{Manifest, ServerInfo};

/// The programs of a cluster's nodes: one for all, and others for some.
#[derive(Clone, Debug)]
pub(super) struct Programs {
    /// What nodes run that nothing else is said of.
    pub(super) common: Binary,
    /// Others; the last that selects a node counts.
    special: Vec<(Selector, Binary)>,
}

impl Programs {
    /// Finds the programs that options name.
    pub(super) async fn find(context: &Context, wish: &StartWish) -> Result<Self> {
        let mut programs = Self::of(context.find_server(wish.server.as_deref()).await?);
        programs.add(context, wish).await?;
        Ok(programs)
    }

    /// One program for all nodes.
    pub(super) fn of(common: Binary) -> Self {
        Self {
            common,
            special: Vec::new(),
        }
    }

    /// Finds the programs that options name for some nodes.
    pub(super) async fn add(&mut self, context: &Context, wish: &StartWish) -> Result<()> {
        for (nodes, server) in &wish.servers {
            let binary = context.find_server(Some(server)).await?;
            self.special.push((*nodes, binary));
        }
        Ok(())
    }

    /// Gives node `number` a program of its own.
    pub(super) fn set(&mut self, number: usize, binary: Binary) {
        self.special.push((Selector::Index(number + 1), binary));
    }

    /// The programs of a manifest, as they were probed when they were last started.
    pub(super) fn recorded(manifest: &Manifest) -> Option<Self> {
        let mut programs = Self::of(binary_of(&manifest.server)?);
        for (number, entry) in manifest.nodes.iter().enumerate() {
            if let Some(server) = &entry.server {
                programs.set(number, binary_of(server)?);
            }
        }
        Some(programs)
    }

    /// The program that options name for node `number` on `port`, if they name one for it alone.
    fn special(&self, spec: &ClusterSpec, number: usize, port: u16) -> Option<&Binary> {
        let layout = Layout::new(spec.primaries, spec.replicas);
        let selects = |(nodes, _): &&(Selector, Binary)| nodes.selects(&layout, number, port);
        self.special.iter().rfind(selects).map(|(_, binary)| binary)
    }

    /// The program of node `number` on `port`.
    pub(super) fn program(&self, spec: &ClusterSpec, number: usize, port: u16) -> &Binary {
        self.special(spec, number, port).unwrap_or(&self.common)
    }

    /// What all of them can do.
    pub(super) fn capabilities(&self) -> Capabilities {
        let special = self.special.iter().map(|(_, binary)| binary.capabilities());
        special.fold(self.common.capabilities(), Capabilities::and)
    }

    /// How many threads a server of theirs has at most.
    pub(super) fn tasks(&self) -> u64 {
        let special = self.special.iter().map(|(_, binary)| binary.tasks());
        special.fold(self.common.tasks(), u64::max)
    }

    /// Refuses options that one of the programs cannot meet, before anything is touched.
    pub(super) async fn check(&self, spec: &ClusterSpec) -> Result<()> {
        let mut all: Vec<&Binary> = vec![&self.common];
        for (_, binary) in &self.special {
            if !all.contains(&binary) {
                all.push(binary);
            }
        }
        for binary in all {
            let lack = |what: &str, hint: &str| {
                Err(Error::Unfit {
                    message: format!("{binary} ({}) {what}", binary.path.display()),
                    hint: hint.into(),
                })
            };
            if spec.security.tls.is_some() && !binary.knows(Probed::Tls).await? {
                return lack(
                    "was built without TLS",
                    "pass another --server, or leave --tls out",
                );
            }
            if spec.announce.hostname.is_some() && !binary.knows(Probed::Hostname).await? {
                return lack(
                    "does not know cluster-announce-hostname",
                    "pass a server from 7.0 on with --server, or leave --announce-hostname out",
                );
            }
        }
        Ok(())
    }

    /// Says which replicas may not be able to load their primaries' snapshots.
    pub(super) fn warn_of_mixture(&self, context: &Context, manifest: &Manifest) {
        let spec = &manifest.spec;
        let program = |number: usize| {
            let port = manifest
                .nodes
                .get(number)
                .map_or(0, |entry| entry.addr.port);
            self.program(spec, number, port)
        };
        let layout = Layout::new(spec.primaries, spec.replicas);
        let mut pairs = BTreeSet::new();
        for shard in &layout.shards {
            let primary = program(shard.primary);
            for replica in shard.replicas.iter().map(|replica| program(*replica)) {
                if !understands(replica, primary) {
                    pairs.insert((replica.to_string(), primary.to_string()));
                }
            }
        }
        for (replica, primary) in pairs {
            context.events.note(format!(
                "replicas of {replica} may not understand the snapshots of {primary}, and then are never in sync"
            ));
        }
    }

    /// Writes into `manifest` what each node runs.
    pub(super) fn record(&self, manifest: &mut Manifest) {
        manifest.server = server_info(&self.common);
        let spec = manifest.spec.clone();
        for (number, entry) in manifest.nodes.iter_mut().enumerate() {
            let own = self.special(&spec, number, entry.addr.port);
            entry.server = own.filter(|own| **own != self.common).map(server_info);
        }
    }
}

/// Whether a replica surely can load the snapshots of a primary: formats are read by the same and
/// by newer servers. Redis and Valkey share those up to Redis 7.2; then Redis 7.4 has a new one,
/// and Valkey writes the old one for who knows no other.
fn understands(replica: &Binary, primary: &Binary) -> bool {
    match (replica.kind, primary.kind) {
        (Kind::Valkey, Kind::Redis) => primary.version < Version(7, 4, 0),
        (Kind::Redis, Kind::Valkey) => replica.version >= Version(7, 2, 0),
        _ => replica.version >= primary.version,
    }
}

/// A program as it is recorded.
fn server_info(binary: &Binary) -> ServerInfo {
    ServerInfo {
        kind: binary.kind.to_string(),
        version: binary.version.to_string(),
        path: binary.path.clone(),
        accepts: binary.accepts.clone(),
        jemalloc: binary.jemalloc,
    }
}

/// A recorded program; `None` if it is none that we know.
pub(super) fn binary_of(info: &ServerInfo) -> Option<Binary> {
    let kind = match info.kind.as_str() {
        "redis" => Kind::Redis,
        "valkey" => Kind::Valkey,
        _ => return None,
    };
    Some(Binary {
        path: info.path.clone(),
        kind,
        version: Version::parse(&info.version)?,
        accepts: info.accepts.clone(),
        jemalloc: info.jemalloc,
    })
}

/// Whether what the servers that a manifest names say of shards can be relied on: servers that know
/// shard ids learn them from each other, and beside one that has none they list shards wrongly.
pub(super) fn agree_on_shards(manifest: &Manifest) -> bool {
    let ids = |server: &ServerInfo| binary_of(server).map(|binary| binary.capabilities().shard_ids);
    let first = ids(manifest.server_of(0));
    (0..manifest.nodes.len()).all(|number| ids(manifest.server_of(number)) == first)
}

/// Whether all servers that a manifest names know what came with 7.0.
pub(super) fn know_seven(manifest: &Manifest) -> bool {
    Programs::recorded(manifest).is_none_or(|programs| programs.capabilities().seven)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Kind::{Redis, Valkey};

    /// Every pair was tried: with `false` the replica never gets in sync, or need not.
    #[test]
    fn replicas_understand_what_they_were_seen_to_understand() {
        let binary = |(kind, version)| Binary {
            path: "x".into(),
            kind,
            version,
            accepts: BTreeSet::new(),
            jemalloc: false,
        };
        for (primary, replica, wanted) in [
            ((Redis, Version(6, 2, 14)), (Redis, Version(8, 2, 3)), true),
            (
                (Redis, Version(7, 0, 15)),
                (Redis, Version(6, 2, 14)),
                false,
            ),
            ((Redis, Version(7, 0, 15)), (Valkey, Version(9, 1, 2)), true),
            ((Redis, Version(8, 2, 3)), (Valkey, Version(9, 1, 2)), false),
            (
                (Valkey, Version(8, 0, 1)),
                (Redis, Version(7, 0, 15)),
                false,
            ),
            ((Valkey, Version(9, 1, 2)), (Redis, Version(8, 2, 3)), true),
            ((Valkey, Version(8, 0, 1)), (Valkey, Version(8, 1, 8)), true),
            (
                (Valkey, Version(9, 1, 2)),
                (Valkey, Version(8, 0, 1)),
                false,
            ),
        ] {
            let found = understands(&binary(replica), &binary(primary));
            assert_eq!(found, wanted, "{replica:?} of {primary:?}");
        }
    }
}
