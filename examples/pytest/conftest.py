import os, subprocess, pytest, redis

# A cluster of its own for each session. `cat` ends when pytest does, however that ends, and the cluster with it.
@pytest.fixture(scope="session", params=[(), ("--tls", "--generate-password")], ids=["plain", "tls"])
def cluster(request):
    show = ["sh", "-c", 'echo "$REDIS_URL"; echo "$RCLUSTER_TLS_CA"; exec cat']
    command = ["rcluster", "run", "--quiet", *request.param, "--", *show]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as run:
        url, ca = run.stdout.readline().strip(), run.stdout.readline().strip()
        with redis.RedisCluster.from_url(url, **({"ssl_ca_certs": ca} if ca else {})) as client:
            yield client
