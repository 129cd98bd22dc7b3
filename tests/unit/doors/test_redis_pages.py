"""The pages about the Redis door and the tables say the same."""

import re
from pathlib import Path

import quorate.doors.resp  # noqa: F401  (fills the table)
from quorate.doors.resp.table import DOOR_COMMANDS
from quorate.store import COMMANDS

PAGES = Path(__file__).parents[3] / "docs" / "redis"


def supported():
    lines = [
        line for page in PAGES.glob("*.md") for line in page.read_text().splitlines() if line.startswith("Supported:")
    ]
    return [name.encode() for line in lines for name in re.findall(r"`([A-Z.\-_]+)`", line)]


def test_every_command_stands_on_exactly_one_page_and_nothing_else_does():
    assert sorted(supported()) == sorted({*COMMANDS, *DOOR_COMMANDS})


def test_every_command_of_the_door_says_what_it_is_for():
    assert [spec.name for spec in DOOR_COMMANDS.values() if not spec.summary.endswith((".", "...]."))] == []
