"""Who subscribes to what on this node. What is published elsewhere arrives through the backend."""

from typing import TYPE_CHECKING, Final

from quorate.doors.resp.wire import Push, encode
from quorate.store import Glob

if TYPE_CHECKING:
    from quorate.doors.resp.connection import Connection

# Shard channels share the way between nodes with the others; this keeps the two apart there.
SHARD_MARK: Final = b"\x00shard:"


class PubSub:
    """Channels and patterns with their subscribers, in the order in which these came.

    Invariants: what a session lists and what this registry lists are the same; no channel has no subscriber.
    """

    def __init__(self) -> None:
        self.channels: dict[bytes, dict[Connection, None]] = {}
        self.patterns: dict[bytes, tuple[Glob, dict[Connection, None]]] = {}
        self.shard_channels: dict[bytes, dict[Connection, None]] = {}
        # Messages handed to subscribers since the start.
        self.delivered_count = 0

    def subscribe(self, connection: "Connection", channel: bytes) -> None:
        """Add a subscriber to a channel; harmless when it is there."""
        connection.get_session().channels[channel] = None
        self.channels.setdefault(channel, {})[connection] = None

    def subscribe_shard(self, connection: "Connection", channel: bytes) -> None:
        """Add a subscriber to a shard channel; harmless when it is there."""
        connection.get_session().shard_channels[channel] = None
        self.shard_channels.setdefault(channel, {})[connection] = None

    def subscribe_pattern(self, connection: "Connection", pattern: bytes) -> None:
        """Add a subscriber to all channels that match; harmless when it is there."""
        connection.get_session().patterns[pattern] = None
        if pattern not in self.patterns:
            self.patterns[pattern] = (Glob(pattern), {})
        self.patterns[pattern][1][connection] = None

    def unsubscribe(self, connection: "Connection", channel: bytes) -> None:
        """Remove a subscriber from a channel; harmless when it is not there."""
        connection.get_session().channels.pop(channel, None)
        _remove(self.channels, channel, connection)

    def unsubscribe_shard(self, connection: "Connection", channel: bytes) -> None:
        """Remove a subscriber from a shard channel; harmless when it is not there."""
        connection.get_session().shard_channels.pop(channel, None)
        _remove(self.shard_channels, channel, connection)

    def unsubscribe_pattern(self, connection: "Connection", pattern: bytes) -> None:
        """Remove a subscriber of a pattern; harmless when it is not there."""
        connection.get_session().patterns.pop(pattern, None)
        found = self.patterns.get(pattern)
        if found is not None:
            found[1].pop(connection, None)
            if not found[1]:
                del self.patterns[pattern]

    def leave(self, connection: "Connection") -> None:
        """Remove a connection everywhere."""
        session = connection.get_session()
        for channel in list(session.channels):
            self.unsubscribe(connection, channel)
        for channel in list(session.shard_channels):
            self.unsubscribe_shard(connection, channel)
        for pattern in list(session.patterns):
            self.unsubscribe_pattern(connection, pattern)

    def deliver(self, channel: bytes, payload: bytes) -> int:
        """Hand a message to the subscribers of this node; return how many there are.

        Complexity: O(subscribers + patterns); the message is encoded once for each dialect and pattern.
        """
        if channel.startswith(SHARD_MARK):
            channel = channel[len(SHARD_MARK) :]
            count = _send(self.shard_channels.get(channel, {}), [b"smessage", channel, payload])
        else:
            count = _send(self.channels.get(channel, {}), [b"message", channel, payload])
            for pattern, (matcher, subscribers) in self.patterns.items():
                if matcher.matches(channel):
                    count += _send(subscribers, [b"pmessage", pattern, channel, payload])
        self.delivered_count += count
        return count


def _remove(registry: "dict[bytes, dict[Connection, None]]", channel: bytes, connection: "Connection") -> None:
    subscribers = registry.get(channel)
    if subscribers is not None:
        subscribers.pop(connection, None)
        if not subscribers:
            del registry[channel]


def _send(subscribers: "dict[Connection, None]", items: list[bytes]) -> int:
    encoded: dict[int, bytes] = {}
    message = Push(list(items))
    for connection in subscribers:
        protocol = connection.protocol
        if protocol not in encoded:
            encoded[protocol] = encode(message, protocol)
        connection.push(encoded[protocol])
        connection.server.flush_soon(connection)
    return len(subscribers)
