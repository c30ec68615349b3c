"""Two hosts, two clocks: whatever the one shows, no figure changes; what one host stamped is still told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.measures.events.block import Block
from bench.measures.events.clocks import Clocks, in_order
from bench.measures.faults.blast import blast
from bench.measures.faults.failure import judge
from bench.measures.faults.recovery import recovery
from bench.measures.faults.witness import example
from bench.measures.latency import cold_start, latency
from scenarios.jobs import WELCOME_EMAIL
from tests.bench.measures.random_ledgers import Events, ledgers

MS = 1_000_000
S = 1_000 * MS
#: As far apart as two hosts' boots may be: years.
OFFSETS = st.integers(min_value=-(10**17), max_value=10**17)
ELSEWHERE = ("effect", "start", "done", "raised")
BLOCK = Block(block="b001", side="celery-hardened", start_ns=0, end_ns=3_600 * S)
Email = Callable[..., Events]


def on_two_hosts(events: Events, offset: int, elsewhere: tuple[str, ...] = ELSEWHERE) -> Events:
    """The same events, those kinds stamped by host B, whose clock shows so many ns more."""
    return [
        {**event, "host": "B", "t": event["t"] + offset}
        if event["event"] in elsewhere
        else {**event, "host": "A"}
        for event in events
    ]


def figures(events: Events) -> dict[str, Any]:
    """Every figure that is made of a block's events, as text that compares NaN with NaN."""
    judged = judge(events, scenario=WELCOME_EMAIL, deadline_ms=1_000)
    jobs, requests = latency.job_frame(events, BLOCK), latency.request_frame(events, BLOCK)
    told = {
        "judged": asdict(judged),
        "recovery": recovery(events, WELCOME_EMAIL),
        "jobs": jobs.to_csv(),
        "latency": latency.latency_frame(jobs, requests, BLOCK).to_csv(),
        "cold": cold_start.first_effect_s({"app": 0}, {}, events),
        "example": example(events, WELCOME_EMAIL, deadline_ms=1_000),
        "blast": blast(events, events, scenario=WELCOME_EMAIL, deadline_ms=1) if judged.submitted else None,
    }
    return {name: repr(value) for name, value in told.items()}


@settings(max_examples=30, deadline=None)  # each makes every figure twice
@given(ledgers, OFFSETS)
def test_no_figure_depends_on_how_far_apart_the_clocks_of_two_hosts_are(events: Events, offset: int) -> None:
    asked = [{"t": 0, "event": "submit", "scenario": WELCOME_EMAIL, "job": "probe/email"}]
    seen = [*asked, {**asked[0], "event": "effect"}, *events]
    marks = [{"t": 5, "event": "fault_on"}, {"t": 9, "event": "fault_off"}]
    assert figures(on_two_hosts(seen + marks, offset)) == figures(on_two_hosts(seen + marks, 0))


@given(ledgers, OFFSETS)
def test_what_became_of_each_job_is_the_same_on_two_hosts_as_on_one(events: Events, offset: int) -> None:
    one, two = (
        judge(seen, scenario=WELCOME_EMAIL, deadline_ms=1_000)
        for seen in (events, on_two_hosts(events, offset))
    )
    for name, jobs in {**one.acceptance, **one.classes}.items():
        assert sorted(jobs) == sorted({**two.acceptance, **two.classes}[name])
    assert replace(one, timed=True).sum_ok == two.sum_ok


def block_of_40(email: Email) -> Events:
    return [
        event
        for n in range(40)
        for event in email(
            f"u{n}",
            due=n * 100,
            request=n * 100,
            submit=n * 100 + 1,
            accepted=n * 100 + 4,
            response=n * 100 + 5,
            start=n * 100 + 10,
            effect=n * 100 + 30,
            done=n * 100 + 31,
        )
    ]


