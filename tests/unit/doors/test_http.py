"""The HTTP door: one strict request a connection."""

import pytest

from quorate.doors.http import HttpConfig, HttpServer, RequestReader
from quorate.kernel import LogIndex, NodeId, seconds
from quorate.store import KeyspaceInfo, NodeInfo, PeerInfo


def node_info(**changes):
    peer = PeerInfo(node=NodeId(2), address="b:1", reachable=True, match_index=LogIndex(5))
    fields = {
        "node": NodeId(1), "role": "leader", "leader": NodeId(1), "leader_address": "a:1", "term": 3,
        "commit_index": LogIndex(7), "applied_index": LogIndex(7), "peers": [peer], "counters": {"keys": 4},
    }  # fmt: skip
    return NodeInfo(**{**fields, **changes})


@pytest.fixture
def http(desk):
    """Return what sends bytes to a fresh connection and returns the answer."""
    info = [node_info()]
    server = HttpServer(desk.server.env, lambda: info[0], HttpConfig(connection_count_max=2), desk.server.numbers)

    def connect():
        from quorate.doors.http.server import _Connection

        connection = _Connection(server)
        transport = type(desk.connect()[1])()
        connection.connection_made(transport)
        return connection, transport

    def ask(data):
        connection, transport = connect()
        connection.data_received(data)
        assert transport.is_ended
        connection.connection_lost(None)
        return transport.take()

    ask.info, ask.connect, ask.server = info, connect, server
    return ask


def get(path):
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


def test_a_node_with_a_leader_is_healthy_and_ready(http):
    for path in ("/health", "/ready", "/health?verbose=1"):
        assert http(get(path)).startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_node_without_a_leader_says_so(http):
    http.info[0] = node_info(leader=None, role="candidate")
    answer = http(get("/health"))
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert answer.endswith(b"no leader is known (this node is candidate in term 3)\n")


def test_a_node_that_lost_its_leader_or_lags_is_not_ready(http):
    peer = PeerInfo(node=NodeId(2), address="b:1", reachable=False, match_index=LogIndex(0))
    http.info[0] = node_info(leader=NodeId(2), role="follower", peers=[peer])
    assert b"the leader, node 2, is not reachable from here" in http(get("/ready"))
    http.info[0] = node_info(commit_index=LogIndex(20_000))
    assert http(get("/health")).startswith(b"HTTP/1.1 200 ")
    assert b"19993 entries behind" in http(get("/ready"))


def test_each_keyspace_has_a_readiness_of_its_own_and_a_leaderless_one_needs_no_leader(http):
    fields = {"database": 3, "prefix": "", "design": "", "conflicts": "", "consistency": "", "read_repair": ""}
    told = KeyspaceInfo(name="carts", by="leaderless", counters={"topology_version": 1, "keys": 9}, **fields)
    untold = KeyspaceInfo(name="new", by="leaderless", counters={"topology_version": 0}, **fields)
    ledger = KeyspaceInfo(name="ledger", by="raft", counters={}, **fields)
    http.info[0] = node_info(leader=None, role="candidate", keyspaces=[told, untold, ledger])
    assert http(get("/ready/carts")).startswith(b"HTTP/1.1 200 ")
    assert b"has not been told which nodes hold it" in http(get("/ready/new"))
    assert b"no leader is known" in http(get("/ready/ledger"))
    assert b"there is no keyspace 'x'" in http(get("/ready/x"))
    assert b'quorate_keyspace_keys{keyspace="carts"} 9\n' in http(get("/metrics"))


def test_status_is_json_and_metrics_are_what_prometheus_reads(http):
    assert b'"role": "leader"' in http(get("/status"))
    page = http(get("/metrics"))
    for line in (b'quorate_role{role="leader"} 1', b"quorate_term 3", b'quorate_peer_match_index{peer="2"} 5',
                 b"quorate_keys 4", b"# TYPE quorate_resp_commands_total counter"):  # fmt: skip
        assert line + b"\n" in page


def test_head_has_no_body(http):
    answer = http(b"HEAD /health HTTP/1.0\r\n\r\n")
    assert b"Content-Length: 3\r\n" in answer
    assert answer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (get("/nothing"), 404),
        (b"POST /health HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (b"GET /health HTTP/1.1\r\n\r\n", 400),
        (b"GET /health HTTP/2.0\r\nHost: x\r\n\r\n", 400),
        (b"GET /health HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n", 400),
        (b"GET /health HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"GET /health HTTP/1.1\r\nHost : x\r\n\r\n", 400),
        (b"GET /he\x00alth HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"*1\r\n$4\r\nPING\r\n", 400),
        (b"\x16\x03\x01", 400),
        (b"hello\r\n", 400),
        (b"GET /" + b"a" * 9000, 431),
    ],
)
def test_anything_else_is_refused_with_its_status(http, data, status):
    assert http(data).startswith(f"HTTP/1.1 {status} ".encode())


def test_a_slow_client_is_disconnected(http, desk):
    connection, transport = http.connect()
    connection.data_received(b"GET /hea")
    desk.clock.advance(seconds(4.9))
    assert not transport.is_ended
    desk.clock.advance(seconds(0.2))
    assert transport.is_ended
    assert transport.take() == b""


def test_one_connection_too_many_is_closed(http):
    http.connect(), http.connect()
    assert http.connect()[1].is_ended
    assert http.server.refused_count == 1


def test_a_request_in_single_bytes_is_read(http):
    reader = RequestReader()
    found = [reader.feed(bytes([byte])) for byte in get("/ready")]
    assert found[:-1] == [None] * (len(found) - 1)
    assert found[-1].path == "/ready"
