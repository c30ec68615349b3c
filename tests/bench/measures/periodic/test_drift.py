from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench.measures.events.block import NS_PER_S, Block
from bench.measures.periodic.age import age_ms
from bench.measures.periodic.drift import drift_frames, mtie
from bench.measures.periodic.grid import estimate_origin
from bench.measures.periodic.phase_step import phase_step
from bench.schema import TABLES

Syncs = Callable[..., list[dict[str, Any]]]


def measured(
    events: list[dict[str, Any]], seconds: float = 100, **options: Any
) -> tuple[pd.DataFrame, dict[str, Any]]:
    block = Block(block="b001", side="inprocess", start_ns=0, end_ns=round(seconds * NS_PER_S))
    ticks, rows = drift_frames(events, block, policy="anchored", interval_ns=NS_PER_S, **options)
    assert list(ticks.columns) == list(TABLES["ticks"])
    assert list(rows.columns) == list(TABLES["drift"])
    return ticks, {str(name): value for name, value in rows.iloc[0].items()}


def test_an_exact_policy_has_no_drift_no_jitter_and_misses_nothing(syncs: Syncs) -> None:
    _, row = measured(syncs([0.3 + k for k in range(100)]))
    assert (row["ticks_due"], row["ticks_run"], row["missed"], row["duplicates"]) == (99, 99, 0, 0)
    assert row["on_time_percent"] == 100
    for column in ("phase_p50_ms", "jitter_sd_ms", "drift_ppm", "cumulative_ms", "mtie_60_ms", "overlaps"):
        assert row[column] == pytest.approx(0, abs=1e-6), column
    assert row["age_max_ms"] == pytest.approx(1020)


def test_500_ppm_are_reported_as_500_ppm_in_spite_of_jitter(syncs: Syncs) -> None:
    jitter = np.random.default_rng(5).exponential(0.001, 300)
    _, row = measured(syncs([k * 1.0005 + j for k, j in enumerate(jitter)]), seconds=300)
    assert row["drift_ppm"] == pytest.approx(500, abs=5)
    assert row["cumulative_ms"] == pytest.approx(0.5 * 298, abs=10)


def test_a_policy_that_drifts_past_an_interval_misses_ticks_and_its_phase_grows_on(syncs: Syncs) -> None:
    ticks, row = measured(syncs([k * 1.022 for k in range(100)]), seconds=100)
    assert (row["missed"], row["duplicates"]) == (2, 0)  # 98 runs for 100 ticks
    assert row["drift_ppm"] == pytest.approx(22_000)
    assert row["cumulative_ms"] == pytest.approx(97 * 22)
    assert ticks["phase_ms"].max() > 2_000
    assert row["jitter_sd_ms"] == pytest.approx(0, abs=1e-6)


def test_a_start_some_ms_before_an_estimated_grid_belongs_to_its_own_tick(syncs: Syncs) -> None:
    jitter = np.random.default_rng(3).normal(0, 0.008, 100)
    jitter[:5] = 0.01
    _, row = measured(syncs([0.3 + k + j for k, j in enumerate(jitter)]))
    assert (row["missed"], row["duplicates"], row["bursts"]) == (0, 0, 0)
    assert row["on_time_percent"] == 100
    assert row["age_max_ms"] < 1100


def test_a_policy_that_runs_fast_doubles_ticks_and_its_phase_falls_on(syncs: Syncs) -> None:
    _, row = measured(syncs([k * 0.97 for k in range(104)]), seconds=100, origin_ns=0)
    assert (row["missed"], row["duplicates"]) == (0, 4)  # 104 runs for 100 ticks
    assert row["drift_ppm"] == pytest.approx(-30_000)


def test_a_half_second_stall_for_good_is_a_permanent_step(syncs: Syncs) -> None:
    ticks, row = measured(syncs([k + (0.5 if k >= 50 else 0.0) for k in range(100)]))
    step = phase_step(ticks["start_ns"].tolist(), ticks["phase_ms"].tolist(), 50 * NS_PER_S)
    assert step.kind == "permanent"
    assert step.step_ms == pytest.approx(500)
    assert row["cumulative_ms"] == pytest.approx(500)
    assert (row["missed"], row["mtie_1_ms"]) == (0, pytest.approx(500))


def test_a_stall_that_is_caught_up_within_ten_ticks_is_repaid() -> None:
    starts = [k * NS_PER_S for k in range(30)]
    phases = [0.0] * 10 + [500.0, 400, 300, 200, 100] + [0.0] * 15
    step = phase_step(starts, phases, 10 * NS_PER_S)
    assert (step.step_ms, step.kind) == (300, "repaid")


def test_a_step_near_the_end_of_the_run_is_unknown() -> None:
    step = phase_step([k * NS_PER_S for k in range(8)], [0.0] * 8, 5 * NS_PER_S)
    assert step.kind == "unknown"


