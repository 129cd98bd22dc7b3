"""What the door answers itself."""

import pytest

from quorate.doors.resp import RespConfig
from quorate.kernel import milliseconds


def test_an_unknown_command_shows_its_arguments_as_redis_does(desk):
    assert desk.ask(desk.connect(), "FOO a b") == (
        b"-ERR unknown command 'FOO', with args beginning with: 'a' 'b' \r\n"
    )


@pytest.mark.parametrize("line", ["get", "GET a b", "Set k", "ping a b", "client id x", "select"])
def test_a_wrong_number_of_arguments_is_refused_before_the_log(desk, line):
    name = "client|id" if line == "client id x" else line.split()[0].lower()
    assert desk.ask(desk.connect(), line) == f"-ERR wrong number of arguments for '{name}' command\r\n".encode()
    assert desk.backend.calls == []


def test_names_in_any_case_mean_the_same(desk):
    assert desk.ask(desk.connect(), "sEt k 1", "get k", "GET k", "pInG") == b"+OK\r\n$1\r\n1\r\n$1\r\n1\r\n+PONG\r\n"


def test_databases_are_apart_and_the_last_one_is_15(desk):
    client = desk.connect()
    assert desk.ask(client, "SET k 0", "SELECT 15", "GET k", "SELECT 0", "GET k") == (
        b"+OK\r\n+OK\r\n$-1\r\n+OK\r\n$1\r\n0\r\n"
    )
    assert desk.ask(client, "SELECT 16") == b"-ERR DB index is out of range\r\n"
    assert desk.ask(client, "SELECT x") == b"-ERR value is not an integer or out of range\r\n"


class TestWhoAreYou:
    def test_strangers_may_only_say_who_they_are(self, make_desk):
        desk = make_desk(RespConfig(password="secret", users={"ann": "hat"}))
        client = desk.connect()
        assert desk.ask(client, "GET k", "PING", "NOSUCH") == b"-NOAUTH Authentication required.\r\n" * 3
        assert desk.ask(client, "AUTH wrong") == b"-WRONGPASS invalid username-password pair or user is disabled.\r\n"
        assert desk.ask(client, "AUTH bob hat").startswith(b"-WRONGPASS")
        assert desk.ask(client, "HELLO 3").startswith(b"-NOAUTH HELLO must be called")
        assert desk.ask(client, "AUTH ann hat", "GET k") == b"+OK\r\n$-1\r\n"
        assert desk.ask(client, "RESET", "GET k") == b"+RESET\r\n-NOAUTH Authentication required.\r\n"
        assert desk.ask(client, "HELLO 3 AUTH default secret SETNAME me", "CLIENT GETNAME").endswith(b"$2\r\nme\r\n")

    def test_a_stranger_may_send_a_large_value_right_behind_auth(self, make_desk):
        """The small limits hold for what stands before AUTH is answered, and for nothing behind it."""
        desk = make_desk(RespConfig(password="secret"))
        connection, transport = desk.connect()
        value = b"x" * 50_000
        connection.data_received(b"AUTH secret\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%d\r\n%b\r\n" % (len(value), value))
        desk.backend.settle()
        assert transport.take() == b"+OK\r\n+OK\r\n"

    def test_auth_without_a_password_configured_is_an_error(self, desk):
        assert desk.ask(desk.connect(), "AUTH x").startswith(b"-ERR AUTH <password> called without any password")

    def test_hello_refuses_what_it_does_not_know(self, desk):
        client = desk.connect()
        assert desk.ask(client, "HELLO 4") == b"-NOPROTO unsupported protocol version\r\n"
        assert desk.ask(client, "HELLO x") == b"-ERR Protocol version is not an integer or out of range\r\n"
        assert desk.ask(client, "HELLO 3 FOO") == b"-ERR Syntax error in HELLO option 'FOO'\r\n"
        assert desk.ask(client, "HELLO 3").startswith(b"%7\r\n")
        assert desk.ask(client, "GET nothing") == b"_\r\n"


