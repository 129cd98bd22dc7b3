"""Transcripts of anti-entropy: a schedule of events, and the effects that each causes.

Commands: `nodes N` (all share all hashes), `hold N KEY=CELL …`, `many N COUNT` (as many equal keys), `begin N` (the
timer), `deliver A→B` (the oldest message under way), `lose A→B`, `late N PEER` (an answer that did not come), `tick N
WALL`. Digests are shown as their number, because they are drawn from the keys.
"""

from pathlib import Path

import msgspec
import pytest

from quorate.kernel import HASH_COUNT, NodeId
from quorate.protocols.anti_entropy import Agreed, Interval, Listing, Names, Sums, Tick
from quorate.protocols.anti_entropy.testing import Letter, Table

HERE = Path(__file__).parent


def run_of(start: int, last: int) -> str:
    if Interval(start, last + 1) == (0, HASH_COUNT):
        return "all"
    return f"{start / HASH_COUNT:.4f} to {(last + 1) / HASH_COUNT:.4f}"


def show(value: object) -> str:
    match value:
        case Sums(start, last, digests):
            return f"Sums({run_of(start, last)}, {len(digests) // 8})"
        case Listing(start, last, digests):
            return f"Listing({run_of(start, last)}, {len(digests) // 8})"
        case Names(named, lacking, state):
            keys = " ".join(key.decode() for key, _ in named)
            return f"Names([{keys}], lacking {len(lacking) // 8}{('', ', cut', ', again')[state]})"
        case Agreed(peer, start, end, began):
            return f"Agreed({peer}, {run_of(start, end - 1)}, began {began})"
        case tuple():
            return f"[{', '.join(show(item) for item in value)}]"
        case bytes():
            return value.decode()
        case msgspec.Struct():
            inside = [(name, getattr(value, name)) for name in value.__struct_fields__ if name != "exchange"]
            return f"{type(value).__name__}({', '.join(f'{name}={show(item)}' for name, item in inside if item != ())})"
        case _:
            return str(value)


class Transcript:
    """Runs commands and says what happened."""

    def __init__(self) -> None:
        self.table = Table({})

    def run(self, line: str) -> list[str]:
        wire, outputs = list(self.table.wire), len(self.table.outputs)
        match line.replace("→", " ").split():
            case ["nodes", count]:
                self.table = Table({node: {} for node in range(1, int(count) + 1)})
                return ["ok"]
            case ["hold", node, *cells]:
                pairs = [cell.encode().split(b"=") for cell in cells]
                self.table.put(int(node), dict(pairs))
            case ["many", node, count]:
                self.table.put(int(node), {b"k%d" % number: b"v" for number in range(int(count))})
            case ["tick", node, wall]:
                self.table.call(int(node), Tick(int(wall)))
            case ["begin", node]:
                self.table.fire(int(node))
            case ["deliver" | "lose" as what, sender, to]:
                letter = next(
                    letter for letter in self.table.wire if (letter.sender, letter.to) == (int(sender), int(to))
                )
                self.table.wire.remove(letter)
                wire.remove(letter)
                if what == "deliver":
                    self.table.wire.appendleft(letter)
                    self.table.deliver()
            case ["late", node, peer]:
                self.table.fire(int(node), f"answer/{peer}")
            case other:
                raise AssertionError(f"no such command: {other}")
        return self.happened(wire, outputs) or ["ok"]

    def happened(self, wire: list[Letter], outputs: int) -> list[str]:
        lines = [f"{node}  output {show(output)}" for node, output in self.table.outputs[outputs:]]
        sent = list(self.table.wire)[len(wire) :]
        lines += [f"{letter.sender}  send {letter.to} {show(letter.message)}" for letter in sent]
        return lines


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
    assert NodeId(1) in transcript.table.machines
