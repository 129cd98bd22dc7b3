"""Transcripts of leaderless replication: a schedule of events, and the effects that each causes.

Commands: `cluster N [RULE] [FIELD=VALUE …]` (three copies; `known` first: all have spoken), `put N KEY VALUE [LEVEL]`,
`delete N KEY [LEVEL]`, `read N KEY [LEVEL]`, `deliver A→B` (the oldest bundle under way), `lose A→B`, `slow N`, `sync N`,
`down N` (all others are told), `up N`, `due N` and `hints N` (a timer at its moment), `wait MS`, `settle` (quietly),
`crash N`, `restart N`.
"""

from pathlib import Path

import msgspec
import pytest

from quorate.kernel import (
    CancelTimer,
    Deliver,
    Effect,
    Event,
    NodeId,
    Persist,
    Send,
    SetTimer,
    TimerFired,
    milliseconds,
)
from quorate.protocols.leaderless import Answered, CellChanged, Delete, Put, Rule
from quorate.protocols.leaderless.testing import WALL_NS, LeaderlessCluster

HERE = Path(__file__).parent
CELLS = frozenset({"cell", "before", "after"})


class Transcript:
    """Runs commands and says what happened; numbers are written in the order in which they are met."""

    def __init__(self) -> None:
        self.cluster: LeaderlessCluster
        self.lines: list[str] = []
        self.numbers: dict[int, int] = {}

    def run(self, line: str) -> list[str]:
        self.lines = []
        match line.replace("→", " ").split():
            case ["cluster", count, *options]:
                fields = dict(option.split("=") for option in options if "=" in option)
                rule = next((option for option in options if "=" not in option), "lww")
                self.cluster = LeaderlessCluster(
                    int(count), rule=rule, **{name: self.field(value) for name, value in fields.items()}
                )
                for node in self.cluster.boxes:
                    self.cluster.put(node, b"first", b"")
                self.cluster.run(milliseconds(100))
                self.cluster.on_step = self.step
            case ["put", node, key, value, *level]:
                self.cluster.request(int(node), key.encode(), Put(value.encode()), level="".join(level))
            case ["delete", node, key, *level]:
                self.cluster.request(int(node), key.encode(), Delete(), level="".join(level))
            case ["read", node, key, *level]:
                self.cluster.request(int(node), key.encode(), level="".join(level))
            case ["deliver", sender, to]:
                self.cluster.deliver(self.letter(int(sender), int(to)))
            case ["repeat", sender, to]:
                self.cluster.deliver(self.letter(int(sender), int(to)), repeat=True)
            case ["lose", sender, to]:
                self.cluster.wire.remove(self.letter(int(sender), int(to)))
            case ["slow", node]:
                self.cluster.box(int(node)).is_slow = True
            case ["sync", node]:
                self.cluster.sync(int(node))
            case [("down" | "up") as what, node]:
                (self.cluster.down if what == "down" else self.cluster.up)(int(node))
            case [("due" | "hints") as timer, node]:
                timers = self.cluster.box(int(node)).timers
                self.cluster.now = max(self.cluster.now, timers.pop(timer))
                self.cluster.step(int(node), TimerFired(timer))
            case ["wait", span]:
                self.cluster.now += milliseconds(int(span))
            case ["crash", node]:
                self.cluster.crash(int(node))
            case ["restart", node]:
                self.cluster.restart(int(node))
            case ["settle"]:
                self.cluster.settle()
                self.lines = []
            case other:
                raise AssertionError(f"no such command: {other}")
        return self.lines or ["ok"]

    def field(self, value: str) -> object:
        return {"true": True, "false": False}.get(value, int(value) if value.isdigit() else value)

    def letter(self, sender: int, to: int):
        return next(letter for letter in self.cluster.wire if (letter.sender, letter.to) == (sender, to))

    def step(self, node: NodeId, _: Event, effects: list[Effect]) -> None:
        shown = [text for effect in effects if (text := self.perform(effect))]
        self.lines += [f"{str(node) if number == 0 else ' '}  {text}" for number, text in enumerate(shown)]

    def perform(self, effect: Effect) -> str:
        match effect:
            case Send(to, bundle, eager):
                parts = ", ".join(self.show(part) for part in bundle.parts)
                return f"{'eager ' if eager else ''}send {to} {parts}"
            case Persist(records):
                return f"persist {', '.join(self.show(record) for record in records)}"
            case SetTimer(timer, after):
                return f"timer {timer} {after / 1e6:.0f} ms"
            case CancelTimer(timer):
                return f"cancel {timer}"
            case Deliver(CellChanged()):
                return ""
            case Deliver(Answered(token, cell), eager):
                return f"{'eager ' if eager else ''}answer {token} {self.cell(cell)}"
            case Deliver(output):
                return f"output {self.show(output)}"

    def cell(self, cell: bytes) -> str:
        rule: Rule = self.cluster.rule
        if not cell:
            return "nothing"
        seen = rule.seen(cell)
        return "|".join(value.decode() for value in seen.values) if seen.values else "tombstone"

    def show(self, value: object) -> str:
        match value:
            case bytes():
                return value.decode()
            case tuple():
                return f"[{', '.join(self.show(item) for item in value)}]"
            case msgspec.Struct():
                inside = [self.named(name, getattr(value, name)) for name in value.__struct_fields__]
                return f"{type(value).__name__}({', '.join(text for text in inside if text)})"
            case _:
                return str(value)

    def named(self, name: str, value: object) -> str:
        if name in CELLS and isinstance(value, bytes):
            return self.cell(value)
        if name == "number" and isinstance(value, int):
            return f"#{self.numbers.setdefault(value, len(self.numbers) + 1)}" if value else "#0"
        if name == "numbers" and isinstance(value, tuple):
            return " ".join(self.named("number", number) for number in value)
        if name == "wall_ns" and isinstance(value, int):
            return f"{(value - WALL_NS) // 1_000_000} ms"
        if name in {"life", "ceiling_ns", "actor", "digest"}:
            return ""
        return f"{name}={self.show(value)}"


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
