//! For those who change rcluster: its rooms, its layers, and the ways through them.
//!
//! What is here is what the `rcluster` program, and the library of the crate's first page, are made
//! of. It follows their needs, is not stable, and is shown only by
//! `RUSTDOCFLAGS='--cfg rooms' cargo doc`.
//!
//! # The rooms
//!
//! ```text
//! main.rs     hands the arguments over
//! commands/   one verb, one file: arguments → ops → answer, and the exit code
//! cli/        clap, and nothing else knows clap
//! report/     the only writer: words, tables, JSON, the progress bar, failures
//! screen/     the whole terminal as one picture, for `watch`: keys, and what is drawn
//! fixture/    the library: clusters for tests in Rust, held by a value
//! ops/        what the verbs do: start, form, ready, stop, status, clean …
//! client/     the only door to the `redis` crate: one method a command
//! server/     one server process: the program, its configuration, its ports, its spawn; and
//!             programs of the user's that get a server: pip, uv, make
//! settings/   files of settings, and where each value came from
//! store/      clusters on disk: home, manifest, lock, journal, what may be deleted
//! sys/        the only door to the kernel: pidfds, signals, limits, files below a held directory
//! plan/       pure: shape, layout, the steps of forming, seeded nodes.conf, the meaning of ready
//! cluster/    pure: slots, nodes, and the parsers of what servers say
//! error       kind → sentence, hint, exit code, JSON code
//! event       what happens while work is done: sent by ops, shown by report
//! ```
//!
//! Imports point down and never sideways among client, server, settings and store; cli knows the
//! types of plan and store that arguments are read into, report those of ops that it shows, and ops
//! knows neither. commands, cli, report, screen and settings are the program's: without the feature
//! `cli` they and their crates are not built. Each outside crate has one door, or two: `redis` only in
//! client, `nix` and `rustix` only in sys, `clap` only in cli, `ratatui` only in screen …
//! `tests/integration/layers.rs` has the list; it reads `src/` and holds all this.
//!
//! # The way of `rcluster up`
//!
//! [`cli::Cli`](crate::cli::Cli) → `commands::up` → [`ops::StartWish`](crate::ops::StartWish) → [`ops::up`](crate::ops::up): lock the cluster, ask the
//! servers what they are and can, make or check secrets and certificates, choose and test ports,
//! write the [`store::Manifest`](crate::store::Manifest) and the [`store::Journal`](crate::store::Journal), make the directories with `redis.conf` and a [seeded](crate::plan::Seed)
//! `nodes.conf`, write down the intent, spawn, write down the processes, wait for *our* processes
//! to answer, let the primaries take over, wait until the cluster is [ready](crate::plan::missing), put
//! the user's configuration back, write to every primary, remove the journal → [`ops::Answer`](crate::ops::Answer) →
//! [`report::Report`](crate::report::Report).
//!
//! `start` does the first half for nodes that know only themselves; `create` the second half by
//! [commands](crate::plan::by_commands).
//!
//! # The way of `Cluster::builder().start()`
//!
//! [`ClusterBuilder`](crate::ClusterBuilder) → a thread with a runtime of its own
//! (`fixture/thread.rs`) → [`ops::Temporary`](crate::ops::Temporary), which is what `rcluster run` has too: a home of its
//! own, 0700, and a [lifeline](crate::server::Lifeline) that ends the servers when we end, by whatever
//! signal → [`Cluster`](crate::Cluster), whose drop is that of `Temporary`.
//!
//! Nothing below `commands` may change the process: no umask, no signal handler of ours, nothing
//! written to standard streams. The one exception is the soft limit of open files, which is raised
//! where the servers would have too few (`ops/limits.rs`); programs of the user's get what there was
//! ([`sys::StartedAs`](crate::sys::StartedAs)).
//!
//! # Where a server comes from
//!
//! `server install` runs the user's uv, pip or make ([`server::Tool`](crate::server::Tool): a process group that ends
//! with us, even by `kill -9`) in a directory of its own ([`store::Staging`](crate::store::Staging)), compares what came
//! out with the pinned digests ([`server::PACKAGES`](crate::server::PACKAGES)), tries it, and puts it in place by one rename.
//! Every verb that needs a server asks `Context::find_server` (`ops/servers/resolve.rs`).
//!
//! # The way of a value of `rcluster.toml`
//!
//! [`cli::CommandLine`](crate::cli::CommandLine) (what is typed) → [`settings::sources`](crate::settings::sources) and [`settings::read`](crate::settings::read) (files, with
//! lines) → arguments of the options of the same names, put before those that are typed, but for
//! what is said more strongly (`cli/line.rs`) → [`cli::Cli`](crate::cli::Cli), read by clap as if all had been typed,
//! and a [`settings::Setting`](crate::settings::Setting) with its origin for each value. Which keys there are and what they
//! look like follows from clap's own description of the options (`cli/keys.rs`): a new option is a
//! key without another line of code. A complaint about an option that a file gave is told with the
//! file's line (`commands/config.rs`).
//!
//! # Why it is fast
//!
//! Stock tools wait for four things; each is avoided on nodes that are *proven empty*, and kept on
//! all others:
//!
//! 1. handshakes and gossip, several ticks of the cluster bus: nodes boot from a `nodes.conf` that
//!    lists them all ([`plan::Seed`](crate::plan::Seed));
//! 2. 2 s in which a new primary takes no writes: nodes boot as replicas and take over
//!    ([`plan::Technique`](crate::plan::Technique));
//! 3. up to 10 s until replicas are listed: a request for acknowledgements gives them an offset
//!    (`ops/settle.rs`), and nodes are nudged to tell each other (`ops/ready.rs`);
//! 4. the bus' tick of 100 ms: it is called when there is something to do (`ops/tick.rs`).
//!
//! # Promises that the code is built around
//!
//! - A process is signalled only if it is ours by what the kernel says ([`sys::process`](crate::sys::process)).
//! - A file is deleted only if its name is one that we or a server of ours give, below a directory
//!   held open (`store/removal.rs`).
//! - `kill -9` at any moment leaves a state from which the same verb, or `down`, goes on: what is
//!   about to be done is in the [`store::Journal`](crate::store::Journal) before it is done (`ops/resume.rs`).
//! - Asynchronous waiting happens in one place, with a deadline and a memory of what was missing
//!   (`ops/wait.rs`).
//! - `redis.conf` always holds the user's values; ours are put back before success is reported.
//! - A password is a [`secrecy::SecretString`] from where it is read to where it is written; it is
//!   exposed to be compared, and in three places: what a node's server reads at its start
//!   (`redis.conf`, `users.acl`), the cluster's `secrets/`, and `AUTH`.
