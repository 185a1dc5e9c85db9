//! One server process on this machine: which program, on which ports, with which configuration,
//! and how it is spawned.

mod binary;
mod config;
mod log;
mod ports;
mod spawn;

pub use binary::{Binary, Capabilities, Kind, Version};
pub use config::{FORMING, forming_values, redis_conf, user_value};
pub use log::{fatal_lines, tail};
pub use ports::{Ports, PortsError, PortsWish, reserve};
pub use spawn::{Child, spawn};
