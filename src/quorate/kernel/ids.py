"""Identities that every floor speaks."""

from typing import NewType

import msgspec

NodeId = NewType("NodeId", int)
"""A running participant of a cluster; 1 or more, never reused."""

GroupId = NewType("GroupId", int)
"""One replicated log among the many that a node hosts; 1 or more."""

LogIndex = NewType("LogIndex", int)
"""A place in a replicated log; the first entry has 1, and 0 stands before it."""


class RequestKey(msgspec.Struct, frozen=True, array_like=True, gc=False, order=True):
    """Names a request over all its attempts, so that a repeated one is applied once.

    Source: Liskov & Cowling 2012, section 4.1 (client table).
    """

    # Unique per client session; drawn at random, 63 bits.
    client: int
    # Grows by one per request of that session; the first is 1.
    sequence: int
