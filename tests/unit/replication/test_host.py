"""A host performs effects in order, behind the durability barrier, and never enters its machine twice."""

import random
from typing import Any, ClassVar

import pytest

from quorate.env import Env
from quorate.kernel import (
    Call,
    Called,
    CancelTimer,
    Codec,
    Deliver,
    Duration,
    Effect,
    Event,
    GroupId,
    Instant,
    Machine,
    Message,
    NodeId,
    Output,
    Persist,
    Persisted,
    Received,
    Record,
    Send,
    SetTimer,
    marks,
)
from quorate.replication import Host, Kind


class Say(Message, frozen=True, array_like=True, gc=False, tag=True):
    word: str


class Do(Call, frozen=True, gc=False, tag=True):
    name: str


class Note(Record, frozen=True, array_like=True, gc=False, tag=True):
    word: str


class Told(Output, frozen=True, gc=False, tag=True):
    word: str


class Scripted(Machine):
    """Emits what its script says for each call; writes down what happens to it."""

    def __init__(self, script: dict[str, list[Effect]]) -> None:
        super().__init__()
        self.script = script
        self.events: list[Event] = []

    def _on_event(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, Called) and isinstance(event.call, Do):
            for effect in self.script.get(event.call.name, []):
                self._emit(effect)


class Log:
    def __init__(self) -> None:
        self.appended: list[list[bytes]] = []

    def append(self, _group: GroupId, records: list[bytes]) -> int:
        self.appended.append(records)
        return 10 * len(self.appended)


class Set:
    """A host around a scripted machine."""

    CODEC: ClassVar[Codec[Say]] = Codec(Say)

    def __init__(self, bench: Any, script: dict[str, list[Effect]]) -> None:
        self.bench = bench
        self.machine = Scripted(script)
        self.log = Log()
        self.outputs: list[Output] = []
        self.persisted: list[int] = []
        world: Any = self
        env = Env(
            node=NodeId(1),
            clock=bench.clock,
            network=world,
            streams=world,
            disk=world,
            rng=random.Random(1),
            buggify=lambda _site: False,
        )
        self.host = Host(
            env,
            self.machine,
            group=GroupId(7),
            messages=self.CODEC,
            log=self.log,
            links=bench.links,
            on_output=self.take,
            on_persist=lambda _records, ordinal: self.persisted.append(ordinal),
        )

    def take(self, output: Output) -> None:
        self.outputs.append(output)

    @property
    def words(self) -> list[str]:
        """What was sent, in order."""
        return [self.CODEC.decode(payload[4:]).word for _, _, payload in self.bench.links.sent]


def test_what_promises_a_write_waits_for_it_and_the_rest_does_not(bench: Any) -> None:
    script: dict[str, list[Effect]] = {
        "a": [
            Send(NodeId(2), Say("before")),
            Persist((Note("x"),)),
            Send(NodeId(2), Say("behind")),
            Send(NodeId(2), Say("eager"), eager=True),
            Deliver(Told("behind")),
        ],
        "b": [Send(NodeId(2), Say("second")), Persist((Note("y"),)), Deliver(Told("last"))],
    }
    it = Set(bench, script)
    it.host.call(Do("a"))
    it.host.call(Do("b"))
    assert (it.words, it.outputs, it.persisted) == (["before", "eager"], [], [10, 20])
    it.host.stable(15)
    assert (it.words, it.outputs) == (["before", "eager", "behind", "second"], [Told("behind")])
    it.host.stable(15)
    it.host.stable(20)
    assert it.outputs == [Told("behind"), Told("last")]
    assert [event.count for event in it.machine.events if isinstance(event, Persisted)] == [1, 2]
    assert {kind for _, kind, _ in bench.links.sent} == {Kind.MESSAGE}
    assert all(payload[:4] == (7).to_bytes(4, "big") for _, _, payload in bench.links.sent)


def test_a_call_made_while_effects_are_performed_waits_for_its_turn(bench: Any) -> None:
    script: dict[str, list[Effect]] = {
        "a": [Deliver(Told("go")), Send(NodeId(2), Say("first"))],
        "b": [Send(NodeId(2), Say("second"))],
    }
    it = Set(bench, script)

    def take(output: Output) -> None:
        it.outputs.append(output)
        it.host.call(Do("b"))

    it.host._on_output = take
    it.host.call(Do("a"))
    assert it.words == ["first", "second"]


def test_garbage_from_a_peer_is_counted_and_ignored(bench: Any) -> None:
    it = Set(bench, {})
    with marks.expect("host: garbage from a peer"):
        for payload in (b"", b"\xc1", b"\x93\x01", b"\x80"):
            it.host.receive(NodeId(2), payload)
    it.host.receive(NodeId(2), it.CODEC.encode(Say("hello")))
    assert it.machine.events == [Received(NodeId(2), Say("hello"))]
    assert it.host.malformed_count == 4


def test_a_timer_set_again_replaces_the_one_that_runs(bench: Any) -> None:
    script: dict[str, list[Effect]] = {
        "set": [SetTimer("t", Duration(50_000_000))],
        "cancel": [CancelTimer("t"), CancelTimer("unknown")],
    }
    it = Set(bench, script)
    it.host.call(Do("set"))
    bench.clock.advance(30)
    it.host.call(Do("set"))
    bench.clock.advance(30)
    count = len(it.machine.events)
    bench.clock.advance(30)
    assert len(it.machine.events) == count + 1
    it.host.call(Do("set"))
    it.host.call(Do("cancel"))
    count = len(it.machine.events)
    bench.clock.advance(200)
    assert len(it.machine.events) == count


def test_a_stopped_host_hears_nothing_more(bench: Any) -> None:
    it = Set(bench, {"set": [SetTimer("t", Duration(1))], "a": [Send(NodeId(2), Say("x"))]})
    it.host.call(Do("set"))
    it.host.stop()
    count = len(it.machine.events)
    it.host.call(Do("a"))
    it.host.receive(NodeId(2), it.CODEC.encode(Say("hello")))
    bench.clock.advance(100)
    assert (it.words, len(it.machine.events)) == ([], count)


def test_a_machine_that_breaks_its_promise_is_heard_of(bench: Any) -> None:
    class Broken(Scripted):
        def _on_event(self, event: Event) -> None:
            raise AssertionError("a promise")

    it = Set(bench, {})
    it.host.machine = Broken({})
    with pytest.raises(AssertionError, match="a promise"):
        it.host.call(Do("a"))
    assert Instant(0) == bench.clock.now()
