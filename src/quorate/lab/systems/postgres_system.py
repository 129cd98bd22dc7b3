"""PostgreSQL on trial: a primary with streaming standbys, and a failover that does what a careful operator does.

With synchronous standbys an acknowledged commit is on half of the others too, and survives; with asynchronous ones it
is lost at a promotion, as documented. PostgreSQL brings no failover of its own. Ours, when a majority misses the
primary: fence every standby that answers (it stops listening to the old primary, which can then acknowledge nothing
more), take the one with the most log, promote it, point the others and the clients to it. A node that went its own
way is copied anew.

Source: PostgreSQL 15 documentation, §27.2.5 to 27.2.8 (streaming, synchronous replication), §20.6.
"""

import asyncio
import contextlib
import ctypes
import functools
import os
import pwd
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import msgspec

from quorate.env import Address
from quorate.kernel import NodeId, errors
from quorate.lab.ports import free_address
from quorate.lab.proxy import Links
from quorate.lab.systems.base import SIGNALS, Client, Leadership
from quorate.lab.systems.postgres_client import PostgresClient, PostgresConnection
from quorate.lab.systems.processes import Children
from quorate.lab.systems.programs import program
from quorate.lab.systems.started import StartedSystem

_ASK_TIMEOUT_S = 0.4
_MAKE_TIMEOUT_S = 60.0
# So many askings in a row must agree before a standby is promoted.
_FAILOVER_AFTER_COUNT = 3
# A node that went its own way for so many askings is copied anew; one that follows and hears nothing, after more: the
# server that it follows may have thrown away what it lacks, but more likely a link is cut.
_ASTRAY_AFTER_COUNT = 5
_STUCK_AFTER_COUNT = 30
_IPC_RMID = 0
_FENCE_WAIT_S = 0.05
_FENCE_WAIT_COUNT = 40

_STATE = """SELECT pg_is_in_recovery()::int,
 COALESCE((SELECT status = 'streaming' AND now() - last_msg_receipt_time < interval '2 s'
           FROM pg_stat_wal_receiver), false)::int,
 CASE WHEN pg_is_in_recovery() THEN
  COALESCE(pg_wal_lsn_diff(GREATEST(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()), '0/0'), 0)::bigint ELSE 0 END,
 current_setting('primary_conninfo')
"""

# Silence of two seconds ends a stream on both sides. A start syncs the file system, not a thousand files one by one. No
# socket file, and shared memory as files among the data: what is killed leaves nothing behind then.
_SETTINGS = """
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 100
max_wal_senders = 20
wal_keep_size = 64MB
shared_buffers = 16MB
dynamic_shared_memory_type = mmap
recovery_init_sync_method = syncfs
wal_sender_timeout = 2s
wal_receiver_timeout = 2s
wal_retrieve_retry_interval = 200ms
wal_receiver_status_interval = 1s
autovacuum = off
jit = off
"""


class _State(msgspec.Struct, frozen=True):
    """What a node says of itself."""

    is_standby: bool
    # Hears the server that it follows.
    is_streaming: bool
    # How much log it has, bytes since the cluster was made; 0 on a primary.
    log_bytes: int
    # Whom it is told to follow, as it was told.
    follows: str


