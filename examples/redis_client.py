"""Redis clients as they are: any node answers, reads are linearizable, and a majority has what was acknowledged.

    quorate up --nodes 3
    python examples/redis_client.py 127.0.0.1:6380 127.0.0.1:6381

Needs the `redis` package (redis-py).

Prints:
    written at one node, read at another: b'hello'
    a pipeline: [True, 1, 2]
    a transaction that lost a race: nothing was done
    a cluster client finds the leader: b'hello'
"""

import sys

import redis
import redis.cluster


def lose_a_race(one: redis.Redis, other: redis.Redis) -> str:
    """WATCH a key, let somebody else change it, and try to EXEC."""
    with one.pipeline() as tx:
        tx.watch("n")
        other.set("n", 7)
        tx.multi()
        tx.set("n", 8)
        try:
            tx.execute()
        except redis.WatchError:
            return "nothing was done"
    return "it was applied"


def main(first: str, second: str) -> None:
    """Use two nodes of one cluster."""
    hosts = [(host, int(port)) for host, _, port in (address.rpartition(":") for address in (first, second))]
    one, other = (redis.Redis(host=host, port=port) for host, port in hosts)
    with one, other:
        one.set("greeting", "hello")
        print("written at one node, read at another:", other.get("greeting"))
        with one.pipeline(transaction=False) as batch:
            batch.set("n", 0).incr("n").incr("n")
            print("a pipeline:", batch.execute())
        print("a transaction that lost a race:", lose_a_race(one, other))
    with redis.cluster.RedisCluster(host=hosts[0][0], port=hosts[0][1]) as cluster:
        print("a cluster client finds the leader:", cluster.get("greeting"))


if __name__ == "__main__":
    main(*sys.argv[1:3])
