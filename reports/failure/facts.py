"""The facts of one cell beside its classes: exposure, recovery, users, control run, blast radius."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from bench.schema import SCHEMA
from reports.data import evidence, formatting
from reports.failure import observations
from reports.failure.cells import CLASSES, FLAGS, MS_PER_S, counts, periodic
from reports.failure.strike_rows import Strike, distinct, numbers, peak, total

#: A fact's name and what is told of it.
Fact = tuple[str, str]
#: Harms in `blast.csv`: shares of the other scenario's jobs, struck minus control.
HARMS = SCHEMA["blast"].labels("lost", "stuck", "failed_visibly", "duplicated", "late", "ghost", "unserved")
#: A share below this is rounding.
LEAST_SHARE = 0.001
RECOVERY = SCHEMA["failures"].labels("t_first_s", "t_90_s", "t_clear_s")


def facts(
    strikes: Sequence[Strike],
    blast: Sequence[Strike],
    control: Sequence[Strike],
    exposure: Sequence[Strike],
    *,
    bystanders: Sequence[Strike] = (),
    untimed: Sequence[str] = (),
) -> tuple[Fact, ...]:
    """The facts of one cell; `blast`, `control` and `exposure` are its rows of these tables.

    `bystanders` are the rows of the other scenarios at its strikes, `untimed` why times of strikes are left
    out, a reason each.
    """
    found = (
        ("exposure", _exposure(strikes, exposure)),
        ("recovery", _recovery(strikes, untimed)),
        ("user-visible errors", _users(strikes)),
        ("without the fault", _control(control)),
        ("blast radius", _blast(blast, bystanders)),
    )
    return tuple((name, text) for name, text in found if text)


def _exposure(strikes: Sequence[Strike], exposure: Sequence[Strike]) -> str:
    """Losses per strike and per exposed job, never per day; without exposure every accepted job counts.

    A strike that exposed no job says nothing of losses, and is not among those that are counted.
    """
    lost = total(strikes, "lost")
    empty = {strike["block"] for strike in exposure if strike["exposed"] == 0}
    hit, n = sum(strike["lost"] > 0 for strike in strikes), len(strikes) - len(empty)
    if not periodic(strikes) and strikes and not n:
        return "not exposed: at no strike was a job accepted and not done"
    exposed = max(total(exposure, "exposed"), lost) if exposure else total(strikes, "accepted")
    if periodic(strikes) or not exposed > 0:
        return ""
    if lost > 0:
        return (
            f"{formatting.count_of(lost, exposed)} exposed jobs lost "
            f"({formatting.percent(lost / exposed)}), {formatting.number(lost / n)} a strike, "
            f"in {hit} of {formatting.plural(n, 'strike')}"
        )
    return f"none of {formatting.count(exposed)} exposed jobs lost; {formatting.zero_bound(n)}"


def _recovery(strikes: Sequence[Strike], untimed: Sequence[str]) -> str:
    """How long after the strike's end, the median over the strikes with their range; nothing for ticks."""
    times = {name: numbers(strikes, column) for column, name in RECOVERY.items()}
    left_out = _left_out(len(strikes), untimed)
    if not any(times.values()):
        return "" if periodic(strikes) else left_out
    told = "; ".join(f"{name}: {_over(seconds)}" for name, seconds in times.items())
    return f"{told}; {left_out}" if left_out else told


def _left_out(strikes: int, untimed: Sequence[str]) -> str:
    """In how many strikes times were left out, and for what; nothing where in none."""
    if not untimed:
        return ""
    return (
        f"not measured in {len(untimed)} of {formatting.plural(strikes, 'strike')}, "
        f"as the machine was too busy ({'; '.join(dict.fromkeys(untimed))})"
    )


def _over(seconds: Sequence[float]) -> str:
    if not seconds:
        return "cannot be told"
    middle = evidence.middle(pd.Series(seconds))
    text = formatting.spread(
        *(formatting.ms(value * MS_PER_S) for value in (middle, seconds[0], seconds[-1]))
    )
    return f"median {text}" if len(seconds) > 1 else text


def _users(strikes: Sequence[Strike]) -> str:
    submitted, errors = total(strikes, "submitted"), total(strikes, "user_errors")
    if not submitted > 0:
        return ""
    longest_ms = peak(strikes, "caller_max_ms")
    longest = "" if math.isnan(longest_ms) else f"; longest call {formatting.ms(longest_ms)}"
    refused, unknown = total(strikes, "refused"), total(strikes, "unknown")
    scenarios = " and ".join(map(formatting.scenario, distinct(strikes, "scenario")))
    of_them = f", {formatting.count(refused)} of them refused" if 0 < refused <= errors else ""
    untold = (
        f"; {formatting.count(unknown)} unknown to the caller, counted only if it waited so long"
        if unknown > 0
        else ""
    )
    return (
        f"{formatting.count_of(errors, submitted)} submits of {scenarios} refused or kept waiting for more "
        f"than 1 s{of_them}{untold}{longest}"
    )


def _control(control: Sequence[Strike]) -> str:
    if not control:
        return "no control run"
    text = [count.text for count in counts(control, CLASSES) + counts(control, FLAGS)]
    return (
        "; ".join(filter(None, [", ".join(text), observations.over_strikes(row["seen"] for row in control)]))
        or "nothing to count"
    )


def _blast(blast: Sequence[Strike], bystanders: Sequence[Strike]) -> str:
    """The worst strike's harm to the other scenario against the control run, in points of its jobs."""
    if not blast:
        return ""
    worst = {name: peak(blast, column) for column, name in HARMS.items()}
    more = [
        f"{formatting.percent(share).removesuffix(' %')} more {name}"
        for name, share in worst.items()
        if share > LEAST_SHARE
    ]
    other = ", ".join(map(formatting.scenario, distinct(blast, "scenario")))
    jobs = [jobs for jobs in numbers(bystanders, "submitted") if jobs > 0]
    if jobs:
        ends = formatting.spread_to(formatting.count(jobs[0]), formatting.count(jobs[-1]))
        other += f" ({ends} {'job' if jobs[-1] == 1 else 'jobs'} a strike)"
    harms = f", in percentage points: {', '.join(more)}" if more else ": no more harm than without the fault"
    times = [
        f"{name} {_more(peak(blast, column))}"
        for column, name in SCHEMA["blast"].labels("response_p50_ms", "lag_ms").items()
    ]
    return f"{other}, at worst{harms}; {', '.join(times)}"


def _more(ms: float) -> str:
    if math.isnan(ms):
        return "not known"
    if math.isinf(ms):
        return "beyond the limit" if ms > 0 else "back within the limit"
    return f"{formatting.ms(abs(ms))} {'longer' if ms >= 0 else 'shorter'}"
