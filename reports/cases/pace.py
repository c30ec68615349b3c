"""Questions that rates and times answer: CPU-heavy jobs, requests per second, and being on time."""

from __future__ import annotations

import math
from collections.abc import Mapping

from reports.cases.kinds import Choice, Evidence, Points, Question, queues
from reports.data import evidence, formatting, rerun_commands
from reports.data.evidence import JOURNALLED, TASK, Freshness
from reports.data.run import Run
from reports.verdicts.account_sync import choose, freshest
from reports.verdicts.kinds import Gap

SYNC = "account_sync"
#: Highest p99 lag of the app's loop at which it still answers in time, ms ("on time" in docs/method.md).
RESPONSIVE_MS = 50.0
#: A side has room up to this share of its capacity, the highest load below capacity that is measured.
ROOM = 0.8
#: The choices, requests per second.
RATES = (1, 10, 50, 200)
#: Places for a heavy job inside the app.
IN_APP = ("loop", "thread", "process")
_PLACES = {
    "loop": "on the app's loop",
    "thread": "in a thread of the app",
    "process": "in a process of the app's own",
    "worker": "in a queue's worker",
}


def heavy(run: Run) -> Question:
    """Whether the job is heavy on the processor."""
    rows = run.table("hogs").dropna(subset=["lag_p99_ms"])
    lags = {
        (str(place), str(side)): evidence.middle(group["lag_p99_ms"])
        for (place, side), group in rows.groupby(["place", "side"], sort=False)
    }
    good = {place for (place, _), lag in lags.items() if lag <= RESPONSIVE_MS}
    points = _of_places({place for place, _ in lags}, good)
    where = [_PLACES[place] for place in IN_APP if place in good]
    because = {
        "queue": "The app answered in time only with the job in a queue's worker.",
        "task": f"The app answered in time with the job {' or '.join(where)}, not beside a worker.",
        "either": f"No queue is needed for it, but a place is: {' or '.join(where)}, or in a worker.",
        "neither": f"Nowhere did the loop's lag at p99 stay within {RESPONSIVE_MS:g} ms.",
        "open": "This run does not tell what a heavy job does to the app.",
    }
    return Question(
        key="heavy",
        text="Is it heavy on the processor, for a tenth of a second or more?",
        answers=(
            Choice(
                key="yes",
                label="yes",
                short="it is heavy on the processor",
                points=points,
                implies=because[points],
                evidence=tuple(
                    Evidence(
                        text=f"{formatting.side(side)}, {_PLACES.get(place, place)}: "
                        f"lag of the app's loop p99 {formatting.ms(lag)}",
                        at="responsiveness",
                    )
                    for (place, side), lag in lags.items()
                ),
                gaps=_gaps(run, points, "heavy jobs beside requests", "hogs"),
            ),
            Choice(
                key="no",
                label="no, it mostly waits",
                short="it mostly waits",
                points="either",
                implies="The loop serves others while the job waits; nothing here asks for a queue.",
            ),
        ),
    )


def _of_places(measured: set[str], good: set[str]) -> Points:
    if "worker" not in measured or not measured.intersection(IN_APP):
        return "open"
    in_app, worker = bool(good.intersection(IN_APP)), "worker" in good
    return of_both(task=in_app, queue=worker)


def of_both(*, task: bool, queue: bool) -> Points:
    """The choice, from which sides are good enough."""
    if task and queue:
        return "either"
    if task or queue:
        return "task" if task else "queue"
    return "neither"


def rate(run: Run) -> Question:
    """How many requests per second."""
    most = {
        str(side): evidence.middle(rows["capacity_per_s"])
        for side, rows in run.table("capacity").groupby("side", sort=False)
    }
    return Question(
        key="rate",
        text="How many requests a second that hand over jobs, at the busiest?",
        answers=tuple(_rate(run, requests, most) for requests in RATES),
    )


