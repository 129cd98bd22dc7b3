"""Experiments on membership and failure detection, each figure beside what theory predicts."""

from quorate.lab.membership.detectors import (
    CONDITIONS,
    DETECTORS,
    DetectorOptions,
    DetectorRow,
    compare_detectors,
)
from quorate.lab.membership.display import print_detectors, print_membership
from quorate.lab.membership.elsewhere import compare_detectors_on, compare_sizes_on
from quorate.lab.membership.experiment import Experiment, compare_sizes
from quorate.lab.membership.links import SenderLinks, large_world
from quorate.lab.membership.options import MembershipOptions, MembershipRow
from quorate.lab.membership.plot import detectors_svg, membership_svg

__all__ = [
    "CONDITIONS",
    "DETECTORS",
    "DetectorOptions",
    "DetectorRow",
    "Experiment",
    "MembershipOptions",
    "MembershipRow",
    "SenderLinks",
    "compare_detectors",
    "compare_detectors_on",
    "compare_sizes",
    "compare_sizes_on",
    "detectors_svg",
    "large_world",
    "membership_svg",
    "print_detectors",
    "print_membership",
]
