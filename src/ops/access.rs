//! How rcluster gets into a cluster: by what was written down when it was made.

use std::sync::Arc;

use crate::client::{Access, Identity};
use crate::error::{Error, Result};
use crate::plan::{Certificates, Secrets, Security};
use crate::store::{Cluster, Manifest};

/// The way into the nodes of `manifest`.
pub(super) fn access(cluster: &Cluster, manifest: &Manifest) -> Result<Access> {
    let security = &manifest.spec.security;
    let secrets = if security.password || security.acl {
        cluster.secrets()?
    } else {
        Secrets::default()
    };
    if security.password && secrets.password.is_none() {
        return Err(Error::Corrupt {
            path: cluster.password_path(),
            why: "it is gone".into(),
        });
    }
    let certificates = certificates(cluster, manifest)?;
    Ok(access_with(security, &secrets, certificates.as_ref()))
}

/// The certificates of a cluster with TLS.
pub(super) fn certificates(cluster: &Cluster, manifest: &Manifest) -> Result<Option<Certificates>> {
    if manifest.spec.security.tls.is_none() {
        return Ok(None);
    }
    cluster.certificates().map(Some)
}

/// The same, from secrets that are at hand.
pub(super) fn access_with(
    security: &Security,
    secrets: &Secrets,
    certificates: Option<&Certificates>,
) -> Access {
    Access {
        user: security.user.clone(),
        password: secrets.password.clone(),
        tls: certificates.map(|files| {
            Arc::new(Identity {
                ca: files.ca.clone().into_bytes(),
                certificate: files.client.clone().into_bytes(),
                key: files.client_key.clone().into_bytes(),
            })
        }),
    }
}