class TestTransactions:
    def test_a_transaction_is_one_command_of_the_log(self, desk):
        client = desk.connect()
        assert desk.ask(client, "MULTI", "SET k 1", "ECHO x", "INCR k", "EXEC") == (
            b"+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*3\r\n+OK\r\n$1\r\nx\r\n:2\r\n"
        )
        assert [command.args[0] for _, command in desk.backend.calls] == [b"QUORATE.EXEC"]

    def test_a_refused_command_refuses_the_whole(self, desk):
        client = desk.connect()
        answer = desk.ask(client, "MULTI", "SET k 1", "GET", "EXEC", "GET k")
        assert answer.endswith(b"-EXECABORT Transaction discarded because of previous errors.\r\n$-1\r\n")

    def test_a_watched_key_that_changed_stops_exec(self, desk):
        mine, other = desk.connect(), desk.connect()
        assert desk.ask(mine, "WATCH k") == b"+OK\r\n"
        desk.ask(other, "SET k 1")
        assert desk.ask(mine, "MULTI", "SET k 2", "EXEC", "GET k").endswith(b"*-1\r\n$1\r\n1\r\n")
        assert desk.ask(mine, "MULTI", "SET k 3", "EXEC").endswith(b"*1\r\n+OK\r\n"), "EXEC ended the watch"

    def test_watch_and_exec_in_one_piece_wait_for_the_versions(self, desk):
        assert desk.ask(desk.connect(), "SET k 1", "WATCH k j", "MULTI", "INCR k", "EXEC").endswith(b"*1\r\n:2\r\n")

    def test_unwatch_forgets_versions_that_are_still_on_their_way(self, desk):
        mine, other = desk.connect(), desk.connect()
        desk.ask(mine, "WATCH k", "UNWATCH")
        desk.ask(other, "SET k 1")
        assert desk.ask(mine, "MULTI", "EXEC").endswith(b"*0\r\n")

    def test_select_inside_holds_for_what_follows(self, desk):
        client = desk.connect()
        desk.ask(client, "MULTI", "SELECT 3", "SET k 1", "EXEC")
        assert desk.ask(client, "GET k", "SELECT 0", "GET k") == b"$1\r\n1\r\n+OK\r\n$-1\r\n"

    @pytest.mark.parametrize(
        ("lines", "answer"),
        [
            (["EXEC"], b"-ERR EXEC without MULTI\r\n"),
            (["DISCARD"], b"-ERR DISCARD without MULTI\r\n"),
            (["MULTI", "MULTI"], b"-ERR MULTI calls can not be nested\r\n"),
            (["MULTI", "WATCH k"], b"-ERR WATCH inside MULTI is not allowed\r\n"),
            (["MULTI", "SET k 1", "DISCARD", "GET k"], b"+OK\r\n$-1\r\n"),
            (["MULTI", "SUBSCRIBE c"], b"-ERR Command 'subscribe' is not allowed inside a transaction\r\n"),
        ],
    )
    def test_misuse_is_told_as_redis_tells_it(self, desk, lines, answer):
        assert desk.ask(desk.connect(), *lines).endswith(answer)


class TestSubscriptions:
    def test_a_message_reaches_channels_and_patterns_once_each(self, desk, flushed):
        listener = desk.connect()
        assert desk.ask(listener, "SUBSCRIBE a b", "PSUBSCRIBE a*").count(b"subscribe") == 3
        assert desk.ask(desk.connect(), "PUBLISH a hi", "PUBLISH c hi") == b":2\r\n:0\r\n"
        flushed()
        assert listener[1].take() == (
            b"*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n*4\r\n$8\r\npmessage\r\n$2\r\na*\r\n$1\r\na\r\n$2\r\nhi\r\n"
        )

    def test_resp2_subscribers_may_send_little_else_and_resp3_ones_everything(self, desk):
        listener = desk.connect()
        desk.ask(listener, "SUBSCRIBE a")
        assert desk.ask(listener, "GET k") == (
            b"-ERR Can't execute 'get': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in"
            b" this context\r\n"
        )
        assert desk.ask(listener, "PING") == b"*2\r\n$4\r\npong\r\n$0\r\n\r\n"
        assert desk.ask(listener, "UNSUBSCRIBE", "GET k").endswith(b"$-1\r\n")
        assert desk.ask(listener, "HELLO 3", "SUBSCRIBE a", "GET k").endswith(
            b">3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n_\r\n"
        )

    def test_shard_channels_are_apart(self, desk, flushed):
        listener = desk.connect()
        desk.ask(listener, "SSUBSCRIBE a")
        assert desk.ask(desk.connect(), "PUBLISH a x", "SPUBLISH a y", "PUBSUB SHARDNUMSUB a") == (
            b":0\r\n:1\r\n*2\r\n$1\r\na\r\n:1\r\n"
        )
        flushed()
        assert listener[1].take() == b"*3\r\n$8\r\nsmessage\r\n$1\r\na\r\n$1\r\ny\r\n"

    def test_whoever_is_gone_is_forgotten(self, desk):
        listener = desk.connect()
        desk.ask(listener, "SUBSCRIBE a", "PSUBSCRIBE a*", "SSUBSCRIBE a")
        listener[0].connection_lost(None)
        assert desk.ask(desk.connect(), "PUBLISH a x", "PUBSUB CHANNELS", "PUBSUB NUMPAT") == b":0\r\n*0\r\n:0\r\n"

    def test_unsubscribing_from_nothing_is_answered(self, desk):
        assert desk.ask(desk.connect(), "UNSUBSCRIBE", "PUNSUBSCRIBE").count(b"$-1\r\n:0\r\n") == 2


