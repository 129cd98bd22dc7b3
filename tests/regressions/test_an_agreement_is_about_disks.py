"""A node that holds a tombstone in memory must not agree on it: a crash takes it back, and the others have purged it.

Then the value that was deleted is alive on that node alone, nothing is left that covers it, and it comes back.
"""

import random

from quorate.kernel import Called, Instant, NodeId, Persist, Received, Send, SetTimer, Started, TimerFired, seconds
from quorate.protocols.leaderless import Batch, Bundle, Delete, LeaderlessConfig, Request, Tick, rule_named, topology_of
from quorate.replication import Available, AvailableConfig

WALL_NS = 1_700_000_000_000_000_000


def test_a_comparison_waits_for_the_disk_that_it_speaks_of() -> None:
    config = LeaderlessConfig(
        node=NodeId(1), topology=topology_of([NodeId(1), NodeId(2)], replica_count=2), purge="repair"
    )
    node = Available(AvailableConfig.standard(config, swim=None), (), random.Random(1), rule=rule_named("lww"))
    timers = [effect for effect in node.step(Started(), now=Instant(0)) if isinstance(effect, SetTimer)]
    node.step(Called(Tick(WALL_NS)), now=Instant(0))
    effects = node.step(Called(Batch((Request(1, b"key", Delete(), "ONE"),), WALL_NS)), now=Instant(1))
    assert any(isinstance(effect, Persist) for effect in effects), "and it is not stable"
    asked: list[Send] = []
    for number in range(1, 40):
        for timer in [timer.timer for timer in timers if timer.timer.startswith("entropy/")]:
            effects = node.step(TimerFired(timer), now=Instant(number * seconds(60)))
            timers += [effect for effect in effects if isinstance(effect, SetTimer)]
            asked += [
                effect for effect in effects if isinstance(effect, Send) and not isinstance(effect.message, Bundle)
            ]
        if asked:
            break
    assert asked
    assert not any(effect.eager for effect in asked)
    # And the answer to a peer that asks.
    peer = Available(
        AvailableConfig.standard(LeaderlessConfig(node=NodeId(2), topology=config.topology), swim=None), (),
        random.Random(2), rule=rule_named("lww"),
    )  # fmt: skip
    peer.step(Started(), now=Instant(0))
    answers = [
        effect
        for effect in peer.step(Received(NodeId(1), asked[0].message), now=Instant(1))
        if isinstance(effect, Send)
    ]
    assert answers
    back = node.step(Received(NodeId(2), answers[0].message), now=Instant(41 * seconds(60)))
    assert not any(
        effect.eager for effect in back if isinstance(effect, Send) and not isinstance(effect.message, Bundle)
    )
