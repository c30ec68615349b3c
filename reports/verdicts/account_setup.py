"""Account set-up: an accepted one must not be lost, so the losses at the end of a process decide."""

from __future__ import annotations

from collections.abc import Sequence

from bench.schema import State
from reports.data import evidence, formatting, rerun_commands
from reports.data.evidence import JOURNALLED, QUEUES, TASK, Comparison, Losses
from reports.data.run import Run
from reports.verdicts.kinds import (
    JOURNAL_NOTE,
    QUEUE_NOTES,
    Choice,
    Gap,
    Number,
    SideMark,
    Verdict,
    comparison_number,
    cost_number,
    in_order,
    measured,
    median_of,
    queue_in,
)
from reports.verdicts.lossy_faults import but, faults_number, lost_of

SCENARIO = "account_setup"
#: Faults of docs/faults.md that end a process: kill -9 the app, kill -9 the worker, SIGTERM.
STOPPED = 13
ENDINGS = (10, 12, STOPPED)
#: The endings that must have been measured before a side is said to lose nothing.
NEEDED = {TASK: (10,), JOURNALLED: (10,), **dict.fromkeys(QUEUES, (10, 12))}


def judge(run: Run) -> Verdict:
    """The verdict on account set-up."""
    queue = queue_in(run.table("failures"), SCENARIO)
    sides = (TASK, *(side for side in (JOURNALLED, *QUEUES) if side == queue or endings(run, side)))
    by_side = {side: endings(run, side) for side in sides}
    task_ends, queue_ends = by_side[TASK], by_side[queue]
    journal_ends = by_side.get(JOURNALLED, [])
    kept = {side: durability(ends, side) for side, ends in by_side.items()}
    lasting = [*journal_ends, *queue_ends]
    choice = choose(kept[TASK], kept[queue], kept.get(JOURNALLED))
    holding = [side for side in QUEUES if kept.get(side) == "held"]
    counted = _headline_losses(task_ends, lasting)
    shown = {losses.fault for losses in counted}
    others = [
        losses
        for side in sides[1:]
        if side not in {queue, JOURNALLED}
        for losses in by_side[side]
        if losses.fault in shown or losses.lost
    ]
    response = median_of(run, SCENARIO, "response", queue_in(run.table("comparisons"), SCENARIO))
    condition, name = condition_of(choice, "job"), _queue_name(queue, holding)
    marks = in_order(mark(side, ends) for side, ends in by_side.items() if ends)
    against = but(run, SCENARIO, marks)
    return Verdict(
        scenario=SCENARIO,
        choice=choice,
        queue=name,
        condition=condition,
        sentence=_sentence(choice, name, condition, task_ends, lasting) + _except(against),
        question="May an account set-up that was accepted be lost when a process dies?",
        numbers=tuple(loss_number(losses, "jobs") for losses in (*counted, *others)),
        beside=measured(
            *(_late(losses) for ends in by_side.values() for losses in ends),
            *(faults_number(run, SCENARIO, side) for side in sides),
            comparison_number(response),
            cost_number(run, queue),
        ),
        caveat=formatting.room_left(losses.strikes for losses in counted if losses.state == "held"),
        queue_note=" ".join(
            note
            for note, ends in ((JOURNAL_NOTE, journal_ends), (QUEUE_NOTES.get(queue, ""), queue_ends))
            if ends and note
        ),
        marks=marks,
        but=against,
        flips=_flips(choice, name, response, task_ends),
        gaps=_gaps(run, task_ends, queue_ends, response),
    )


def endings(run: Run, side: str, scenario: str = SCENARIO) -> list[Losses]:
    """The losses of a side at each ending that was measured."""
    found = [evidence.losses(run, scenario=scenario, fault=fault, side=side) for fault in ENDINGS]
    return [losses for losses in found if losses is not None]


def durability(ends: Sequence[Losses], side: str) -> State | None:
    """Whether every exposed job was kept at all endings; None if one in `NEEDED` exposed no job."""
    states = {losses.state for losses in ends if losses.exposed}
    if "broken" in states:
        return "broken"
    if not set(NEEDED[side]) <= {losses.fault for losses in ends if losses.exposed}:
        return None
    return "unknown" if "unknown" in states else "held"


