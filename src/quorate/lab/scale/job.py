"""A job: a pure function of code, configuration and a range of seeds, known by the hash of these.

Whoever computes it, where, and how often, gets the same result; so a lost job is run again without a question, and a
result that is kept under the address never has to be computed twice.
"""

import hashlib
from functools import cached_property
from typing import Any

import msgspec

from quorate.lab.scale.code import code_hash

# Characters of an address: 128 bits, so that no two jobs of a lifetime share one.
ADDRESS_BYTES = 16


class Job(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """One unit of work of a campaign.

    Fields:
        task: "package.module:function". It is called with the decoded configuration, the first seed and the count of
            seeds, and returns what msgspec encodes as JSON. It must be pure, but for what it says of time spent.
        configuration: JSON with sorted keys.
        first_seed: of the range.
        seed_count: at least 1.
        code: hash of the source that computes it; a worker with other code refuses.
    """

    task: str
    configuration: str
    first_seed: int
    seed_count: int
    code: str

    def __post_init__(self) -> None:
        assert self.seed_count >= 1, "a job has something to do"
        assert self.task.count(":") == 1, "a task is package.module:function"

    @cached_property
    def address(self) -> str:
        """The hash of all fields, as hexadecimal text."""
        text = msgspec.json.encode(msgspec.structs.astuple(self))
        return hashlib.blake2b(text, digest_size=ADDRESS_BYTES).hexdigest()

    @property
    def words(self) -> str:
        """What it is, for people."""
        last = self.first_seed + self.seed_count - 1
        seeds = f"seed {last}" if self.seed_count == 1 else f"seeds {self.first_seed} to {last}"
        return f"{self.task.rpartition(':')[2]}, {seeds}, {self.address[:8]}"


def make_job(task: str, configuration: Any, *, first_seed: int = 1, seed_count: int = 1) -> Job:
    """Return a job of the code as it is now.

    Args:
        task: "package.module:function".
        configuration: anything that msgspec encodes; it is what the function's result depends on.
        first_seed: of the range.
        seed_count: of the range.
    """
    text = msgspec.json.encode(configuration, order="deterministic").decode()
    return Job(task=task, configuration=text, first_seed=first_seed, seed_count=seed_count, code=code_hash(task))
