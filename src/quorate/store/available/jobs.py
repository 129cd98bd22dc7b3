"""Jobs: commands of a leaderless keyspace under way on one node: steps to requests, outcomes to replies.

The requests of one turn of the loop become one `Batch`; the machine answers each by its token, in any order; when all
of a step are there, the command goes on. Replies leave as they come: whoever needs them in the order of the calls
brings them into it. Commands of one connection that name the same key go one after another, as in a pipeline of Redis.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Final

from quorate.kernel.errors import IndefiniteError, from_code
from quorate.protocols.leaderless import Answered, Delete, Failed, Put, Request, Rule
from quorate.store.available.kept import Kept
from quorate.store.available.local import LOCAL
from quorate.store.available.options import Options
from quorate.store.available.refused import refusal
from quorate.store.available.work import ENTRIES, Call, Entry, Outcome, Steps, Work, first_failure
from quorate.store.backend import Caller
from quorate.store.command import find
from quorate.store.reply import CommandError, Reply, ReplyError

_ATTEMPT_COUNT_MAX: Final = 4
_NO_STEPS: Final[Steps] = ()


class Job:
    """One command under way."""

    __slots__ = (
        "attempt_count",
        "blocker_count",
        "call",
        "caller",
        "entry",
        "followers",
        "has_failure",
        "keys",
        "left_count",
        "options",
        "outcomes",
        "owner",
        "steps",
        "work",
    )

    def __init__(
        self, entry: Entry, call: Call, work: Work, options: Options, caller: Caller, owner: Hashable | None
    ) -> None:
        self.entry = entry
        self.call = call
        self.work = work
        self.options = options
        self.caller = caller
        # The connection whose session is kept; None: the caller keeps its own.
        self.owner = owner
        self.steps: Steps = _NO_STEPS
        self.outcomes: list[Outcome] = []
        self.left_count = 0
        # Of the present steps.
        self.has_failure = False
        self.attempt_count = 0
        # Commands of the same connection, with a key in common, that wait for this one; how many this one waits for.
        self.followers: list[Job] = []
        self.blocker_count = 0
        self.keys: list[bytes] = []


class Jobs:
    """All commands of one keyspace that a node coordinates.

    Args:
        name: of the keyspace, for sentences.
        rule: for conflicts.
        cells: the copies that this node holds.
        keeps_contexts: whether a connection's writes replace what it has seen (siblings).
        keeps_reads: whether a connection's reads are never older than what it has seen.
        flush: called with a caller that got a reply, to be flushed at the end of the turn.
        wake: called when there are requests to take, for the end of the turn.
    """

    def __init__(
        self,
        name: str,
        rule: Rule,
        cells: Mapping[bytes, bytes],
        *,
        keeps_contexts: bool,
        keeps_reads: bool,
        flush: Callable[[Caller], None],
        wake: Callable[[], None],
    ) -> None:
        self.name = name
        self.rule = rule
        self.cells = cells
        self.read_count = self.write_count = self.failed_count = self.in_doubt_count = 0
        # Why nothing, or nothing that writes, is accepted now.
        self.refusal: ReplyError | None = None
        self.write_refusal: ReplyError | None = None
        self._keeps_contexts = keeps_contexts
        self._keeps_reads = keeps_reads
        self._kept = Kept()
        self._flush = flush
        self._wake = wake
        self._token = 0
        # Token → job and place of its step.
        self._waiting: dict[int, tuple[Job, int]] = {}
        self._requests: list[Request] = []
        # Connection → key → the last command under way that names it.
        self._under_way: dict[Hashable, dict[bytes, Job]] = {}

    @property
    def pending_count(self) -> int:
        """How many requests are not answered yet."""
        return len(self._waiting)

    @property
    def waiting_count(self) -> int:
        """How many requests wait to be taken."""
        return len(self._requests)

    def take(self) -> tuple[Request, ...]:
        """Return the requests that came since the last call."""
        taken, self._requests = self._requests, []
        return tuple(taken)

    # -- commands --------

    def execute(self, args: list[bytes], options: Options, caller: Caller, owner: Hashable | None = None) -> None:
        """Begin a command; the caller gets its reply later, or now.

        Args:
            args: name in upper case first; keys without the keyspace's prefix.
            options: how it shall be done.
            caller: who gets the reply.
            owner: the connection, if it has a session here.
        """
        entry = ENTRIES.get(args[0])
        refused = self._refuse(args, entry)
        if refused is not None or entry is None:
            self._reply(caller, refused if refused is not None else self._look(args))
            return
        call = Call(args, self.rule, options.note)
        try:
            if not options.is_plain:
                _check_single(entry, args, options)
            job = Job(entry, call, entry.handler(call), options, caller, None if options.keyspace else owner)
        except CommandError as error:
            self._reply(caller, error.reply)
            return
        if entry.is_write:
            self.write_count += 1
        else:
            self.read_count += 1
        if job.owner is None or not self._follows(job, args):
            self._advance(job, None)

    def _follows(self, job: Job, args: list[bytes]) -> bool:
        """Put a command behind those of its connection with the same keys; return whether there are any."""
        job.keys = _keys_of(job.entry, args)
        mine = self._under_way.get(job.owner)
        if mine is None:
            self._under_way[job.owner] = dict.fromkeys(job.keys, job)
            return False
        for key in job.keys:
            before = mine.get(key)
            if before is not None and before is not job:
                before.followers.append(job)
                job.blocker_count += 1
            mine[key] = job
        return job.blocker_count > 0

    def _let_follow(self, job: Job) -> None:
        """Begin what waited for a command that has ended."""
        mine = self._under_way.get(job.owner)
        if mine is not None:
            for key in job.keys:
                if mine.get(key) is job:
                    del mine[key]
            if not mine:
                del self._under_way[job.owner]
        followers, job.followers = job.followers, []
        for follower in followers:
            follower.blocker_count -= 1
            if not follower.blocker_count:
                self._advance(follower, None)

    def _refuse(self, args: list[bytes], entry: Entry | None) -> ReplyError | None:
        name = args[0]
        if entry is None and name not in LOCAL:
            return refusal(name, self.name)
        spec = find(name)
        if spec is not None and not spec.accepts(len(args)):
            return spec.arity_error()
        if self.refusal is not None:
            return self.refusal
        return self.write_refusal if entry is not None and entry.is_write else None

    def _look(self, args: list[bytes]) -> Reply:
        try:
            return LOCAL[args[0]](args, self.cells, self.rule)
        except CommandError as error:
            return error.reply

    def _advance(self, job: Job, outcomes: Sequence[Outcome] | None) -> None:
        """Give a command the outcomes of its steps, and begin its next ones or answer."""
        try:
            steps = next(job.work) if outcomes is None else job.work.send(outcomes)
        except StopIteration as done:
            self._finish(job, done.value)
            return
        except CommandError as error:
            self._end(job, error.reply)
            return
        job.steps = steps
        job.outcomes = [_PENDING] * len(steps)
        job.left_count = len(steps)
        job.has_failure = False
        for place in range(len(steps)):
            self._ask(job, place, job.options.at_least[0] if job.options.at_least else b"")

    def _ask(self, job: Job, place: int, at_least: bytes) -> None:
        step, options = job.steps[place], job.options
        self._token += 1
        self._waiting[self._token] = (job, place)
        change = step.change
        context = options.context or step.context
        if change is None:
            level = step.level or options.level or options.read_level
            if step.is_look:
                at_least = b""
            elif self._keeps_reads and not at_least and job.owner is not None:
                at_least = self._kept.at_least(job.owner, step.key)
        else:
            level, at_least = step.level or options.level or options.write_level, b""
            if self._keeps_contexts and not context and job.owner is not None and isinstance(change, Put | Delete):
                context = self._kept.context(job.owner, step.key)
        if not self._requests:
            self._wake()
        self._requests.append(Request(self._token, step.key, change, level, context, at_least, options.timeout))

    # -- what became of them --------

    def answered(self, output: Answered) -> None:
        """Take a machine's answer."""
        found = self._waiting.pop(output.token, None)
        if found is None:
            return
        job, place = found
        step = job.steps[place]
        if len(job.options.at_least) > 1 and step.change is None and not step.is_look:
            missing = next((one for one in job.options.at_least if not self.rule.includes(output.cell, one)), None)
            if missing is not None:
                self._ask_again(job, place, missing)
                return
        if job.owner is not None and output.cell and not step.is_look and (self._keeps_contexts or self._keeps_reads):
            # A sibling that this connection has not been shown must not be replaced by its next write.
            is_known = len(self.rule.seen(output.cell).values) <= 1
            self._kept.note(job.owner, step.key, self.rule.token(output.cell), is_known=is_known)
        self._take(job, place, Outcome(output.cell))

    def _ask_again(self, job: Job, place: int, missing: bytes) -> None:
        """Read once more, for the part of what is asked for that the answer did not include."""
        job.attempt_count += 1
        if job.attempt_count < _ATTEMPT_COUNT_MAX:
            self._ask(job, place, missing)
            return
        sentence = "no copy that was asked has all that this session must see"
        self._take(job, place, Outcome(error=ReplyError("STALE", sentence)))

    def failed(self, output: Failed) -> None:
        """Take a machine's failure."""
        found = self._waiting.pop(output.token, None)
        if found is None:
            return
        job, place = found
        is_in_doubt = output.happened == "maybe"
        if not job.steps[place].is_look:
            self.failed_count += 1
            self.in_doubt_count += is_in_doubt
        error = ReplyError(_code_of(output.code, is_in_doubt=is_in_doubt), output.sentence)
        self._take(job, place, Outcome(error=error, is_in_doubt=is_in_doubt))

    def _take(self, job: Job, place: int, outcome: Outcome) -> None:
        job.outcomes[place] = outcome
        if outcome.error is not None:
            job.has_failure = True
        job.left_count -= 1
        if job.left_count:
            return
        error = first_failure(job.outcomes, job.steps) if job.has_failure else None
        if error is not None:
            job.work.close()
            self._end(job, error)
        else:
            self._advance(job, job.outcomes)

    def _finish(self, job: Job, reply: Reply) -> None:
        if job.options.wants_token:
            cell = job.outcomes[-1].cell if job.outcomes else b""
            notes = list(self.rule.seen(cell).notes) if cell else []
            reply = [reply, self.rule.token(cell) if cell else b"", list(notes)]
        self._end(job, reply)

    def _end(self, job: Job, reply: Reply) -> None:
        self._reply(job.caller, reply)
        if job.keys:
            self._let_follow(job)

    def _reply(self, caller: Caller, reply: Reply) -> None:
        caller.complete(reply)
        self._flush(caller)

    def end_all(self) -> None:
        """Answer everything under way: the node stops; what would change something may have, or may still."""
        waiting, self._waiting = self._waiting, {}
        unsent = {request.token: None for request in self._requests}
        self._requests = []
        ended: dict[Job, bool] = {}
        for token, (job, place) in waiting.items():
            is_in_doubt = job.steps[place].change is not None and token not in unsent
            ended[job] = ended.get(job, False) or is_in_doubt
        self._under_way.clear()
        for job in list(ended):
            self._end_followers(job, ended)
        for job, is_in_doubt in ended.items():
            code = "STOPPED" if is_in_doubt else "UNREACHABLE"
            text = "it may have happened" if is_in_doubt else "nothing was done"
            self._reply(job.caller, ReplyError(code, f"the node stopped while the request was under way; {text}"))

    def _end_followers(self, job: Job, ended: dict[Job, bool]) -> None:
        """Note all commands that have not begun because they wait for others."""
        for follower in job.followers:
            if follower not in ended:
                ended[follower] = False
                self._end_followers(follower, ended)


_PENDING: Final = Outcome()


def _keys_of(entry: Entry, args: list[bytes]) -> list[bytes]:
    first, last, step = entry.keys
    last = last if last >= 0 else len(args) + last
    return args[first : last + 1 : step]


def _check_single(entry: Entry, args: list[bytes], options: Options) -> None:
    """Raise CommandError where options that speak of one key stand before a command with several."""
    needs_one = options.context or options.at_least or options.wants_token
    if needs_one and len(_keys_of(entry, args)) != 1:
        raise CommandError("ERR", "CONTEXT, ATLEAST and TOKEN speak of one key, and the command has several")


def _code_of(code: str, *, is_in_doubt: bool) -> str:
    """Return a code that says truly whether it may have happened: some say the opposite of what is known here."""
    is_indefinite = isinstance(from_code(code, ""), IndefiniteError)
    if is_in_doubt:
        return code if is_indefinite else "TIMEDOUT"
    return "UNREACHABLE" if is_indefinite else code
