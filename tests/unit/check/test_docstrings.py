"""Every example in the docstrings of the judges runs and says what is written there."""

import doctest
import importlib
import pkgutil

import quorate.check as room

MODULES = sorted(module.name for module in pkgutil.walk_packages(room.__path__, "quorate.check."))


def test_docstrings_tell_the_truth():
    outcomes = [doctest.testmod(importlib.import_module(name)) for name in MODULES]
    assert sum(outcome.attempted for outcome in outcomes) >= 2
    assert sum(outcome.failed for outcome in outcomes) == 0
