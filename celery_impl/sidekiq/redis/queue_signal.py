"""A queue's signal: what an idle worker of the lease transport waits for.

A sorted set of at most one member, so that it can be set at any time and waited for by BZPOPMIN. Whoever
queues a job sets it afterwards; nothing but a wait depends on it.
"""

from __future__ import annotations

from typing import Final

#: kombu's separator of a queue's name and its priority; ours of a queue's name and its signal.
SEPARATOR: Final = "\x06\x16"

#: In Lua: `signal(key)` sets the signal of the queue whose key, with or without priority, is given.
SIGNAL: Final = r"""
local function signal(key)
    redis.call('ZADD', (string.match(key, '^(.-)\6\22%d+$') or key) .. '\6\22bell', 0, 1)
end
"""


def signal_key(queue_key: str) -> str:
    """Return the key of the signal of the queue with this key, which has no priority in it."""
    return f"{queue_key}{SEPARATOR}bell"
