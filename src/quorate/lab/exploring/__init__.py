"""Exploring by name: machines and systems with their documented scopes, workers, files to go on from, pictures."""

# Each of these files adds its systems to the catalogue.
from quorate.lab.exploring import elections, leaderless, members, published, rafts, watching
from quorate.lab.exploring.catalogue import EXPLORABLE, Entry, explorable, filled, make_explorable
from quorate.lab.exploring.options import Explorable, ExploreOptions
from quorate.lab.exploring.pool import Workers
from quorate.lab.exploring.rafts import raft_bugs
from quorate.lab.exploring.run import list_systems, run_exploration
from quorate.lab.exploring.simulated import Simulated, simulate_example
from quorate.lab.exploring.transcripts import render_transcript, replay_transcript, write_transcript

SYSTEMS = (rafts, elections, watching, members, leaderless, published)
"""Where the systems are."""

__all__ = [
    "EXPLORABLE",
    "SYSTEMS",
    "Entry",
    "Explorable",
    "ExploreOptions",
    "Simulated",
    "Workers",
    "explorable",
    "filled",
    "list_systems",
    "make_explorable",
    "raft_bugs",
    "render_transcript",
    "replay_transcript",
    "run_exploration",
    "simulate_example",
    "write_transcript",
]
