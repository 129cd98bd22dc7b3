"""A run of an explored system as a transcript, in the form of `tests/golden`: what happens, a line, what follows.

    explore raft-forgets-votes nodes=3 campaigns=1 proposals=0 quiet=2 losses=0 duplications=0 crashes=1
    ----
    ok

    fire 1 election
    ----
    1  follower→candidate  term 0→1
       send 2 RequestVote(…)

Commands of machines: `fire N TIMER`, `deliver A→B`, `lose A→B`, `repeat A→B` (with `#K`: the K-th message there),
`call N #K`, `persist N`, `crash N [kept=K]`, `restart N`; of other systems: `take #K`, the K-th of the choices.
`loop` is where a part begins that repeats for ever, `again` where it ends. Lines that begin with # are comments.
"""

import difflib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from quorate.check import explore as x
from quorate.kernel import Machine, errors
from quorate.lab.exploring.catalogue import filled, make_explorable
from quorate.lab.exploring.options import Explorable, ExploreOptions
from quorate.lab.exploring.simulated import simulate_example

# Word of a transcript → field of the options.
_COUNTS: Final = {
    "nodes": "node_count", "campaigns": "campaign_count", "proposals": "proposal_count", "losses": "lose_count",
    "duplications": "repeat_count", "crashes": "crash_count",
}  # fmt: skip
_FLAGS: Final = {"unordered": "is_unordered", "slow-disk": "is_disk_slow"}


def write_transcript(options: ExploreOptions, example: x.Example[Any], *, comment: str) -> str:
    """Return a run as a transcript.

    Args:
        options: of the search that found it, filled in.
        example: the run.
        comment: what it shows, in one line.

    Complexity: O(choices) steps.
    """
    system = make_explorable(options).system
    states = x.replay(system, example)
    blocks = [f"# {comment}\n{_header(options)} start={example.start}"]
    for place, (state, choice) in enumerate(zip(states, example.choices, strict=False)):
        if place == example.loop:
            blocks.append("loop")
        blocks.append(_command(system, state, choice))
    if example.loop is not None:
        blocks.append("again")
    return render_transcript("\n\n".join(f"{block}\n----" for block in blocks))


def _header(options: ExploreOptions) -> str:
    words = [f"{word}={getattr(options, field)}" for word, field in _COUNTS.items()]
    words += [f"quiet={','.join(str(node) for node in options.quiet)}"] if options.quiet else []
    words += [f"bug={options.bug}"] if options.bug else []
    words += [word for word, field in _FLAGS.items() if getattr(options, field)]
    return " ".join(["explore", options.name, *words])


def _command(system: x.System[Any, Any], state: Any, choice: Any) -> str:
    if not isinstance(choice, x.Choice):
        return f"take #{list(system.choices(state)).index(choice) + 1}"
    match choice.kind:
        case "deliver" | "lose" | "repeat":
            place = _letters(state, choice.node, choice.sender).index(choice.message) + 1
            return f"{choice.kind} {choice.sender}→{choice.node}{f' #{place}' if place > 1 else ''}"
        case "fire":
            return f"fire {choice.node} {choice.timer}"
        case "call":
            return f"call {choice.node} #{choice.number + 1}"
        case "crash":
            return f"crash {choice.node}{f' kept={choice.number}' if choice.number else ''}"
        case _:
            return f"{choice.kind} {choice.node}"


def _letters(state: x.ClusterState, receiver: object, sender: object) -> list[Any]:
    """Return the different messages of one link, in the order of the network."""
    found: list[Any] = []
    for to, by, _, message in state.network:
        if (to, by) == (receiver, sender) and message not in found:
            found.append(message)
    return found


class _Reading:
    """Runs the commands of one transcript."""

    def __init__(self) -> None:
        self.made: Explorable | None = None
        self.options: ExploreOptions | None = None
        self.state: Any = None
        self.start = 0
        self.choices: list[Any] = []
        self.loop: int | None = None
        self.loop_key: object = None
        # A choice that is not possible ends the run: what follows it means nothing.
        self.is_over = False
        self.broken: dict[str, None] = {}

    def run(self, command: str) -> list[str]:
        word, *rest = command.split()
        if word == "explore":
            return self._begin(rest)
        if self.made is None:
            raise errors.UsageError(f"a transcript begins with `explore NAME`, not with {command!r}")
        if self.is_over:
            return ["not reached"]
        if word in {"loop", "again"}:
            return self._loop(word)
        system = self.made.system
        for choice in system.choices(self.state):
            if _command(system, self.state, choice) == command:
                return self._take(choice)
        self.is_over = True
        return ["not possible here"]

    def _begin(self, words: list[str]) -> list[str]:
        fields: dict[str, Any] = {"name": words[0] if words else ""}
        for word in words[1:]:
            name, is_given, value = word.partition("=")
            try:
                if name in _COUNTS and is_given:
                    fields[_COUNTS[name]] = int(value)
                elif name == "quiet":
                    fields["quiet"] = tuple(int(node) for node in value.split(","))
                elif name == "bug":
                    fields["bug"] = value
                elif name == "start":
                    self.start = int(value)
                elif name in _FLAGS and not is_given:
                    fields[_FLAGS[name]] = True
                else:
                    raise errors.UsageError(f"{word!r} is no word of a transcript's first line")
            except ValueError as cause:
                raise errors.UsageError(f"{word!r}: {value!r} is no whole number") from cause
        fields.setdefault("quiet", ())
        self.options = filled(ExploreOptions(**fields))
        self.made = make_explorable(self.options)
        starts = self.made.system.initial()
        if not 0 <= self.start < len(starts):
            raise errors.UsageError(f"start={self.start}: there are {len(starts)} initial states, from 0 on")
        self.state = starts[self.start]
        return ["ok", *self._judge()]

    def _loop(self, word: str) -> list[str]:
        assert self.made is not None, "it has begun"
        key = self.made.system.key(self.state)
        if word == "loop":
            self.loop, self.loop_key = len(self.choices), key
            return ["from here for ever"]
        return ["the same state" if key == self.loop_key else "another state"]

    def _take(self, choice: Any) -> list[str]:
        assert self.made is not None, "it has begun"
        system, before = self.made.system, self.state
        self.state = system.take(before, choice)
        self.choices.append(choice)
        if isinstance(choice, x.Choice):
            return _changes(system, before, self.state, choice) + self._judge()
        return [f"{system.describe(choice)}: {self.state}", *self._judge()]

    def _judge(self) -> list[str]:
        assert self.made is not None, "it has begun"
        lines = []
        for claim in self.made.properties:
            if claim.kind == "always" and claim.name not in self.broken and not claim.holds(self.state):
                self.broken[claim.name] = None
                lines.append(f"BROKEN: {claim.name}")
        return lines

    def example(self) -> x.Example[Any]:
        return x.Example(self.start, tuple(self.choices), self.loop)


