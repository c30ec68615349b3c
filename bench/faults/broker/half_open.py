"""Fault 18: the connections to the broker go dead without a word, as when a firewall forgets them.

They are half-open: neither side hears of it. A new connection works at once.
"""

from __future__ import annotations

from bench.faults.spec import Expected, Fault, nothing_lost
from bench.faults.target import Target

#: Seconds until the first effect after which a recovery is no longer "in seconds".
SECONDS_S = 15.0


async def strike(target: Target) -> None:
    """Let the present connections go dead."""
    await target.client.proxy("POST", "/half_open")


FAULT = Fault(
    number=18,
    slug="half-open",
    title="half-open connections to the broker",
    strike=strike,
    timed=True,
    outlasts_strike=True,
    proxied="broker",
    rate=2.0,
    load_s=6.0,
    expected={
        "celery-stock": Expected(
            text="the worker reconnects in about 51 s, by kombu's documentation",
            holds=lambda row: row["t_first_s"] > SECONDS_S,
            drain_s=75.0,
        ),
        "celery-hardened": Expected(
            text="reconnected in seconds; none is lost",
            holds=lambda row: nothing_lost(row) and row["t_first_s"] < SECONDS_S,
            drain_s=40.0,
        ),
    },
)
