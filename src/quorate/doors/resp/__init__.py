"""The Redis door: RESP2 and RESP3 in front of a backend."""

from quorate.doors.resp.config import RespConfig
from quorate.doors.resp.parser import RequestParser
from quorate.doors.resp.server import RespServer
from quorate.doors.resp.version import REDIS_VERSION
from quorate.doors.resp.wire import RESP2, RESP3, DoorReply, Push, Verbatim, encode

__all__ = [
    "REDIS_VERSION",
    "RESP2",
    "RESP3",
    "DoorReply",
    "Push",
    "RequestParser",
    "RespConfig",
    "RespServer",
    "Verbatim",
    "encode",
]
