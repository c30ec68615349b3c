"""TickStore: keeps the last tick of periodic servers, so that it survives a restart of the process.

Without one, an interval that is longer than the process lives never ends: a daily server in an app that is
deployed twice a day never runs.

A tick is saved while its run begins, on a thread of its own, so that no disk holds up the loop. If the
process is killed in these milliseconds, the run begins again after the restart; a run that is cut off later
does not. A tick that cannot be saved is logged, and its run goes on.
"""

from __future__ import annotations

import os
import threading
import time
from math import inf
from typing import Final, Protocol

from inprocess.supervision.core.log import log

#: Seconds that the thread which saves waits for more, before it ends.
IDLE_S: Final = 0.2
#: Seconds that the interpreter's exit waits for it.
EXIT_WAIT_S: Final = 5.0
#: Seconds between two log records of ticks that cannot be saved.
ERRORS_S: Final = 60.0


class TickStore(Protocol):
    """Keeps one moment for each name, see `tick_stores`. Any thread; may block and raise OSError."""

    def load(self, name: str) -> float | None:
        """Return the moment that was saved last, seconds since 1970; None if there is none."""

    def save(self, name: str, moment: float) -> None:
        """Save a moment, in place of the last."""


class _Saver:
    """Saves on a thread of its own, the last moment of each server."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: dict[tuple[TickStore, str], float] = {}
        self._saving: dict[tuple[TickStore, str], float] = {}
        self._runs = False
        self._logged_at = -inf

    def put(self, store: TickStore, name: str, moment: float) -> None:
        """Save a moment soon."""
        with self._changed:
            self._waiting[store, name] = moment
            if self._runs:
                self._changed.notify_all()
                return
            self._runs = True
        try:
            threading.Thread(target=self._serve, name="inprocess tick store", daemon=True).start()
        except RuntimeError:  # the interpreter ends, so nothing waits for this any longer
            self._save()

    def unsaved(self, store: TickStore, name: str) -> float | None:
        """Return a moment that is not saved yet."""
        with self._changed:
            return self._waiting.get((store, name), self._saving.get((store, name)))

    def wait(self, seconds: float) -> bool:
        """Wait until all is saved, at most `seconds`; return whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting and not self._saving, seconds)

    def _serve(self) -> None:
        while True:
            self._save()
            with self._changed:
                self._changed.wait_for(lambda: self._waiting, IDLE_S)
                if not self._waiting:
                    self._runs = False
                    return

    def _save(self) -> None:
        with self._changed:
            self._saving, self._waiting = self._waiting, {}
        for (store, name), moment in self._saving.items():
            try:
                store.save(name, moment)
            except Exception as error:  # noqa: BLE001 - a store is the user's; the runs go on
                self._note(store, name, error)
        with self._changed:
            self._saving = {}
            self._changed.notify_all()

    def _note(self, store: TickStore, name: str, error: Exception) -> None:
        now = time.monotonic()
        if now - self._logged_at >= ERRORS_S:
            self._logged_at = now
            log.error(
                "the tick of %s cannot be saved in %r, so it may run again after a restart: %s",
                name,
                store,
                error,
                exc_info=error,
            )


_saver = _Saver()


def save_soon(store: TickStore, name: str, moment: float) -> None:
    """Save a moment, seconds since 1970, without waiting for it. Any thread."""
    _saver.put(store, name, moment)


def load(store: TickStore, name: str) -> float | None:
    """Return the last moment, also one that is being saved. Blocks; raise what the store raises."""
    moment = _saver.unsaved(store, name)
    return store.load(name) if moment is None else moment


def is_saved(store: TickStore, name: str) -> bool:
    """Whether the last moment of this server is saved. Any thread."""
    return _saver.unsaved(store, name) is None


def all_saved() -> bool:
    """Whether nothing waits to be saved. Any thread."""
    return _saver.wait(0)


def wait_until_saved(seconds: float = EXIT_WAIT_S) -> bool:
    """Wait until all is saved, at most `seconds`; return whether it is. Any thread but the loop's."""
    return _saver.wait(seconds)


def _after_fork() -> None:
    global _saver  # noqa: PLW0603 - its thread lives in the original
    _saver = _Saver()


os.register_at_fork(after_in_child=_after_fork)
threading._register_atexit(wait_until_saved)  # type: ignore[attr-defined]  # noqa: SLF001 - before daemon threads freeze
