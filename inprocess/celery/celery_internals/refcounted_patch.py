"""What is changed in Celery for the whole process: once for all runs, and undone when the last has ended."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class RefcountedPatch:
    """A change that any number of runs, ending in any order, may hold."""

    def __init__(self, change: Callable[[], Callable[[], object]]) -> None:
        """Make one; `change` makes the change and returns what undoes it."""
        self._change = change
        self._undo: Callable[[], object] | None = None
        self._holders = 0
        self._lock = threading.Lock()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Have the change made as long as the block runs."""
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
