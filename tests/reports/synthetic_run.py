"""TEST INPUT, not a result: a run directory of seeded random numbers in the schema's shape.

It exists so that the report can be tested without an hour of measuring. Nothing here was
measured, and no figure of it may be shown as one. `synthetic_run(folder)` writes everything;
tests then take files away or plant other rows with `plant`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.schema import MANIFEST, MICRO, SCHEMA_VERSION, TABLES
from tests.reports import synthetic_events
from tests.reports.synthetic_further import further

SIDES = ("inprocess", "celery-stock", "celery-hardened", "inline")
REPETITIONS = 4
BASE_MS = {"inprocess": 31.0, "celery-stock": 38.0, "celery-hardened": 39.0, "inline": 30.0}
CALLER_MS = {"inprocess": 0.15, "celery-stock": 0.9, "celery-hardened": 1.1, "inline": 26.0}
DRIFTS = (
    ("inprocess", "work-then-rearm", 22_000.0, 4.0),
    ("inprocess", "anchored", 2.0, 1.5),
    ("celery-stock", "beat", 45.0, 6.0),
    ("celery-hardened", "anchored-beat", 40.0, 5.0),
)
#: fault, slug, lost of 10 a strike at each side that it strikes
STRIKES = (
    (1, "dependency-503", {"inprocess": 0, "celery-stock": 0, "celery-hardened": 0, "inline": 0}),
    (10, "kill-app", {"inprocess": 8, "celery-stock": 0, "celery-hardened": 0}),
    (12, "kill-worker", {"celery-stock": 1, "celery-hardened": 0}),
    (13, "sigterm", {"inprocess": 0, "celery-stock": 0, "celery-hardened": 0}),
    (17, "broker-silent", {"celery-stock": 0, "celery-hardened": 0}),
)
#: The scenario at which no fault aims, so nothing is predicted for it, and the faults that it stood beside.
BYSTANDERS_AT = (10, 12)
BESIDE: dict[str, Any] = {"scenario": "welcome_email", "predicted": "", "as_predicted": ""}


def synthetic_run(folder: Path, *, profile: str = "quick", seed: int = 7) -> Path:
    """Write a whole plausible run into `folder` and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    blocks = _blocks(random)
    plant(folder, "blocks", blocks)
    jobs = _jobs(random, [block for block in blocks if block["measure"] == "latency"])
    plant(folder, "jobs", jobs)
    plant(folder, "requests", _requests(jobs))
    latency = _latency(random, jobs)
    plant(folder, "latency", latency)
    plant(folder, "comparisons", _comparisons(latency))
    ticks, drift = _sync(random, [block for block in blocks if block["measure"] == "drift"])
    plant(folder, "ticks", ticks)
    plant(folder, "drift", drift)
    failures = _failures()
    plant(folder, "failures", failures)
    for row in failures:
        if row["strike"] == 0 and row["scenario"] == synthetic_events.SCENARIO:
            synthetic_events.write(folder, synthetic_events.struck(int(row["lost"])), row["block"])
    plant(folder, "controls", [_unstruck(row) for row in failures])
    plant(folder, "exposure", [row | {"exposed": row["accepted"]} for row in failures])
    plant(folder, "blast", _blast(failures))
    plant(folder, "cost", _cost(random, blocks))
    for table, rows in further(random).items():
        plant(folder, table, rows)
    manifest(folder, profile=profile)
    micro(folder)
    return folder


