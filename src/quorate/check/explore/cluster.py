"""A few machines, a network and disks as a system to explore: every delivery, loss, timer and crash is a choice.

What a machine may do is decided by the same `Outbox` as in production, so the durability barrier is explored as it is.
Time does not pass but by timers: one that is set may fire at any moment, and its machine then sees a clock that has
moved far beyond every deadline; or, in a punctual scope, exactly to this one. Faults have counts, so that the system
stays finite.
"""

import hashlib
import pickle
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Final

import msgspec

from quorate.check.explore.canonical import canonical
from quorate.check.explore.outlines import outline, renamings_of
from quorate.check.explore.scope import Choice, ClusterState, Node, Scope
from quorate.check.explore.system import System
from quorate.kernel import (
    Called,
    CancelTimer,
    Deliver,
    Effect,
    Event,
    Instant,
    Machine,
    Message,
    NodeId,
    Outbox,
    Output,
    Persist,
    Persisted,
    Received,
    Record,
    Send,
    SetTimer,
    Started,
    TimerFired,
    seconds,
)

# Beyond every timeout that a machine could set.
_LEAP: Final = seconds(86_400)
_KNOWN_NODES_MAX: Final = 50_000


class Cluster(System[ClusterState, Choice]):
    """Machines of one protocol under one scope.

    Args:
        make: builds the machine of a node from its stable records; with a random stream that draws nothing new
            (`Still`), or the same one each time.
        scope: how much may happen.
        observe: what to remember of an output, or None; it becomes part of the state, so keep it small.
        ignore: fields of machines that are left out of a state's key, such as `now` and deadlines. Only for what cannot
            change behaviour under this scope.
        relative: fields that hold instants, alone or in containers: a state's key has their distance from the node's
            clock, so that states that differ only in the hour are one.
        ordered: fields with maps on whose order something depends; a state's key has no order of maps otherwise.
        alike: groups of nodes that differ in nothing but their names, which are all `Name`s: states that are renamings
            of each other are one. Nobody may compare names, or make other numbers of them.
        unordered: fields with sequences whose order nothing depends on, such as sorted names.

    Complexity: a step copies one machine.
    """

    def __init__(
        self,
        make: Callable[[NodeId, tuple[Record, ...]], Machine],
        scope: Scope,
        *,
        observe: Callable[[NodeId, Output], Hashable | None] = lambda _node, _output: None,
        ignore: Sequence[str] = ("now",),
        relative: Sequence[str] = (),
        ordered: Sequence[str] = (),
        alike: Sequence[Sequence[NodeId]] = (),
        unordered: Sequence[str] = (),
    ) -> None:
        self.make = make
        self.scope = scope
        self.observe = observe
        self.ignore = frozenset(ignore)
        self.relative = frozenset(relative)
        self.ordered = frozenset(ordered)
        self.unordered = frozenset(unordered)
        self.renamings = renamings_of(scope.nodes, alike)
        self.renames = len(self.renamings) > 1
        # (canonical bytes of a message, renaming) → its bytes under the renaming.
        self._renamed: dict[tuple[bytes, int], bytes] = {}
        # Nodes that were unpacked, by their keys: most states share most of their nodes.
        self._known: dict[bytes, Node] = {}
        self._places = {node: place for place, node in enumerate(scope.nodes)}

    def initial(self) -> Sequence[ClusterState]:
        """Return the one state in which every node has just started with an empty disk."""
        state = ClusterState(
            (), (), tuple(range(len(self.scope.calls))), self.scope.lose_count, self.scope.repeat_count,
            self.scope.crash_count,
        )  # fmt: skip
        sent: list[tuple[NodeId, NodeId, Message]] = []
        nodes = []
        for name in self.scope.nodes:
            allowance = tuple(0 if name in self.scope.quiet else count for _, count in self.scope.timers)
            node, messages = self._boot(name, (), allowance, ())
            nodes.append(node)
            sent += messages
        return [msgspec.structs.replace(state, nodes=tuple(nodes), network=self._posted((), sent))]

    def choices(self, state: ClusterState) -> Sequence[Choice]:
        """Return all that may happen: per message, per node, per call."""
        found: list[Choice] = []
        last: tuple[NodeId, NodeId, bytes] | None = None
        links: dict[tuple[NodeId, NodeId], None] = {}
        for receiver, sender, data, message in state.network:
            if self.scope.is_fifo:
                if (receiver, sender) in links:
                    continue
                links[receiver, sender] = None
            elif (receiver, sender, data) == last:
                # One of several equal messages is as good as another.
                continue
            last = (receiver, sender, data)
            if state.nodes[self._places[receiver]].machine is not None:
                found.append(Choice("deliver", receiver, sender, message))
                if state.repeat_left:
                    found.append(Choice("repeat", receiver, sender, message))
            if state.lose_left:
                found.append(Choice("lose", receiver, sender, message))
        for name, node in zip(self.scope.nodes, state.nodes, strict=True):
            self._choices_of(name, node, state.crash_left, found)
        found += [
            Choice("call", self.scope.calls[number][0], number=number)
            for number in state.calls_left
            if state.nodes[self._places[self.scope.calls[number][0]]].machine is not None
        ]
        return found

    def _choices_of(self, name: NodeId, node: Node, crash_left: int, found: list[Choice]) -> None:
        if node.machine is None:
            found.append(Choice("restart", name))
            return
        found += [
            Choice("fire", name, timer=timer) for timer, _, _ in self._live(node.timers, node.dues, node.timers_left)
        ]
        if node.writes:
            found.append(Choice("persist", name))
        if crash_left:
            found += [Choice("crash", name, number=kept) for kept in range(len(node.writes) + 1)]

    def _live(
        self, timers: tuple[str, ...], dues: tuple[int, ...], timers_left: tuple[int, ...]
    ) -> list[tuple[str, int, int]]:
        """Return the timers that may fire next, each with its deadline and how often it may still fire."""
        places = [self.scope.place_of(timer) for timer in timers]
        found = [
            (timer, due, timers_left[place])
            for timer, due, place in zip(timers, dues, places, strict=True)
            if place is not None and timers_left[place]
        ]
        if not self.scope.is_punctual:
            return found
        first = min([due for _, due, _ in found], default=0)
        return [row for row in found if row[1] == first]

    def take(self, state: ClusterState, choice: Choice) -> ClusterState:
        """Return the state after a choice."""
        place = self._places[choice.node]
        node = state.nodes[place]
        sent: list[tuple[NodeId, NodeId, Message]] = []
        changes: dict[str, Any] = {}
        network = state.network
        match choice.kind:
            case "deliver" | "repeat" | "lose":
                assert choice.sender is not None, "a message has a sender"
                assert choice.message is not None, "a message is there to be delivered"
                if choice.kind == "repeat":
                    changes["repeat_left"] = state.repeat_left - 1
                else:
                    network = self._without(network, choice)
                if choice.kind == "lose":
                    changes["lose_left"] = state.lose_left - 1
                else:
                    node, sent = self._step(choice.node, node, Received(choice.sender, choice.message))
            case "fire":
                node, sent = self._fire(choice.node, node, choice.timer)
            case "call":
                changes["calls_left"] = tuple(number for number in state.calls_left if number != choice.number)
                node, sent = self._step(choice.node, node, Called(self.scope.calls[choice.number][1]))
            case "persist":
                node, sent = self._persist(choice.node, node)
            case "crash":
                changes["crash_left"] = state.crash_left - 1
                kept = tuple(record for write in node.writes[: choice.number] for record in write)
                node = self._named(None, b"", node.records + kept, (), {}, node.timers_left, node.seen)
            case "restart":
                node, sent = self._boot(choice.node, node.records, node.timers_left, node.seen)
        nodes = (*state.nodes[:place], node, *state.nodes[place + 1 :])
        return msgspec.structs.replace(state, nodes=nodes, network=self._posted(network, sent), **changes)

    def key(self, state: ClusterState) -> Hashable:
        """Return 128 bits over all nodes, messages and counts: two of a million states collide once in 10^26.

        With nodes that are alike, the least of these over all renamings.
        """
        if not self.renames:
            return self._key([node.key for node in state.nodes], state.network, state)
        return min([self.renamed_key(state, number) for number in range(len(self.renamings))])

    def renamed_key(self, state: ClusterState, number: int) -> bytes:
        """Return what would be the key of a state, were its nodes renamed."""
        names = self.renamings[number]
        keys = [b""] * len(state.nodes)
        for name, node in zip(self.scope.nodes, state.nodes, strict=True):
            keys[self._places[NodeId(names[name])]] = node.keys[number]
        network = [
            (NodeId(names[to]), NodeId(names[sender]), self._message(data, message, number), message)
            for to, sender, data, message in state.network
        ]
        network.sort(key=(lambda row: row[:2]) if self.scope.is_fifo else (lambda row: row[:3]))
        return self._key(keys, network, state)

    def _key(
        self, keys: Sequence[bytes], network: Sequence[tuple[NodeId, NodeId, bytes, Message]], state: ClusterState
    ) -> bytes:
        digest = hashlib.blake2b(digest_size=16)
        for key in keys:
            digest.update(key)
        for receiver, sender, data, _ in network:
            digest.update(b"%d,%d,%d:" % (receiver, sender, len(data)))
            digest.update(data)
        digest.update(repr((state.calls_left, state.lose_left, state.repeat_left, state.crash_left)).encode())
        return digest.digest()

    def _message(self, data: bytes, message: Message, number: int) -> bytes:
        renamed = self._renamed.get((data, number))
        if renamed is None:
            if len(self._renamed) >= _KNOWN_NODES_MAX:
                self._renamed.clear()
            renamed = canonical(message, unordered=self.unordered, names=self.renamings[number])
            self._renamed[data, number] = renamed
        return renamed

    def pack(self, state: ClusterState) -> bytes:
        """Return a state without what can be made again from it: each machine is there once, not twice."""
        nodes = [(node.machine is not None, *msgspec.structs.astuple(node)[1:]) for node in state.nodes]
        return pickle.dumps((nodes, *msgspec.structs.astuple(state)[1:]))

    def unpack(self, data: bytes) -> ClusterState:
        """Return what `pack` took."""
        rows, *rest = pickle.loads(data)
        nodes = []
        for is_up, *fields in rows:
            key = fields[-2]
            if key not in self._known:
                if len(self._known) >= _KNOWN_NODES_MAX:
                    self._known.clear()
                self._known[key] = Node(pickle.loads(fields[0])[0] if is_up else None, *fields)
            nodes.append(self._known[key])
        return ClusterState(tuple(nodes), *rest)

    def shape(self, state: ClusterState) -> Hashable:
        """Return an outline of each node, and which kinds of messages are under way.

        Words, truth values, small numbers (terms, places, counts) and lengths of a machine's own fields count; what is
        in its containers does not, nor how many messages there are.
        """
        nodes = tuple([(outline(node.machine, self.ignore, 2), bool(node.writes)) for node in state.nodes])
        kinds = tuple(sorted(dict.fromkeys(type(message).__name__ for _, _, _, message in state.network)))
        return nodes, kinds

    def is_independent(self, one: Choice, other: Choice) -> bool:
        """Say that choices of two nodes commute, unless both draw on one count of faults."""
        if one.node == other.node:
            return False
        return one.kind != other.kind or one.kind not in {"lose", "repeat", "crash"}

    def fairness(self, choice: Choice) -> Hashable | None:
        """Return a name for what must happen in the end: not faults, and no call that nobody need make."""
        return None if choice.kind in {"lose", "repeat", "crash", "call"} else choice

    def lane(self, choice: Choice) -> str:
        """Return the node."""
        return f"node {choice.node}"

    def describe(self, choice: Choice) -> str:
        """Return a choice in a few words."""
        match choice.kind:
            case "deliver" | "lose" | "repeat":
                return f"{choice.kind} {choice.sender}→{choice.node} {short(choice.message)}"
            case "fire":
                return f"timer {choice.timer} of {choice.node}"
            case "call":
                return f"call {short(self.scope.calls[choice.number][1])} at {choice.node}"
            case "persist":
                return f"write of {choice.node} is stable"
            case "crash":
                kept = f", {choice.number} unfinished writes survive" if choice.number else ""
                return f"crash of {choice.node}{kept}"
            case _:
                return f"restart of {choice.node}"

    def _boot(
        self, name: NodeId, records: tuple[Record, ...], timers_left: tuple[int, ...], seen: tuple[Hashable, ...]
    ) -> tuple[Node, list[tuple[NodeId, NodeId, Message]]]:
        blob = pickle.dumps((self.make(name, records), Outbox()))
        fresh = Node(None, blob, records, (), (), (), timers_left, seen, b"")
        return self._step(name, fresh, Started())

    def _fire(self, name: NodeId, node: Node, timer: str) -> tuple[Node, list[tuple[NodeId, NodeId, Message]]]:
        place = self.scope.place_of(timer)
        left = tuple([count - (number == place) for number, count in enumerate(node.timers_left)])
        dues = dict(zip(node.timers, node.dues, strict=True))
        due = dues.pop(timer)
        node = msgspec.structs.replace(node, timers=tuple(dues), dues=tuple(dues.values()), timers_left=left)
        return self._step(name, node, TimerFired(timer), due=due)

    def _step(
        self, name: NodeId, node: Node, event: Event, *, due: int | None = None
    ) -> tuple[Node, list[tuple[NodeId, NodeId, Message]]]:
        """Let a copy of a machine take an event; perform its effects as far as the barrier lets them."""
        machine: Machine
        outbox: Outbox
        machine, outbox = pickle.loads(node.blob)
        now = machine.now
        if due is not None:
            now = Instant(max(now, due) if self.scope.is_punctual else now + _LEAP)
        run = _Performing(self, name, node, now)
        run.perform(outbox.push(machine.step(event, now=now)))
        while self.scope.is_disk_instant and run.writes:
            run.records += tuple(record for write in run.writes for record in write)
            run.writes = ()
            run.perform(list(outbox.persisted(outbox.persist_count)))
            run.perform(outbox.push(machine.step(Persisted(outbox.persist_count), now=now)))
        return self._finished(machine, outbox, run, node)

    def _persist(self, name: NodeId, node: Node) -> tuple[Node, list[tuple[NodeId, NodeId, Message]]]:
        """Let the oldest unfinished write become stable."""
        machine: Machine
        outbox: Outbox
        machine, outbox = pickle.loads(node.blob)
        run = _Performing(self, name, node, machine.now)
        run.records, run.writes = node.records + node.writes[0], node.writes[1:]
        count = outbox.persisted_count + 1
        run.perform(list(outbox.persisted(count)))
        run.perform(outbox.push(machine.step(Persisted(count), now=machine.now)))
        return self._finished(machine, outbox, run, node)

    def _finished(
        self, machine: Machine, outbox: Outbox, run: "_Performing", node: Node
    ) -> tuple[Node, list[tuple[NodeId, NodeId, Message]]]:
        blob = pickle.dumps((machine, outbox))
        after = self._named(
            machine, blob, run.records, run.writes, run.timers, node.timers_left, tuple(run.seen), outbox
        )
        return after, run.sent

    def _named(
        self,
        machine: Machine | None,
        blob: bytes,
        records: tuple[Record, ...],
        writes: tuple[tuple[Record, ...], ...],
        running: dict[str, int],
        timers_left: tuple[int, ...],
        seen: tuple[Hashable, ...],
        outbox: Outbox | None = None,
    ) -> Node:
        timers = tuple(sorted(running))
        keys = [
            self.node_key(
                machine, outbox, records=records, writes=writes, running=running, timers_left=timers_left, seen=seen,
                names=names,
            )
            for names in self.renamings
        ]  # fmt: skip
        dues = tuple([running[timer] for timer in timers])
        others = tuple(keys) if self.renames else ()
        return Node(machine, blob, records, writes, timers, dues, timers_left, seen, keys[0], others)

    def node_key(
        self,
        machine: Machine | None,
        outbox: Outbox | None,
        *,
        records: tuple[Record, ...],
        writes: tuple[tuple[Record, ...], ...],
        running: Mapping[str, int],
        timers_left: tuple[int, ...],
        seen: tuple[Hashable, ...],
        names: Mapping[int, int] | None = None,
    ) -> bytes:
        """Return what identifies a node: 128 bits over its machine and all that its future depends on.

        Args:
            machine: None while it is down.
            outbox: what it holds back; None while it is down.
            records: stable ones.
            writes: those of each unfinished write.
            running: timer → deadline.
            timers_left: how often each timer of the scope may still fire.
            seen: what `observe` kept.
            names: other names for the nodes.
        """
        now = 0 if machine is None else int(machine.now)
        # A timer that may never fire again is as good as none; when it fires matters only where time is kept.
        live = []
        for timer in sorted(running):
            place = self.scope.place_of(timer)
            if place is not None and timers_left[place]:
                live.append((timer, running[timer] - now if self.scope.is_punctual else 0))
        data = canonical(
            (machine, outbox, records, writes, live, timers_left, seen),
            self.ignore,
            relative=self.relative,
            ordered=self.ordered,
            unordered=self.unordered,
            now=now,
            names=names,
        )
        return hashlib.blake2b(data, digest_size=16).digest()

    def _posted(
        self,
        network: tuple[tuple[NodeId, NodeId, bytes, Message], ...],
        sent: list[tuple[NodeId, NodeId, Message]],
    ) -> tuple[tuple[NodeId, NodeId, bytes, Message], ...]:
        if not sent:
            return network
        posted = [
            (to, sender, canonical(message, unordered=self.unordered), message)
            for to, sender, message in sent
            if to in self._places
        ]
        merged = [*network, *posted]
        # Stable for links that keep their order: only the links are sorted.
        merged.sort(key=(lambda row: row[:2]) if self.scope.is_fifo else (lambda row: row[:3]))
        return tuple(merged)

    def _without(
        self, network: tuple[tuple[NodeId, NodeId, bytes, Message], ...], choice: Choice
    ) -> tuple[tuple[NodeId, NodeId, bytes, Message], ...]:
        for place, (receiver, sender, _, message) in enumerate(network):
            if receiver == choice.node and sender == choice.sender and message == choice.message:
                return network[:place] + network[place + 1 :]
        raise AssertionError("what is delivered is on its way")


class _Performing:
    """What the effects of one step do to the node and the network."""

    def __init__(self, cluster: Cluster, name: NodeId, node: Node, now: Instant) -> None:
        self.now = now
        self.cluster = cluster
        self.name = name
        self.records = node.records
        self.writes = node.writes
        self.timers = dict(zip(node.timers, node.dues, strict=True))
        self.seen = list(node.seen)
        self.sent: list[tuple[NodeId, NodeId, Message]] = []

    def perform(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send(to, message):
                    self.sent.append((to, self.name, message))
                case Persist(records):
                    self.writes = (*self.writes, records)
                case SetTimer(timer, after):
                    self.timers[timer] = self.now + max(0, after)
                case CancelTimer(timer):
                    self.timers.pop(timer, None)
                case Deliver(output):
                    kept = self.cluster.observe(self.name, output)
                    if kept is not None:
                        self.seen.append(kept)


def short(value: object, limit: int = 60) -> str:
    """Return a value's own words, cut to a length."""
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"
