"""The wrapper of every value that leaves as bytes."""

import pytest

from quorate.kernel import (
    BadPayload,
    Damaged,
    Envelope,
    ForeignBytes,
    Truncated,
    Undecodable,
    UnknownVersion,
    errors,
    seal,
    unseal,
)


def test_a_sealed_payload_comes_back_with_its_version() -> None:
    for payload in (b"", b"x", b"x" * 127, b"x" * 128, b"x" * 20_000):
        assert unseal("note", seal("note", 3, payload), newest=3) == (3, payload)


def test_a_small_value_costs_eight_bytes_and_its_name() -> None:
    assert len(seal("note", 1, b"")) == 8 + len("note")


def test_every_proper_prefix_is_truncated() -> None:
    data = seal("note", 1, b"x" * 300)
    for end in range(len(data)):
        with pytest.raises(Truncated):
            unseal("note", data[:end])


def test_every_flipped_bit_is_refused() -> None:
    data = seal("note", 1, b"hello")
    for bit in range(8 * len(data)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(Undecodable):
            unseal("note", changed)


def test_each_kind_of_wrong_bytes_has_its_own_error() -> None:
    data = seal("note", 1, b"hello")
    with pytest.raises(ForeignBytes, match="found a 'note'"):
        unseal("memo", data)
    with pytest.raises(ForeignBytes, match="do not begin"):
        unseal("note", b"{}")
    with pytest.raises(ForeignBytes, match="2 bytes follow"):
        unseal("note", data + b"ab")
    with pytest.raises(ForeignBytes, match="32 GiB"):
        unseal("note", b"Q\x01\x04note" + b"\xff" * 9)
    with pytest.raises(UnknownVersion, match="version 2; this program reads 1 to 1"):
        unseal("note", seal("note", 2, b""))
    with pytest.raises(Damaged):
        unseal("note", data[:-1] + bytes((data[-1] ^ 1,)))


def test_a_payload_of_the_wrong_form_is_refused() -> None:
    notes: Envelope[list[str]] = Envelope("note", 1, list[str])
    assert notes.decode(notes.encode(["a"])) == ["a"]
    with pytest.raises(BadPayload):
        notes.decode(seal("note", 1, b"\x01"))


def test_wrong_bytes_are_the_callers_fault_and_nothing_was_attempted() -> None:
    assert issubclass(Undecodable, errors.UsageError)
