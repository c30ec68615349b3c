"""Cold start: from the spawn of a side to its first effect, with the share of each part.

The services that a side calls belong to no side, so the time until they are up is left out: the clock runs
while the broker starts, stops until the services are up, and runs again from the spawn of the first other
part. One request of each kind is sent as soon as the app listens.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bench.measures.events.block import NS_PER_S, Block, Event
from bench.measures.events.clocks import Clocks

#: The names of a side's parts.
BROKER, APP, WORKER = "broker", "app", "worker"

_NEVER = float("nan")


def first_effect_s(began: Mapping[str, int], listened: Mapping[str, int], events: Iterable[Event]) -> float:
    """Seconds from the spawn of a side to its first effect; `inf` where there was none, NaN on another host.

    `began` and `listened` have the moments (ns) at which a part was spawned and, for broker and app,
    at which it listened.
    """
    seen = list(events)
    if not Clocks(seen).shared("submit", "effect"):  # the app submits, and its host spawned it
        return _NEVER
    effects = [int(event["t"]) for event in seen if event["event"] == "effect"]
    spawned = min(t for part, t in began.items() if part in {APP, WORKER})
    rest_s = (min(effects) - spawned) / NS_PER_S if effects else float("inf")
    return rest_s + (_took_s(BROKER, began, listened) if BROKER in began else 0.0)


def cold_row(
    block: Block, *, began: Mapping[str, int], listened: Mapping[str, int], events: Iterable[Event]
) -> dict[str, object]:
    """Return a row of `TABLES["cold"]`; NaN for a part that the side does not have."""
    seen = list(events)
    starts = {WORKER: min((int(event["t"]) for event in seen if event["event"] == "start"), default=0)}
    return {
        "block": block.block,
        "side": block.side,
        "repetition": block.repetition,
        "broker_s": _took_s(BROKER, began, listened),
        "app_s": _took_s(APP, began, listened),
        "worker_s": _took_s(WORKER, began, {name: t for name, t in starts.items() if t}),
        "first_effect_s": first_effect_s(began, listened, seen),
    }


def _took_s(part: str, began: Mapping[str, int], ready: Mapping[str, int]) -> float:
    return (ready[part] - began[part]) / NS_PER_S if part in began and part in ready else _NEVER
