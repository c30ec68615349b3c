"""Queues by weight, as Sidekiq has them: the order is drawn anew for each fetch."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Final

#: Weight of a queue that is consumed but has none.
DEFAULT_WEIGHT: Final = 1


class WeightedCycle:
    """Puts each queue first with a chance in proportion to its weight, then the next among the rest.

    What kombu calls a cycle: it updates, consumes and rotates.
    """

    def __init__(self, weights: Mapping[str, int], draw: Callable[[], float] = random.random) -> None:
        self._queues: list[str] = []
        self._weights = weights
        self._draw = draw

    def update(self, it: Iterable[str]) -> None:
        """Draw from these queues from now on."""
        self._queues = list(it)

    def rotate(self, last_used: str) -> None:
        """Do nothing: the queue that was used last has the same chance again."""

    def consume(self, n: int) -> list[str]:
        """Return the first `n` queues of a fresh order."""
        if len(self._queues) < 2:  # noqa: PLR2004 - nothing to draw
            return list(self._queues[:n])
        # Efraimidis and Spirakis: sorting by u ** (1 / weight) is drawing without putting back.
        keys = {item: self._draw() ** (1 / self._weights.get(item, DEFAULT_WEIGHT)) for item in self._queues}
        return sorted(self._queues, key=keys.__getitem__, reverse=True)[:n]


def weighted(weights: Mapping[str, int]) -> Callable[[], WeightedCycle]:
    """Return the option `queue_order_strategy` for these weights; raise ValueError for one below 1."""
    for queue, weight in weights.items():
        if weight < 1:
            raise ValueError(f"the weight of queue {queue!r} is {weight}: expected 1 or more")
    return partial(WeightedCycle, weights)
