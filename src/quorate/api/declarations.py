"""What the keyspaces of a configuration declare, in the words of a table, and why some cannot be had."""

from pathlib import Path
from typing import NamedTuple

from quorate.api.process import read_text
from quorate.kernel import NodeId
from quorate.server import Config, Keyspace, keyspace_problems, parse, replica_counts


class Declared(NamedTuple):
    """One keyspace of a configuration."""

    name: str
    chosen_by: str
    design: str
    conflicts: str
    promises: str
    # (key, sentence, anomaly) of everything that cannot be had; the anomaly may be empty.
    reasons: list[tuple[str, str, str]]
    keyspace: Keyspace


def judge_keyspaces(path: Path) -> list[Declared]:
    """Return what each keyspace of a configuration declares, by name.

    Raises:
        ConfigError: the file cannot be read, is not TOML, or has an unknown key.
    """
    config = parse(read_text(path), name=str(path))
    reasons: dict[str, list[tuple[str, str, str]]] = {}
    for name, refusal in keyspace_problems(config):
        reasons.setdefault(name, []).append((refusal.key, refusal.sentence, refusal.anomaly))
    return [
        Declared(
            name,
            _chosen_by(keyspace),
            _design(keyspace, config),
            keyspace.rule if keyspace.is_leaderless else "none: one log",
            _promises(keyspace),
            reasons.get(name, []),
            keyspace,
        )
        for name, keyspace in sorted(config.keyspaces.items())
    ]


def _chosen_by(keyspace: Keyspace) -> str:
    if not keyspace.is_selectable:
        return "name (Python)"
    prefix = f", keys {keyspace.prefix}…" if keyspace.prefix else ""
    return f"database {keyspace.database or 0}{prefix}"


def _design(keyspace: Keyspace, config: Config) -> str:
    if not keyspace.is_leaderless:
        return f"{keyspace.replication.by} on {len(config.peers)} nodes"
    sites = {NodeId(int(node)): site for node, site in config.nodes.items()}
    counts = replica_counts(keyspace, tuple(NodeId(int(node)) for node in sorted(config.peers)), sites)
    copies = " + ".join(f"{count} in {name}" if name else str(count) for name, count in counts.items())
    levels = f"R={keyspace.replication.read} W={keyspace.replication.write if keyspace.acknowledge else 'NONE'}"
    return f"leaderless N={copies} {levels}" + (" sloppy" if keyspace.replication.sloppy else "")


def _promises(keyspace: Keyspace) -> str:
    if keyspace.is_leaderless:
        return keyspace.consistency or "eventual"
    return f"{keyspace.consistency or 'linearizable'}, {keyspace.isolation or 'serializable'}"
