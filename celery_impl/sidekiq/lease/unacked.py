"""What workers of `redis://` took and did not acknowledge goes back to its queue.

kombu's fetch notes each message in a hash, `unacked`, and in an index by the time at which it was taken. Who
changes an app to the lease transport, and whose last worker of before was killed, has jobs there that no
worker would look for any more. So each worker of the lease transport

1. gives back what has been there for the visibility timeout, as kombu's would (`adopt`, every ADOPT_S);
2. says at its start how many are left, and how they come back at once (`celery sidekiq adopt`).

What is given back is in front of its queue, each job in one step: two workers give it back once.
"""

from __future__ import annotations

import logging
import time
from typing import Any, Final

from kombu.transport.redis import QoS

from celery_impl.sidekiq.redis.sets import BATCH

#: Seconds between two looks.
ADOPT_S: Final = 5.0

logger = logging.getLogger(__name__)


def adopt(channel: Any, *, at_once: bool = False) -> int:
    """Give back what has timed out, or all of it; return how many. Raise redis-py's errors.

    With `at_once` the workers of `redis://` must have ended: what they run would run twice.
    """
    index = channel.sets.prefix + channel.unacked_index_key
    until = "+inf" if at_once else time.time() - channel.visibility_timeout
    notes, adopted = QoS(channel), 0
    while tags := channel.sets.client.zrevrangebyscore(index, until, "-inf", start=0, num=BATCH):
        for tag in tags:
            notes.restore_by_tag(tag.decode())
        adopted += len(tags)
    return adopted


def left(channel: Any) -> int:
    """Return how many jobs are there; raise redis-py's errors."""
    return int(channel.sets.client.zcard(channel.sets.prefix + channel.unacked_index_key))


class Adoption:
    """The looks of one worker. `look` is called every ADOPT_S."""

    def __init__(self, channel: Any) -> None:
        self._channel = channel
        self._told = False

    def look(self) -> None:
        """Give back what has timed out; tell once of what has not yet. Raise redis-py's errors."""
        adopted, waiting = adopt(self._channel), left(self._channel)
        if adopted:
            logger.warning("%s jobs that workers of redis:// left are back in their queues", adopted)
        if waiting and not self._told:
            self._told = True
            logger.warning(
                "%s jobs that workers of redis:// took are not acknowledged: they come back %g s after they "
                "were taken (visibility_timeout), or at once by `celery sidekiq adopt` once these workers "
                "have ended",
                waiting,
                self._channel.visibility_timeout,
            )
