"""Read by the type checkers only."""
