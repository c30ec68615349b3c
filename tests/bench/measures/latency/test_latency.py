from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from bench.measures.events.block import Block
from bench.measures.latency.latency import host_tax_frame, job_frame, latency_frame, request_frame
from bench.schema import TABLES
from scenarios import jobs

MS = 1_000_000
Events = list[dict[str, Any]]
Email = Callable[..., Events]


def known_truth(email: Email, count: int = 400) -> Events:
    """A system that adds exactly 50 ms and drops every 7th job; requests are 0.25 ms late."""
    events: Events = []
    for number in range(1, count + 1):
        due = number * 10.0
        times = {
            "due": due,
            "request": due + 0.25,
            "submit": due + 1,
            "accepted": due + 3,
            "response": due + 4,
        }
        if number % 7:
            times |= {"start": due + 20, "effect": due + 50, "done": due + 51}
        events += email(f"u{number}", **times)
    return events


def test_a_system_that_adds_50_ms_is_reported_to_the_nanosecond(email: Email, block: Block) -> None:
    frame = job_frame(known_truth(email), block)
    done = frame[frame["outcome"] == "done"]
    assert list(frame.columns) == list(TABLES["jobs"])
    assert (done["response_ms"] == 50).all()
    assert (done["uncorrected_ms"] == 49).all()
    assert (done["caller_ms"] == 2).all()
    assert (done["pickup_ms"] == 20).all()
    assert (done["service_ms"] == 31).all()


def test_every_7th_job_dropped_is_every_7th_job_unfinished(email: Email, block: Block) -> None:
    frame = job_frame(known_truth(email), block)
    unfinished = frame[frame["outcome"] == "unfinished"]
    assert len(frame) == 400
    assert list(unfinished["job"]) == [f"u{number}/email" for number in range(7, 401, 7)]
    assert (unfinished["response_ms"] == math.inf).all()


def test_quantiles_count_the_dropped_jobs_as_infinitely_late(email: Email, block: Block) -> None:
    events = known_truth(email)
    frame = latency_frame(job_frame(events, block), request_frame(events, block), block)
    values = frame.set_index(["metric", "quantile"])["value_ms"]
    assert list(frame.columns) == list(TABLES["latency"])
    assert values["response", 0.5] == 50
    assert values["response", 0.9] == math.inf
    assert values["caller", 0.99] == 2
    assert values["request", 0.99] == 4
    assert values["lateness", 0.99] == 0.25
    assert 0.999 not in values["response"].index


def test_only_jobs_due_inside_the_window_count(email: Email) -> None:
    window = Block(block="b001", side="inprocess", start_ns=100 * MS, end_ns=200 * MS)
    frame = job_frame(known_truth(email), window)
    assert list(frame["due_ns"]) == [due * MS for due in range(100, 200, 10)]
    assert len(request_frame(known_truth(email), window)) == 10


def test_a_request_of_account_setup_is_two_jobs_with_one_due(block: Block) -> None:
    common = {"scenario": jobs.ACCOUNT_SETUP}
    events = [
        {"t": 0, "event": "due", "request": "u", **common},
        {"t": 30 * MS, "event": "effect", "job": "u/fulfillment", **common},
        {"t": 70 * MS, "event": "effect", "job": "u/crm", **common},
    ]
    frame = job_frame(events, block).set_index("job")
    assert frame["response_ms"].to_dict() == {"u/crm": 70, "u/fulfillment": 30}


def test_the_service_of_a_retried_job_is_that_of_its_last_attempt(email: Email, block: Block) -> None:
    events = email("u", due=0, submit=1, accepted=2, start=5, start2=100, effect=115, done=120)
    row = job_frame(events, block).iloc[0]
    assert (row["pickup_ms"], row["service_ms"]) == (5, 20)


@pytest.mark.parametrize(
    ("times", "outcome"),
    [
        ({"submit": 1, "refused": 2, "response": 3}, "refused"),
        ({"submit": 1, "accepted": 2, "start": 3, "failed": 4}, "failed"),
        ({"submit": 1, "unknown": 9}, "unknown"),
        ({"submit": 1, "accepted": 2, "unknown": 9}, "unfinished"),
        ({"submit": 1, "accepted": 2, "failed": 3, "effect": 4}, "done"),
    ],
)
def test_what_is_not_done_has_an_outcome_and_an_infinite_response(
    email: Email, block: Block, times: dict[str, float], outcome: str
) -> None:
    row = job_frame(email("u", status=503, due=0, **times), block).iloc[0]
    assert row["outcome"] == outcome
    assert math.isinf(row["response_ms"]) == (outcome != "done")


def test_a_request_without_an_answer_took_for_ever(email: Email, block: Block) -> None:
    row = request_frame(email("u", due=1, request=2, unknown=900), block).iloc[0]
    assert (row["latency_ms"], row["lateness_ms"], row["status"]) == (math.inf, 1, 0)


def test_the_host_tax_is_the_lag_under_load_minus_that_of_the_idle_control() -> None:
    block = Block(block="b001", side="inprocess", start_ns=1_000, end_ns=2_000)
    idle = [(t, 0.5) for t in range(40)]
    loaded = [(t, 99.0) for t in range(40)] + [(1_000 + t, 2.0) for t in range(40)]
    frame = host_tax_frame(loaded, idle, block)
    assert list(frame["quantile"]) == [0.5, 0.9]
    assert (frame["value_ms"] == 1.5).all()


@pytest.mark.parametrize(("idle", "loaded"), [(40, 20), (20, 40)])
def test_the_host_tax_counts_the_smaller_of_its_two_samples(idle: int, loaded: int) -> None:
    block = Block(block="b001", side="inprocess", start_ns=0, end_ns=1_000)
    frame = host_tax_frame([(t, 2.0) for t in range(loaded)], [(t, 0.5) for t in range(idle)], block)
    assert (list(frame["quantile"]), list(frame["n"])) == ([0.5], [20])


def test_a_block_without_events_has_empty_frames_with_their_columns(block: Block) -> None:
    jobs_frame, requests = job_frame([], block), request_frame([], block)
    assert latency_frame(jobs_frame, requests, block).empty
    assert list(requests.columns) == list(TABLES["requests"])
