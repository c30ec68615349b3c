from __future__ import annotations

import math

import pytest

from bench.measures.events.block import Block
from bench.measures.latency.cold_start import cold_row, first_effect_s
from bench.schema import TABLES

S = 1_000_000_000
BLOCK = Block(block="s00", side="celery-stock", start_ns=0, end_ns=0)
QUEUED = {"began": {"broker": 0, "worker": 5 * S, "app": 5 * S + 1}, "listened": {"broker": S, "app": 6 * S}}


def test_the_time_until_the_services_are_up_is_left_out() -> None:
    events = [{"t": 8 * S, "event": "effect"}, {"t": 9 * S, "event": "effect"}]
    assert first_effect_s(**QUEUED, events=events) == pytest.approx(1 + 3)


def test_each_part_has_its_own_time() -> None:
    events = [{"t": 7 * S, "event": "start"}, {"t": 8 * S, "event": "effect"}]
    row = cold_row(BLOCK, **QUEUED, events=events)
    assert tuple(row) == TABLES["cold"]
    assert (row["broker_s"], row["worker_s"], row["first_effect_s"]) == pytest.approx((1, 2, 4))
    assert row["app_s"] == pytest.approx(1)


def test_a_side_without_broker_and_worker_has_no_time_of_theirs() -> None:
    row = cold_row(BLOCK, began={"app": 0}, listened={"app": S}, events=[{"t": 2 * S, "event": "effect"}])
    assert math.isnan(float(str(row["broker_s"])))
    assert math.isnan(float(str(row["worker_s"])))
    assert row["first_effect_s"] == pytest.approx(2)


def test_a_side_that_never_had_an_effect_took_for_ever() -> None:
    assert first_effect_s({"app": 0}, {"app": S}, []) == math.inf
