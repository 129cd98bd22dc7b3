"""Doors: what clients of other protocols speak to a node."""

__all__: list[str] = []
