"""The tables of the report, as text. The template escapes every cell."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bench.schema import MINIMUM_SAMPLES, SCHEMA, SIDES
from reports.data import evidence, formatting, quantiles
from reports.data.frames import groups, records
from reports.data.run import Run

#: The highest quantile of the phase.
TAIL = 0.99
NS_PER_MS = 1_000_000
#: Units that stand in the heading, since the cells do not have them.
UNITS_IN_HEADINGS = frozenset({"ppm", "MB"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A caption, column names and rows of text; the first cell of a row names it."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    texts: frozenset[str] = frozenset()  # columns of text: left-aligned
    folded: bool = False  # closed until the reader opens it


def table(
    caption: str, rows: Iterable[Mapping[str, str]], texts: Sequence[str] = (), *, folded: bool = False
) -> Table | None:
    """A table of `rows`, all with the same keys; None if there are none."""
    frame = pd.DataFrame(list(rows))
    if frame.empty:
        return None
    cells = tuple(tuple(map(str, row)) for row in frame.itertuples(index=False, name=None))
    columns = tuple(map(str, frame.columns))
    return Table(caption=caption, columns=columns, rows=cells, texts=frozenset(texts), folded=folded)


def headings(table: str) -> dict[str, str]:
    """The heading of each column of a run's table, by name, with its unit if the cells do not have it."""
    return {
        column.name: column.heading if column.unit in UNITS_IN_HEADINGS else column.label
        for column in SCHEMA[table].columns
    }


def drift(run: Run) -> Table | None:
    """One row for each side and policy: medians over its owners and blocks, ticks as sums."""
    found = groups(run.table("drift"), "side", "policy")
    tails = _phase_p99(run.table("ticks"))
    rows = [
        _drift_row(side, policy, group, tails.get((side, policy)), any_tail=bool(tails))
        for (side, policy), group in found
    ]
    caption = "The sync's grid kept: medians over owners and blocks; ticks are sums"
    return table(f"{caption}; phase p99 is over all ticks" if tails else caption, rows)


def _phase_p99(ticks: pd.DataFrame) -> dict[tuple[str, str], float]:
    """The p99 of the phase over all ticks of a side and policy; none of those with too few ticks."""
    first = ticks[~ticks["duplicate"].fillna(value=False).astype(bool)]
    phases = first.assign(phase=(first["start_ns"] - first["due_ns"]) / NS_PER_MS).dropna(subset=["phase"])
    return {
        (str(side), str(policy)): quantiles.quantile(np.sort(rows["phase"].to_numpy()), TAIL)
        for (side, policy), rows in groups(phases, "side", "policy")
        if len(rows) >= MINIMUM_SAMPLES[TAIL]
    }


def _drift_row(
    side: str, policy: str, rows: pd.DataFrame, tail_ms: float | None, *, any_tail: bool
) -> dict[str, str]:
    names = headings("drift")
    tail = {names["phase_p99_ms"]: formatting.NOTHING if tail_ms is None else formatting.ms(tail_ms)}
    return {
        "side and policy": f"{formatting.side(side)}, {formatting.policy(policy)}",
        names["age_p99_ms"]: formatting.age(evidence.middle(rows["age_p99_ms"])),
        f"{names['age_max_ms']}, maximum": formatting.age(float(rows["age_max_ms"].max())),
        names["drift_ppm"]: formatting.number(evidence.middle(rows["drift_ppm"])),
        names["phase_p50_ms"]: formatting.ms(evidence.middle(rows["phase_p50_ms"])),
        **(tail if any_tail else {}),
        names["jitter_sd_ms"]: formatting.ms(evidence.middle(rows["jitter_sd_ms"])),
        names["on_time_percent"]: f"{formatting.number(evidence.middle(rows['on_time_percent']))} %",
        names["ticks_run"]: formatting.count_of(rows["ticks_run"].sum(), rows["ticks_due"].sum()),
        names["missed"]: formatting.count(rows["missed"].sum()),
        names["duplicates"]: formatting.count(rows["duplicates"].sum()),
        names["overlaps"]: formatting.count(rows["overlaps"].sum()),
    }


def breakable(run: Run) -> Table | None:
    """The parts of each side that can break, and how many faults broke a guarantee."""
    cost, struck = run.table("cost"), run.table("failures").dropna(subset=["fault"])
    names = headings("cost")
    broken = struck[(struck["at_least_once"] == "broken") | (struck["at_most_once"] == "broken")]
    rows = []
    for side in ordered(cost["side"]):
        own, faults = cost[cost["side"] == side], struck[struck["side"] == side]["fault"].nunique()
        rows.append(
            {
                "side": formatting.side(side),
                names["processes"]: middle_and_range(own["processes"], formatting.amount),
                names["sockets"]: middle_and_range(own["sockets"], formatting.amount),
                names["config_lines"]: middle_and_range(own["config_lines"], formatting.amount),
                "faults with something to strike": formatting.count(faults),
                "of them broke a guarantee": formatting.count(
                    broken[broken["side"] == side]["fault"].nunique()
                ),
            }
        )
    return table("What there is to break: the median over blocks, with the range", rows)


def invalid(run: Run) -> Table | None:
    """The invalid blocks, and why."""
    names = headings("blocks")
    rows = [
        {
            names["block"]: row["block"],
            names["measure"]: row["measure"],
            names["side"]: formatting.side(row["side"]),
            names["hiccup_p99_ms"]: formatting.ms(row["hiccup_p99_ms"]),
            names["reason"]: row["reason"] or "no reason recorded",
        }
        for row in records(run.invalid_blocks())
    ]
    return table("Blocks that do not count", rows, (names["measure"], names["side"], names["reason"]))


def discarded(run: Run) -> Table | None:
    """The pairs that the rule left out."""
    entries = run.manifest.get("discarded")
    found = [item for item in entries if isinstance(item, dict)] if isinstance(entries, list) else []
    rows = [
        {
            "pair": ", ".join(f"{name} {value}" for name, value in item.items() if name != "reason"),
            "reason": str(item.get("reason", "")),
        }
        for item in found
    ]
    return table("Pairs left out by the rule declared beforehand", rows, ("reason",))


def hiccups(run: Run) -> Table | None:
    """The noise of the machine, by measure."""
    rows = [
        {
            "measure": str(measure) or "unnamed",
            "blocks": formatting.count(len(group)),
            "do not count": formatting.count((~group["valid"].fillna(value=True).astype(bool)).sum()),
            "hiccup p99, median": formatting.ms(evidence.middle(group["hiccup_p99_ms"])),
            "hiccup p99, worst": formatting.ms(float(group["hiccup_p99_ms"].max())),
            "longest hiccup": formatting.ms(float(group["hiccup_max_ms"].max())),
            "steal, worst": formatting.percentage(float(group["steal_percent"].max())),
            "generator lateness, worst": formatting.ms(float(group["lateness_ms"].max())),
        }
        for measure, group in groups(run.table("blocks"), "measure")
    ]
    return table("The machine beside the blocks", rows)


def ordered(sides: pd.Series[Any]) -> list[str]:
    """The sides in the order of the schema, then any other."""
    there = [str(side) for side in sides.unique()]
    return [side for side in SIDES if side in there] + [side for side in there if side not in SIDES]


def middle_and_range(values: pd.Series[float], unit: Callable[[float], str]) -> str:
    """The median with its range, each formatted by `unit`; a dash if there is no value."""
    if values.empty:
        return formatting.NOTHING
    return formatting.spread(
        unit(evidence.middle(values)), unit(float(values.min())), unit(float(values.max()))
    )
