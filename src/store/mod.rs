//! Clusters on disk.
//!
//! ```text
//! <home>/                       also locked while ports are chosen: .ports.lock
//! ├── .servers/                 servers that were installed here (see `servers/`)
//! └── <name>/                   0700
//!     ├── lock                  held with flock(2) by the verb that works; says who for messages
//!     ├── manifest.json         what was asked for, and which nodes there are
//!     ├── processes.json        which processes we spawned, or are about to
//!     ├── journal.json          there while a verb is at work, and after it was killed
//!     ├── secrets/              password, replication-password, users.acl: where there are any
//!     ├── tls/                  ca.crt, ca.key, node.crt, client.crt … of a cluster with TLS
//!     └── nodes/<port>/         a server's working directory: redis.conf, nodes.conf, server.log, data
//! ```
//! Everything is written so that `kill -9`, or a power cut, at any moment leaves a state from
//! which the same verb, or `down`, goes on.

mod home;
mod journal;
mod lock;
mod manifest;
mod name;
mod processes;
mod removal;
mod secrets;
mod servers;

pub use home::{Cluster, Home, LOG_FILE};
pub use journal::{Journal, Work};
pub use lock::{Attempt, Lock, PortLock};
pub use manifest::{Manifest, NodeEntry, ServerInfo};
pub use name::ClusterName;
pub use processes::{Processes, Started};
pub use removal::DataNames;
pub use servers::{
    Choice, InstalledServer, Origin, ServerName, ServerRecord, Servers, ServersAttempt,
    ServersLock, Staging,
};
