"""The world that one node may touch: interfaces with their guarantees in words, nothing else."""

from quorate.env.clock import Clock, Timer
from quorate.env.disk import Disk, File
from quorate.env.env import Env
from quorate.env.network import Address, Endpoint, Listener, Network, Streams

__all__ = ["Address", "Clock", "Disk", "Endpoint", "Env", "File", "Listener", "Network", "Streams", "Timer"]
