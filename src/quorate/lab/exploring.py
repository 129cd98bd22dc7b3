"""Machines and systems that can be explored by name, with live progress and a file to go on from."""

import hashlib
import os
import time
from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import Any, Final, Literal, cast

import msgspec
from rich.console import Console
from rich.live import Live
from rich.text import Text

from quorate.check import explore as x
from quorate.kernel import NodeId, Output, Record, Seeds, errors
from quorate.protocols.raft import Committed, Configuration, Propose, Raft, RaftConfig, RaftRecord

# Without pre-vote, check-quorum and leases no decision of Raft looks at these: they are news, clocks and deadlines.
_RAFT_IGNORED: Final = (
    "now", "_election_deadline", "_election_timeout", "heard_at", "rounds", "leased_at", "asked_at", "_announced",
    "rng",
)  # fmt: skip
# States between two looks at the clock and the file.
_SLICE_STATES: Final = 2_000
_CHECKPOINT_SECONDS: Final = 20.0
_CHECKPOINT_HEAD: Final = b"quorate exploration 1\n"


class ExploreOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What is explored, how far, and in which way. The first block names the system; a checkpoint belongs to it."""

    name: str
    # Nodes, or resource managers.
    node_count: int = 3
    # How often each node may campaign; how many commands are proposed.
    campaign_count: int = 1
    proposal_count: int = 1
    # Nodes that never campaign.
    quiet: tuple[int, ...] = ()
    # Faults, in all.
    lose_count: int = 0
    repeat_count: int = 0
    crash_count: int = 0
    # Links may reorder.
    is_unordered: bool = False
    # When a write is stable is a choice, and a crash loses what is not.
    is_disk_slow: bool = False
    order: Literal["breadth", "depth"] = "breadth"
    sleep_sets: bool = False
    depth_max: int | None = None

    # 0: no bound.
    state_count_max: int = 0
    # Random walks in place of a search; 0: search. With `pct_depth` the walks follow priorities.
    walk_count: int = 0
    pct_depth: int = 0
    step_count_max: int = 200
    seed: int = 1
    checkpoint: Path | None = None
    html: Path | None = None

    def digest(self) -> bytes:
        """Return what a checkpoint of the same search has."""
        names = tuple(
            name for name in self.__struct_fields__[: self.__struct_fields__.index("depth_max") + 1]
        )  # fmt: skip
        return hashlib.blake2b(repr([getattr(self, name) for name in names]).encode(), digest_size=16).digest()


class Explorable(msgspec.Struct, frozen=True):
    """A system with what is asked of it. States and choices are its own, so nothing here can name their types."""

    system: x.System[Any, Any]
    properties: tuple[x.Property, ...]


class _ForgetsVotes(Raft):
    """Raft that does not write term and vote down: what the explorer must catch."""

    def _persist_hard_state(self) -> tuple[RaftRecord, ...]:
        return ()


def _raft(options: ExploreOptions, kind: type[Raft] = Raft) -> Explorable:
    nodes = tuple(NodeId(place) for place in range(1, options.node_count + 1))

    def make(node: NodeId, records: tuple[Record, ...]) -> Raft:
        config = RaftConfig(
            node=node, configuration=Configuration(nodes), pre_vote=False, check_quorum=False, notify_commit=False
        )
        return kind(config, cast("tuple[RaftRecord, ...]", records), x.Still())

    def observe(_node: NodeId, output: Output) -> Hashable | None:
        if isinstance(output, Committed):
            return tuple((entry.index, entry.term, entry.payload) for entry in output.entries)
        return None

    calls = tuple((nodes[0], Propose((b"x%d" % number,), number)) for number in range(1, options.proposal_count + 1))
    scope = x.Scope(
        nodes=nodes,
        calls=calls,
        timers=(("election", options.campaign_count),),
        quiet=tuple(NodeId(node) for node in options.quiet),
        lose_count=options.lose_count,
        repeat_count=options.repeat_count,
        crash_count=options.crash_count,
        is_fifo=not options.is_unordered,
        is_disk_instant=not options.is_disk_slow,
    )
    goals = (x.sometimes("a command is committed", _has_committed),) if calls else ()
    safe = (
        x.always("one leader per term", _has_one_leader_per_term),
        x.always("one entry per index", _applies_one_entry_per_index),
    )
    return Explorable(x.Cluster(make, scope, observe=observe, ignore=_RAFT_IGNORED), safe + goals)


def _has_one_leader_per_term(state: x.ClusterState) -> bool:
    machines = [cast("Raft", machine) for machine in state.machines()]
    terms = Counter(machine.term for machine in machines if machine.role_name == "leader")
    return all(count < 2 for count in terms.values())


def _entries(state: x.ClusterState) -> list[tuple[int, int, bytes]]:
    return [entry for node in state.nodes for batch in node.seen for entry in cast("tuple[Any, ...]", batch)]


def _applies_one_entry_per_index(state: x.ClusterState) -> bool:
    known: dict[int, tuple[int, int, bytes]] = {}
    return all(known.setdefault(entry[0], entry) == entry for entry in _entries(state))


def _has_committed(state: x.ClusterState) -> bool:
    return any(entry[2].startswith(b"x") for entry in _entries(state))


def _two_phase_commit(options: ExploreOptions, *, symmetric: bool) -> Explorable:
    def all_commit(state: x.TwoPhaseState) -> bool:
        return all(manager == "committed" for manager in state.managers)

    claims = (x.always("no manager aborts what another committed", x.is_consistent), x.sometimes("commit", all_commit))
    return Explorable(x.TwoPhaseCommit(options.node_count, symmetric=symmetric), claims)


def _flp(_options: ExploreOptions) -> Explorable:
    return Explorable(
        x.TwoProcessConsensus(), (x.always("agreement", x.agrees), x.eventually("a decision", x.is_decided))
    )


EXPLORABLE: Final[Mapping[str, tuple[str, Callable[[ExploreOptions], Explorable]]]] = {
    "raft": ("Raft as it runs in production, in a scope", _raft),
    "raft-forgets-votes": ("the same without its vote on disk: needs --crashes 1", lambda o: _raft(o, _ForgetsVotes)),
    "2pc": ("two-phase commit; 3 resource managers have 288 states", lambda o: _two_phase_commit(o, symmetric=False)),
    "2pc-symmetric": ("the same, managers up to renaming", lambda o: _two_phase_commit(o, symmetric=True)),
    "flp": ("consensus of two that may never decide: see the loop", _flp),
}
"""Name → what it is, and how it is made."""


def make_explorable(options: ExploreOptions) -> Explorable:
    """Return a system by its name.

    Raises:
        UsageError: none has that name, or the options do not fit it.
    """
    if options.name not in EXPLORABLE:
        raise errors.UsageError(f"no system is named {options.name!r}; there are {', '.join(EXPLORABLE)}")
    if options.sleep_sets and (options.order == "breadth" or options.name == "2pc-symmetric"):
        raise errors.UsageError("--sleep-sets needs --order depth and a system without symmetry")
    if options.quiet and not set(options.quiet) <= set(range(1, options.node_count + 1)):
        raise errors.UsageError(f"--quiet names nodes of 1 to {options.node_count}")
    return EXPLORABLE[options.name][1](options)


def run_exploration(options: ExploreOptions, console: Console) -> int:
    """Explore, show progress, print what was found; return 0 if all holds, 1 if not, 2 if it is not known.

    Interrupted from the keyboard it says what it knows so far, and keeps it if there is a checkpoint file.
    """
    made = make_explorable(options)
    if options.walk_count:
        return _walk(made, options, console)
    search = x.Search(
        made.system, made.properties, order=options.order, sleep_sets=options.sleep_sets, depth_max=options.depth_max
    )
    found, last, is_interrupted = _Driving(search, options, console).run()
    for name, example in found.counterexamples.items():
        _print_example(made.system, name, example, options, console)
    for name, example in found.reached.items():
        console.print(f"reached: {name}, first after {len(example.choices)} choices", highlight=False)
    ended = "all of them" if found.is_complete else "not all: interrupted" if is_interrupted else "not all"
    console.print(
        f"{found.state_count} states ({ended}), {found.edge_count} choices, depth {found.depth}, "
        f"{found.final_count} final states, {last.frontier_count} waiting",
        highlight=False,
    )
    if found.counterexamples:
        return 1
    if found.undecided:
        console.print(f"undecided: {', '.join(found.undecided)}", highlight=False)
    elif found.is_complete:
        console.print("every property holds in this scope", highlight=False)
    return 0 if found.holds else 2


class _Driving:
    """A search in slices: between them the screen, the file and the bound are looked at."""

    def __init__(self, search: x.Search[Any, Any], options: ExploreOptions, console: Console) -> None:
        self.search = search
        self.options = options
        self.console = console
        self.last = x.Progress(0, 0, 0, 0)
        search.progress = self._note
        self.began = self.saved = time.monotonic()
        self.first_count = 0
        self._live: Live | None = None

    def run(self) -> tuple[x.Exploration[Any], x.Progress, bool]:
        self._load()
        is_interrupted = False
        # A search that knows enough already still concludes.
        found = self.search.run(state_count_max=0)
        self.first_count = self.last.state_count
        with Live(console=self.console, transient=True, auto_refresh=False) as self._live:
            while self.last.frontier_count and not self._is_done(found):
                limit = self.last.state_count + _SLICE_STATES
                if self.options.state_count_max:
                    limit = min(limit, self.options.state_count_max)
                try:
                    found = self.search.run(state_count_max=limit)
                except KeyboardInterrupt:
                    # A state may be half expanded: only what the last checkpoint holds is whole.
                    is_interrupted = True
                    break
                if time.monotonic() - self.saved > _CHECKPOINT_SECONDS:
                    self._save()
        if not is_interrupted:
            self._save()
        return found, self.last, is_interrupted

    def _is_done(self, found: x.Exploration[Any]) -> bool:
        bound = self.options.state_count_max
        is_refuted = any(p.kind == "always" and p.name in found.counterexamples for p in self.search.properties)
        return is_refuted or bool(bound and found.state_count >= bound)

    def _note(self, progress: x.Progress) -> None:
        self.last = progress
        if self._live is None:
            return
        elapsed = max(time.monotonic() - self.began, 1e-9)
        rate = (progress.state_count - self.first_count) / elapsed
        words = f"{progress.state_count:,} states  {rate:,.0f} states/s  depth {progress.depth}"
        self._live.update(Text(f"{words}  frontier {progress.frontier_count:,}"), refresh=True)

    def _load(self) -> None:
        path = self.options.checkpoint
        if path is None or not path.exists():
            return
        data = path.read_bytes()
        head = _CHECKPOINT_HEAD + self.options.digest()
        if not data.startswith(_CHECKPOINT_HEAD):
            raise errors.UsageError(f"{path} is no checkpoint of an exploration")
        if not data.startswith(head):
            raise errors.UsageError(f"{path} is of a search with another system, scope or order")
        body, checksum = data[len(head) : -16], data[-16:]
        if hashlib.blake2b(body, digest_size=16).digest() != checksum:
            raise errors.UsageError(f"{path} is damaged; remove it to begin anew")
        self.search.restore(body)

    def _save(self) -> None:
        path = self.options.checkpoint
        if path is None:
            return
        body = self.search.checkpoint()
        checksum = hashlib.blake2b(body, digest_size=16).digest()
        fresh = path.with_name(path.name + ".new")
        fresh.write_bytes(_CHECKPOINT_HEAD + self.options.digest() + body + checksum)
        # In one step, so that a crash leaves the old one or the new one.
        os.replace(fresh, path)
        self.saved = time.monotonic()


def _walk(made: Explorable, options: ExploreOptions, console: Console) -> int:
    """Draw random runs: they refute, they never prove."""
    claims = [claim for claim in made.properties if claim.kind != "eventually"]
    rng = Seeds(options.seed).stream("explore", options.name)
    if options.pct_depth:
        walks = x.walk_by_priority(
            made.system, claims, rng=rng, depth=options.pct_depth, walk_count=options.walk_count,
            step_count_max=options.step_count_max,
        )  # fmt: skip
    else:
        walks = x.walk(
            made.system, claims, rng=rng, walk_count=options.walk_count, step_count_max=options.step_count_max
        )
    for name, example in walks.counterexamples.items():
        _print_example(made.system, name, example, options, console)
    for name, count in walks.seen.items():
        console.print(f"reached in {count} of {walks.walk_count} walks: {name}", highlight=False)
    console.print(f"{walks.walk_count} walks, {walks.step_count} choices, seed {options.seed}", highlight=False)
    return 1 if walks.counterexamples else 2


def _print_example(
    system: x.System[Any, Any], name: str, example: x.Example[Any], options: ExploreOptions, console: Console
) -> None:
    rows = x.rows_of(system, example)
    if not rows:
        console.print(f"never happens: {name}", style="bold red", highlight=False)
        return
    loop = "" if example.loop is None else f"; from choice {example.loop + 1} on it repeats for ever"
    console.print(f"does not hold: {name} ({len(rows)} choices{loop})", style="bold red", highlight=False)
    console.print(x.draw_text(rows), highlight=False, markup=False, soft_wrap=True)
    if options.html is not None:
        options.html.write_text(x.draw_html(rows, title=f"{options.name}: {name} does not hold"), "utf-8")
        console.print(f"drawn in {options.html}", highlight=False)
