"""Commands that speak of this node's copies alone: DBSIZE, KEYS, SCAN. Complexity: O(keys held) each."""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from quorate.protocols.leaderless import Rule
from quorate.store.glob import Glob
from quorate.store.reply import Reply
from quorate.store.shapes import ScanOptions


def living(cells: Mapping[bytes, bytes], rule: Rule) -> Iterator[bytes]:
    """Yield the keys whose copies hold anything alive."""
    return (key for key, cell in cells.items() if rule.deleted_at_ms(cell) is None)


def _count(_args: list[bytes], cells: Mapping[bytes, bytes], rule: Rule) -> Reply:
    return sum(1 for _ in living(cells, rule))


def _keys(args: list[bytes], cells: Mapping[bytes, bytes], rule: Rule) -> Reply:
    glob = Glob(args[1])
    return [key for key in living(cells, rule) if glob.matches(key)]


def _scan(args: list[bytes], cells: Mapping[bytes, bytes], rule: Rule) -> Reply:
    options = ScanOptions(args, 1, takes_type=True)
    cursor, found = options.select(living(cells, rule), len(cells))
    wanted = options.type_name
    if wanted is not None:
        found = [key for key in found if _type_of(cells[key], rule) == wanted]
    return [cursor, list(found)]


def _type_of(cell: bytes, rule: Rule) -> str:
    kind = rule.seen(cell).kind
    return "string" if kind == "counter" else kind


LocalHandler = Callable[[list[bytes], Mapping[bytes, bytes], Rule], Reply]
LOCAL: Final[Mapping[bytes, LocalHandler]] = {b"DBSIZE": _count, b"KEYS": _keys, b"SCAN": _scan}