def choose(task: State | None, queue: State | None, journal: State | None = None) -> Choice:
    """The verdict from the durability of the sides: the lightest of those that kept every job."""
    if task is None and queue is None and journal is None:
        return "not measured"
    if task == "held":
        return "no queue"
    if task == "broken" and journal == "held":
        return "journal"
    if task == "broken" and queue == "held":
        return "queue"
    if task == "broken" and queue == "broken":
        return "neither"
    return "unsettled"


def condition_of(choice: Choice, noun: str) -> str:
    """When such a verdict holds; empty where it has no condition."""
    conditions = {
        "queue": f"when no accepted {noun} may be lost",
        "journal": f"when no accepted {noun} may be lost",
        "no queue": "if your processes end as they did here",
    }
    return conditions.get(choice, "")


def mark(side: str, ends: Sequence[Losses], noun: str = "job") -> SideMark:
    """Whether a side kept the exposed jobs, by its worst ending; of equals a kill is taken.

    The mark also has the late and stuck jobs at that ending, and the side's other kills, for comparison.
    """
    state = durability(ends, side) or "unknown"
    worst = max(ends, key=lambda losses: (_share(losses), losses.fault in NEEDED[side], losses.exposed))
    text = f"lost {lost_of(worst, noun)}" if worst.exposed else "not exposed"
    notes = [
        _came_late(worst, noun),
        f"{worst.stuck} stuck" if worst.stuck else "",
        *(
            f"lost {lost_of(other, noun)} at {formatting.FAULT_NAMES[other.fault]}"
            for other in ends
            if other.fault in NEEDED[side] and other.fault != worst.fault and other.exposed
        ),
    ]
    at, also = formatting.FAULT_NAMES[worst.fault], tuple(filter(None, notes))
    return SideMark(side=side, state=state, text=text, at=at, also=also)


def describe_losses(ends: Sequence[Losses]) -> str:
    """As in "in-process lost 41 of 50 exposed jobs at kill -9 of the app; hardened Celery lost …"."""
    sides = dict.fromkeys(losses.side for losses in ends)
    return "; ".join(
        f"{formatting.side(side)} lost "
        + " and ".join(_one(losses) for losses in ends if losses.side == side)
        for side in sides
    )


def _one(losses: Losses) -> str:
    where = formatting.FAULT_NAMES[losses.fault]
    if not losses.exposed:
        return f"none at {where}, where no job was exposed"
    notes = [
        _came_late(losses),
        f"{losses.stuck} more still held at the limit" if losses.stuck else "",
    ]
    noted = f" ({'; '.join(filter(None, notes))})" if any(notes) else ""
    return f"{lost_of(losses)} at {where}{noted}"


def _came_late(losses: Losses, noun: str = "job") -> str:
    """How many accepted jobs came late; empty for none."""
    if not losses.late_known:
        return "lateness not measured"
    late = f"{losses.late} of {losses.accepted} accepted {noun}s came late"
    return f"{late} (over {_deadline(losses)})" if losses.late else ""


def _deadline(losses: Losses) -> str:
    return formatting.amount_s(losses.deadline_ms / 1000)


def _headline_losses(task: Sequence[Losses], queue: Sequence[Losses]) -> list[Losses]:
    """The worst ending of in-process; the queue at that ending, at fault 12, and wherever it lost jobs."""
    worst = sorted(task, key=_share, reverse=True)[:1]
    faults = {12, *(losses.fault for losses in worst)}
    return [*worst, *(losses for losses in queue if losses.fault in faults or losses.state != "held")]


def _share(losses: Losses) -> float:
    """Lost of exposed; below none lost where nothing was exposed."""
    return losses.share if losses.exposed else -1


def _queue_name(queue: str, holding: Sequence[str]) -> str:
    """The queue that is judged; either of ours if both kept every job."""
    both = {"celery-stock", "celery-hardened"} <= set(holding)
    return "a queue (stock or hardened)" if both else formatting.queue(queue)


def _sentence(
    choice: Choice, queue: str, condition: str, task: Sequence[Losses], queued: Sequence[Losses]
) -> str:
    name, seen = formatting.scenario(SCENARIO), describe_losses(_headline_losses(task, queued))
    if choice == "not measured":
        why = f": {seen}" if seen else ", and none was killed"
        return f"Not measured: {name} is decided by what a killed process loses{why}."
    beginnings = {
        "queue": f"Take {queue} for {name} {condition}",
        "journal": f"Take a journalled task for {name} {condition}",
        "no queue": f"You do not need a queue for {name} {condition}",
        "neither": f"Neither a task in the app nor {queue} keeps every accepted {name}",
    }
    beginning = beginnings.get(choice) or f"Not settled for {name}: {_why_open(task, queued)}"
    return f"{beginning}: {seen}."


