"""Backlog, ramp and load, from sides that get a known number of jobs done a second."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.measures.events.block import NS_PER_S, Block
from bench.measures.load import backlog, capacity, load
from bench.measures.load.backlog import Backlog, Jobs
from bench.measures.load.capacity import Step
from bench.schema import TABLES


def served(rate: float, done_per_s: float, seconds: float = 10.0) -> Jobs:
    """Jobs at even gaps, served one by one in order at a fixed speed."""
    due = np.arange(0, seconds, 1 / rate)
    done: list[float] = []
    for t in due:
        done.append(max(t, done[-1] if done else 0.0) + 1 / done_per_s)
    ended = np.array(done) * NS_PER_S
    return Jobs(due=due * NS_PER_S, done=ended, ended=ended)


def window(rate: float, done_per_s: float, seconds: float = 10.0) -> Backlog:
    return backlog.backlog(served(rate, done_per_s, seconds), 0, int(seconds * NS_PER_S))


def step(rate: float, limit: float) -> Step:
    return Step(rate=rate, requests=int(rate * 10), seen=window(1.5 * rate, 1.5 * limit))


def test_a_side_that_keeps_up_has_no_growing_backlog() -> None:
    seen = window(rate=80, done_per_s=100)
    assert not seen.overloaded
    assert seen.done_jobs == pytest.approx(80 * seen.seconds, rel=0.02)
    assert seen.cleared_s < 0.1


def test_at_120_percent_the_backlog_grows_by_what_is_too_much() -> None:
    seen = window(rate=120, done_per_s=100)
    assert seen.overloaded
    assert seen.growth_per_s == pytest.approx(20, rel=0.05)
    assert seen.oldest_s == pytest.approx(200 / 120, rel=0.05)
    assert seen.cleared_s == pytest.approx(2, rel=0.05)


@pytest.mark.parametrize(("due_jobs", "growth"), [(40, backlog.LEAST_GROWTH), (1000, 80)])
def test_a_backlog_may_grow_by_the_larger_of_ten_jobs_and_a_share_of_what_was_due(
    due_jobs: int, growth: int
) -> None:
    def seen(never_end: int) -> Backlog:
        ended = np.array([2.0] * (due_jobs - never_end) + [math.inf] * never_end)
        return backlog.backlog(Jobs(due=np.ones(due_jobs), done=ended, ended=ended), 0, NS_PER_S)

    assert not seen(growth).overloaded
    assert seen(growth + 1).overloaded


def test_a_job_that_never_ends_waits_and_never_clears() -> None:
    never = Jobs(due=np.array([0.0]), done=np.array([math.inf]), ended=np.array([math.inf]))
    seen = backlog.backlog(never, 0, NS_PER_S)
    assert (seen.end, seen.done_jobs, seen.oldest_s) == (1, 0, 1.0)
    assert math.isinf(seen.cleared_s)


def test_a_refused_job_has_ended_and_is_not_done(email: object) -> None:
    assert callable(email)
    events = email("a", due=0, submit=1, refused=2) + email("b", due=0, submit=1, accepted=2, effect=30)
    seen = backlog.backlog(backlog.jobs(events), 0, NS_PER_S)
    assert (seen.due_jobs, seen.done_jobs, seen.end) == (2, 1, 0)


@given(st.lists(st.tuples(st.floats(0, 1e10), st.floats(0, 1e10) | st.just(math.inf)), min_size=1))
def test_what_was_due_before_and_in_a_window_has_ended_or_waits(pairs: list[tuple[float, float]]) -> None:
    due = np.array([t for t, _ in pairs])
    ended = np.array([t + took for t, took in pairs])
    seen = Jobs(due=due, done=ended, ended=ended)
    end = 5 * NS_PER_S
    waits = seen.waiting(end)
    assert waits + int((ended <= end).sum()) == int((due <= end).sum())
    assert waits >= 0


def test_a_ramp_finds_the_capacity_and_between_which_steps_it_lies() -> None:
    steps = [step(rate, limit=100) for rate in (60, 75, 94, 117, 146)]
    found = capacity.capacity(steps)
    assert capacity.is_over(steps)
    assert not capacity.is_over(steps[:4])
    assert found.per_s == pytest.approx(100, rel=0.03)
    assert found.jobs_per_s == pytest.approx(150, rel=0.03)
    assert (found.held_per_s, found.broke_per_s) == (94, 117)
    assert found.limited_by == capacity.BY_SIDE


def test_a_side_that_does_less_under_overload_has_its_capacity_before() -> None:
    steps = [step(60, 100), step(94, 100), step(117, 40), step(146, 40)]
    assert capacity.capacity(steps).per_s == pytest.approx(94, rel=0.03)


def test_a_ramp_that_always_held_gives_a_least_capacity_and_says_so() -> None:
    found = capacity.capacity([step(60, 1000), step(75, 1000)])
    assert found.per_s == pytest.approx(75, rel=0.03)
    assert found.limited_by == capacity.BY_GENERATOR
    assert math.isnan(found.broke_per_s)


def test_a_ramp_without_a_step_is_refused() -> None:
    with pytest.raises(ValueError, match="shows no capacity"):
        capacity.capacity([])


def test_rows_have_the_columns_of_their_tables(block: Block) -> None:
    cores = {"side_cores", "services_cores", "generator_cores"}
    made = step(60, 100)
    jobs = pd.DataFrame({"outcome": ["done", "refused", "unknown"]})
    loaded = load.load_row(block, jobs, made.seen, share=0.5, rate=60, capacity=120)
    assert tuple(capacity.step_row(block, 0, made)) == TABLES["ramps"]
    assert {*capacity.capacity_row(block, capacity.capacity([made])), *cores} == set(TABLES["capacity"])
    assert {*loaded, *cores} == set(TABLES["loads"])
    assert (loaded["refused"], loaded["unknown"]) == (1, 1)


def test_an_overloaded_block_has_no_quantile_and_another_has_them_with_its_share() -> None:
    latency = pd.DataFrame([dict.fromkeys(TABLES["latency"], 1)])
    kept_up = load.load_latency_frame(latency, window(80, 100), share=0.8, rate=80)
    assert tuple(kept_up.columns) == TABLES["load_latency"]
    assert kept_up["share"].tolist() == [0.8]
    assert load.load_latency_frame(latency, window(120, 100), share=1.2, rate=120).empty


def test_only_ramps_that_count_make_a_capacity() -> None:
    found = pd.DataFrame({"block": ["a", "b", "c"], "side": ["x", "x", "x"], "capacity_per_s": [10, 90, 20]})
    blocks = pd.DataFrame({"block": ["a", "b", "c"], "valid": [True, False, True]})
    assert load.capacity_of("x", found, blocks) == 15
    assert math.isnan(load.capacity_of("y", found, blocks))
