"""The world on a real machine: clocks, sockets, files. Only this package touches the operating system."""

from quorate.runtime.clock import RealClock
from quorate.runtime.directory import DirectoryLock, lock_directory, read_identity
from quorate.runtime.disk import RealDisk
from quorate.runtime.network import RealNetwork, RealStreams
from quorate.runtime.real import new_loop, real_env, run, worker
from quorate.runtime.tls import client_context, make_certificates, server_context

__all__ = [
    "DirectoryLock",
    "RealClock",
    "RealDisk",
    "RealNetwork",
    "RealStreams",
    "client_context",
    "lock_directory",
    "make_certificates",
    "new_loop",
    "read_identity",
    "real_env",
    "run",
    "server_context",
    "worker",
]
