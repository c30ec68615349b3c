"""Comparing two runs: for each figure that both have, B over A, in the words of `verdict_words`.

Two runs of the same plan (same machine, seed and load) are paired by repetition: their blocks
carried the same load. Any others are compared as independent samples (Welch), and the text says
that they are unpaired. Blocks that do not count are left out. Holm's correction is over all rows.
A run compared with itself, or with a copy, is "the same run" in every row.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from bench.errors import BenchError
from bench.measures.latency.validity import counted
from bench.measures.statistics.comparison import NOT_COMPARED, pair_blocks
from bench.measures.statistics.verdict_words import (
    Comparison,
    Difference,
    call_differences,
    measure_difference,
)
from bench.schema import COMPARED, MACHINE_IDENTITY, METRIC_LABELS, SCENARIO_LABELS, SIDE_LABELS
from bench.storage.manifest import least_pairs
from bench.storage.run_directory import RunDirectory

#: What makes two plans offer the same requests from the same seed.
_LOAD = ("rate", "owners", "warmup_s", "latency_s")
#: Digits of a commit that a person reads.
COMMIT_DIGITS = 10
_KEYS = ["scenario", "side", "metric", "quantile"]
#: A row of `latency.csv` without one of these is left out.
_NUMBERS = ["repetition", "quantile", "value_ms"]
#: The words in the order of the table: differences first, then what says less and less.
_ORDER = ("higher", "lower", "no clear difference", "too noisy to say", "too few pairs", "the same run")
#: Columns of the printed table that hold text; the others hold numbers and are aligned to the right.
_TEXTS = ("figure", "in words")


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """B against A: the table of `COMPARED`, how the blocks were compared, and how the runs differ."""

    a: Path
    b: Path
    table: pd.DataFrame
    how: str
    others: tuple[str, ...]

    @property
    def lines(self) -> list[str]:
        """What a terminal shows: the two runs, then a table with the differences first."""
        head = [f"A = {self.a}", f"B = {self.b}", self.how, *self.others]
        return [*head, "", *_aligned([_cells(row) for row in records(self.table)]), "", *self.notes]

    @property
    def notes(self) -> list[str]:
        """What a reader of the table has to know."""
        tested = int(self.table["p"].notna().sum())
        notes = [f"words: Holm's correction over the {tested} comparisons that were tested"] if tested else []
        if self.table["under_hiccup"].astype(bool).any():
            notes.append("*: a tail below the machine's own hiccups")
        return notes


def compare_runs(a: Path, b: Path) -> Compared:
    """Compare B with A.

    Raise BenchError where one is no run, their schemas differ, or they share no figure.
    """
    runs = RunDirectory.open(a), RunDirectory.open(b)
    schemas = [run.manifest["schema"] for run in runs]
    if schemas[0] != schemas[1]:
        raise BenchError(
            f"{a} has schema {schemas[0]} and {b} has {schemas[1]}: "
            "measure the older one again with this version"
        )
    unlike = _unlike(*(run.manifest for run in runs))
    needed = min(least_pairs(run.manifest) for run in runs)
    both = pd.concat([_rows(run, name) for run, name in zip(runs, "ab", strict=True)], ignore_index=True)
    groups = [(keys, group) for keys, group in both.groupby(_KEYS) if group["run"].nunique() == len(runs)]
    if not groups:
        raise BenchError(f"{a} and {b} share no figure: run both with the same scenarios and sides")
    called = call_differences(
        [_difference(group, is_paired=not unlike, min_pairs=needed) for _, group in groups]
    )
    is_same = _is_same(*runs)
    if is_same:
        called = [replace(one, words="the same run", why="") for one in called]
    rows = [
        dict(zip(_KEYS, keys, strict=True)) | _medians(group) | _figures(comparison)
        for (keys, group), comparison in zip(groups, called, strict=True)
    ]
    how = f"unpaired: the runs differ in {' and '.join(unlike)}" if unlike else "paired by repetition"
    return Compared(
        a=a,
        b=b,
        table=_differences_first(pd.DataFrame(rows, columns=list(COMPARED))),
        how="the same run" if is_same else how,
        others=tuple(_others(*(run.manifest for run in runs))),
    )


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows as mappings from column to value."""
    return cast("list[dict[str, Any]]", table.to_dict("records"))


def _rows(run: RunDirectory, name: str) -> pd.DataFrame:
    blocks = run.table("blocks")
    latency = counted(run.table("latency"), blocks)
    seen = dict(zip(blocks["block"], blocks["hiccup_p99_ms"], strict=True))
    hiccups = latency["block"].map(seen).fillna(0.0)
    latency = latency.assign(hiccup_ms=hiccups).dropna(subset=_NUMBERS)
    return latency[~latency["metric"].isin(NOT_COMPARED)].assign(run=name)