class TestClient:
    def test_reply_skip_mutes_one_and_off_mutes_all_until_on(self, desk):
        client = desk.connect()
        assert desk.ask(client, "CLIENT REPLY SKIP", "SET k 1", "GET k") == b"$1\r\n1\r\n"
        assert desk.ask(client, "CLIENT REPLY OFF", "SET k 2", "PING") == b""
        assert desk.ask(client, "CLIENT REPLY ON", "GET k") == b"+OK\r\n$1\r\n2\r\n"

    def test_pause_holds_writes_until_it_ends_and_lets_reads_pass(self, desk):
        admin, client = desk.connect(), desk.connect()
        assert desk.ask(admin, "CLIENT PAUSE 100 WRITE") == b"+OK\r\n"
        assert desk.ask(client, "GET k", "SET k 1") == b"$-1\r\n"
        desk.clock.advance(milliseconds(100))
        desk.backend.settle()
        assert client[1].take() == b"+OK\r\n"

    def test_unpause_lets_everything_go_on(self, desk):
        admin, client = desk.connect(), desk.connect()
        desk.ask(admin, "CLIENT PAUSE 100000")
        assert desk.ask(client, "GET k", "MULTI") == b""
        assert desk.ask(admin, "CLIENT UNPAUSE") == b"+OK\r\n"
        desk.backend.settle()
        assert client[1].take() == b"$-1\r\n+OK\r\n"

    def test_kill_closes_others_by_id_and_spares_the_caller_unless_asked(self, desk):
        mine, other = desk.connect(), desk.connect()
        assert desk.ask(mine, f"CLIENT KILL ID {other[0].id}") == b":1\r\n"
        assert other[1].is_ended
        assert desk.ask(mine, "CLIENT KILL TYPE normal SKIPME no").startswith(b":")
        assert mine[1].is_ended

    def test_list_shows_names_and_libraries(self, desk):
        client = desk.connect()
        desk.ask(client, "CLIENT SETNAME me", "CLIENT SETINFO LIB-NAME test")
        assert b" name=me " in desk.ask(client, "CLIENT LIST")
        assert b"lib-name=test" in desk.ask(client, "CLIENT INFO")
        assert desk.ask(client, 'CLIENT SETNAME "a b"').startswith(b"-ERR Client names cannot contain spaces")


