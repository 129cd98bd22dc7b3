"""ZooKeeper on trial: an ensemble of `QuorumPeerMain` processes from the distribution's package.

Writes are linearizable. Reads are served from whatever the server holds, "sequentially consistent" by its own
documents; a client that wants more says `sync` before it reads, and so does the adapter unless told otherwise.

Servers pass addresses on to each other, as names. Each process gets a file of hosts of its own, in which the name of
another server is the address of the proxy between those two; so every ordered pair has one, on one and the same port.

Source: ZooKeeper Programmer's Guide, "Consistency Guarantees"; Administrator's Guide for the settings.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from quorate.env import Address
from quorate.kernel import NodeId, errors
from quorate.lab.ports import free_address
from quorate.lab.proxy import Links
from quorate.lab.systems.base import Client, Leadership
from quorate.lab.systems.programs import program
from quorate.lab.systems.started import StartedSystem
from quorate.lab.systems.zookeeper_client import ZooKeeperClient, ask_four_letters

_ASK_TIMEOUT_S = 0.4
_JAR = Path("/usr/share/java/zookeeper.jar")
_LOGGER = Path("/usr/share/java/slf4j-simple.jar")
# The beat of an ensemble, ms: a server that is silent for five beats is given up. The usual 2000 is for other networks.
_TICK_MS = 200
# A small heap and the quick compiler: three of these start on one small machine.
_JAVA = ("-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-Djava.awt.headless=true")
_PROPERTIES = (
    "-Dzookeeper.preAllocSize=1024",  # KiB of log; 64 MiB per node would be most of a trial's disk
    "-Dzookeeper.fastleader.minNotificationInterval=200",
    "-Dzookeeper.fastleader.maxNotificationInterval=1000",  # else up to a minute passes after a partition heals
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
)


class ZooKeeperSystem(StartedSystem):
    """ZooKeeper 3.5 or newer, as Debian packages it.

    Args:
        timeout_s: how long a client waits for an answer, seconds.
        syncs: whether clients say `sync` before they read.
        jar: the archive whose manifest names all others.
    """

    def __init__(self, *, timeout_s: float = 1.0, syncs: bool = True, jar: Path = _JAR) -> None:
        super().__init__(timeout_s=timeout_s)
        self.name = "zookeeper" if syncs else "zookeeper without sync"
        self._syncs = syncs
        self._jar = jar
        self._java = ""

    async def setup(self, directory: Path, nodes: Sequence[NodeId], links: Links) -> None:
        """Write a configuration and a file of hosts per node; open a proxy per pair for data and for elections."""
        if not self._jar.exists():
            raise errors.UsageError(f"there is no {self._jar}: install the zookeeper package")
        self._java = program("java", package="default-jre-headless")
        self._directory = directory
        data_ports = {node: free_address().port for node in nodes}
        vote_ports = {node: free_address().port for node in nodes}
        self._doors = {node: free_address() for node in nodes}
        servers = [f"server.{node}=node-{node}:{data_ports[node]}:{vote_ports[node]}" for node in nodes]
        for node in nodes:
            home = directory / f"node-{node}"
            home.mkdir(parents=True, exist_ok=True)
            hosts = [f"127.0.0.1 node-{node}"]
            for peer in nodes:
                if peer != node:
                    host = f"127.0.{node}.{peer}"
                    for port in (data_ports[peer], vote_ports[peer]):
                        real, wanted = Address("127.0.0.1", port), Address(host, port)
                        route = await links.route(node, peer, real, listen=wanted)
                    hosts.append(f"{route.host} node-{peer}")
            (home / "hosts").write_text("\n".join(hosts) + "\n", encoding="utf-8")
            (home / "myid").write_text(f"{node}\n", encoding="utf-8")
            text = _configuration(home, self._doors[node], servers if len(nodes) > 1 else [])
            (home / "zoo.cfg").write_text(text, encoding="utf-8")

    async def start(self, node: NodeId) -> None:
        """Start or resume a server."""
        home = self._directory / f"node-{node}"
        command = [
            *(self._java, *_JAVA, *_PROPERTIES, f"-Djdk.net.hosts.file={home / 'hosts'}"),
            *("-cp", f"{self._jar}:{_LOGGER}"),
            *("org.apache.zookeeper.server.quorum.QuorumPeerMain", str(home / "zoo.cfg")),
        ]
        self._children.start(node, command, log=self._log(node), directory=home)

    async def leader(self) -> Leadership:
        """Ask every server for its mode; a transaction's upper half is the epoch of the leader that made it."""
        states = dict(zip(self._doors, await asyncio.gather(*map(self._state, self._doors)), strict=True))
        answered = tuple(node for node, (mode, _) in states.items() if mode)
        leaders = [(epoch, node) for node, (mode, epoch) in states.items() if mode in {"leader", "standalone"}]
        if not leaders:
            return Leadership(term=max((epoch for _, epoch in states.values()), default=0), answered=answered)
        epoch, node = max(leaders)
        return Leadership(node=node, term=epoch, answered=answered)

    def client(self, process: int) -> Client:
        """Return a client of one server."""
        node = self._spread(process)
        return ZooKeeperClient(
            self._doors[node], timeout_s=self._timeout_s, syncs=self._syncs, where=f"node {node}"
        )  # fmt: skip

    async def _state(self, node: NodeId) -> tuple[str, int]:
        """Return mode and epoch; no mode while the server does not serve."""
        if not self._answers(node):
            return "", 0
        answer = await ask_four_letters(self._doors[node], "srvr", timeout_s=_ASK_TIMEOUT_S)
        found = dict(line.split(": ", 1) for line in answer.splitlines() if ": " in line)
        try:
            return found.get("Mode", ""), int(found.get("Zxid", "0"), 16) >> 32
        except ValueError:
            return "", 0


def _configuration(home: Path, door: Address, servers: Sequence[str]) -> str:
    lines = [
        f"tickTime={_TICK_MS}",
        "initLimit=10",
        "syncLimit=5",
        f"dataDir={home}",
        f"clientPort={door.port}",
        f"clientPortAddress={door.host}",
        "maxSessionTimeout=60000",
        "maxClientCnxns=0",
        "4lw.commands.whitelist=srvr",
        "admin.enableServer=false",
        *servers,
    ]
    return "\n".join(lines) + "\n"
