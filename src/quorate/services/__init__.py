"""What applications ask of a cluster beside data."""

from quorate.services.ntp import NTPClient, NTPServer

__all__ = ["NTPClient", "NTPServer"]
