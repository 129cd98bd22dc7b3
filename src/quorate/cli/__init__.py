"""The command line: thin functions over the rooms below; all of them explain themselves with --help."""

from quorate.cli.app import app, main

__all__ = ["app", "main"]
