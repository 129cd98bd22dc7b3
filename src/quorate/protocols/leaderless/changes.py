"""What a client may do to one key; the conflict rule of the keyspace gives it its meaning."""

from typing import TypeAlias

import msgspec


class Change(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=True):
    """The base of all changes."""


class Put(Change, frozen=True, array_like=True, gc=False, tag=True):
    """Set a string."""

    value: bytes
    # Comes back with the value, unread: causal sessions keep what the writer had seen in it.
    note: bytes = b""


class Delete(Change, frozen=True, array_like=True, gc=False, tag=True):
    """Remove the key, whatever it holds; leaves a tombstone."""

    note: bytes = b""


class Count(Change, frozen=True, array_like=True, gc=False, tag=True):
    """Add to a counter; the amount may be negative."""

    amount: int


class Add(Change, frozen=True, array_like=True, gc=False, tag=True):
    """Put members into a set (add wins)."""

    members: tuple[bytes, ...]


class Remove(Change, frozen=True, array_like=True, gc=False, tag=True):
    """Take members out of a set: what the writer's replica has seen of them."""

    members: tuple[bytes, ...]


class SetFields(Change, frozen=True, array_like=True, gc=False, tag=True):
    """Set fields of a hash."""

    fields: tuple[tuple[bytes, bytes], ...]


class RemoveFields(Change, frozen=True, array_like=True, gc=False, tag=True):
    """Take fields out of a hash."""

    fields: tuple[bytes, ...]


AnyChange: TypeAlias = Put | Delete | Count | Add | Remove | SetFields | RemoveFields
