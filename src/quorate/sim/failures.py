"""Why a simulated run ended before its program did."""

from quorate.kernel import errors


class SimulationError(errors.QuorateError):
    """The base of all that the simulated world itself reports."""

    code = "SIMULATION"


class ProgramFailed(SimulationError):
    """A program in the world raised where nobody caught it; the cause is attached."""

    code = "PROGRAMFAILED"


class Deadlock(SimulationError):
    """Something is awaited, but nothing is ready and no timer is set: it would wait for ever."""

    code = "DEADLOCK"


class Livelock(SimulationError):
    """So many callbacks ran without time passing that it will surely never pass."""

    code = "LIVELOCK"


class Overdue(SimulationError):
    """What was awaited did not happen within the simulated time that was allowed."""

    code = "OVERDUE"


class Revoked(SimulationError):
    """A dead node reached for the world: its Env was taken away when it crashed."""

    code = "REVOKED"


class Unsimulated(SimulationError):
    """A program asked for what cannot be simulated; the sentence says what and what to do instead."""

    code = "UNSIMULATED"


class ScriptFailed(SimulationError):
    """A script on a host ended itself with another exit status than 0."""

    code = "SCRIPTFAILED"
