"""What kombu's Redis channel has from 5.7 on, for a channel on an older kombu."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType


class OlderKombu:
    """Stands last among the bases of a channel, so that what kombu has goes before it."""

    #: Milliseconds after which an unused queue is deleted, by its name: no queue has any.
    _expires: Mapping[str, int] = MappingProxyType({})
    _brpop_sent_at: float | None = None
    #: Seconds that a fetch waits at the broker.
    brpop_timeout: float = 1

    def _flush_brpop_reauth(self) -> None:
        """Nothing: credentials that change while a connection lasts came with 5.7."""
