"""SUBSCRIBE and its family."""

from typing import TYPE_CHECKING, Final

from quorate.doors.resp.pubsub import SHARD_MARK
from quorate.doors.resp.subcommand import Subcommands, list_subcommands, run_subcommand
from quorate.doors.resp.table import NO_REPLY, InMulti, NoReply, door_command
from quorate.doors.resp.wire import DoorReply, Push, encode
from quorate.store import Glob

if TYPE_CHECKING:
    from quorate.doors.resp.connection import Connection

_FLAGS: Final = "pubsub noscript loading stale"


def _confirm(connection: "Connection", kind: bytes, channel: bytes | None, count: int) -> None:
    connection.push(encode(Push([kind, channel, count]), connection.protocol))


@door_command("SUBSCRIBE", -2, _FLAGS, barrier=True, in_multi=InMulti.REFUSE, subscribers=True)
def subscribe(connection: "Connection", args: list[bytes]) -> NoReply:
    """Lets messages of channels come to this connection."""
    for channel in args[1:]:
        connection.server.pubsub.subscribe(connection, channel)
        _confirm(connection, b"subscribe", channel, connection.get_session().subscription_count)
    connection.update_plain()
    return NO_REPLY


@door_command("PSUBSCRIBE", -2, _FLAGS, barrier=True, in_multi=InMulti.REFUSE, subscribers=True)
def psubscribe(connection: "Connection", args: list[bytes]) -> NoReply:
    """Lets messages of all channels that match patterns come to this connection."""
    for pattern in args[1:]:
        connection.server.pubsub.subscribe_pattern(connection, pattern)
        _confirm(connection, b"psubscribe", pattern, connection.get_session().subscription_count)
    connection.update_plain()
    return NO_REPLY


@door_command("SSUBSCRIBE", -2, _FLAGS, barrier=True, in_multi=InMulti.REFUSE, subscribers=True)
def ssubscribe(connection: "Connection", args: list[bytes]) -> NoReply:
    """Lets messages of shard channels come to this connection; there is one shard."""
    for channel in args[1:]:
        connection.server.pubsub.subscribe_shard(connection, channel)
        _confirm(connection, b"ssubscribe", channel, len(connection.get_session().shard_channels))
    connection.update_plain()
    return NO_REPLY


@door_command("UNSUBSCRIBE", -1, _FLAGS, barrier=True, in_multi=InMulti.REFUSE, subscribers=True)
def unsubscribe(connection: "Connection", args: list[bytes]) -> NoReply:
    """Ends subscriptions to channels, to all of them when none is named."""
    session = connection.get_session()
    channels = args[1:] or list(session.channels)
    for channel in channels:
        connection.server.pubsub.unsubscribe(connection, channel)
        _confirm(connection, b"unsubscribe", channel, session.subscription_count)
    if not channels:
        _confirm(connection, b"unsubscribe", None, session.subscription_count)
    connection.update_plain()
    return NO_REPLY


@door_command("PUNSUBSCRIBE", -1, _FLAGS, barrier=True, in_multi=InMulti.REFUSE, subscribers=True)
def punsubscribe(connection: "Connection", args: list[bytes]) -> NoReply:
    """Ends subscriptions to patterns, to all of them when none is named."""
    session = connection.get_session()
    patterns = args[1:] or list(session.patterns)
    for pattern in patterns:
        connection.server.pubsub.unsubscribe_pattern(connection, pattern)
        _confirm(connection, b"punsubscribe", pattern, session.subscription_count)
    if not patterns:
        _confirm(connection, b"punsubscribe", None, session.subscription_count)
    connection.update_plain()
    return NO_REPLY


@door_command("SUNSUBSCRIBE", -1, _FLAGS, barrier=True, in_multi=InMulti.REFUSE, subscribers=True)
def sunsubscribe(connection: "Connection", args: list[bytes]) -> NoReply:
    """Ends subscriptions to shard channels, to all of them when none is named."""
    session = connection.get_session()
    channels = args[1:] or list(session.shard_channels)
    for channel in channels:
        connection.server.pubsub.unsubscribe_shard(connection, channel)
        _confirm(connection, b"sunsubscribe", channel, len(session.shard_channels))
    if not channels:
        _confirm(connection, b"sunsubscribe", None, 0)
    connection.update_plain()
    return NO_REPLY


@door_command("PUBLISH", 3, "pubsub fast loading stale")
def publish(connection: "Connection", args: list[bytes]) -> DoorReply:
    """Hands a message to the subscribers on every node; returns how many there are on this one."""
    return connection.server.backend.publish(args[1], args[2])


@door_command("SPUBLISH", 3, "pubsub fast loading stale")
def spublish(connection: "Connection", args: list[bytes]) -> DoorReply:
    """Hands a message to the subscribers of a shard channel on every node."""
    return connection.server.backend.publish(SHARD_MARK + args[1], args[2])


def _matching(channels: list[bytes], args: list[bytes]) -> list[bytes]:
    if len(args) == 2:
        return channels
    matcher = Glob(args[2])
    return [channel for channel in channels if matcher.matches(channel)]


def _channels(connection: "Connection", args: list[bytes]) -> DoorReply:
    """Returns the channels with subscribers on this node: PUBSUB CHANNELS [pattern]."""
    return list(_matching(list(connection.server.pubsub.channels), args))


def _shardchannels(connection: "Connection", args: list[bytes]) -> DoorReply:
    """Returns the shard channels with subscribers on this node: PUBSUB SHARDCHANNELS [pattern]."""
    return list(_matching(list(connection.server.pubsub.shard_channels), args))


def _numsub(connection: "Connection", args: list[bytes]) -> DoorReply:
    """Returns the number of subscribers of channels on this node: PUBSUB NUMSUB [channel ...]."""
    return _numbers(connection.server.pubsub.channels, args[2:])


def _shardnumsub(connection: "Connection", args: list[bytes]) -> DoorReply:
    """Returns the number of subscribers of shard channels on this node: PUBSUB SHARDNUMSUB [channel ...]."""
    return _numbers(connection.server.pubsub.shard_channels, args[2:])


def _numbers(registry: "dict[bytes, dict[Connection, None]]", channels: list[bytes]) -> DoorReply:
    reply: list[DoorReply] = []
    for channel in channels:
        reply += [channel, len(registry.get(channel, ()))]
    return reply


def _numpat(connection: "Connection", _args: list[bytes]) -> DoorReply:
    """Returns the number of patterns subscribed to on this node."""
    return len(connection.server.pubsub.patterns)


def _help(_connection: "Connection", _args: list[bytes]) -> DoorReply:
    """Returns this."""
    return list(list_subcommands("PUBSUB", _SUBCOMMANDS))


_SUBCOMMANDS: Subcommands = {
    b"CHANNELS": (-2, _channels),
    b"NUMSUB": (-2, _numsub),
    b"NUMPAT": (2, _numpat),
    b"SHARDCHANNELS": (-2, _shardchannels),
    b"SHARDNUMSUB": (-2, _shardnumsub),
    b"HELP": (2, _help),
}


@door_command("PUBSUB", -2, "pubsub loading stale")
def pubsub(connection: "Connection", args: list[bytes]) -> "DoorReply | NoReply":
    """Tells of subscriptions on this node."""
    return run_subcommand(connection, args, "pubsub", _SUBCOMMANDS)
