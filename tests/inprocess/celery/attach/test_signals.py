"""Celery's signals, sent in-process as a worker and its callers send them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from celery import signals
from celery.exceptions import TaskRevokedError

from inprocess.celery import InProcess

PATIENCE_S = 20.0

Got = Callable[[Any], Any]
Make = Callable[..., Any]


@contextmanager
def heard(app: Any, *names: str) -> Iterator[queue.Queue[tuple[str, dict[str, Any]]]]:
    """What these signals bring of the app's tasks while the block lasts, each with its name.

    A task of an earlier test that would not end may end now: signals are the process's.
    """
    found: queue.Queue[tuple[str, dict[str, Any]]] = queue.Queue()

    def note(signal: Any, sender: Any, **told: Any) -> None:
        if getattr(sender, "app", app) is app:  # before a task is sent its sender is but a name
            found.put((signal.name, told))

    for name in names:
        getattr(signals, name).connect(note, weak=False, dispatch_uid="test")
    try:
        yield found
    finally:
        for name in names:
            getattr(signals, name).disconnect(dispatch_uid="test")


def test_the_signals_of_a_task_come_in_their_order(run: InProcess, app: Any, make: Make, got: Got) -> None:
    names = (
        "before_task_publish", "after_task_publish", "task_received", "task_prerun", "task_success",
        "task_postrun",
    )  # fmt: skip
    with heard(app, *names) as found:
        got(make(lambda: 1, name="one").delay())
        seen = [found.get(timeout=PATIENCE_S)[0] for _ in names]
    assert sorted(seen, key=names.index) == list(names)
    assert seen.index("task_received") < seen.index("task_prerun") < seen.index("task_postrun")
    assert run.worker.hostname in app.control.inspect().stats()


@pytest.mark.usefixtures("run")
def test_a_retry_tells_its_reason_and_an_end_without_hope_its_error(app: Any) -> None:
    @app.task(bind=True, name="stubborn", max_retries=1)
    def stubborn(self: Any) -> None:
        raise self.retry(exc=ValueError("no"), countdown=0)

    with heard(app, "task_retry", "task_failure") as found:
        sent = stubborn.delay()
        told = dict(found.get(timeout=PATIENCE_S) for _ in range(2))  # the second run may be the faster one
    retried, failed = told["task_retry"], told["task_failure"]
    assert (retried["request"].id, str(retried["reason"].exc)) == (sent.id, "no")
    assert (failed["task_id"], str(failed["exception"])) == (sent.id, "no")


@pytest.mark.usefixtures("run")
def test_a_revocation_tells_whether_it_was_terminated_or_has_expired(app: Any, make: Make, got: Got) -> None:
    began, go = threading.Event(), threading.Event()

    def busy() -> None:
        began.set()
        while not go.wait(0.01):
            pass

    told = []
    with heard(app, "task_revoked") as found:
        running = make(busy, name="busy").delay()
        assert began.wait(PATIENCE_S)
        late = make(lambda: 1, name="late").apply_async(expires=-1)
        told.append(found.get(timeout=PATIENCE_S)[1])
        running.revoke(terminate=True)
        told.append(found.get(timeout=PATIENCE_S)[1])
    go.set()
    for result in (late, running):
        with pytest.raises(TaskRevokedError):
            got(result)
    assert [(one["request"].id, bool(one["expired"]), bool(one["terminated"])) for one in told] == [
        (late.id, True, False),
        (running.id, False, True),
    ]