def _changes(system: Any, before: x.ClusterState, after: x.ClusterState, choice: x.Choice) -> list[str]:
    """Return what a choice did to its node and to the network."""
    place = system.scope.nodes.index(choice.node)
    old, new = before.nodes[place], after.nodes[place]
    parts = []
    for name in ("role_name", "term", "leader"):
        was, now = _field(old.machine, name), _field(new.machine, name)
        if was != now:
            parts.append(f"{was}→{now}" if name == "role_name" else f"{name} {was}→{now}")
    lines = [f"{choice.node}  {'  '.join(parts)}".rstrip()]
    stable, unstable = (
        new.records[len(old.records) :],
        new.writes[max(0, len(old.writes) - (choice.kind == "persist")) :],
    )
    lines += [f"   stable {record!r}" for record in stable]
    if choice.kind not in {"crash", "restart"}:
        lines += [f"   persist {'  '.join(repr(record) for record in records)}" for records in unstable]
    were = Counter((to, data) for to, sender, data, _ in before.network if sender == choice.node)
    for to, sender, data, message in after.network:
        if sender == choice.node and were[to, data] > 0:
            were[to, data] -= 1
        elif sender == choice.node:
            lines.append(f"   send {to} {message!r}")
    lines += [f"   timer {timer}" for timer in new.timers if timer not in old.timers]
    lines += [f"   cancel {timer}" for timer in old.timers if timer not in new.timers and timer != choice.timer]
    lines += [f"   output {seen!r}" for seen in new.seen[len(old.seen) :]]
    return lines


def _field(machine: Machine | None, name: str) -> object:
    return "down" if machine is None and name == "role_name" else getattr(machine, name, None)


def _read(text: str) -> tuple[_Reading, list[str]]:
    reading = _Reading()
    blocks = []
    for block in text.strip().split("\n\n"):
        question = block.split("\n----")[0]
        answers: list[str] = []
        for line in question.splitlines():
            if line.strip() and not line.startswith("#"):
                answers += reading.run(line.strip())
        blocks.append("\n".join([question, "----", *answers]))
    if reading.made is None:
        raise errors.UsageError("a transcript begins with `explore NAME`; this one is empty")
    return reading, blocks


def render_transcript(text: str) -> str:
    """Return a transcript with every answer as it is now.

    Raises:
        UsageError: it does not begin as a transcript does, or names what there is not.
    """
    return "\n\n".join(_read(text)[1]) + "\n"


def replay_transcript(path: Path, console: Console, *, is_simulated: bool = False) -> int:
    """Run a transcript; print where its answers differ from what happens now; return 0 if nowhere, else 1.

    Raises:
        UsageError: the file cannot be read as a transcript.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as cause:
        raise errors.UsageError(f"{path}: {cause}") from cause
    reading, blocks = _read(text)
    now = "\n\n".join(blocks) + "\n"
    lines: Sequence[str] = list(
        difflib.unified_diff(text.splitlines(), now.splitlines(), "written", "now", lineterm="")
    )
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    if not lines:
        broken = f"; broken in it: {', '.join(reading.broken)}" if reading.broken else ""
        console.print(f"{len(reading.choices)} choices, every answer as written{broken}", highlight=False)
    assert reading.made is not None, "an empty transcript was refused"
    if is_simulated:
        say_simulated(reading.made, reading.example(), console)
    return 1 if lines else 0


def say_simulated(made: Explorable, example: x.Example[Any], console: Console) -> None:
    """Run a run in the simulated world and say what it came to."""
    if not isinstance(made.system, x.Cluster):
        console.print("not simulated: this system has no machines", highlight=False)
        return
    result = simulate_example(made.system, example)
    agrees = "the same state on every node and link" if result.is_same else "ANOTHER STATE than the explorer's"
    broken = [claim.name for claim in made.properties if claim.kind == "always" and not claim.holds(result.state)]
    console.print(
        f"simulated: {len(example.choices)} choices, trace {result.trace_hash & 0xFFFF_FFFF:08x}, {agrees}"
        + (f"; broken there too: {', '.join(broken)}" if broken else ""),
        highlight=False,
    )
