"""The pages hold together: links lead somewhere, tables are whole, and nothing of one machine is in them."""

import re
import runpy
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer

from quorate.cli import app
from quorate.client import SessionForgotten
from quorate.kernel import errors

ROOT = Path(__file__).parents[3]
DECISION_PARTS = (
    "**Context.**",
    "**Requirements.**",
    "**Options.**",
    "**Choice.**",
    "**Consequences.**",
    "**How we would notice that it was wrong.**",
)
LOCAL = re.compile(r"(/home/|/root/|/work/|/tmp/[a-z]|/Users/|\b(?:pypi|registry|mirror)\.[a-z]+\.[a-z]+)")


@pytest.fixture(scope="module")
def site() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "tools" / "build_docs.py"), run_name="build_docs")


def decisions() -> list[Path]:
    return sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))


def test_every_link_between_pages_leads_to_a_file_and_a_heading(site: dict[str, Any]) -> None:
    """A page that was renamed takes its links along."""
    assert site["broken_links"]() == []


def test_a_link_to_nowhere_is_found(site: dict[str, Any], tmp_path: Path) -> None:
    """The checker checks: a missing file and a missing heading are told, what exists is not."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text("# A\n[b](docs/b.md#part) [c](docs/c.md) [d](docs/b.md#no) [e](#a)\n")
    (tmp_path / "docs" / "b.md").write_text("# B\n## Part\n[x](https://example.org/none)\n")

    found = site["broken_links"](tmp_path)

    assert found == ["README.md: docs/c.md", "README.md: docs/b.md#no (no such heading)"]


@pytest.mark.slow
def test_the_site_is_built_and_its_own_links_hold(site: dict[str, Any], tmp_path: Path) -> None:
    """Every page becomes one of the site, and every link and image in it exists there."""
    count = site["build"](tmp_path)

    files = sorted(tmp_path.rglob("*.html"))
    broken = [
        f"{file.relative_to(tmp_path)}: {target}"
        for file in files
        for target in re.findall(r'(?:href|src)="([^"#]+)', file.read_text(encoding="utf-8"))
        if not re.match(r"[a-z]+:", target) and not (file.parent / target).exists()
    ]
    assert len(files) == count
    assert broken == []


def test_every_decision_has_all_its_parts_and_is_listed() -> None:
    """Context, requirements, options, choice, consequences, and how we would notice that it was wrong."""
    index = (ROOT / "docs" / "decisions" / "README.md").read_text(encoding="utf-8")
    for page in decisions():
        text = page.read_text(encoding="utf-8")
        places = [text.find(part) for part in DECISION_PARTS]
        assert -1 not in places, page.name
        assert places == sorted(places), page.name
        assert f"({page.name})" in index, page.name


def test_every_error_stands_in_the_table_with_its_code() -> None:
    """The page on guarantees names each error that users can meet, and its word on the wire."""
    text = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
    kinds = [value for value in vars(errors).values() if isinstance(value, type)]
    shown = [kind for kind in kinds if kind not in {errors.QuorateError, errors.OperationError}] + [SessionForgotten]
    for kind in shown:
        if not issubclass(kind, errors.QuorateError):
            continue
        rows = [line for line in text.splitlines() if line.startswith("|") and f"`{kind.__name__}`" in line]
        assert rows, kind.__name__
        assert f"`{kind.code}`" in rows[0], kind.__name__


def test_the_front_page_shows_a_small_picture() -> None:
    """A visitor should not wait for it."""
    for image in (ROOT / "docs" / "images").glob("*"):
        assert image.stat().st_size < 150_000, image.name


def test_no_page_tells_of_the_machine_on_which_it_was_written(site: dict[str, Any]) -> None:
    """Paths of a machine and names of its package index help nobody else."""
    found = [
        f"{page.relative_to(ROOT)}: {match.group()}"
        for page in [*site["pages"](), *sorted((ROOT / "examples").glob("*.py"))]
        for match in LOCAL.finditer(page.read_text(encoding="utf-8"))
    ]
    assert found == []


def test_every_command_that_a_page_shows_exists(site: dict[str, Any]) -> None:
    """`quorate word` in quotes or behind a prompt is a command of the command line."""
    known = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    shown = re.compile(r"(?:`|^\$ )quorate ([a-z][a-z-]*)", re.MULTILINE)
    found = [
        f"{page.relative_to(ROOT)}: quorate {name}"
        for page in site["pages"]()
        for name in shown.findall(page.read_text(encoding="utf-8"))
        if name not in known
    ]
    assert found == []


def test_every_target_of_make_that_a_page_shows_exists(site: dict[str, Any]) -> None:
    """`make word` in quotes or behind a prompt is a target of the Makefile."""
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    shown = re.compile(r"(?:`|^\$ )make ([a-z]+)", re.MULTILINE)
    found = [
        f"{page.relative_to(ROOT)}: make {name}"
        for page in site["pages"]()
        for name in shown.findall(page.read_text(encoding="utf-8"))
        if name not in targets
    ]
    assert found == []


def test_every_dependency_stands_in_its_decision_with_a_reason() -> None:
    """A package that is needed at run time, or by an extra, is named in 0002."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [line for lines in project["optional-dependencies"].values() for line in lines]
    text = (ROOT / "docs" / "decisions" / "0002-dependencies.md").read_text(encoding="utf-8")
    names = [re.split(r"[^\w-]", line)[0] for line in [*project["dependencies"], *extras]]
    assert [name for name in names if not re.search(rf"\b{name}\b", text)] == []
