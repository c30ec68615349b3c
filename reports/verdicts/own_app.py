"""Your own app. We do not know what a lost call costs you, so each verdict names its condition.

The losses at a killed process decide a task, as for account set-up; if no process was killed, the cost to
the caller decides, as for the welcome e-mail. The age of the last run decides an entry of the schedule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reports.data import evidence, formatting, rerun_commands
from reports.data.evidence import TASK, Comparison, Freshness, Losses
from reports.data.run import Run
from reports.verdicts import account_setup, account_sync, welcome_email
from reports.verdicts.kinds import (
    QUEUE_NOTES,
    Choice,
    Gap,
    Number,
    Verdict,
    compared,
    comparison_number,
    cost_number,
    measured,
    median_of,
)

#: The side that runs the app with its own settings.
QUEUE = "celery-app"
#: The kind of an effect that is the completion of a task (`bench.own_app`).
COMPLETION = "completion"


def verdicts(run: Run) -> list[Verdict]:
    """One for each task, then one for each entry that was measured."""
    app = run.mapping("own_app")
    entries = [entry for entry in app.get("entries") or [] if isinstance(entry, dict)]
    return [
        *(_task(run, name) for name in run.texts("scenarios")),
        *(_entry(run, entry) for entry in entries),
    ]


def _task(run: Run, name: str) -> Verdict:
    task, queue = (account_setup.endings(run, side, name) for side in (TASK, QUEUE))
    caller, response = (median_of(run, name, metric, QUEUE) for metric in ("caller", "response"))
    durable = account_setup.choose(
        account_setup.durability(task, TASK), account_setup.durability(queue, QUEUE)
    )
    killed = durable != "not measured"
    choice = durable if killed else welcome_email.choose(caller, response)
    if killed:
        condition = account_setup.condition_of(choice, "call")
        sentence = _ended(name, choice, condition, [*task, *queue])
    else:
        condition = welcome_email.condition_of(choice, "a call")
        sentence = _paced(name, choice, condition, [caller, response], [*task, *queue])
    return Verdict(
        scenario=name,
        choice=choice,
        queue=formatting.queue(QUEUE),
        condition=condition,
        sentence=sentence,
        question="May a call that was accepted be lost when a process dies?",
        numbers=tuple(account_setup.loss_number(ends, "calls") for ends in (*task, *queue)),
        beside=measured(
            comparison_number(caller), comparison_number(response), cost_number(run, QUEUE), *_seen(run, name)
        ),
        caveat=formatting.room_left(ends.strikes for ends in (*task, *queue) if ends.state == "held"),
        queue_note=QUEUE_NOTES[QUEUE],
        marks=(
            tuple(
                account_setup.mark(side, ends, "call")
                for side, ends in ((TASK, task), (QUEUE, queue))
                if ends
            )
            if killed
            else welcome_email.marks(run, name)
        ),
        flips=_flips(run, choice),
        gaps=_gaps(run, task, queue, response),
    )


def _ended(name: str, choice: Choice, condition: str, ends: Sequence[Losses]) -> str:
    beginnings = {
        "queue": f"Take {formatting.queue(QUEUE)} for {name} {condition}",
        "no queue": f"You do not need a queue for {name} {condition}",
        "neither": f"Neither the app's process nor your Celery settings keep every accepted {name}",
    }
    beginning = beginnings.get(choice, f"Not settled for {name}")
    return f"{beginning}: {account_setup.describe_losses(ends)}."


def _paced(
    name: str,
    choice: Choice,
    condition: str,
    comparisons: Sequence[Comparison | None],
    ends: Sequence[Losses],
) -> str:
    """The sentence where no kill reached a call; it names the kills that did not."""
    parts = [compared(item) for item in comparisons if item is not None]
    if unexposed := account_setup.describe_losses(ends):
        parts.append(unexposed)
    if not any(comparisons):
        why = f": {unexposed}" if unexposed else f": no process was killed under {name}"
        return f"Not measured{why}, and no load compared its sides."
    beginnings = {
        "queue": f"Take {formatting.queue(QUEUE)} for {name} {condition}",
        "no queue": f"You do not need a queue for {name} {condition}",
    }
    beginning = beginnings.get(choice, f"Not settled for {name}")
    return f"{beginning}: {'; '.join(parts)}."


def _seen(run: Run, name: str) -> list[Number]:
    """How the effects were counted, and how many calls failed or called sys.exit."""
    seen = (run.mapping("own_app").get("seen") or {}).get(name)
    if not isinstance(seen, Mapping):
        return []
    return [*_counted_by(seen), *_failed(seen)]


def _counted_by(seen: Mapping[str, Any]) -> list[Number]:
    kinds = {str(kind): int(number) for kind, number in dict(seen.get("effects") or {}).items()}
    if not kinds:
        return []
    noted = {kind: number for kind, number in kinds.items() if kind != COMPLETION}
    value = "bench.hooks.effect" if noted else "the task's completion"
    text = ", ".join(f"{number} of {kind}" for kind, number in kinds.items())
    by = (
        "noted by the task itself"
        if noted
        else "Celery's task_success: what was done twice inside is not seen"
    )
    return [Number(label="effects counted by", value=value, detail=f"{text}; {by}")]


def _failed(seen: Mapping[str, Any]) -> list[Number]:
    exits, failed = int(seen.get("exits") or 0), int(seen.get("failed") or 0)
    found = []
    if exits:
        text = "each ends the process that runs it: a worker's child, or the app"
        found.append(Number(label="runs that called sys.exit", value=str(exits), detail=text))
    if failed:
        first = str(seen.get("first_failure") or "")
        found.append(Number(label="calls that failed", value=str(failed), detail=f"the first: {first}"))
    return found


def _flips(run: Run, choice: Choice) -> tuple[str, ...]:
    if choice in {"queue", "neither"}:
        acks = run.mapping("own_app").get("worker") or {}
        late = bool(acks.get("task_acks_late") and acks.get("task_reject_on_worker_lost"))
        own = "A loss you can live with: then the task in the app is enough."
        if choice == "queue" or late:
            return (own,)
        return (
            own,
            "task_acks_late with task_reject_on_worker_lost: without both a killed child loses its call.",
        )
    if choice == "no queue":
        return (
            "One lost call that cannot be made good: zero seen is not zero.",
            "Calls that must go on while the app is down, or be retried for longer than it stays up.",
        )
    return ()


def _gaps(
    run: Run, task: Sequence[Losses], queue: Sequence[Losses], response: Comparison | None
) -> tuple[Gap, ...]:
    needed = [(TASK, fault) for fault in account_setup.NEEDED[TASK]]
    needed += [(QUEUE, fault) for fault in account_setup.NEEDED[QUEUE]]
    there = {(ends.side, ends.fault) for ends in (*task, *queue) if ends.exposed}
    gaps = [
        Gap(
            what=f"{formatting.FAULT_NAMES[fault]}: {formatting.side(side)}",
            command=rerun_commands.measure(run, "fault", fault=fault),
        )
        for side, fault in needed
        if (side, fault) not in there
    ]
    if response is None:
        gaps.append(Gap(what="the response of both sides", command=rerun_commands.measure(run, "latency")))
    return tuple(gaps)


def _entry(run: Run, entry: Mapping[str, Any]) -> Verdict:
    name = str(entry.get("name", ""))
    found = [item for item in evidence.freshness(run.table("drift")) if item.policy == name]
    task, queue = account_sync.freshest(found, TASK), account_sync.freshest(found, QUEUE)
    choice = account_sync.choose(task, queue)
    both = [item for item in (task, queue) if item is not None]
    ages = " and ".join(
        f"{formatting.age(item.age_p99_ms)} with {formatting.side(item.side)}" for item in both
    )
    conditions: dict[Choice, str] = {
        "queue": "when its last run must be as fresh as it can be",
        "no queue": "if this freshness will do",
    }
    condition = conditions.get(choice, "")
    beginnings = {
        "queue": f"Take {formatting.queue(QUEUE)} for the entry {name} {condition}",
        "no queue": f"You do not need a queue for the entry {name} {condition}",
        "unsettled": f"Not settled for the entry {name}",
    }
    text = f"{beginnings.get(choice)}: for 99 % of the time its last run is no older than {ages}."
    every = formatting.number(float(entry.get("every_s") or 0))
    pace = f"every {every} s here; its own: {entry.get('own_schedule')}"
    return Verdict(
        scenario=f"{entry.get('task', '')} ({name})",
        choice=choice,
        queue=formatting.queue(QUEUE),
        condition=condition,
        sentence=text if both else f"Not measured: no block ran the entry {name}.",
        question="How old may the last run of this entry be?",
        numbers=tuple(map(_age, both)),
        beside=(Number(label="pace", value=pace),),
        marks=account_sync.marks(both),
        flips=(),
        gaps=(),
    )


def _age(found: Freshness) -> Number:
    return Number(
        label=f"{formatting.side(found.side)}: age of the last run, p99",
        value=formatting.age(found.age_p99_ms),
        detail=(
            f"{found.missed} of {found.ticks_due} ticks missed; drift "
            f"{formatting.number(found.drift_ppm)} ppm"
        ),
    )
