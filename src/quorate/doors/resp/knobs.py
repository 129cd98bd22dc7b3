"""What CONFIG GET and CONFIG SET know: few knobs do something, many are accepted because clients set them."""

from typing import Final

from quorate.doors.resp.config import RespConfig
from quorate.kernel import SECOND, Duration
from quorate.store import Limits, ReplyError

# Accepted and kept, without any effect: they choose encodings and habits that this store does not have.
_WITHOUT_EFFECT: Final = {
    "activedefrag": "no",
    "activerehashing": "yes",
    "active-expire-effort": "1",
    "client-query-buffer-limit": "1073741824",
    "close-on-replica-write": "yes",
    "dynamic-hz": "yes",
    "hash-max-listpack-entries": "128",
    "hash-max-listpack-value": "64",
    "hash-max-ziplist-entries": "128",
    "hash-max-ziplist-value": "64",
    "hll-sparse-max-bytes": "3000",
    "hz": "10",
    "latency-tracking": "no",
    "lazyfree-lazy-eviction": "no",
    "lazyfree-lazy-expire": "no",
    "lazyfree-lazy-server-del": "no",
    "lazyfree-lazy-user-del": "no",
    "lazyfree-lazy-user-flush": "no",
    "lfu-decay-time": "1",
    "lfu-log-factor": "10",
    "list-compress-depth": "0",
    "list-max-listpack-size": "-2",
    "list-max-ziplist-size": "-2",
    "lua-time-limit": "5000",
    "maxmemory-samples": "5",
    "proto-max-bulk-len": "",
    "sanitize-dump-payload": "no",
    "set-max-intset-entries": "512",
    "set-max-listpack-entries": "128",
    "set-max-listpack-value": "64",
    "slowlog-max-len": "128",
    "stream-node-max-bytes": "4096",
    "stream-node-max-entries": "100",
    "tcp-keepalive": "300",
    "zset-max-listpack-entries": "128",
    "zset-max-listpack-value": "64",
    "zset-max-ziplist-entries": "128",
    "zset-max-ziplist-value": "64",
}
# Told truthfully; setting one to what it is already is allowed, anything else is refused.
_FIXED: Final = {
    "appendfsync": "always",
    "appendonly": "yes",
    "cluster-enabled": "no",
    "latency-monitor-threshold": "0",
    "maxmemory": "0",
    "maxmemory-policy": "noeviction",
    "notify-keyspace-events": "",
    "replica-read-only": "yes",
    "save": "",
    "slowlog-log-slower-than": "-1",
}


class Knobs:
    """The parameters of one node; they are not replicated and not kept over a restart."""

    def __init__(self, config: RespConfig) -> None:
        self.database_count = Limits().database_count
        # How long a connection without subscriptions may be silent; 0: for ever. CONFIG SET timeout changes it.
        self.idle_timeout = config.idle_timeout
        self._values = dict(_WITHOUT_EFFECT)
        self._values["proto-max-bulk-len"] = str(config.bulk_bytes_max)
        self._fixed = dict(_FIXED)
        self._fixed["databases"] = str(self.database_count)
        self._fixed["maxclients"] = str(config.connection_count_max)

    def get(self) -> dict[str, str]:
        """Return all parameters with their values, sorted by name."""
        everything = {**self._values, **self._fixed, "timeout": str(self.idle_timeout // SECOND)}
        return dict(sorted(everything.items()))

    def set(self, changes: dict[str, str]) -> ReplyError | None:
        """Change parameters, all or none; return why not."""
        for name, value in changes.items():
            if name == "timeout":
                if not value.isdigit() or len(value) > 9:
                    return _failed(name, "argument couldn't be parsed into an integer")
            elif name in self._fixed:
                if value != self._fixed[name]:
                    return _failed(name, "can't set immutable config")
            elif name not in self._values:
                return ReplyError("ERR", f"Unknown option or number of arguments for CONFIG SET - '{name}'")
        for name, value in changes.items():
            if name == "timeout":
                self.idle_timeout = Duration(int(value) * SECOND)
            elif name in self._values:
                self._values[name] = value
        return None


def _failed(name: str, reason: str) -> ReplyError:
    return ReplyError("ERR", f"CONFIG SET failed (possibly related to argument '{name}') - {reason}")