def test_of_services_on_another_host_the_response_is_not_told_and_what_the_side_saw_is(email: Email) -> None:
    events = on_two_hosts(block_of_40(email), 7 * S, elsewhere=("effect",))
    jobs = latency.job_frame(events, BLOCK)
    assert jobs[["response_ms", "uncorrected_ms"]].isna().all(axis=None)
    assert set(jobs["outcome"]) == {"done"}
    medians = jobs[["caller_ms", "pickup_ms", "service_ms", "seen_ms"]].median()
    assert medians.tolist() == pytest.approx([3, 10, 21, 31])
    quantiles = latency.latency_frame(jobs, latency.request_frame(events, BLOCK), BLOCK)
    assert set(quantiles["metric"]) == {"caller", "pickup", "service", "seen", "request", "lateness"}


def test_of_workers_on_another_host_caller_cost_request_and_service_are_told(email: Email) -> None:
    events = on_two_hosts(block_of_40(email), -7 * S)
    jobs = latency.job_frame(events, BLOCK)
    untold = ["response_ms", "uncorrected_ms", "pickup_ms", "seen_ms"]
    assert jobs[untold].isna().all(axis=None)
    assert jobs[["caller_ms", "service_ms"]].median().tolist() == pytest.approx([3, 21])


def test_on_one_host_everything_is_told_and_nothing_stands_for_the_response(email: Email) -> None:
    jobs = latency.job_frame(block_of_40(email), BLOCK)
    assert jobs["response_ms"].median() == pytest.approx(30)
    assert jobs["seen_ms"].isna().all()
    named = [{**event, "host": "A"} for event in block_of_40(email)]
    pd.testing.assert_frame_equal(latency.job_frame(named, BLOCK), jobs)


def test_a_job_that_was_never_done_does_not_make_a_response_of_its_own(email: Email) -> None:
    events = on_two_hosts(block_of_40(email) + email("lost", due=1, submit=2, accepted=3), 0)
    assert not np.isinf(latency.job_frame(events, BLOCK)["response_ms"]).any()


def test_the_next_effect_after_a_fault_is_counted_on_the_clock_of_the_effects(email: Email) -> None:
    marks: Events = [{"t": 1_000 * MS, "event": "fault_on"}, {"t": 2_005 * MS, "event": "fault_off"}]
    here = on_two_hosts(block_of_40(email) + marks, 50 * S)
    there = [{**mark, "t": mark["t"] + 50 * S, "host": "B"} for mark in marks]
    assert np.isnan(recovery(here, WELCOME_EMAIL).t_first_s)
    found = recovery(here + there, WELCOME_EMAIL)
    assert found.t_first_s == pytest.approx(0.025)
    assert np.isnan([found.t_90_s, found.t_clear_s]).all()


def test_nobody_is_late_by_two_clocks_and_the_judgement_says_that_it_does_not_know(email: Email) -> None:
    events = block_of_40(email)
    assert len(judge(events, scenario=WELCOME_EMAIL, deadline_ms=1).flags["late"]) == 40
    found = judge(on_two_hosts(events, 9 * S), scenario=WELCOME_EMAIL, deadline_ms=1)
    assert (found.flags["late"], found.timed) == ((), False)


def test_a_history_of_two_hosts_tells_each_by_its_own_clock(email: Email) -> None:
    doubled = email("u", due=0, submit=10, accepted=11, effect=40, effect2=90)
    told = example(on_two_hosts(doubled, -3 * S), WELCOME_EMAIL, deadline_ms=1_000)
    assert told.endswith("effect +0 ms on B, effect +50 ms")


def test_the_host_that_asked_comes_first_whatever_the_clocks_show(email: Email) -> None:
    events = on_two_hosts(email("u", effect=1, due=5, submit=6), -S)
    assert [event["event"] for event in in_order(events)] == ["due", "submit", "effect"]
    assert not Clocks(events).shared("due", "effect")
    assert Clocks(events).shared("due", "submit")
    assert Clocks([]).shared("due", "effect")
