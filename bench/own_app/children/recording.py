"""Writes what becomes of each call into the ledger, from Celery's signals; the same on both sides.

A call's Celery id is its job's name and begins with the block's name. Calls with other ids (subtasks, tasks
of a chain) were not made by the harness and are ignored.

| signal         | event                                                                             |
|----------------|-----------------------------------------------------------------------------------|
| task_prerun    | start, with the attempt's number                                                   |
| task_success   | done; and effect, kind "completion", where the task recorded none by `bench.hooks`  |
| task_retry     | raised: it will be tried again                                                     |
| task_failure   | failed: the worker's log has it, and the result store where one is kept            |
| task_revoked   | failed: revoked or expired                                                         |
| task_postrun   | raised, with the error's name, where the run ended by `SystemExit` or its like     |

A run of an entry of `beat_schedule`, known by its message header, is a tick and no job.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from celery import VERSION, Task, current_task, signals
from celery.exceptions import TimeLimitExceeded
from celery.worker.request import Request

from bench import hooks
from bench.measures.events.periodic_runs import BEAT
from bench.own_app.children.rebound_app import ENTRY_HEADER
from scenarios import jobs, ledger
from scenarios.ledger import CONTEXT_VARIABLE

#: The first Celery that sends `task_failure` for a task that is ended by its hard time limit.
SIGNALS_HARD_LIMITS = (5, 7)
#: Where a failed call can be found.
LOG, REVOKED = "worker's log", "revoked"


class Recorder:
    """Writes the events of this process; `install` once, before the first call."""

    def __init__(self, block: str) -> None:
        self._prefix = f"{block}-"
        #: Calls whose task has recorded an effect.
        self._with_effect: set[str] = set()
        #: Calls that this process has accepted and that have not ended, as an ordered set.
        self.open: dict[str, None] = {}

    def install(self) -> None:
        """Connect to the signals until the process ends."""
        signals.task_prerun.connect(self._prerun, weak=False)
        signals.task_success.connect(self._success, weak=False)
        signals.task_retry.connect(self._retry, weak=False)
        signals.task_failure.connect(self._failure, weak=False)
        signals.task_revoked.connect(self._revoked, weak=False)
        signals.task_postrun.connect(self._postrun, weak=False)
        hooks._note = self._effect  # noqa: SLF001 - the one place that sets it
        if VERSION[:2] < SIGNALS_HARD_LIMITS:
            self._record_hard_limits()

    def _record_hard_limits(self) -> None:
        request_class: Any = Request
        own = request_class.on_timeout

        def on_timeout(request: Any, soft: bool, timeout: float) -> None:  # noqa: FBT001 - Celery's
            own(request, soft, timeout)
            if not soft:
                self._failure(request.task, request.id, TimeLimitExceeded(timeout))

        request_class.on_timeout = on_timeout

    def _ours(self, task_id: str) -> bool:
        return task_id.startswith(self._prefix)

    def _prerun(self, task_id: str, task: Task[Any, Any], **_: Any) -> None:
        if self._ours(task_id):
            ledger.record("start", scenario=task.name, job=task_id, attempt=_attempt(task))
        elif entry := _entry(task):
            ledger.record("start", scenario=BEAT, job=jobs.sync(entry))

    def _success(self, sender: Task[Any, Any], **_: Any) -> None:
        task_id = str(sender.request.id)
        if self._ours(task_id):
            if task_id not in self._with_effect:
                ledger.record("effect", scenario=sender.name, job=task_id, kind=hooks.COMPLETION)
            ledger.record("done", scenario=sender.name, job=task_id, attempt=_attempt(sender))
            self._forget(task_id)
        elif entry := _entry(sender):
            ledger.record("done", scenario=BEAT, job=jobs.sync(entry))

    def _retry(self, sender: Task[Any, Any], request: Any, reason: object, **_: Any) -> None:
        if self._ours(request.id):
            self._with_effect.discard(request.id)
            ledger.record("raised", scenario=sender.name, job=request.id, error=_short(reason))

    def _failure(self, sender: Task[Any, Any], task_id: str, exception: object, **_: Any) -> None:
        if self._ours(task_id):
            ledger.failed(sender.name, task_id, where=LOG, error=_short(exception))
            self._forget(task_id)

    def _revoked(self, sender: Task[Any, Any], request: Any, **_: Any) -> None:
        if self._ours(request.id):
            ledger.failed(sender.name, request.id, where=REVOKED, error="revoked or expired")
            self._forget(request.id)

    def _postrun(self, task_id: str, task: Task[Any, Any], **_: Any) -> None:
        error = sys.exc_info()[1]
        if self._ours(task_id) and error is not None and not isinstance(error, Exception):
            ledger.record("raised", scenario=task.name, job=task_id, error=_short(error))

    def _effect(self, kind: str, key: object) -> None:
        """Record an effect; one of a subtask belongs to its root task."""
        request = getattr(current_task, "request", None)  # outside a task there is none
        task_id = str(request.root_id or request.id) if request else ""
        if self._ours(task_id):
            self._with_effect.add(task_id)
            ledger.record("effect", scenario=current_task.name, job=task_id, kind=kind, of=str(key))

    def _forget(self, task_id: str) -> None:
        self._with_effect.discard(task_id)
        self.open.pop(task_id, None)


def _attempt(task: Task[Any, Any]) -> int:
    return int(task.request.retries or 0) + 1


def _entry(task: Task[Any, Any]) -> str:
    headers = task.request.headers or {}
    return str(headers.get(ENTRY_HEADER) or "")


def _short(error: object) -> str:
    return f"{type(error).__name__}: {error}"[:200] if isinstance(error, BaseException) else str(error)[:200]


def recorder() -> Recorder:
    """The recorder of this process, installed."""
    made = Recorder(json.loads(os.environ.get(CONTEXT_VARIABLE, "{}")).get("block", ""))
    made.install()
    return made
