//! Certificates for the nodes of one cluster, from a CA of its own.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SanType,
};
use time::{Duration, OffsetDateTime};

use crate::plan::Certificates;

/// How long certificates are good. A cluster that lives longer has outgrown certificates made for it.
const GOOD_FOR: Duration = Duration::days(3650);

/// Clocks differ: certificates are good from a day ago on.
const BEFORE: Duration = Duration::days(1);

/// Makes a CA for the cluster `name` and, from it, certificates for nodes that are reached at
/// `hosts` or `names`, and for clients. Nodes are each other's clients, so theirs is good for both.
pub fn certificates(
    name: &str,
    hosts: &[IpAddr],
    names: &[String],
) -> Result<Certificates, rcgen::Error> {
    let now = OffsetDateTime::now_utc();
    let params = |common_name: String| {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, common_name);
        params.not_before = now - BEFORE;
        params.not_after = now + GOOD_FOR;
        params
    };
    let mut ca = params(format!("rcluster CA of {name}"));
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate()?)?;

    let issue = |mut params: CertificateParams, purposes: &[ExtendedKeyUsagePurpose]| {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = purposes.to_vec();
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &ca)?;
        Ok::<_, rcgen::Error>((certificate.pem(), key.serialize_pem()))
    };
    let mut node = params(format!("rcluster node of {name}"));
    let loopback: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    let mut addresses: Vec<IpAddr> = hosts
        .iter()
        .copied()
        .filter(|host| !host.is_unspecified())
        .chain(loopback)
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    node.subject_alt_names = addresses.into_iter().map(SanType::IpAddress).collect();
    for name in ["localhost"]
        .into_iter()
        .chain(names.iter().map(String::as_str))
    {
        node.subject_alt_names
            .push(SanType::DnsName(name.try_into()?));
    }
    let both = [
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    let (node, node_key) = issue(node, &both)?;
    let (client, client_key) = issue(params(format!("rcluster client of {name}")), &both[1..])?;
    Ok(Certificates {
        ca: ca.pem(),
        ca_key: Some(ca.key().serialize_pem()),
        node,
        node_key,
        client,
        client_key,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_another_and_none_is_printed() {
        let host: IpAddr = "127.0.0.2".parse().expect("literal");
        let made = certificates("x", &[host], &["n1.example".into()]).expect("made");
        let keys = [
            &made.node_key,
            &made.client_key,
            made.ca_key.as_ref().expect("ours"),
        ];
        assert!(keys.iter().all(|key| key.contains("PRIVATE KEY")));
        assert!(keys[0] != keys[1] && keys[1] != keys[2] && keys[0] != keys[2]);
        assert_eq!(format!("{made:?}"), "Certificates");
    }
}
