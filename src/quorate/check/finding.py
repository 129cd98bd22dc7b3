"""What a judge says: a verdict, the smallest witness it found, and why, in words."""

from typing import Final, Literal

import msgspec

from quorate.check.history import Operation, Value

Verdict = Literal["valid", "invalid", "unknown"]

# Steps of search before a judge gives up; one step takes a few microseconds.
BUDGET_DEFAULT: Final = 5_000_000


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of a checker. Only `valid` is a pass: `unknown` means that the budget did not suffice."""

    verdict: Verdict
    # What was checked: a model's or a checker's name.
    model: str
    # Plain sentences.
    explanation: str
    # The part of the history that the verdict was found in.
    key: Value = None
    # Operations that contradict the model on their own, in the order of their calls; empty unless invalid.
    witness: tuple[Operation, ...] = ()
    # The operation that no order explains.
    blame: Operation | None = None
    # States that the object could have been in just before the answer to blame, in words.
    states: tuple[str, ...] = ()
    # Steps of search.
    budget_spent: int = 0
    operation_count: int = 0
    partition_count: int = 0

    @property
    def is_valid(self) -> bool:
        """Say whether this counts as a pass."""
        return self.verdict == "valid"

    def __str__(self) -> str:
        """Say the finding in full."""
        lines = [f"{self.verdict}: {self.explanation}"]
        lines += [f"  {operation}" for operation in self.witness]
        return "\n".join(lines)
