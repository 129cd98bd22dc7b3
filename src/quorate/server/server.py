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
        """Recover, join, open the doors; an empty address opens none. Raise StorageError or OSError."""
        await self.node.start()
        listen, limits = self.config.listen, self.config.limits
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
            self._http = HttpServer(self.env, self.node)
            self.http_address = await self._http.start(parse_address(listen.http, "listen.http"))

    async def stop(self) -> None:
        """Close the doors, answer what waits, close the node."""
        if self._http is not None:
            await self._http.stop()
        if self._resp is not None:
            await self._resp.stop()
        await self.node.stop()
        self.on_stopped()
