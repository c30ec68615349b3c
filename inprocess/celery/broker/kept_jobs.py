"""What an extension of Celery keeps of an app's jobs outside of the queues, while the app runs here.

`celery_impl.sidekiq` does: its sets are in memory then. It puts an object of this kind at
`app.amqp.kept_jobs`, so that the run waits for what is due within its grace, and names what it loses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class KeptJobs(Protocol):
    """Jobs that wait for their time. Any thread."""

    def waiting(self) -> Sequence[Mapping[str, Any]]:
        """Return the headers of their messages."""

    def due_in_s(self) -> float | None:
        """Return the seconds until the next one is sent to its queue; None where none waits."""

    def close(self) -> None:
        """Forget them: the run has ended."""
