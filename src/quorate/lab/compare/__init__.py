"""Designs side by side: the same clients, the same faults, a measured card for each."""

from quorate.lab.compare.card import (
    Card,
    CompareOptions,
    Comparison,
    Runner,
    compare_designs,
    make_card,
    run_here,
)
from quorate.lab.compare.display import card_panel, print_comparison, summary_table
from quorate.lab.compare.elsewhere import run_on
from quorate.lab.compare.fits import FITS, PUBLISHED, Fit, Mixture, Published, fit_named
from quorate.lab.compare.letters import RULES, Letters, derive
from quorate.lab.compare.page import render_page
from quorate.lab.compare.pbs import Prediction, miss_probability, predict, predict_fit, quantile
from quorate.lab.compare.pbs_cluster import Trials, measure_fit
from quorate.lab.compare.pbs_table import PBSOptions, PBSRow, pbs_svg, predict_rows, print_rows
from quorate.lab.compare.plan import Load, Network, RunPlan, Timeline
from quorate.lab.compare.predictions import Predicted
from quorate.lab.compare.real import run_real, run_really
from quorate.lab.compare.results import RunResult
from quorate.lab.compare.run import run_plan
from quorate.lab.compare.scenarios import SCENARIOS, SCENARIOS_DEFAULT, Scenario, scenario_named
from quorate.lab.compare.spec import Design, LeaderlessDesign, RaftDesign, design_text, parse_design

__all__ = [
    "FITS",
    "PUBLISHED",
    "RULES",
    "SCENARIOS",
    "SCENARIOS_DEFAULT",
    "Card",
    "CompareOptions",
    "Comparison",
    "Design",
    "Fit",
    "LeaderlessDesign",
    "Letters",
    "Load",
    "Mixture",
    "Network",
    "PBSOptions",
    "PBSRow",
    "Predicted",
    "Prediction",
    "Published",
    "RaftDesign",
    "RunPlan",
    "RunResult",
    "Runner",
    "Scenario",
    "Timeline",
    "Trials",
    "card_panel",
    "compare_designs",
    "derive",
    "design_text",
    "fit_named",
    "make_card",
    "measure_fit",
    "miss_probability",
    "parse_design",
    "pbs_svg",
    "predict",
    "predict_fit",
    "predict_rows",
    "print_comparison",
    "print_rows",
    "quantile",
    "render_page",
    "run_here",
    "run_on",
    "run_plan",
    "run_real",
    "run_really",
    "scenario_named",
    "summary_table",
]
