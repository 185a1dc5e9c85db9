//! A primary is killed, its replica takes over, and the client goes on.
//!
//! `cargo run --example failover`, or as a test: `cargo test --example failover`.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::time::{Duration, Instant};

use rcluster::Cluster;
use redis::cluster::ClusterClient;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let cluster = Cluster::builder()
        .primaries(3)
        .replicas(1)
        // After a second without an answer a node is called failing.
        .node_timeout(Duration::from_secs(1))
        // A replica that comes back is not made to wait 5 s for others.
        .set("repl-diskless-sync-delay", "0")
        .start()
        .await?;
    let client = ClusterClient::new(cluster.urls())?;
    let mut connection = client.get_async_connection().await?;
    redis::cmd("SET")
        .arg("wat")
        .arg("before")
        .exec_async(&mut connection)
        .await?;
    // A failover loses what no replica has: this waits for one.
    redis::cmd("WAIT")
        .arg(1)
        .arg(1000)
        .exec_async(&mut connection)
        .await
        .ok();

    let status = cluster.status().await?;
    let old = status.primary_of_key("wat").ok_or("nobody owns the slot")?;
    println!("killing {}, the primary of wat", old.address());
    let began = Instant::now();
    cluster.kill(old).await?;
    cluster.wait_serving().await?;
    println!("all slots are served again after {:.1?}", began.elapsed());

    let status = cluster.status().await?;
    let new = status.primary_of_key("wat").ok_or("nobody owns the slot")?;
    assert_ne!(new.id(), old.id());
    let value: String = redis::cmd("GET")
        .arg("wat")
        .query_async(&mut connection)
        .await?;
    assert_eq!(value, "before");

    // The old primary comes back as a replica of the new one …
    cluster.start_nodes().await?;
    let status = cluster.status().await?;
    assert!(status.is_ready());
    let back = status.nodes().iter().find(|node| node.id() == old.id());
    let back = back.ok_or("it is gone")?;
    assert!(back.is_replica_of(new));

    // … and gets its place again, this time without a crash and without losing a write.
    cluster.failover(back).await?;
    let status = cluster.status().await?;
    let owner = status.primary_of_key("wat").ok_or("nobody owns the slot")?;
    assert_eq!(owner.id(), old.id());
    println!("{} is the primary of wat again", owner.address());

    cluster.stop().await?;
    Ok(())
}

#[test]
fn it_runs() -> Result<(), Box<dyn Error>> {
    main()
}
