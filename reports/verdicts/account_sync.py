"""Periodic sync: the balance must be fresh, so its age at p99 decides; drift and missed ticks explain it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from reports.data import evidence, formatting, rerun_commands
from reports.data.evidence import JOURNALLED, QUEUES, TASK, Freshness
from reports.data.run import Run
from reports.verdicts.kinds import QUEUE_NOTES, Choice, Gap, Number, SideMark, Verdict, in_order, measured

SCENARIO = "account_sync"
#: Seconds between two ticks of the sync; no balance can be fresher at p99 (docs/method.md).
INTERVAL_S = 1
#: The fault of docs/faults.md that starts a second app and a second scheduler.
REPLICAS = 29
#: A smaller difference is of no practical use: the larger of this share and this time (docs/method.md).
MARGIN_SHARE = 0.1
MARGIN_MS = 1.0
_CONDITIONS: dict[Choice, str] = {
    "queue": "when the balance must be as fresh as it can be",
    "no queue": "if this freshness will do",
}
#: Milliseconds that a drift of 1 ppm adds in an hour.
_MS_PER_HOUR_PPM = 3.6


def judge(run: Run) -> Verdict:
    """The verdict on the periodic sync."""
    found = evidence.freshness(run.table("drift"))
    task = freshest(found, TASK)
    journalled = freshest(found, JOURNALLED)
    queues = [best for side in QUEUES if (best := freshest(found, side)) is not None]
    queue = queues[0] if queues else None
    choice = choose(task, queue)
    shown = [item for item in (task, journalled, *queues) if item is not None]
    queue_side = queue.side if queue else QUEUES[0]
    condition = _CONDITIONS.get(choice, "")
    marked = marks(shown, f"interval {INTERVAL_S} s")
    return Verdict(
        scenario=SCENARIO,
        choice=choice,
        queue=formatting.queue(queue_side),
        condition=condition,
        sentence=_sentence(choice, condition, task, queue),
        question="How old may the balance be that a reader sees?",
        numbers=measured(_age(task), _age(journalled), *map(_age, queues)),
        beside=measured(_drift(found)),
        queue_note=QUEUE_NOTES.get(queue_side, "") if choice == "queue" else "",
        marks=marked,
        reason=_reason(run, choice, marked),
        flips=_flips(run, choice, found),
        gaps=_gaps(run, task, queue),
    )


def freshest(found: Sequence[Freshness], side: str) -> Freshness | None:
    """The policy of this side with the lowest age at p99."""
    own = [item for item in found if item.side == side]
    return min(own, key=lambda item: item.age_p99_ms, default=None)


def choose(task: Freshness | None, queue: Freshness | None) -> Choice:
    """A queue only if its balance is younger by more than the margin; unsettled if the ranges overlap."""
    if task is None and queue is None:
        return "not measured"
    if task is None or queue is None or task.age_p99_ms == queue.age_p99_ms == math.inf:
        return "unsettled"
    if task.age_p99_ms <= queue.age_p99_ms + max(MARGIN_MS, MARGIN_SHARE * queue.age_p99_ms):
        return "no queue"
    return "queue" if task.age_p99_low_ms > queue.age_p99_high_ms else "unsettled"


def marks(best: Sequence[Freshness], every: str = "") -> tuple[SideMark, ...]:
    """Whether each side's best policy is as fresh as the freshest of all, within the margin."""
    youngest = min((item.age_p99_ms for item in best), default=math.inf)
    limit = youngest + max(MARGIN_MS, MARGIN_SHARE * youngest)
    return in_order(
        SideMark(
            side=item.side,
            state="held" if item.age_p99_ms <= limit < math.inf else "broken",
            text=f"age p99 {formatting.age(item.age_p99_ms)}",
            also=(every,) if every else (),
        )
        for item in best
    )


