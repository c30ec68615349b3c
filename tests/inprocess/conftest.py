"""Fixtures of the runtime's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from inprocess import set_watchdog
from inprocess.testing import no_leaks

#: Seconds that a loop may stand still without a line: a busy machine stops each for a while.
BLOCKED_AFTER_S = 30.0
set_watchdog(blocked_after_s=BLOCKED_AFTER_S)


@pytest.fixture(autouse=True)
def _nothing_is_left_over() -> Iterator[None]:
    """After every test: no task, timer, thread, process, name or handler of it is left."""
    with no_leaks():
        yield
