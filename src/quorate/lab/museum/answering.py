"""Seventh wing: answers that are not true."""

from typing import Any

from quorate.kernel import NodeId
from quorate.lab.museum.bug import exhibit
from quorate.replication import Group
from quorate.store import OK

TROUBLE = {
    "aims": {"isolate a proposing leader": 0.5, "crash a proposing leader": 0.4, "pause a proposing leader": 0.3},
}


@exhibit(
    name="timeout-told-as-failure",
    story="""A request that got no answer in time is reported as failed: definitely not done.
It was on its way all the same, and happens later.""",
    source="Jepsen: indeterminate is not failed",
    layer="replication",
    caught_by=("not linearizable",),
    level="loop",
    conditions=TROUBLE,
    seeds_max=30,
)
class TimeoutToldAsFailure(Group):
    """Says that it did not happen."""

    def _fail(self, callers: Any, code: str, text: str) -> None:
        super()._fail(callers, "UNREACHABLE" if code == "TIMEDOUT" else code, text)


@exhibit(
    name="answers-before-commit",
    story="""A leader answers a write as soon as it has given it a place in its log.
When it falls before a majority holds the entry, the write was never there.""",
    source="asynchronous replication called synchronous; MongoDB w:1, Redis with replicas",
    layer="replication",
    caught_by=("not linearizable",),
    level="loop",
    conditions=TROUBLE,
    seeds_max=40,
)
class AnswersBeforeCommit(Group):
    """Answers plain writes when they are proposed."""

    def _on_proposed(self, token: int, term: int) -> None:
        waiting = self._waiting.get(token)
        if waiting is not None and all(command.args[0] == b"SET" for command in waiting.commands):
            self._pop_waiting(token)
            self._answer(waiting.callers, [OK] * len(waiting.callers))
            return
        super()._on_proposed(token, term)


@exhibit(
    name="retries-after-leader-change",
    story="""A node sends what it has proposed once more when the leader changes, because it may have been lost.
It may also not have been: then it is applied twice.""",
    source="clients and proxies that retry what is not idempotent",
    layer="replication",
    caught_by=("not linearizable", "node stopped"),
    level="loop",
    conditions=TROUBLE,
    seeds_max=40,
)
class RetriesAfterLeaderChange(Group):
    """Proposes again what may have been proposed well."""

    def _on_role_changed(self, role: str, term: int, leader: NodeId | None) -> None:
        super()._on_role_changed(role, term, leader)
        if leader is not None:
            for token in list(self._waiting):
                self._take_back(token)


@exhibit(
    name="lost-means-nothing-happened",
    story="""A batch is called lost as soon as the leader changes; nobody waits to see what is committed in its
place. Sometimes it is committed after all.""",
    source="an election is no evidence about entries",
    layer="replication",
    caught_by=("not linearizable",),
    level="loop",
    conditions=TROUBLE,
    seeds_max=40,
)
class LostMeansNothingHappened(Group):
    """Gives up everything at a change of leader."""

    def _on_role_changed(self, role: str, term: int, leader: NodeId | None) -> None:
        if term != self.term:
            for token in list(self._waiting):
                waiting = self._pop_waiting(token)
                if waiting is not None:
                    self._fail(waiting.callers, "NOTLEADER", "the leader changed; it did not happen")
        super()._on_role_changed(role, term, leader)
