//! How we come in: as whom, with which password, over which TLS.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Once};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::CertifiedKey;
use rustls::{AlertDescription, CertificateError, InvalidMessage, RootCertStore};
use secrecy::SecretString;

/// What a connection needs to be let in. Cheap to clone.
#[derive(Clone, Default)]
pub struct Access {
    /// The ACL user; `None` for the default one.
    pub user: Option<String>,
    /// The password; `None` sends no `AUTH`.
    pub password: Option<SecretString>,
    /// There for nodes that speak TLS.
    pub tls: Option<Arc<Identity>>,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("user", &self.user)
            .field("password", &self.password.is_some())
            .field("tls", &self.tls.is_some())
            .finish()
    }
}

/// Certificates in PEM: whom we believe, and who we are.
#[derive(Clone)]
pub struct Identity {
    /// The CA that the nodes' certificates must come from.
    pub ca: Vec<u8>,
    /// Our own certificate.
    pub certificate: Vec<u8>,
    /// Its key.
    pub key: Vec<u8>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity")
    }
}

/// Why certificates cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadCertificate {
    /// A file is not what it should be: which one, and why.
    Malformed(&'static str, String),
    /// Nobody would accept them, in the words of a fragment: `has expired`.
    Unacceptable(String),
}

/// Makes rustls use ring: it is the only provider that is built in, but must be named.
pub(super) fn install_provider() {
    static ONCE: Once = Once::new();
    // An error means that somebody named it before.
    ONCE.call_once(|| drop(ring::default_provider().install_default()));
}

impl Identity {
    /// Whether nodes with `node` (certificate and key in PEM) would be believed by us and by each
    /// other at each of `hosts`, and we by them. Nothing is contacted.
    pub fn check(
        &self,
        node_certificate: &[u8],
        node_key: &[u8],
        hosts: &[IpAddr],
    ) -> Result<(), BadCertificate> {
        install_provider();
        let mut roots = RootCertStore::empty();
        for ca in certificates(&self.ca, "the CA file")? {
            roots.add(ca).map_err(|error| {
                BadCertificate::Malformed(
                    "the CA file",
                    cause(&error).unwrap_or_else(|| error.to_string()),
                )
            })?;
        }
        let roots = Arc::new(roots);
        let now = UnixTime::now();
        let unacceptable = |what: &str, error: &rustls::Error| {
            BadCertificate::Unacceptable(format!(
                "{what} {}",
                cause(error).unwrap_or_else(|| error.to_string())
            ))
        };

        let node = chain(
            node_certificate,
            node_key,
            "the certificate file",
            "the key file",
        )?;
        let (leaf, rest) = split(&node)?;
        let verifier = WebPkiServerVerifier::builder(Arc::clone(&roots))
            .build()
            .map_err(|error| BadCertificate::Malformed("the CA file", error.to_string()))?;
        for host in hosts {
            verifier
                .verify_server_cert(leaf, rest, &ServerName::from(*host), &[], now)
                .map_err(|error| {
                    unacceptable(&format!("at {host}, the nodes' certificate"), &error)
                })?;
        }
        let verifier = WebPkiClientVerifier::builder(roots)
            .build()
            .map_err(|error| BadCertificate::Malformed("the CA file", error.to_string()))?;
        let own = chain(
            &self.certificate,
            &self.key,
            "the client certificate file",
            "the client key file",
        )?;
        let (leaf, rest) = split(&own)?;
        verifier
            .verify_client_cert(leaf, rest, now)
            .map_err(|error| {
                unacceptable(
                    "as a client's, which nodes are to each other, the certificate",
                    &error,
                )
            })?;
        Ok(())
    }
}

fn split(
    chain: &CertifiedKey,
) -> Result<(&CertificateDer<'static>, &[CertificateDer<'static>]), BadCertificate> {
    chain.cert.split_first().ok_or_else(|| {
        BadCertificate::Malformed("the certificate file", "it has no certificate".into())
    })
}

fn certificates(
    pem: &[u8],
    what: &'static str,
) -> Result<Vec<CertificateDer<'static>>, BadCertificate> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match read {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(BadCertificate::Malformed(
            what,
            "it has no certificate in PEM".into(),
        )),
        Err(error) => Err(BadCertificate::Malformed(what, error.to_string())),
    }
}

/// A certificate with its chain, and its key, which must fit.
fn chain(
    certificate: &[u8],
    key: &[u8],
    certificate_file: &'static str,
    key_file: &'static str,
) -> Result<CertifiedKey, BadCertificate> {
    let chain = certificates(certificate, certificate_file)?;
    let bad_key = |why: String| BadCertificate::Malformed(key_file, why);
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|_| bad_key("it has no private key in PEM that is not encrypted".into()))?;
    let key = ring::default_provider()
        .key_provider
        .load_private_key(key)
        .map_err(|_| {
            bad_key(
                "rcluster knows RSA from 2048 bits on, ECDSA on P-256 and P-384, and Ed25519"
                    .into(),
            )
        })?;
    let pair = CertifiedKey::new(chain, key);
    match pair.keys_match() {
        Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)) => {
            Err(bad_key("it is not the key of the certificate".into()))
        }
        _ => Ok(pair),
    }
}

/// What TLS failed of, in the words of a fragment about the other side; `None` for what is not
/// about certificates.
pub(super) fn cause(error: &rustls::Error) -> Option<String> {
    use CertificateError as Bad;
    Some(
        match error {
            rustls::Error::InvalidCertificate(bad) => match bad {
                Bad::Expired | Bad::ExpiredContext { .. } => "has expired",
                Bad::NotValidYet | Bad::NotValidYetContext { .. } => "is not valid yet",
                Bad::UnknownIssuer => "was not issued by the CA that is trusted here",
                Bad::BadSignature => "is not signed by the CA that is trusted here",
                Bad::NotValidForName | Bad::NotValidForNameContext { .. } => {
                    "is not for this address"
                }
                Bad::InvalidPurpose | Bad::InvalidPurposeContext { .. } => {
                    "is not for this purpose"
                }
                Bad::Revoked => "is revoked",
                other if format!("{other:?}").contains("CaUsedAsEndEntity") => {
                    "is that of a CA itself, and is none for a node"
                }
                other if format!("{other:?}").contains("UnsupportedCertVersion") => {
                    "is not of X.509 version 3"
                }
                other => return Some(format!("is refused ({other})")),
            },
            rustls::Error::AlertReceived(alert) => match alert {
                AlertDescription::CertificateRequired => "demands a client certificate",
                AlertDescription::CertificateExpired => "says that our certificate has expired",
                AlertDescription::UnknownCA | AlertDescription::BadCertificate => {
                    "does not accept our certificate"
                }
                AlertDescription::ProtocolVersion | AlertDescription::HandshakeFailure => {
                    "shares no version or cipher of TLS with us"
                }
                _ => return None,
            },
            rustls::Error::InvalidMessage(
                InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
            ) => "does not speak TLS",
            rustls::Error::PeerIncompatible(_) => "shares no version or cipher of TLS with us",
            _ => return None,
        }
        .to_owned(),
    )
}
