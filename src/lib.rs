//! A real Redis or Valkey Cluster in a fraction of a second, for tests in Rust.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), rcluster::Error> {
//! use rcluster::Cluster;
//!
//! let cluster = Cluster::builder().primaries(3).replicas(1).start().await?;
//! println!("{}", cluster.url()); // redis://127.0.0.1:21306
//!
//! // Ready means that every node agrees, every replica is in sync, and writes are taken.
//! let client = redis::cluster::ClusterClient::new(cluster.urls()).expect("URLs");
//! let mut connection = client.get_async_connection().await.expect("let in");
//! redis::cmd("SET").arg("wat").arg(2).exec_async(&mut connection).await.expect("written");
//!
//! // A crash, and the failover after it.
//! let status = cluster.status().await?;
//! let primary = status.primary_of_key("wat").expect("all slots are served");
//! cluster.kill(primary).await?;
//! cluster.wait_serving().await?;
//!
//! cluster.stop().await?; // or drop it
//! # Ok(())
//! # }
//! ```
//!
//! In a plain `#[test]`, without a runtime:
//!
//! ```
//! # fn main() -> Result<(), rcluster::Error> {
//! let cluster = rcluster::Cluster::builder().tls().generate_password().start_blocking()?;
//! assert!(cluster.url().starts_with("rediss://"));
//! # Ok(())
//! # }
//! ```
//!
//! # What is needed
//!
//! Linux, and a `redis-server` or `valkey-server` from 6.2 on: the one on `PATH`, the one that the
//! environment variable `RCLUSTER_SERVER` names, or [another](ClusterBuilder::server). As a
//! development dependency `rcluster` is smallest without its program:
//!
//! ```toml
//! [dev-dependencies]
//! # A checkout of it, since it is on no registry yet; or git = "…".
//! rcluster = { path = "../rcluster", default-features = false }
//! ```
//!
//! # What can be relied on
//!
//! - **Ready** is a promise: when the start is done, every node sees all nodes and all slots, every
//!   replica is in sync and listed to clients, and every primary has taken a write.
//! - **Nothing is left**, however the test ends. [`Cluster::stop`] ends the servers in order, `drop`
//!   at once; and if the process panics, calls `exit`, or is killed by `kill -9`, its servers are ended
//!   and their directory is deleted by a shell that waits for just that. So a cluster may live in a
//!   `static`, for all tests of a program, whose values are never dropped. (What holds it is a pipe: a
//!   process that forks without running another program holds on to it too.)
//! - **Side by side.** Each cluster has a directory of its own and ports that were free: any number
//!   can be started at once, by threads or by processes.
//! - **Any runtime**, or none. All work is done on threads of the crate's own, so that a paused clock
//!   or a runtime without I/O does not matter; a future of this crate that is dropped ends its work.
//! - **Private**: the directory is readable by its owner alone, and no password is in an error, in
//!   what `{:?}` prints, in an argument or in a server's environment.
//! - **The process is left as it is**: no umask, no signal handler, nothing printed. Only the soft limit
//!   of open files is raised, if it is below what the servers would ask for.
//!
//! # Examples
//!
//! In the repository, each of them run by its tests: `fixture` (one cluster for each test, or one for
//! all), `failover` (a primary is killed, and the client goes on), `tls` (with password and
//! certificates), `parallel` (clusters of several shapes and servers at once).
//!
//! # The program
//!
//! `rcluster` on the command line makes clusters that stay, and does all that happens to them
//! afterwards: see the README, which also tells those who change either how they see what both are
//! made of.

mod fixture;

#[cfg(feature = "cli")]
#[cfg_attr(not(rooms), doc(hidden))]
pub mod cli;
#[cfg_attr(not(rooms), doc(hidden))]
pub mod client;
#[cfg_attr(not(rooms), doc(hidden))]
pub mod cluster;
#[cfg(feature = "cli")]
#[cfg_attr(not(rooms), doc(hidden))]
pub mod commands;
#[cfg_attr(not(rooms), doc(hidden))]
pub mod error;
#[cfg_attr(not(rooms), doc(hidden))]
pub mod event;
#[cfg_attr(not(rooms), doc(hidden))]
pub mod ops;
#[cfg_attr(not(rooms), doc(hidden))]
pub mod plan;
#[cfg(feature = "cli")]
#[cfg_attr(not(rooms), doc(hidden))]
pub mod report;
#[cfg(feature = "cli")]
#[cfg_attr(not(rooms), doc(hidden))]
pub mod rooms;
#[cfg(feature = "cli")]
#[cfg_attr(not(rooms), doc(hidden))]
pub mod screen;
#[cfg_attr(not(rooms), doc(hidden))]
pub mod server;
#[cfg(feature = "cli")]
#[cfg_attr(not(rooms), doc(hidden))]
pub mod settings;
#[cfg_attr(not(rooms), doc(hidden))]
pub mod store;
#[cfg_attr(not(rooms), doc(hidden))]
pub mod sys;

pub use event::Event;
pub use fixture::{
    Cluster, ClusterBuilder, Environment, Error, Node, Result, Role, Status, Tls, blocking,
};

#[cfg(not(target_os = "linux"))]
compile_error!(
    "rcluster runs on Linux: it holds server processes by pidfd and finds them in /proc"
);
