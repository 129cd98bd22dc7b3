"""Garbage and cuts of all kinds: the readers agree, and no byte sequence raises."""

from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.doors.resp import RequestParser

TOKENS = st.sampled_from(
    [
        b"*",
        b"$",
        b"\r\n",
        b"\n",
        b"1",
        b"2",
        b"0",
        b"-1",
        b"3",
        b"SET",
        b"PING",
        b"a",
        b'"',
        b"'",
        b" ",
        b"+",
        b":",
        b"=5",
        b"\\x4",
        b"#t",
        b"|1",
        b">2",
        b"~1",
        b"%1",
        b"(1",
        b",1.5",
        b"_",
        b"*3\r\n$3\r\nSET\r\n",
        b"$1\r\na\r\n",
        b"*1\r\n$4\r\nPING\r\n",
        b"\x00",
        b"\xff",
        b"*1\r\n*1\r\n",
        b"99999999",
    ]
)
GARBAGE = st.one_of(st.binary(max_size=200), st.lists(TOKENS, max_size=40).map(b"".join))
REQUESTS = st.lists(st.lists(st.binary(max_size=30), min_size=1, max_size=5), min_size=1, max_size=8)
SETTINGS = settings(max_examples=300, deadline=None, derandomize=True)


def parser(*, native):
    return RequestParser(bulk_bytes_max=4096, count_max=1024, request_bytes_max=8192, native=native)


def pack(requests):
    return b"".join(
        b"*%d\r\n" % len(request) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in request)
        for request in requests
    )


def feed_all(reader, data, cuts):
    requests, start = [], 0
    for cut in [*sorted(cut % (len(data) + 1) for cut in cuts), len(data)]:
        requests += reader.feed(data[start:cut])
        start = cut
    return requests, reader.error


@SETTINGS
@given(REQUESTS, st.lists(st.integers(0, 10_000), max_size=6))
def test_well_formed_requests_come_out_as_they_went_in(requests, cuts):
    data = pack(requests)
    for native in (True, False):
        assert feed_all(parser(native=native), data, cuts) == (requests, None)


@SETTINGS
@given(GARBAGE, st.lists(st.integers(0, 10_000), max_size=6))
def test_both_readers_agree_on_garbage_however_it_is_cut(data, cuts):
    whole = feed_all(parser(native=False), data, [])
    assert feed_all(parser(native=True), data, []) == whole
    assert feed_all(parser(native=True), data, cuts) == whole
    assert feed_all(parser(native=False), data, cuts) == whole


@SETTINGS
@given(REQUESTS, GARBAGE)
def test_garbage_behind_requests_does_not_change_them(requests, garbage):
    found, _ = feed_all(parser(native=True), pack(requests) + garbage, [])
    assert found[: len(requests)] == requests
    assert feed_all(parser(native=False), pack(requests) + garbage, [])[0] == found
