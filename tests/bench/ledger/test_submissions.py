"""The caller's half of the ledger around calls that succeed, fail and never return."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from time import monotonic_ns
from typing import Any

import pytest

from bench.ledger import submissions
from scenarios import jobs, ledger
from scenarios.ledger import whole_lines

HANDOVERS = [
    (submissions.account_setup, jobs.ACCOUNT_SETUP, [jobs.crm("u"), jobs.fulfillment("u")]),
    (submissions.welcome_email, jobs.WELCOME_EMAIL, [jobs.email("u")]),
    (submissions.fault_job, jobs.ACCOUNT_SETUP, [jobs.crm("u")]),
]
Handover = Callable[[str], AbstractContextManager[None]]


@pytest.fixture
def events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[dict[str, Any]]]:
    """What this process has written so far."""
    monkeypatch.setattr(ledger, "_ledger", ledger.Ledger(tmp_path, {}))

    def read() -> list[dict[str, Any]]:
        return [json.loads(line) for path in tmp_path.iterdir() for line in whole_lines(path.read_bytes())]

    return read


@pytest.mark.parametrize(("handover", "scenario", "names"), HANDOVERS)
def test_a_call_that_returns_is_submitted_before_and_accepted_after_it(
    handover: Handover, scenario: str, names: list[str], events: Any
) -> None:
    with handover("u"):
        assert [(e["event"], e["job"]) for e in events()] == [("submit", name) for name in names]
        inside = monotonic_ns()
    found = events()
    assert {e["scenario"] for e in found} == {scenario}
    assert [e["job"] for e in found if e["event"] == "accepted"] == names
    assert all((e["t"] < inside) == (e["event"] == "submit") for e in found)
    assert len({e["t"] for e in found}) == 2, "one moment before the call and one after it"


@pytest.mark.parametrize(("handover", "scenario", "names"), HANDOVERS)
def test_a_call_that_raises_is_refused_when_it_raises_with_its_error(
    handover: Handover, scenario: str, names: list[str], events: Any
) -> None:
    moments: list[int] = []

    def call() -> None:
        with handover("u"):
            moments.append(monotonic_ns())
            raise ConnectionError("away" + "y" * 500)

    with pytest.raises(ConnectionError, match="away"):
        call()
    refused = [e for e in events() if e["event"] == "refused"]
    assert [(e["scenario"], e["job"]) for e in refused] == [(scenario, name) for name in names]
    assert all(e["t"] > moments[0] for e in refused)
    assert {e["error"] for e in refused} == {f"ConnectionError: away{'y' * 500}"[:200]}
    assert not any(e["event"] == "accepted" for e in events())
