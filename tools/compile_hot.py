"""Compile the hottest modules of the judges with mypyc, in place: the same source, two to four times as fast.

    .venv/bin/python tools/compile_hot.py            # or: make fast
    .venv/bin/python tools/compile_hot.py --remove   # or: make slow

Python imports an extension before the source beside it, so nothing else changes. The extensions are not kept in the
repository, and a changed source is not compiled by itself: run this again, or remove them. Needs a C compiler and
Python's headers.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOT = (
    "quorate/check/linear/problem.py",
    "quorate/check/linear/depth.py",
    "quorate/check/linear/frontier.py",
    "quorate/check/linear/race.py",
    "quorate/check/txn/transactions.py",
    "quorate/check/txn/arcs.py",
    "quorate/check/txn/list_append.py",
)
"""What is compiled, below `src`."""

_SETUP = """
from setuptools import setup
from mypyc.build import mypycify

flags = ["--ignore-missing-imports", "--no-warn-unused-ignores"]
modules = mypycify([*flags, *{files!r}], opt_level="3", group_name="quorate_hot")
setup(name="quorate-hot", packages=[], package_dir={{"": "src"}}, ext_modules=modules)
"""


def remove(source: Path) -> int:
    """Delete the extensions below `source`; return how many there were."""
    found = [*source.glob("*__mypyc.*.so"), *(path for path in (source / "quorate").rglob("*.so"))]
    for path in found:
        path.unlink()
    return len(found)


def build(source: Path) -> list[Path]:
    """Compile a copy of `source` aside and put the extensions into it; return them.

    Raises:
        SystemExit: the compiler said no; its words are printed.
    """
    with tempfile.TemporaryDirectory() as folder:
        aside = Path(folder)
        shutil.copytree(source, aside / "src", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
        files = [f"src/{name}" for name in HOT]
        (aside / "setup.py").write_text(_SETUP.format(files=files), "utf-8")
        command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
        answer = subprocess.run(
            command, cwd=aside, env={"MYPYPATH": "src", "PATH": "/usr/bin:/bin:/usr/local/bin"}, capture_output=True,
            text=True, check=False,
        )  # fmt: skip
        made = sorted((aside / "src").rglob("*.so"))
        if answer.returncode or len(made) != len(HOT) + 1:
            sys.exit(f"not compiled:\n{answer.stdout}{answer.stderr}")
        remove(source)
        for path in made:
            shutil.copy2(path, source / path.relative_to(aside / "src"))
        return [source / path.relative_to(aside / "src") for path in made]


def main() -> None:
    """Compile, or with --remove take the extensions away."""
    source = ROOT / "src"
    if sys.argv[1:] == ["--remove"]:
        print(f"{remove(source)} extensions removed: the judges run from source")
    elif sys.argv[1:]:
        sys.exit(__doc__)
    else:
        print(f"{len(build(source))} extensions built: the judges run compiled")


if __name__ == "__main__":
    main()
