"""The rows of a fault block: counts, checker facts and whether the prediction came true. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.blocks.context import Context
from bench.blocks.hiccups import Hiccups
from bench.faults.spec import BYSTANDERS, CheckInput, Expected, Fault
from bench.measures.events.clocks import Clocks
from bench.measures.faults import failure
from bench.measures.faults.exposure import Exposure, exposure
from bench.measures.faults.recovery import recovery
from bench.measures.faults.witness import example
from bench.measures.latency import validity
from bench.measures.latency.validity import Noise
from bench.measures.load.cpu_shares import CpuShares
from bench.plan.blocks import BlockSpec
from scenarios import jobs

#: Digits of a number that a fault's own checker reports.
DIGITS = 4
#: Columns of `failures.csv` that are times or follow from them.
TIMES = ("late", "t_first_s", "t_90_s", "t_clear_s", "caller_max_ms", "lag_max_ms")


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockReadings:
    """The observations of a fault block that are not in its ledger."""

    start_ns: int
    fault_on_ns: int
    fault_off_ns: int
    drained_ns: int
    lag_max_ms: float
    app_died: bool
    #: Parts that ended by themselves with an error, and their exit codes.
    gave_up: Mapping[str, int]
    #: The ledger is whole and every place where jobs are held could be looked into.
    complete: bool
    #: What the strike itself noted.
    facts: Mapping[str, Any]
    owners: tuple[str, ...]
    #: From the first request until the fault was over.
    spent: CpuShares
    #: Whether a kill was made, where the fault is one.
    killed: bool
    #: From the first request until the drain ended.
    hiccups: Hiccups
    steal_percent: float
    #: Strikes made. The rows are those of the last one; the earlier ones exposed no job.
    strikes: int = 1

    @property
    def untimed(self) -> str:
        """Why the times of the block are left out, as those of a latency block would be; or nothing."""
        return validity.reason(Noise(steal_percent=self.steal_percent, hiccup_p99_ms=self.hiccups.p99_ms))


def failure_rows(
    spec: BlockSpec, context: Context, fault: Fault, readings: BlockReadings, events: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """A row of `failures.csv` (or `controls.csv`) for each scenario."""
    deadlines_ms = context.subject.deadlines_ms(fault)
    rows = [_row(spec, fault, name, readings, events, limit_ms) for name, limit_ms in deadlines_ms.items()]
    facts = _facts(fault, readings, events)
    codes = {f"{name}_exit_code": code for name, code in readings.gave_up.items()}
    rows[0] |= {"seen": _facts_text({**facts, **codes}), "bursts": facts.get("bursts", math.nan)}
    for row, (scenario, limit_ms) in zip(rows, deadlines_ms.items(), strict=True):
        row["example"] = example(events, scenario, deadline_ms=limit_ms)
        if readings.untimed:
            row.update(dict.fromkeys(TIMES, math.nan))
    if not spec.control and context.subject.predicted:
        rows[0] |= _prediction(spec, fault, rows[0], facts, context)
    if not spec.control and is_empty(fault, context, readings, events):
        for row in rows:
            if row["scenario"] not in BYSTANDERS:
                row.update(_nothing_exposed(row))
    return rows


def exposure_rows(
    spec: BlockSpec, context: Context, fault: Fault, readings: BlockReadings, events: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """A row of `exposure.csv` for each scenario; none where one clock did not stamp all that it takes."""
    return [
        {
            "block": spec.name,
            "fault": fault.number,
            "side": spec.side.name,
            "strike": spec.repetition,
            "scenario": scenario,
            "exposed": len(found.exposed),
            "lost": len(found.lost),
            "unanswered": len(found.unanswered),
            "strikes": readings.strikes,
        }
        for scenario, found in _exposures(fault, context, readings, events).items()
    ]


def is_empty(
    fault: Fault, context: Context, readings: BlockReadings, events: Sequence[Mapping[str, Any]]
) -> bool:
    """Return whether the kill exposed no job of the scenarios that the fault aims at."""
    found = _exposures(fault, context, readings, events)
    aimed_at = [exposure for scenario, exposure in found.items() if scenario not in BYSTANDERS]
    return fault.kills and bool(aimed_at) and not any(exposure.exposed for exposure in aimed_at)


def _facts(fault: Fault, readings: BlockReadings, events: list[dict[str, Any]]) -> Mapping[str, Any]:
    return fault.check(
        CheckInput(
            events=events,
            facts=readings.facts,
            start_ns=readings.start_ns,
            on_ns=readings.fault_on_ns,
            off_ns=readings.fault_off_ns,
            drained_ns=readings.drained_ns,
            owners=readings.owners,
        )
    )


def _facts_text(facts: Mapping[str, Any]) -> str:
    """Return the checker's facts as text, without those that are NaN."""
    untold = {name for name, value in facts.items() if isinstance(value, float) and math.isnan(value)}
    known = {name: facts[name] for name in facts if name not in untold and not name.endswith("_ns")}
    return "; ".join(f"{name.replace('_', ' ')} {_formatted(value)}" for name, value in known.items())


