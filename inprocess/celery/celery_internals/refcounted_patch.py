"""A patch of Celery for the whole process: applied once for all runs, undone when the last run ends."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class RefcountedPatch:
    """A patch that any number of runs hold; they may end in any order."""

    def __init__(self, change: Callable[[], Callable[[], object]]) -> None:
        """`change` applies the patch and returns a function that undoes it."""
        self._change = change
        self._undo: Callable[[], object] | None = None
        self._holders = 0
        self._lock = threading.Lock()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Apply the patch while the block runs."""
        with self._lock:
            if self._undo is None:
                self._undo = self._change()
            self._holders += 1
        try:
            yield
        finally:
            with self._lock:
                self._holders -= 1
                if not self._holders and self._undo is not None:
                    self._undo()
                    self._undo = None
