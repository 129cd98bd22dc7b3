"""A cell with a dot that only memory holds must not reach anybody by any way: after a crash the dot is given again.

Found by `tests/sim/test_leaderless.py`: read repair, exchanges and hints told others before the write was stable.
"""

import pytest

from quorate.kernel import NodeId, milliseconds
from quorate.protocols.leaderless import PeerUp, Put, Reconcile
from quorate.protocols.leaderless.testing import LeaderlessCluster

KEY = b"key"


def carried(cluster: LeaderlessCluster) -> list[bytes]:
    """Return all cells that node 1 has told."""
    return [
        cell
        for sender, _, part in cluster.parts()
        if sender == 1
        for cell in [getattr(part, "cell", b""), *(cell for _, cell in getattr(part, "cells", ()))]
        if cell
    ]


@pytest.mark.parametrize("way", ["write", "repair", "exchange", "answer of an exchange", "hint", "read"])
def test_no_dot_leaves_before_its_disk(way: str) -> None:
    cluster = LeaderlessCluster(3, rule="siblings")
    cluster.box(1).is_slow = True
    if way == "hint":
        cluster.down(3)
    cluster.request(1, KEY, Put(b"v"))
    match way:
        case "repair":
            cluster.request(1, KEY, level="ALL")
            cluster.settle()
        case "exchange":
            cluster.call(1, Reconcile(NodeId(2), (KEY,)))
        case "answer of an exchange":
            cluster.call(2, Reconcile(NodeId(1), (KEY,)))
            cluster.deliver(cluster.wire[0])
        case "hint":
            cluster.call(1, PeerUp(NodeId(3)))
            cluster.run(milliseconds(300), tick=False)
        case "read":
            cluster.request(2, KEY, level="ALL")
            cluster.deliver(next(letter for letter in cluster.wire if letter.to == 1))
        case _:
            pass
    assert carried(cluster) == []
    assert not any(KEY in cluster.machine(node).cells for node in (2, 3))
    cluster.sync(1)
    assert carried(cluster)
