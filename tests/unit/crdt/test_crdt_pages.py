"""Every example on the reference pages, and in the docstrings, of replicated types runs and says what is written there."""

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import quorate.crdt as room

PAGES = sorted((Path(__file__).parents[3] / "docs" / "parts" / "crdt").glob("*.md"))
MODULES = sorted(module.name for module in pkgutil.iter_modules(room.__path__, "quorate.crdt."))


def examples(page: Path) -> str:
    return "\n".join(re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE))


@pytest.mark.parametrize("page", [page for page in PAGES if page.stem != "measured"], ids=lambda page: page.stem)
def test_the_page_tells_the_truth(page: Path) -> None:
    source = examples(page)
    assert source
    test = doctest.DocTestParser().get_doctest(source, {}, page.name, str(page), 0)
    outcome = doctest.DocTestRunner(verbose=False).run(test)
    assert outcome.failed == 0 < outcome.attempted


@pytest.mark.parametrize("name", MODULES)
def test_docstrings_tell_the_truth(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_every_page_names_cost_bounds_encoding_source_and_deviations() -> None:
    for page in PAGES:
        if page.stem == "measured":
            continue
        headings = re.findall(r"^## (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
        assert headings == ["Example", "Complexity", "Bounds", "Encoding", "Source", "Deviations"], page.name
