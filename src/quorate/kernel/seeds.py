"""One seed, one random stream per purpose."""

import random


class Seeds:
    """Splits one integer into independent named streams, so that one more draw here moves nothing elsewhere.

    Streams do not depend on PYTHONHASHSEED (string seeding is SHA-512).

    Example:
        >>> Seeds(7).stream("network", 1).random() == Seeds(7).stream("network", 1).random()
        True
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def stream(self, *name: object) -> random.Random:
        """Return a fresh generator for a purpose; the same name gives the same stream again."""
        return random.Random("/".join(str(part) for part in (self.seed, *name)))
