"""Order of answers, back-pressure and ends of connections, with a backend that answers when it is told."""

from quorate.doors.resp import RespConfig
from quorate.kernel import seconds
from quorate.store import LocalBackend


def test_a_read_behind_a_write_in_flight_goes_through_the_log(desk):
    connection, transport = desk.connect()
    connection.data_received(b"SET k 1\r\nGET k\r\n")
    assert [kind for kind, _ in desk.backend.calls] == ["write", "write"]
    desk.backend.turn()
    assert transport.take() == b"+OK\r\n$1\r\n1\r\n"


def test_a_write_behind_a_read_in_flight_waits_and_so_does_all_behind_it(desk):
    connection, transport = desk.connect()
    connection.data_received(b"GET k\r\nSET k 1\r\nGET k\r\nPING\r\n")
    assert [kind for kind, _ in desk.backend.calls] == ["read"]
    assert transport.take() == b""
    desk.backend.turn()
    assert [kind for kind, _ in desk.backend.calls] == ["read", "write", "write"]
    desk.backend.turn()
    assert transport.take() == b"$-1\r\n+OK\r\n$1\r\n1\r\n+PONG\r\n"


def test_what_the_door_answers_itself_keeps_its_place(desk):
    connection, transport = desk.connect()
    connection.data_received(b"ECHO a\r\nSET k 1\r\nECHO b\r\nECHO c\r\nSET k 2\r\nNOSUCH\r\nGET k\r\nECHO d\r\n")
    assert transport.take() == b"$1\r\na\r\n"
    desk.backend.turn(1)
    assert transport.take() == b"+OK\r\n$1\r\nb\r\n$1\r\nc\r\n"
    desk.backend.turn()
    assert transport.take() == (
        b"+OK\r\n-ERR unknown command 'NOSUCH', with args beginning with: \r\n$1\r\n2\r\n$1\r\nd\r\n"
    )


def test_all_answers_of_a_turn_leave_in_one_write(desk):
    connection, transport = desk.connect()
    connection.data_received(b"SET k 1\r\n" * 50)
    desk.backend.turn()
    assert transport.chunks == [b"+OK\r\n" * 50]


def test_a_turn_with_a_backend_that_answers_at_once_is_one_write_too(local_desk):
    connection, transport = local_desk.connect()
    connection.data_received(b"SET k 1\r\nGET k\r\n" * 10)
    assert transport.chunks == [b"+OK\r\n$1\r\n1\r\n" * 10]


def test_a_long_pipeline_pauses_reading_until_half_is_answered(make_desk):
    desk = make_desk(RespConfig(pipeline_count_max=10))
    connection, transport = desk.connect()
    connection.data_received(b"SET k 1\r\n" * 25)
    assert len(desk.backend.calls) == 10
    assert transport.is_paused
    desk.backend.turn()
    assert len(desk.backend.calls) == 20
    assert transport.is_paused
    desk.backend.turn()
    assert not transport.is_paused
    desk.backend.turn()
    assert transport.take() == b"+OK\r\n" * 25


def test_a_client_that_takes_no_answers_is_not_read_from(desk):
    connection, transport = desk.connect()
    connection.pause_writing()
    assert transport.is_paused
    connection.data_received(b"PING\r\n")
    assert transport.take() == b""
    connection.resume_writing()
    assert not transport.is_paused
    assert transport.take() == b"+PONG\r\n"


def test_a_client_that_takes_nothing_for_too_long_is_disconnected(desk):
    connection, transport = desk.connect()
    desk.server._housekeeping_timer = desk.clock.call_after(0, desk.server._keep_house)
    connection.pause_writing()
    desk.clock.advance(seconds(59))
    assert not transport.is_ended
    desk.clock.advance(seconds(3))
    assert transport.is_ended
    assert desk.server.overrun_count == 1


