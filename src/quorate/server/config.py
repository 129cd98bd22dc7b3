"""The configuration of one node: a TOML file; unknown keys are refused with the nearest known name."""

import difflib
import re
import tomllib
from collections.abc import Mapping
from typing import Any, get_args, get_type_hints

import msgspec

from quorate.env import Address
from quorate.kernel import Duration, NodeId, milliseconds
from quorate.kernel.errors import ConfigError
from quorate.server.declared import Refusal, problems
from quorate.server.keyspaces import Keyspace, Site

CLUSTER_BYTES_MAX = 200
_MAY_BE_ZERO = ("trailing_entry_count", "free_bytes_min", "reserve_bytes")


class Listen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[listen]: where this node listens, as host:port; port 0 takes any free port."""

    # Other nodes of the cluster.
    peer: str = "127.0.0.1:7100"
    # Redis clients; "" for none.
    redis: str = "127.0.0.1:6380"
    # Health, status and metrics; "" for none.
    http: str = "127.0.0.1:7180"


class TLS(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[tls]: PEM files; with them nodes and clients authenticate each other (mutual TLS)."""

    # This node's certificate, good for the host names and addresses that others dial.
    certificate: str = ""
    # Its private key.
    key: str = ""
    # The authority whose certificates are accepted.
    authority: str = ""
    # Also on the Redis port, where clients then need a certificate of the same authority.
    redis: bool = False


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[limits]: every limit has a behaviour, named behind it."""

    # Longest value, key and argument; longer: refused with TOOLARGE or a protocol error.
    value_bytes_max: int = 1_572_864
    # Client connections; more: refused with Redis' "max number of clients reached".
    client_count_max: int = 10_000
    # Requests accepted and unanswered; more: OVERLOADED, not done.
    pending_count_max: int = 200_000
    # Batches proposed and not applied; while so many are out, requests gather into a larger next one. Greater: shorter
    # waits on a slow network, smaller batches and so more work per request.
    inflight_batch_max: int = 2
    # Turns of the loop that a batch may wait while each brings more requests; greater: larger batches under load. A
    # turn takes some 20 µs; a lone request never waits.
    gather_turn_max: int = 32
    # Unsent replies of one client; more: it is disconnected (it does not read).
    client_output_bytes_max: int = 256 << 20
    # Memory for values that are also on disk; more: the oldest are read from disk again when needed.
    cache_bytes_max: int = 256 << 20


class Timing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[timing]: milliseconds."""

    # A leader is missed after this (drawn in [T, 2T)); greater: fewer false elections, longer without service.
    election_timeout_ms: int = 400
    # Must be at most a third of the election timeout; greater: less idle traffic.
    heartbeat_interval_ms: int = 80
    # A request without an answer ends after this.
    request_timeout_ms: int = 5_000


