"""Exposure: the jobs that a fault could reach, and how many of them were lost.

A job is exposed if it was accepted by the end of the fault and had no effect before the fault began. Any
other job could not be lost by the fault: to count it would make the loss look small. A kill begins and ends
at the moment that it is made. A job that was lost was exposed, whenever it was accepted: a broker may hand
one to the connection of a worker that has just died. Beside the exposed stand the unanswered: jobs submitted
by the end of the fault whose caller never heard whether they were accepted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bench.measures.events.block import Event
from bench.measures.events.history import JobHistory, histories
from bench.measures.faults.failure import judge


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """The names of the exposed jobs of one scenario, of the lost among them, and of the unanswered."""

    exposed: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    unanswered: tuple[str, ...] = ()


def exposure(events: Sequence[Event], *, scenario: str, from_ns: int, until_ns: int) -> Exposure:
    """Return the jobs that were exposed to a fault that lasted from `from_ns` until `until_ns`."""
    judged, found = judge(events, scenario=scenario, deadline_ms=math.inf), histories(events)
    lost = set(judged.classes["lost"])
    exposed = [
        job
        for job in judged.acceptance["accepted"]
        if job in lost or _is_exposed(found[job], from_ns, until_ns)
    ]
    unknown = judged.acceptance["unknown"]
    return Exposure(
        exposed=tuple(exposed),
        lost=tuple(job for job in exposed if job in lost),
        unanswered=tuple(job for job in unknown if _is_unanswered(found[job], from_ns, until_ns)),
    )


def _is_exposed(job: JobHistory, from_ns: int, until_ns: int) -> bool:
    accepted, effect = job.first("accepted"), job.first("effect")
    return accepted is not None and accepted <= until_ns and (effect is None or effect >= from_ns)


def _is_unanswered(job: JobHistory, from_ns: int, until_ns: int) -> bool:
    """Whether the job was under way to the side, or in it, while the fault lasted."""
    asked = min(filter(None, (job.first("request"), job.first("submit"))), default=None)
    effect = job.first("effect")
    return asked is not None and asked <= until_ns and (effect is None or effect >= from_ns)
