"""Transcripts of Raft: commands, and the changes of state and the effects that each causes.

Commands: `cluster N [joiners J …] [option=value …]`, `timeout N` (election), `beat N`, `propose N payload …`, `read N`,
`change N voters=1,2 learners=3`, `transfer N to=M`, `deliver A→B [count]`, `lose A→B`, `settle` (quietly),
`slow N`, `sync N`, `crash N`, `restart N`, `cut A B …`, `heal`, `compact N`, `state`.
"""

from pathlib import Path
from typing import Any

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
)
from quorate.protocols.raft import (
    Append,
    AppendEntries,
    AppendResult,
    Configuration,
    Entry,
    Propose,
    Read,
    Reconfigure,
    TransferLeadership,
)
from quorate.protocols.raft.testing import RaftCluster

HERE = Path(__file__).parent


def _show_entry(entry: Entry) -> str:
    kind = ("empty", "command", "configuration")[entry.kind]
    text = f" {entry.payload.decode()}" if entry.kind == 1 else ""
    return f"{entry.index}/{entry.term} {kind}{text}"


def _show(value: Any) -> str:
    match value:
        case Append(entries):
            return f"Append[{', '.join(_show_entry(entry) for entry in entries)}]"
        case AppendEntries():
            held = ", ".join(_show_entry(entry) for entry in value.entries)
            return (
                f"AppendEntries(term={value.term}, prev={value.prev_index}/{value.prev_term}, entries=[{held}], "
                f"commit={value.commit_index}, round={value.round})"
            )
        case AppendResult() if value.success:
            return f"AppendResult({value.term}, matched={value.match_index}, round={value.round})"
        case AppendResult():
            return (
                f"AppendResult({value.term}, refused={value.refused_index}, hint={value.hint_index}/{value.hint_term}, "
                f"round={value.round})"
            )
        case Configuration(voters, learners, outgoing):
            return f"voters={list(voters)} learners={list(learners)} outgoing={list(outgoing)}"
        case tuple() if value and isinstance(value[0], Entry):
            return f"[{', '.join(_show_entry(entry) for entry in value)}]"
        case _ if hasattr(value, "__struct_fields__"):
            inside = ", ".join(f"{name}={_show(getattr(value, name))}" for name in value.__struct_fields__)
            return f"{type(value).__name__}({inside})"
        case _:
            return str(value)


