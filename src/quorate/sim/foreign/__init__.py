"""What a program that knows nothing of the world gets to see of it: clocks, chance, files, sockets of its host.

Every replacement asks whose program runs at this moment and falls through to the real thing outside every host.
"""

from quorate.sim.foreign.chance import reseed, watch_unseeded
from quorate.sim.foreign.patches import patched
from quorate.sim.foreign.scripts import run_script
from quorate.sim.foreign.serial import serial_hashes

__all__ = ["patched", "reseed", "run_script", "serial_hashes", "watch_unseeded"]
