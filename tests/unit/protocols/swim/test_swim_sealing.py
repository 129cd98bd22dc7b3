"""Encryption around messages, and the exchange of keys while a cluster runs."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.kernel import Malformed, NodeId, Seeds, milliseconds, seconds
from quorate.kernel.errors import ConfigError
from quorate.protocols.swim import ALIVE, MESSAGES, SEAL_BYTES, Keyring, Ping, SealedCodec, Swim, SwimConfig
from quorate.sim import CoreCluster, World

OLD, NEW = b"o" * 16, b"n" * 32


def codec(*keys: bytes) -> SealedCodec:
    ring = Keyring(keys[0])
    for key in keys[1:]:
        ring.add(key)
    rng = Seeds(1).stream("nonce")
    return SealedCodec(ring, lambda: rng.randbytes(12))


def test_a_message_comes_back_and_its_content_does_not_show() -> None:
    sealed = codec(OLD).encode(Ping(77))
    assert codec(OLD).decode(sealed) == Ping(77)
    assert len(sealed) == len(MESSAGES.encode(Ping(77))) + SEAL_BYTES
    assert b"Ping" not in sealed


@settings(max_examples=120, deadline=None, derandomize=True)
@given(place=st.integers(0, 60), flip=st.integers(1, 255))
def test_any_changed_byte_is_noticed(place: int, flip: int) -> None:
    sealed = bytearray(codec(OLD).encode(Ping(77)))
    sealed[place % len(sealed)] ^= flip
    with pytest.raises(Malformed):
        codec(OLD).decode(bytes(sealed))


@settings(max_examples=80, deadline=None, derandomize=True)
@given(data=st.binary(max_size=80))
def test_garbage_is_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        codec(OLD).decode(data)


def test_a_stranger_without_the_key_is_not_understood() -> None:
    with pytest.raises(Malformed, match="not in the ring"):
        codec(OLD).decode(codec(NEW).encode(Ping(1)))


def test_keys_that_cannot_be_used_are_refused() -> None:
    ring = Keyring(OLD)
    for act in (lambda: Keyring(b"short"), lambda: ring.use(b"none"), lambda: ring.remove(ring.key_ids[0])):
        with pytest.raises(ConfigError):
            act()


def test_keys_are_exchanged_in_three_steps_without_anybody_unheard() -> None:
    """Two members, one always a step ahead: at every moment each reads the other."""
    one, other = codec(OLD), codec(OLD)
    old = one.keyring.key_ids[0]

    def understand_each_other() -> bool:
        return other.decode(one.encode(Ping(1))) == Ping(1) and one.decode(other.encode(Ping(2))) == Ping(2)

    for ring in (one.keyring, other.keyring):
        ring.add(NEW)
        assert understand_each_other()
    new = one.keyring.key_ids[1]
    for ring in (one.keyring, other.keyring):
        ring.use(new)
        assert understand_each_other()
    for ring in (one.keyring, other.keyring):
        ring.remove(old)
        assert understand_each_other()
    with pytest.raises(Malformed):
        one.decode(codec(OLD).encode(Ping(3)))


def test_a_cluster_lives_behind_encryption() -> None:
    """Five members join through one and know each other, every message sealed and opened."""
    world = World(1)

    def make(node: NodeId, records: list, rng) -> Swim:
        return Swim(SwimConfig(node=node, seeds=(NodeId(1),) if node != 1 else ()), records, rng)

    cluster = CoreCluster(world, make, range(1, 6), codec=codec(OLD))
    cluster.start()

    def is_complete() -> bool:
        machines = [host.machine for host in cluster.hosts.values()]
        return all(machine.members.active_count == 5 and machine.own.status == ALIVE for machine in machines)  # type: ignore[attr-defined]

    assert cluster.run_until(is_complete, timeout=seconds(60), period=milliseconds(200))
