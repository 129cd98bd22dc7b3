"""The request parser: whole and half requests, inline commands, and every sentence for what makes no sense."""

import pytest

from quorate.doors.resp import RequestParser
from quorate.doors.resp.inline import split_inline

SET = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$4\r\na\r\nb\r\n"


def parser(*, native=True, **limits):
    return RequestParser(
        **{"bulk_bytes_max": 65536, "count_max": 2048, "request_bytes_max": 100_000, **limits}, native=native
    )


@pytest.mark.parametrize("native", [True, False])
def test_a_request_is_complete_only_with_its_last_byte(native):
    reader = parser(native=native)
    for offset in range(len(SET) - 1):
        assert reader.feed(SET[offset : offset + 1]) == []
    assert reader.feed(SET[-1:]) == [[b"SET", b"k", b"a\r\nb"]]
    assert reader.buffered_bytes == 0


@pytest.mark.parametrize("native", [True, False])
def test_a_pipeline_and_inline_commands_mix(native):
    reader = parser(native=native)
    assert reader.feed(SET + b"PING\r\n\r\n*0\r\n*-1\r\nget 'a b'\n" + SET) == [
        [b"SET", b"k", b"a\r\nb"],
        [b"PING"],
        [b"get", b"a b"],
        [b"SET", b"k", b"a\r\nb"],
    ]
    assert reader.error is None


def test_a_value_of_many_pieces_arrives_whole():
    value = bytes(range(256)) * 200
    reader = parser()
    data = b"*2\r\n$4\r\nECHO\r\n$%d\r\n%b\r\n" % (len(value), value)
    requests = [request for at in range(0, len(data), 777) for request in reader.feed(data[at : at + 777])]
    assert requests == [[b"ECHO", value]]


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"*abc\r\n", "invalid multibulk length"),
        (b"*01\r\n", "invalid multibulk length"),
        (b"*+1\r\n", "invalid multibulk length"),
        (b"*4096\r\n", "invalid multibulk length"),
        (b"*99999999999999999999999\r\n", "invalid multibulk length"),
        (b"*1\r\n:1\r\n", "expected '$', got ':'"),
        (b"*1\r\n*1\r\n$1\r\na\r\n", "expected '$', got '*'"),
        (b"*1\r\n\xff", "expected '$', got '?'"),
        (b"*1\r\n$-1\r\n", "invalid bulk length"),
        (b"*1\r\n$x\r\n", "invalid bulk length"),
        (b"*1\r\n$65537\r\n", "invalid bulk length"),
        (b"*1\r\n$1_0\r\n", "invalid bulk length"),
        (b"*3\r\n" + b"$50000\r\n" + b"x" * 50000 + b"\r\n$50001\r\n", "too big request"),
        (b"*" + b"1" * 70000, "too big mbulk count string"),
        (b"*1\r\n$" + b"1" * 70000, "too big bulk count string"),
        (b"x" * 70000, "too big inline request"),
        (b"x" * 70000 + b"\r\n", "too big inline request"),
        (b'get "a\r\n', "unbalanced quotes in request"),
        (b"get 'a'b\r\n", "unbalanced quotes in request"),
    ],
    ids=lambda value: repr(value)[:24],
)
@pytest.mark.parametrize("native", [True, False])
def test_what_makes_no_sense_is_told_in_one_sentence(data, sentence, native):
    reader = parser(native=native)
    assert reader.feed(b"*1\r\n$4\r\nPING\r\n" + data) == [[b"PING"]]
    assert reader.error == f"Protocol error: {sentence}"
    assert reader.feed(b"*1\r\n$4\r\nPING\r\n") == [], "nothing is taken after an error"


def test_an_array_that_claims_to_be_huge_takes_no_memory():
    """hiredis would set aside eight bytes for each element that a header claims."""
    reader = parser(count_max=1 << 30)
    assert reader.feed(b"*1000000000\r\n$1\r\na\r\n") == []
    assert reader.error is None
    assert reader.buffered_bytes < 100


def test_strangers_have_small_limits():
    reader = parser()
    reader.is_authenticated = False
    reader.append(b"*11\r\n")
    assert list(reader.requests()) == []
    assert reader.error == "Protocol error: unauthenticated multibulk length"
    reader = parser()
    reader.is_authenticated = False
    reader.append(b"*1\r\n$20000\r\n")
    assert list(reader.requests()) == []
    assert reader.error == "Protocol error: unauthenticated bulk length"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"", []),
        (b"  a\tb  ", [b"a", b"b"]),
        (rb'"\x41\n\"\q"', [b'A\n"q']),
        (rb"'a\'b\n'", [b"a'b\\n"]),
        (b'a"b"', [b"ab"]),
        (b'""', [b""]),
        (b'"', None),
        (b"'a", None),
        (b'"a"b', None),
    ],
)
def test_inline_words_are_split_as_redis_splits_them(line, words):
    assert split_inline(line) == words
