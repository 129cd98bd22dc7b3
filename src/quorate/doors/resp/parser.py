"""Turns the bytes of one client into requests: multibulk arrays and inline commands.

A request is a list of byte strings. Half a request waits for its rest; bytes that can never become a request set
`error` to the sentence Redis uses, and the parser takes nothing more.

Three readers share the work, and all give the same answer for the same bytes, however these are cut:

1. *one request in one piece*: a split at the line ends, each header compared with the length that was found;
2. *a pipeline in one piece*: hiredis, when the bytes cannot hold anything on which it is more lenient than a server
   must be (it takes every type of reply, and sets aside memory for the number of elements an array claims to have);
3. everything else: the exact reader below, byte for byte.

Deviations  1. The limit of an inline line holds even when its end is already there, so that the answer does not depend
               on how the bytes were cut.
            2. A wrong type byte is refused at once, not when its line is complete.
            3. A request has a limit as a whole (`request_bytes_max`), not only each of its parts.
Source      Redis 7.0, the protocol description and `processMultibulkBuffer`, `processInlineBuffer` (behaviour).
"""

import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from quorate.doors.resp.inline import split_inline

_HiredisReader: Any
try:
    from hiredis import Reader as _HiredisReader
except ImportError:  # where it cannot be built; everything still works, only slower
    _HiredisReader = None

Request = list[bytes]

INLINE_BYTES_MAX: Final = 64 * 1024
UNAUTHENTICATED_BULK_BYTES_MAX: Final = 16 * 1024
UNAUTHENTICATED_COUNT_MAX: Final = 10

_CR: Final = 13
_STAR: Final = 42
_DOLLAR: Final = 36
# A part of a request costs at least "$0\r\n\r\n".
_PART_BYTES_MIN: Final = 6
# Reader 1 takes requests up to this size; a table as long holds the headers it compares with.
_SINGLE_BYTES_MAX: Final = 4096
_HEADERS: Final = [b"$%d" % length for length in range(_SINGLE_BYTES_MAX + 1)]
# Header of an array → number of pieces between line ends when nothing inside contains one.
_PIECE_COUNTS: Final = {b"*%d" % count: 2 * count + 2 for count in range(1, 64)}
# What must not be shown to hiredis: lines that begin with another type, a null, an array of 10,000 elements or more.
# Values may look like this too; they then take the exact reader, which is only slower.
_NOT_FOR_HIREDIS: Final = re.compile(rb"\r\n(?:[-+=:_#,(!|~>%]|\$-|\*\d{5})").search
_FIRST_HEADER_BYTES_MAX: Final = 6


def parse_length(digits: bytes) -> int | None:
    """Return a length as Redis writes it: no sign but `-`, no leading zero, no spaces; None for anything else.

    Complexity: O(len(digits)).
    """
    body = digits[1:] if digits[:1] == b"-" else digits
    if not body.isdigit() or len(body) > 19 or (body[:1] == b"0" and digits != b"0"):
        return None
    return int(digits)