def test_a_client_with_too_much_untaken_output_is_disconnected(make_desk):
    desk = make_desk(RespConfig(output_pause_bytes=100, output_bytes_max=1000), LocalBackend)
    connection, transport = desk.connect()
    connection.data_received(b"SET k 1\r\n")
    transport.untaken_bytes = 1001
    connection.pause_writing()
    connection.push(b"x")
    connection.flush()
    assert transport.is_ended


def test_a_cheap_request_cannot_gather_much_while_nobody_reads(local_desk):
    """COMMAND answers with kilobytes: after the first, the full transport stops the rest of the piece."""
    connection, transport = local_desk.connect()

    def write(data):
        transport.chunks.append(bytes(data))
        if connection.is_writable:
            connection.pause_writing()

    transport.write = write
    connection.data_received(b"COMMAND\r\n" * 1000)
    assert len(transport.chunks) == 1
    assert connection.backlog_count == 999


def test_answers_that_come_after_the_end_go_nowhere(desk):
    connection, transport = desk.connect()
    connection.data_received(b"SET k 1\r\nGET k\r\n")
    connection.connection_lost(None)
    desk.backend.turn()
    assert transport.take() == b""
    assert desk.server.connections == {}


def test_a_protocol_error_is_told_after_the_answers_before_it_and_ends_the_connection(desk):
    connection, transport = desk.connect()
    connection.data_received(b"SET k 1\r\n*1\r\n:1\r\nSET k 2\r\n")
    assert not transport.is_ended
    desk.backend.turn()
    assert transport.take() == b"+OK\r\n-ERR Protocol error: expected '$', got ':'\r\n"
    assert transport.is_ended
    assert desk.ask(desk.connect(), "GET k") == b"$1\r\n1\r\n", "the door serves others"


def test_a_half_closed_connection_gets_its_answers_first(desk):
    connection, transport = desk.connect()
    connection.data_received(b"SET k 1\r\nGET k\r\n")
    assert connection.eof_received() is True
    assert not transport.is_ended
    desk.backend.turn()
    assert transport.take() == b"+OK\r\n$1\r\n1\r\n"
    assert transport.is_ended


def test_quit_answers_and_ends_and_nothing_behind_it_runs(desk):
    connection, transport = desk.connect()
    connection.data_received(b"SET k 1\r\nQUIT\r\nSET k 2\r\n")
    desk.backend.settle()
    assert transport.take() == b"+OK\r\n+OK\r\n"
    assert transport.is_ended
    assert desk.ask(desk.connect(), "GET k") == b"$1\r\n1\r\n"


def test_one_connection_too_many_is_told_and_closed(make_desk):
    desk = make_desk(RespConfig(connection_count_max=2))
    desk.connect()
    first, _ = desk.connect()
    refused, transport = desk.connect()
    assert transport.take() == b"-ERR max number of clients reached\r\n"
    assert transport.is_ended
    refused.connection_lost(None)
    assert len(desk.server.connections) == 2
    first.connection_lost(None)
    assert desk.ask(desk.connect(), "PING") == b"+PONG\r\n"


def test_a_web_page_that_talks_to_the_port_is_cut_off(desk):
    connection, transport = desk.connect()
    connection.data_received(b"POST / HTTP/1.1\r\nHost: x\r\n\r\nSET k 1\r\n")
    assert transport.is_ended
    assert transport.take() == b""
    assert desk.backend.calls == []


def test_an_idle_client_is_disconnected_after_the_timeout_that_was_set(desk):
    desk.server._housekeeping_timer = desk.clock.call_after(0, desk.server._keep_house)
    idle, subscriber = desk.connect(), desk.connect()
    assert desk.ask(subscriber, "SUBSCRIBE c").startswith(b"*3")
    assert desk.ask(desk.connect(), "CONFIG SET timeout 10") == b"+OK\r\n"
    desk.clock.advance(seconds(12))
    assert idle[1].is_ended
    assert not subscriber[1].is_ended, "whoever subscribes may be silent"
