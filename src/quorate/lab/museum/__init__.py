"""The museum of bugs: each was made by somebody, each can be planted, each is caught."""

from quorate.lab.museum import (
    answering,
    applying,
    deletes,
    durability,
    elections,
    leaderless,
    membership,
    reads,
    replication,
)
from quorate.lab.museum.bug import BUGS, CHECKERS, Bug, bug_named, planted
from quorate.lab.museum.guide import print_exhibits, show_exhibit
from quorate.lab.museum.hunt import Hunt, hunt, measure
from quorate.lab.museum.measuring import MeasureOptions, measure_exhibits

WINGS = (elections, replication, reads, membership, durability, applying, answering, leaderless, deletes)
"""The rooms, in the order of a visit."""

__all__ = [
    "BUGS",
    "CHECKERS",
    "WINGS",
    "Bug",
    "Hunt",
    "MeasureOptions",
    "bug_named",
    "hunt",
    "measure",
    "measure_exhibits",
    "planted",
    "print_exhibits",
    "show_exhibit",
]
