"""What an operator may choose of the Redis door."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from quorate.kernel import SECOND, Duration
from quorate.kernel.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class RespConfig:
    """Limits and secrets of one Redis door. Every limit has a behaviour, named beside it."""

    # Connections at once; one more is told "max number of clients reached" and closed.
    # An idle one costs about 2 KiB here, and its socket in the kernel.
    connection_count_max: int = 10_000
    # Longest single argument, in bytes: the longest value (1.5 MiB) and room for what frames it.
    # A longer one is a protocol error and closes the connection.
    bulk_bytes_max: int = 2 * 1024 * 1024
    # Most arguments of one request; more are a protocol error.
    argument_count_max: int = 1024 * 1024
    # All arguments of one request together, in bytes; more are a protocol error.
    request_bytes_max: int = 32 * 1024 * 1024
    # Requests of one connection under way at once; the rest waits, and no more bytes are read until half are answered.
    pipeline_count_max: int = 1024
    # Bytes written and not yet taken by the client above which nothing more is read from it.
    output_pause_bytes: int = 1024 * 1024
    # Bytes not yet taken by the client above which it is disconnected.
    output_bytes_max: int = 256 * 1024 * 1024
    # The same for a connection that subscribes or watches: it cannot be slowed down by not reading from it.
    push_bytes_max: int = 32 * 1024 * 1024
    # How long a client may take nothing of what waits for it before it is disconnected.
    output_timeout: Duration = Duration(60 * SECOND)
    # How long a connection without subscriptions may be silent; 0: for ever.
    idle_timeout: Duration = Duration(0)
    # Password of the user "default"; None: nobody is asked.
    password: str | None = None
    # Further users with their passwords. When there are any, "default" without a password is still let in.
    users: Mapping[str, str] = field(default_factory=dict)
    # How long a stopping door waits for answers under way.
    stop_timeout: Duration = Duration(2 * SECOND)

    def __post_init__(self) -> None:
        checks = {
            "connection_count_max": self.connection_count_max >= 1,
            "bulk_bytes_max": self.bulk_bytes_max >= 4096,
            "argument_count_max": self.argument_count_max >= 1024,
            "request_bytes_max": self.request_bytes_max >= self.bulk_bytes_max,
            "pipeline_count_max": self.pipeline_count_max >= 1,
            "output_pause_bytes": self.output_pause_bytes >= 1,
            "output_bytes_max": self.output_bytes_max >= self.output_pause_bytes,
            "push_bytes_max": self.push_bytes_max >= 1,
        }
        for name, is_fine in checks.items():
            if not is_fine:
                raise ConfigError(f"{name} = {getattr(self, name)} is too small")
