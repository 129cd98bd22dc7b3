"""Maelstrom's messages: one JSON object a line, `{"src", "dest", "body"}`, and its errors by number.

Source: Maelstrom's protocol documentation (messages, initialization, errors).
"""

from typing import Any, Final

import msgspec

from quorate.kernel import errors

# Any JSON object; workloads and servers put what they like in it.
Body = dict[str, Any]

TIMEOUT: Final = 0
NOT_SUPPORTED: Final = 10
TEMPORARILY_UNAVAILABLE: Final = 11
MALFORMED: Final = 12
CRASH: Final = 13
ABORT: Final = 14
KEY_DOES_NOT_EXIST: Final = 20
KEY_ALREADY_EXISTS: Final = 21
PRECONDITION_FAILED: Final = 22
TXN_CONFLICT: Final = 30

# An error with one of these codes says that the request did not happen and will not.
DEFINITE: Final = (1, 10, 11, 12, 14, 20, 21, 22, 30)


class BadMessage(errors.UsageError):
    """A line is no Maelstrom message; the sentence says why."""

    code = "BADMESSAGE"


class Message(msgspec.Struct, frozen=True):
    """One message between nodes, clients and services, which are all named by text."""

    src: str
    dest: str
    body: Body
    # Some senders number messages; nobody needs it.
    id: Any = None


_DECODER: Final = msgspec.json.Decoder(Message)
_ENCODER: Final = msgspec.json.Encoder()


def decode(line: str | bytes) -> Message:
    """Return the message on a line.

    Raises:
        BadMessage: no JSON, a missing field, a body without a type.
    """
    try:
        message = _DECODER.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as cause:
        raise BadMessage(f"no message: {cause}") from cause
    if not isinstance(message.body.get("type"), str):
        raise BadMessage('the body has no "type"')
    return message


def encode(message: Message) -> bytes:
    """Return the line of a message, its end included."""
    return _ENCODER.encode({"src": message.src, "dest": message.dest, "body": message.body}) + b"\n"


def failure(code: int, text: str) -> Body:
    """Return the body of an error."""
    return {"type": "error", "code": code, "text": text}
