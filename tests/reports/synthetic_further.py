"""TEST INPUT, not a result: the further measures, seeded random numbers as in `synthetic_run`."""

from __future__ import annotations

from typing import Any

import numpy as np

SIDES = ("inprocess", "celery-stock", "celery-hardened", "inline")
CAPACITY = {"inprocess": 66.0, "celery-stock": 42.0, "celery-hardened": 38.0, "inline": 129.0}
SHARES = (0.1, 0.5, 0.8, 1.2)
STEPS = 7
#: Seconds of a step, and jobs of a request in the common mix.
STEP_S, JOBS = 3.0, 1.5
COLD_STARTS = 3
PLACES = (
    ("inprocess", "loop", 210.0),
    ("inprocess", "thread", 45.0),
    ("inprocess", "process", 12.0),
    ("celery-stock", "worker", 14.0),
    ("celery-hardened", "worker", 15.0),
)
POLICIES = (
    ("inprocess", "anchored", 0.2),
    ("celery-stock", "beat fan-out", 2.0),
    ("celery-stock", "beat entries", 6.0),
    ("celery-hardened", "beat fan-out", 2.4),
)

Rows = list[dict[str, Any]]


def further(random: np.random.Generator) -> dict[str, Rows]:
    """The rows of each of these tables."""
    capacity, ramps = _ramps(random)
    loads, load_latency = _loads(random)
    hogs, hog_latency = _hogs(random)
    return {
        "capacity": capacity,
        "ramps": ramps,
        "loads": loads,
        "load_latency": load_latency,
        "cold": _cold(random),
        "owners": _owners(random),
        "hogs": hogs,
        "hog_latency": hog_latency,
        "own": _own(random),
    }


def _ramps(random: np.random.Generator) -> tuple[Rows, Rows]:
    capacity: Rows = []
    ramps: Rows = []
    for side in SIDES:
        names = {"block": f"c00-{side}", "side": side, "repetition": 0}
        most = CAPACITY[side] * random.uniform(0.97, 1.03)
        for step in range(STEPS):
            rate = most * 0.35 * 1.25**step
            due = round(rate * STEP_S * JOBS)
            done = min(due, round(most * STEP_S * JOBS * (1 if rate < most else 0.9)))
            ramps.append(
                {
                    **names,
                    "step": step,
                    "rate_per_s": rate,
                    "seconds": STEP_S,
                    "due_jobs": due,
                    "done_jobs": done,
                    "backlog_start": 0,
                    "backlog_end": due - done,
                    "oldest_s": 0.1 if due == done else 2.0,
                    "held": due == done,
                }
            )
        cores = {"side_cores": 0.9, "services_cores": 0.3, "generator_cores": 0.2, "limited_by": "side"}
        rates = {"capacity_per_s": most, "capacity_jobs_per_s": most * JOBS}
        capacity.append({**names, **rates, "held_per_s": most * 0.9, "broke_per_s": most * 1.1, **cores})
    return capacity, ramps


def _loads(random: np.random.Generator) -> tuple[Rows, Rows]:
    loads: Rows = []
    latency: Rows = []
    for side in SIDES:
        for share in SHARES:
            rate, over = share * CAPACITY[side], share > 1
            names = {"block": f"l00-{share}-{side}", "side": side, "repetition": 0, "share": share}
            due = round(rate * 12 * JOBS)
            loads.append(
                {
                    **names,
                    "rate_per_s": rate,
                    "capacity_per_s": CAPACITY[side],
                    "seconds": 12,
                    "due_jobs": due,
                    "done_jobs": round(due / max(1.0, share)),
                    "refused": 0,
                    "unknown": 0,
                    "growth_per_s": rate * 0.2 if over else 0.0,
                    "overloaded": over,
                    "cleared_s": 4.0 if over else 0.1,
                    "side_cores": min(0.95, share),
                }
            )
            if not over:
                latency += [
                    {
                        **names,
                        "scenario": scenario,
                        "rate_per_s": rate,
                        "metric": "response",
                        "quantile": quantile,
                        "value_ms": 30 * scale / (1 - 0.9 * share) * random.uniform(0.9, 1.1),
                        "n": due,
                    }
                    for scenario in ("account_setup", "welcome_email")
                    for quantile, scale in ((0.5, 1.0), (0.9, 1.6), (0.95, 2.2))
                ]
    return loads, latency


