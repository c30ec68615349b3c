"""Select the jobs of a block that are drawn, the gravest first, then others to fill up; label them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from reports.data import formatting
from reports.timelines.events import Event, Log
from reports.timelines.histories import ACCOUNT_SYNC, GRAVITY, PROBE, History, finding, histories, response_ms

#: The finding of an owner's row: its runs are not jobs, which each have a class.
PERIODIC = "periodic"
#: Three tiers of findings, each with the number of rows up to which it may fill a timeline: what breaks a
#: promise, what a user notices, and what happens to most jobs.
GRAVE = frozenset({"lost", "stuck", "duplicated", "ghost", "unexpected"})
LESSER = frozenset({"failed_visibly", "late", "cancelled"})
ORDINARY = frozenset({"done_once", "refused", "unknown", PERIODIC})
TIERS = ((GRAVE, 12), (LESSER, 8), (ORDINARY, 3))
#: Most errors below a timeline, and most characters of each.
MOST_ERRORS = 3
ERROR_LENGTH = 160
#: Findings whose row continues to the end of the block, since nothing more came.
OPEN_ENDED = frozenset({"lost", "stuck", PERIODIC})
NS_PER_S = 1_000_000_000

TEXTS = {
    "lost": "lost",
    "stuck": "stuck",
    "duplicated": "done {effects} times",
    "ghost": "ghost",
    "unexpected": "unexpected",
    "failed_visibly": "failed",
    "late": "late",
    "cancelled": "cancelled, then done",
    "unknown": "no answer",
    "refused": "refused",
    "done_once": "done once",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One job: its name without that of the block, its finding, and its events."""

    label: str
    finding: str
    text: str
    history: History


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """The rows of one block, the window that shows them, and the texts beside them."""

    rows: tuple[Row, ...]
    start_ns: int
    end_ns: int
    fault_ns: tuple[int, int] | None
    not_drawn: str
    history: str  # of the gravest row, in words; empty if its finding is an ordinary one


def timeline(log: Log, *, block: str, scenario: str, deadline_ms: float) -> Timeline | None:
    """Select the rows of a block's jobs of `scenario`; return None if the log has none.

    A job is late if its effect comes more than `deadline_ms` after it was due.
    """
    found = histories(log.events, scenario)
    if not found:
        return None
    fault = fault_window(log.events)
    over = int(log.events[-1]["t"])
    sync = scenario == ACCOUNT_SYNC
    rows = [
        _owner_row(history, block, over) if sync else _job_row(history, block, deadline_ms)
        for history in found
    ]
    kept = select_rows(rows, fault[0] if fault else found[len(found) // 2].first)
    start, end = _window(kept, fault, over)
    return Timeline(
        rows=tuple(sorted(kept, key=lambda row: row.history.first)),
        start_ns=start,
        end_ns=end,
        fault_ns=fault,
        not_drawn=_not_drawn(rows, kept),
        history="" if kept[0].finding in ORDINARY else describe_history(kept[0]),
    )


def fault_window(events: Iterable[Event]) -> tuple[int, int] | None:
    """The beginning and the end of the strike; twice the beginning if the end is missing."""
    on = [int(event["t"]) for event in events if event["event"] == "fault_on"]
    off = [int(event["t"]) for event in events if event["event"] == "fault_off"]
    return (min(on), max([*on, *off])) if on else None


def select_rows(rows: Sequence[Row], middle_ns: int) -> list[Row]:
    """Select rows by TIERS: the gravest first, and of equals those nearest to the strike."""
    near = sorted(rows, key=lambda row: abs(row.history.first - middle_ns))
    kept: list[Row] = []
    for tier, most in TIERS:
        found = [row for row in near if row.finding in tier]
        if tier is not ORDINARY:
            found.sort(key=lambda row: GRAVITY.index(row.finding))
        kept += found[: max(0, most - len(kept))]
    return kept


def _window(kept: Sequence[Row], fault: tuple[int, int] | None, over: int) -> tuple[int, int]:
    """From the first event to the last; to the end of the log if a row waits for what never came."""
    times = [t for row in kept for t in (row.history.first, row.history.last)] + list(fault or ())
    waits = any(row.finding in OPEN_ENDED for row in kept)
    start, end = min(times), max([*times, over] if waits else times)
    return start, max(end, start + 1)


def describe_history(row: Row) -> str:
    """Every event of a job in words: `lost 12 crm: due +0 ms, submit +2 ms`."""
    events = sorted((t, kind) for kind, times in row.history.times.items() for t in times)
    start = events[0][0]
    text = (f"{kind} +{(t - start) / 1e6:.0f} ms" for t, kind in events)
    return f"{row.text} {row.label}: {', '.join(text)}"


def _job_row(history: History, block: str, deadline_ms: float) -> Row:
    found = finding(history, deadline_ms=deadline_ms)
    text = TEXTS[found].format(effects=len(history.times.get("effect", ())))
    where = history.failed_where if found == "failed_visibly" else history.held_where
    if found == "late":
        text += f", {formatting.seconds(response_ms(history) / 1000)}"
    elif found in {"stuck", "failed_visibly"} and any(where):
        text += f": {where[-1]}"
    return Row(label=_label(history.job, block), finding=found, text=_plain(text), history=history)


def _owner_row(history: History, block: str, over: int) -> Row:
    """Return the row of an owner of a periodic sync, which shows every run until the block was `over`."""
    effects = history.times.get("effect", [])
    pause = max((after - before for before, after in pairwise([*effects, over])), default=math.nan)
    text = f"{len(effects)} runs, gap {formatting.seconds(pause / NS_PER_S)}"
    return Row(label=_label(history.job, block), finding=PERIODIC, text=text, history=history)


def _label(job: str, block: str) -> str:
    name, _, part = _plain(job).removeprefix(f"{block}-").rpartition("/")
    return f"{name.lstrip('0') or '0'} {part}" if name else part


def _not_drawn(rows: Sequence[Row], kept: Sequence[Row]) -> str:
    left = Counter(row.finding for row in rows) - Counter(row.finding for row in kept)
    if not left:
        return ""
    parts = [f"{left[name]} {name.replace('_', ' ')}" for name in (*GRAVITY, PERIODIC) if left[name]]
    return f"Not drawn: {', '.join(parts)}."


def errors(log: Log, scenario: str) -> tuple[str, ...]:
    """The errors of failed jobs, the most frequent first, each with its number of jobs."""
    failed = (e for e in log.events if e["event"] == "failed" and e.get("scenario") == scenario)
    found = dict.fromkeys((str(e.get("job")), str(e.get("error", ""))) for e in failed)
    counted = Counter(error for job, error in found if error and PROBE not in job)
    return tuple(
        f"{_cut(_plain(' '.join(error.split())))} ({formatting.plural(jobs, 'job')})"
        for error, jobs in counted.most_common(MOST_ERRORS)
    )


def _plain(text: str) -> str:
    """Replace characters that no page can show: a process that is being killed may write anything."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _cut(text: str) -> str:
    return text if len(text) <= ERROR_LENGTH else f"{text[: ERROR_LENGTH - 1]}…"
