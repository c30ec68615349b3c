from __future__ import annotations

import json
import signal
import time
from typing import Any

import pytest

from bench.load.load_plan import LoadPlan, make_load_plan
from bench.process.asgi_server import listening_socket, port_of
from scenarios import jobs

BOTH = (jobs.ACCOUNT_SETUP, jobs.WELCOME_EMAIL)


def generator(lab: Any, plan: LoadPlan, url: str, *options: str) -> Any:
    (lab.folder / "plan.json").write_text(plan.to_json())
    return lab.start("generator", "bench.load.generator", "--plan", "plan.json", "--url", url, *options)


def a_plan(rate: float = 30, seconds: float = 1) -> LoadPlan:
    return make_load_plan(seed=7, prefix="g", rates=dict.fromkeys(BOTH, rate), seconds=seconds)


def test_every_request_of_the_plan_is_due_on_time_sent_and_answered(lab: Any) -> None:
    lab.start_world("--latency-ms", "1")
    _, url = lab.start_app("inprocess")
    plan, begun = a_plan(), time.monotonic_ns()
    assert lab.ended(generator(lab, plan, url, "--lead-s", "0.3", "--announce", "generator.json")) == 0
    start = json.loads((lab.folder / "generator.json").read_text())["start_ns"]
    assert start >= begun + 300_000_000
    dues = {event["request"]: event["t"] for event in lab.events("due")}
    assert dues == {arrival.request: start + arrival.due_ns for arrival in plan.arrivals}
    sent = {event["request"]: event["t"] for event in lab.events("request")}
    assert sent.keys() == dues.keys()
    assert all(sent[request] >= due for request, due in dues.items()), "none goes out early"
    assert {event["request"]: event["status"] for event in lab.events("response")} == {
        arrival.request: 202 if arrival.scenario == jobs.ACCOUNT_SETUP else 201 for arrival in plan.arrivals
    }
    assert lab.events("unknown") == []


def test_requests_go_out_while_earlier_ones_hang_and_end_as_unknown(lab: Any) -> None:
    lab.start_world("--latency-ms", "1")
    lab.env["DEPENDENCY_TIMEOUT_S"] = "20"
    _, url = lab.start_app("inline")
    lab.fault("crm", "hang")
    plan = make_load_plan(seed=7, prefix="g", rates={jobs.ACCOUNT_SETUP: 20}, seconds=1)
    assert lab.ended(generator(lab, plan, url, "--timeout-s", "2")) == 0
    assert len(lab.events("request")) == len(lab.events("unknown")) == len(plan.arrivals)
    assert lab.events("request")[-1]["t"] < lab.events("unknown")[0]["t"], "open loop: none waited"
    assert all("Timeout" in event["error"] for event in lab.events("unknown"))


def test_an_app_that_is_away_makes_every_request_unknown(lab: Any) -> None:
    with listening_socket() as bound:
        away = port_of(bound)
    plan = a_plan(rate=10)
    assert lab.ended(generator(lab, plan, f"http://127.0.0.1:{away}")) == 0
    assert {event["request"] for event in lab.events("unknown")} == {a.request for a in plan.arrivals}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly_and_keeps_the_events(lab: Any, number: signal.Signals) -> None:
    with listening_socket() as silent:  # accepts and never answers
        process = generator(
            lab, a_plan(seconds=60), f"http://127.0.0.1:{port_of(silent)}", "--timeout-s", "1"
        )
        lab.eventually(lambda: lab.events("request"))
        process.signal(number)
        assert lab.ended(process) == 0
    requests = {event["request"] for event in lab.events("request")}
    assert {event["request"] for event in lab.events("unknown")} == requests
    assert process.tail() == ""


@pytest.mark.parametrize("text", [None, "{}"])
def test_a_plan_that_cannot_be_read_is_refused_with_one_line(lab: Any, text: str | None) -> None:
    if text is not None:
        (lab.folder / "other.json").write_text(text)
    process = lab.start(
        "generator", "bench.load.generator", "--plan", "other.json", "--url", "http://127.0.0.1:9"
    )
    assert lab.ended(process) == 2
    assert process.tail(50).startswith("bench.load.generator: ")
    assert "\n" not in process.tail(50)