def _why_open(task: Sequence[Losses], queue: Sequence[Losses]) -> str:
    unexposed = [losses for losses in (*task, *queue) if not losses.exposed]
    unknown = [losses for losses in (*task, *queue) if losses.exposed and losses.state == "unknown"]
    for found, why in (
        (unknown, "not every accepted job could be accounted for, with"),
        (unexposed, "no job was exposed, with"),
    ):
        if found:
            where = " and ".join(
                f"{formatting.side(one.side)} at {formatting.FAULT_NAMES[one.fault]}" for one in found
            )
            return f"{why} {where}"
    return "one of the sides was not killed in every way that counts"


def loss_number(losses: Losses, noun: str) -> Number:
    """Lost of exposed at one fault, with what stands beside it."""
    strikes = formatting.plural(losses.strikes, "strike")
    if losses.lost:
        detail = f"{formatting.percent(losses.share)}, in {losses.strikes_with_loss} of {strikes}"
    elif not losses.exposed:
        made = formatting.plural(losses.strikes_made, "strike")
        detail = f"no job was accepted and not done at any of {made}"
    elif losses.checked:
        detail = f"none lost in {strikes}"
    else:
        detail = "unknown: not every accepted job could be accounted for"
    notes = [
        detail,
        f"{losses.accepted} accepted in all" if losses.exposure_known and losses.exposed else "",
        f"{losses.unanswered} more got no answer" if losses.unanswered else "",
        f"{losses.stuck} still held at the limit" if losses.stuck else "",
        f"{losses.duplicated} done twice" if losses.duplicated else "",
    ]
    return Number(
        label=f"{formatting.side(losses.side)}: {noun} lost at {formatting.FAULT_NAMES[losses.fault]}",
        value=f"{losses.lost} of {losses.exposed}" if losses.exposed else "not exposed",
        detail="; ".join(filter(None, notes)),
    )


def _late(losses: Losses) -> Number | None:
    """How many accepted jobs came late at one fault; None for none."""
    if not losses.late:
        return None
    return Number(
        label=f"{formatting.side(losses.side)}: jobs late at {formatting.FAULT_NAMES[losses.fault]}",
        value=f"{losses.late} of {losses.accepted}",
        detail=f"done, but later than {_deadline(losses)} after they were due",
    )


def _except(against: Sequence[SideMark]) -> str:
    """Where a side that is good enough lost jobs all the same, as a sentence of its own."""
    return "".join(f" But {formatting.side(one.side)} {one.text} at {one.at}." for one in against)


def _flips(
    choice: Choice, queue: str, response: Comparison | None, task: Sequence[Losses]
) -> tuple[str, ...]:
    if choice == "journal":
        return (
            f"Jobs that must run on other machines than the app, or off its processor: {queue}.",
            "A database that cannot take two or three more writes for each job, or none that the app has.",
            "A loss you can live with: a task in the app without a journal is enough.",
            f"Processes that only ever end by SIGTERM: {_stopped(task)}.",
        )
    if choice in {"queue", "neither"}:
        sweep = "where a sweep over users without ids, or a person, sets the account up again"
        return (
            f"A loss you can live with: {sweep}, the task in the app is enough{_pace(response)}.",
            f"Processes that only ever end by SIGTERM: {_stopped(task)}.",
        )
    if choice == "no queue":
        return (
            "One lost job that cannot be made good: zero seen is not zero, see how much a zero proves.",
            "Retries that must go on for longer than the app stays up.",
        )
    return ()


def _stopped(task: Sequence[Losses]) -> str:
    """What in-process lost at SIGTERM, and what that says."""
    found = next((losses for losses in task if losses.fault == STOPPED), None)
    if found is None or not found.exposed:
        return "not told by this run"
    refused = f"; {found.unanswered} more callers got no answer" if found.unanswered else ""
    seen = f"in-process lost {lost_of(found)} at it{refused}"
    if found.lost or not found.checked:
        return f"the verdict stays: {seen}"
    return f"then the task in the app is enough: {seen}"


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
        if fault not in {losses.fault for losses in ends if losses.exposed}
    ]
    if response is None:
        gaps.append(
            Gap(what="the response of both sides", command=rerun_commands.measure(run, "latency", SCENARIO))
        )
    return tuple(gaps)
