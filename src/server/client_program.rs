//! redis-cli and valkey-cli: which one there is, and becoming it.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use secrecy::{ExposeSecret as _, SecretString};

/// The names of a client, the one that fits a kind of server first.
fn names(server: &Path) -> [&'static str; 2] {
    let name = server.file_name().and_then(|name| name.to_str());
    if name.is_some_and(|name| name.contains("valkey")) {
        ["valkey-cli", "redis-cli"]
    } else {
        ["redis-cli", "valkey-cli"]
    }
}

/// Where a client was looked for, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientProgram {
    /// This one can do what is needed.
    Found(PathBuf),
    /// There is one, but it was built without TLS.
    WithoutTls(PathBuf),
    /// There is none.
    Missing,
}

/// Looks for a client beside the program `server`, then on `PATH`.
pub fn client_program(server: &Path, needs_tls: bool) -> ClientProgram {
    let names = names(server);
    let beside = server.parent().into_iter();
    let beside = beside.flat_map(|dir| names.map(|name| dir.join(name)));
    let beside = beside.filter_map(|path| which::which(path).ok());
    let on_path = names.into_iter().filter_map(|name| which::which(name).ok());
    let mut without = None;
    for program in beside.chain(on_path) {
        if !needs_tls || knows_tls(&program) {
            return ClientProgram::Found(program);
        }
        without.get_or_insert(program);
    }
    without.map_or(ClientProgram::Missing, ClientProgram::WithoutTls)
}

/// Whether a client was built with TLS: its help says so, and its version does not.
fn knows_tls(program: &Path) -> bool {
    let help = Command::new(program)
        .arg("--help")
        .stdin(Stdio::null())
        .output();
    let says = |text: &[u8]| String::from_utf8_lossy(text).contains("--tls ");
    help.is_ok_and(|help| says(&help.stdout) || says(&help.stderr))
}

/// Becomes `program`, so that terminal, signals and exit code are its own. The password is in its
/// environment alone: arguments can be read by everybody. Returns only if that fails.
pub fn become_client(
    program: &Path,
    arguments: &[OsString],
    password: Option<&SecretString>,
) -> io::Error {
    let mut command = Command::new(program);
    command.args(arguments).env_remove("RCLUSTER_PASSWORD");
    // Newer valkey-cli prefers a name of its own.
    for name in ["REDISCLI_AUTH", "VALKEYCLI_AUTH"] {
        match password {
            Some(password) => command.env(name, password.expose_secret()),
            // That of another server would be refused here.
            None => command.env_remove(name),
        };
    }
    command.exec()
}
