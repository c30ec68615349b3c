"""`lease+redis://host:port/db`: kombu's Redis transport, with jobs moved and held by `scripts`.

`register` makes the URL known to kombu; call it before the first connection. In kombu's words: the alias is
`lease`, and `can_parse_url` leaves what follows the plus to the transport. `lease+rediss://` is the same over
TLS, `lease+socket:///path` over a Unix socket. Producers may use any transport of Celery for Redis: queues
and messages are the same. Consumers must not: their fetch does not know a pause, and loses jobs when killed.

| transport option       | meaning                                                       | default     |
|------------------------|---------------------------------------------------------------|-------------|
| `lease_s`              | seconds without a sign of life until a worker's jobs go back  | 3.0         |
| `ack_batch`            | finished jobs that a kill may repeat (pool solo, see `inbox`) | 10          |
| `queue_order_strategy` | `weighted({"high": 5, "low": 1})`, or kombu's                 | round_robin |
| `polling_interval`     | seconds until a job is found that nobody signalled           | 1           |
"""

from __future__ import annotations

from typing import Any, Final

from celery.app.backends import BACKEND_ALIASES
from kombu.connection import resolve_aliases  # type: ignore[attr-defined] # not in the stubs
from kombu.transport import TRANSPORT_ALIASES, redis
from kombu.utils.url import parse_url

from celery_impl.sidekiq.lease.channel import Channel
from celery_impl.sidekiq.lease.inbox import ACK_BATCH
from celery_impl.sidekiq.redis.queue_signal import SEPARATOR

#: What kombu knows the transport by: what stands before the plus, or, of an alternate, before the colon.
ALIAS: Final = "lease"
ALIASES: Final = (ALIAS, "lease+redis", "lease+rediss")
#: What `broker_transport` names for a URL with one of these schemes.
PLAIN: Final = {"redis": "sidekiq-lease", "rediss": "sidekiq-lease-tls"}


class Transport(redis.Transport):
    """The transport of a `redis://` URL whose app asks for the lease; kombu reads the URL."""

    Channel = Channel
    #: What the URL says, in kombu's words, where kombu has left it to us.
    address: Any = None

    def __init__(self, client: Any, **options: Any) -> None:
        chosen = client.transport_options
        if not chosen.get("ack_emulation", True) or chosen.get("sep", SEPARATOR) != SEPARATOR:
            raise ValueError("lease+redis:// needs kombu's own ack_emulation and sep: remove these options")
        batch = chosen.get("ack_batch", ACK_BATCH)
        if not isinstance(batch, int) or batch < 1:
            raise ValueError(
                f"the transport option ack_batch is {batch!r}: expected a whole number from 1 on"
            )
        super().__init__(client, **options)


class AliasTransport(Transport):
    """The transport of `lease+redis://`, of whose URL kombu reads nothing."""

    can_parse_url = True

    def __init__(self, client: Any, **options: Any) -> None:
        scheme, cut, _ = (client.hostname or "").partition("://")
        if cut and scheme != "socket":  # which kombu's channel reads
            self.address = parse_url(client.hostname)
        super().__init__(client, **options)


def register() -> None:
    """Make the aliases known to kombu."""
    # A result backend that is the broker's URL: Celery leaves the rest of it to this backend.
    BACKEND_ALIASES["lease"] = BACKEND_ALIASES["redis"]
    for scheme, plain in PLAIN.items():
        TRANSPORT_ALIASES[plain] = f"{__name__}:Transport"
        resolve_aliases[plain] = scheme  # what others read in a connection's info
    for alias in ALIASES:
        TRANSPORT_ALIASES[alias] = f"{__name__}:AliasTransport"
