"""A local cluster outlives its nodes, one by one."""

import io
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from quorate.api.process import _watch_nodes


class Lines(io.StringIO):
    """A terminal; what is said of the first node lets the second one end."""

    def __init__(self, second: "subprocess.Popen[bytes]") -> None:
        super().__init__()
        self.second = second

    def write(self, text: str) -> int:
        if "status 3" in text:
            assert self.second.poll() is None, "the other node goes on"
            assert self.second.stdin is not None
            self.second.stdin.close()
        return super().write(text)


@pytest.mark.slow
@pytest.mark.real
def test_a_node_that_ends_does_not_end_the_others(tmp_path: Path) -> None:
    """`quorate up` is where people kill a node and look what happens."""
    first = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
    second = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    said = Lines(second)
    paths = [tmp_path / "node-1.toml", tmp_path / "node-2.toml"]
    assert _watch_nodes([first, second], paths, Console(file=said)) == 1
    assert said.getvalue().count("to start it again: quorate serve --config") == 2
    assert "status 0" in said.getvalue()
