import pytest, redis
from subprocess import PIPE, Popen

OPTIONS = ()  # of `rcluster run`, such as ("--tls", "--generate-password") if the server was built with TLS

# A cluster of its own for each session. `cat` ends when pytest does, however that ends, and the cluster with it.
@pytest.fixture(scope="session")
def cluster():
    show = ["sh", "-c", 'echo "$REDIS_URL"; echo "$RCLUSTER_TLS_CA"; exec cat']
    with Popen(["rcluster", "run", "--quiet", *OPTIONS, "--", *show], stdin=PIPE, stdout=PIPE, text=True) as run:
        url, ca = run.stdout.readline().strip(), run.stdout.readline().strip()
        assert url, "rcluster run gave no cluster"
        with redis.RedisCluster.from_url(url, **({"ssl_ca_certs": ca} if ca else {})) as client:
            yield client
