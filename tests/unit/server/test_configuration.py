"""A configuration is refused in one sentence that names the key, or it can be used."""

import runpy
from pathlib import Path

import msgspec
import pytest

from quorate.env import Address
from quorate.kernel.errors import ConfigError
from quorate.server import Config, Limits, Listen, Storage, Timing, check, load, parse_address

ROOT = Path(__file__).parents[3]
MINIMAL = 'node = 1\ndata = "d"\n[peers]\n1 = "a:1"\n'


def test_the_smallest_configuration_has_three_keys() -> None:
    config = load(MINIMAL)
    assert (config.node, config.data, config.peers) == (1, "d", {1: "a:1"})
    assert config.peer_addresses == {1: Address("a", 1)}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (MINIMAL + "[storag]\nx = 1", "unknown key storag; did you mean storage?"),
        (MINIMAL + "[listen]\nredis_port = 1", "unknown key listen.redis_port; did you mean listen.redis?"),
        (MINIMAL + "[listen]\nqqqq = 1", "known are http, peer, redis"),
        (MINIMAL.replace("node = 1", "node = 1\nlisten = 3"), "Expected `object`, got `int` - at `$.listen`"),
        (MINIMAL.replace("node = 1", "node = 1\ncluster = { a = 1 }"), "cluster is not a table"),
        (
            MINIMAL.replace("[peers]", "[storage]\nsegment_bytes_max = 0\n[peers]"),
            "segment_bytes_max: must be 1 or more",
        ),
        (MINIMAL.replace("[peers]", "[storage]\nfree_bytes_min = -1\n[peers]"), "free_bytes_min: must be 0 or more"),
        (MINIMAL.replace("[peers]", "[redis]\n1 = 'x'\n[peers]"), "redis.1: 'x' is not host:port"),
        (MINIMAL.replace("[peers]", "[tls]\nredis = true\n[peers]"), "tls.redis: certificate, key and authority"),
        (MINIMAL.replace('"d"', '""'), "data: a directory is needed"),
        (MINIMAL.replace("node = 1", f"node = 1\ncluster = '{'x' * 201}'"), "cluster: a name has 1 to 200 bytes"),
        (MINIMAL + '2 = "b:2"\n[listen]\npeer = ""', "listen.peer: '' is not host:port"),
        (MINIMAL.replace('"a:1"', '"a:70000"'), "peers.1: 'a:70000' is not host:port"),
    ],
)
def test_what_cannot_be_used_is_named(text: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load(text, name="node.toml")
    assert sentence in str(refused.value)
    assert str(refused.value).startswith(("node.toml: ", "peers."))


def test_the_defaults_fit_together() -> None:
    check(Config(node=1, data="d", peers={1: "a:1"}))
    for table in (Listen, Limits, Timing, Storage):
        assert msgspec.structs.asdict(table())


def test_addresses_may_be_of_version_6() -> None:
    assert parse_address("[::1]:80", "x") == Address("::1", 80)
    for text in ("", ":", "a", "a:", ":1", "a:b", "a:-1", "a:65536"):
        with pytest.raises(ConfigError, match=r"x: .* is not host:port"):
            parse_address(text, "x")


def test_the_page_of_the_configuration_is_up_to_date_and_explains_every_key() -> None:
    page: str = runpy.run_path(str(ROOT / "tools" / "configuration_page.py"))["page"]()
    assert (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8") == page, (
        "run: python tools/configuration_page.py"
    )
    rows = [row.split(" | ") for row in page.splitlines() if row.startswith("| `")]
    assert len(rows) > 25
    assert [row[0] for row in rows if not row[3].strip(" |")] == []
