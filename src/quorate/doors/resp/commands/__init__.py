"""Commands that the door answers itself. Importing this package enters them into `DOOR_COMMANDS`."""

from quorate.doors.resp.commands import (  # noqa: F401  (entering the commands is what importing does)
    blocking,
    client,
    cluster,
    configuration,
    connecting,
    extensions,
    information,
    introspection,
    keyspaces,
    operations,
    subscriptions,
    transactions,
)

__all__: list[str] = []
