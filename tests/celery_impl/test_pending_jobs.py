from __future__ import annotations

from typing import Any

import pytest
from kombu.exceptions import OperationalError

from celery_impl import pending_jobs as pending_jobs_module
from celery_impl.pending_jobs import pending_jobs

CRM = "u1/crm"
FULFILLMENT = "u1/fulfillment"


@pytest.fixture(autouse=True)
def _ask_workers_briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole wait for answers passes each time; here workers are near, and asked again."""
    monkeypatch.setattr(pending_jobs_module, "INSPECT_S", 0.3)


@pytest.mark.parametrize("profile", ["stock", "hardened"])
def test_a_job_in_a_queue_is_found_whatever_its_priority(lab: Any, profile: str) -> None:
    sample = lab.sample(profile)
    sample.run_long.delay("u1")
    sample.run_long.apply_async(("u2",), priority=9)

    assert pending_jobs(sample.app) == {CRM: "queue", "u2/crm": "queue"}


def test_a_job_that_is_not_due_is_found_in_the_schedule_set(lab: Any) -> None:
    sample = lab.sample()
    sample.run_long.apply_async(("u1",), countdown=60)

    assert pending_jobs(sample.app) == {CRM: "schedule set"}


def test_a_job_that_waits_for_its_retry_is_found_in_the_retry_set_and_has_not_failed(lab: Any) -> None:
    sample = lab.sample(SIDEKIQ_RETRY_SCALE="1", QUEUE_OR_TASK_LEDGER=str(lab.folder))
    lab.worker()
    sample.raise_always.delay("u1")

    lab.eventually(lambda: pending_jobs(sample.app) == {FULFILLMENT: "retry set"})
    assert lab.failures() == []


def test_a_job_that_was_given_up_is_found_in_the_dead_set_and_failed_there_once(lab: Any) -> None:
    sample = lab.sample(SIDEKIQ_RETRY_LIMIT="1", QUEUE_OR_TASK_LEDGER=str(lab.folder))
    lab.worker()
    sample.raise_always.delay("u1")

    lab.eventually(lambda: pending_jobs(sample.app) == {FULFILLMENT: "dead set"})
    [failed] = lab.failures()
    assert (failed["job"], failed["where"], failed["error"]) == (FULFILLMENT, "dead set", "ValueError: u1")


def test_a_job_that_stock_gives_up_failed_in_the_log_and_is_held_nowhere(lab: Any) -> None:
    sample = lab.sample("stock", QUEUE_OR_TASK_LEDGER=str(lab.folder))
    lab.worker()
    sample.raise_always.delay("u1")

    [failed] = lab.eventually(lab.failures)
    assert (failed["job"], failed["where"]) == (FULFILLMENT, "log")
    lab.eventually(lambda: pending_jobs(sample.app) == {})  # its main process hears of the failure later


@pytest.mark.parametrize(("profile", "after"), [("stock", {}), ("hardened", {CRM: "unacked"})])
def test_a_running_job_is_found_in_its_worker_and_once_that_is_killed_if_unacked(
    lab: Any, profile: str, after: dict[str, str]
) -> None:
    sample = lab.sample(profile)
    worker = lab.worker()
    sample.run_long.delay("u1")

    lab.eventually(lambda: pending_jobs(sample.app) == {CRM: "worker"})
    worker.kill()

    assert pending_jobs(sample.app) == after


@pytest.mark.parametrize("profile", ["stock", "hardened"])
def test_a_broker_that_is_silent_or_gone_leaves_the_question_open(lab: Any, profile: str) -> None:
    sample = lab.sample(profile)
    lab.broker.pause()
    with pytest.raises(OperationalError):
        pending_jobs(sample.app)
    lab.broker.kill()
    with pytest.raises(OperationalError):
        pending_jobs(sample.app)
