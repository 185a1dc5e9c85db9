//! The `rcluster` program: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    rcluster::commands::main(&arguments)
}