def test_missed_ticks_are_counted_and_move_no_phase(syncs: Syncs) -> None:
    ticks, row = measured(syncs([float(k) for k in range(100) if k not in {20, 21, 60}]))
    assert (row["missed"], row["duplicates"], row["ticks_run"]) == (3, 0, 97)
    assert ticks["phase_ms"].abs().max() == 0
    assert row["jitter_sd_ms"] == 0
    assert row["age_max_ms"] == pytest.approx(3020)


def test_duplicates_are_counted_and_are_bursts(syncs: Syncs) -> None:
    ticks, row = measured(syncs([k + extra for k in range(100) for extra in (0.0, 0.01)], work_s=0.005))
    assert (row["missed"], row["duplicates"], row["bursts"]) == (0, 100, 100)
    assert ticks["duplicate"].sum() == 100


def test_a_start_a_hair_before_its_tick_belongs_to_it(syncs: Syncs) -> None:
    ticks, row = measured(syncs([k - (0.003 if k % 2 else 0.0) + 1 for k in range(98)]), origin_ns=0)
    assert (row["missed"], row["duplicates"]) == (2, 0)  # the first tick and the last had no run
    assert ticks["phase_ms"].min() == pytest.approx(-3)
    assert row["on_time_percent"] == 98


def test_a_run_that_is_later_than_50_ms_is_not_on_time(syncs: Syncs) -> None:
    _, row = measured(syncs([k + (0.06 if k % 4 == 0 else 0.0) for k in range(100)]), origin_ns=0)
    assert row["on_time_percent"] == 75


def test_runs_longer_than_the_interval_overlap(syncs: Syncs) -> None:
    _, row = measured(syncs([float(k) for k in range(100)], work_s=1.5))
    assert row["overlaps"] == 99


def test_a_run_that_begins_when_the_last_one_ends_does_not_overlap_it(syncs: Syncs) -> None:
    _, row = measured(syncs([float(k) for k in range(100)], work_s=1.0))
    assert row["overlaps"] == 0


def test_two_starts_half_an_interval_apart_are_no_burst(syncs: Syncs) -> None:
    _, row = measured(syncs([k / 2 for k in range(200)]), origin_ns=0)
    assert (row["duplicates"], row["bursts"]) == (100, 0)


def test_an_owner_that_never_ran_missed_every_tick_and_is_infinitely_old() -> None:
    _, row = measured([], owners=["ada"])
    assert (row["ticks_due"], row["missed"]) == (100, 100)
    assert row["age_max_ms"] == math.inf


def test_percentiles_from_too_few_ticks_are_not_given(syncs: Syncs) -> None:
    starts = [float(k) for k in range(400)]
    assert math.isnan(measured(syncs(starts), seconds=300)[1]["phase_p99_ms"])
    assert measured(syncs(starts), seconds=400)[1]["phase_p99_ms"] == 0


def test_the_origin_is_the_earliest_phase_of_the_first_starts_whatever_doubles_they_have() -> None:
    starts = [30, 31, 1_012, 2_000, 3_040, 4_020]
    assert estimate_origin(starts, 1_000) == 0


def test_mtie_is_the_largest_spread_within_the_window() -> None:
    phase = np.array([0.0, 1, 2, 10, 11, 12])
    sequence = np.arange(6.0)
    assert [mtie(sequence, phase, ticks) for ticks in (1, 2, 5)] == [8, 9, 12]
    assert math.isnan(mtie(sequence, phase, 6))


def test_age_is_weighted_by_time_as_a_reader_sees_it() -> None:
    """Done at 0, 1, …, 9 s, each due when it was done; then nothing for 10 s: age runs from 0 to 11 s."""
    done = [(k * NS_PER_S, k * NS_PER_S) for k in range(10)]
    p99, longest = age_ms(done, 0, 20 * NS_PER_S)
    assert longest == 11_000
    assert p99 == pytest.approx(11_000 - 0.01 * 20_000)


def test_age_before_the_first_sync_counts_from_the_start_of_the_window() -> None:
    assert age_ms([(5 * NS_PER_S, 4 * NS_PER_S)], 0, 6 * NS_PER_S)[1] == 5_000


def test_a_sync_that_is_done_as_the_window_opens_is_what_its_first_readers_see() -> None:
    done = [(NS_PER_S, -2 * NS_PER_S)]
    assert age_ms(done, NS_PER_S, 2 * NS_PER_S) == pytest.approx((3_990, 4_000))


def test_a_sync_that_is_done_as_the_window_closes_was_seen_by_nobody() -> None:
    assert age_ms([(2 * NS_PER_S, NS_PER_S)], 0, 2 * NS_PER_S) == (math.inf, math.inf)


def test_a_sync_before_the_window_is_what_its_first_readers_see() -> None:
    done = [(-NS_PER_S, -3 * NS_PER_S), (NS_PER_S, NS_PER_S)]
    assert age_ms(done, 0, 2 * NS_PER_S)[1] == 4_000
