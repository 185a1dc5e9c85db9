//! Tests of the program on real servers.
//!
//! Every test has a [`Sandbox`](sandbox::Sandbox): its own home, its own ports, its own processes.
//! `RCLUSTER_TEST_SERVER=/path/to/server` runs them on another server than the one on `PATH`.

mod addresses;
mod auth;
mod bad_input;
mod clean;
mod config;
mod crash;
mod create;
mod doctor;
mod env;
mod json;
mod layers;
mod library;
mod locks;
mod logs;
mod mixed;
mod ports;
mod processes;
mod run;
mod sandbox;
mod servers;
mod start;
mod status;
mod stop;
mod tls;
mod tutorial;
mod up;
mod usage;
mod witness;
