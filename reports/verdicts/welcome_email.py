"""Welcome e-mail: it may be lost, so the cost to the caller decides, and then the response."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bench.schema import State
from reports.data import evidence, formatting, rerun_commands
from reports.data.evidence import JOURNALLED, QUEUES, TASK, Comparison
from reports.data.frames import groups
from reports.data.run import Run
from reports.verdicts.account_setup import describe_losses
from reports.verdicts.kinds import (
    JOURNAL_NOTE,
    QUEUE_NOTES,
    Choice,
    Gap,
    SideMark,
    Verdict,
    compared,
    comparison_number,
    cost_number,
    in_order,
    measured,
    median_of,
    queue_in,
)

SCENARIO = "welcome_email"
#: The sides that are compared with in-process.
OTHERS = (JOURNALLED, *QUEUES)
#: Whether a queue is good enough whose caller cost compares so with that of in-process.
_STATES: dict[str, State] = {"higher": "broken", "lower": "held", "no clear difference": "held"}


def judge(run: Run) -> Verdict:
    """The verdict on the welcome e-mail."""
    queue = queue_in(run.table("comparisons"), SCENARIO)
    caller, response = (median_of(run, SCENARIO, metric, queue) for metric in ("caller", "response"))
    choice = choose(caller, response)
    condition = condition_of(choice)
    others = [side for side in OTHERS if side != queue]
    marked = marks(run, SCENARIO)
    return Verdict(
        scenario=SCENARIO,
        choice=choice,
        queue=formatting.queue(queue),
        condition=condition,
        sentence=_sentence(choice, queue, condition, caller, response),
        question="How much may a mail cost, if nobody waits for it and it is never sent again?",
        numbers=measured(comparison_number(caller), comparison_number(response)),
        beside=measured(
            *(comparison_number(median_of(run, SCENARIO, "caller", side)) for side in others),
            comparison_number(median_of(run, SCENARIO, "response", JOURNALLED)),
            comparison_number(median_of(run, SCENARIO, "request", "inline")),
            cost_number(run, queue),
        ),
        queue_note=_notes(choice, queue, marked),
        marks=marked,
        reason=_reason(run, marked),
        flips=_flips(run, choice, queue),
        gaps=_gaps(run, caller, response),
    )


def choose(caller: Comparison | None, response: Comparison | None) -> Choice:
    """Caller cost decides if it differs, else the response; without a clear difference no queue is needed."""
    said = [item.words for item in (caller, response) if item is not None]
    if not said:
        return "not measured"
    decisive = next((item.words for item in (caller, response) if item is not None and item.differs), "")
    if decisive:
        return "queue" if decisive == "lower" else "no queue"
    return "no queue" if "no clear difference" in said else "unsettled"


def condition_of(choice: Choice, noun: str = "one") -> str:
    """When such a verdict holds; empty where it has no condition."""
    conditions = {
        "queue": "when that time counts",
        "no queue": f"if losing {noun} at a crash is acceptable",
    }
    return conditions.get(choice, "")


def marks(run: Run, scenario: str) -> tuple[SideMark, ...]:
    """Whether each side costs its caller no more than the cheapest, by the words; else by the response."""
    for metric, text in (("caller", "caller pays"), ("response", "median response")):
        against = {
            side: found for side in OTHERS if (found := median_of(run, scenario, metric, side)) is not None
        }
        words = {side: found.words for side, found in against.items()}
        if words:
            states = {side: _STATES.get(word, "unknown") for side, word in words.items()}
            states[TASK] = _task_state(list(words.values()))
            medians = _medians(run, scenario, metric)
            return in_order(
                SideMark(
                    side=side,
                    state=state,
                    text=f"{text} {formatting.ms(medians[side])}",
                    also=_than_task(against.get(side)),
                )
                for side, state in states.items()
                if side in medians
            )
    return ()


def _notes(choice: Choice, queue: str, marked: Sequence[SideMark]) -> str:
    """What the sides are that the card speaks of and that need a word."""
    notes = [
        JOURNAL_NOTE if any(mark.side == JOURNALLED for mark in marked) else "",
        QUEUE_NOTES.get(queue, "") if choice == "queue" else "",
    ]
    return " ".join(filter(None, notes))


def _than_task(found: Comparison | None) -> tuple[str, ...]:
    """By how much a queue differs from in-process, as in "11.5 ms more than in-process"."""
    if found is None or not found.differs:
        return ()
    than = {"higher": "more", "lower": "less"}[found.words]
    by = f"{formatting.ms(abs(found.difference_ms))} " if math.isfinite(found.difference_ms) else ""
    return (f"{by}{than} than in-process",)


def _reason(run: Run, marked: Sequence[SideMark]) -> str:
    """What a cross means: more than the cheapest by more than the margin."""
    crossed = [mark.side for mark in marked if mark.state == "broken"]
    metric = "caller" if any(mark.text.startswith("caller") for mark in marked) else "response"
    sides = [side for side in OTHERS if not crossed or side in crossed or TASK in crossed]
    found = [one for side in sides if (one := median_of(run, SCENARIO, metric, side)) is not None]
    margins = sorted({formatting.ms(one.margin_ms) for one in found if math.isfinite(one.margin_ms)})
    if not crossed or not margins:
        return ""
    margin = " or ".join(margins)
    return (
        f"✗: more than the cheapest side by over {margin}, the margin; the differences are of geometric "
        "means over the pairs of blocks."
    )


def _medians(run: Run, scenario: str, metric: str) -> dict[str, float]:
    """The median over blocks of the median, by side."""
    latency = run.table("latency").dropna(subset=["value_ms"])
    rows = latency[
        (latency["scenario"] == scenario)
        & (latency["metric"] == metric)
        & ((latency["quantile"] - formatting.MEDIAN).abs() < evidence.ROUNDING)
    ]
    return {str(side): evidence.middle(group["value_ms"]) for side, group in groups(rows, "side")}


def _task_state(words: Sequence[str]) -> State:
    if "lower" in words:
        return "broken"
    return "held" if {"higher", "no clear difference"} & set(words) else "unknown"


def _sentence(
    choice: Choice, queue: str, condition: str, caller: Comparison | None, response: Comparison | None
) -> str:
    name, both = formatting.scenario(SCENARIO), [item for item in (caller, response) if item is not None]
    if not both:
        return f"Not measured: the {name} is decided by what it costs the caller, and no sides were compared."
    beginnings = {
        "queue": f"Take {formatting.queue(queue)} for the {name} {condition}",
        "no queue": f"You do not need a queue for the {name} {condition}",
        "unsettled": f"Not settled for the {name}",
    }
    return f"{beginnings[choice]}: {'; '.join(compared(item) for item in both)}."


def _flips(run: Run, choice: Choice, queue: str) -> tuple[str, ...]:
    if choice in {"unsettled", "not measured"}:
        return ()
    kills = {
        side: found
        for side in (TASK, JOURNALLED, queue)
        if (found := evidence.losses(run, scenario=SCENARIO, fault=10, side=side)) is not None
    }
    seen = describe_losses(list(kills.values()))
    stakes = f"A mail that must go out: {seen or 'what a crash loses was not measured in this run'}."
    if (journal := kills.get(JOURNALLED)) is not None and journal.state == "held":
        stakes += f" A journalled task is the lightest that kept each{_price(run)}."
    if choice == "queue":
        return ("A request that does not feel the difference.", stakes)
    return (stakes, "A mail that must be retried for hours: a fire-and-forget task is never retried.")


def _price(run: Run) -> str:
    """What a journalled task costs the caller more than one in memory, as a clause."""
    caller = median_of(run, SCENARIO, "caller", JOURNALLED)
    if caller is None or not caller.differs or not math.isfinite(caller.difference_ms):
        return ""
    than = "more" if caller.difference_ms > 0 else "less"
    return f", and costs the caller {formatting.ms(abs(caller.difference_ms))} {than} than one in memory"


def _gaps(run: Run, caller: Comparison | None, response: Comparison | None) -> tuple[Gap, ...]:
    return tuple(
        Gap(
            what=f"{name} of in-process and a queue", command=rerun_commands.measure(run, "latency", SCENARIO)
        )
        for name, item in (("the caller cost", caller), ("the response", response))
        if item is None
    )
