"""The HTTP door: health, readiness, status and metrics of a node, for balancers, people and Prometheus."""

from quorate.doors.http.request import HttpRequest, Refusal, RequestReader
from quorate.doors.http.server import HttpConfig, HttpServer

__all__ = ["HttpConfig", "HttpRequest", "HttpServer", "Refusal", "RequestReader"]
