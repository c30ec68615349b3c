"""Jobs that are due and wait in a set until somebody queues them: how many, and queue them.

Every living worker does that four times a second. Where none lives, because an autoscaler has stopped them
all, nobody does: the queue's list stays empty, and an autoscaler that looks at the list alone starts none.
Let it count `due_jobs` as well, or call `promote_due_jobs` (`celery sidekiq promote`) before it looks.
"""

from __future__ import annotations

from typing import Any, Final

from celery import Celery

from celery_impl.sidekiq.jobs.entry_format import MARK
from celery_impl.sidekiq.redis.queue_signal import SEPARATOR
from celery_impl.sidekiq.redis.server_clock import CLOCK_S
from celery_impl.sidekiq.redis.sets import RETRY, SCHEDULE
from celery_impl.sidekiq.redis.store import Store

# An entry is its version, the key of its queue and the message, each after a line feed.
_DUE: Final = """
local counts, keys = {}, {}
for _, set in ipairs(KEYS) do
    for _, entry in ipairs(redis.call('ZRANGEBYSCORE', set, '-inf', clock())) do
        local from = #ARGV[2] + 1
        local cut = string.sub(entry, 1, #ARGV[2]) == ARGV[2] and string.find(entry, '\\n', from, true)
        if cut then
            local key = string.sub(entry, from, cut - 1)
            if not counts[key] then keys[#keys + 1] = key end
            counts[key] = (counts[key] or 0) + 1
        end
    end
end
for place, key in ipairs(keys) do keys[place] = {key, counts[key]} end
return keys
"""


def due_jobs(app: Celery) -> dict[str, int]:
    """Return how many jobs of each queue are due by the broker's clock and not queued yet.

    Queues without any are left out. Raise the broker's errors, and RabbitMQError where the app has no sets.
    """
    store = Store.of(app, "due_jobs")
    keys = [store.prefix + name for name in (SCHEDULE, RETRY)]
    found: Any = store.client.eval(CLOCK_S + _DUE, len(keys), *keys, "", MARK)
    counts: dict[str, int] = {}
    for key, count in found:
        queue = key.decode().rsplit(SEPARATOR, 1)[0]
        counts[queue] = counts.get(queue, 0) + int(count)
    return counts


def promote_due_jobs(app: Celery) -> int:
    """Queue every job that is due by the broker's clock; return how many. Raise as `due_jobs`."""
    return Store.of(app, "promote_due_jobs").sets.promote()
