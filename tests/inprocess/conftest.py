"""Fixtures of the runtime's tests."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator

import pytest

from inprocess.supervision import names


@pytest.fixture(autouse=True)
def _nothing_is_left_over() -> Iterator[None]:
    """After every test: no name is taken, no thread of a runtime runs, no coroutine was left unawaited."""
    yield
    gc.collect()  # an unawaited coroutine warns here, and warnings are errors
    assert names._names == {}
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("runtime-")] == []
