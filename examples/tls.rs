//! A cluster with TLS and a password, that asks its clients for a certificate.
//!
//! `cargo run --example tls`, or as a test: `cargo test --example tls`. The server must have been
//! built with TLS.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;

use rcluster::blocking::Cluster;
use redis::cluster::ClusterClient;
use redis::{ClientTlsConfig, TlsCertificates};

fn main() -> Result<(), Box<dyn Error>> {
    let cluster = Cluster::builder()
        .primaries(3)
        .replicas(1)
        .tls()
        .require_client_certificates()
        .generate_password()
        .start_blocking()?;
    let tls = cluster.tls().ok_or("there is no TLS")?;
    println!(
        "TLS at {}, its CA in {}",
        cluster.addresses()[0],
        tls.ca_path().display()
    );

    // Certificates as this client takes them, in PEM; others take the paths. The password is in the
    // URLs.
    let certificates = |client: bool| TlsCertificates {
        client_tls: client.then(|| ClientTlsConfig {
            client_cert: tls.certificate_pem().into(),
            client_key: tls.key_pem().into(),
        }),
        root_cert: Some(tls.ca_pem().into()),
    };
    let client = ClusterClient::builder(tls.urls())
        .certs(certificates(true))
        .build()?;
    let mut connection = client.get_connection()?;
    redis::cmd("SET").arg("wat").arg(2).exec(&mut connection)?;

    let stranger = ClusterClient::builder(tls.urls())
        .certs(certificates(false))
        .build()?;
    assert!(
        stranger.get_connection().is_err(),
        "let in without a certificate"
    );

    cluster.stop()?;
    Ok(())
}

#[test]
fn it_runs() -> Result<(), Box<dyn Error>> {
    main()
}
