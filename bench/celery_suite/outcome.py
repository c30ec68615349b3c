"""The outcome of a pytest run of the suite, read from its output; and the cases that cannot apply."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_PUBSUB = "it needs the subscription of the Redis backend; results in memory have none"

_PARTS = "it reads a chord's parts from their key in Redis; results in memory have none"

#: Cases that in-process cannot pass, each with its reason.
IN_PROCESS_CANNOT: Final = {
    "test_canvas.py::test_chord::test_chord_on_error": _PARTS,
    "test_tasks.py::test_task_redis_result_backend::test_asyncresult_forget_cancels_subscription": _PUBSUB,
    "test_tasks.py::test_task_redis_result_backend::test_asyncresult_get_cancels_subscription": _PUBSUB,
}
#: The same of `Sidekiq(app)`, whatever the pool.
LEASE_CANNOT: Final[dict[str, str]] = {}
#: The same of a pool.
POOL_CANNOT: Final[dict[str, dict[str, str]]] = {}

_FAILED = re.compile(r"^(?:FAILED|ERROR|SUBFAILED\S*) (?:\S*/)?(test_\w+\.py::\S+)", re.MULTILINE)
_PASSED = re.compile(r"(\d+) (passed|xpassed)")


@dataclass(frozen=True)
class Outcome:
    """pytest's closing line, how many cases passed (unexpectedly too), and which failed."""

    closing: str
    passed: int
    failed: frozenset[str]


def read(log: Path) -> Outcome:
    """The outcome in a log; if pytest did not finish, the closing line says so."""
    text = log.read_text(errors="replace")
    closings = re.findall(r"^=* ?(\d+ (?:passed|failed).* in [\d.]+s.*?) ?=*$", text, re.MULTILINE)
    closing = closings[-1] if closings else f"did not end by itself: see {log}"
    passed = sum(int(count) for count, _ in _PASSED.findall(closing.replace("subtests passed", "")))
    return Outcome(closing, passed, frozenset(_FAILED.findall(text)))


def cannot_apply(side: str) -> dict[str, str]:
    """The cases that a side cannot pass, each with its reason."""
    name, _, pool = side.partition(" ")
    return {**LEASE_CANNOT, **POOL_CANNOT.get(pool, {})} if name == "lease" else IN_PROCESS_CANNOT


def beyond(side: str, ours: Outcome, redis: Outcome) -> frozenset[str]:
    """The cases that cannot apply to a side, and that Redis passed in the same run."""
    return frozenset(ours.failed & cannot_apply(side).keys() - redis.failed)


def unexplained(side: str, ours: Outcome, redis: Outcome) -> frozenset[str]:
    """The cases that the side failed, that can apply, and that Redis passed."""
    return frozenset(ours.failed - redis.failed - cannot_apply(side).keys())


def is_enough(side: str, ours: Outcome, redis: Outcome) -> bool:
    """Whether the side passed no fewer than Redis of the cases that can apply, and failed none alone."""
    enough = ours.passed >= redis.passed - len(beyond(side, ours, redis))
    return enough and not unexplained(side, ours, redis)
