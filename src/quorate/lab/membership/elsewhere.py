"""The experiments on membership as jobs: a condition, or a size, each; on any engine, kept in a file."""

from pathlib import Path
from typing import Any

import msgspec

from quorate.lab.membership.detectors import DetectorOptions, DetectorRow, compare_detectors
from quorate.lab.membership.experiment import compare_sizes
from quorate.lab.membership.options import MembershipOptions, MembershipRow
from quorate.lab.scale import spread


def run_detectors(configuration: Any, _first_seed: int, _seed_count: int) -> list[DetectorRow]:
    """Run a comparison of detectors; a job. Its configuration is `DetectorOptions`, as JSON decodes it."""
    return compare_detectors(msgspec.convert(configuration, DetectorOptions))


def run_sizes(configuration: Any, _first_seed: int, _seed_count: int) -> list[MembershipRow]:
    """Run a comparison of sizes; a job. Its configuration is `MembershipOptions`, as JSON decodes it."""
    return compare_sizes(msgspec.convert(configuration, MembershipOptions))


def compare_detectors_on(options: DetectorOptions, on: str, results: Path | None = None) -> list[DetectorRow]:
    """Run every condition as a job of an engine; return what `compare_detectors` returns. Errors: see `spread`."""
    jobs = [msgspec.structs.replace(options, conditions=(condition,)) for condition in options.conditions]
    task = f"{__name__}:{run_detectors.__name__}"
    return [row for rows in spread(task, jobs, list[DetectorRow], on=on, results=results) for row in rows]


def compare_sizes_on(options: MembershipOptions, on: str, results: Path | None = None) -> list[MembershipRow]:
    """Run every size as a job of an engine; return what `compare_sizes` returns. Errors: see `spread`."""
    jobs = [msgspec.structs.replace(options, member_counts=(count,)) for count in options.member_counts]
    task = f"{__name__}:{run_sizes.__name__}"
    return [row for rows in spread(task, jobs, list[MembershipRow], on=on, results=results) for row in rows]
