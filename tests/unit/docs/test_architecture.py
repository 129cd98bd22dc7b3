"""ARCHITECTURE.md and the decisions speak of the code as it is: every file and name in them exists."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SOURCE = ROOT / "src" / "quorate"
PAGES = [ROOT / "ARCHITECTURE.md", *sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))]


@cache
def words_of_the_code() -> frozenset[str]:
    files = [*SOURCE.rglob("*.py"), ROOT / "pyproject.toml", *(ROOT / "tools").glob("*.py")]
    found: set[str] = set()
    for file in files:
        found.update(re.findall(r"\w+", file.read_text(encoding="utf-8")))
    found.update(part for file in SOURCE.rglob("*") for part in file.relative_to(SOURCE).parts)
    return frozenset(found)


def quoted(page: Path) -> list[str]:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    return re.findall(r"`([^`\n]+)`", text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    """A path is one below src/quorate, src or the repository; a bare file name is somewhere in the source."""
    names = [word for word in quoted(page) if re.fullmatch(r"[\w/\-]+\.(?:py|md)", word)]
    missing = [
        name
        for name in names
        if not (SOURCE / name).exists()
        and not (ROOT / name).exists()
        and not (ROOT / "src" / name).exists()
        and not ("/" not in name and any(SOURCE.rglob(name)))
    ]
    assert missing == []


# A folder that stands on the plan and not in the source yet, and a file of the repository.
KNOWN = {"resilience", "requirements.lock"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_name_that_a_page_quotes_is_in_the_code(page: Path) -> None:
    """A function that was renamed is renamed in the pages too."""
    names = [
        word for word in quoted(page) if re.fullmatch(r"[A-Za-z_][\w.]*", word) and not word.endswith((".py", ".md"))
    ]
    missing = [
        name for name in names if name not in KNOWN and any(part not in words_of_the_code() for part in name.split("."))
    ]
    assert missing == []


@cache
def bodies_of_classes() -> dict[str, str]:
    found: dict[str, str] = {}
    for file in sorted(SOURCE.rglob("*.py")):
        text = file.read_text(encoding="utf-8")
        for node in ast.parse(text).body:
            if isinstance(node, ast.ClassDef):
                found[node.name] = found.get(node.name, "") + (ast.get_source_segment(text, node) or "")
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_method_that_a_page_quotes_is_one_of_its_class(page: Path) -> None:
    """`Class.method`: the class is in the source, and so is the word in it."""
    pairs = [match.groups() for word in quoted(page) if (match := re.match(r"([A-Z]\w*[a-z]\w*)\.(\w+)", word))]
    bodies = bodies_of_classes()
    missing = [f"{kind}.{name}" for kind, name in pairs if not re.search(rf"\b{name}\b", bodies.get(kind, ""))]
    assert missing == []


@pytest.mark.parametrize("world", ["sim", "runtime"])
def test_a_world_does_not_know_what_it_runs(world: str) -> None:
    """Both worlds import the kernel, the interfaces and themselves: any program on an Env can run in them."""
    allowed = {"kernel", "env", world}
    found = [
        f"{file.name}: {node.module}"
        for file in sorted((SOURCE / world).rglob("*.py"))
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("quorate.")
        if node.module.split(".")[1] not in allowed
    ]
    assert found == []


def test_the_picture_of_the_floors_shows_every_package() -> None:
    """Who adds a package shows on which floor it stands."""
    picture = re.search(r"```text\n(.*?)```", (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8"), re.DOTALL)
    assert picture
    shown = set(re.findall(r"\w+", " ".join(line[:32] for line in picture.group(1).splitlines())))
    packages = sorted(file.parent.name for file in SOURCE.glob("*/__init__.py"))
    assert [name for name in packages if name not in shown] == []
