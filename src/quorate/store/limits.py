"""How much a store takes, and what it says above."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one store. Above a bound a command is refused whole, with code TOOLARGE; nothing is truncated."""

    # Numbered databases, 0 to this less one.
    database_count: int = 16
    # The one in which the cluster keeps what it must agree on about itself: FLUSHALL leaves it alone, COPY and MOVE do
    # not reach it. None: there is none.
    system_database: int | None = None
    # Bytes of a key. State at rest is an ordered tree whose keys are bounded (LMDB: 511, prefixes included).
    key_bytes_max: int = 480
    # Bytes of a string, and of every single element, field or member of a collection.
    value_bytes_max: int = 1536 * 1024
    # Elements of one collection. A collection is written whole, so this bounds the longest slice of a checkpoint.
    element_count_max: int = 1_000_000
    # Client sessions remembered; the one that was used longest ago is forgotten first.
    session_count_max: int = 10_000
    # Due keys removed at the start of one batch; the rest are invisible already and follow with the next batches.
    expire_count_max: int = 200
    # About how many bytes of clean values (those at rest too) are kept decoded in memory.
    cache_bytes_max: int = 64 * 1024 * 1024
