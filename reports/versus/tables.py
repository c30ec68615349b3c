"""The tables of two runs side by side: ratios with words, the sync, and what faults did."""

from __future__ import annotations

import math
from dataclasses import replace

import pandas as pd

from bench.schema import SCHEMA, WORDS
from reports.data import evidence, formatting
from reports.data.frames import groups, records
from reports.data.tables import Table, table
from reports.versus.two_runs import Pair

#: The words that mean a difference, so that those rows can be seen at a glance.
DIFFERENT = frozenset({"lower", "higher"})


def ratios(pair: Pair) -> Table | None:
    """Every figure that both runs have: its medians, B over A with its interval, and the words."""
    rows = [
        {
            "figure": (
                f"{formatting.scenario(row['scenario'])}: {formatting.metric(row['metric'], row['quantile'])}"
            ),
            "side": formatting.side(row["side"]),
            "A": formatting.ms(row["a"]),
            "B": formatting.ms(row["b"]),
            "B over A (95 %)": formatting.times(row["ratio"], row["low"], row["high"]),
            "blocks": formatting.count(row["pairs"]),
            "B is": formatting.called(row["words"], row["pairs"], row["pairs_needed"]),
            "margin": formatting.ms(row["margin_ms"]),
            "why": row["why"],
        }
        for row in records(pair.rows)
    ]
    return table(f"Every figure that both have; {pair.how}", rows, ("side", "B is", "why"), folded=True)


def differing(found: Table | None) -> Table | None:
    """Of the ratios those that came out lower or higher; None where none did."""
    rows = tuple(row for row in found.rows if DIFFERENT.intersection(row)) if found else ()
    return replace(found, caption="Figures that differ", rows=rows, folded=False) if found and rows else None


def correction(pair: Pair) -> str:
    """The correction behind the words, in a sentence; empty where no figure was tested."""
    tested = int(pair.rows["p"].notna().sum())
    return f"The words follow Holm's correction over {tested} comparisons." if tested else ""


def counted(pair: Pair) -> str:
    """How many figures came out which way, in a sentence."""
    said = pair.rows["words"].value_counts()
    parts = [f"{said[word]} {word}" for word in WORDS if word in said]
    return (
        f"Of {formatting.plural(len(pair.rows), 'figure')} in B: {', '.join(parts)}."
        if parts
        else "No figure in common."
    )


def drift(pair: Pair) -> Table | None:
    """Each side and policy that synced in one of the runs: the age of the balance and the drift."""
    found = {
        letter: {(f.side, f.policy): f for f in evidence.freshness(run.table("drift"))}
        for letter, run in pair.runs
    }
    subjects = dict.fromkeys(subject for one in found.values() for subject in one)
    rows = [
        {"side and policy": f"{formatting.side(subject[0])}, {formatting.policy(subject[1])}"}
        | _freshness("A", found["A"].get(subject))
        | _freshness("B", found["B"].get(subject))
        for subject in subjects
    ]
    return table("The sync's grid: medians over owners and blocks; ticks are sums", rows)


def _freshness(letter: str, found: evidence.Freshness | None) -> dict[str, str]:
    missed = formatting.count_of(found.missed, found.ticks_due) if found else formatting.NOTHING
    return {
        f"{letter}: age p99": formatting.age(found.age_p99_ms) if found else formatting.NOTHING,
        f"{letter}: drift, ppm": formatting.number(found.drift_ppm) if found else formatting.NOTHING,
        f"{letter}: missed": missed,
    }


def faults(pair: Pair) -> Table | None:
    """Each fault at each side and scenario: accepted jobs, and how many were lost or doubled."""
    frames = [run.table("failures").dropna(subset=["fault"]).assign(run=letter) for letter, run in pair.runs]
    both = pd.concat(frames, ignore_index=True).sort_values("fault", kind="stable")
    struck = [
        (number, scenario, side, group)
        for (number, scenario, side), group in groups(both, "fault", "scenario", "side")
        if evidence.total(group["accepted"])
    ]
    rows = [
        {
            "fault": f"{formatting.fault(number, group['slug'].iloc[0])}: {formatting.scenario(scenario)}",
            "side": formatting.side(side),
            **_fates(group),
        }
        for number, scenario, side, group in struck
        if any(evidence.total(group[column]) for column in _FATES.values())
    ]
    caption = "Accepted jobs that a fault lost, doubled or held back, in either run: sums over strikes"
    return table(caption, rows, ("side",))


def _fates(group: pd.DataFrame) -> dict[str, str]:
    runs = {letter: group[group["run"] == letter] for letter in "AB"}
    return {
        f"{what} {letter}": _share(rows, column)
        for what, column in _FATES.items()
        for letter, rows in runs.items()
    }


_FATES = {label: name for name, label in SCHEMA["failures"].labels("lost", "duplicated", "stuck").items()}


def _share(rows: pd.DataFrame, column: str) -> str:
    if rows.empty or math.isnan(rows["accepted"].max()):
        return formatting.NOTHING
    return formatting.count_of(evidence.total(rows[column]), evidence.total(rows["accepted"]))
