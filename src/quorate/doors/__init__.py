"""Doors: what clients of other protocols speak to a node."""

from quorate.doors.http import HttpConfig, HttpServer
from quorate.doors.resp import RespConfig, RespServer

__all__ = ["HttpConfig", "HttpServer", "RespConfig", "RespServer"]
