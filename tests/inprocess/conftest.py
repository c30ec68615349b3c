"""Fixtures of the runtime's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from inprocess.testing import no_leaks


@pytest.fixture(autouse=True)
def _nothing_is_left_over() -> Iterator[None]:
    """After every test: no task, timer, thread, process, name or handler of it is left."""
    with no_leaks():
        yield
