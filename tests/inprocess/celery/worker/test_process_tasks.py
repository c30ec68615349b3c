"""Tasks in processes of their own, with Celery's retries, states and limits."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from celery.exceptions import TimeLimitExceeded

from inprocess.celery import InProcess, run_in_process

PATIENCE_S = 30.0

Got = Callable[[Any], Any]


@pytest.fixture
def tasks(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The module, under the name by which a worker process can import it."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    module = importlib.import_module("isolated_app")
    module.app.set_current()
    yield module
    module.noted.clear()
    sys.modules.pop("isolated_app")


@pytest.fixture
def isolated(tasks: Any) -> Iterator[InProcess]:
    with run_in_process(tasks.app) as run:
        yield run


@pytest.mark.usefixtures("isolated")
def test_it_runs_elsewhere_and_what_it_sends_arrives_here(tasks: Any, got: Got) -> None:
    sent = tasks.work.delay(4)
    pid, task_id, retries = got(sent)
    assert pid != os.getpid()
    assert (task_id, retries) == (sent.id, 1)
    got(tasks.note.delay(5))
    assert sorted(tasks.noted) == [(os.getpid(), 4), (os.getpid(), 5)]


@pytest.mark.usefixtures("isolated")
def test_a_process_that_dies_is_a_lost_worker(tasks: Any, got: Got) -> None:
    with pytest.raises(Exception, match="exited with code 3 before the function returned"):
        got(tasks.die.delay())


@pytest.mark.usefixtures("isolated")
def test_a_hard_limit_kills_the_process(tasks: Any, got: Got) -> None:
    with pytest.raises(TimeLimitExceeded):
        got(tasks.sleep.delay())
