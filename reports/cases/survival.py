"""Questions that faults answer: the end of the app, more than one process, retries for hours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.schema import State
from reports.cases.kinds import Choice, Evidence, Points, Question, cell_of, describe_losses, queues
from reports.data import evidence, formatting, rerun_commands
from reports.data.evidence import JOURNALLED, TASK, Losses
from reports.data.run import Run
from reports.verdicts.kinds import Gap, queue_in

SETUP, SYNC, MAIL = "account_setup", "account_sync", "welcome_email"
#: Faults of docs/faults.md: 503 twice, kill -9 of the app, SIGTERM, two replicas.
RETRIED, KILLED, STOPPED, REPLICAS = 1, 10, 13, 29
#: The queue whose scheduler holds a lease.
LEASED_QUEUE = "celery-hardened"
#: What the queue did where a journalled task kept every job.
_AND_THE_QUEUE: dict[State | None, str] = {
    "held": "; the queue kept each job too",
    "broken": "; the queue lost some jobs",
}


def restart(run: Run) -> Question:
    """Whether an accepted job must survive the end of the app."""
    task, journal, queue = _losses(run, KILLED, STOPPED)
    kept = _state(queue, KILLED)
    points = weigh(_state(task, KILLED), kept, _state(journal, KILLED))
    because = {
        "queue": "What waits in the app's memory ended with the app here; the queue kept every accepted job.",
        "journal": "What waits in the app's memory ended with the app here; a journalled task kept every "
        f"accepted job, since each is a row of the app's database{_AND_THE_QUEUE.get(kept, '')}.",
        "task": "The app's side lost nothing here, the queue did.",
        "either": "Neither side lost an accepted job here.",
        "neither": "Both sides lost accepted jobs when the app ended.",
        "open": "This run does not tell what the end of the app does to both sides.",
    }
    return Question(
        key="restart",
        text="Must an accepted job survive the end of the app: a crash, a deploy?",
        answers=(
            Choice(
                key="yes",
                label="yes",
                short="it must survive the end of the app",
                points=points,
                implies=because[points],
                evidence=_found(task, journal, queue),
                gaps=_unmeasured(run, KILLED, task, queue),
                scenario=SETUP,
                queue_too=kept == "held",
            ),
            Choice(
                key="no",
                label="no, losing one is acceptable",
                short="losing one is acceptable",
                points="either",
                implies="The strongest reason for a queue or a journal falls away: what decides is cost and "
                "response.",
                scenario=MAIL,
            ),
        ),
    )


def weigh(task: State | None, queue: State | None, journal: State | None = None) -> Points:
    """The choice, from whether each side kept a promise: the lightest that did; open if that is not known."""
    if task == "broken" and journal == "held":
        return "journal"
    if task is None or queue is None or "unknown" in {task, queue}:
        return "open"
    if task == queue:
        return "either" if task == "held" else "neither"
    return "task" if task == "held" else "queue"


def replicas(run: Run) -> Question:
    """Whether more than one process of the app runs."""
    bursts = evidence.bursts(run.table("failures"), scenario=SYNC, fault=REPLICAS)
    points = of_replicas(bursts)
    alone = " Only periodic jobs are doubled so: a job that a caller submits is taken by one process."
    return Question(
        key="replicas",
        text="Does the app run as more than one process, with a periodic job?",
        answers=(
            Choice(
                key="yes",
                label="yes",
                short="more than one process runs a periodic job",
                points=points,
                implies=_because(points, bursts) + alone,
                evidence=tuple(
                    Evidence(
                        text=f"{formatting.side(side)}: {formatting.plural(sum(seen), 'tick')} twice within "
                        f"half an interval, two replicas, {formatting.plural(len(seen), 'strike')}",
                        at=cell_of(REPLICAS, side),
                    )
                    for side, seen in bursts.items()
                ),
                gaps=_gap(run, points, "two replicas, two schedulers", REPLICAS, SYNC),
                scenario=SYNC,
            ),
            Choice(
                key="no",
                label="no",
                short="one process runs every periodic job",
                points="either",
                implies="One process has one schedule; nothing here asks for a queue.",
            ),
        ),
    )


def of_replicas(bursts: Mapping[str, Sequence[int]]) -> Points:
    """A lease, if a side without one ran a tick twice and no queue with one did; open without a queue."""
    queues_seen = bursts.keys() - {TASK, JOURNALLED}
    if TASK not in bursts or not queues_seen:
        return "open"
    if any(bursts.get(LEASED_QUEUE, ())):
        return "neither" if any(bursts[TASK]) else "task"
    return "lease" if any(map(any, bursts.values())) else "either"


def _because(points: Points, bursts: Mapping[str, Sequence[int]]) -> str:
    """What the figures of two replicas say, and which of the sides held a lease."""
    if points == "open":
        return "This run does not tell what two schedules of one periodic job do."
    if points in {"neither", "task"}:
        task = "no tick" if points == "task" else "ticks"
        return f"Hardened Celery ran ticks twice though its beat holds a lease; in-process ran {task} twice."
    once = [formatting.side(side) for side, seen in bursts.items() if not any(seen)]
    twice = [
        f"{formatting.side(side)} ran {formatting.plural(sum(seen), 'tick')} twice within half an interval"
        for side, seen in bursts.items()
        if any(seen)
    ]
    if points == "either":
        return f"No tick came twice here, with {' and '.join(once)}."
    kept = f", {' and '.join(once)} none" if once else ""
    if any(bursts[TASK]):
        task = (
            "In-process has a lease too (Leased); this run measured it without one."
            if once
            else "Both sides have one (Leased; hardened Celery's beat); this run measured neither."
        )
    else:
        task = "In-process held its lease (Leased); one on a file holds on one host, others on several."
    return f"What helps is a lease, on either side, not a queue: {'; '.join(twice)}{kept}. {task}"


def retries(run: Run) -> Question:
    """Whether a job must be retried for hours."""
    short_task, short_journal, short_queue = _losses(run, RETRIED)
    task, journal, queue = _losses(run, KILLED)
    kept = _state(queue, KILLED)
    points = weigh(_state(task, KILLED), kept, _state(journal, KILLED))
    because = {
        "journal": "A retry that waits in the app's memory ends with the app, and within hours apps are "
        "deployed; a journalled task's retry is a row of the app's database, and outlives it"
        f"{_AND_THE_QUEUE.get(kept, '')}.",
        "queue": "A retry that waits in the app's memory ends with the app, and within hours apps are "
        "deployed; the queue kept what waited.",
        "task": "What waited in the app was kept here, what waited in the queue was not.",
        "either": "Both sides kept what waited when the app was killed.",
        "neither": "Neither side kept everything that waited when the app was killed.",
        "open": "Where a retry waits, and what the end of the app does to it, this run does not tell.",
    }
    inferred = " Inferred from kills of the app: no run retries for hours."
    return Question(
        key="retries",
        text="Must a failed job be retried for hours?",
        answers=(
            Choice(
                key="yes",
                label="yes",
                short="it must be retried for hours",
                points=points,
                implies=because[points] + inferred,
                evidence=(*_found(task, journal, queue), *_found(short_task, short_journal, short_queue)),
                gaps=_unmeasured(run, KILLED, task, queue),
                scenario=SETUP,
                queue_too=kept == "held",
            ),
            Choice(
                key="no",
                label="no, a few tries in seconds",
                short="a few tries in seconds will do",
                points=weigh(*(_state(found, RETRIED) for found in (short_task, short_queue, short_journal))),
                implies="Each build retries within seconds, here after a dependency had failed twice.",
                evidence=_found(short_task, short_journal, short_queue),
                gaps=_unmeasured(run, RETRIED, short_task, short_queue),
            ),
        ),
    )


def _losses(run: Run, *faults: int) -> tuple[list[Losses], list[Losses], list[Losses]]:
    """The losses of account set-ups (or of your own tasks) at these faults: in-process, journalled, queue."""
    own = bool(run.mapping("own_app"))
    scenarios = run.texts("scenarios") if own else [SETUP]
    queue = queues(run)[0] if own else queue_in(run.table("failures"), SETUP)
    task, journal, other = (
        [
            found
            for scenario in scenarios
            for fault in faults
            if (found := evidence.losses(run, scenario=scenario, fault=fault, side=side))
        ]
        for side in (TASK, JOURNALLED, queue)
    )
    return task, journal, other


def _state(found: Sequence[Losses], needed: int) -> State | None:
    """Whether nothing was lost; None if the needed fault was not measured or exposed no job."""
    exposed = [losses for losses in found if losses.exposed]
    states = {losses.state for losses in exposed}
    if needed not in {losses.fault for losses in exposed}:
        return "broken" if "broken" in states else None
    return next((state for state in ("broken", "unknown", "held") if state in states), None)


def _found(*sides: Sequence[Losses]) -> tuple[Evidence, ...]:
    return tuple(
        Evidence(text=describe_losses(losses), at=cell_of(losses.fault, losses.side))
        for found in sides
        for losses in found
    )


def _unmeasured(run: Run, fault: int, *sides: Sequence[Losses]) -> tuple[Gap, ...]:
    """A gap if this fault was not measured at both sides."""
    met = all(fault in {losses.fault for losses in found if losses.exposed} for found in sides)
    return () if met else _gap(run, "open", formatting.FAULT_NAMES[fault], fault, SETUP)


def _gap(run: Run, points: Points, what: str, fault: int, scenario: str) -> tuple[Gap, ...]:
    if points != "open":
        return ()
    return (Gap(what=what, command=rerun_commands.measure(run, "fault", scenario, fault)),)
