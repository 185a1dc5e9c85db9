//! Who holds a TCP port, and which ports the kernel gives to outgoing connections.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use super::process::{all_pids, command_name, proc_path};

/// The kernel's ephemeral port range: outgoing connections take their local ports from it, so a
/// server that wants one of them may find it taken at any time.
pub fn ephemeral_ports() -> io::Result<RangeInclusive<u16>> {
    let text = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")?;
    let mut numbers = text.split_ascii_whitespace().map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(low)), Some(Ok(high))) => Ok(low..=high),
        _ => Err(io::Error::other(
            "/proc/sys/net/ipv4/ip_local_port_range has another form",
        )),
    }
}

/// Who holds `port`, as far as it can be seen: `pid 4711 (redis-server)`, `a connection of pid …`.
pub fn holder(port: u16) -> Option<String> {
    let (inode, listening) = socket_on(port)?;
    let wanted = format!("socket:[{inode}]");
    let owns = |pid: &i32| {
        fs::read_dir(proc_path(*pid).join("fd")).is_ok_and(|fds| {
            fds.flatten().any(|fd| {
                fs::read_link(fd.path()).is_ok_and(|link| link.as_os_str() == wanted.as_str())
            })
        })
    };
    let pid = all_pids().ok()?.into_iter().find(owns)?;
    let who = format!("pid {pid} ({})", command_name(pid));
    Some(if listening {
        who
    } else {
        format!("an outgoing connection of {who}")
    })
}

/// Whether process `pid` has a listening socket on `port`; `None` if nobody is seen to have one:
/// the kernel's table may leave a line out while others change it.
pub fn listens(pid: i32, port: u16) -> Option<bool> {
    let listening: Vec<String> = sockets_on(port)?
        .into_iter()
        .filter(|(_, listening)| *listening)
        .map(|(inode, _)| format!("socket:[{inode}]"))
        .collect();
    if listening.is_empty() {
        return None;
    }
    // Of several addresses with that port one may be somebody else's.
    let fds = fs::read_dir(proc_path(pid).join("fd")).ok()?;
    Some(fds.flatten().any(|fd| {
        fs::read_link(fd.path())
            .is_ok_and(|link| listening.iter().any(|one| link.as_os_str() == one.as_str()))
    }))
}

/// The inode of a socket whose local port is `port`, listening ones first.
fn socket_on(port: u16) -> Option<(u64, bool)> {
    let found = sockets_on(port)?;
    let listening = found.iter().find(|(_, listening)| *listening);
    listening.or(found.last()).copied()
}

/// The inodes of all sockets whose local port is `port`, and whether they listen.
fn sockets_on(port: u16) -> Option<Vec<(u64, bool)>> {
    const LISTEN: &str = "0A";
    let mut found = Vec::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        for line in fs::read_to_string(table).ok()?.lines().skip(1) {
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            let [_, local, _, state, _, _, _, _, _, inode, ..] = fields.as_slice() else {
                continue;
            };
            let local_port = local
                .rsplit_once(':')
                .and_then(|(_, hex)| u16::from_str_radix(hex, 16).ok());
            let Some(inode) = inode.parse().ok().filter(|inode| *inode != 0) else {
                continue;
            };
            if local_port == Some(port) {
                found.push((inode, *state == LISTEN));
            }
        }
    }
    Some(found)
}

/// A port that is held but answers nobody: connections to it are refused, and nobody else gets it.
#[derive(Debug)]
pub struct DeadPort(socket::Bound);

impl DeadPort {
    /// Holds any free port of `host`.
    pub fn hold(host: IpAddr) -> io::Result<Self> {
        socket::Bound::new(host).map(Self)
    }

    /// The port's number.
    pub fn port(&self) -> u16 {
        self.0.port
    }
}

mod socket {
    use std::io;
    use std::net::{IpAddr, SocketAddr};

    /// A TCP socket that is bound but does not listen.
    #[derive(Debug)]
    pub(super) struct Bound {
        pub(super) port: u16,
        _socket: tokio::net::TcpSocket,
    }

    impl Bound {
        pub(super) fn new(host: IpAddr) -> io::Result<Self> {
            // std can only bind and listen at once; tokio's socket stops in between.
            let socket = if host.is_ipv4() {
                tokio::net::TcpSocket::new_v4()
            } else {
                tokio::net::TcpSocket::new_v6()
            }?;
            socket.bind(SocketAddr::new(host, 0))?;
            Ok(Self {
                port: socket.local_addr()?.port(),
                _socket: socket,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, TcpListener, TcpStream};

    #[test]
    fn the_holder_of_a_port_is_found() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind");
        let port = listener.local_addr().expect("addr").port();
        assert!(
            holder(port)
                .expect("found")
                .starts_with(&format!("pid {} (", std::process::id()))
        );
        drop(listener);
        assert_eq!(holder(port), None);
    }

    #[test]
    fn a_dead_port_refuses_and_is_nobody_elses() {
        let dead = DeadPort::hold(Ipv4Addr::LOCALHOST.into()).expect("bind");
        assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, dead.port())).is_err());
        assert!(TcpListener::bind((Ipv4Addr::LOCALHOST, dead.port())).is_err());
    }

    #[test]
    fn the_ephemeral_range_is_read() {
        assert!(!ephemeral_ports().expect("proc").is_empty());
    }
}
