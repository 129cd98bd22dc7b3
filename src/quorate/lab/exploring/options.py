"""What is explored, how far, and in which way."""

import hashlib
from pathlib import Path
from typing import Any, Literal

import msgspec

from quorate.check import explore as x


class ExploreOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line says. The first block names the system and the search; a checkpoint belongs to it.

    None stands for what the documented scope of the system has.
    """

    name: str
    # Nodes, or resource managers.
    node_count: int | None = None
    # How often the clock of each node may act: campaigns, lost patience, probes, heartbeats.
    campaign_count: int | None = None
    # Commands that are proposed.
    proposal_count: int | None = None
    # Nodes whose clocks never act.
    quiet: tuple[int, ...] | None = None
    # Faults, in all.
    lose_count: int | None = None
    repeat_count: int | None = None
    crash_count: int | None = None
    # Links may reorder.
    is_unordered: bool = False
    # When a write is stable is a choice, and a crash loses what is not.
    is_disk_slow: bool = False
    # States that are renamings of each other are one.
    is_symmetric: bool = False
    # A bug of the museum that is planted.
    bug: str = ""
    order: Literal["breadth", "depth"] = "breadth"
    sleep_sets: bool = False
    depth_max: int | None = None

    # 0: no bound.
    state_count_max: int = 0
    # Processes that expand states; 1: this one alone.
    worker_count: int = 1
    # Random walks in place of a search; 0: search. With `pct_depth` the walks follow priorities, guided they learn.
    walk_count: int = 0
    pct_depth: int = 0
    is_guided: bool = False
    step_count_max: int = 200
    seed: int = 1
    checkpoint: Path | None = None
    checkpoint_seconds: float = 20.0
    html: Path | None = None
    # Where the counterexample is written as a transcript, and whether it is run in the simulated world.
    transcript: Path | None = None
    is_simulated: bool = False

    def digest(self) -> bytes:
        """Return what a checkpoint of the same search has."""
        names = self.__struct_fields__[: self.__struct_fields__.index("depth_max") + 1]
        return hashlib.blake2b(repr([getattr(self, name) for name in names]).encode(), digest_size=16).digest()


class Explorable(msgspec.Struct, frozen=True):
    """A system with what is asked of it. States and choices are its own, so nothing here can name their types."""

    system: x.System[Any, Any]
    properties: tuple[x.Property, ...]
