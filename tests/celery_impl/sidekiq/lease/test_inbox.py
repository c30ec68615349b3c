"""Jobs that a worker of the pool solo has fetched and not begun: in real workers, and on a real broker."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from typing import Any

import kombu
import pytest
import redis
from celery.concurrency import solo
from celery.worker import request
from celery.worker.consumer import Consumer

from celery_impl.sidekiq.lease import inbox as inboxes
from celery_impl.sidekiq.lease.fetch import Job
from celery_impl.sidekiq.lease.fire_and_forget_acks import FireAndForgetAcks
from celery_impl.sidekiq.lease.holder import Holder
from celery_impl.sidekiq.lease.inbox import Inbox
from celery_impl.sidekiq.lease.lease_store import LeaseStore
from celery_impl.sidekiq.lease.pipelined_commands import PipelinedCommands
from celery_impl.sidekiq.lease.transport import register

SHORT = [f"short{number}" for number in range(3)]


@pytest.fixture
def leases(broker: Any) -> Iterator[LeaseStore]:
    with redis.Redis.from_url(broker.url) as client:
        yield LeaseStore(PipelinedCommands(lambda: client.connection_pool))


@pytest.fixture
def acks(broker: Any) -> Iterator[FireAndForgetAcks]:
    with redis.Redis.from_url(broker.url) as client:
        made = FireAndForgetAcks(client.connection_pool)
        made.connect()
        yield made
        made.close()


def test_jobs_behind_a_long_one_go_to_an_idle_worker_as_they_came(lab: Any) -> None:
    sample = lab.sample(REDIS_URL=f"lease+{lab.broker.url}")
    for job in ("first", "long"):
        sample.wait.delay(job)
    for job in (*SHORT, "more"):
        sample.wait.delay(job)
    busy = lab.worker("--pool", "solo", "--prefetch-multiplier", str(len(SHORT) + 2))
    [(pid, _)] = lab.eventually(lambda: lab.runs("start", "first"))
    assert lab.redis.llen("celery") == 1  # the window is the multiplier, however many cores there are
    (lab.folder / "go-first").touch()
    lab.eventually(lambda: lab.runs("start", "long"))
    [held] = lab.redis.scan_iter("sidekiq:lease:held:*")
    lab.eventually(  # the acknowledgement of the first does not wait for the long one
        lambda: lab.redis.hlen(held) + lab.redis.llen("celery") == len(SHORT) + 2
    )

    lab.worker("--pool", "solo", "--concurrency", "1", "--prefetch-multiplier", "1")
    (lab.folder / "go-more").touch()
    [(other, _)] = lab.eventually(lambda: lab.runs("start", SHORT[0]))
    assert other != pid
    waiting = [json.loads(text) for text in lab.redis.lrange("celery", 0, -1)]
    assert len(waiting) >= len(SHORT) - 1
    assert {message.get("redelivered") for message in waiting} == {None}
    for job in (*SHORT, "long"):
        (lab.folder / f"go-{job}").touch()

    lab.eventually(lambda: all(lab.runs("done", job) for job in (*SHORT, "long", "more")))
    assert [len(lab.runs("start", job)) for job in (*SHORT, "long", "more")] == [1] * (len(SHORT) + 2)
    lab.eventually(
        lambda: not any(lab.redis.hlen(key) for key in lab.redis.scan_iter("sidekiq:lease:held:*"))
    )
    assert not busy.ended


def test_remote_control_has_its_turn_while_jobs_come_without_end(lab: Any) -> None:
    sample = lab.sample(REDIS_URL=f"lease+{lab.broker.url}")
    sample.note.delay("job", 0.02)
    lab.redis.lpush("celery", *lab.redis.lrange("celery", 0, 0) * 1000)
    lab.worker("--pool", "solo", "--prefetch-multiplier", "10")

    lab.eventually(lambda: lab.runs("done", "job"))
    assert lab.eventually(lambda: sample.app.control.ping(timeout=1.0, limit=1))
    assert sample.app.control.purge() > 0


def test_an_idle_worker_runs_nothing_from_a_queue_that_it_was_told_to_leave(lab: Any) -> None:
    """Its next fetch stands at the broker already, behind its wait: what that takes goes back as it came."""
    sample = lab.sample(REDIS_URL=f"lease+{lab.broker.url}")
    worker = lab.worker("--pool", "solo", "--queues", "celery,other")
    lab.eventually(lambda: sample.app.control.cancel_consumer("celery", reply=True, timeout=1.0))

    sample.note.delay("left")
    sample.note.apply_async(("taken",), queue="other")

    lab.eventually(lambda: lab.runs("done", "taken"))
    lab.eventually(lambda: lab.redis.llen("celery") == 1)
    assert "redelivered" not in json.loads(lab.redis.lindex("celery", 0))
    assert not lab.runs("start", "left")
    assert not worker.ended


def held_jobs(leases: LeaseStore, acks: FireAndForgetAcks, count: int) -> tuple[Holder, list[Job]]:
    """A holder of so many jobs, as a fetch returns them."""
    holder = Holder(leases, acks, running=lambda: ())
    for number in range(count):
        leases.commands.call(("LPUSH", "queue", f'{{"number": {number}}}'))
    entries = leases.fetch(holder.id, 0, count, [("queue", "queue")])
    tags = [{"properties": {"delivery_tag": holder.tag(number)}} for number in range(count)]
    return holder, [Job("queue", tag, entry) for tag, entry in zip(tags, entries, strict=True)]


def test_no_more_than_a_batch_of_finished_jobs_waits_to_be_acknowledged(
    lab: Any, leases: LeaseStore, acks: FireAndForgetAcks
) -> None:
    holder, jobs = held_jobs(leases, acks, 8)
    inbox = Inbox(holder, ack_batch=3, keys=lambda: ["queue"])
    try:
        inbox.add(jobs)
        most = 0
        while job := inbox.next():
            most = max(most, holder.noted)
            holder.note(job.message["properties"]["delivery_tag"])
    finally:
        inbox.close()
    assert most < 3
    lab.eventually(lambda: leases.commands.call(("HLEN", holder.key))[0] <= 3)
    holder.send_noted()
    lab.eventually(lambda: leases.commands.call(("HLEN", holder.key)) == [0])


def test_an_acknowledgement_that_has_waited_is_sent_by_the_thread(
    lab: Any, leases: LeaseStore, acks: FireAndForgetAcks
) -> None:
    holder, jobs = held_jobs(leases, acks, 2)
    inbox = Inbox(holder, ack_batch=10, keys=lambda: ["queue"])
    try:
        inbox.add(jobs)
        assert inbox.next() is not None
        holder.note(holder.tag(0))
        lab.eventually(lambda: leases.commands.call(("HLEN", holder.key)) == [1])
    finally:
        inbox.close()


@pytest.mark.parametrize("others", [False, True])
def test_what_waits_is_given_back_where_the_queues_are_empty_and_somebody_else_is_there(
    leases: LeaseStore, acks: FireAndForgetAcks, monkeypatch: pytest.MonkeyPatch, *, others: bool
) -> None:
    monkeypatch.setattr(inboxes, "WAIT_S", 0.0)
    monkeypatch.setattr(inboxes, "LOOK_S", 3600.0)
    holder, jobs = held_jobs(leases, acks, 3)
    inbox = Inbox(holder, ack_batch=10, keys=lambda: ["queue", "other"])
    try:
        inbox.add(jobs)
        assert inbox.next() is not None
        if others:
            leases.renew([leases.new_holder()])
        leases.commands.call(("LPUSH", "other", "a job"))
        inbox.look()
        assert len(inbox) == 2
        leases.commands.call(("DEL", "other"))
        inbox.look()
    finally:
        inbox.close()
    assert len(inbox) == (0 if others else 2)
    back = leases.commands.call(("LRANGE", "queue", 0, -1))[0]
    assert back == ([b'{"number": 2}', b'{"number": 1}'] if others else [])


@pytest.mark.parametrize("batch", [0, -1, "10", None])
def test_an_ack_batch_that_is_no_number_of_jobs_is_refused(batch: Any) -> None:
    register()
    with pytest.raises(ValueError, match=r"ack_batch is .*expected a whole number from 1 on"):
        _ = kombu.Connection("lease+redis://", transport_options={"ack_batch": batch}).transport


def test_the_private_parts_of_celery_that_the_inbox_rests_on_are_as_we_know_them() -> None:
    """A failure means: read the new Celery, then mend `worker.consumer` and `worker.request`."""
    source = inspect.getsource
    assert "self.on_apply = apply_target" in source(solo.TaskPool)
    handler = source(Consumer.create_task_handler)
    assert "strategies[type_]" in handler
    assert "self._maximum_prefetch_restored" in handler
    assert "except (InvalidTaskError, ContentDisallowed) as exc:" in handler
    assert "except DecodeError as exc:" in handler
    assert "self._on_ack(logger, self._connection_errors)" in source(request.Request.acknowledge)
    assert "self._on_reject(logger, self._connection_errors, requeue)" in source(request.Request.reject)
    assert "self.__payload = self._body if self._decoded else message.payload" in source(request.Request)
    assert "self._content_type" in source(request.Request.execute_using_pool)
