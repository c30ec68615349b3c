"""An app and its run, new for each test."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from celery import Celery

from inprocess.celery import InProcess, run_in_process

#: Seconds that anything awaited by a test may take.
PATIENCE_S = 60.0

_numbers = itertools.count(1)


@pytest.fixture
def app() -> Any:
    """An app of its own name, whose tasks no other app shares; where it is set up nobody listens."""
    made: Any = Celery(f"app{next(_numbers)}", broker="amqp://127.0.0.1:1//", set_as_current=False)
    made.task = partial(made.task, shared=False)
    return made


@pytest.fixture
def run(app: Any) -> Iterator[InProcess]:
    """The app, run in this process; tasks may be added later."""
    with run_in_process(app, grace_s=1.0) as running:
        yield running


@pytest.fixture
def make(app: Any) -> Callable[..., Any]:
    """Make a task of any function, a lambda too, under a name."""

    def task(function: Any, *, name: str, **options: Any) -> Any:
        function.__name__ = name  # Celery writes it into a `def`
        return app.task(function, name=name, **options)

    return task


@pytest.fixture
def got() -> Callable[[Any], Any]:
    """The result of a task, waited for."""
    return lambda result: result.get(timeout=PATIENCE_S)
