//! Why a command to a node failed.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;

use crate::cluster::{ParseError, printable};

/// Why a command to a node failed. After [`Fault::Silent`] it may still have been done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No connection, or it broke.
    Unreachable {
        /// The system's words.
        why: String,
        /// Nobody listens.
        refused: bool,
    },
    /// We were not let in: TLS failed, or the password is another one. The words are a fragment
    /// about the node.
    NotLetIn(String),
    /// Another process than the one that is meant answers on the port: its PID, if it told.
    Foreign(Option<u64>),
    /// No answer in time.
    Silent,
    /// The server's own error.
    Server {
        /// Its first word: `OOM`, `NOPERM`, `ERR`.
        code: String,
        /// The whole, code included.
        message: String,
    },
    /// An answer that makes no sense.
    Garbled(String),
}

impl Fault {
    /// Whether the server refused for want of rights.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::NotLetIn(_))
            || self.has_code(&["NOAUTH", "WRONGPASS", "NOPERM", "DENIED"])
    }

    /// Whether waiting cannot cure it: the server refuses writes as it is configured now.
    pub fn is_lasting(&self) -> bool {
        self.has_code(&["OOM", "MISCONF", "NOREPLICAS"])
    }

    /// Whether a new connection is needed before the next command.
    pub fn breaks_connection(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Garbled(_))
    }

    fn has_code(&self, codes: &[&str]) -> bool {
        matches!(self, Self::Server { code, .. } if codes.contains(&code.as_str()))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable { why, .. } => write!(f, "cannot be reached ({why})"),
            Self::NotLetIn(why) => f.write_str(why),
            Self::Foreign(Some(pid)) => {
                write!(f, "its port is answered by pid {pid}, which is not ours")
            }
            Self::Foreign(None) => {
                f.write_str("its port is answered by a process that is not ours")
            }
            Self::Silent => f.write_str("does not answer"),
            Self::Server { message, .. } => f.write_str(message),
            Self::Garbled(what) => write!(f, "gives an answer that makes no sense: {what}"),
        }
    }
}

impl Error for Fault {}

impl From<redis::RedisError> for Fault {
    fn from(error: redis::RedisError) -> Self {
        let said = || printable(&error.to_string(), 200);
        if let (Some(code), redis::ErrorKind::Server(_) | redis::ErrorKind::Extension) =
            (error.code(), error.kind())
        {
            let message = format!("{code} {}", error.detail().unwrap_or_default());
            return Self::Server {
                code: printable(code, 32),
                message: printable(message.trim(), 200),
            };
        }
        if let Some(tls) = tls_error(&error)
            && let Some(why) = super::access::cause(tls)
        {
            return Self::NotLetIn(match tls {
                rustls::Error::InvalidCertificate(_) => format!("shows a certificate that {why}"),
                _ => why,
            });
        }
        if error.is_timeout() {
            Self::Silent
        } else if error.is_io_error() {
            Self::Unreachable {
                why: said(),
                refused: error.is_connection_refusal(),
            }
        } else {
            Self::Garbled(said())
        }
    }
}

/// What rustls said, if it said something: it stands behind an I/O error, behind an `Arc`.
fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    if let Some(tls) = error.downcast_ref::<rustls::Error>() {
        return Some(tls);
    }
    if let Some(shared) = error.downcast_ref::<Arc<dyn Error + Send + Sync>>() {
        return tls_error(&**shared);
    }
    if let Some(io) = error.downcast_ref::<io::Error>() {
        return tls_error(io.get_ref()?);
    }
    tls_error(error.source()?)
}

impl From<ParseError> for Fault {
    fn from(error: ParseError) -> Self {
        Self::Garbled(error.to_string())
    }
}
