"""Who dialled a proxy: the kernel's answer, and the table that is read where the kernel is not asked."""

import os
import socket
from collections.abc import Iterator

import pytest

from quorate.kernel import NodeId
from quorate.lab.systems import sockets

ME, NOBODY = NodeId(2), NodeId(1)


@pytest.fixture
def dialled() -> Iterator[int]:
    """The local port of a connection of this process."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        with socket.create_connection(listener.getsockname()) as connection:
            yield connection.getsockname()[1]


def test_the_owner_of_a_connection_is_found(dialled: int) -> None:
    assert sockets.owner_of(dialled, {NOBODY: 2**22 + 1, ME: os.getpid()}) == ME
    assert sockets.owner_of(dialled, {NOBODY: 2**22 + 1}) is None


def test_both_ways_find_the_same(dialled: int) -> None:
    assert list(sockets._ask_kernel(dialled)) == list(sockets._read_table(dialled)) != []


def test_the_table_is_read_where_the_kernel_is_not_asked(dialled: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "AF_NETLINK")
    assert sockets.owner_of(dialled, {ME: os.getpid()}) == ME


def test_a_port_that_nobody_uses_has_no_owner() -> None:
    with socket.socket() as unconnected:
        unconnected.bind(("127.0.0.1", 0))
        assert sockets.owner_of(unconnected.getsockname()[1], {ME: os.getpid()}) is None
