"""The errors that the runtime logs in a block: crashes, give-ups, abandoned work."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

#: Name of the logger that the runtime writes to.
LOGGER = "inprocess"


class Crashes(logging.Handler):
    """The logged errors in order; created by `capture_crashes`."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the record."""
        self.records.append(record)

    @property
    def texts(self) -> list[str]:
        """Their messages, without tracebacks."""
        return [record.getMessage() for record in self.records]

    @property
    def errors(self) -> list[BaseException]:
        """Their exceptions."""
        infos = [record.exc_info for record in self.records]
        return [info[1] for info in infos if info is not None and info[1] is not None]

    def assert_none(self) -> None:
        """Fail if anything was logged, and show it."""
        if self.records:
            raise AssertionError("expected no crash, but the log has\n" + self._listing())

    def assert_one(self, error: type[BaseException], text: str = "") -> BaseException:
        """Fail unless exactly one exception of this type, with this text in its message, was logged."""
        found = [
            record.exc_info[1]
            for record in self.records
            if record.exc_info and isinstance(record.exc_info[1], error) and text in record.getMessage()
        ]
        if len(found) != 1 or found[0] is None:
            about = f" with {text!r}" if text else ""
            raise AssertionError(
                f"expected one crash by {error.__name__}{about}, found {len(found)} in\n{self._listing()}"
            )
        return found[0]

    def _listing(self) -> str:
        return "\n".join(f"  {text}" for text in self.texts) or "  (an empty log)"


@contextmanager
def capture_crashes() -> Iterator[Crashes]:
    """Collect the errors that the runtime logs in the block; other handlers get them too.

    The logger must let errors through, as it does by default.
    """
    crashes = Crashes()
    logger = logging.getLogger(LOGGER)
    logger.addHandler(crashes)
    try:
        yield crashes
    finally:
        logger.removeHandler(crashes)
