"""The outcome of a pytest run of the suite, read from its output; and the cases that cannot apply."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_PUBSUB = "it needs the subscription of the Redis backend; results in memory have none"

_PARTS = "it reads a chord's parts from their key in Redis; results in memory have none"

_STATE = "it looks into the worker's state in the suite's process; this worker is a process of its own"

_SIGNAL = "it hears the worker's signals in the suite's process; this worker is a process of its own"

_LOG = "it gives the worker's log a hundredth of a second; it comes from another process"

_TIMEOUT = "Sidekiq(app) bounds the wait for a connection to the broker, which it expects to be endless"

#: Cases that in-process cannot pass, each with its reason.
IN_PROCESS_CANNOT: Final = {
    "test_canvas.py::test_chord::test_chord_on_error": _PARTS,
    "test_tasks.py::test_task_redis_result_backend::test_asyncresult_forget_cancels_subscription": _PUBSUB,
    "test_tasks.py::test_task_redis_result_backend::test_asyncresult_get_cancels_subscription": _PUBSUB,
}
#: The same of `Sidekiq(app)`, whatever the pool.
LEASE_CANNOT: Final = {
    "test_tasks.py::test_tasks::test_send_task_without_ignore_result_uses_task_ignore_result": _STATE,
    "test_tasks.py::test_tasks::test_send_task_without_ignore_result_stores_result": _STATE,
    "test_tasks.py::test_tasks::test_revoked_by_headers_simple_canvas": _STATE,
    "test_tasks.py::test_tasks::test_revoked_by_headers_complex_canvas": _STATE,
    "test_tasks.py::test_task_redis_result_backend::test_retry_preserves_ignore_result_false": _STATE,
    "test_tasks.py::test_task_redis_result_backend::test_retry_preserves_ignore_result_true": _STATE,
    "test_tasks.py::test_task_replacement::test_replaced_task_nesting_level_0": _SIGNAL,
    "test_tasks.py::test_task_replacement::test_replaced_task_nesting_level_1": _SIGNAL,
    "test_tasks.py::test_task_replacement::test_replaced_task_nesting_chain": _SIGNAL,
    "test_tasks.py::test_signal_bound_method_receivers::test_each_instance_receives": _SIGNAL,
    "test_tasks.py::test_signal_bound_method_receivers::"
    "test_disconnect_leaves_other_instance_connected": _SIGNAL,
    "test_tasks.py::test_signal_bound_method_receivers::"
    "test_other_instance_receives_after_garbage_collection": _SIGNAL,
    "test_tasks.py::test_trace_log_arguments::test_task_failed": _LOG,
    "test_tasks.py::test_pool_acquire_timeout::test_pool_timeout_none_blocks_successfully": _TIMEOUT,
}

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
    return IN_PROCESS_CANNOT if side == "in-process" else LEASE_CANNOT


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
