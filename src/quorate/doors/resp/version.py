"""What this door calls itself."""

from typing import Final

# The Redis whose behaviour and wording the door follows; clients choose what they send by it.
REDIS_VERSION: Final = "7.0.15"
