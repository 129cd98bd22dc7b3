"""Deterministic campaigns: the shipped server, or its machines alone, in a simulated world, harmed and judged."""

from quorate.lab.simulation.campaign import CampaignOptions, CampaignResult, Shard, run_one
from quorate.lab.simulation.cluster import SimClient, SimCluster
from quorate.lab.simulation.conditions import Conditions
from quorate.lab.simulation.display import CampaignDisplay, print_failure, print_result
from quorate.lab.simulation.driving import run_campaign
from quorate.lab.simulation.options import Level, Outcome, SimOptions
from quorate.lab.simulation.smaller import describe, schedule_lines, shrink_run

__all__ = [
    "CampaignDisplay",
    "CampaignOptions",
    "CampaignResult",
    "Conditions",
    "Level",
    "Outcome",
    "Shard",
    "SimClient",
    "SimCluster",
    "SimOptions",
    "describe",
    "print_failure",
    "print_result",
    "run_campaign",
    "run_one",
    "schedule_lines",
    "shrink_run",
]
