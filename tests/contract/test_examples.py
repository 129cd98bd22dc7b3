"""Every example runs and prints what its docstring says; so does the one in the README."""

import asyncio
import inspect
import re
import runpy
import textwrap
from pathlib import Path
from types import CodeType
from typing import Any

import pytest

from quorate.server import load as load_config

ROOT = Path(__file__).parents[2]
EXAMPLES = {path.stem: path for path in sorted((ROOT / "examples").glob("*.py"))}
ON_DATABASE = ("counters", "fenced_lock", "leader_election", "transaction", "watch")

pytestmark = [pytest.mark.real, pytest.mark.slow]


def load(name: str) -> dict[str, Any]:
    return runpy.run_path(str(EXAMPLES[name]), run_name="example")


def promised(example: dict[str, Any]) -> str:
    """What the docstring says under "Prints:"."""
    _, _, rest = inspect.cleandoc(example["__doc__"]).partition("Prints:\n")
    block = rest.split("\n\n")[0].rstrip("\n")
    assert block, "an example says what it prints"
    return textwrap.dedent(block) + "\n"


def test_every_example_is_run_by_a_test() -> None:
    """A new example needs a test here."""
    assert sorted(EXAMPLES) == sorted([*ON_DATABASE, "embedded", "redis_client"])


@pytest.mark.parametrize("name", ON_DATABASE)
def test_an_example_prints_what_it_says_on_an_embedded_store(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Without an address an example opens a store of its own."""
    example = load(name)

    asyncio.run(example["main"]())

    assert capsys.readouterr().out == promised(example)


def test_the_examples_print_the_same_on_a_cluster(shared_cluster: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """One API: a cluster behind an address behaves as the embedded store does."""
    for name in ON_DATABASE:
        example = load(name)

        asyncio.run(example["main"](shared_cluster.url))

        assert capsys.readouterr().out == promised(example), name


def test_the_embedded_store_keeps_its_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What was written is there when the directory is opened again."""
    example = load("embedded")

    example["main"](str(tmp_path / "data"))

    assert capsys.readouterr().out == promised(example)


def test_a_redis_client_needs_no_change(shared_cluster: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """redis-py, plain and cluster-aware, against two nodes of one cluster."""
    example = load("redis_client")
    first, second, *_ = shared_cluster.at.split(",")

    example["main"](first, second)

    assert capsys.readouterr().out == promised(example)


def python_of(page: Path) -> CodeType:
    """The first Python example of a page, as a program."""
    found = re.search(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    assert found, f"{page.name} has a Python example"
    return compile(found.group(1), page.name, "exec")


def test_the_example_of_the_readme_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The fifteen lines that a visitor copies work as they stand, and print what stands beside them."""
    monkeypatch.chdir(tmp_path)
    program = python_of(ROOT / "README.md")

    exec(program, {"__name__": "__main__"})

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    expected = re.findall(r"print\(.*\)  # (.*)", text)
    assert expected
    assert capsys.readouterr().out.splitlines() == expected


def test_the_examples_of_the_first_page_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the page on getting started shows of Python runs, and its configuration is accepted."""
    monkeypatch.chdir(tmp_path)
    page = ROOT / "docs" / "getting-started.md"
    program = python_of(page)
    toml = re.search(r"```toml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    assert toml

    exec(program, {"__name__": "__main__"})

    assert "b'session:7' b'ann'" in capsys.readouterr().out
    assert sorted(load_config(toml.group(1)).peers) == [1, 2, 3]