def _is_same(a: RunDirectory, b: RunDirectory) -> bool:
    """Whether both are one run: one folder, or copies with the same name and start."""
    if a.path.resolve() == b.path.resolve():
        return True
    began = a.manifest.get("started_at")
    named = [(run.manifest.get("run"), run.manifest.get("started_at")) for run in (a, b)]
    return began is not None and named[0] == named[1]


def _unlike(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    same_machine = all(
        _part(a, "machine").get(key) == _part(b, "machine").get(key) for key in MACHINE_IDENTITY
    )
    same_load = all(_part(a, "plan").get(key) == _part(b, "plan").get(key) for key in _LOAD)
    checks = {"machine": same_machine, "seed": a.get("seed") == b.get("seed"), "load": same_load}
    return [name for name, same in checks.items() if not same]


def _others(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    """Return the other differences of the runs, A → B: each version, and the commit; changes are marked."""
    versions = [_part(run, "versions") for run in (a, b)]
    names = sorted({name for run in versions for name in run})
    pairs = [(name, *(str(run.get(name, "none")) for run in versions)) for name in names]
    pairs.append(("commit", *(_commit(_part(run, "git")) for run in (a, b))))
    return [f"{name}: {one} → {two}" for name, one, two in pairs if one != two]


def _part(manifest: Mapping[str, Any], field: str) -> Mapping[str, Any]:
    """Return a field of the manifest that is an object; empty where it is absent or something else."""
    value = manifest.get(field)
    return value if isinstance(value, dict) else {}


def _commit(git: Mapping[str, Any]) -> str:
    return str(git.get("commit", "unknown"))[:COMMIT_DIGITS] + (" with changes" if git.get("dirty") else "")


def _difference(group: pd.DataFrame, *, is_paired: bool, min_pairs: int) -> Difference:
    """Measure B over A in the rows of one figure."""
    if is_paired:
        pairs = pair_blocks(group.assign(side=group["run"]), "a", "b")
        a, b = pairs["baseline"].tolist(), pairs["side"].tolist()
    else:
        a, b = (group[group["run"] == name]["value_ms"].tolist() for name in "ab")
    return measure_difference(
        a,
        b,
        metric=str(group["metric"].iloc[0]),
        quantile=float(group["quantile"].iloc[0]),
        hiccup_ms=float(group["hiccup_ms"].median()),
        is_paired=is_paired,
        min_pairs=min_pairs,
    )


def _medians(group: pd.DataFrame) -> dict[str, float]:
    return {name: float(group[group["run"] == name]["value_ms"].median()) for name in "ab"}


def _figures(found: Comparison) -> dict[str, Any]:
    return {key: value for key, value in asdict(found).items() if key in COMPARED}


def _differences_first(table: pd.DataFrame) -> pd.DataFrame:
    """Sort by the words, and differences by their size, the largest first."""
    place = table["words"].map(lambda words: max(_ORDER.index(words), 1))  # higher and lower are one group
    with np.errstate(divide="ignore"):
        size = np.nan_to_num(
            np.abs(np.log(table["ratio"].to_numpy(dtype=np.float64))), nan=0.0, posinf=np.inf
        )
    ordered = table.assign(place=place, size=size).sort_values(
        ["place", "size"], ascending=[True, False], kind="stable"
    )
    return ordered[list(COMPARED)].reset_index(drop=True)


def _cells(row: Mapping[str, Any]) -> dict[str, str]:
    """Return a row of the printed table; its keys are the headings."""
    metric = METRIC_LABELS.get(row["metric"], row["metric"])
    parts = (
        SCENARIO_LABELS.get(row["scenario"], row["scenario"]),
        SIDE_LABELS.get(row["side"], row["side"]),
        f"{metric} p{100 * row['quantile']:g}{'*' if row['under_hiccup'] else ''}",
    )
    has_interval = 0 < row["low"] <= row["high"] < math.inf
    few = f" ({row['pairs']} of {row['pairs_needed']})" if row["words"] == "too few pairs" else ""
    return {
        "figure": ", ".join(parts),
        "A": _ms(row["a"]),
        "B": _ms(row["b"]),
        "B / A": "" if math.isnan(row["ratio"]) else f"{row['ratio']:.3g}",
        "95 % interval": f"{row['low']:.3g} to {row['high']:.3g}" if has_interval else "",
        "margin": _ms(row["margin_ms"]),
        "in words": f"{row['words']}{few}",
    }


def _ms(value: float) -> str:
    if math.isinf(value):
        return "> limit"
    return f"{value * 1000:.3g} µs" if abs(value) < 1 else f"{value:.4g} ms"


def _aligned(rows: Sequence[Mapping[str, str]]) -> Iterator[str]:
    """Yield a line of headings and a line a row, each column as wide as its widest cell."""
    headings = list(rows[0])
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in headings}
    for row in (dict(zip(headings, headings, strict=True)), *rows):
        cells = [
            row[name].ljust(widths[name]) if name in _TEXTS else row[name].rjust(widths[name])
            for name in headings
        ]
        yield "  ".join(cells).rstrip()
