"""What the second act came to, on one screen."""

from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from quorate.kernel import MILLISECOND
from quorate.lab.second_act import ActResult, SideFacts
from quorate.lab.statistics import Latencies

_COLOURS = {"valid": "green", "invalid": "red", "unknown": "yellow"}
_DESIGNS = {"ledger": "Raft", "carts": "leaderless, sets"}


def print_act(console: Console, result: ActResult) -> None:
    """Print the card of the second act."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("keyspace", "side", "writes", "p50", "reads", "p50"):
        table.add_column(name, justify="left" if name in {"keyspace", "side"} else "right")
    for side in result.sides:
        table.add_row(
            f"{side.keyspace} ({_DESIGNS[side.keyspace]})",
            f"{side.side}: nodes {', '.join(map(str, side.nodes))}",
            _share_word(side.write_share),
            _p50(side.writes),
            _share_word(side.read_share),
            _p50(side.reads),
        )
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim", justify="right")
    facts.add_column()
    converged = "never" if result.convergence_ns is None else f"{result.convergence_ns / MILLISECOND:,.0f} ms"
    facts.add_row("converged", f"all carts equal on all nodes {converged} after the healing")
    if result.carts.verdict == "valid":
        facts.add_row("kept", f"{result.minority_item_count:,} items put into carts on the minority side, none lost")
    facts.add_row("ledger", result.registers.explanation)
    facts.add_row("carts", result.carts.explanation)
    colour = _COLOURS[result.verdict]
    verdict = Text.assemble(("verdict  ", "dim"), (result.verdict.upper(), f"bold {colour}"))
    body = Group(
        Text("While the links were cut, calls that were answered:"),
        Text(),
        table,
        Text(),
        facts,
        Text(),
        verdict,
        Text(result.reason),
    )
    console.print(Panel(body, title="act two: one partition, two keyspaces", border_style=colour))


def act_data(result: ActResult) -> dict[str, object]:
    """Return what the report's page shows of it."""
    return {
        "verdict": result.verdict,
        "reason": result.reason,
        "convergence_ms": None if result.convergence_ns is None else result.convergence_ns // MILLISECOND,
        "kept": result.minority_item_count,
        "ledger": result.registers.explanation,
        "carts": result.carts.explanation,
        "sides": [_side_data(side) for side in result.sides],
    }


def _side_data(side: SideFacts) -> dict[str, object]:
    return {
        "keyspace": side.keyspace,
        "design": _DESIGNS[side.keyspace],
        "side": side.side,
        "nodes": list(side.nodes),
        "writes": side.write_share,
        "reads": side.read_share,
        "writes_p50_us": side.writes.p50_ns // 1_000,
        "reads_p50_us": side.reads.p50_ns // 1_000,
    }


def _share_word(share: float | None) -> str:
    if share is None:
        return "-"
    return "refused" if share == 0 else f"{share:.0%}"


def _p50(found: Latencies) -> str:
    return f"{found.p50_ns / MILLISECOND:,.1f} ms" if found.count else ""
