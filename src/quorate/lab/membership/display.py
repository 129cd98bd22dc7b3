"""The comparisons as tables in the terminal."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from quorate.lab.membership.detectors import DetectorRow
from quorate.lab.membership.options import MembershipOptions, MembershipRow


def print_membership(console: Console, options: MembershipOptions, rows: Sequence[MembershipRow]) -> None:
    """Print each figure beside its prediction (in brackets)."""
    guard = "with Lifeguard" if options.lifeguard else "without Lifeguard"
    table = Table(title=f"SWIM, {options.profile} profile, {guard}, seed {options.seed}: measured (theory)")
    table.add_column("members")
    for row in rows:
        table.add_column(f"{row.member_count:,}", justify="right")
    for name, values in _membership_lines(options, rows).items():
        table.add_row(name, *values)
    console.print(table)
    console.print("a round is a gossip interval; speed is simulated time over processor time, quiet, without encoding")


def _membership_lines(options: MembershipOptions, rows: Sequence[MembershipRow]) -> dict[str, list[str]]:
    """Return the lines of the table: a name, and a figure for each size."""
    return {
        "rumour known to 50 %, s": [_number(row.spread_half) for row in rows],
        "to 99 %, s": [_number(row.spread_99) for row in rows],
        "to all, s": [_number(row.spread_all) for row in rows],
        "rounds to all": [f"{_number(row.spread_rounds, 1)} ({row.spread_rounds_theory:.1f})" for row in rows],
        "messages meanwhile": [f"{row.spread_message_count:,}" for row in rows],
        "crash suspected, s": [f"{_number(row.suspect_first)} ({row.suspect_first_theory:.2f})" for row in rows],
        "crash known to all, s": [
            f"{_number(row.dead_all, 1)} ({row.dead_window_theory[0]:.0f} to {row.dead_window_theory[1]:.0f}, + 2)"
            for row in rows
        ],
        "messages / member s": [f"{row.quiet_messages:.2f} ({row.quiet_messages_theory:.2f})" for row in rows],
        "bytes / member s": [f"{row.quiet_bytes:.0f} ({row.quiet_bytes_theory:.0f})" for row in rows],
        f"suspicions / member h, {100 * options.loss:.0f} % loss": [
            f"{_number(row.suspicions, 1)} ({row.suspicions_theory:.1f})" for row in rows
        ],
        "false deaths / member h": [_number(row.false_deaths) for row in rows],
        "times real time": [f"{row.speed:,.0f}" for row in rows],
    }


def print_detectors(console: Console, rows: Sequence[DetectorRow]) -> None:
    """Print a row per condition and detector."""
    title = "Failure detectors: the same heartbeats, one per second; mistakes per peer and hour, times in seconds"
    table = Table(title=title, box=None, padding=(0, 1, 0, 0), header_style="dim")
    for name in ("condition", "detector"):
        table.add_column(name, no_wrap=True)
    for name in ("mistakes", "each lasts", "found after", "at worst", "missed"):
        table.add_column(name, justify="right", no_wrap=True)
    last = ""
    for row in rows:
        if row.condition != last and last:
            table.add_row()
        table.add_row(
            row.condition if row.condition != last else "",
            row.detector,
            f"{row.mistakes:.2f}",
            f"{row.mistake_span:.2f}",
            f"{row.detection_mean:.2f}",
            f"{row.detection_max:.2f}",
            str(row.missed_count),
        )
        last = row.condition
    console.print(table)


def _number(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