class Storage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[storage]: the log and its checkpoints."""

    # A checkpoint is taken when the log has grown by this; greater: longer restart, fewer checkpoints.
    checkpoint_log_bytes: int = 128 << 20
    # … or by so many entries.
    checkpoint_entry_count: int = 200_000
    # Entries kept behind a checkpoint, so that a peer that is a little behind needs no snapshot.
    trailing_entry_count: int = 5_000
    # One file of the log.
    segment_bytes_max: int = 64 << 20
    # Zeros written ahead of the log, so that most syncs change no file length. Greater: rarer, longer pauses for it.
    reserve_bytes: int = 2 << 20
    # A larger block of the log is synced in the background. Greater: fewer hops between threads, longer stops.
    inline_sync_bytes_max: int = 256 << 10
    # Writes are refused with DISKFULL when less than this is free; reads go on.
    free_bytes_min: int = 64 << 20


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One node. `node`, `data` and `peers` have no default."""

    # This node's number in the cluster, 1 or more, never given to another.
    node: int
    # Its directory; nobody else writes there.
    data: str
    # Where each node of the cluster is reached by this one, itself included: id → host:port.
    peers: dict[int, str]
    # The cluster's name; nodes of different clusters refuse each other.
    cluster: str = "quorate"
    # True for a node that is added to a running cluster: it waits to be let in instead of founding one.
    join: bool = False
    # How many replicated logs the keys are spread over (by hash slot); fixed when the cluster is founded.
    group_count: int = 1
    # Clients must send AUTH with it; "" for none.
    password: str = ""
    # Answer reads under the leader's lease, without a round; safe only while clocks drift less than the stated bound.
    lease_reads: bool = False
    listen: Listen = Listen()
    # Redis addresses of all nodes, told to clients that ask: id → host:port.
    redis: dict[int, str] = {}
    tls: TLS = TLS()
    limits: Limits = Limits()
    timing: Timing = Timing()
    storage: Storage = Storage()
    # Parts of the data that are kept in another way than the rest: name → table, alike on all nodes.
    keyspaces: dict[str, Keyspace] = {}
    # Where nodes stand: id → table, alike on all nodes.
    nodes: dict[int, Site] = {}
    # Functions that merge concurrent values (conflicts = "merge:NAME"): name → module:function, alike on all nodes.
    merges: dict[str, str] = {}

    @property
    def node_id(self) -> NodeId:
        """This node's id."""
        return NodeId(self.node)

    @property
    def peer_addresses(self) -> dict[NodeId, Address]:
        """Where each node is reached."""
        return {NodeId(node): parse_address(text, f"peers.{node}") for node, text in sorted(self.peers.items())}

    @property
    def request_timeout(self) -> Duration:
        """The time-out of a request."""
        return milliseconds(self.timing.request_timeout_ms)


