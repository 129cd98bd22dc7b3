"""Garbage and nonsense through a whole connection: never an exception, and one answer for each request."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quorate.doors.resp.table import DOOR_COMMANDS
from quorate.store import COMMANDS, LocalBackend

SETTINGS = settings(
    max_examples=200, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
WORDS = st.sampled_from(
    [b"k", b"0", b"1", b"-1", b"9" * 19, b"9" * 25, b"", b"*", b"\xff\x00", b"LIST", b"ID", b"GET", b"SET", b"HELP", b"INFO", b"KILL",
     b"REPLY", b"ON", b"OFF", b"SKIP", b"PAUSE", b"SETNAME", b"LEFT", b"TYPE", b"3", b"2", b"local", b"ADD", b"AUTH", b"nan", b"1e400"]
)  # fmt: skip
REQUESTS = st.lists(
    st.tuples(st.sampled_from(sorted([*DOOR_COMMANDS, *COMMANDS])), st.lists(WORDS, max_size=5)),
    min_size=1,
    max_size=12,
)


def pack(name, words):
    parts = [name, *words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)


@SETTINGS
@given(st.lists(st.binary(max_size=60), max_size=5))
def test_random_bytes_never_raise(make_desk, pieces):
    desk = make_desk(None, LocalBackend)
    connection, transport = desk.connect()
    for piece in pieces:
        connection.data_received(piece)
    if not transport.is_ended:
        connection.eof_received()
    connection.connection_lost(None)
    assert desk.server.connections == {}


@SETTINGS
@given(REQUESTS)
def test_any_command_with_any_arguments_never_raises_and_leaves_nothing_behind(make_desk, requests):
    desk = make_desk()
    client, other = desk.connect(), desk.connect()
    for name, words in requests:
        client[0].data_received(pack(name, words))
        desk.backend.settle()
        desk.clock.advance(10_000_000)
        desk.backend.settle()
    client[0].connection_lost(None)
    desk.server.unpause()
    desk.backend.settle()
    assert desk.server.blocking.count == 0
    assert desk.server.pubsub.channels == {}
    if not other[1].is_ended:
        assert desk.ask(other, "PING") == b"+PONG\r\n"
