//! What the kernel and its settings are like, for `rcluster doctor`.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use rustix::process::{PidfdFlags, Signal, getpid, pidfd_open, pidfd_send_signal};

use super::limits::Kernel;
use super::sockets::ephemeral_ports;
use crate::plan::Surroundings;

/// How long a connection to ourselves may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// Reads all of it. Contacts nobody but itself.
pub fn surroundings() -> Surroundings {
    let kernel = Kernel::new(Path::new("/"));
    let text = |path| kernel.text(path).map(|text| text.trim().to_owned());
    Surroundings {
        release: text("proc/sys/kernel/osrelease"),
        arch: std::env::consts::ARCH.to_owned(),
        no_pidfd: try_pidfd().err().map(|error| error.to_string()),
        proc_readable: fs::read_to_string("/proc/self/stat").is_ok_and(|text| !text.is_empty()),
        proc_whole: Path::new("/proc/1").exists(),
        overcommit: kernel.number("proc/sys/vm/overcommit_memory"),
        huge_pages: text("sys/kernel/mm/transparent_hugepage/enabled"),
        backlog: kernel.number("proc/sys/net/core/somaxconn"),
        ephemeral: ephemeral_ports().ok(),
        no_loopback: try_host(Ipv4Addr::LOCALHOST.into())
            .err()
            .map(|error| error.to_string()),
        loopback6: try_host(Ipv6Addr::LOCALHOST.into()).is_ok(),
    }
}

fn try_pidfd() -> io::Result<()> {
    let ourselves = pidfd_open(getpid(), PidfdFlags::empty())?;
    // Ignored unless somebody asks for it, which nobody here does.
    pidfd_send_signal(ourselves, Signal::URG)?;
    Ok(())
}

/// Talks to ourselves by `host`.
fn try_host(host: IpAddr) -> io::Result<()> {
    let listener = TcpListener::bind((host, 0))?;
    let mut here = TcpStream::connect_timeout(&listener.local_addr()?, PATIENCE)?;
    here.write_all(b"?")?;
    let (mut there, _) = listener.accept()?;
    there.set_read_timeout(Some(PATIENCE))?;
    there.read_exact(&mut [0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_read() {
        let around = surroundings();
        assert!(around.release.is_some_and(|release| release.contains('.')));
        assert!(around.proc_readable);
        assert_eq!(around.no_loopback, None);
        assert!(around.ephemeral.is_some() && around.backlog.is_some());
    }

    #[test]
    fn an_address_that_is_not_ours_cannot_be_used() {
        // Of a block that is kept for documentation.
        assert!(try_host(Ipv4Addr::new(192, 0, 2, 1).into()).is_err());
    }
}
