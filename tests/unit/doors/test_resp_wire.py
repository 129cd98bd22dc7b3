"""Replies as bytes, for both dialects."""

import pytest

from quorate.doors.resp import Push, Verbatim, encode
from quorate.store import NIL_ARRAY, OK, Pairs, ReplyError, ReplySet, SimpleString

TABLE = [
    (b"ab", b"$2\r\nab\r\n", b"$2\r\nab\r\n"),
    (b"", b"$0\r\n\r\n", b"$0\r\n\r\n"),
    (b"x" * 5000, b"$5000\r\n" + b"x" * 5000 + b"\r\n", b"$5000\r\n" + b"x" * 5000 + b"\r\n"),
    (0, b":0\r\n", b":0\r\n"),
    (-1, b":-1\r\n", b":-1\r\n"),
    (1 << 60, b":1152921504606846976\r\n", b":1152921504606846976\r\n"),
    (None, b"$-1\r\n", b"_\r\n"),
    (NIL_ARRAY, b"*-1\r\n", b"_\r\n"),
    (True, b":1\r\n", b"#t\r\n"),
    (False, b":0\r\n", b"#f\r\n"),
    (1.0, b"$1\r\n1\r\n", b",1\r\n"),
    (0.1, b"$19\r\n0.10000000000000001\r\n", b",0.1\r\n"),
    (float("inf"), b"$3\r\ninf\r\n", b",inf\r\n"),
    (float("-inf"), b"$4\r\n-inf\r\n", b",-inf\r\n"),
    ([b"a", [1, None]], b"*2\r\n$1\r\na\r\n*2\r\n:1\r\n$-1\r\n", b"*2\r\n$1\r\na\r\n*2\r\n:1\r\n_\r\n"),
    ([], b"*0\r\n", b"*0\r\n"),
    ({b"a": 1}, b"*2\r\n$1\r\na\r\n:1\r\n", b"%1\r\n$1\r\na\r\n:1\r\n"),
    (ReplySet([b"a"]), b"*1\r\n$1\r\na\r\n", b"~1\r\n$1\r\na\r\n"),
    (Pairs([(b"m", 1.5)]), b"*2\r\n$1\r\nm\r\n$3\r\n1.5\r\n", b"*1\r\n*2\r\n$1\r\nm\r\n,1.5\r\n"),
    (OK, b"+OK\r\n", b"+OK\r\n"),
    (SimpleString("hi"), b"+hi\r\n", b"+hi\r\n"),
    (ReplyError("ERR", "no"), b"-ERR no\r\n", b"-ERR no\r\n"),
    (Verbatim(b"hi"), b"$2\r\nhi\r\n", b"=6\r\ntxt:hi\r\n"),
    (Push([b"message", b"c"]), b"*2\r\n$7\r\nmessage\r\n$1\r\nc\r\n", b">2\r\n$7\r\nmessage\r\n$1\r\nc\r\n"),
]


@pytest.mark.parametrize(("reply", "resp2", "resp3"), TABLE, ids=[repr(row[0])[:30] for row in TABLE])
def test_every_kind_of_reply_is_written_for_both_dialects(reply, resp2, resp3):
    assert encode(reply, 2) == resp2
    assert encode(reply, 3) == resp3


def test_an_error_cannot_break_out_of_its_line():
    """A caller's bytes in an error text must not become a second reply."""
    assert encode(ReplyError("ERR", "a\r\n+OK\r\nb"), 2) == b"-ERR a  +OK  b\r\n"
