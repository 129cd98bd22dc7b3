"""Shows visitors around: the list, one exhibit caught before their eyes, and the table of measurements' rows."""

from pathlib import Path

from rich.console import Console
from rich.table import Table

from quorate.kernel.errors import UsageError
from quorate.lab.museum.bug import BUGS, Bug, bug_named
from quorate.lab.museum.hunt import Measured, hunt
from quorate.lab.simulation.display import print_failure
from quorate.lab.simulation.options import SimOptions

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def print_exhibits(console: Console) -> None:
    """List all bugs, wing by wing."""
    table = Table("bug", "layer", "level", "caught by", box=None, pad_edge=False)
    for column in table.columns[:3]:
        column.no_wrap = True
    for bug in BUGS.values():
        table.add_row(bug.name, bug.layer, bug.level, ", ".join(bug.caught_by))
    console.print(table)
    console.print(f"{len(BUGS)} bugs. quorate museum run NAME catches one before your eyes.", highlight=False)


def show_exhibit(name: str, console: Console, *, seed_count_max: int) -> int:
    """Plant a bug, find it, shrink what found it, tell its story; return the exit status."""
    bug = bug_named(name)

    def say(text: str) -> None:
        console.print(text, highlight=False, markup=False, soft_wrap=True)

    say(f"{bug.name}  ({bug.layer})\n\n{bug.story.strip()}\n\nseen in: {bug.source}\n")
    found = hunt(bug, seed_count_max=seed_count_max)
    if found.caught is None:
        say(f"not caught within {found.seed_count} seeds ({found.processor_s:.1f} s)")
        return 1
    options: SimOptions = found.caught.options
    say(f"caught at seed {options.seed}, the {found.seed_count}. tried, after {found.processor_s:.1f} s:\n")
    print_failure(console, found.caught)
    say(f"\nreplay: {options.command}")
    return 0


def row_of(one: Measured) -> str:
    """Return the row of the table for one bug."""
    bug: Bug = BUGS[one.bug]
    return (
        f"| `{one.bug}` | {bug.layer} | {bug.level} | {', '.join(one.kinds) or '-'} | "
        f"{one.caught_count} of {one.hunt_count} | {one.mean_seeds:.1f} | {one.most_seeds} | {one.mean_s:.2f} | "
        f"{bug.source} |"
    )


def write_table(page: Path, found: list[Measured]) -> None:
    """Put rows into the table of a page, between its two comments; rows of other bugs stay.

    Raises:
        UsageError: the page has no such comments.
    """
    try:
        text = page.read_text(encoding="utf-8")
    except UnicodeDecodeError as cause:
        raise UsageError(f"{page}: not a text in UTF-8") from cause
    head, begin, rest = text.partition(BEGIN)
    table, end, tail = rest.partition(END)
    if not begin or not end:
        raise UsageError(f"{page} has no table between {BEGIN} and {END}")
    rows = {line.split("`")[1]: line for line in table.splitlines() if line.startswith("| `")}
    rows |= {one.bug: row_of(one) for one in found}
    title = "| bug | layer | level | caught as | hunts | mean seeds | most | mean s | seen in |\n" + "|---" * 9 + "|"
    lines = "\n".join(rows[name] for name in BUGS if name in rows)
    page.write_text(f"{head}{BEGIN}\n{title}\n{lines}\n{END}{tail}", encoding="utf-8")