def shortened(run: Path, folder: Path, *, rows: int) -> Path:
    """A copy of a run with the first and the last rows of each table, `rows` in all."""
    folder.mkdir(parents=True)
    for table in TABLES:
        frame = pd.read_csv(run / f"{table}.csv", dtype=str, keep_default_na=False)
        few = frame if len(frame) <= rows else pd.concat([frame.head(rows // 2), frame.tail(rows // 2)])
        few.to_csv(folder / f"{table}.csv", index=False)
    for name in (MANIFEST, MICRO):
        (folder / name).write_bytes((run / name).read_bytes())
    return folder


def _blast(failures: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What each strike did to the bystanders: nothing, but that they waited for a hogged loop."""
    names = ("block", "fault", "side", "strike", "scenario")
    harms = dict.fromkeys(("lost", "stuck", "failed_visibly", "duplicated", "late", "ghost", "unserved"), 0.0)
    return [
        {**{name: row[name] for name in names}, **harms, "response_p50_ms": 3.5, "lag_ms": 12.0}
        for row in failures
    ]


def plant(folder: Path, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write `rows` as the whole table; columns that a row does not name are empty."""
    frame = pd.DataFrame(list(rows), columns=list(TABLES[table]))
    frame.to_csv(folder / f"{table}.csv", index=False)


def manifest(folder: Path, **changes: Any) -> None:
    """Write `run.json`, with these fields changed."""
    fields = {
        "schema": SCHEMA_VERSION,
        "run": "synthetic-test-input",
        "started_at": "2000-01-01T00:00:00+00:00",
        "finished_at": "2000-01-01T00:04:40+00:00",
        "interrupted": False,
        "profile": "quick",
        "command": ["python", "-m", "bench", "run", "--profile", "quick", "--seed", "7"],
        "seed": 7,
        "sides": list(SIDES),
        "scenarios": ["account_setup", "account_sync", "welcome_email"],
        "measures": ["latency", "drift", "fault", "micro"],
        "plan": {"rate_per_s": 10, "seconds": 8, "drain_limit_s": 10},
        "versions": {"python": "3.11.2", "celery": "5.7.0"},
        "machine": {"cores": 2, "system": "TEST INPUT, not a machine"},
        "git": {"commit": "0" * 40, "dirty": False},
        "broker": "none: TEST INPUT",
        "noise": {
            "aa_factor": 1.06,
            "aa_figure": {
                "side": "inprocess",
                "scenario": "account_setup",
                "metric": "response",
                "quantile": 0.5,
            },
            "hiccup_p99_ms": 0.4,
        },
        "discarded": [{"repetition": "3", "reason": "hiccup p99 of b013 above the limit"}],
    }
    (folder / MANIFEST).write_text(json.dumps(fields | changes, indent=2))


def micro(folder: Path) -> None:
    """Write `micro.json` in pytest-benchmark's shape, times in seconds."""
    medians = {"test_start_child": 9e-6, "test_task_start": 4e-6, "test_delay_stock": 310e-6}
    benchmarks = [
        {
            "name": name,
            "fullname": f"bench/micro/test_calls.py::{name}",
            "group": "hand one job over",
            "stats": {
                "median": middle,
                "q1": middle * 0.9,
                "q3": middle * 1.3,
                "rounds": 1000,
                "min": middle * 0.8,
            },
        }
        for name, middle in medians.items()
    ]
    (folder / MICRO).write_text(json.dumps({"benchmarks": benchmarks}))


def _blocks(random: np.random.Generator) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for repetition in range(REPETITIONS):
        rows += [
            _block(random, len(rows) + number, "latency", side, repetition)
            for number, side in enumerate(SIDES)
        ]
    for side, _, _, _ in DRIFTS:
        rows.append(_block(random, len(rows), "drift", side, 0))
    rows[13] |= {"valid": False, "reason": "hiccup p99 12.1 ms is above 10 ms", "hiccup_p99_ms": 12.1}
    return rows


def _block(
    random: np.random.Generator, number: int, measure: str, side: str, repetition: int
) -> dict[str, Any]:
    return {
        "block": f"b{number:03}",
        "measure": measure,
        "side": side,
        "repetition": repetition,
        "seconds": 8,
        "hiccup_p99_ms": random.uniform(0.3, 0.9),
        "hiccup_max_ms": random.uniform(2, 9),
        "steal_percent": 0.1,
        "lateness_ms": random.uniform(0.2, 0.8),
        "valid": True,
        "reason": "",
    }


def _jobs(random: np.random.Generator, blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    rows = []
    for block in blocks:
        for scenario in ("account_setup", "welcome_email"):
            for number in range(40):
                unfinished = block["side"] == "celery-stock" and number % 20 == 19
                rows.append(_job(random, block, scenario, number, unfinished=unfinished))
    return rows


def _job(
    random: np.random.Generator, block: dict[str, Any], scenario: str, number: int, *, unfinished: bool
) -> dict[str, Any]:
    side = block["side"]
    service = BASE_MS[side] * random.lognormal(0, 0.25) * (0.5 if scenario == "welcome_email" else 1)
    caller = CALLER_MS[side] * random.lognormal(0, 0.3)
    response = math.inf if unfinished else service + 2 * caller
    return {
        "block": block["block"],
        "side": side,
        "scenario": scenario,
        "job": f"{block['block']}-{number:06}/crm",
        "due_ns": number * 100_000_000,
        "response_ms": response,
        "uncorrected_ms": response - 0.2,
        "caller_ms": caller,
        "pickup_ms": 2 * caller,
        "service_ms": service,
        "outcome": "unfinished" if unfinished else "done",
    }


def _requests(jobs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    fields = {"latency_ms": 3.0, "lateness_ms": 0.2, "status": 202}
    shared = ("block", "side", "scenario", "due_ns")
    return [
        {name: job[name] for name in shared} | {"request": job["job"].split("/")[0]} | fields for job in jobs
    ]


def _latency(random: np.random.Generator, jobs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    rows = []
    columns = {"response": "response_ms", "caller": "caller_ms", "request": "pickup_ms"}
    for (block, side, scenario), group in pd.DataFrame(jobs).groupby(["block", "side", "scenario"]):
        number = int(str(block)[1:])
        common = {
            "block": block,
            "side": side,
            "scenario": scenario,
            "repetition": number // 4,
            "n": len(group),
        }
        for metric, column in columns.items():
            for quantile in (0.5, 0.9, 0.95):
                value = group[column].quantile(quantile, interpolation="higher")
                rows.append(common | {"metric": metric, "quantile": quantile, "value_ms": value})
        tax = random.uniform(0.1, 0.4) * (3 if side == "inline" else 1)
        rows += [
            common | {"metric": "host_tax", "quantile": quantile, "value_ms": tax * scale}
            for quantile, scale in ((0.5, 0.3), (0.99, 4.0))
        ]
    return rows


def _comparisons(latency: list[dict[str, Any]]) -> list[dict[str, Any]]:
    frame = pd.DataFrame(latency)
    rows = []
    for scenario in ("account_setup", "welcome_email"):
        for metric, quantile in (("response", 0.5), ("response", 0.9), ("caller", 0.5), ("request", 0.5)):
            picked = frame[
                (frame.scenario == scenario) & (frame.metric == metric) & (frame["quantile"] == quantile)
            ]
            medians = picked.groupby("side")["value_ms"].median()
            for side in SIDES[1:]:
                rows.append(_comparison(scenario, metric, quantile, side, medians))  # noqa: PERF401 - one line a loop reads best
    return rows


def _comparison(
    scenario: str, metric: str, quantile: float, side: str, medians: pd.Series[float]
) -> dict[str, Any]:
    ratio = medians[side] / medians["inprocess"]
    words = "higher" if ratio > 1.15 else "lower" if ratio < 0.87 else "no clear difference"
    return {
        "scenario": scenario,
        "metric": metric,
        "quantile": quantile,
        "baseline": "inprocess",
        "side": side,
        "pairs": REPETITIONS,
        "ratio": ratio,
        "low": ratio * 0.9,
        "high": ratio * 1.12,
        "difference_ms": medians[side] - medians["inprocess"],
        "words": words,
        "why": "the interval against the margin of 10 % or 1 ms",
    }


def _sync(
    random: np.random.Generator, blocks: list[dict[str, Any]]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    ticks: list[dict[str, Any]] = []
    drift: list[dict[str, Any]] = []
    for block, (side, policy, ppm, offset) in zip(blocks, DRIFTS, strict=True):
        for owner in ("owner-0", "owner-1"):
            common = {"block": block["block"], "side": side, "policy": policy, "owner": owner}
            ticks += _ticks(random, common, ppm, offset)
            drift.append(_drift(random, common, ppm, 1000 + 25 + offset + ppm / 1000))
    return ticks, drift


def _ticks(
    random: np.random.Generator, common: dict[str, Any], ppm: float, offset: float
) -> list[dict[str, Any]]:
    rows = []
    for tick in range(20):
        phase = offset + abs(random.normal(0, 1)) + tick * ppm / 1000
        due = tick * 1_000_000_000
        start = due + int(phase * 1e6)
        rows.append(
            {
                **common,
                "tick": tick,
                "due_ns": due,
                "start_ns": start,
                "done_ns": start + 22_000_000,
                "phase_ms": phase,
                "duplicate": False,
            }
        )
    return rows


def _drift(random: np.random.Generator, common: dict[str, Any], ppm: float, age: float) -> dict[str, Any]:
    return {
        **common,
        "ticks_due": 20,
        "ticks_run": 20,
        "missed": 0,
        "duplicates": 0,
        "on_time_percent": 100 if ppm < 1000 else 15,
        "phase_p50_ms": ppm / 100,
        "jitter_sd_ms": random.uniform(0.3, 1.2),
        "drift_ppm": ppm,
        "cumulative_ms": ppm / 50,
        "run_s": 20,
        "overlaps": 0,
        "bursts": 0,
        "mtie_1_ms": 2.0,
        "age_p99_ms": age * random.uniform(0.995, 1.005),
        "age_max_ms": age * 1.05,
    }


def _unstruck(failure: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the same side did without the fault: nothing was predicted, and nothing was lost."""
    done = failure["done_once"] + failure["lost"]
    return {**failure, "done_once": done, "lost": 0, "predicted": "", "as_predicted": ""}


def _failures() -> list[dict[str, Any]]:
    return [
        strike(block=f"f{fault}-{side}-{number}", fault=fault, slug=slug, side=side, strike=number, **changes)
        for fault, slug, sides in STRIKES
        for side, lost in sides.items()
        for number in range(5)
        for changes in ({"lost": lost}, *([BESIDE] if fault in BYSTANDERS_AT else []))
    ]


def strike(**changes: Any) -> dict[str, Any]:
    """One strike with ten accepted jobs, of which `lost` are lost; any column may be changed."""
    lost = int(changes.get("lost", 0))
    fields: dict[str, Any] = {
        "block": "f001",
        "fault": 10,
        "slug": "kill-app",
        "side": "inprocess",
        "scenario": "account_setup",
        "strike": 0,
        "submitted": 10,
        "accepted": 10,
        "refused": 0,
        "unknown": 0,
        "done_once": 10 - lost,
        "duplicated": 0,
        "failed_visibly": 0,
        "stuck": 0,
        "lost": lost,
        "late": 0,
        "ghost": 0,
        "unexpected": 0,
        "cancelled": 0,
        "sum_ok": True,
        "at_least_once": "broken" if lost else "held",
        "at_most_once": "held",
        "t_first_s": 0.4,
        "t_90_s": 1.2,
        "t_clear_s": 1.4,
        "caller_max_ms": 3.0,
        "user_errors": 0,
        "lag_max_ms": 2.0,
        "app_died": changes.get("fault") == 10,
        "predicted": "everything in memory lost" if lost else "accepted jobs safe",
        "as_predicted": "yes",
        "note": "",
        "seen": "status 202; handover s 0.3" if changes.get("fault") == 10 else "",
        "example": "lost u7/crm: submit +0 ms, accepted +2 ms" if lost else "",
    }
    return fields | changes


def _cost(random: np.random.Generator, blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    memory = {"inprocess": 62, "celery-stock": 178, "celery-hardened": 181, "inline": 60}
    return [
        {
            "block": block["block"],
            "side": block["side"],
            "repetition": block["repetition"],
            "jobs": 160,
            "cpu_s_per_1000": memory[block["side"]] / 50 * random.uniform(0.95, 1.05),
            "pss_mb": memory[block["side"]] * random.uniform(0.98, 1.02),
            "broker_commands_per_job": 9.2 if "celery" in block["side"] else 0,
            "processes": 5 if "celery" in block["side"] else 1,
            "sockets": 14 if "celery" in block["side"] else 4,
            "config_lines": 21 if "celery" in block["side"] else 0,
            "cold_start_s": 1.9 if "celery" in block["side"] else 0.5,
        }
        for block in blocks
        if block["measure"] == "latency"
    ]