def _reason(run: Run, choice: Choice, marked: Sequence[SideMark]) -> str:
    """What each side uses, where that and not freshness speaks for the task in the app."""
    found = [cost for mark in marked if (cost := evidence.cost(run.table("cost"), mark.side)) is not None]
    if choice != "no queue" or len(found) < len(marked) or len(found) < 2:  # noqa: PLR2004 - a pair
        return ""
    used = (
        f"{formatting.side(cost.side)} {formatting.number(cost.pss_mb)} MB in "
        f"{formatting.count(cost.processes)} {'process' if cost.processes == 1 else 'processes'}"
        for cost in found
    )
    even = all(mark.state == "held" for mark in marked)
    least = formatting.count(INTERVAL_S * 1000)
    why = f"All are about as fresh, and {least} ms is the least; so what a side uses decides" if even else ""
    return f"{why or 'What each side uses'}, for all its jobs: {'; '.join(used)}."


def _sentence(choice: Choice, condition: str, task: Freshness | None, queue: Freshness | None) -> str:
    name, both = formatting.scenario(SCENARIO), [item for item in (task, queue) if item is not None]
    if not both:
        return f"Not measured: the {name} is decided by how old the balance gets, and no sync was run."
    open_because = "the runs of both sides overlap" if task and queue else "one side was not measured"
    beginnings = {
        "queue": f"Take {formatting.queue(queue.side if queue else '')} for the {name} {condition}",
        "no queue": f"You do not need a queue for the {name} {condition}",
        "unsettled": f"Not settled for the {name}, {open_because}",
    }
    ages = " and ".join(
        f"{formatting.age(item.age_p99_ms)} with {formatting.side(item.side)} "
        f"({formatting.policy(item.policy)})"
        for item in both
    )
    return f"{beginnings[choice]}: for 99 % of the time the balance is no older than {ages}."


def _age(found: Freshness | None) -> Number | None:
    if found is None:
        return None
    low, high = formatting.age(found.age_p99_low_ms), formatting.age(found.age_p99_high_ms)
    return Number(
        label=f"{formatting.side(found.side)}, {formatting.policy(found.policy)}: age of the balance, p99",
        value=formatting.age(found.age_p99_ms),
        detail=f"median of {found.runs} runs, {low} to {high}; oldest {formatting.age(found.age_max_ms)}; "
        f"{found.missed} of {found.ticks_due} ticks missed",
    )


def _drift(found: Sequence[Freshness]) -> Number | None:
    drifts = [item for item in found if math.isfinite(item.drift_ppm)]
    if not drifts:
        return None
    most = max(drifts, key=lambda item: abs(item.drift_ppm))
    return Number(
        label=f"{formatting.side(most.side)}, {formatting.policy(most.policy)}: the strongest drift",
        value=f"{formatting.number(most.drift_ppm)} ppm",
        detail=f"at this pace {formatting.ms(most.drift_ppm * _MS_PER_HOUR_PPM)} an hour",
    )


def _flips(run: Run, choice: Choice, found: Sequence[Freshness]) -> tuple[str, ...]:
    replicas = f"More than one process of the app: then either side needs a lease. {_twice(run)}."
    if choice == "queue":
        return ("A reader who does not mind the difference in age.", replicas)
    if choice == "no queue":
        doubled = [item for item in found if item.duplicates]
        seen = (
            f"{formatting.side(item.side)} ({formatting.policy(item.policy)}) "
            f"ran {item.duplicates} ticks twice here."
            for item in doubled
        )
        return ("A sync that must go on while the app is down.", replicas, *seen)
    return ()


def _twice(run: Run) -> str:
    """How many ticks ran twice with two replicas, for each side."""
    seen = evidence.bursts(run.table("failures"), scenario=SCENARIO, fault=REPLICAS)
    text = [
        f"{formatting.side(side)} ran {formatting.plural(sum(counts), 'tick')} twice within half an "
        f"interval in {formatting.plural(len(counts), 'strike')}"
        for side, counts in seen.items()
    ]
    return f"With two of everything {'; '.join(text)}" if text else "Two replicas were not measured"


def _gaps(run: Run, task: Freshness | None, queue: Freshness | None) -> tuple[Gap, ...]:
    return tuple(
        Gap(what=f"the age of the balance: {name}", command=rerun_commands.measure(run, "drift"))
        for name, item in (("in-process", task), ("a queue", queue))
        if item is None
    )
