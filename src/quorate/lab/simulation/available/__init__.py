"""Campaigns of the available side: leaderless keyspaces under the whole fault atlas, judged by lattice promises."""

from quorate.lab.simulation.available.run import run_available

__all__ = ["run_available"]
