"""What surrounds a machine at core level: its state, its checkpoints, its clients' waiting calls."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from quorate.kernel import LogIndex, NodeId, Output, Record
from quorate.kernel.errors import NotLeader, Overloaded, TimedOut, Unreachable
from quorate.lab.recorder import Call
from quorate.lab.simulation.register_machine import Registers, Reply, decode
from quorate.protocols.raft import (
    COMMAND,
    CONFIGURATION,
    CONFIGURATIONS,
    Committed,
    Compact,
    Configuration,
    Entry,
    InstallSnapshot,
    Proposed,
    ReadFailed,
    ReadReady,
    Refused,
    RoleChanged,
    SendSnapshot,
    SnapshotMarker,
    SnapshotRefused,
)

if TYPE_CHECKING:
    from quorate.sim import CoreHost

Settle = Callable[[Call, Reply, Exception | None], None]
"""Completes a call: with its result, or with an error."""


class Rest(msgspec.Struct):
    """What a node keeps on its disk beside the log."""

    state: Registers = msgspec.field(default_factory=Registers)
    marker: SnapshotMarker | None = None
    # Snapshots received whole, by index; one becomes the state when its marker is stable.
    staged: dict[int, tuple[SnapshotMarker, Registers]] = msgspec.field(default_factory=dict)


class CoreNode:
    """One node's surroundings; outlives its machine, whose lives begin with `born`."""

    def __init__(self, node: NodeId, *, settle: Settle, founders: Configuration) -> None:
        self.node = node
        self.rest = Rest()
        self.state = Registers()
        self.configuration = founders
        # Called when the machine wants a snapshot sent.
        self.on_send: Callable[[SendSnapshot], None] = lambda _output: None
        self.on_role: Callable[[RoleChanged], None] = lambda _output: None
        self.on_applied: Callable[[Entry, Reply], None] = lambda _entry, _reply: None
        self._settle = settle
        self._founders = founders
        # Token → call, until it is answered or given up.
        self.proposed: dict[int, Call] = {}
        # Index → (token, term): where a proposal stands.
        self.placed: dict[int, tuple[int, int]] = {}
        self.reads: dict[int, Call] = {}
        # Reads with their barrier, which wait for it to be applied.
        self.ready: list[tuple[int, Call]] = []

    # -- life ---------------------------------------------------------------------------------------------------------

    def born(self, snapshot_index: LogIndex) -> None:
        """Begin a life with what is at rest; `snapshot_index` is where the log begins."""
        rest = self.rest
        if rest.state.applied_index < snapshot_index:
            # The crash came between the marker and the exchange of the state; the received bytes are still here.
            rest.marker, rest.state = rest.staged[snapshot_index]
        self.state = rest.state.copy()
        self.configuration = rest.marker.configuration if rest.marker is not None else self._founders

    def died(self) -> None:
        """Nobody knows what becomes of what was proposed here; reads just failed."""
        for call in self.proposed.values():
            self._settle(call, None, TimedOut("the node died"))
        for call in [*self.reads.values(), *(call for _index, call in self.ready)]:
            self._settle(call, None, Unreachable("the node died"))
        self.proposed, self.placed, self.reads, self.ready = {}, {}, {}, []

    def records(self, records: list[Record]) -> list[Record]:
        """Return what the machine begins with."""
        return records

    # -- outputs ------------------------------------------------------------------------------------------------------

    def take(self, host: "CoreHost", output: Output) -> None:
        """Take what the machine hands over."""
        match output:
            case Committed(entries):
                for entry in entries:
                    self._apply(entry)
            case Proposed(token, index, term):
                if token in self.proposed:
                    self.placed[index] = (token, term)
            case Refused(token, _, reason):
                self._refused(token, reason)
            case ReadReady(token, index):
                call = self.reads.pop(token, None)
                if call is not None:
                    self.ready.append((index, call))
                    self._serve()
            case ReadFailed(token):
                call = self.reads.pop(token, None)
                if call is not None:
                    self._settle(call, None, Unreachable("no leader confirmed the read"))
            case RoleChanged():
                self.on_role(output)
            case SendSnapshot():
                self.on_send(output)
            case InstallSnapshot(marker):
                self._install(marker)
            case SnapshotRefused(marker):
                if host.machine.log.snapshot != marker:  # type: ignore[attr-defined]  # it is a Raft machine
                    self.rest.staged.pop(marker.index, None)
            case _:
                pass  # changes of members and transfers answer nobody here

    def _refused(self, token: int, reason: str) -> None:
        call = self.proposed.pop(token, None)
        if call is not None:
            error = NotLeader(reason) if reason == "not leader" else Overloaded(reason)
            self._settle(call, None, error)

    def _apply(self, entry: Entry) -> None:
        if entry.index <= self.state.applied_index:
            return
        change = decode(entry.payload) if entry.kind == COMMAND else None
        if entry.kind == CONFIGURATION:
            self.configuration = CONFIGURATIONS.decode(entry.payload)
        reply = self.state.apply(entry.index, entry.term, change)
        self.on_applied(entry, reply)
        token, term = self.placed.pop(entry.index, (0, 0))
        call = self.proposed.pop(token, None)
        if call is not None:
            if term == entry.term:
                self._settle(call, reply, None)
            else:
                self._settle(call, None, NotLeader("another entry was committed there"))
        self._serve()

    def _serve(self) -> None:
        if not self.ready:
            return
        due = [pair for pair in self.ready if pair[0] <= self.state.applied_index]
        self.ready = [pair for pair in self.ready if pair[0] > self.state.applied_index]
        for _index, call in due:
            self._settle(call, self.state.values.get(call.key), None)

    # -- checkpoints --------------------------------------------------------------------------------------------------

    def checkpoint(self, host: "CoreHost") -> None:
        """Make the applied state durable, and let the log be cut."""
        index = self.state.applied_index
        if index > self.rest.state.applied_index:
            self.rest.state = self.state.copy()
            self.rest.marker = SnapshotMarker(index, self.state.applied_term, self.configuration)
            host.call(Compact(index))

    def _install(self, marker: SnapshotMarker) -> None:
        _, state = self.rest.staged[marker.index]
        self.rest.marker, self.rest.state = marker, state.copy()
        self.state = state.copy()
        self.configuration = marker.configuration
        for index in [index for index in self.placed if index <= marker.index]:
            token, _term = self.placed.pop(index)
            call = self.proposed.pop(token, None)
            if call is not None:
                self._settle(call, None, TimedOut("a snapshot came over it"))
        self.rest.staged = {at: pair for at, pair in self.rest.staged.items() if at > marker.index}
        self._serve()
