"""Tokens of a ring: drawn by hash, or allocated so that every node owns what its weight deserves.

Source      Random: Dynamo (2007), strategy 1. Allocated: in the manner of Cassandra 4 (`allocate_tokens_for_…`), for
            one replica: each token of a newcomer splits the largest range of the node that owns most above its due.
Deviations  Balances first owners, not replicated ownership; further owners balance as sums of many ranges.
Complexity  v tokens each, n nodes: O(v) random, O(n + v log n) allocated for each joining node.
"""

import heapq
from collections.abc import Mapping

from quorate.kernel import HASH_COUNT, mix64
from quorate.placement.nodes import Node, NodeName, name_hash

# The largest hash is no token: the range behind the last token is then never empty.
TOKEN_MAX = HASH_COUNT - 2
_STEP = 0x9E3779B97F4A7C15


def token_count(node: Node, virtual_nodes: int) -> int:
    """Return how many tokens a node has: in proportion to its weight, at least one."""
    return max(1, round(node.weight * virtual_nodes))


def random_tokens(node: Node, virtual_nodes: int, taken: Mapping[int, NodeName]) -> tuple[int, ...]:
    """Return tokens that depend on the node's name alone (unless one is taken), ascending."""
    state = name_hash(node.name)
    tokens: dict[int, None] = {}
    while len(tokens) < token_count(node, virtual_nodes):
        state = (state + _STEP) % HASH_COUNT
        token = min(mix64(state), TOKEN_MAX)
        if token not in taken:
            tokens[token] = None
    return tuple(sorted(tokens))


def allocated_tokens(
    node: Node, virtual_nodes: int, tokens: Mapping[NodeName, tuple[int, ...]], weights: Mapping[NodeName, float]
) -> tuple[int, ...]:
    """Return tokens that take from each node what it owns above its due, ascending.

    Args:
        node: the newcomer.
        virtual_nodes: tokens for a node of weight 1.
        tokens: what the others have.
        weights: of the others.
    """
    count = token_count(node, virtual_nodes)
    if not tokens:
        return random_tokens(node, virtual_nodes, {})
    ranges = _ranges(tokens)
    total_weight = sum(weights.values()) + node.weight
    # A heap per donor of (-size, token) and a heap of donors by what they own above their due.
    surplus = {
        name: sum(size for size, _ in owned) - int(HASH_COUNT * weights[name] / total_weight)
        for name, owned in ranges.items()
    }
    heaps = {name: [(-size, token) for size, token in owned] for name, owned in ranges.items()}
    for owned in heaps.values():
        heapq.heapify(owned)
    donors = [(-above, place, name) for place, (name, above) in enumerate(surplus.items())]
    heapq.heapify(donors)
    missing = int(HASH_COUNT * node.weight / total_weight)
    mine: list[int] = []
    for left in range(count, 0, -1):
        minus_above, place, name = heapq.heappop(donors)
        minus_size, token = heapq.heappop(heaps[name])
        # At most three quarters of a range, so that no range becomes a sliver while others stay large.
        share = max(1, min(missing // left, -minus_size * 3 // 4))
        mine.append((token - -minus_size + share) % HASH_COUNT)
        missing -= share
        heapq.heappush(heaps[name], (minus_size + share, token))
        heapq.heappush(donors, (minus_above + share, place, name))
    return tuple(sorted(min(token, TOKEN_MAX) for token in mine))


def _ranges(tokens: Mapping[NodeName, tuple[int, ...]]) -> dict[NodeName, list[tuple[int, int]]]:
    """Return, for each node, (size, token) of the ranges that end at its tokens."""
    owners = sorted((token, name) for name, owned in tokens.items() for token in owned)
    ranges: dict[NodeName, list[tuple[int, int]]] = {name: [] for name in tokens}
    previous = owners[-1][0] - HASH_COUNT
    for token, name in owners:
        ranges[name].append((token - previous, token))
        previous = token
    return ranges
