"""Exploring systems whole, or at random: states, choices, properties, counterexamples and their pictures."""

from quorate.check.explore.canonical import Name, Still, canonical
from quorate.check.explore.cluster import Cluster
from quorate.check.explore.diagram import Row, draw_html, draw_text, rows_of
from quorate.check.explore.examples import (
    AgreementState,
    TwoPhaseCommit,
    TwoPhaseState,
    TwoProcessConsensus,
    agrees,
    is_consistent,
    is_decided,
)
from quorate.check.explore.guided import walk_by_coverage
from quorate.check.explore.lasso import Lasso, find_lasso
from quorate.check.explore.scope import Choice, ClusterState, Node, Scope
from quorate.check.explore.search import Exploration, Progress, Search, explore
from quorate.check.explore.shares import Packed, Pool, Successor, expand_share
from quorate.check.explore.system import Example, Property, System, always, eventually, replay, sometimes
from quorate.check.explore.walk import Walks, walk, walk_by_priority

__all__ = [
    "AgreementState",
    "Choice",
    "Cluster",
    "ClusterState",
    "Example",
    "Exploration",
    "Lasso",
    "Name",
    "Node",
    "Packed",
    "Pool",
    "Progress",
    "Property",
    "Row",
    "Scope",
    "Search",
    "Still",
    "Successor",
    "System",
    "TwoPhaseCommit",
    "TwoPhaseState",
    "TwoProcessConsensus",
    "Walks",
    "agrees",
    "always",
    "canonical",
    "draw_html",
    "draw_text",
    "eventually",
    "expand_share",
    "explore",
    "find_lasso",
    "is_consistent",
    "is_decided",
    "replay",
    "rows_of",
    "sometimes",
    "walk",
    "walk_by_coverage",
    "walk_by_priority",
]
