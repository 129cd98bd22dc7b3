"""Server: a node and its doors."""

import logging
import ssl
from collections.abc import Callable

from quorate.doors.http import HttpServer
from quorate.doors.resp import RespConfig, RespServer
from quorate.env import Address, Env
from quorate.kernel import GroupId
from quorate.server.config import Config, parse_address
from quorate.server.node import Node
from quorate.server.replica import Replica
from quorate.storage import Base

log = logging.getLogger("quorate.server")


class Server:
    """One process' worth: the node, its Redis door, its HTTP door. The same in every world."""

    def __init__(
        self,
        env: Env,
        config: Config,
        *,
        make_base: Callable[[GroupId], Base],
        server_tls: ssl.SSLContext | None = None,
        client_tls: ssl.SSLContext | None = None,
        replica_class: type[Replica] = Replica,
    ) -> None:
        self.env = env
        self.config = config
        self.node = Node(
            env,
            config,
            make_base=make_base,
            server_tls=server_tls,
            client_tls=client_tls,
            replica_class=replica_class,
        )
        self.redis_address: Address | None = None
        self.http_address: Address | None = None
        # Called when everything is closed: gives the directory back.
        self.on_stopped: Callable[[], None] = lambda: None
        self._door_tls = server_tls if config.tls.redis else None
        self._resp: RespServer | None = None
        self._http: HttpServer | None = None

    async def start(self) -> None:
        """Recover, join, open the doors; an empty address opens none.

        Raises:
            StorageError, OSError: everything that was opened is closed again.
        """
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def _start(self) -> None:
        await self.node.start()
        listen, limits = self.config.listen, self.config.limits
        self.node.on_missed[self._break_watches] = None
        if listen.redis:
            self._resp = RespServer(
                self.env,
                self.node,
                RespConfig(
                    password=self.config.password or None,
                    connection_count_max=limits.client_count_max,
                    output_bytes_max=limits.client_output_bytes_max,
                ),
            )
            self.redis_address = await self._resp.start(parse_address(listen.redis, "listen.redis"), self._door_tls)
        if listen.http:
            self._http = HttpServer(self.env, self.node.info, numbers=self._numbers)
            self.http_address = await self._http.start(parse_address(listen.http, "listen.http"))

    def _break_watches(self) -> None:
        """End the connections of watchers, who would otherwise believe that they were told everything."""
        if self._resp is not None:
            for connection in list(self._resp.connections.values()):
                if connection.session is not None and connection.session.prefixes:
                    connection.abort()

    def _numbers(self) -> dict[str, int | float]:
        node, resp = self.node, self._resp
        found: dict[str, int | float] = {
            "link_sent_bytes": node.links.sent_bytes,
            "link_received_bytes": node.links.received_bytes,
            "log_blocks": node.wal.block_count,
            "log_bytes": node.wal.log_bytes,
        }
        if resp is not None:
            found |= {
                "clients": len(resp.connections),
                "commands": resp.command_count,
                "command_errors": resp.error_count,
                "client_received_bytes": resp.received_bytes,
                "client_sent_bytes": resp.sent_bytes,
            }
        return found

    async def stop(self) -> None:
        """Close the doors, answer what waits, close the node."""
        if self._http is not None:
            await self._http.stop()
        if self._resp is not None:
            await self._resp.stop()
        try:
            await self.node.checkpoint_quietly()
            await self.node.stop()
        finally:
            self.on_stopped()