class TestBlocking:
    def test_an_element_that_comes_later_wakes_the_first_who_waits(self, desk, flushed):
        first, second, pusher = desk.connect(), desk.connect(), desk.connect()
        assert desk.ask(first, "BLPOP q 0") == b""
        assert desk.ask(second, "BLPOP q 0") == b""
        desk.ask(pusher, "RPUSH q a b")
        for _ in range(3):
            flushed()
            desk.backend.settle()
        assert first[1].take() == b"*2\r\n$1\r\nq\r\n$1\r\na\r\n"
        assert second[1].take() == b"*2\r\n$1\r\nq\r\n$1\r\nb\r\n"
        assert desk.server.blocking.count == 0

    def test_what_is_there_is_taken_at_once(self, desk):
        client = desk.connect()
        desk.ask(client, "RPUSH q a", "ZADD z 1 m")
        assert desk.ask(client, "BRPOP x q 0", "BZPOPMIN z 0") == (
            b"*2\r\n$1\r\nq\r\n$1\r\na\r\n*3\r\n$1\r\nz\r\n$1\r\nm\r\n$1\r\n1\r\n"
        )

    def test_requests_behind_a_waiting_one_wait_too_until_its_time_is_over(self, desk):
        client = desk.connect()
        assert desk.ask(client, "BLPOP q 0.5", "PING") == b""
        desk.clock.advance(milliseconds(499))
        assert client[1].take() == b""
        desk.clock.advance(milliseconds(1))
        assert client[1].take() == b"*-1\r\n+PONG\r\n"

    def test_unblock_ends_the_waiting_with_an_error_if_asked(self, desk):
        client, admin = desk.connect(), desk.connect()
        desk.ask(client, "BLMOVE a b LEFT RIGHT 0")
        assert desk.ask(admin, f"CLIENT UNBLOCK {client[0].id} ERROR") == b":1\r\n"
        assert client[1].take() == b"-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n"
        assert desk.ask(admin, f"CLIENT UNBLOCK {client[0].id}") == b":0\r\n"

    def test_whoever_is_gone_takes_nothing(self, desk, flushed):
        client, pusher = desk.connect(), desk.connect()
        desk.ask(client, "BLPOP q 0")
        client[0].connection_lost(None)
        desk.ask(pusher, "RPUSH q a")
        flushed()
        assert desk.ask(pusher, "LLEN q") == b":1\r\n"

    @pytest.mark.parametrize(
        ("line", "answer"),
        [
            ("BLPOP q x", b"-ERR timeout is not a float or out of range\r\n"),
            ("BLPOP q -1", b"-ERR timeout is negative\r\n"),
            ("BLPOP q inf", b"-ERR timeout is out of range\r\n"),
            ("BLMPOP 0 0 q LEFT", b"-ERR numkeys should be greater than 0\r\n"),
        ],
    )
    def test_a_wrong_timeout_is_refused(self, desk, line, answer):
        assert desk.ask(desk.connect(), line) == answer

    def test_a_key_of_another_type_is_an_error_and_does_not_wait(self, desk):
        assert desk.ask(desk.connect(), "SET q x", "BLPOP q 0").startswith(b"+OK\r\n-WRONGTYPE")


class TestExtensions:
    def test_once_is_applied_once(self, desk):
        client = desk.connect()
        assert desk.ask(client, "QUORATE.ONCE 7 1 INCR n", "QUORATE.ONCE 7 1 INCR n", "QUORATE.ONCE 7 2 INCR n") == (
            b":1\r\n:1\r\n:2\r\n"
        )
        assert desk.ask(client, "QUORATE.ONCE x 1 INCR n").startswith(b"-ERR client must be")
        assert desk.ask(client, "QUORATE.ONCE 7 3 PING").startswith(b"-ERR 'ping' is answered by the node itself")

    def test_a_local_read_does_not_write(self, desk):
        client = desk.connect()
        assert desk.ask(client, "SET k 1", "QUORATE.READ local GET k") == b"+OK\r\n$1\r\n1\r\n"
        assert desk.ask(client, "QUORATE.READ linearizable GET k") == b"$1\r\n1\r\n"
        assert desk.ask(client, "QUORATE.READ local SET k 2").startswith(b"-ERR 'set' writes")
        assert desk.ask(client, "QUORATE.READ maybe GET k").startswith(b"-ERR consistency must be")

    def test_changes_of_a_prefix_are_pushed_and_others_are_not(self, desk, flushed):
        client, writer = desk.connect(), desk.connect()
        assert desk.ask(client, "QUORATE.WATCH user:").startswith(b"-ERR QUORATE.WATCH needs RESP3")
        desk.ask(client, "HELLO 3")
        assert b"$6\r\nmissed\r\n#f\r\n" in desk.ask(client, "QUORATE.WATCH user:")
        desk.ask(writer, "SET user:1 x", "SET other x", "DEL user:1")
        flushed()
        pushed = client[1].take()
        assert pushed.startswith(
            b">6\r\n$14\r\nquorate.change\r\n$5\r\nuser:\r\n$3\r\nput\r\n$6\r\nuser:1\r\n:1\r\n:0\r\n"
        )
        assert pushed.count(b"quorate.change") == 2
        assert b"missed\r\n#t" in desk.ask(client, "QUORATE.WATCH other 0")
        assert desk.ask(client, "QUORATE.UNWATCH") == b"+OK\r\n"
        desk.ask(writer, "SET user:1 x")
        flushed()
        assert client[1].take() == b""

    def test_a_store_without_a_cluster_refuses_to_change_it(self, desk):
        client = desk.connect()
        assert desk.ask(client, "QUORATE.MEMBERS ADD 2 a:1 b:1").startswith(b"-ERR this store is not a member")
        assert desk.ask(client, "QUORATE.MEMBERS").startswith(b"*1\r\n")
        assert desk.ask(client, "QUORATE.MEMBERS ADD x").startswith(b"-ERR QUORATE.MEMBERS [ADD")
        assert b'"role":"leader"' in desk.ask(client, "QUORATE.STATUS")


