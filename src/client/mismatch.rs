//! Telling a node that speaks TLS from one that does not, when it answers nonsense or nothing:
//! a plain server waits for the end of a TLS greeting, and a TLS server hangs up on a plain one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::access::install_provider;
use super::fault::Fault;
use crate::cluster::NodeAddr;

/// How long a node may take to show what it speaks.
const LIMIT: Duration = Duration::from_millis(300);

/// A better word for why `addr` could not be talked to, if it speaks the other way.
pub(super) async fn explain(addr: NodeAddr, tls: bool, fault: Fault) -> Fault {
    let may_be = match &fault {
        Fault::Silent => tls,
        Fault::Unreachable { refused, .. } => !refused,
        Fault::Garbled(_) => true,
        _ => false,
    };
    if !may_be {
        return fault;
    }
    if tls {
        let said = first_bytes(addr, b"PING\r\n").await;
        if said.is_some_and(|said| said.starts_with(b"+PONG") || said.starts_with(b"-")) {
            return Fault::NotLetIn("does not speak TLS".into());
        }
    } else if let Some(greeting) = greeting(addr) {
        let said = first_bytes(addr, &greeting).await;
        // A handshake or an alert of any version of TLS.
        if said.is_some_and(|said| matches!(said.get(..2), Some([0x15 | 0x16, 3]))) {
            return Fault::NotLetIn("speaks TLS, and the cluster was made without".into());
        }
    }
    fault
}

/// What `addr` answers first to `said`.
async fn first_bytes(addr: NodeAddr, said: &[u8]) -> Option<Vec<u8>> {
    let ask = async {
        let mut stream = TcpStream::connect(SocketAddr::new(addr.host, addr.peer_port())).await?;
        stream.write_all(said).await?;
        let mut answer = vec![0; 64];
        let length = stream.read(&mut answer).await?;
        answer.truncate(length);
        std::io::Result::Ok(answer)
    };
    timeout(LIMIT, ask).await.ok()?.ok()
}

/// The first packet of a TLS connection.
fn greeting(addr: NodeAddr) -> Option<Vec<u8>> {
    install_provider();
    let config = ClientConfig::builder()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let mut connection =
        ClientConnection::new(Arc::new(config), ServerName::from(addr.host)).ok()?;
    let mut packet = Vec::new();
    connection.write_tls(&mut packet).ok()?;
    Some(packet)
}
