from __future__ import annotations

from pathlib import Path

import pytest

from reports.data.run import read
from reports.pages import report
from reports.pages.instrument import instrument
from reports.pages.promises import Mark, promises
from reports.pages.provenance import provenance
from tests.reports.synthetic_run import manifest, plant, strike

VERIFIED = {
    "known truth": "1 of 2 NOT HELD",
    "verified at": "2000-01-01T00:00:00+00:00",
    "verified commit": "0" * 40,
    "each job 50 ms later: response": "50 → 51.9 ms (may be off by 1): NOT HELD",
    "A/A over 40 seeded runs: called different": "0 → 3 runs (may be off by 2): too noisy to say (busy)",
}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with nothing but a manifest, to plant tables in: a whole one takes longer to read."""
    manifest(tmp_path)
    return tmp_path


def marks(folder: Path, promise: str, side: str) -> tuple[Mark, ...]:
    found = promises(read(folder))
    row = next(row for row in found.rows if promise in row.promise)
    return row.cells[found.sides.index(side)]


def test_no_loss_at_any_fault_is_a_tick(run: Path) -> None:
    plant(run, "failures", [strike(), strike(fault=13)])
    assert marks(run, "job is lost", "in-process") == (Mark(state="held", text="at 2 faults"),)


def test_a_lost_job_is_a_cross_that_names_its_fault_and_links_to_it(run: Path) -> None:
    plant(run, "failures", [strike(lost=1), strike(lost=2, strike=1), strike(fault=13)])
    (mark,) = marks(run, "job is lost", "in-process")
    assert (mark.state, mark.text) == ("broken", "not at 1 of 2 faults:")
    assert mark.faults == (("kill -9 of the app (3 of 20)", "f10-inprocess"),)


def test_a_strike_that_is_not_known_is_no_tick(run: Path) -> None:
    plant(run, "failures", [strike(at_least_once="unknown")])
    assert [mark.state for mark in marks(run, "job is lost", "in-process")] == ["unknown"]


def test_each_policy_of_a_sync_has_a_mark_of_its_own(run: Path) -> None:
    rows = [
        {"block": policy, "side": "inprocess", "policy": policy, "on_time_percent": share, "missed": 0}
        for policy, share in (("work-then-rearm", 15), ("anchored", 100))
    ]
    plant(run, "drift", rows)
    assert [mark.state for mark in marks(run, "tick is on time", "in-process")] == ["broken", "held"]


def test_the_runs_own_thresholds_say_met_or_crossed(run: Path) -> None:
    (run / "checks.json").write_text(
        '[{"text": "lost == 0", "subject": "inprocess", "value": 3, "met": false}]'
    )
    (check,) = promises(read(run)).checks
    assert (check.text, check.mark.state, check.mark.text) == ("lost == 0", "broken", "3")


def test_a_truth_that_was_misreported_is_a_cross_and_a_stamp(run: Path) -> None:
    manifest(run, instrument=VERIFIED)
    found = instrument(read(run))
    assert [truth.state for truth in found.truths] == ["broken", "unknown"]
    assert found.truths[1].outcome == "too noisy to say (busy)"
    assert found.about.endswith("the commit of this run.")
    assert "the instrument misreported 1 known truth" in report.stamps(read(run))


def test_an_instrument_that_was_never_verified_says_how(run: Path) -> None:
    assert instrument(read(run)).headline == "not verified: run make verify-instrument"


def test_provenance_has_every_field_of_the_manifest_once(run: Path) -> None:
    manifest(run, surprise={"a": [1, 2]}, machine={"cores": 2, "deep": {"er": True}})
    facts = [fact for group in provenance(read(run)) for fact in group.facts]
    assert ("surprise: a", "1, 2") in facts
    assert ("deep: er", "yes") in facts
    assert ("took", "4.67 min") in facts
    assert len({name for name, _ in facts}) == len(facts)


def test_provenance_says_that_the_broker_is_a_redis_server(run: Path) -> None:
    manifest(run, broker="valkey-server")
    facts = [fact for group in provenance(read(run)) for fact in group.facts]
    assert ("Redis server", "valkey-server") in facts
    manifest(run, broker="the app's own, amqp://localhost", own_app={"tasks": []})
    facts = [fact for group in provenance(read(run)) for fact in group.facts]
    assert ("broker", "the app's own, amqp://localhost") in facts


def test_callers_that_were_not_measured_name_the_blocks_that_would_show_them(run: Path) -> None:
    (mark,) = marks(run, "without a fault", "in-process")[:1]
    assert mark.text == "no call in a latency block"
