"""What comes back for a job, and how a job is done where it runs."""

import importlib
import traceback

import msgspec

from quorate.kernel.errors import QuorateError
from quorate.lab.scale.code import code_hash
from quorate.lab.scale.job import Job


class Returned(msgspec.Struct, frozen=True, tag="returned"):
    """The function returned: its result as JSON."""

    result: msgspec.Raw


class Raised(msgspec.Struct, frozen=True, tag="raised"):
    """The function raised, as it always will: the error if it is one of ours, else the traceback."""

    sentence: str


class Lost(msgspec.Struct, frozen=True, tag="lost"):
    """The process that ran it ended before it answered: worth another try."""

    sentence: str


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """The worker cannot run any job of this campaign: the campaign ends."""

    sentence: str


Answer = Returned | Raised | Lost | Refused


def perform(job: Job) -> Answer:
    """Do a job in this process; never raises for what the job does."""
    try:
        here = code_hash(job.task)
    except Exception as cause:  # noqa: BLE001  # a package that is not there may fail in any way when it is looked for
        return Refused(f"a worker cannot find the code of {job.task}: {cause}")
    if here != job.code:
        return Refused(
            f"a worker has other code than this process ({here[:8]} there, {job.code[:8]} here): "
            "install the same version, with the same Python, on all of them"
        )
    module, _, name = job.task.partition(":")
    try:
        function = getattr(importlib.import_module(module), name)
        result = function(msgspec.json.decode(job.configuration), job.first_seed, job.seed_count)
        return Returned(msgspec.Raw(msgspec.json.encode(result)))
    except QuorateError as cause:
        return Raised(f"{cause.code.lower()}: {cause}")
    except (Exception, SystemExit):  # noqa: BLE001  # whatever the job raises is its answer
        return Raised(traceback.format_exc())


def encode_answer(answer: Answer) -> bytes:
    """Return an answer as bytes."""
    return msgspec.json.encode(answer)


def decode_answer(data: bytes) -> Answer:
    """Return the answer that bytes hold; raise msgspec.DecodeError for others."""
    answer: Answer = msgspec.json.decode(data, type=Answer)
    return answer
