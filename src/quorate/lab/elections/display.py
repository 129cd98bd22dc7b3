"""The comparison as a table in the terminal."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from quorate.lab.elections.experiment import CureRow


def print_elections(console: Console, rows: Sequence[CureRow], *, span: float) -> None:
    """Print a row per election and cure."""
    where = "real processes" if rows and rows[0].is_real else "simulated"
    table = Table(title=f"Two leaders and their cures, {where}: five nodes, {span:.0f} s of harm")
    for name in ("harm", "election", "cure"):
        table.add_column(name)
    for name in ("two write, s", "none writes, s", "stale taken", "refused", "taken", "killed"):
        table.add_column(name, justify="right")
    last = ("", "")
    for row in rows:
        is_new = (row.harm, row.kind) != last
        if is_new and last[0]:
            table.add_section()
        table.add_row(
            row.harm if is_new else "",
            row.kind if is_new else "",
            row.cure,
            f"{row.both_span:.2f}",
            f"{row.idle_span:.2f}",
            f"{row.stale_count:,}",
            f"{row.refused_count:,}",
            f"{row.taken_count:,}",
            " ".join(str(node) for node in row.killed) or "-",
        )
        last = (row.harm, row.kind)
    console.print(table)
    console.print("partition: 3 | 2, the leader among the two; pause: the leader stands still for half of the time")
    console.print("stale: taken from an older leader after a newer one had written; none writes: the longest such time")
