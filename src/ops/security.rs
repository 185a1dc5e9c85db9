//! What protects a new cluster: secrets and certificates, given or made, and who may reach it.

use std::net::IpAddr;

use secrecy::{ExposeSecret as _, SecretString};

use super::context::Context;
use super::wish::StartWish;
use crate::client::{BadCertificate, Identity};
use crate::cluster::NodeId;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::plan::{Certificates, ClientCertificates, ClusterSpec, Secrets, Tls, lets_anybody_in};
use crate::server;
use crate::sys;

/// A cluster that the network can reach, and that lets in whoever comes, is made only if that is meant.
pub(super) fn refuse_exposure(
    context: &Context,
    spec: &ClusterSpec,
    acl: Option<&SecretString>,
    yes: bool,
) -> Result<()> {
    if !spec.is_exposed() {
        return Ok(());
    }
    if spec.bind.is_unspecified() && spec.announce.ip.is_none() {
        context.events.note(format!(
            "nodes announce {}, so clients on other machines will be sent to themselves; pass --announce-ip",
            spec.dial()
        ));
    }
    let security = &spec.security;
    let has_password = match acl {
        Some(acl) => !lets_anybody_in(acl.expose_secret()),
        None => security.password,
    };
    let binds: Vec<String> = spec.binds().map(|bind| bind.to_string()).collect();
    let at = binds.join(" and ");
    let danger = match (&security.tls, has_password) {
        (None, false) => {
            "anybody who reaches this machine can read, change and delete all data, and run code through it"
        }
        (None, true) => {
            "the cluster bus takes no password: who reaches a bus port can take the cluster over, and passwords cross the network in clear"
        }
        (Some(tls), false) if tls.clients != ClientCertificates::Yes => {
            "there is no password, and no certificate is demanded of clients: anybody who reaches this machine can come in"
        }
        (Some(tls), true) if tls.clients == ClientCertificates::No => {
            "the cluster bus takes no password, and no certificate is demanded: who reaches a bus port can take the cluster over"
        }
        _ => return Ok(()),
    };
    context
        .events
        .emit(Event::Warning(format!("listening on {at}: {danger}")));
    if security.tls.is_none() && !has_password && !yes {
        return Err(Error::Unconfirmed {
            what: format!(
                "listen on {at} without a password (--password-file, --generate-password) and without TLS (--tls)"
            ),
        });
    }
    Ok(())
}

/// The secrets and certificates of a new cluster: given, checked; or made.
pub(super) fn credentials(
    context: &Context,
    wish: &StartWish,
    spec: &ClusterSpec,
    ports: &[u16],
) -> Result<(Secrets, Option<Certificates>)> {
    let secrets = wish.secrets(|| {
        let bytes = sys::random_bytes().map_err(no_random)?;
        // Forty hex digits: nothing that any shell or client could stumble over.
        Ok(NodeId::from_bytes(bytes).to_string().into())
    })?;
    let Some(tls) = &spec.security.tls else {
        return Ok((secrets, None));
    };
    let hosts: Vec<IpAddr> = spec
        .binds()
        .chain([spec.dial()])
        .chain(spec.announce.ip)
        .collect();
    let certificates = if let Some(own) = &wish.certificates {
        own.clone()
    } else {
        let numbered = ports.iter().enumerate();
        let names: Vec<String> = numbered
            .filter_map(|(number, port)| spec.hostname_of(number, *port))
            .collect();
        server::certificates(context.name.as_str(), &hosts, &names).map_err(|error| Error::Io {
            what: "make certificates".into(),
            source: std::io::Error::other(error),
        })?
    };
    check_certificates(&certificates, spec, tls)?;
    Ok((secrets, Some(certificates)))
}

/// Refuses certificates that nobody would accept, before anything is started with them.
pub(super) fn check_certificates(
    certificates: &Certificates,
    spec: &ClusterSpec,
    tls: &Tls,
) -> Result<()> {
    let identity = Identity {
        ca: certificates.ca.clone().into_bytes(),
        certificate: certificates.client.clone().into_bytes(),
        key: certificates.client_key.clone().into_bytes(),
    };
    let checked = identity.check(
        certificates.node.as_bytes(),
        certificates.node_key.as_bytes(),
        &[spec.dial()],
    );
    checked.map_err(|bad| match bad {
        BadCertificate::Malformed(what, why) => Error::usage(
            format!("{what} cannot be used: {why}"),
            "pass files in PEM with --tls-ca, --tls-cert and --tls-key",
        ),
        BadCertificate::Unacceptable(why) => Error::Certificates {
            message: why,
            own: tls.own,
        },
    })
}

/// The kernel gave no random numbers.
pub(super) fn no_random(source: std::io::Error) -> Error {
    Error::Io {
        what: "get random numbers".into(),
        source,
    }
}
