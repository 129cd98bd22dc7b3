"""The judges compiled from the same source say the same: `make fast`, in a copy of the tree."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ASK = """
import sys
sys.path.insert(0, sys.argv[1])
import quorate.check.linear.depth as depth, quorate.check.txn.list_append as lists
assert depth.__file__.endswith(".so") and lists.__file__.endswith(".so"), depth.__file__
import test_linear_oracle as oracle, test_list_append as appends
for name in sorted(oracle.WORKLOADS):
    oracle.compare(name, 0, 100)
print(appends.compare(0, 300))
"""


@pytest.mark.soak
def test_the_compiled_judges_agree_with_brute_force(tmp_path):
    """Half a minute goes into compiling; afterwards the extensions can be taken away again."""
    spec = importlib.util.spec_from_file_location("compile_hot", ROOT / "tools" / "compile_hot.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    source = tmp_path / "src"
    shutil.copytree(ROOT / "src", source, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    assert len(tool.build(source)) == len(tool.HOT) + 1
    command = [sys.executable, "-c", ASK, str(Path(__file__).parent)]
    environment = {**os.environ, "PYTHONPATH": str(source)}
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.startswith("(")
    assert tool.remove(source) == len(tool.HOT) + 1
    assert not list(source.rglob("*.so"))
