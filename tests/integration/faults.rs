//! What tests in Rust do to a cluster that runs, and what they wait for afterwards.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rcluster::{Cluster, ClusterBuilder, Node};

use crate::sandbox::{Sandbox, redis, signal, wait_for};

fn builder(dir: &Path) -> ClusterBuilder {
    fs::create_dir_all(dir).expect("made");
    let builder = Cluster::builder().directory(dir);
    match std::env::var("RCLUSTER_TEST_SERVER") {
        Ok(server) => builder.server(server),
        Err(_) => builder,
    }
}

/// Waits until the node on `port` has heard that `primary` failed.
fn wait_until_called_failed(port: u64, primary: &Node) {
    let id = format!("{} ", primary.id());
    wait_for("the primary to be called failed", || {
        let nodes = redis(port, &["cluster", "nodes"]);
        let line = nodes.lines().find(|line| line.starts_with(&id))?;
        // `nofailover` may follow, and `fail?` is only a suspicion.
        let failed = line.contains("master,fail ") || line.contains("master,fail,");
        failed.then_some(())
    });
}

#[test]
fn a_replica_that_refuses_a_failover_for_a_while_is_asked_again() {
    let sandbox = Sandbox::new();
    let cluster = builder(&sandbox.path().join("tmp"))
        .primaries(3)
        .replicas(1)
        .node_timeout(Duration::from_secs(1))
        .start_blocking()
        .expect("started");
    let status = cluster.status().expect("seen");
    let old = status.primary_of_key("wat").expect("an owner");
    let replica = status.replicas_of(old).next().expect("a replica");
    let port = u64::from(replica.address().port());
    let set = ["config", "set", "cluster-replica-no-failover", "yes"];
    assert_eq!(redis(port, &set), "OK");
    // Called failed, a primary stays so for two node timeouts after it is back.
    let pid = old.pid().expect("it runs");
    signal("STOP", pid);
    wait_until_called_failed(port, old);
    signal("CONT", pid);
    let refusal = redis(port, &["cluster", "failover"]);
    assert!(refusal.contains("down or failed"), "{refusal}");
    cluster.failover(replica).expect("taken over");
    let status = cluster.wait_ready().expect("ready");
    let owner = status.primary_of_key("wat").expect("an owner");
    assert_eq!(owner.id(), replica.id());

    // One that is dead will never agree.
    let heir = status.replicas_of(owner).next().expect("a replica");
    let port = u64::from(heir.address().port());
    assert_eq!(redis(port, &set), "OK");
    cluster.kill(owner).expect("killed");
    wait_until_called_failed(port, owner);
    let error = cluster.failover(heir).expect_err("a dead primary");
    assert_eq!(error.code(), "node_error", "{error:?}");
    cluster.stop().expect("stopped");
}

#[test]
fn who_waits_keeps_connections_and_asks_for_writes() {
    let sandbox = Sandbox::new();
    let cluster = builder(&sandbox.path().join("tmp"))
        .primaries(1)
        .replicas(1)
        .timeout(Duration::from_secs(3))
        .start_blocking()
        .expect("started");
    let nodes = cluster.nodes().expect("seen");
    let port = u64::from(nodes[0].address().port());
    let connections = || -> u64 {
        let stats = redis(port, &["info", "stats"]);
        let mut lines = stats.lines();
        let number = lines.find_map(|line| line.strip_prefix("total_connections_received:"));
        number.expect("a number").trim().parse().expect("a number")
    };
    cluster.kill(&nodes[1]).expect("killed");
    let before = connections();
    let began = Instant::now();
    let error = cluster.wait_ready().expect_err("a node is dead");
    assert_eq!(error.code(), "timed_out", "{error:?}");
    assert!(began.elapsed() >= Duration::from_secs(3));
    let more = connections() - before;
    assert!(more < 10, "{more} connections in one wait");
    cluster.wait_serving().expect("the primary lives");

    let set = ["config", "set", "min-replicas-to-write", "1"];
    assert_eq!(redis(port, &set), "OK");
    let error = cluster.wait_serving().expect_err("it takes no writes");
    let said = format!("{error:?}");
    assert!(said.contains("NOREPLICAS"), "{said}");
    cluster.stop().expect("stopped");
}