class TestIntrospection:
    def test_command_knows_both_tables(self, desk):
        client = desk.connect()
        assert desk.ask(client, "COMMAND INFO get nosuch").startswith(b"*2\r\n*10\r\n$3\r\nget\r\n:2\r\n")
        assert desk.ask(client, "COMMAND GETKEYS MSET a 1 b 2") == b"*2\r\n$1\r\na\r\n$1\r\nb\r\n"
        assert b"summary" in desk.ask(client, "COMMAND DOCS ping")
        assert desk.ask(client, "COMMAND LIST FILTERBY PATTERN zpop*").startswith(b"*2\r\n")
        assert int(desk.ask(client, "COMMAND COUNT")[1:-2]) > 150

    def test_config_sets_what_it_knows_and_refuses_the_rest_whole(self, desk):
        client = desk.connect()
        assert desk.ask(client, "CONFIG GET save") == b"*2\r\n$4\r\nsave\r\n$0\r\n\r\n"
        assert desk.ask(client, "CONFIG SET hz 50", "CONFIG GET h[z]") == b"+OK\r\n*2\r\n$2\r\nhz\r\n$2\r\n50\r\n"
        assert desk.ask(client, "CONFIG SET hz 60 nosuch 1").startswith(b"-ERR Unknown option")
        assert desk.ask(client, "CONFIG GET hz").endswith(b"50\r\n")
        assert b"can't set immutable config" in desk.ask(client, "CONFIG SET appendonly no")

    def test_info_names_the_role_and_the_term(self, desk):
        text = desk.ask(desk.connect(), "INFO").decode()
        assert "# Quorate\r\nquorate_node_id:1\r\nquorate_role:leader\r\nquorate_term:1\r\n" in text
        assert "redis_version:7" in text
        assert desk.ask(desk.connect(), "INFO keyspace", "INFO nosuch").endswith(b"$0\r\n\r\n")

    def test_a_cluster_aware_client_is_told_one_shard(self, desk):
        client = desk.connect()
        assert desk.ask(client, "CLUSTER SLOTS").startswith(b"*1\r\n*3\r\n:0\r\n:16383\r\n")
        assert desk.ask(client, "CLUSTER KEYSLOT 123456789") == b":12739\r\n"
        assert desk.ask(client, "READONLY", "ASKING") == b"+OK\r\n+OK\r\n"

    def test_wait_tells_what_a_majority_holds(self, desk):
        assert desk.ask(desk.connect(), "SET k 1", "WAIT 0 100", "WAIT 3 100") == b"+OK\r\n:0\r\n:0\r\n"

    @pytest.mark.parametrize(
        "line", ["MONITOR", "SAVE", "SHUTDOWN", "DEBUG SLEEP 1", "CLIENT TRACKING on", "PSYNC ? -1"]
    )
    def test_what_is_not_supported_is_refused_with_a_reason(self, desk, line):
        assert b"not supported" in desk.ask(desk.connect(), line)
