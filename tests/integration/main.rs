//! Tests of the program on real servers.
//!
//! Every test has a [`Sandbox`](sandbox::Sandbox): its own home, its own ports, its own processes.

mod sandbox;
