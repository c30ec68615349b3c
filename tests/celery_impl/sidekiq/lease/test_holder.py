"""What two threads confirm at once: the renewal's and the consumer's, on a real broker."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
import redis

from celery_impl.sidekiq.lease.fire_and_forget_acks import FireAndForgetAcks
from celery_impl.sidekiq.lease.holder import Holder
from celery_impl.sidekiq.lease.lease_store import LeaseStore
from celery_impl.sidekiq.lease.pipelined_commands import PipelinedCommands

PATIENCE_S = 20.0


class Meeting(LeaseStore):
    """Holds up whoever acknowledges, after the broker's answer, until a second thread does so too."""

    meeting: threading.Barrier | None = None
    is_away = False

    def acknowledge(self, holder: str, numbers: Iterable[int]) -> None:
        super().acknowledge(holder, numbers)
        if self.meeting is not None:
            self.meeting.wait(PATIENCE_S)

    def give_back(self, holder: str, numbers: Iterable[int]) -> None:
        if self.is_away:
            raise redis.ConnectionError("away")
        super().give_back(holder, numbers)
        if self.meeting is not None:
            self.meeting.wait(PATIENCE_S)


@pytest.fixture
def leases(broker: Any) -> Iterator[Meeting]:
    with redis.Redis.from_url(broker.url) as client:
        yield Meeting(PipelinedCommands(lambda: client.connection_pool), prefix="holder:")


def held_jobs(leases: Meeting, count: int) -> Holder:
    """A holder of so many jobs, whose acknowledgements arrive by `confirm` alone."""
    holder = Holder(leases, FireAndForgetAcks(None), running=lambda: ())  # it is never connected
    for number in range(count):
        leases.commands.call(("LPUSH", f"{leases.prefix}queue", f'{{"number": {number}}}'))
    taken = leases.fetch(holder.id, 0, count, [("queue", "queue")])
    assert len(taken) == count
    return holder


def confirm_twice_at_once(leases: Meeting, holder: Holder, meanwhile: Callable[[], None]) -> None:
    """Two threads confirm the same; `meanwhile` happens when both have begun and neither has ended."""
    leases.meeting = threading.Barrier(2, action=meanwhile)
    threads = [threading.Thread(target=holder.confirm) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    leases.meeting = None


def test_two_confirmations_at_once_forget_no_acknowledgement(leases: Meeting) -> None:
    holder = held_jobs(leases, 3)
    holder.acknowledge(holder.tag(0))
    confirm_twice_at_once(leases, holder, lambda: holder.acknowledge(holder.tag(1)))
    holder.confirm()
    assert len(leases.jobs_by_holder()[holder.id]) == 1
    assert not holder.recover()  # gives the third one back
    assert leases.commands.call(("LLEN", f"{leases.prefix}queue")) == [1]


def test_two_confirmations_at_once_forget_no_job_that_goes_back(leases: Meeting) -> None:
    holder = held_jobs(leases, 3)
    leases.is_away = True
    holder.give_back(holder.tag(0))
    leases.is_away = False
    meetings = iter(["acknowledged", "given back"])

    def meanwhile() -> None:
        if next(meetings) == "given back":
            leases.is_away = True
            holder.give_back(holder.tag(1))
            leases.is_away = False

    confirm_twice_at_once(leases, holder, meanwhile)
    holder.confirm()
    assert len(leases.jobs_by_holder()[holder.id]) == 1
    assert leases.commands.call(("LLEN", f"{leases.prefix}queue")) == [2]