def _cold(random: np.random.Generator) -> Rows:
    rows = []
    for side in SIDES:
        queue = "celery" in side
        for number in range(COLD_STARTS):
            app = random.uniform(0.5, 0.7)
            worker = random.uniform(1.6, 2.1) if queue else None
            rows.append(
                {
                    "block": f"s0{number}-{side}",
                    "side": side,
                    "repetition": number,
                    "broker_s": random.uniform(0.05, 0.1) if queue else None,
                    "app_s": app,
                    "worker_s": worker,
                    "first_effect_s": (worker or app) + 0.05,
                }
            )
    return rows


def _owners(random: np.random.Generator) -> Rows:
    rows = []
    for side, policy, weight in POLICIES:
        for owners in (1, 1_000, 10_000):
            late = weight * owners**0.6 * random.uniform(0.9, 1.1)
            missed = round(0.3 * owners) if weight > 1 and owners > 1_000 else 0
            rows.append(
                {
                    "block": f"o{owners}-{policy}-{side}".replace(" ", "-"),
                    "side": side,
                    "policy": policy,
                    "repetition": 0,
                    "owners": owners,
                    "noted": min(owners, 2_000),
                    "interval_s": min(20.0, max(1.0, owners / 100)),
                    "seconds": 40,
                    "ticks_due": 2 * owners,
                    "ticks_run": 2 * owners - missed,
                    "missed": missed,
                    "duplicates": 0,
                    "on_time_percent": 100.0,
                    "phase_p50_ms": late / 3,
                    "phase_p99_ms": late if owners > 1 else None,
                    "phase_max_ms": late * 1.4,
                    "jitter_sd_ms": late / 5,
                    "drift_ppm": weight,
                    "side_cores": 0.02 + owners / 20_000,
                    "pss_mb": 60 + 100 * weight + owners / 100,
                    "lag_p99_ms": 2.0,
                    "lag_max_ms": 9.0,
                }
            )
    return rows


def _hogs(random: np.random.Generator) -> tuple[Rows, Rows]:
    hogs: Rows = []
    latency: Rows = []
    for side, place, busy in PLACES:
        for number in range(2):
            names = {
                "block": f"h0{number}-{place}-{side}",
                "side": side,
                "repetition": number,
                "place": place,
            }
            hogs.append(
                {
                    **names,
                    "hogs": 20,
                    "hogs_done": 20,
                    "hog_s": 0.2,
                    "every_s": 0.5,
                    "calm_s": 5,
                    "seconds": 10,
                    "lag_p99_calm_ms": 2.0,
                    "lag_p99_ms": busy,
                    "side_cores": 0.6,
                }
            )
            for metric, scenario in (("request", "account_setup"), ("lag", "all")):
                for quantile, scale in ((0.5, 0.4), (0.9, 1.0)):
                    common = {**names, "scenario": scenario, "metric": metric, "quantile": quantile, "n": 100}
                    calm, full = (
                        scale * ms * random.uniform(0.9, 1.1) for ms in (5.0, busy if place else 5.0)
                    )
                    latency += [
                        common | {"value_ms": calm, "hogs": 0},
                        common | {"value_ms": full, "hogs": 20},
                    ]
    return hogs, latency


def _own(random: np.random.Generator) -> Rows:
    return [
        {
            "block": f"{measure}-{side}-{number}",
            "measure": measure,
            "side": side,
            "seconds": 8,
            "side_s": 4.0,
            "services_s": 1.0,
            "generator_s": 0.4,
            "harness_s": 0.3,
            "own_percent": 12 * random.uniform(0.8, 1.2),
            "own_machine_percent": 4 * random.uniform(0.8, 1.2),
        }
        for measure in ("latency", "drift", "fault")
        for side in SIDES
        for number in range(3)
    ]