def _rate(run: Run, requests: int, most: Mapping[str, float]) -> Choice:
    queue = next((side for side in queues(run) if side in most), queues(run)[0])
    task_most, queue_most = (most.get(side, math.nan) for side in (TASK, queue))
    measured = math.isfinite(task_most) and math.isfinite(queue_most)
    points: Points = "open"
    if measured:
        points = of_both(task=requests <= ROOM * task_most, queue=requests <= ROOM * queue_most)
    because = {
        "queue": "Only the queue has room for it here.",
        "task": "Only the app's side has room for it here, where both share one machine; more workers on "
        "more machines are what a queue is for, and were not measured.",
        "either": "Both sides have room for it here.",
        "neither": "Neither side has room for it here: it takes more processes or machines than this.",
        "open": "This run does not tell how much each side gets done.",
    }
    return Choice(
        key=str(requests),
        label=f"{requests}",
        short=formatting.plural(requests, "request") + " a second",
        points=points,
        implies=because[points] + _of_journal(requests, most.get(JOURNALLED, math.nan)),
        evidence=tuple(
            Evidence(
                text=f"{formatting.side(side)} got at most {formatting.number(most[side], 2)} "
                "requests a second done; room is "
                f"up to {ROOM:.0%}".replace("%", " %"),
                at="load",
            )
            for side in (TASK, JOURNALLED, queue)
            if math.isfinite(most.get(side, math.nan))
        ),
        gaps=_gaps(run, points, "the most that each side gets done", "load"),
    )


def _of_journal(requests: int, most: float) -> str:
    """Whether journalled tasks have room, as a sentence; empty where that was not measured."""
    if not math.isfinite(most):
        return ""
    room = "room" if requests <= ROOM * most else "no room"
    return f" Journalled tasks, whose jobs share the app's database, have {room} for it."


def on_time(run: Run) -> Question:
    """Whether a periodic job must run on time."""
    table = run.table("drift")
    found = evidence.freshness(table)
    task = freshest(found, TASK)
    queue = next((best for side in queues(run) if (best := freshest(found, side)) is not None), None)
    points = _freshest_points(task, queue)
    because = {
        "queue": "The queue's schedule kept the balance younger.",
        "task": "The app's own schedule kept the balance younger.",
        "either": "Both keep the balance about as young, each with its best policy.",
        "neither": "Neither side kept it fresh.",
        "open": "This run does not settle which schedule keeps the balance younger.",
    }
    return Question(
        key="on-time",
        text="Must a periodic job run on time?",
        answers=(
            Choice(
                key="yes",
                label="yes",
                short="it must run on time",
                points=points,
                implies=because[points],
                evidence=tuple(
                    Evidence(text=_kept(item, _share(run, item)), at="drift")
                    for item in found
                    if item.side in (TASK, *queues(run))
                ),
                gaps=_gaps(run, "either" if task and queue else "open", "the grid of the sync", "drift"),
                scenario=SYNC,
            ),
            Choice(
                key="no",
                label="no, or nothing is periodic",
                short="nothing must run on time",
                points="either",
                implies="A schedule that slips a little will do; nothing here asks for a queue.",
            ),
        ),
    )


def _freshest_points(task: Freshness | None, queue: Freshness | None) -> Points:
    """As the verdict decides; in-process alone only if the queue's balance is clearly older."""
    choice = choose(task, queue)
    if choice == "queue":
        return "queue"
    if choice != "no queue" or task is None or queue is None:
        return "open"
    return "task" if choose(queue, task) == "queue" else "either"


def _share(run: Run, found: Freshness) -> float:
    rows = run.table("drift")
    own = rows[(rows["side"] == found.side) & (rows["policy"] == found.policy)]
    return evidence.middle(own["on_time_percent"])


def _kept(found: Freshness, share: float) -> str:
    return (
        f"{formatting.side(found.side)}, {formatting.policy(found.policy)}: "
        f"{formatting.number(share)} % of ticks on time, "
        f"age p99 {formatting.age(found.age_p99_ms)} ({formatting.age(found.age_p99_low_ms)} to "
        f"{formatting.age(found.age_p99_high_ms)})"
    )


def _gaps(run: Run, points: Points, what: str, measure: str) -> tuple[Gap, ...]:
    return (Gap(what=what, command=rerun_commands.measure(run, measure)),) if points == "open" else ()