def parse_address(text: str, key: str) -> Address:
    """Return host and port; raise ConfigError that names the key."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdigit() or int(port) > 65_535:
        raise ConfigError(f"{key}: {text!r} is not host:port")
    return Address(host.strip("[]"), int(port))


def load(text: str, *, name: str = "configuration") -> Config:
    """Return the configuration in a TOML text.

    Raises:
        ConfigError: with the file's name and the key; for an unknown key also the nearest known one.
    """
    config = parse(text, name=name)
    check(config, name=name)
    return config


def parse(text: str, *, name: str = "configuration") -> Config:
    """Return the configuration in a TOML text, of which the values may contradict each other.

    Raises:
        ConfigError: as for `load`.
    """
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as cause:
        raise ConfigError(f"{name}: not TOML: {cause}") from cause
    _refuse_unknown(tree, Config, name, "")
    for table in ("peers", "redis", "nodes"):
        keys = tree.get(table, {})
        if isinstance(keys, dict):
            for key in keys:
                if not str(key).isdigit() or int(key) < 1:
                    raise ConfigError(f"{name}: {table}.{key}: a node id is a whole number from 1")
    try:
        config = msgspec.convert(tree, Config, strict=False)
    except msgspec.ValidationError as cause:
        raise ConfigError(f"{name}: {cause}") from cause
    return config


def to_keyspaces(tables: Mapping[str, Any], *, name: str = "keyspaces") -> dict[str, Keyspace]:
    """Return declarations as a program gives them, with the words of [keyspaces.NAME]; not checked any further.

    Raises:
        ConfigError: an unknown key, with the nearest known one, or a value of the wrong type.
    """
    tree = {"keyspaces": dict(tables)}
    _refuse_unknown(tree, Config, name, "")
    try:
        return msgspec.convert(tree["keyspaces"], dict[str, Keyspace], strict=False)
    except msgspec.ValidationError as cause:
        raise ConfigError(f"{name}: {cause}") from cause


def check(config: Config, *, name: str = "configuration") -> None:
    """Raise ConfigError when values contradict each other."""
    if config.node < 1:
        raise ConfigError(f"{name}: node: ids are whole numbers from 1")
    if config.node not in config.peers:
        raise ConfigError(f"{name}: peers: node {config.node} itself must be listed")
    addresses = config.peer_addresses
    doubled = [node for node, address in addresses.items() if list(addresses.values()).count(address) > 1]
    if doubled:
        raise ConfigError(f"{name}: peers: nodes {doubled} have the same address")
    for key in ("peer", "redis", "http"):
        text = getattr(config.listen, key)
        if text or (key == "peer" and len(addresses) > 1):
            parse_address(text, f"{name}: listen.{key}")
    for node, text in sorted(config.redis.items()):
        parse_address(text, f"{name}: redis.{node}")
    if not config.data:
        raise ConfigError(f"{name}: data: a directory is needed")
    if not 1 <= len(config.cluster.encode()) <= CLUSTER_BYTES_MAX:
        raise ConfigError(f"{name}: cluster: a name has 1 to {CLUSTER_BYTES_MAX} bytes")
    if config.timing.heartbeat_interval_ms * 3 > config.timing.election_timeout_ms:
        raise ConfigError(f"{name}: timing: heartbeat_interval_ms must be at most a third of election_timeout_ms")
    if not 1 <= config.group_count <= 1024:
        raise ConfigError(f"{name}: group_count: must be from 1 to 1024")
    check_keyspaces(config, name=name)
    files = (config.tls.certificate, config.tls.key, config.tls.authority)
    if any(files) and not all(files):
        raise ConfigError(f"{name}: tls: certificate, key and authority are needed together")
    for table in (config.limits, config.timing, config.storage):
        for key, value in msgspec.structs.asdict(table).items():
            least = 0 if key in _MAY_BE_ZERO else 1
            if value < least:
                raise ConfigError(f"{name}: {key}: must be {least} or more")
    if config.tls.redis and not config.tls.certificate:
        raise ConfigError(f"{name}: tls.redis: certificate, key and authority are needed")


def keyspace_problems(config: Config) -> list[tuple[str, Refusal]]:
    """Return (keyspace, why) for every declaration that cannot be kept."""
    nodes = tuple(NodeId(int(node)) for node in sorted(config.peers))
    sites = {NodeId(int(node)): site for node, site in config.nodes.items()}
    return list(
        problems(config.keyspaces, nodes=nodes, sites=sites, group_count=config.group_count, merges=config.merges)
    )


def check_keyspaces(config: Config, *, name: str = "configuration") -> None:
    """Raise ConfigError for a keyspace that cannot be kept as declared, with the reason."""
    for title, refusal in keyspace_problems(config):
        raise ConfigError(f"{name}: keyspaces.{title}{'.' if refusal.key else ''}{refusal.key}: {refusal.sentence}")
    for node, site in sorted(config.nodes.items()):
        if not 0 < site.weight <= 1_000:
            raise ConfigError(f"{name}: nodes.{node}.weight: must be above 0 and at most 1000")
    for title, text in sorted(config.merges.items()):
        if not re.fullmatch(r"[\w.]+:\w+", text):
            raise ConfigError(f"{name}: merges.{title}: {text!r} is not module:function")


def _refuse_unknown(tree: dict[str, Any], kind: type, name: str, prefix: str) -> None:
    hints = get_type_hints(kind)
    for key, value in tree.items():
        if key not in hints:
            near = difflib.get_close_matches(key, list(hints), n=1, cutoff=0.5)
            hint = f"; did you mean {prefix}{near[0]}?" if near else f"; known are {', '.join(sorted(hints))}"
            raise ConfigError(f"{name}: unknown key {prefix}{key}{hint}")
        inner = hints[key]
        if isinstance(value, dict) and isinstance(inner, type) and issubclass(inner, msgspec.Struct):
            _refuse_unknown(value, inner, name, f"{prefix}{key}.")
        elif isinstance(value, dict) and _values_of(inner) is not None:
            for title, table in value.items():
                if isinstance(table, dict):
                    _refuse_unknown(table, _values_of(inner) or inner, name, f"{prefix}{key}.{title}.")
        elif isinstance(value, dict) and not get_args(inner):
            raise ConfigError(f"{name}: {prefix}{key} is not a table")


def _values_of(hint: Any) -> type[msgspec.Struct] | None:
    """Return the table that the values of a table of tables are; None for any other kind of value."""
    args = get_args(hint)
    inner = args[1] if len(args) == 2 else None
    return inner if isinstance(inner, type) and issubclass(inner, msgspec.Struct) else None
