//! One server process on this machine: which program, on which ports, with which configuration,
//! and how it is spawned.

mod binary;
mod certificates;
mod config;
mod log;
mod ports;
mod spawn;

pub use binary::{Binary, Capabilities, Kind, Probed, Version};
pub use certificates::certificates;
pub use config::{
    ACL_FILE, FORMING, NodeConf, SOCKET, forming_values, is_redis_conf, persists, user_value,
};
pub use log::{fatal_line, log_end, tail};
pub use ports::{
    Ports, PortsError, PortsWish, check as check_ports, check_hosts, conflicts, reserve,
};
pub use spawn::{Child, spawn};
