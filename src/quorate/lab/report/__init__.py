"""The report: one HTML file that works offline."""

from quorate.lab.report.page import write_report

__all__ = ["write_report"]
