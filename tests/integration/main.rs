//! Tests of the program on real servers.
//!
//! Every test has a [`Sandbox`](sandbox::Sandbox): its own home, its own ports, its own processes.
//! `RCLUSTER_TEST_SERVER=/path/to/server` runs them on another server than the one on `PATH`.

mod addresses;
mod auth;
mod bad_input;
mod call;
mod clean;
mod cli;
mod completions;
mod config;
mod crash;
mod create;
mod doctor;
mod env;
mod export;
mod faults;
mod follow;
mod foreground;
mod from_create_cluster;
mod guide;
mod json;
mod layers;
mod library;
mod locks;
mod logs;
mod man;
mod mixed;
mod ports;
mod processes;
mod restart;
mod run;
mod sandbox;
mod schema;
mod servers;
mod start;
mod status;
mod stop;
mod tls;
mod tutorial;
mod up;
mod usage;
mod wait;
mod watch;
mod witness;