class PostgresSystem(StartedSystem):
    """`postgres` 14 or newer, from the PATH or where Debian puts it.

    Args:
        timeout_s: how long a client waits for an answer, seconds.
        is_synchronous: whether a commit waits until half of the standbys have it on disk.
    """

    def __init__(self, *, timeout_s: float = 1.0, is_synchronous: bool = True) -> None:
        super().__init__(timeout_s=timeout_s)
        self.name = "postgres" if is_synchronous else "postgres with asynchronous standbys"
        self._is_synchronous = is_synchronous
        # It refuses to run as root.
        self._user = "postgres" if os.geteuid() == 0 else None
        self._children = Children(with_families=True, user=self._user)
        self._programs: dict[str, str] = {}
        self._routes: dict[tuple[NodeId, NodeId], Address] = {}
        self._askers: dict[NodeId, PostgresConnection] = {}
        self._primary = NodeId(1)
        self._term = 1
        self._missed_count = 0
        self._was_whole = False
        # Where the log of the present primary left that of the last one, and who was not there when it did.
        self._fork_bytes = 0
        self._unsure: set[NodeId] = set()
        self._astray_counts: dict[NodeId, int] = {}

    async def setup(self, directory: Path, nodes: Sequence[NodeId], links: Links) -> None:
        """Make one database and copy it to every node; a route from each standby to each possible primary."""
        for name in ("postgres", "initdb", "pg_basebackup"):
            self._programs[name] = program(name, package="postgresql", more=_debian_places())
        self._let_in(directory)
        self._directory = directory
        self._primary = nodes[0]
        for node in nodes:
            self._doors[node] = free_address()
            self._askers[node] = PostgresConnection(
                functools.partial(self.door, node), timeout_s=_ASK_TIMEOUT_S, connect_timeout_s=_ASK_TIMEOUT_S
            )
        for source in nodes:
            for target in nodes:
                if source != target:
                    self._routes[source, target] = await links.route(source, target, self._doors[target])
        first = self._home(nodes[0])
        await self._make(first)
        for node in nodes[1:]:
            await asyncio.to_thread(shutil.copytree, first, self._home(node))
        for node in nodes:
            self._configure(node)
        if self._user is not None:
            await self._run("chown", "-R", self._user, *(str(self._home(node)) for node in nodes), as_root=True)

    async def start(self, node: NodeId) -> None:
        """Start or resume a node; a former primary comes back as a copy of the present one."""
        home = self._home(node)
        if self._children.is_running(node):
            self._children.start(node, [], log=self._log(node))
        elif node != self._primary and not (home / "standby.signal").exists():
            self._start_as_copy(node)
        else:
            if node != self._primary:
                self._follow(node)
            self._children.start(node, [self._programs["postgres"], "-D", str(home)], log=self._log(node))

    async def leader(self) -> Leadership:
        """Ask every node; promote a standby when a majority misses the primary; bring back who went astray."""
        states = await self._states()
        missing = [node for node, state in states.items() if not self._is_in_order(node, state)]
        self._was_whole = self._was_whole or not missing
        is_missed = self._was_whole and 2 * len(missing) > len(states) > 1
        self._missed_count = self._missed_count + 1 if is_missed else 0
        if self._missed_count >= _FAILOVER_AFTER_COUNT:
            self._missed_count = 0
            await self._fail_over(states)
        await self._bring_back(states)
        leads = (state := states[self._primary]) is not None and not state.is_standby
        answered = tuple(node for node in states if node not in missing)
        return Leadership(node=self._primary if leads else None, term=self._term, answered=answered)

    def client(self, process: int) -> Client:
        """Return a client that follows the primary, as one behind a proxy with health checks does."""
        del process  # all write to the same node
        return PostgresClient(PostgresConnection(lambda: self._doors[self._primary], timeout_s=self._timeout_s))

    async def close(self) -> None:
        """Kill all nodes and their processes."""
        await super().close()
        for node in self._doors:
            _forget_memory(self._home(node))
        for asker in self._askers.values():
            await asker.close()

    # --- failover

    async def _fail_over(self, states: dict[NodeId, _State | None]) -> None:
        """Fence, count, choose, promote. Does nothing when too few standbys answer to know what was acknowledged."""
        heard = [n for n, state in states.items() if state is not None and state.is_standby and n != self._primary]
        needed = len(self._doors) - self._sync_count
        if len(heard) < needed:
            return
        fenced = {node: state for node in heard if (state := await self._fence(node)) is not None}
        if len(fenced) < needed:
            await asyncio.gather(*(self._point(node, self._primary) for node in fenced))
            return
        chosen = max(fenced, key=lambda node: (fenced[node].log_bytes, -node))
        promoter = PostgresConnection(lambda: self._doors[chosen], timeout_s=5.0)
        try:
            await promoter.query("SELECT pg_promote(true, 4)")
        except errors.OperationError:
            return  # nobody answers for it now; the next asking sees what came of it
        finally:
            await promoter.close()
        self._primary, self._term, self._fork_bytes = chosen, self._term + 1, fenced[chosen].log_bytes
        self._unsure = {node for node in self._doors if node not in fenced}
        await asyncio.gather(*(self._point(node, chosen) for node in fenced if node != chosen))

    async def _fence(self, node: NodeId) -> _State | None:
        """Let a standby listen to nobody; return how far it came then."""
        if not await self._point(node, None):
            return None
        for _ in range(_FENCE_WAIT_COUNT):
            with contextlib.suppress(errors.OperationError):
                if (await self._askers[node].query("SELECT count(*) FROM pg_stat_wal_receiver"))[0][0] == "0":
                    return await self._state(node)
            await asyncio.sleep(_FENCE_WAIT_S)
        return None

    async def _point(self, node: NodeId, target: NodeId | None) -> bool:
        """Let a standby follow another node, or nobody; return whether it was told."""
        words = "" if target is None else self._conninfo(node, target)
        with contextlib.suppress(errors.OperationError):
            quoted = words.replace("'", "''")
            await self._askers[node].query(f"ALTER SYSTEM SET primary_conninfo = '{quoted}'")
            await self._askers[node].query("SELECT pg_reload_conf()")
            return True
        return False

    async def _bring_back(self, states: dict[NodeId, _State | None]) -> None:
        """Point to the primary who was not there when it changed; copy anew who cannot follow it.

        A copy takes nothing away that was acknowledged: its source, the primary, has all of it, and until the copy is
        complete the node does not answer, so no failover counts it.
        """
        for node, state in states.items():
            if node == self._primary or state is None or self._is_in_order(node, state):
                self._astray_counts[node] = 0
                continue
            if state.is_standby and state.follows != self._conninfo(node, self._primary):
                await self._point(node, self._primary)
            self._astray_counts[node] = self._astray_counts.get(node, 0) + 1
            if self._astray_counts[node] >= self._patience(node, state):
                self._start_as_copy(node)

    def _patience(self, node: NodeId, state: _State) -> int:
        """Return how many askings a node may be out of order until it is copied anew."""
        has_own_log = not state.is_standby or (node in self._unsure and state.log_bytes > self._fork_bytes)
        return _ASTRAY_AFTER_COUNT if has_own_log else _STUCK_AFTER_COUNT

    def _start_as_copy(self, node: NodeId) -> None:
        """Throw a node's data away and start it as a standby, once the primary can be reached for a copy."""
        self._children.send(node, SIGNALS["crash"])
        _forget_memory(self._home(node))
        self._unsure.discard(node)
        self._astray_counts[node] = 0
        home, route = self._home(node), self._routes[node, self._primary]
        source = f"host={route.host} port={route.port} user=postgres dbname=postgres connect_timeout=2"
        copy = [
            self._programs["pg_basebackup"],
            "-D",
            str(home),
            "-d",
            source,
            "-X",
            "stream",
            "-c",
            "fast",
            "--no-sync",
        ]
        settings = self._node_settings(node)
        script = (
            f"until rm -rf {shlex.quote(str(home))}; {shlex.join(copy)}; do sleep 0.2; done; "
            f"touch {shlex.quote(str(home / 'standby.signal'))}; "
            f"printf %s {shlex.quote(settings)} >> {shlex.quote(str(home / 'postgresql.auto.conf'))}; "
            f"exec {shlex.join([self._programs['postgres'], '-D', str(home)])}"
        )
        self._children.start(node, ["sh", "-c", script], log=self._log(node))

    # --- asking

    async def _states(self) -> dict[NodeId, _State | None]:
        return dict(zip(self._doors, await asyncio.gather(*map(self._state, self._doors)), strict=True))

    async def _state(self, node: NodeId) -> _State | None:
        if self._answers(node):
            with contextlib.suppress(errors.OperationError):
                row = (await self._askers[node].query(_STATE))[0]
                return _State(
                    is_standby=row[0] == "1",
                    is_streaming=row[1] == "1",
                    log_bytes=int(row[2] or 0),
                    follows=row[3] or "",
                )
        return None

    def _is_in_order(self, node: NodeId, state: _State | None) -> bool:
        if state is None:
            return False
        if node == self._primary:
            return not state.is_standby
        return state.is_standby and state.is_streaming and state.follows == self._conninfo(node, self._primary)

    # --- files

    @property
    def _sync_count(self) -> int:
        """How many standbys must have a commit: with the primary a majority, so any majority knows of it."""
        return len(self._doors) // 2

    def _home(self, node: NodeId) -> Path:
        return self._directory / f"node-{node}"

    def _let_in(self, directory: Path) -> None:
        if self._user is None:
            return
        try:
            uid = pwd.getpwnam(self._user).pw_uid
        except KeyError as cause:
            raise errors.UsageError("PostgreSQL refuses to run as root, and there is no user postgres") from cause
        os.chown(directory, uid, -1)  # it makes its data directories itself when it is copied anew

    async def _make(self, home: Path) -> None:
        """Make the first database, with its table."""
        await self._run(self._programs["initdb"], "-D", str(home), "-A", "trust", "-U", "postgres", "-E", "UTF8",
                        "--locale=C", "--no-sync", "--no-instructions")  # fmt: skip
        with (home / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.write(_SETTINGS)
        table = b"CREATE TABLE kv (k text PRIMARY KEY, v bigint NOT NULL);\n"
        await self._run(self._programs["postgres"], "--single", "-D", str(home), "postgres", given=table)

    def _configure(self, node: NodeId) -> None:
        home = self._home(node)
        with (home / "postgresql.auto.conf").open("a", encoding="utf-8") as file:
            file.write(self._node_settings(node))
        if node != self._primary:
            (home / "standby.signal").touch()

    def _follow(self, node: NodeId) -> None:
        """Write down whom a node follows when it starts; the last line of the file holds."""
        with (self._home(node) / "postgresql.auto.conf").open("a", encoding="utf-8") as file:
            file.write(f"primary_conninfo = '{self._conninfo(node, self._primary)}'\n")

    def _node_settings(self, node: NodeId) -> str:
        others = ", ".join(f"node_{other}" for other in self._doors if other != node)
        names = f"ANY {self._sync_count} ({others})" if self._is_synchronous and others else ""
        lines = [f"port = {self._doors[node].port}", f"synchronous_standby_names = '{names}'"]
        if node != self._primary:
            lines.append(f"primary_conninfo = '{self._conninfo(node, self._primary)}'")
        return "\n".join(lines) + "\n"

    def _conninfo(self, node: NodeId, target: NodeId) -> str:
        route = self._routes[node, target]
        return (
            f"host={route.host} port={route.port} user=postgres application_name=node_{node} "
            "connect_timeout=2 sslmode=disable gssencmode=disable"
        )

    async def _run(self, *command: str, given: bytes = b"", as_root: bool = False) -> None:
        def run() -> subprocess.CompletedProcess[bytes]:
            return subprocess.run(
                command,
                input=given,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=self._directory,
                user=None if as_root else self._user,
                timeout=_MAKE_TIMEOUT_S,
                check=False,
            )

        try:
            done = await asyncio.to_thread(run)
        except subprocess.TimeoutExpired as cause:
            raise errors.UsageError(f"{command[0]} took more than {_MAKE_TIMEOUT_S:.0f} s") from cause
        if done.returncode:
            last = done.stdout.decode("utf-8", "replace").strip().splitlines()[-1:]
            raise errors.UsageError(f"{Path(command[0]).name} failed: {''.join(last)}")


def _forget_memory(home: Path) -> None:
    """Give back the one segment of System V memory that every server holds, against two on the same data.

    A server that is killed leaves it, and finds and removes it when it starts again on the same directory.
    Source: postmaster.pid, whose seventh line is the segment's key and number.
    """
    try:
        number = int((home / "postmaster.pid").read_text(encoding="utf-8").splitlines()[6].split()[1])
    except (OSError, IndexError, ValueError):
        return  # it ended in order, or never ran
    ctypes.CDLL(None).shmctl(number, _IPC_RMID, None)


def _debian_places() -> list[Path]:
    """Return where Debian puts the programs of each version, the newest first."""
    return sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
