"""Histories in other people's notations."""

from quorate.check.formats.edn import format_edn, parse_edn
from quorate.check.formats.jepsen import read_etcd_log, read_jepsen, write_jepsen
from quorate.check.formats.shiviz import PATTERN, write_shiviz

__all__ = ["PATTERN", "format_edn", "parse_edn", "read_etcd_log", "read_jepsen", "write_jepsen", "write_shiviz"]
