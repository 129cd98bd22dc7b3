"""Raft as it runs in production, in a scope; and with bugs of the museum."""

from collections import Counter
from collections.abc import Hashable
from typing import Any, Final, cast

from quorate.check import explore as x
from quorate.kernel import NodeId, Output, Record, errors
from quorate.lab.exploring.catalogue import alike_of, campaigns, explorable, nodes_of, scope_of
from quorate.lab.exploring.options import Explorable, ExploreOptions
from quorate.lab.museum import BUGS, bug_named
from quorate.protocols.raft import Committed, Configuration, Propose, Raft, RaftConfig, RaftRecord

# Without pre-vote, check-quorum and leases no decision of Raft looks at these: they are news, clocks and deadlines.
_IGNORED: Final = (
    "now", "_election_deadline", "_election_timeout", "heard_at", "rounds", "leased_at", "asked_at", "_announced",
    "rng",
)  # fmt: skip


class _ForgetsVotes(Raft):
    """Raft that does not write term and vote down: what the explorer must catch."""

    def _persist_hard_state(self) -> tuple[RaftRecord, ...]:
        return ()


@explorable(
    "raft", "Raft as it runs in production", states=207, machines=(Raft,), can_rename=True, node_count=2,
    proposal_count=1,
)  # fmt: skip
def raft(options: ExploreOptions) -> Explorable:
    """Return Raft, or Raft with a bug of the museum."""
    return _raft(options, _kind_of(options.bug) if options.bug else Raft)


@explorable(
    "raft-forgets-votes", "the same without its vote on disk: two leaders of one term", states=None, can_rename=True,
    node_count=3, quiet=(2,), crash_count=1,
)  # fmt: skip
def raft_forgets_votes(options: ExploreOptions) -> Explorable:
    """Return Raft that writes neither term nor vote down."""
    return _raft(options, _ForgetsVotes)


def raft_bugs() -> list[str]:
    """Return the names of the museum's bugs that are subclasses of Raft."""
    return [
        name
        for name, bug in BUGS.items()
        if len(bug.plants) == 1 and isinstance(bug.plants[0][1], type) and issubclass(bug.plants[0][1], Raft)
    ]


def _kind_of(name: str) -> type[Raft]:
    bug = bug_named(name)
    if name not in raft_bugs():
        raise errors.UsageError(f"--bug {name} is not in the Raft machine; those are {', '.join(raft_bugs())}")
    return cast("type[Raft]", bug.plants[0][1])


def _raft(options: ExploreOptions, kind: type[Raft]) -> Explorable:
    nodes = nodes_of(options)

    def make(node: NodeId, records: tuple[Record, ...]) -> Raft:
        config = RaftConfig(
            node=node, configuration=Configuration(nodes), pre_vote=False, check_quorum=False, notify_commit=False
        )
        return kind(config, cast("tuple[RaftRecord, ...]", records), x.Still())

    def observe(_node: NodeId, output: Output) -> Hashable | None:
        if isinstance(output, Committed):
            return tuple((entry.index, entry.term, entry.payload) for entry in output.entries)
        return None

    proposals = range(1, (options.proposal_count or 0) + 1)
    calls = tuple((nodes[0], Propose((b"x%d" % number,), number)) for number in proposals)
    scope = scope_of(options, timers=(("election", campaigns(options)),), calls=calls)
    goals = (x.sometimes("a command is committed", _has_committed),) if calls else ()
    safe = (
        x.always("one leader per term", _has_one_leader_per_term),
        x.always("one entry per index", _applies_one_entry_per_index),
    )
    alike = alike_of(options, special=nodes[:1] if calls else ())
    system = x.Cluster(
        make, scope, observe=observe, ignore=_IGNORED, alike=alike, unordered=("voters", "learners", "outgoing")
    )
    return Explorable(system, safe + goals)


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
