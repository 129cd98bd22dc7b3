"""The URL of a cluster that runs already: scheme, who, where, which database."""

from collections.abc import Mapping
from urllib.parse import unquote

import msgspec

from quorate.env import Address
from quorate.kernel import errors

# Scheme → (family, port when the URL names none).
_SCHEMES: Mapping[str, tuple[str, int]] = {
    "redis": ("redis", 6379),
    "quorate": ("quorate", 6379),
    "http": ("etcd", 2379),
    "etcd": ("etcd", 2379),
    "postgres": ("postgres", 5432),
    "postgresql": ("postgres", 5432),
    "zookeeper": ("zookeeper", 2181),
    "nats": ("nats", 4222),
}
_ADDRESS_COUNT_MAX = 9


class ClusterURL(msgspec.Struct, frozen=True, kw_only=True):
    """A URL, taken apart; its words for a report hold no password."""

    family: str
    addresses: tuple[Address, ...]
    user: str = ""
    password: str = ""
    # What stands after the first slash: a database, or the node above all others.
    path: str = ""

    def __str__(self) -> str:
        return f"{self.family} at {', '.join(map(str, self.addresses))}"


def is_url(name: str) -> bool:
    """Whether a system's name is the URL of a running cluster."""
    return "://" in name


def parse_cluster_url(url: str) -> ClusterURL:
    """Take `scheme://[user[:password]@]host[:port][,host[:port]…][/path]` apart.

    Raises:
        UsageError: it is none of ours; the sentence shows no password.
    """
    scheme, _, rest = url.partition("://")
    if scheme not in _SCHEMES:
        hint = "; TLS is not spoken here" if scheme in {"https", "rediss", "tls"} else ""
        known = ", ".join(f"{name}://" for name in _SCHEMES)
        raise errors.UsageError(f"no cluster can be reached by {scheme}:// (known: {known}){hint}")
    family, port = _SCHEMES[scheme]
    location, _, path = rest.partition("/")
    who, _, hosts = location.rpartition("@")
    user, _, password = who.partition(":")
    if any(sign in hosts + path for sign in "?#"):
        raise errors.UsageError(f"{scheme}://{hosts}: options after ? or # are not understood")
    addresses = tuple(_address(text, port) for text in hosts.split(",") if text)
    if not addresses:
        raise errors.UsageError(f"{scheme}://: no host in it")
    if len(addresses) > _ADDRESS_COUNT_MAX:
        raise errors.UsageError(f"{scheme}://: {len(addresses)} addresses; at most {_ADDRESS_COUNT_MAX} are used")
    return ClusterURL(
        family=family,
        addresses=addresses,
        user=unquote(user),
        password=unquote(password),
        path=unquote(path.strip("/")),
    )


def _address(text: str, default_port: int) -> Address:
    host, separator, port = text.rpartition(":")
    if not separator or text.endswith("]"):  # no port; a bracket ends an address of version 6
        host, port = text, str(default_port)
    if not port.isascii() or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise errors.UsageError(f"{text!r} is no host:port")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise errors.UsageError(f"{text!r}: an address of version 6 stands in brackets")
    if not host:
        raise errors.UsageError(f"{text!r} is no host:port")
    return Address(host, int(port))
