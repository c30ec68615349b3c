"""What newer versions of kombu and redis-py have, for the older ones that Celery 5.4 to 5.6 allow."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import redis


class OlderKombu:
    """What kombu's Redis channel has from 5.7 on. It stands last among the bases: kombu's own goes first."""

    #: Milliseconds after which an unused queue is deleted, by its name: no queue has any.
    _expires: Mapping[str, int] = MappingProxyType({})
    _brpop_sent_at: float | None = None
    #: Seconds that a fetch waits at the broker.
    brpop_timeout = 1

    def _flush_brpop_reauth(self) -> None:
        """Nothing: credentials that change while a connection lasts came with 5.7."""


def take_connection(pool: Any) -> Any:
    """A connection of a redis-py pool; before 5.3 the pool wants the name of a command, and ignores it."""
    return pool.get_connection(*_ARGUMENTS)


_NAME: Final = inspect.signature(redis.ConnectionPool.get_connection).parameters.get("command_name")
_ARGUMENTS: Final = ("",) if _NAME is not None and _NAME.default is _NAME.empty else ()
