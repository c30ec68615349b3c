"""The end of a run: compare the sides over the blocks that count, and close the manifest."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from bench.measures.latency import validity
from bench.measures.load.cpu_shares import own_part
from bench.measures.statistics import comparison
from bench.plan.subject import Subject
from bench.run.blast_radius import blasts
from bench.schema import MICRO
from bench.storage.manifest import least_pairs, now
from bench.storage.run_directory import RunDirectory

#: Sides that the others are compared with, the first that was measured.
BASELINES = ("inprocess", "inline", "celery-stock")
#: The figure of the run's first scenario whose blocks give the A/A noise floor.
FLOOR_FIGURE = {"metric": "response", "quantile": 0.5}


def conclude(directory: RunDirectory, subject: Subject[Any], *, stopped_by: str = "") -> None:
    """Write the comparisons and close the manifest; leave out what was not measured.

    `stopped_by` says why the run is not complete; empty if it is.
    """
    blocks = directory.table("blocks")
    baseline = _baseline(directory)
    counted = validity.counted(directory.table("latency"), blocks)
    if not counted.empty:
        directory.replace("comparisons", side_comparisons(directory))
    directory.replace("blast", blasts(directory))
    directory.save_manifest(
        finished_at=None if stopped_by else now(),
        interrupted=bool(stopped_by),
        stopped_by=stopped_by,
        noise=noise(counted, blocks, baseline, directory.manifest["scenarios"][0])
        | own(directory.table("own")),
        discarded=validity.discarded(blocks, baseline),
        **subject.closing(directory.path),
    )
    directory.point_latest()


def nothing_counted(directory: RunDirectory) -> str:
    """Why nothing of the run counts, in one line with the first reason; empty if anything does."""
    rows = directory.table("blocks")
    if bool((rows["valid"] == True).any()) or (directory.path / MICRO).exists():  # noqa: E712 - a column
        return ""
    if rows.empty:
        return "nothing counted: no block was measured to its end"
    first = rows.iloc[0]
    return (
        f"nothing counted: {len(rows)} of {len(rows)} blocks are invalid; {first['block']}: {first['reason']}"
    )


def side_comparisons(directory: RunDirectory) -> pd.DataFrame:
    """Return `TABLES["comparisons"]` from the run's other tables, by the rules of this version."""
    blocks = directory.table("blocks")
    return comparison.comparisons(
        validity.counted(directory.table("latency"), blocks),
        baseline=_baseline(directory),
        sides=directory.manifest["sides"],
        hiccup_ms=dict(zip(blocks["block"], blocks["hiccup_p99_ms"].fillna(0.0), strict=True)),
        min_pairs=least_pairs(directory.manifest),
    )


def _baseline(directory: RunDirectory) -> str:
    sides = directory.manifest["sides"]
    return next((side for side in BASELINES if side in sides), sides[0])


def own(rows: pd.DataFrame) -> dict[str, float | None]:
    """The processor time of the harness, percent of that of the run's processes and of the machine."""
    return {name: part if math.isfinite(part) else None for name, part in own_part(rows).items()}


def noise(counted: pd.DataFrame, blocks: pd.DataFrame, baseline: str, scenario: str) -> dict[str, Any]:
    """The A/A noise floor of the baseline's median response, and the hiccups of all blocks in ms."""
    figure = counted[(counted["side"] == baseline) & (counted["scenario"] == scenario)]
    for column, value in FLOOR_FIGURE.items():
        figure = figure[figure[column] == value]
    floor = comparison.noise_floor(figure.sort_values("repetition")["value_ms"].tolist())
    hiccups = blocks["hiccup_p99_ms"].dropna()
    return {
        "aa_factor": floor if math.isfinite(floor) else None,
        "aa_figure": {"side": baseline, "scenario": scenario, **FLOOR_FIGURE},
        "hiccup_p99_ms": float(hiccups.median()) if len(hiccups) else None,
    }
