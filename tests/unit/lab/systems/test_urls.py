"""URLs of clusters: every part is understood, and what is none is refused in words that hold no password."""

import pytest

from quorate.env import Address
from quorate.kernel import errors
from quorate.lab.systems.urls import is_url, parse_cluster_url


def test_all_parts_are_taken_apart() -> None:
    url = parse_cluster_url("postgresql://ann:p%40ss@db1:5433,[::1],db3/shop%20one")
    assert url.family == "postgres"
    assert url.addresses == (Address("db1", 5433), Address("::1", 5432), Address("db3", 5432))
    assert (url.user, url.password, url.path) == ("ann", "p@ss", "shop one")
    assert "p@ss" not in str(url)


@pytest.mark.parametrize(
    ("text", "port"),
    [("redis://h", 6379), ("http://h", 2379), ("etcd://h/", 2379), ("zookeeper://h", 2181), ("nats://h", 4222)],
)
def test_a_port_that_is_not_said_is_the_usual_one(text: str, port: int) -> None:
    assert parse_cluster_url(text).addresses == (Address("h", port),)


@pytest.mark.parametrize(
    "text",
    [
        "ftp://h", "https://h", "rediss://h", "redis://", "redis://:pw@", "redis://h:0", "redis://h:99999", "redis://h:x",
        "redis://h:١", "redis://::1", "redis://:6379", "redis://h?db=1", "redis://h/0?x#y", "redis://" + "h," * 10,
    ],
)  # fmt: skip
def test_what_is_no_url_of_ours_is_refused(text: str) -> None:
    assert is_url(text)
    with pytest.raises(errors.UsageError) as refusal:
        parse_cluster_url(text)
    assert "pw" not in str(refusal.value)


def test_a_name_is_no_url() -> None:
    assert not is_url("redis")
