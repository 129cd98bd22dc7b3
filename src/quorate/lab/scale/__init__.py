"""Jobs on any engine: pure functions of code, configuration and seeds, run here or on other machines, and kept.

The seam is `Engine`: submit, results, cancel. Behind it are the standard process pool, Dask and Ray. `Drive` runs a
campaign through it; `spread` calls one function for many configurations.
"""

from quorate.lab.scale.answer import Answer, Lost, Raised, Refused, Returned
from quorate.lab.scale.code import code_hash
from quorate.lab.scale.drive import Drive, Found, Report, Trouble
from quorate.lab.scale.engine import Engine, EngineFailed, Handle
from quorate.lab.scale.job import Job, make_job
from quorate.lab.scale.named import ON_HELP, check_engine, open_engine
from quorate.lab.scale.results import Results, open_results
from quorate.lab.scale.spread import JobsFailed, spread

__all__ = [
    "ON_HELP",
    "Answer",
    "Drive",
    "Engine",
    "EngineFailed",
    "Found",
    "Handle",
    "Job",
    "JobsFailed",
    "Lost",
    "Raised",
    "Refused",
    "Report",
    "Results",
    "Returned",
    "Trouble",
    "check_engine",
    "code_hash",
    "make_job",
    "open_engine",
    "open_results",
    "spread",
]
