"""A queue's bell: what an idle worker of the lease transport waits for.

A sorted set of at most one member, so that it can be rung at any time and waited for by BZPOPMIN. Who
queues a job rings after it; nothing but a wait depends on it.
"""

from __future__ import annotations

from typing import Final

#: kombu's separator of a queue's name and its priority; ours of a queue's name and its bell.
SEPARATOR: Final = "\x06\x16"

#: In Lua: `ring(key)` rings the bell of the queue whose key, with or without priority, is given.
RING: Final = r"""
local function ring(key)
    redis.call('ZADD', (string.match(key, '^(.-)\6\22%d+$') or key) .. '\6\22bell', 0, 1)
end
"""


def bell_key(queue_key: str) -> str:
    """The key of the bell of the queue with this key, which has no priority in it."""
    return f"{queue_key}{SEPARATOR}bell"
