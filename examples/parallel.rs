//! Clusters beside each other: of several shapes, by several threads, at once.
//!
//! `cargo run --example parallel`, or as a test: `cargo test --example parallel`. Arguments are
//! servers: `cargo run --example parallel -- redis-server valkey-server`.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::collections::HashSet;
use std::error::Error;
use std::thread;
use std::time::Instant;

use rcluster::ClusterBuilder;
use rcluster::blocking::Cluster;
use redis::cluster::ClusterClient;

fn main() -> Result<(), Box<dyn Error>> {
    let shapes = [(1, 0), (1, 1), (3, 0), (3, 1)];
    let builder =
        |(primaries, replicas)| Cluster::builder().primaries(primaries).replicas(replicas);
    let servers: Vec<String> = std::env::args().skip(1).collect();
    let builders: Vec<ClusterBuilder> = if servers.is_empty() {
        shapes.map(builder).into()
    } else {
        let of_each = |server: String| shapes.map(|shape| builder(shape).server(server.clone()));
        servers.into_iter().flat_map(of_each).collect()
    };
    run(builders)
}

fn run(builders: Vec<ClusterBuilder>) -> Result<(), Box<dyn Error>> {
    let began = Instant::now();
    let threads: Vec<_> = builders
        .into_iter()
        .map(|builder| thread::spawn(|| builder.start_blocking()))
        .collect();
    let mut clusters = Vec::new();
    for thread in threads {
        clusters.push(thread.join().map_err(|_| "a thread panicked")??);
    }
    println!("{} clusters in {:.2?}", clusters.len(), began.elapsed());

    let mut addresses = HashSet::new();
    for (number, cluster) in clusters.iter().enumerate() {
        println!("{cluster:?}");
        let is_new = |address| addresses.insert(address);
        assert!(
            cluster.addresses().iter().copied().all(is_new),
            "two nodes with one port"
        );
        // What one is told the others do not know.
        let mut connection = ClusterClient::new(cluster.urls())?.get_connection()?;
        redis::cmd("SET")
            .arg("number")
            .arg(number)
            .exec(&mut connection)?;
    }
    for (number, cluster) in clusters.iter().enumerate() {
        let mut connection = ClusterClient::new(cluster.urls())?.get_connection()?;
        let found: usize = redis::cmd("GET").arg("number").query(&mut connection)?;
        assert_eq!(found, number);
    }
    // Dropped, they are gone.
    Ok(())
}

#[test]
fn it_runs() -> Result<(), Box<dyn Error>> {
    let shape = Cluster::builder().primaries(3).replicas(1);
    run(vec![shape; 6])
}