def _formatted(value: Any) -> str:
    return f"{float(f'{value:.{DIGITS}g}'):g}" if isinstance(value, float) else str(value)


def _row(  # noqa: PLR0917 - what a row is made of, in the order of its making
    spec: BlockSpec,
    fault: Fault,
    scenario: str,
    readings: BlockReadings,
    events: list[dict[str, Any]],
    deadline_ms: float,
) -> dict[str, Any]:
    # Nobody hands over a tick: the fault's own checker judges the sync.
    submitted = [] if scenario == jobs.ACCOUNT_SYNC else events
    judged = failure.judge(submitted, scenario=scenario, deadline_ms=deadline_ms, complete=readings.complete)
    return {
        "block": spec.name,
        "fault": fault.number,
        "slug": fault.slug,
        "side": spec.side.name,
        "scenario": scenario,
        "strike": spec.repetition,
        "submitted": judged.submitted,
        **{name: len(names) for name, names in judged.acceptance.items()},
        **{name: len(names) for name, names in judged.classes.items()},
        **{name: len(names) for name, names in judged.flags.items()},
        **({} if judged.timed else {"late": math.nan}),
        "sum_ok": judged.sum_ok,
        "at_least_once": judged.at_least_once,
        "at_most_once": judged.at_most_once,
        **asdict(recovery(events, scenario)),
        "caller_max_ms": judged.caller_max_ms,
        "user_errors": len(judged.user_errors),
        "lag_max_ms": readings.lag_max_ms,
        "app_died": readings.app_died,
        "note": _notes(fault.expected[spec.side.name].note),
    }


def _exposures(
    fault: Fault, context: Context, readings: BlockReadings, events: Sequence[Mapping[str, Any]]
) -> dict[str, Exposure]:
    """The exposure of each scenario; none where one clock did not stamp all that it takes."""
    if not Clocks(events).shared("accepted", "effect", "fault_on"):
        return {}
    scenarios = context.subject.deadlines_ms(fault)
    from_ns, until_ns = readings.fault_on_ns, readings.fault_off_ns
    if fault.kills and not readings.killed:
        from_ns = until_ns = 0
    elif fault.kills:
        until_ns = from_ns
    elif fault.from_start:
        from_ns, until_ns = readings.start_ns, readings.drained_ns
    elif fault.outlasts_strike:
        until_ns = readings.drained_ns
    return {
        scenario: exposure(events, scenario=scenario, from_ns=from_ns, until_ns=until_ns)
        for scenario in scenarios
    }


def _prediction(
    spec: BlockSpec, fault: Fault, row: Mapping[str, Any], facts: Mapping[str, Any], context: Context
) -> dict[str, Any]:
    expected = fault.expected[spec.side.name]
    notes = _notes(expected.note)
    if context.profile.retry_scale != 1.0 and spec.side.name == "celery-hardened":
        notes.append(f"retry schedule at {context.profile.retry_scale:g} of its real time")
    return {
        "predicted": expected.text,
        "as_predicted": _as_predicted(expected, {**facts, **row}),
        "note": notes,
    }


def _nothing_exposed(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns that a kill which exposed no job cannot decide: the promise and the prediction."""
    promise = row["at_least_once"]
    return {"at_least_once": "unknown" if promise == "held" else promise, "as_predicted": ""}


def _notes(note: str) -> list[str]:
    return [note] if note else []


def _as_predicted(expected: Expected, row: Mapping[str, Any]) -> str:
    """Return whether the prediction came true; empty if that depends on times that are left out."""
    unknown = [name for name in TIMES if math.isnan(row[name])]
    least, most = dict.fromkeys(unknown, 0.0), dict.fromkeys(unknown, math.inf)
    answers = {expected.holds({**row, **times}) for times in (least, most)}
    return "" if len(answers) > 1 else "yes" if answers.pop() else "no"
