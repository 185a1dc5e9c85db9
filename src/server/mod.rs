//! One server process on this machine: which program, on which ports, with which configuration,
//! and how it is spawned.

mod binary;
mod config;
mod log;
mod ports;
mod spawn;

pub use binary::{Binary, Capabilities, Kind, Version};
pub use config::{FORMING, forming_values, is_redis_conf, persists, redis_conf, user_value};
pub use log::{fatal_line, log_end, tail};
pub use ports::{Ports, PortsError, PortsWish, check as check_ports, conflicts, reserve};
pub use spawn::{Child, spawn};
