//! Clusters as fixtures: one for each test, or one for all tests of a file.
//!
//! Run by `cargo test --example fixture`; copy what you need into your `tests/`.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

fn main() {
    println!("these are tests: cargo test --example fixture");
}

#[cfg(test)]
mod tests {
    use std::error::Error;
    use std::process::Command;
    use std::sync::OnceLock;

    use rcluster::blocking::Cluster;
    use redis::cluster::ClusterClient;

    /// One for all tests of this program, made by the first that needs it. A static is never dropped:
    /// the servers end with the program all the same.
    fn shared() -> &'static Cluster {
        static CLUSTER: OnceLock<Cluster> = OnceLock::new();
        CLUSTER.get_or_init(|| {
            let cluster = Cluster::builder().primaries(3).replicas(0);
            cluster.start_blocking().expect("a cluster")
        })
    }

    #[test]
    fn a_cluster_of_ones_own() -> Result<(), Box<dyn Error>> {
        let cluster = Cluster::builder()
            .primaries(3)
            .replicas(1)
            .start_blocking()?;
        let mut connection = ClusterClient::new(cluster.urls())?.get_connection()?;
        redis::cmd("SET").arg("wat").arg(2).exec(&mut connection)?;
        let value: i32 = redis::cmd("GET").arg("wat").query(&mut connection)?;
        assert_eq!(value, 2);
        // Dropped, it would be gone too; this says what went wrong.
        Ok(cluster.stop()?)
    }

    /// Asynchronous, on any runtime.
    #[tokio::test]
    async fn an_asynchronous_one() -> Result<(), Box<dyn Error>> {
        let cluster = rcluster::Cluster::builder()
            .replicas(0)
            .set("maxmemory", "100mb")
            .start()
            .await?;
        let client = ClusterClient::new(cluster.urls())?;
        let mut connection = client.get_async_connection().await?;
        redis::cmd("SET")
            .arg("wat")
            .arg(2)
            .exec_async(&mut connection)
            .await?;
        Ok(())
    }

    /// Tests that share a cluster keep out of each other's keys.
    #[test]
    fn a_shared_one() -> Result<(), Box<dyn Error>> {
        let mut connection = ClusterClient::new(shared().urls())?.get_connection()?;
        redis::cmd("INCR")
            .arg("a_shared_one:count")
            .exec(&mut connection)?;
        Ok(())
    }

    /// A program under test finds the cluster in its environment.
    #[test]
    fn a_program_that_reads_its_environment() -> Result<(), Box<dyn Error>> {
        let output = Command::new("sh")
            .args(["-c", "echo $REDIS_CLUSTER_NODES"])
            .envs(shared().environment())
            .output()?;
        assert_eq!(String::from_utf8(output.stdout)?.split(',').count(), 3);
        Ok(())
    }
}
