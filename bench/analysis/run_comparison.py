"""Comparing two runs: for each figure that both have, B over A, in the words of `verdict_words`.

Two runs of the same plan (same machine, seed and load) are paired by repetition: their blocks
carried the same load. Any others are compared as independent samples (Welch), and the text says
that they are unpaired.
Blocks that do not count are left out, and no figure counts as less than the hiccups of the blocks compared.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import pandas as pd

from bench.errors import BenchError
from bench.measures.latency.validity import counted
from bench.measures.statistics.comparison import NOT_COMPARED, pair_blocks
from bench.measures.statistics.verdict_words import Comparison, classify_difference
from bench.schema import COMPARED, MACHINE_IDENTITY
from bench.storage.manifest import least_pairs
from bench.storage.run_directory import RunDirectory

#: What makes two plans offer the same requests from the same seed.
_LOAD = ("rate", "owners", "warmup_s", "latency_s")
#: Digits of a commit that a person reads.
COMMIT_DIGITS = 10
_KEYS = ["scenario", "side", "metric", "quantile"]
#: A row of `latency.csv` without one of these is left out.
_NUMBERS = ["repetition", "quantile", "value_ms"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """B against A: the table of `COMPARED`, how it was made, and what else is another in the two runs."""

    a: Path
    b: Path
    table: pd.DataFrame
    how: str
    others: tuple[str, ...]

    @property
    def lines(self) -> list[str]:
        """What a terminal shows."""
        figures = [_line(row) for row in records(self.table)]
        return [f"A = {self.a}", f"B = {self.b}", self.how, *self.others, *figures]


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
    rows = [
        dict(zip(_KEYS, keys, strict=True)) | _row(group, is_paired=not unlike, min_pairs=needed)
        for keys, group in both.groupby(_KEYS)
        if group["run"].nunique() == len(runs)
    ]
    if not rows:
        raise BenchError(f"{a} and {b} share no figure: run both with the same scenarios and sides")
    return Compared(
        a=a,
        b=b,
        table=pd.DataFrame(rows, columns=list(COMPARED)),
        how=f"unpaired: the runs differ in {' and '.join(unlike)}" if unlike else "paired by repetition",
        others=tuple(_others(*(run.manifest for run in runs))),
    )


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as mappings from column to value."""
    return cast("list[dict[str, Any]]", table.to_dict("records"))


def _rows(run: RunDirectory, name: str) -> pd.DataFrame:
    blocks = run.table("blocks")
    latency = counted(run.table("latency"), blocks)
    seen = dict(zip(blocks["block"], blocks["hiccup_p99_ms"], strict=True))
    hiccups = latency["block"].map(seen).fillna(0.0)
    latency = latency.assign(hiccup_ms=hiccups).dropna(subset=_NUMBERS)
    return latency[~latency["metric"].isin(NOT_COMPARED)].assign(run=name)


def _unlike(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    same_machine = all(
        _part(a, "machine").get(key) == _part(b, "machine").get(key) for key in MACHINE_IDENTITY
    )
    same_load = all(_part(a, "plan").get(key) == _part(b, "plan").get(key) for key in _LOAD)
    checks = {"machine": same_machine, "seed": a.get("seed") == b.get("seed"), "load": same_load}
    return [name for name, same in checks.items() if not same]


def _others(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    """What else is another in the two runs, A → B: each version, and the commit; dirty trees are marked."""
    versions = [_part(run, "versions") for run in (a, b)]
    names = sorted({name for run in versions for name in run})
    pairs = [(name, *(str(run.get(name, "none")) for run in versions)) for name in names]
    pairs.append(("commit", *(_commit(_part(run, "git")) for run in (a, b))))
    return [f"{name}: {one} → {two}" for name, one, two in pairs if one != two]


def _part(manifest: Mapping[str, Any], field: str) -> Mapping[str, Any]:
    """A field of the manifest that is an object; empty where it is absent or something else."""
    value = manifest.get(field)
    return value if isinstance(value, dict) else {}


def _commit(git: Mapping[str, Any]) -> str:
    return str(git.get("commit", "unknown"))[:COMMIT_DIGITS] + (" with changes" if git.get("dirty") else "")


def _row(group: pd.DataFrame, *, is_paired: bool, min_pairs: int) -> dict[str, Any]:
    values = {name: group[group["run"] == name]["value_ms"] for name in "ab"}
    floor_ms = float(group["hiccup_ms"].median())
    if is_paired:
        pairs = pair_blocks(group.assign(side=group["run"]), "a", "b")
        a, b = pairs["baseline"].tolist(), pairs["side"].tolist()
    else:
        a, b = (values[name].tolist() for name in "ab")
    found = classify_difference(a, b, floor_ms=floor_ms, is_paired=is_paired, min_pairs=min_pairs)
    return {name: float(series.median()) for name, series in values.items()} | _figures(found)


def _figures(found: Comparison) -> dict[str, Any]:
    return {key: value for key, value in asdict(found).items() if key in COMPARED}


def _line(row: Mapping[str, Any]) -> str:
    name = f"{row['scenario']} {row['side']} {row['metric']} p{100 * row['quantile']:g}"
    interval = f"{row['ratio']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"
    return f"{name}: {_ms(row['a'])} → {_ms(row['b'])}, {interval}, {row['words']} ({row['why']})"


def _ms(value: float) -> str:
    return "> limit" if math.isinf(value) else f"{value:.2f} ms"
