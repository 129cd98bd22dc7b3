"""Transcripts of SWIM: a schedule of events, and the effects that each causes.

Commands: `members N` (all know each other), `timer N NAME` (the probe timer at its moment), `deliver A→B` (the oldest
message under way), `lose A→B`, `leave N`, `settle` (quietly).
"""

import random
from pathlib import Path

import msgspec
import pytest

from quorate.kernel import (
    Called,
    CancelTimer,
    Deliver,
    Effect,
    Event,
    Instant,
    NodeId,
    Persist,
    Received,
    Send,
    SetTimer,
    Started,
    TimerFired,
)
from quorate.protocols.swim import ALIVE, STATUS_NAMES, Known, Leave, Member, Swim, SwimConfig

HERE = Path(__file__).parent


def show(value: object) -> str:
    match value:
        case Member(node, incarnation, status, metadata, accuser):
            by = f" by {accuser}" if accuser else ""
            return f"{node} {STATUS_NAMES[status]}@{incarnation}{by}{' ' + metadata.decode() if metadata else ''}"
        case tuple():
            return f"[{', '.join(show(item) for item in value)}]"
        case msgspec.Struct():
            inside = [(name, getattr(value, name)) for name in value.__struct_fields__ if name != "sequence"]
            return f"{type(value).__name__}({', '.join(f'{name}={show(item)}' for name, item in inside)})"
        case _:
            return str(value)


class Transcript:
    """Runs commands and says what happened; numbers of probes are left out, because they are drawn."""

    def __init__(self) -> None:
        self.machines: dict[int, Swim] = {}
        self.wire: list[tuple[int, int, object]] = []
        self.lines: list[str] = []
        self.now = 0

    def run(self, line: str) -> list[str]:
        self.lines = []
        match line.replace("→", " ").split():
            case ["members", count]:
                known = Known(Member(node, 0, ALIVE) for node in range(1, int(count) + 1))
                for node in range(1, int(count) + 1):
                    config = SwimConfig(node=NodeId(node), known=known, indirect_count=1)
                    self.machines[node] = Swim(config, (), random.Random(node))
                    self.step(node, Started())
            case ["timer", node, timer]:
                machine = self.machines[int(node)]
                due = machine.probe_due_at if timer == "probe" else self.now
                if timer.startswith("suspect/"):
                    due = machine.suspicions[NodeId(int(timer[8:]))].deadline
                self.now = max(self.now, due)
                self.step(int(node), TimerFired(timer))
            case ["deliver", sender, to]:
                message = self.take(int(sender), int(to))
                self.step(int(to), Received(NodeId(int(sender)), message))
            case ["lose", sender, to]:
                self.take(int(sender), int(to))
            case ["leave", node]:
                self.step(int(node), Called(Leave()))
            case ["settle"]:
                while self.wire:
                    sender, to, message = self.wire.pop(0)
                    self.step(to, Received(NodeId(sender), message))
                self.lines = []
            case other:
                raise AssertionError(f"no such command: {other}")
        return self.lines or ["ok"]

    def take(self, sender: int, to: int) -> object:
        place = next(place for place, letter in enumerate(self.wire) if letter[:2] == (sender, to))
        return self.wire.pop(place)[2]

    def step(self, node: int, event: Event) -> None:
        machine = self.machines[node]
        health = machine.health
        for number, effect in enumerate(machine.step(event, now=Instant(self.now))):
            self.lines.append(f"{str(node) if number == 0 else ' '}  {self.perform(node, effect)}")
        if machine.health != health:
            self.lines.append(f"   health {health}→{machine.health}")

    def perform(self, node: int, effect: Effect) -> str:
        match effect:
            case Send(to, message):
                self.wire.append((node, to, message))
                return f"send {to} {show(message)}"
            case SetTimer(timer, after):
                name = "relay" if timer.startswith("relay/") else timer
                return f"timer {name} {after / 1e9:.3f} s" if name not in {"probe", "sync"} else f"timer {name}"
            case CancelTimer(timer):
                return f"cancel {'relay' if timer.startswith('relay/') else timer}"
            case Deliver(output):
                return f"output {show(output)}"
            case Persist():
                return "persist"


@pytest.mark.parametrize("path", sorted(HERE.glob("*.txt")), ids=lambda path: path.stem)
def test_the_transcript_is_what_happens(path: Path, rewrite: bool) -> None:
    old = path.read_text(encoding="utf-8")
    transcript, written = Transcript(), []
    for block in old.strip().split("\n\n"):
        commands = block.split("\n----\n")[0].splitlines()
        happened = [line for command in commands if not command.startswith("#") for line in transcript.run(command)]
        written.append("\n".join([*commands, "----", *happened]))
    new = "\n\n".join(written) + "\n"
    if rewrite:
        path.write_text(new, encoding="utf-8")
    assert rewrite or new == old
