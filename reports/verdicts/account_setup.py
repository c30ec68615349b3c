"""Account set-up: an accepted one must not be lost, so the losses at the end of a process decide."""

from __future__ import annotations

from collections.abc import Sequence

from bench.schema import State
from reports.data import evidence, formatting, rerun_commands
from reports.data.evidence import QUEUES, TASK, Comparison, Losses
from reports.data.run import Run
from reports.verdicts.kinds import (
    Choice,
    Gap,
    Number,
    Verdict,
    comparison_number,
    cost_number,
    measured,
    median_of,
    queue_in,
)

SCENARIO = "account_setup"
#: Faults of docs/faults.md that end a process: kill -9 the app, kill -9 the worker, SIGTERM.
ENDINGS = (10, 12, 13)
#: The endings that must have been measured before a side is said to lose nothing.
NEEDED = {TASK: (10,), **dict.fromkeys(QUEUES, (10, 12))}


def judge(run: Run) -> Verdict:
    """The verdict on account set-up."""
    queue = queue_in(run.table("failures"), SCENARIO)
    task_ends, queue_ends = endings(run, TASK), endings(run, queue)
    choice = choose(durability(task_ends, TASK), durability(queue_ends, queue))
    counted = _headline_losses(task_ends, queue_ends)
    response = median_of(run, SCENARIO, "response", queue_in(run.table("comparisons"), SCENARIO))
    return Verdict(
        scenario=SCENARIO,
        choice=choice,
        sentence=_sentence(choice, task_ends, queue_ends),
        question="May an account set-up that was accepted be lost when a process dies?",
        numbers=tuple(_number(ends) for ends in counted),
        beside=measured(comparison_number(response), cost_number(run, queue)),
        caveat=formatting.room_left(ends.strikes for ends in counted if ends.state == "held"),
        flips=_flips(choice, response),
        gaps=_gaps(run, task_ends, queue_ends, response),
    )


def endings(run: Run, side: str) -> list[Losses]:
    """The losses of a side at each ending that was measured."""
    found = [evidence.losses(run, scenario=SCENARIO, fault=fault, side=side) for fault in ENDINGS]
    return [losses for losses in found if losses is not None]


def durability(ends: Sequence[Losses], side: str) -> State | None:
    """Whether every accepted job was kept at all endings; None if an ending in `NEEDED` was not measured."""
    states = {losses.state for losses in ends}
    if "broken" in states:
        return "broken"
    if not set(NEEDED[side]) <= {losses.fault for losses in ends}:
        return None
    return "unknown" if "unknown" in states else "held"


def choose(task: State | None, queue: State | None) -> Choice:
    """The verdict from the durability of both sides."""
    if task is None and queue is None:
        return "not measured"
    if task == "held":
        return "no queue"
    if task == "broken" and queue == "held":
        return "queue"
    if task == "broken" and queue == "broken":
        return "neither"
    return "unsettled"


def describe_losses(ends: Sequence[Losses]) -> str:
    """As in "in-process lost 41 of 50 accepted jobs at kill -9 of the app; hardened Celery lost …"."""
    sides = dict.fromkeys(losses.side for losses in ends)
    return "; ".join(
        f"{formatting.side(side)} lost "
        + " and ".join(_one(losses) for losses in ends if losses.side == side)
        for side in sides
    )


def _one(losses: Losses) -> str:
    held = f" ({losses.stuck} more still held at the limit)" if losses.stuck else ""
    return f"{losses.lost} of {losses.accepted} accepted jobs at {formatting.FAULT_NAMES[losses.fault]}{held}"


def _headline_losses(task: Sequence[Losses], queue: Sequence[Losses]) -> list[Losses]:
    """The worst ending of in-process; the queue at that ending, at fault 12, and wherever it lost jobs."""
    worst = _worst(task)
    faults = {12, *(losses.fault for losses in worst)}
    return [*worst, *(losses for losses in queue if losses.fault in faults or losses.state != "held")]


def _worst(ends: Sequence[Losses]) -> list[Losses]:
    return sorted(ends, key=lambda losses: losses.share, reverse=True)[:1]


def _sentence(choice: Choice, task: Sequence[Losses], queue: Sequence[Losses]) -> str:
    name, seen = formatting.scenario(SCENARIO), describe_losses(_headline_losses(task, queue))
    beginnings = {
        "queue": f"Take a queue for {name} when no accepted job may be lost",
        "no queue": f"You do not need a queue for {name} if your processes end as they did here",
        "neither": f"A queue alone does not keep every accepted {name}",
        "unsettled": f"Not settled for {name}: {_why_open(task, queue)}",
    }
    if choice == "not measured" or not seen:
        return f"Not measured: {name} is decided by what a killed process loses, and none was killed."
    return f"{beginnings[choice]}: {seen}."


def _why_open(task: Sequence[Losses], queue: Sequence[Losses]) -> str:
    open_ends = [losses for losses in (*task, *queue) if losses.state == "unknown"]
    if open_ends:
        where = " and ".join(
            f"{formatting.side(one.side)} at {formatting.FAULT_NAMES[one.fault]}" for one in open_ends
        )
        return f"not every accepted job could be accounted for, with {where}"
    return "one of the sides was not killed in every way that counts"


def _number(losses: Losses) -> Number:
    if losses.lost:
        strikes = f"{losses.strikes_with_loss} of {formatting.plural(losses.strikes, 'strike')}"
        detail = f"{formatting.percent(losses.share)} of the {losses.exposed} jobs exposed, in {strikes}"
    elif losses.checked:
        detail = f"none lost in {formatting.plural(losses.strikes, 'strike')}"
    else:
        detail = "unknown: not every accepted job could be accounted for"
    return Number(
        label=f"{formatting.side(losses.side)}: jobs lost at {formatting.FAULT_NAMES[losses.fault]}",
        value=f"{losses.lost} of {losses.accepted}",
        detail=detail,
    )


def _flips(choice: Choice, response: Comparison | None) -> tuple[str, ...]:
    if choice in {"queue", "neither"}:
        sweep = "where a sweep over users without ids, or a person, sets the account up again"
        return (
            f"A loss you can live with: {sweep}, the task in the app is enough{_pace(response)}.",
            "Processes that only ever end by SIGTERM: see that row of the failures.",
        )
    if choice == "no queue":
        return (
            "One lost job that cannot be made good: zero seen is not zero, see how much a zero proves.",
            "Retries that must go on for longer than the app stays up.",
        )
    return ()


def _pace(response: Comparison | None) -> str:
    if response is None or not response.differs:
        return ""
    size = (
        formatting.fold(response.ratio)
        if response.size_known
        else formatting.interval(response.low, response.high)
    )
    return f" (the queue's median response is {size} that of in-process)" if size else ""


def _gaps(
    run: Run, task: Sequence[Losses], queue: Sequence[Losses], response: Comparison | None
) -> tuple[Gap, ...]:
    gaps = [
        Gap(
            what=f"{formatting.FAULT_NAMES[fault]}: {name}",
            command=rerun_commands.measure(run, "fault", SCENARIO, fault),
        )
        for name, ends, needed in (("in-process", task, NEEDED[TASK]), ("a queue", queue, NEEDED[QUEUES[0]]))
        for fault in needed
        if fault not in {losses.fault for losses in ends}
    ]
    if response is None:
        gaps.append(
            Gap(what="the response of both sides", command=rerun_commands.measure(run, "latency", SCENARIO))
        )
    return tuple(gaps)
