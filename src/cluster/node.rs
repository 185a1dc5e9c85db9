//! One node of a cluster: its id, its address, its role.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::reply::ParseError;

/// A node's identity: 40 lower-case hex digits, made by the server, or by us in a seeded start.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodeId(String);

impl NodeId {
    /// The id that 20 random bytes make.
    pub fn from_bytes(bytes: [u8; 20]) -> Self {
        let digit = |nibble: u8| char::from(b"0123456789abcdef"[usize::from(nibble & 0xf)]);
        Self(
            bytes
                .iter()
                .flat_map(|byte| [digit(byte >> 4), digit(*byte)])
                .collect(),
        )
    }

    /// The 40 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first eight digits, enough to tell nodes apart in a message.
    pub fn short(&self) -> &str {
        self.0.get(..8).unwrap_or(&self.0)
    }
}

impl FromStr for NodeId {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let digits = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() == 40 && text.bytes().all(digits) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ParseError::new("a node id of 40 hex digits", text))
        }
    }
}

impl TryFrom<String> for NodeId {
    type Error = ParseError;

    fn try_from(text: String) -> Result<Self, ParseError> {
        text.parse()
    }
}

impl From<NodeId> for String {
    fn from(id: NodeId) -> Self {
        id.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.short())
    }
}

/// Where a node listens: one address, a client port and a cluster bus port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NodeAddr {
    /// The IP address; the bus never speaks names.
    pub host: IpAddr,
    /// The client port: of TLS, where it is the only one.
    pub port: u16,
    /// The cluster bus port (`cluster-port`, else the client port + 10000).
    pub bus_port: u16,
    /// The TLS port, where `port` is a plain one beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_port: Option<u16>,
}

impl NodeAddr {
    /// The port that peers and rcluster speak to: of TLS, if there is TLS.
    pub fn peer_port(&self) -> u16 {
        self.tls_port.unwrap_or(self.port)
    }

    /// All ports that the node listens on.
    pub fn ports(&self) -> impl Iterator<Item = u16> {
        [self.port, self.bus_port].into_iter().chain(self.tls_port)
    }
}

impl fmt::Display for NodeAddr {
    /// Writes the client address, an IPv6 host in brackets: `127.0.0.1:30001`, `[::1]:30001`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        std::net::SocketAddr::new(self.host, self.port).fmt(f)
    }
}

/// What a node does in its shard.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Owns slots, or could.
    Primary,
    /// Copies the primary `of`.
    Replica {
        /// The primary's id.
        of: NodeId,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_forty_lower_case_hex_digits() {
        let id = NodeId::from_bytes([0xab; 20]);
        assert_eq!(id.as_str().parse(), Ok(id.clone()));
        for bad in [
            "",
            "ab",
            &"g".repeat(40),
            &"A".repeat(40),
            &"a".repeat(41),
            &"é".repeat(20),
        ] {
            assert!(bad.parse::<NodeId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn ipv6_is_printed_in_brackets() {
        let addr = NodeAddr {
            host: "::1".parse().expect("literal"),
            port: 7,
            bus_port: 8,
            tls_port: None,
        };
        assert_eq!(addr.to_string(), "[::1]:7");
    }
}
