"""Claims about patterns, numbers, draws, replies and forms at rest."""

import fnmatch

import pytest

from quorate.kernel.errors import Corrupt, ForeignData
from quorate.store import NIL_ARRAY, OK, Glob, Pairs, ReplyError, ReplySet, format_double
from quorate.store.chance import Stream
from quorate.store.extended import add, extended, printed
from quorate.store.ordered import prefix_end
from quorate.store.rest import Meta, decode_meta, encode_meta, pack_reply, unpack_reply
from quorate.store.values import Entry, Hash, List, Set, SortedSet, copy_value, decode_entry, encode_entry


def test_patterns_match_as_shell_patterns_do() -> None:
    """Where both mean the same."""
    names = ["", "a", "b", "ab", "abc", "a.c", "xabcx", "aXbXc", "*", "a*"]
    patterns = ["*", "a*", "*a", "*a*", "?", "a?c", "a*b*c", "[ab]", "*[bc]", "a", "", "??", "*b*c*", "[a-b]?"]
    for pattern in patterns:
        glob = Glob(pattern.encode())
        for name in names:
            assert glob.matches(name.encode()) == fnmatch.fnmatchcase(name, pattern), (pattern, name)


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        (b"\\*", b"*", True), (b"\\*", b"a", False), (b"[^a]", b"b", True), (b"[^a]", b"a", False), (b"[a", b"a", True),
        (b"[z-a]", b"m", True), (b"[\\]]", b"]", True), (b"a\\", b"a\\", True), (b"*\n", b"x\n", True), (b"[]", b"a", False),
    ],
)  # fmt: skip
def test_patterns_match_as_in_redis(pattern: bytes, name: bytes, *, expected: bool) -> None:
    """Escapes, negation, open classes, reversed ranges."""
    assert Glob(pattern).matches(name) is expected


def test_a_hostile_pattern_costs_little() -> None:
    """No backtracking over stars."""
    assert not Glob(b"*a" * 60 + b"b").matches(b"a" * 480)


def test_long_doubles_round_as_on_80_bit_machines() -> None:
    """Known answers of INCRBYFLOAT."""
    assert printed(add(extended(b"10.5"), extended(b"0.1"))) == b"10.6"
    assert printed(add(extended(b"5.0e3"), extended(b"2.0e2"))) == b"5200"
    assert printed(add(extended(b"0.1"), extended(b"0.2"))) == b"0.3"
    assert printed(extended(b"-0.5")) == b"-0.5"


def test_doubles_are_printed_with_17_digits() -> None:
    """As Redis 7.0 prints scores."""
    assert [format_double(value) for value in (3.0, 0.1, float("-inf"), 1e20)] == [
        b"3", b"0.10000000000000001", b"-inf", b"1e+20",
    ]  # fmt: skip


def test_a_sample_is_distinct_and_reaches_everything() -> None:
    """As many as asked for, all of them when asked for all."""
    assert sorted(Stream(1, 2).sample(10, 10)) == list(range(10))
    assert len(set(Stream(5).sample(50, 1000))) == 50
    assert Stream(1, 2).next() != Stream(2, 1).next()


def test_prefix_end_is_the_first_key_behind() -> None:
    """None when there is none."""
    assert prefix_end(b"ab") == b"ac"
    assert prefix_end(b"a\xff\xff") == b"b"
    assert prefix_end(b"\xff") is None and prefix_end(b"") is None


@pytest.mark.parametrize(
    "value",
    [
        b"", b"x\x00\xff", Hash({b"f": b"v", b"": b""}), List([b"b", b"a", b"b"]), Set([b"z", b"a"]),
        SortedSet([(float("inf"), b"top"), (-1.5, b"low")]),
    ],
)  # fmt: skip
def test_values_come_back_from_rest_as_they_were(value: object) -> None:
    """In the same order; a copy is the same too and shares nothing."""
    data = encode_entry(Entry(value, 7, 99))
    entry = decode_entry(data)
    assert (entry.version, entry.expires_ms, type(entry.value)) == (7, 99, type(value))
    assert encode_entry(entry) == data == encode_entry(Entry(copy_value(value), 7, 99))


@pytest.mark.parametrize(
    "data", [b"", b"\x10", b"\x10" + bytes(15), b"\x20" + bytes(16), b"\x19" + bytes(16), b"\x11" + bytes(16) + b"zz"]
)
def test_a_value_that_cannot_be_read_is_named_corrupt(data: bytes) -> None:
    """Cut short, of a newer format, of no type, with a broken payload."""
    with pytest.raises(Corrupt):
        decode_entry(data)


def test_replies_come_back_from_rest_as_they_were() -> None:
    """Every kind of reply a session may remember."""
    replies = [None, b"x", 5, -(1 << 63), 1.5, [b"a", [1, None]], {b"k": [1]}, ReplySet([b"m"]), OK, NIL_ARRAY,
               Pairs([(b"a", 1.0), (b"b", b"c")]), ReplyError("ERR", "no")]  # fmt: skip
    meta = Meta(1, 2, 3, 4, 5, [6], [(9, 1, pack_reply(reply)) for reply in replies], b"host")
    again = decode_meta(encode_meta(meta))
    assert [unpack_reply(packed) for _, _, packed in again.sessions] == replies


def test_a_meta_of_a_newer_version_is_refused() -> None:
    """By name; garbage is corrupt."""
    with pytest.raises(ForeignData):
        decode_meta(encode_meta(Meta(2, 2, 3, 4, 5, [6], [], b"")))
    for garbage in (b"", b"\xff", b"\x93\x01\x02", b"abc"):
        with pytest.raises(Corrupt):
            decode_meta(garbage)
