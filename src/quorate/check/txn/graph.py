"""Who must come before whom, and why: a graph of transactions whose edges carry a set of reasons as bits."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from quorate.check.txn.transactions import Transaction

WW: Final = 1
"""Overwrote what the first one wrote."""
WR: Final = 2
"""Read what the first one wrote."""
RW: Final = 4
"""Overwrote what the first one read."""
PROCESS: Final = 8
"""Later of the same process."""
REALTIME: Final = 16
"""Called after the first one had answered."""

WRP: Final = 32
"""Read by a predicate what the first one made match, or no longer match."""
RWP: Final = 64
"""Made match, or no longer match, what the first one read by a predicate."""
ANTI: Final = RW | RWP

NAMES: Final = {WW: "ww", WR: "wr", RW: "rw", PROCESS: "process", REALTIME: "realtime", WRP: "wrp", RWP: "rwp"}


# Transactions whose predecessors are followed at once: bounds the memory of `closes_with_one_anti`.
_PORTION: Final = 4_096


class Graph:
    """Edges between numbered transactions."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.edges: list[dict[int, int]] = [{} for _ in range(size)]
        # Why an edge of a kind is there, in words; filled for what inference explains.
        self.reasons: dict[tuple[int, int, int], str] = {}

    def add(self, source: int, target: int, kind: int) -> None:
        """Add a reason for one transaction to come before another."""
        if source != target:
            row = self.edges[source]
            row[target] = row.get(target, 0) | kind

    def add_process_order(self, transactions: Sequence[Transaction]) -> None:
        """Add the order of each process; what nobody knows the end of comes before nothing. Complexity: O(n)."""
        last: dict[int, int] = {}
        for transaction in transactions:
            if transaction.outcome == "fail":
                continue
            if transaction.process in last:
                self.add(last[transaction.process], transaction.number, PROCESS)
            if transaction.outcome == "ok":
                last[transaction.process] = transaction.number

    def add_realtime_order(self, transactions: Sequence[Transaction]) -> None:
        """Add the order of time, without the edges that others imply.

        Complexity: O(n × concurrency).
        Source: Kingsbury & Alvaro 2020 (Elle), section on real-time edges.
        """
        events: list[tuple[int, bool, int]] = []
        for transaction in transactions:
            if transaction.outcome != "fail":
                events.append((transaction.call, False, transaction.number))
                if transaction.outcome == "ok":
                    events.append((transaction.done, True, transaction.number))
        events.sort()
        # Completed transactions that no completed one comes after.
        newest: dict[int, None] = {}
        before: dict[int, tuple[int, ...]] = {}
        edges = self.edges
        for _, is_done, number in events:
            if not is_done:
                earlier = before[number] = tuple(newest)
                for other in earlier:
                    row = edges[other]
                    row[number] = row.get(number, 0) | REALTIME
            else:
                for other in before[number]:
                    newest.pop(other, None)
                newest[number] = None

    def knots(self, kinds: int, within: Sequence[int] | None = None) -> list[list[int]]:
        """Return the strongly connected parts of more than one transaction over edges of some kinds.

        Complexity: O(edges).
        """
        nodes = self._core(kinds, range(self.size) if within is None else within)
        return [] if not nodes else _components(nodes, lambda node: self._targets(node, kinds, nodes))

    def _targets(self, node: int, kinds: int, nodes: dict[int, None]) -> list[int]:
        return [target for target, bits in self.edges[node].items() if bits & kinds and target in nodes]

    def _core(self, kinds: int, within: Sequence[int]) -> dict[int, None]:
        """Return what is left when transactions without predecessors are peeled off: nothing, if there is no cycle."""
        is_all = len(within) == self.size
        inside = dict.fromkeys(within)
        incoming = [0] * self.size
        for node in within:
            for target, bits in self.edges[node].items():
                if bits & kinds and (is_all or target in inside):
                    incoming[target] += 1
        work = [node for node in within if not incoming[node]]
        left = len(within) - len(work)
        while work:
            for target, bits in self.edges[work.pop()].items():
                if bits & kinds and (is_all or target in inside):
                    incoming[target] -= 1
                    if not incoming[target]:
                        work.append(target)
                        left -= 1
        return dict.fromkeys(node for node in within if incoming[node]) if left else {}

    def path(self, source: int, target: int, kinds: int, within: dict[int, None]) -> list[int] | None:
        """Return the shortest path over edges of some kinds, both ends included. Complexity: O(edges within)."""
        came: dict[int, int] = {source: source}
        work = deque([source])
        while work:
            node = work.popleft()
            if node == target:
                path = [node]
                while path[-1] != source:
                    path.append(came[path[-1]])
                return path[::-1]
            for after, bits in self.edges[node].items():
                if bits & kinds and after in within and after not in came:
                    came[after] = node
                    work.append(after)
        return None

    def hopping_knots(self, base: int, before_anti: int, within: Sequence[int]) -> list[list[int]]:
        """Return the knots of base edges, some kinds of which may each be followed by one anti-dependency.

        With all kinds this is what snapshot isolation forbids, with all but WW what prefix consistency forbids.

        Complexity: O(edges of the knot), over two copies of each transaction.
        Source: Cerone & Gotsman 2018, "Analysing snapshot isolation", theorem on dependency graphs.
        """
        inside = dict.fromkeys(within)
        # A node 2t is t; 2t + 1 is t just reached over an edge from where one anti-dependency may follow.
        doubled: dict[int, list[int]] = {}
        for node in within:
            here: list[int] = []
            hop: list[int] = [2 * node]
            for target, bits in self.edges[node].items():
                if target in inside:
                    if bits & before_anti:
                        here.append(2 * target + 1)
                    elif bits & base:
                        here.append(2 * target)
                    if bits & ANTI:
                        hop.append(2 * target)
            doubled[2 * node], doubled[2 * node + 1] = here, hop
        parts = _components(dict.fromkeys(doubled), doubled.__getitem__)
        return [list(dict.fromkeys(node // 2 for node in part)) for part in parts]

    def closes_with_one_anti(self, base: int, within: Sequence[int]) -> bool:
        """Say whether some anti-dependency leads back over base edges, which have no cycle, to where it begins.

        Complexity: O(edges × n / 64) bit operations, in portions of bounded memory.
        """
        inside = dict.fromkeys(within)
        order = self._sorted(base, within, inside)
        sources = [node for node in order if any(b & ANTI and t in inside for t, b in self.edges[node].items())]
        for first in range(0, len(sources), _PORTION):
            bit = {node: 1 << place for place, node in enumerate(sources[first : first + _PORTION])}
            # From a node over base edges to which of these.
            reach: dict[int, int] = {}
            for node in reversed(order):
                bits = bit.get(node, 0)
                for target, kinds in self.edges[node].items():
                    if kinds & base and target in inside:
                        bits |= reach[target]
                reach[node] = bits
            for node, own in bit.items():
                for target, kinds in self.edges[node].items():
                    if kinds & ANTI and target in inside and reach[target] & own:
                        return True
        return False

    def closes_through_one(self, kinds: int, readers: dict[int, None], within: Sequence[int]) -> bool:
        """Say whether some cycle goes through exactly one of `readers`; between the others there is no cycle.

        Complexity: O(edges × n / 64) bit operations, in portions of bounded memory.
        """
        others = [node for node in within if node not in readers]
        inside = dict.fromkeys(others)
        order = self._sorted(kinds, others, inside)
        asked = [node for node in within if node in readers]
        for first in range(0, len(asked), _PORTION):
            bit = {node: 1 << place for place, node in enumerate(asked[first : first + _PORTION])}
            reach: dict[int, int] = {}
            for node in reversed(order):
                bits = 0
                for target, why in self.edges[node].items():
                    if why & kinds:
                        bits |= bit.get(target, 0) | reach.get(target, 0)
                reach[node] = bits
            for node, own in bit.items():
                if any(why & kinds and reach.get(target, 0) & own for target, why in self.edges[node].items()):
                    return True
        return False

    def _sorted(self, kinds: int, within: Sequence[int], inside: dict[int, None]) -> list[int]:
        """Return transactions in an order that edges without a cycle agree with."""
        incoming = dict.fromkeys(within, 0)
        for node in within:
            for target, bits in self.edges[node].items():
                if bits & kinds and target in inside:
                    incoming[target] += 1
        order = [node for node, count in incoming.items() if not count]
        for node in order:
            for target, bits in self.edges[node].items():
                if bits & kinds and target in inside:
                    incoming[target] -= 1
                    if not incoming[target]:
                        order.append(target)
        assert len(order) == len(within), "base edges have no cycle"
        return order


def _components(nodes: dict[int, None], targets: Callable[[int], list[int]]) -> list[list[int]]:
    """Return the strongly connected parts of more than one node (Tarjan, without recursion)."""
    index: dict[int, int] = {}
    low: dict[int, int] = {}
    on_stack: dict[int, None] = {}
    stack: list[int] = []
    parts: list[list[int]] = []
    for root in nodes:
        if root in index:
            continue
        calls: list[tuple[int, list[int], int]] = [(root, targets(root), 0)]
        index[root] = low[root] = len(index)
        stack.append(root)
        on_stack[root] = None
        while calls:
            node, row, place = calls.pop()
            while place < len(row):
                target = row[place]
                place += 1
                if target not in index:
                    calls.append((node, row, place))
                    index[target] = low[target] = len(index)
                    stack.append(target)
                    on_stack[target] = None
                    calls.append((target, targets(target), 0))
                    break
                if target in on_stack:
                    low[node] = min(low[node], index[target])
            else:
                if low[node] == index[node]:
                    part: list[int] = []
                    while not part or part[-1] != node:
                        part.append(stack.pop())
                        del on_stack[part[-1]]
                    if len(part) > 1:
                        parts.append(part)
                if calls:
                    parent = calls[-1][0]
                    low[parent] = min(low[parent], low[node])
    return parts
