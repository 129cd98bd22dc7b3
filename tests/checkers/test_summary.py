"""The table of models: what a history refutes, and what follows from it."""

from quorate.check import Operation, refutes
from quorate.check.summary import IMPLIED


def op(process, f, value, call, done, key="x"):
    return Operation(
        process=process,
        f=f,
        key=key,
        value=value if f == "write" else None,
        result=value if f == "read" else None,
        call=call,
        done=done,
    )


def verdicts(rows):
    return {name: finding.verdict for name, finding in refutes(rows).items()}


def test_a_stale_read_refutes_linearizability_alone():
    found = verdicts([op(1, "write", 1, 0, 1), op(2, "read", None, 2, 3)])
    assert [name for name, verdict in found.items() if verdict == "invalid"] == ["linearizable"]
    assert set(found.values()) == {"valid", "invalid"}


def test_a_session_that_misses_its_own_write_refutes_upwards():
    found = refutes([op(1, "write", 1, 0, 1), op(1, "read", None, 2, 3)])
    refuted = {name for name, finding in found.items() if finding.verdict == "invalid"}
    assert refuted == {
        "linearizable", "sequential", "causal", "causal-memory", "causal-convergence", "pram", "read-your-writes",
        "session-pram", "sessions",
    }  # fmt: skip
    assert "which it implies, is refuted" in found["linearizable"].explanation
    for stronger, weaker in IMPLIED.items():
        assert not (any(name in refuted for name in weaker) and stronger not in refuted)


def test_what_is_linearizable_answers_for_models_that_could_not_be_judged():
    """A value written twice: the causal checkers cannot tell who was read, but linearizability holds."""
    rows = [op(1, "write", 1, 0, 1), op(1, "write", 1, 2, 3), op(2, "read", 1, 4, 5)]
    assert set(verdicts(rows).values()) == {"valid"}


def test_transactions_are_judged_by_isolation_levels():
    skew = [
        Operation(process=p, f="txn", value=[["r", a, None], ["append", b, 1]],
                  result=[["r", a, []], ["append", b, 1]], call=p, done=9 + p)
        for p, a, b in ((1, "x", "y"), (2, "y", "x"))
    ]  # fmt: skip
    found = refutes(skew)
    assert found["serializable"].verdict == "invalid"
    assert "g2-item" in found["serializable"].explanation
    assert len(found["serializable"].witness) == 2
    assert found["snapshot-isolation"].verdict == "valid"
    assert next(iter(found)) == "strict-serializable"


def test_a_level_is_explained_by_an_anomaly_that_refutes_it():
    """An aborted read and a stale read: read-committed is refuted by the first, whatever else there is."""

    def txn(process, call, steps, outcome="ok"):
        result = steps if outcome == "ok" else None
        return Operation(
            process=process, f="txn", value=steps, result=result, outcome=outcome, call=call, done=call + 1
        )

    found = refutes(
        [
            txn(1, 0, [["append", "x", 1]], "fail"),
            txn(2, 2, [["r", "x", [1]]]),
            txn(3, 4, [["append", "y", 1]]),
            txn(4, 6, [["r", "y", []]]),
            txn(5, 8, [["r", "y", [1]]]),
        ]
    )
    assert found["read-committed"].explanation.startswith("g1a")
    assert found["strict-serializable"].verdict == "invalid"
    assert found["read-uncommitted"].verdict == "valid"
