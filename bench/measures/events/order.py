"""Same-key inversions: two jobs of one key whose effects came in the other order than their submits.

Jobs of different keys may overtake each other: that is concurrency. So may jobs that were submitted at the
same moment, such as the two of an account set-up. A job without an effect is no part of an inversion: it
is lost, stuck or failed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from bench.measures.events.history import JobHistory


def inversions(found: Iterable[JobHistory]) -> dict[str, str]:
    """Each job that overtook another of its key, and the first submitted of those that it overtook."""
    keys: dict[str, list[tuple[int, int, str]]] = defaultdict(list)
    for job in found:
        submitted, effect = job.first("submit"), job.first("effect")
        if submitted is not None and effect is not None:
            keys[job.key].append((submitted, effect, job.job))
    return {
        overtaker: overtaken
        for members in keys.values()
        if len(members) > 1
        for overtaker, overtaken in _overtakers(sorted(members))
    }


def _overtakers(members: list[tuple[int, int, str]]) -> Iterable[tuple[str, str]]:
    """`members` are (submit, effect, name), by submit."""
    for submitted, effect, name in members:
        for earlier, other_effect, other in members:
            if earlier >= submitted:
                break
            if other_effect > effect:
                yield name, other
                break
