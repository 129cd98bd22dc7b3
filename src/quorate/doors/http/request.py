"""Reads one HTTP/1.x request head: GET and HEAD without a body, strictly and under limits.

Source: RFC 9112 (message syntax), sections 2.2, 3 and 5; stricter where that is allowed.
"""

import re
from dataclasses import dataclass
from typing import Final

HEAD_BYTES_MAX: Final = 8 * 1024
_REQUEST_LINE: Final = re.compile(rb"([A-Z]{1,16}) (/[\x21-\x7e]{0,1023}) HTTP/1\.([01])")
_HEADER: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}):[ \t]*([\x20-\x7e\t\x80-\xff]*?)[ \t]*")


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """What was asked."""

    # "GET" or "HEAD".
    method: str
    # Without the query.
    path: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is not served."""

    status: int
    reason: str


class RequestReader:
    """Gathers bytes until a request head is whole or makes no sense. One request a connection."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> HttpRequest | Refusal | None:
        """Take received bytes; return the request, why it is refused, or None while more is needed.

        Complexity: O(HEAD_BYTES_MAX) a call.
        """
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end > HEAD_BYTES_MAX or (end < 0 and len(self._buffer) > HEAD_BYTES_MAX):
            return Refusal(431, f"the head of a request is at most {HEAD_BYTES_MAX} bytes long")
        if end >= 0:
            return _read_head(bytes(self._buffer[:end]))
        # Garbage is refused as soon as its first line is there, or cannot be a first line any more.
        line, newline, _ = bytes(self._buffer).partition(b"\n")
        if newline and _REQUEST_LINE.fullmatch(line.removesuffix(b"\r")) is None:
            return Refusal(400, "this is not a line of HTTP/1.1")
        if line and not (line[:1].isalpha() and line[:1].isupper()):
            return Refusal(400, "this is not HTTP/1.1")
        return None


def _read_head(head: bytes) -> HttpRequest | Refusal:
    first, *lines = head.split(b"\r\n")
    found = _REQUEST_LINE.fullmatch(first)
    if found is None:
        return Refusal(400, "this is not a line of HTTP/1.1")
    headers: dict[bytes, bytes] = {}
    for line in lines:
        header = _HEADER.fullmatch(line)
        if header is None:
            return Refusal(400, "a header line makes no sense")
        headers[header[1].lower()] = header[2]
    if found[3] == b"1" and b"host" not in headers:
        return Refusal(400, "HTTP/1.1 needs a Host header")
    if found[1] not in (b"GET", b"HEAD"):
        return Refusal(405, "only GET and HEAD are served here")
    if b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0":
        return Refusal(400, "a request here has no body")
    return HttpRequest(found[1].decode(), found[2].decode("ascii").partition("?")[0])
