"""Comparing two runs: for each figure that both have, B over A, with the words of `bench.measures.words`.

Two runs of the same plan (same machine, seed and load) are paired by repetition: their blocks
carried the same load. Any others are compared as independent samples (Welch), and the text says
that they are unpaired.
Blocks that do not count are left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from bench.errors import BenchError
from bench.machine import IDENTITY
from bench.measures.comparison import NOT_COMPARED, pair_blocks
from bench.measures.validity import counted
from bench.measures.words import Comparison, compare
from bench.rundir import RunDirectory

#: The columns of the table, in order; `a` and `b` are medians over the blocks, in ms.
COLUMNS = ("scenario", "side", "metric", "quantile", "a", "b", "ratio", "low", "high", "words", "why")
#: What makes two plans offer the same requests from the same seed.
_LOAD = ("rate", "owners", "warmup_s", "latency_s")
#: Digits of a commit that a person reads.
COMMIT_DIGITS = 10
_KEYS = ["scenario", "side", "metric", "quantile"]


def compare_runs(a: Path, b: Path) -> tuple[pd.DataFrame, list[str]]:
    """The table of `COLUMNS` and the lines to print, B against A.

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
    both = pd.concat([_rows(run, name) for run, name in zip(runs, "ab", strict=True)], ignore_index=True)
    rows = [
        dict(zip(_KEYS, keys, strict=True)) | _row(group, is_paired=not unlike)
        for keys, group in both.groupby(_KEYS)
        if group["run"].nunique() == len(runs)
    ]
    if not rows:
        raise BenchError(f"{a} and {b} share no figure: run both with the same scenarios and sides")
    how = f"unpaired: the runs differ in {' and '.join(unlike)}" if unlike else "paired by repetition"
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    other = _other(*(run.manifest for run in runs))
    return table, [f"A = {a}", f"B = {b}", how, *other, *(_line(row) for row in rows)]


def _rows(run: RunDirectory, name: str) -> pd.DataFrame:
    latency = counted(run.table("latency"), run.table("blocks"))
    return latency[~latency["metric"].isin(NOT_COMPARED)].assign(run=name)


def _unlike(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    same_machine = all(a.get("machine", {}).get(key) == b.get("machine", {}).get(key) for key in IDENTITY)
    same_load = all(a.get("plan", {}).get(key) == b.get("plan", {}).get(key) for key in _LOAD)
    checks = {"machine": same_machine, "seed": a.get("seed") == b.get("seed"), "load": same_load}
    return [name for name, same in checks.items() if not same]


def _other(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    """What else is another in the two runs, A → B: each version, and the commit; dirty trees are marked."""
    names = sorted({*a.get("versions", {}), *b.get("versions", {})})
    pairs = [(name, *(run.get("versions", {}).get(name, "none") for run in (a, b))) for name in names]
    pairs.append(("commit", *(_commit(run.get("git", {})) for run in (a, b))))
    return [f"{name}: {one} → {two}" for name, one, two in pairs if one != two]


def _commit(git: Mapping[str, Any]) -> str:
    return str(git.get("commit", "unknown"))[:COMMIT_DIGITS] + (" with changes" if git.get("dirty") else "")


def _row(group: pd.DataFrame, *, is_paired: bool) -> dict[str, Any]:
    values = {name: group[group["run"] == name]["value_ms"] for name in "ab"}
    if is_paired:
        pairs = pair_blocks(group.assign(side=group["run"]), "a", "b")
        found = compare(pairs["baseline"].tolist(), pairs["side"].tolist())
    else:
        found = compare(values["a"].tolist(), values["b"].tolist(), is_paired=False)
    return {name: float(series.median()) for name, series in values.items()} | _figures(found)


def _figures(found: Comparison) -> dict[str, Any]:
    return {key: value for key, value in asdict(found).items() if key in COLUMNS}


def _line(row: Mapping[str, Any]) -> str:
    name = f"{row['scenario']} {row['side']} {row['metric']} p{100 * row['quantile']:g}"
    interval = f"{row['ratio']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"
    return f"{name}: {_ms(row['a'])} → {_ms(row['b'])}, {interval}, {row['words']} ({row['why']})"


def _ms(value: float) -> str:
    return "> limit" if math.isinf(value) else f"{value:.2f} ms"
