"""Gives a failed job back to its queue where its retry or its burial cannot be written, after a pause.

The old message is all there is then, so it must not be acknowledged; and a broker that still gives jobs but
takes none (its memory is full, say) would run the job over and over. The pause doubles with each time in
this process, and begins anew once something could be written.
"""

from __future__ import annotations

import time
from typing import Final

from celery.exceptions import Reject

#: Seconds of the first pause, and of the longest.
FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 10.0

_pause_s = FIRST_PAUSE_S


def given_back(reason: object) -> Reject:
    """Pause, and return what a job raises to go back to its queue."""
    global _pause_s
    pause_s, _pause_s = _pause_s, min(2 * _pause_s, LONGEST_PAUSE_S)
    time.sleep(pause_s)
    return Reject(f"given back: {reason}", requeue=True)


def written() -> None:
    """Let pauses begin anew: the broker took something."""
    global _pause_s  # noqa: PLW0603 - as above
    _pause_s = FIRST_PAUSE_S
