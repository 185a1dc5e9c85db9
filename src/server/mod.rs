//! One server process on this machine: which program, on which ports, with which configuration,
//! and how it is spawned; and where a program comes from if there is none.

mod binary;
mod build;
mod certificates;
mod client_program;
mod config;
mod digest;
mod fetch;
mod lifeline;
mod log;
mod log_reader;
mod packages;
mod ports;
mod spawn;
mod tool;

pub use binary::{Binary, Capabilities, Kind, Probed, SERVER_NAMES, Version};
pub use build::{Source, built_programs, jobs, version_of_source};
pub use certificates::certificates;
pub use client_program::{ClientProgram, become_client, client_program};
pub use config::{ACL_FILE, FORMING, NodeConf, SOCKET, forming_values, is_redis_conf, user_value};
pub use digest::{copy_hashed, sha256, sha256_of_tree};
pub use fetch::{Fetcher, Places, is_mismatch, requirement};
pub use lifeline::{DEATH, Lifeline};
pub use log::{SyncTrouble, fatal_line, log_end, sync_trouble, tail};
pub use log_reader::{LINE_LIMIT, LogReader, zone};
pub use packages::{Label, PACKAGES, Package, Program, Wheel, nearest};
pub use ports::{
    Ports, PortsError, PortsWish, check as check_ports, check_hosts, conflicts, reserve,
};
pub use spawn::{Child, spawn};
pub use tool::{NoCommand, Tool, ToolEnd, find_program, look_for_command};