class RequestParser:
    """Reads the requests of one connection.

    Invariants: `error` once set stays; bytes are kept only while a request is incomplete, at most `request_bytes_max`
    and one received piece.

    Args:
        bulk_bytes_max: longest single part of a request, 4,096 or more.
        count_max: most parts of one request, 1,024 or more.
        request_bytes_max: all parts of one request together, not less than `bulk_bytes_max`.
        native: whether hiredis may be used.
    """

    __slots__ = (
        "_argument_bytes",
        "_arguments",
        "_buffer",
        "_bulk_bytes_max",
        "_count_max",
        "_fast_bytes_max",
        "_missing_count",
        "_needed_bytes",
        "_offset",
        "_request_bytes_max",
        "error",
        "is_authenticated",
    )

    def __init__(self, *, bulk_bytes_max: int, count_max: int, request_bytes_max: int, native: bool = True) -> None:
        assert bulk_bytes_max >= _SINGLE_BYTES_MAX, "the shortest limit must not be below what reader 1 lets pass"
        assert count_max >= 1024, "the smallest limit must not be below what reader 1 lets pass"
        assert request_bytes_max >= bulk_bytes_max, "a request holds at least its longest part"
        self._bulk_bytes_max = bulk_bytes_max
        self._count_max = count_max
        self._request_bytes_max = request_bytes_max
        # Pieces up to this size cannot break a limit, whatever is in them.
        self._fast_bytes_max = min(bulk_bytes_max, count_max * _PART_BYTES_MIN) if native else 0
        # The sentence after "-ERR ", once the bytes have made no sense.
        self.error: str | None = None
        # Until a client has said who it is, small limits hold and the requests are taken one by one.
        self.is_authenticated = True
        # Bytes of the request that is not complete; None when there are none (an idle connection holds nothing).
        self._buffer: bytearray | None = None
        # Where in the buffer the exact reader goes on.
        self._offset = 0
        # Buffer length below which trying again is useless.
        self._needed_bytes = 0
        # Parts still missing of the array being read, those read so far, and their bytes.
        self._missing_count = 0
        self._arguments: Request = []
        self._argument_bytes = 0

    @property
    def buffered_bytes(self) -> int:
        """How many received bytes wait for the rest of their request."""
        return 0 if self._buffer is None else len(self._buffer) - self._offset

    def feed(self, data: bytes) -> list[Request]:
        """Take received bytes; return the requests that are complete now, in order.

        Complexity: O(len(data)) over the life of a connection, however the bytes are cut.
        """
        if self._buffer is None and self.is_authenticated and self.error is None:
            requests = self._feed_whole(data)
            if requests is not None:
                return requests
        self.append(data)
        return list(self.requests())

    def append(self, data: bytes) -> None:
        """Take received bytes without reading them yet."""
        if self.error is not None:
            return
        if self._buffer is None:
            self._buffer = bytearray(data)
        else:
            self._buffer += data

    def requests(self) -> Iterator[Request]:
        """Read what was appended, one request at a time, under the limits that hold at that moment."""
        while (request := self._next_request()) is not None:
            yield request

    def _feed_whole(self, data: bytes) -> list[Request] | None:
        """Return the requests of a piece that holds whole ones only, or None when that is not easily seen."""
        length = len(data)
        if length == 0:
            return []
        if length <= _SINGLE_BYTES_MAX:
            pieces = data.split(b"\r\n")
            if _PIECE_COUNTS.get(pieces[0]) == len(pieces) and not pieces[-1]:
                arguments = pieces[2::2]
                position = 1
                for argument in arguments:
                    if pieces[position] != _HEADERS[len(argument)]:
                        break
                    position += 2
                else:
                    return [arguments]
        if length > self._fast_bytes_max or _HiredisReader is None:
            return None
        if data[0] != _STAR or data[-2:] != b"\r\n" or data.find(b"\r", 2, _FIRST_HEADER_BYTES_MAX) < 0:
            return None
        if _NOT_FOR_HIREDIS(data) is not None:
            return None
        return self._feed_hiredis(data)

    @staticmethod
    def _feed_hiredis(data: bytes) -> list[Request] | None:
        # A new reader each time: one that met half an array keeps it, with nothing to tell from outside, and would hand
        # it to the next client.
        reader = _HiredisReader()
        requests: list[Request] = []
        get: Callable[[], Any] = reader.gets
        try:
            reader.feed(data)
            request = get()
            while request is not False:
                requests.append(request)
                request = get()
        except Exception:  # noqa: BLE001 - whatever it was, the exact reader finds the sentence for it
            return None
        # Every request but the first stands behind a line end. More stars there mean an array inside an array, half a
        # request (or a value that looks like one); fewer mean that something else was taken for a request.
        if reader.has_data() or data.count(b"\r\n*") != len(requests) - 1:
            return None
        if set(map(type, requests)) != {list} or not all(requests):
            return None
        return requests

    def _next_request(self) -> Request | None:
        """Return the next whole request of the buffer, or None: more bytes are needed, or they make no sense."""
        buffer = self._buffer
        if buffer is None or self.error is not None or len(buffer) < self._needed_bytes:
            return None
        while self._missing_count == 0:
            if self._offset >= len(buffer):
                self._buffer = None
                self._offset = self._needed_bytes = 0
                return None
            if buffer[self._offset] != _STAR:
                line = self._read_inline(buffer)
                if line is None:
                    return None
                if line:
                    return line
            elif not self._read_array_header(buffer):
                return None
        while self._missing_count > 0:
            if not self._read_part(buffer):
                return None
        request, self._arguments = self._arguments, []
        return request

    def _wait(self, buffer: bytearray, needed_bytes: int) -> None:
        """Note how long the buffer must become, and drop what was read, so that it cannot grow without end."""
        if self._offset > 0:
            del buffer[: self._offset]
            needed_bytes -= self._offset
            self._offset = 0
        self._needed_bytes = needed_bytes

    def _refuse(self, sentence: str) -> None:
        self.error = "Protocol error: " + sentence
        self._buffer = None
        self._arguments = []
        self._offset = self._needed_bytes = self._missing_count = 0

    def _read_inline(self, buffer: bytearray) -> Request | None:
        """Return the words of a line (none for an empty one), or None when it is not complete or makes no sense."""
        end = buffer.find(b"\n", self._offset)
        if (len(buffer) if end < 0 else end) - self._offset > INLINE_BYTES_MAX:
            self._refuse("too big inline request")
            return None
        if end < 0:
            self._wait(buffer, len(buffer) + 1)
            return None
        line = bytes(buffer[self._offset : end]).removesuffix(b"\r")
        self._offset = end + 1
        words = split_inline(line)
        if words is None:
            self._refuse("unbalanced quotes in request")
        return words

    def _read_length(self, buffer: bytearray, too_big: str) -> int | bytes | None:
        """Return the number in the header line at the offset, its text when it is no number, None when incomplete."""
        end = buffer.find(b"\r", self._offset, self._offset + INLINE_BYTES_MAX)
        if end < 0 and len(buffer) - self._offset >= INLINE_BYTES_MAX:
            self._refuse(too_big)
            return None
        if end < 0 or end + 2 > len(buffer):
            self._wait(buffer, len(buffer) + 1)
            return None
        digits = bytes(buffer[self._offset + 1 : end])
        self._offset = end + 2
        length = parse_length(digits)
        return digits if length is None else length

    def _read_array_header(self, buffer: bytearray) -> bool:
        count = self._read_length(buffer, "too big mbulk count string")
        if count is None:
            return False
        if isinstance(count, bytes) or count > self._count_max:
            self._refuse("invalid multibulk length")
            return False
        if count > UNAUTHENTICATED_COUNT_MAX and not self.is_authenticated:
            self._refuse("unauthenticated multibulk length")
            return False
        # Nothing and less than nothing are both skipped without an answer, as in Redis.
        self._missing_count = max(0, count)
        self._argument_bytes = 0
        return True

    def _read_part(self, buffer: bytearray) -> bool:
        offset = self._offset
        if offset >= len(buffer):
            self._wait(buffer, len(buffer) + 1)
            return False
        if buffer[offset] != _DOLLAR:
            self._refuse(f"expected '$', got '{chr(buffer[offset]) if 32 <= buffer[offset] < 127 else '?'}'")
            return False
        length = self._read_length(buffer, "too big bulk count string")
        if length is None:
            return False
        if isinstance(length, bytes) or not 0 <= length <= self._bulk_bytes_max:
            self._refuse("invalid bulk length")
            return False
        if length > UNAUTHENTICATED_BULK_BYTES_MAX and not self.is_authenticated:
            self._refuse("unauthenticated bulk length")
            return False
        if self._argument_bytes + length > self._request_bytes_max:
            self._refuse("too big request")
            return False
        start = self._offset
        end = start + length
        if end + 2 > len(buffer):
            # The header is read again when the part is complete: two lengths need no memory of their own.
            self._offset = offset
            self._wait(buffer, end + 2)
            return False
        self._arguments.append(bytes(buffer[start:end]))
        self._argument_bytes += length
        self._missing_count -= 1
        # The two bytes behind a part are skipped unseen, as in Redis.
        self._offset = end + 2
        return True
