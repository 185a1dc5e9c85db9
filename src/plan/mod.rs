//! From a wish to steps: everything that can be computed without a server.
//!
//! Pure: no I/O, no clock, no async. That is why `--dry-run` can print a plan, and why layouts,
//! seeded configurations and the meaning of *ready* are tested over their whole domain.

mod directive;
mod finding;
mod formation;
mod layout;
mod limits;
mod persistence;
mod ready;
mod security;
mod seed;
mod selector;
mod spec;
mod surroundings;
mod target;
pub mod watch;

pub use directive::{Directive, last_value, load_module, parse_conf, parse_set, parse_set_for};
pub use finding::{Finding, Verdict};
pub use formation::{Step, by_commands, finish};
pub use layout::{Layout, Shard};
pub use limits::{Cap, Disk, Limiter, Machine, Needs, OpenFiles, judge as judge_limits, size};
pub use persistence::{End, Writes, keeps};
pub use ready::{Expected, Replication, View, missing, missing_to_serve};
pub use security::{
    Certificates, ClientCertificates, Secrets, Security, Tls, check_password, lets_anybody_in,
    quoted,
};
pub use seed::{Seed, SeedNode, Technique};
pub use selector::Selector;
pub use spec::{Announce, ClusterSpec, MAX_NODES, NodeSetting, PortChoice};
pub use surroundings::{Surroundings, judge as judge_surroundings, judge_port_range};
pub use target::{Candidate, Target};
