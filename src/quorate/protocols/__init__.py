"""One package per protocol, without a world: machines that turn events into effects."""

__all__: list[str] = []
"""Each protocol is imported by its own package."""
