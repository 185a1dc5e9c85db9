import pytest
from redis.exceptions import RedisClusterException


def test_keys_of_all_primaries(cluster):
    for number in range(100):
        assert cluster.set(f"key:{number}", number)
    assert [int(cluster.get(f"key:{number}")) for number in range(100)] == list(range(100))
    assert len(cluster.get_primaries()) == 3 and len(cluster.get_replicas()) == 3
    assert all(cluster.dbsize(target_nodes=node) > 0 for node in cluster.get_primaries())


def test_what_only_a_cluster_refuses(cluster):
    with pytest.raises(RedisClusterException):
        cluster.execute_command("SINTER", "one", "two")
    assert cluster.mset({"{user}:1": "a", "{user}:2": "b"})