class Transcript:
    """Runs commands and says what happened."""

    def __init__(self) -> None:
        self.cluster: RaftCluster
        self.lines: list[str] = []
        self.token = 0
        self.is_quiet = False
        self.before: dict[int, tuple[str, int, int]] = {}

    def _on_step(self, node: NodeId, _event: Event, effects: list[Effect]) -> None:
        machine = self.cluster.machine(node)
        after = (machine.role_name, machine.term, machine.commit_index)
        old = self.before.get(node, ("follower", 0, 0))
        self.before[node] = after
        if self.is_quiet:
            return
        parts = []
        if old[1] != after[1]:
            parts.append(f"term {old[1]}→{after[1]}")
        if old[0] != after[0]:
            parts.append(f"{old[0]}→{after[0]}")
        if old[2] != after[2]:
            parts.append(f"commit {old[2]}→{after[2]}")
        self.lines.append(f"{node}  {'  '.join(parts)}".rstrip())
        for effect in effects:
            match effect:
                case Persist(records):
                    self.lines.append(f"   persist {'  '.join(_show(record) for record in records)}")
                case Send(to, message, eager):
                    self.lines.append(f"   send {to} {_show(message)}{' eager' if eager else ''}")
                case SetTimer(timer):
                    self.lines.append(f"   timer {timer}")
                case CancelTimer(timer):
                    self.lines.append(f"   cancel {timer}")
                case Deliver(output, eager):
                    self.lines.append(f"   output {_show(output)}{' eager' if eager else ''}")
        if not parts and not effects:
            self.lines.pop()

    def run(self, command: str) -> str:
        name, *words = command.split()
        self.lines = []
        options = dict(word.split("=", 1) for word in words if "=" in word)
        plain = [word for word in words if "=" not in word]
        getattr(self, f"do_{name}")(plain, options)
        return "\n".join(self.lines) or "ok"

    def do_cluster(self, plain: list[str], options: dict[str, str]) -> None:
        self.is_quiet = True
        joiners = [int(word) for word in plain[2:]]
        config = {key: value == "on" if value in {"on", "off"} else int(value) for key, value in options.items()}
        # The founders' first steps happen while the cluster is being made, so nobody watches yet.
        self.cluster = RaftCluster(int(plain[0]), joiners=joiners, **config)
        self.cluster.on_step = self._on_step
        self.is_quiet = False

    def do_timeout(self, plain: list[str], _: dict[str, str]) -> None:
        self.cluster.time_out(int(plain[0]))

    def do_beat(self, plain: list[str], _: dict[str, str]) -> None:
        self.cluster.fire(int(plain[0]), "heartbeat")

    def do_propose(self, plain: list[str], _: dict[str, str]) -> None:
        self.token += 1
        self.cluster.call(int(plain[0]), Propose(tuple(word.encode() for word in plain[1:]), self.token))

    def do_read(self, plain: list[str], _: dict[str, str]) -> None:
        self.token += 1
        self.cluster.machine(int(plain[0]))._read_number = 100 + self.token
        self.cluster.call(int(plain[0]), Read(self.token))

    def do_change(self, plain: list[str], options: dict[str, str]) -> None:
        self.token += 1
        parts = [
            tuple(NodeId(int(word)) for word in options.get(key, "").split(",") if word)
            for key in ("voters", "learners")
        ]
        self.cluster.call(int(plain[0]), Reconfigure(parts[0], parts[1], self.token))

    def do_transfer(self, plain: list[str], options: dict[str, str]) -> None:
        self.token += 1
        self.cluster.call(int(plain[0]), TransferLeadership(NodeId(int(options["to"])), self.token))

    def _pick(self, route: str) -> Any:
        sender, to = (int(word) for word in route.split("→"))
        found = [letter for letter in self.cluster.wire if (letter.sender, letter.to) == (sender, to)]
        assert found, f"nothing is under way {route}"
        return found[0]

    def do_deliver(self, plain: list[str], _: dict[str, str]) -> None:
        for _count in range(int(plain[1]) if len(plain) > 1 else 1):
            self.cluster.deliver(self._pick(plain[0]))

    def do_lose(self, plain: list[str], _: dict[str, str]) -> None:
        self.cluster.lose(self._pick(plain[0]))

    def do_settle(self, _: list[str], __: dict[str, str]) -> None:
        self.is_quiet = True
        self.cluster.settle()
        self.is_quiet = False

    def do_slow(self, plain: list[str], _: dict[str, str]) -> None:
        self.cluster.box(int(plain[0])).is_slow = True

    def do_sync(self, plain: list[str], _: dict[str, str]) -> None:
        self.cluster.sync(int(plain[0]))

    def do_crash(self, plain: list[str], _: dict[str, str]) -> None:
        self.cluster.crash(int(plain[0]))

    def do_restart(self, plain: list[str], _: dict[str, str]) -> None:
        self.cluster.restart(int(plain[0]))

    def do_cut(self, plain: list[str], _: dict[str, str]) -> None:
        self.cluster.cut([int(plain[0])], [int(word) for word in plain[1:]])

    def do_heal(self, _: list[str], __: dict[str, str]) -> None:
        self.cluster.heal()

    def do_compact(self, plain: list[str], _: dict[str, str]) -> None:
        self.cluster.compact(int(plain[0]))

    def do_state(self, _: list[str], __: dict[str, str]) -> None:
        for node, box in self.cluster.boxes.items():
            machine = box.machine
            log = " ".join(f"{entry.index}/{entry.term}" for entry in machine.log.entries)
            self.lines.append(
                f"{node}  {machine.role_name if box.is_alive else 'dead'}  term {machine.term}  "
                f"commit {machine.commit_index}  applied {box.applied_index}  base {machine.log.base_index}  log {log}"
            )


def render(text: str) -> str:
    """Return the transcript with every answer as it is now."""
    transcript = Transcript()
    blocks = []
    for block in text.strip().split("\n\n"):
        question = block.split("\n----")[0]
        command = [line for line in question.splitlines() if not line.startswith("#")]
        blocks.append("\n".join([question, "----", *(transcript.run(line) for line in command)]))
    return "\n\n".join(blocks) + "\n"


@pytest.mark.parametrize("path", sorted(HERE.glob("*.txt")), ids=lambda path: path.stem)
def test_the_transcript_is_what_happens(path: Path, rewrite: bool) -> None:
    text = path.read_text(encoding="utf-8")
    now = render(text)
    if rewrite:
        path.write_text(now, encoding="utf-8")
    assert now == text or rewrite, "read the difference; `pytest tests/golden --rewrite` keeps it"
