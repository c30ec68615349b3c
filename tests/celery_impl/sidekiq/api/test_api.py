"""The sets and queues of an app on a real broker, with a clock of the test's own."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from celery import Celery

from celery_impl.sidekiq import Sidekiq
from celery_impl.sidekiq.api import (
    DeadSet,
    NoSidekiqError,
    Queue,
    RetrySet,
    ScheduledSet,
    Stats,
    UnreadableError,
    Workers,
    stats_json,
)
from celery_impl.sidekiq.jobs.entry_format import entry
from celery_impl.sidekiq.redis.sets import BATCH, DEAD, DEAD_AGE_S, DEAD_LIMIT, RETRY, SCHEDULE
from celery_impl.sidekiq.worker.heartbeat import WORKER, WORKERS

NEWER = "v2\na new layout"
CORRUPT = "corrupt"


@pytest.fixture
def sample(lab: Any) -> Any:
    return lab.sample()


def message(job_id: str, task: str = "t", args: tuple[Any, ...] = ()) -> str:
    body = json.dumps([list(args), {}, {}])
    properties = {"delivery_tag": job_id, "delivery_info": {"exchange": "", "routing_key": "celery"}}
    headers = {"id": job_id, "task": task, "retries": 1}
    known = {"body": body, "headers": headers, "properties": properties, "content-type": "application/json"}
    return json.dumps(known)


def fill(lab: Any, name: str, count: int, *, at: Callable[[int], float] = float) -> list[str]:
    ids = [f"job-{number:05}" for number in range(count)]
    if ids:
        lab.redis.zadd(name, {entry("celery", message(job_id)): at(n) for n, job_id in enumerate(ids)})
    return ids


def test_a_job_is_shown_with_all_that_is_known_of_it(sample: Any) -> None:
    sent = sample.note.apply_async(("a",), {"seconds": 0.5}, countdown=60)
    [job] = ScheduledSet(sample.app)
    known = (job.id, job.task, job.args, job.kwargs, job.queue, job.count)
    assert known == (sent.id, "sample_app.note", ["a"], {"seconds": 0.5}, "celery", 0)
    assert job.at == pytest.approx(time.time() + 60, abs=5)
    assert job.problem is None


@pytest.mark.parametrize("size", [0, 1, 99, 100, 101, 250])
def test_iterating_sees_all_newest_first_whatever_the_pages(lab: Any, sample: Any, size: int) -> None:
    ids = fill(lab, RETRY, size)
    assert [job.id for job in RetrySet(sample.app)] == ids[::-1]
    assert len(RetrySet(sample.app)) == size


@pytest.mark.parametrize("at", [float, lambda _: 5.0], ids=["own scores", "one score"])
def test_deleting_each_job_while_iterating_leaves_none(lab: Any, sample: Any, at: Any) -> None:
    fill(lab, RETRY, 350, at=at)
    retries = RetrySet(sample.app)
    assert sum(retries.delete(job) for job in retries) == 350
    assert retries.size() == 0


def test_promotions_and_newcomers_while_iterating_hide_nothing_that_stays(lab: Any, sample: Any) -> None:
    ids = fill(lab, SCHEDULE, 300)
    seen = []
    for number, job in enumerate(ScheduledSet(sample.app)):
        seen.append(job.id)
        if number % 50 == 0:
            lab.sets.promote(now=number / 10)
            lab.redis.zadd(SCHEDULE, {entry("celery", message(f"new-{number}")): 1000 + number})
    still = {job.id for job in ScheduledSet(sample.app)} & set(ids)
    assert still <= set(seen)
    assert len(seen) == len(set(seen))


def test_a_thousand_jobs_of_one_moment_are_seen_once_each_while_others_vanish(lab: Any, sample: Any) -> None:
    ids = fill(lab, SCHEDULE, 1000, at=lambda _: 7.0)
    seen = []
    for job in ScheduledSet(sample.app):
        seen.append(job.id)
        lab.redis.zrem(SCHEDULE, job.member)
    assert sorted(seen) == ids


def test_finding_goes_by_the_whole_id_even_where_it_is_a_pattern(lab: Any, sample: Any) -> None:
    odd = 'a*[b]?\\"ü'
    lab.redis.zadd(RETRY, {entry("celery", message(name)): 1 for name in (odd, "abc", "ab")})
    retries = RetrySet(sample.app)
    for name in (odd, "abc", "ab"):
        found = retries.find(name)
        assert found is not None
        assert found.id == name
    assert retries.find("a*") is None
    assert retries.find("?nothing") is None


def test_retrying_puts_the_job_on_its_queue_with_the_time_at_which_it_came(lab: Any, sample: Any) -> None:
    sample.note.apply_async(("a",), countdown=600, priority=6)
    scheduled = ScheduledSet(sample.app, clock=lambda: 1234.5)
    [job] = scheduled
    assert (scheduled.retry(job), scheduled.retry(job), scheduled.size()) == (1, 0, 0)
    [text] = lab.redis.lrange("celery\x06\x166", 0, -1)
    queued = json.loads(text)
    assert queued["properties"]["enqueued_at"] == 1234.5
    assert {**queued, "properties": None} == {**json.loads(job.message or ""), "properties": None}


def test_a_killed_job_is_in_the_dead_set_and_can_be_retried_from_there(lab: Any, sample: Any) -> None:
    [job_id] = fill(lab, RETRY, 1)
    [job] = RetrySet(sample.app)
    assert RetrySet(sample.app, clock=lambda: 99.0).kill(job) == 1
    dead = DeadSet(sample.app)
    [dead_job] = dead
    assert (dead_job.id, dead_job.error_class, dead_job.at, dead_job.count) == (job_id, "Killed", 99.0, 1)
    assert dead.retry(dead_job) == 1
    assert (dead.size(), lab.redis.llen("celery")) == (0, 1)
    assert json.loads(lab.redis.lindex("celery", 0))["headers"]["id"] == job_id


def test_killing_keeps_the_dead_set_in_its_bounds(lab: Any, sample: Any) -> None:
    now = 10.0**9
    lab.redis.zadd(DEAD, {f"old {number}": now - 1 - number for number in range(DEAD_LIMIT)})
    lab.redis.zadd(DEAD, {"too old": now - DEAD_AGE_S - 1})
    fill(lab, RETRY, 3)
    assert RetrySet(sample.app, clock=lambda: now).kill_all() == 3
    assert lab.redis.zcard(DEAD) == DEAD_LIMIT
    assert lab.redis.zscore(DEAD, "too old") is None


@pytest.mark.parametrize("text", [NEWER, CORRUPT])
def test_what_cannot_be_read_is_shown_kept_and_only_deleted_when_asked_to(
    lab: Any, sample: Any, text: str
) -> None:
    fill(lab, RETRY, 2)
    lab.redis.zadd(RETRY, {text: 0.5})
    retries = RetrySet(sample.app)
    [bad] = [job for job in retries if job.problem]
    assert retries.find(bad.id) == bad
    for act in (retries.retry, retries.kill):
        with pytest.raises(UnreadableError, match=r"cannot be read: (corrupt|written by version 2)"):
            act(bad)
    assert retries.retry_all() == 2
    lab.sets.promote(now=5)
    assert [job.member.decode() for job in retries] == [text]
    assert (retries.delete(bad), retries.size()) == (1, 0)


def test_a_corrupt_grave_is_shown_among_the_others(lab: Any, sample: Any) -> None:
    lab.redis.zadd(DEAD, {CORRUPT: 2, '{"v": 2}': 1})
    problems = [job.problem for job in DeadSet(sample.app)]
    assert [problem and problem.partition(" ")[0] for problem in problems] == ["corrupt:", "written"]
    assert lab.sets.dead_jobs() == []


def test_more_corrupt_entries_than_one_look_takes_do_not_hold_up_what_is_due(lab: Any) -> None:
    lab.redis.zadd(SCHEDULE, {f"corrupt {number}": 1 for number in range(3 * BATCH)})
    lab.redis.zadd(SCHEDULE, {entry("q", "good"): 2})
    assert lab.sets.promote(now=3) == 1
    assert lab.redis.lrange("q", 0, -1) == ["good"]


def test_bulk_moves_that_race_with_each_other_and_the_poller_move_each_job_once(
    lab: Any, sample: Any
) -> None:
    ids = fill(lab, RETRY, 2000)
    moves = [RetrySet(sample.app).retry_all, RetrySet(sample.app).kill_all, RetrySet(sample.app).retry_all]
    moved: list[int] = []
    work = [*moves, lambda: lab.sets.promote(now=1500)]
    threads = [threading.Thread(target=lambda act=act: moved.append(act())) for act in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    queued = [json.loads(text)["headers"]["id"] for text in lab.redis.lrange("celery", 0, -1)]
    dead = [job.id for job in DeadSet(sample.app)]
    assert sum(moved) == 2000
    assert sorted(queued + dead) == ids


def test_latency_is_the_age_of_the_oldest(lab: Any, sample: Any) -> None:
    fill(lab, RETRY, 3, at=lambda number: 100.0 + number)
    assert RetrySet(sample.app, clock=lambda: 160.0).latency() == 60.0
    assert RetrySet(sample.app, clock=lambda: 60.0).latency() == 0.0
    assert DeadSet(sample.app).latency() == 0.0


def test_clearing_takes_all_in_one_step(lab: Any, sample: Any) -> None:
    fill(lab, RETRY, 5)
    lab.redis.zadd(RETRY, {NEWER: 1})
    assert (RetrySet(sample.app).clear(), RetrySet(sample.app).clear()) == (6, 0)


def test_a_queue_tells_size_age_and_jobs_over_all_priorities(sample: Any) -> None:
    first = sample.note.delay("a")
    for job in "bc":
        sample.note.apply_async((job,), priority=9)
    queue = Queue(sample.app, "celery")
    assert (queue.size(), [(job.args or [""])[0] for job in queue]) == (3, ["a", "c", "b"])
    found = queue.find(first.id)
    assert found is not None
    assert found.at == pytest.approx(time.time(), abs=5)
    assert Queue(sample.app, "celery", clock=lambda: (found.at or 0) + 30).latency() == pytest.approx(30)
    assert (queue.kill(found), queue.kill(found), DeadSet(sample.app).size()) == (1, 0, 1)
    assert (queue.clear(), queue.size()) == (2, 0)


def test_the_age_of_a_promoted_job_counts_from_when_it_was_due(lab: Any, sample: Any) -> None:
    sample.note.apply_async(("a",), countdown=60)
    [job] = ScheduledSet(sample.app)
    lab.sets.promote(now=time.time() + 61)
    [queued] = Queue(sample.app, "celery")
    assert queued.at == job.at


def test_iterating_a_queue_sees_what_stays_while_jobs_come_and_go(lab: Any, sample: Any) -> None:
    lab.redis.lpush("celery", *(message(f"job-{number:05}") for number in range(350)))
    seen = []
    for number, job in enumerate(Queue(sample.app, "celery")):
        seen.append(job.id)
        if number % 10 == 0:
            lab.redis.lpush("celery", message(f"new-{number}"))
            lab.redis.rpop("celery")
    left = {json.loads(text)["headers"]["id"] for text in lab.redis.lrange("celery", 0, -1)}
    assert {job_id for job_id in left if job_id.startswith("job")} <= set(seen)
    assert len(seen) == len(set(seen))


def test_deleting_each_job_of_a_queue_while_iterating_leaves_none(lab: Any, sample: Any) -> None:
    lab.redis.lpush("celery", *(message(f"job-{number:05}") for number in range(350)))
    lab.redis.lpush("celery", "no message")
    queue = Queue(sample.app, "celery")
    assert sum(queue.delete(job) for job in queue) == 351
    assert queue.size() == 0


def test_all_queues_that_were_declared_are_found_and_none_of_celerys_own(lab: Any, sample: Any) -> None:
    sample.note.apply_async(("a",), queue="mail")
    lab.worker()
    other = Celery(broker=lab.broker.url, set_as_current=False)
    Sidekiq(other)
    assert {queue.name for queue in Queue.all(other)} == {"celery", "mail"}


def test_a_paused_queue_is_known_as_such_until_it_is_resumed(sample: Any) -> None:
    queue = Queue(sample.app, "celery")
    queue.pause()
    assert (queue.paused(), Stats.of(sample.app).paused) == (True, ["celery"])
    queue.resume()
    assert (queue.paused(), Stats.of(sample.app).paused) == (False, [])


def test_workers_and_counts_are_told_by_the_workers_themselves(lab: Any) -> None:
    sample = lab.sample(SIDEKIQ_RETRY_SCALE="100")
    worker = lab.worker()
    sample.note.delay("a")
    sample.fail.delay("b")
    sample.note.delay("long", 6)
    lab.eventually(lambda: lab.runs("start", "long"))
    lab.eventually(lambda: Stats.of(sample.app).processed == 3 and Stats.of(sample.app).busy == 1)
    stats, [found] = Stats.of(sample.app), Workers(sample.app)
    assert (stats.workers, stats.failed, found.concurrency, found.queues) == (1, 1, 2, ["celery"])
    assert [job["task"] for job in found.running] == ["sample_app.note"]
    lab.eventually(
        lambda: [later.at for later in Workers(sample.app)] > [found.at + 1]
    )  # two more heartbeats
    assert (Stats.of(sample.app).processed, Stats.of(sample.app).failed) == (3, 1), "each run counts once"
    worker.kill()
    lab.eventually(lambda: Workers(sample.app).size() == 0)
    assert Stats.of(sample.app).processed == 3


def test_a_worker_whose_record_a_newer_version_wrote_hides_no_other(
    lab: Any, sample: Any, caplog: pytest.LogCaptureFixture
) -> None:
    lab.worker()
    lab.redis.zadd(WORKERS, {"a newer one": 1, "a corrupt one": 2})
    lab.redis.set(f"{WORKER}a newer one", '{"v": 2}')
    lab.redis.set(f"{WORKER}a corrupt one", "[" * 100_000)
    lab.eventually(lambda: Workers(sample.app).size() == 1)
    assert "record of worker a newer one cannot be read" in caplog.text


def test_stats_as_json_have_sidekiqs_names(lab: Any, sample: Any) -> None:
    fill(lab, RETRY, 2)
    document = json.loads(stats_json(sample.app, clock=lambda: 0.0))
    names = {"processed", "failed", "busy", "processes", "enqueued", "scheduled", "retries", "dead"}
    assert names | {"default_latency"} <= set(document["sidekiq"])
    assert document["sidekiq"]["retries"] == 2
    assert document["server_utc_time"] == "00:00:00 UTC"


def test_a_key_prefix_holds_for_all_that_is_looked_at_and_moved(lab: Any) -> None:
    sample = lab.sample(QUEUE_OR_TASK_KEY_PREFIX="mine:")
    sample.note.apply_async(("a",), countdown=60)
    scheduled = ScheduledSet(sample.app)
    assert (scheduled.retry_all(), Queue(sample.app, "celery").size()) == (1, 1)
    Queue(sample.app, "celery").kill(*Queue(sample.app, "celery"))
    Queue(sample.app, "celery").pause()
    assert DeadSet(sample.app).retry_all() == 1
    assert {queue.name for queue in Queue.all(sample.app)} == {"celery"}
    assert all(key.startswith("mine:") for key in lab.redis.scan_iter())


def test_an_app_without_sidekiq_is_told_what_to_do(lab: Any) -> None:
    with pytest.raises(NoSidekiqError, match=r"call Sidekiq\(app\)"):
        RetrySet(lab.sample("stock").app)
