"""What clients of the available side do: they read, put, delete, count and add, and know what they have seen."""

import random
from collections import Counter
from collections.abc import Callable
from typing import Final

import msgspec

from quorate.kernel import MILLISECOND, SECOND, NodeId
from quorate.lab.simulation.available.conditions import AvailableConditions
from quorate.lab.simulation.available.oracle import Oracle
from quorate.lab.simulation.options import Failed
from quorate.protocols.leaderless import (
    Add,
    Answered,
    Batch,
    Count,
    Delete,
    Preferences,
    Put,
    Remove,
    RemoveFields,
    Request,
    SetFields,
)
from quorate.protocols.leaderless import Failed as Refusal
from quorate.sim import CoreHost, World

CALL_TIMEOUT_NS = 2_500 * MILLISECOND
"""After so long a client believes nothing any more; above the machine's own time-out."""


OUTSIDER: Final = NodeId(1)
"""The node that owns nothing, where there is one."""


class Waiting(msgspec.Struct):
    """One request under way."""

    request: Request
    floor: bytes
    done: Callable[[bytes | None], None]


class Clients:
    """All clients of a run and what is under way for them."""

    def __init__(
        self,
        world: World,
        conditions: AvailableConditions,
        oracle: Oracle,
        preferences: Preferences,
        hosts: Callable[[], dict[NodeId, CoreHost]],
    ) -> None:
        self.world = world
        self.conditions = conditions
        self.oracle = oracle
        self.outcomes: Counter[str] = Counter()
        self._preferences = preferences
        self.keys = [
            self._key(place) for place in range(conditions.key_count * (4 if conditions.has_collections else 1))
        ]
        # Values whose write failed for certain.
        self.never: dict[bytes, None] = {}
        self._hosts = hosts
        self._waiting: dict[int, Waiting] = {}
        self._last_token = 0
        self._last_value = 0

    def _key(self, place: int) -> bytes:
        """Return a name for a key, one that node 1 does not own where it is an outsider."""
        kind = ("string", "counter", "set", "hash")[place % 4] if self.conditions.has_collections else "string"
        names = (f"{kind}-{place}-{salt}".encode() for salt in range(1_000))
        return next(
            name for name in names if not self.conditions.has_outsider or OUTSIDER not in self._preferences.owners(name)
        )

    # -- one request --------

    def ask(
        self, node: NodeId, request: Request, done: Callable[[bytes | None], None], *, floor: bytes | None = None
    ) -> None:
        """Make a request of a node; `done` is called once: with the cell, or None when it was not answered."""
        self._last_token += 1
        request = msgspec.structs.replace(request, token=self._last_token)
        host = self._hosts()[node]
        if floor is None:
            floor = self.oracle.floor(request.key) if request.change is None else b""
        self._waiting[request.token] = Waiting(request, floor, done)
        self.world.at(self.world.now + CALL_TIMEOUT_NS, lambda: self._give_up(request.token))
        if not host.is_running or not host.call(Batch((request,), wall_ns(host))):
            self._failed(request.token, is_certain=True)

    def take(self, host: CoreHost, output: Answered | Refusal) -> None:
        """Take an answer of a node."""
        waiting = self._waiting.get(output.token)
        if waiting is None:
            return
        if isinstance(output, Refusal):
            self._failed(output.token, is_certain=output.happened == "no")
            return
        del self._waiting[output.token]
        request = waiting.request
        self.outcomes["ok"] += 1
        if request.change is None:
            self.oracle.read(request.key, waiting.floor, output.cell, wall_ns(host) // MILLISECOND)
        else:
            self._acknowledged(request, output.cell)
        self._look(request.key, output.cell)
        waiting.done(output.cell)

    def _acknowledged(self, request: Request, cell: bytes) -> None:
        oracle, facts = self.oracle, self.oracle.facts(request.key)
        oracle.wrote(request.key, cell)
        match request.change:
            case Put(value):
                # Others may have won meanwhile only if they are in the cell too; a value that is nowhere was swallowed.
                if oracle.rule.name == "lww" and request.context and oracle.rule.seen(cell).values != (value,):
                    self._judge_swallowed(request, cell)
            case Count(amount):
                facts.counted += amount
            case Add(members):
                facts.added |= dict.fromkeys(members)
            case _:
                pass

    def _judge_swallowed(self, request: Request, cell: bytes) -> None:
        """A write that follows what its writer has read must be newer than that."""
        rule = self.oracle.rule
        mine, context = rule.stamp(rule.token(cell)), rule.stamp(request.context)
        if mine is not None and context is not None and mine <= context:
            raise Failed(
                "swallowed write", f"key {request.key!r}: a write that followed a read is no newer than what was read"
            )

    def _look(self, key: bytes, cell: bytes) -> None:
        seen = self.oracle.rule.seen(cell)
        for value in seen.values:
            if value in self.never:
                raise Failed(
                    "happened after all", f"key {key!r}: the write of {value!r} failed for certain, and is there"
                )
        if seen.kind == "string":
            # A worker knows what it saw last; where reads may miss writes, it can have left a value on every side.
            side_count = 1 if self.conditions.is_overlapping else self.conditions.node_count
            bound = self.conditions.worker_count * side_count + 1 + self.oracle.facts(key).unknown_count
            self.oracle.judge_siblings(key, len(seen.values), bound)

    def _give_up(self, token: int) -> None:
        self._failed(token, is_certain=False)

    def _failed(self, token: int, *, is_certain: bool) -> None:
        waiting = self._waiting.pop(token, None)
        if waiting is None:
            return
        self.outcomes["fail" if is_certain else "info"] += 1
        request, facts = waiting.request, self.oracle.facts(waiting.request.key)
        match request.change:
            case Put(value) if is_certain:
                self.never[value] = None
            case Count(amount) if not is_certain:
                facts.maybe_counted += amount
            case _:
                pass
        if request.change is not None and not is_certain:
            facts.unknown_count += 1
        waiting.done(None)

    # -- workers --------

    def work(self, number: int, rng: random.Random, nodes: list[NodeId], stop_at: int) -> None:
        """Let one worker make one request after another until a moment."""
        conditions = self.conditions
        interval_ns = SECOND * conditions.worker_count // (2 * conditions.operations_per_second)
        # Key → token of what this worker has seen of it.
        known: dict[bytes, bytes] = {}

        def next_one() -> None:
            if self.world.now >= stop_at:
                return
            key = self.keys[rng.randrange(len(self.keys))]
            request = self._draw(rng, number, key, known)

            def done(cell: bytes | None) -> None:
                if cell is not None:
                    known[key] = self.oracle.rule.token(cell)
                self.world.at(self.world.now + rng.randrange(1, 2 * interval_ns), next_one)

            self.ask(nodes[rng.randrange(len(nodes))], request, done)

        self.world.at(self.world.now + rng.randrange(1, 2 * interval_ns), next_one)

    def _draw(self, rng: random.Random, number: int, key: bytes, known: dict[bytes, bytes]) -> Request:
        conditions = self.conditions
        dice = rng.random()
        if dice < 0.4:
            return Request(0, key, None, conditions.read_level)
        self._last_value += 1
        value = f"{number}:{self._last_value}".encode()
        context = b"" if rng.random() < conditions.blind_share else known.get(key, b"")
        if key.startswith(b"counter"):
            return Request(0, key, Count(rng.randrange(1, 4)), conditions.write_level)
        if key.startswith(b"set"):
            facts = self.oracle.facts(key)
            if dice > 0.9 and facts.added:
                member = list(facts.added)[rng.randrange(len(facts.added))]
                facts.removed[member] = None
                return Request(0, key, Remove((member,)), conditions.write_level)
            return Request(0, key, Add((value,)), conditions.write_level)
        if key.startswith(b"hash"):
            field = b"field-%d" % rng.randrange(4)
            change = RemoveFields((field,)) if dice > 0.9 else SetFields(((field, value),))
            return Request(0, key, change, conditions.write_level, context)
        if rng.random() < conditions.delete_share:
            return Request(0, key, Delete(), conditions.write_level, context)
        return Request(0, key, Put(value), conditions.write_level, context)


def wall_ns(host: CoreHost) -> int:
    """Return what a node's wall clock shows now."""
    return int(host.now()) + host.host.time.wall_offset_ns
