"""One package per protocol, without a world: machines that turn events into effects."""
