"""The lease transport with real workers and a real broker: what a job goes through, kill by kill."""

from __future__ import annotations

import inspect
import json
import os
import re
import signal
import time
from collections.abc import Iterator
from importlib import metadata
from itertools import pairwise
from math import inf
from pathlib import Path
from typing import Any

import kombu
import pytest
import redis
from celery.worker import state
from kombu import pools
from kombu.transport import redis as kombu_redis
from kombu.transport import virtual

from celery_impl.sidekiq.lease.lease_store import LEASE_S, LEASES, LeaseStore
from celery_impl.sidekiq.lease.pipelined_commands import PipelinedCommands
from celery_impl.sidekiq.lease.renewal import TURNS
from celery_impl.sidekiq.lease.transport import register
from celery_impl.sidekiq.lease.watch import SILENCE
from celery_impl.sidekiq.lease.weights import WeightedCycle, weighted
from celery_impl.sidekiq.redis.sets import DEAD

#: The versions that the tests run with.
CELERY = tuple(map(int, metadata.version("celery").split(".")[:2]))
KOMBU = tuple(map(int, metadata.version("kombu").split(".")[:2]))
JOBS = [f"job{number}" for number in range(6)]
POOLS = ("prefork", "solo", "threads")


@pytest.fixture
def sample(lab: Any) -> Any:
    """The sample app over the lease transport."""
    return lab.sample(REDIS_URL=f"lease+{lab.broker.url}")


@pytest.fixture
def leases(lab: Any) -> Iterator[LeaseStore]:
    with redis.Redis.from_url(lab.broker.url) as client:
        yield LeaseStore(PipelinedCommands(lambda: client.connection_pool))


def order(lab: Any) -> list[str]:
    """The jobs in the order in which they began."""
    path = lab.folder / "runs"
    lines = path.read_text().splitlines() if path.exists() else []
    return [line.split()[1] for line in lines if line.startswith("start ")]


def held(leases: LeaseStore) -> int:
    return sum(map(len, leases.jobs_by_holder().values()))


@pytest.mark.parametrize("form", ["lease+{}", "lease+{};lease+{}"])
def test_the_url_says_where_the_broker_is_and_shows_no_password(lab: Any, form: str) -> None:
    register()
    url = lab.broker.url.replace("//", "//:secret@").replace("/0", "/3")
    lab.redis.config_set("requirepass", "secret")
    try:
        with kombu.Connection(form.replace("{}", url)) as connection:
            channel: Any = connection.default_channel
            kwargs = channel.pool.connection_kwargs
            assert f"redis://{kwargs['host']}:{kwargs['port']}/{kwargs['db']}" == url.replace(":secret@", "")
            assert channel.client.ping()
            assert "secret" not in connection.as_uri()
            if ";" in form:
                connection.maybe_switch_next()
                switched: Any = connection.default_channel
                assert switched.client.ping()
    finally:
        lab.redis.config_set("requirepass", "")


def test_a_tls_url_means_tls_with_the_certificate_checked() -> None:
    register()
    transport: Any = kombu.Connection("lease+rediss://127.0.0.1:1/0").transport
    channel = transport.Channel.__new__(transport.Channel)
    channel.connection = transport
    kwargs = channel._connparams()
    assert issubclass(kwargs["connection_class"], redis.SSLConnection)
    assert (kwargs["port"], kwargs["ssl_cert_reqs"]) == (1, "required")


@pytest.mark.parametrize("options", [{"ack_emulation": False}, {"sep": ":"}])
def test_an_option_that_would_break_the_leases_is_refused(options: dict[str, Any]) -> None:
    register()
    with pytest.raises(ValueError, match="remove these options"):
        _ = kombu.Connection("lease+redis://", transport_options=options).transport


def test_jobs_run_once_in_their_order_in_every_pool_and_nothing_stays_held(
    lab: Any, sample: Any, leases: LeaseStore
) -> None:
    workers = lab.workers_each(*(("--pool", pool, "--queues", pool, "--concurrency", "1") for pool in POOLS))
    for number in range(20):
        for pool in POOLS:
            sample.note.apply_async((f"{pool}{number}",), queue=pool)

    lab.eventually(lambda: len(order(lab)) == 60)
    for pool in POOLS:
        assert [job for job in order(lab) if job.startswith(pool)] == [f"{pool}{n}" for n in range(20)]
    lab.eventually(lambda: held(leases) == 0)
    for worker in workers:
        worker.terminate()
    assert leases.jobs_by_holder() == {}
    assert not any("lease:held" in key for key in lab.redis.scan_iter())


def test_a_job_far_longer_than_its_lease_runs_once_in_every_pool(lab: Any, sample: Any) -> None:
    """A lease is 3 s. The hardened profile's own time limit, 8 s, might end the job on a busy machine."""
    lab.workers_each(*(("--pool", pool, "--queues", pool) for pool in POOLS))
    lab.worker("--queues", ",".join(POOLS))
    for pool in POOLS:
        sample.note.apply_async((pool, 5.0), queue=pool, time_limit=600, soft_time_limit=600)

    lab.eventually(lambda: all(lab.runs("done", pool) for pool in POOLS))
    assert [len(lab.runs("start", pool)) for pool in POOLS] == [1, 1, 1]


def turns_in_touch(renewed_ms: list[int]) -> int:
    """How many turns a worker's renewals were since it was last out of touch for too long to judge others."""
    gaps = [later - earlier for earlier, later in pairwise(renewed_ms)]
    broken = [place for place, gap in enumerate(gaps, 1) if gap > LEASE_S * 1000 * SILENCE]
    return len(renewed_ms) - (broken[-1] if broken else 0)


@pytest.mark.parametrize("pool", POOLS)
def test_a_killed_workers_jobs_are_back_in_front_in_their_order_within_five_seconds(
    lab: Any, sample: Any, pool: str
) -> None:
    """Counted in turns of the worker that lives, which a busy machine delays as it does the test.

    A lease is TURNS of them. In the next one the jobs are given back, and the test may see one begin first.
    """
    most = TURNS + 2
    assert most * LEASE_S / TURNS < 5.0
    lab.worker("--queues", "another")
    [living] = lab.eventually(lambda: lab.redis.zrange(LEASES, 0, -1))
    first = lab.worker("--pool", pool, "--concurrency", "1", "--prefetch-multiplier", "4")
    for job in JOBS:  # the profile's own limit might end the first before the kill
        sample.note.apply_async((job, 600.0), time_limit=600, soft_time_limit=600)
    lab.eventually(lambda: lab.runs("start", "job0"))
    lab.eventually(lambda: lab.redis.llen("celery") <= len(JOBS) - 1)

    first.kill()
    renewed_ms: list[int] = []

    def all_are_back() -> bool:
        ends_ms, waiting = lab.redis.pipeline().zscore(LEASES, living).llen("celery").execute()
        if int(ends_ms) not in renewed_ms:
            renewed_ms.append(int(ends_ms))
        assert turns_in_touch(renewed_ms[1:]) <= most, renewed_ms
        return bool(waiting == len(JOBS))

    lab.eventually(all_are_back)

    waiting = [json.loads(text) for text in reversed(lab.redis.lrange("celery", 0, -1))]
    assert [message["headers"]["argsrepr"].split("'")[1] for message in waiting] == JOBS


def test_a_killed_child_runs_its_job_again_and_no_other(lab: Any, sample: Any, leases: LeaseStore) -> None:
    lab.worker()
    sample.note.delay("a", 1.0)
    sample.note.delay("b", 1.5)
    [(child, _)] = lab.eventually(lambda: lab.runs("start", "a"))

    os.kill(child, signal.SIGKILL)

    lab.eventually(lambda: lab.runs("done", "a") and lab.runs("done", "b"))
    assert (len(lab.runs("start", "a")), len(lab.runs("start", "b"))) == (2, 1)
    lab.eventually(lambda: held(leases) == 0)


@pytest.mark.skipif(CELERY < (5, 6), reason="before 5.6 it stays held until its worker ends: docs/sidekiq.md")
@pytest.mark.parametrize("pool", POOLS)
def test_a_job_whose_acknowledgement_the_broker_did_not_get_does_not_run_again(
    lab: Any, sample: Any, leases: LeaseStore, pool: str
) -> None:
    lab.worker("--pool", pool, "--concurrency", "1")
    sample.note.delay("a", 1.0)
    lab.eventually(lambda: lab.runs("start", "a"))

    lab.broker.kill()
    lab.eventually(lambda: lab.runs("done", "a"))
    lab.broker.restart()
    sample.note.delay("b")

    lab.eventually(lambda: lab.runs("done", "b"))
    lab.eventually(lambda: held(leases) == 0)
    assert len(lab.runs("start", "a")) == 1


@pytest.mark.parametrize("pool", ["solo", "threads"])
def test_a_job_that_holds_the_interpreter_for_longer_than_its_lease_runs_once(
    lab: Any, sample: Any, pool: str
) -> None:
    """Then no thread of its worker can renew, and each worker in turn would take the job and stand still."""
    worker = lab.worker("--pool", pool, "--concurrency", "1")
    sample.hold_interpreter.delay("a", 6)
    lab.eventually(lambda: lab.runs("start", "a"))
    lab.worker("--concurrency", "1")

    lab.eventually(lambda: lab.runs("done", "a"))
    assert len(lab.runs("start", "a")) == 1
    assert "renews this worker's lease beside its thread" in worker.output


def test_the_process_that_renews_a_lease_ends_with_its_worker(
    lab: Any, sample: Any, leases: LeaseStore
) -> None:
    worker = lab.worker("--pool", "solo")
    sample.note.delay("a", 600.0)
    lab.eventually(lambda: lab.runs("start", "a") and "renews this worker's lease" in worker.output)
    renewing = int(re.findall(r"process (\d+) renews", worker.output)[0])
    os.kill(renewing, signal.SIGTERM)  # as systemd sends it to all, and the worker may have jobs to finish

    worker.kill_main()

    lab.eventually(lambda: has_ended(renewing))
    lab.worker("--queues", "another")
    lab.eventually(lambda: lab.redis.llen("celery") == 1)
    assert held(leases) == 0


def has_ended(process: int) -> bool:
    """Whether it is gone, or a zombie that nobody waits for."""
    stat = Path(f"/proc/{process}/stat")
    return not stat.exists() or ") Z " in stat.read_text()


def turned_since(lab: Any, ended_ms: list[tuple[str, float]]) -> bool:
    """Whether each of these holders has renewed its lease, and had the time for TURNS more turns."""
    now_ms = dict(lab.redis.zrange(LEASES, 0, -1, withscores=True))
    return all(now_ms.get(holder, inf) - ms > LEASE_S * 1000 for holder, ms in ended_ms)


def test_a_broker_that_is_silent_for_longer_than_a_lease_doubles_nothing(
    lab: Any, sample: Any, leases: LeaseStore
) -> None:
    """Each of two workers could take the other for dead, if it judged at once."""
    lab.workers(2, "--concurrency", "1")
    for job in ("a", "b"):
        sample.wait.delay(job)
    lab.eventually(lambda: lab.runs("start", "a") and lab.runs("start", "b"))

    lab.broker.pause()
    silent = time.monotonic()
    lab.eventually(lambda: time.monotonic() - silent > 4.0)
    lab.broker.resume()
    ended_ms = lab.redis.zrange(LEASES, 0, -1, withscores=True)
    lab.eventually(lambda: turned_since(lab, ended_ms))
    assert (lab.redis.llen("celery"), held(leases)) == (0, 2)
    for job in ("a", "b"):
        (lab.folder / f"go-{job}").touch()

    lab.eventually(lambda: lab.runs("done", "a") and lab.runs("done", "b"))
    lab.eventually(lambda: held(leases) == 0)
    assert [len(lab.runs("start", job)) for job in ("a", "b")] == [1, 1]


def test_a_terminated_worker_gives_back_what_it_had_not_begun_in_its_order(
    lab: Any, sample: Any, leases: LeaseStore
) -> None:
    worker = lab.worker("--pool", "solo", "--prefetch-multiplier", "4")
    for job in JOBS:
        sample.note.delay(job, 1.0)
    lab.eventually(lambda: lab.runs("start", "job0"))

    worker.terminate()

    begun = order(lab)
    waiting = [json.loads(text) for text in reversed(lab.redis.lrange("celery", 0, -1))]
    assert [message["headers"]["argsrepr"].split("'")[1] for message in waiting] == JOBS[len(begun) :]
    assert [job for job in JOBS if lab.runs("done", job)] == begun
    assert {message["headers"]["retries"] for message in waiting} == {0}
    assert leases.jobs_by_holder() == {}


def test_a_higher_step_waits_for_no_lower_one(lab: Any, sample: Any) -> None:
    for step in (9, 6, 3, 0):
        sample.note.apply_async((f"step{step}",), priority=step)

    lab.worker("--concurrency", "1")

    lab.eventually(lambda: len(order(lab)) == 4)
    assert order(lab) == ["step0", "step3", "step6", "step9"]


def test_a_paused_queue_is_left_alone_until_it_is_resumed(lab: Any, sample: Any, leases: LeaseStore) -> None:
    leases.pause("celery")
    lab.worker("--queues", "celery,other")
    sample.note.delay("a")
    sample.note.apply_async(("b",), queue="other")
    lab.eventually(lambda: lab.runs("done", "b"))
    assert leases.paused() == {"celery"}
    assert lab.redis.llen("celery") == 1

    leases.resume("celery")

    lab.eventually(lambda: lab.runs("done", "a"))


def test_a_countdown_is_heard_by_a_worker_that_waits(lab: Any, sample: Any) -> None:
    lab.worker()
    sample.note.apply_async(("a",), countdown=1.0)

    lab.eventually(lambda: lab.runs("done", "a"))


def test_a_job_of_a_producer_on_stocks_transport_is_found_without_a_bell(lab: Any, sample: Any) -> None:
    lab.worker()
    stock = lab.sample("stock", REDIS_URL=lab.broker.url)

    stock.note.delay("a")

    lab.eventually(lambda: lab.runs("done", "a"))
    assert sample is not stock


def test_what_is_no_message_is_buried_and_holds_nobody_up(lab: Any, sample: Any, leases: LeaseStore) -> None:
    sample.note.delay("a")
    undecodable = json.loads(lab.redis.lindex("celery", 0)) | {"body": "a"}
    lab.redis.rpush("celery", "no message", "{}", json.dumps(undecodable))
    lab.worker()

    lab.eventually(lambda: lab.runs("done", "a"))
    assert lab.redis.zcard(DEAD) == 3
    lab.eventually(lambda: held(leases) == 0)


def test_no_connection_of_an_earlier_test_is_left_in_the_pools_of_this_process(sample: Any) -> None:
    """One whose broker was restarted meanwhile would fail whoever takes it first."""
    assert [*pools.connections.values(), *pools.producers.values()] == []
    sample.note.delay("a")
    assert [*pools.connections.values(), *pools.producers.values()] != []


def test_remote_control_still_answers(lab: Any, sample: Any) -> None:
    lab.worker()

    # A worker listens a moment after it is ready, and nobody keeps a broadcast for it: ask again.
    assert len(lab.eventually(lambda: sample.app.control.ping(timeout=1.0, limit=1))) == 1


def test_an_answer_that_was_lost_is_given_again(lab: Any, sample: Any, leases: LeaseStore) -> None:
    """The fetch has moved the jobs, and the connection breaks before its answer is read."""
    got: list[str] = []
    sent = [sample.note.delay(job).id for job in JOBS]
    with sample.app.connection_for_read() as connection, sample.app.amqp.TaskConsumer(connection) as consumer:
        consumer.on_message = lambda message: got.append(message.headers["id"])
        consumer.consume()
        connection.transport.cycle.on_poll_start()
        lab.eventually(lambda: held(leases) == len(JOBS))
        channel: Any = consumer.channel
        channel.client.connection.disconnect()
        assert got == []

        connection.drain_events(timeout=5)

    assert got == sent


def test_the_first_queue_is_drawn_by_weight() -> None:
    draws = iter([0.5, 0.5] * 2 + [0.9, 0.2] * 2)
    cycle = WeightedCycle({"high": 3, "low": 1}, draw=lambda: next(draws))
    cycle.update(["low", "high"])
    assert cycle.consume(2) == ["high", "low"]
    cycle.rotate("high")
    assert cycle.consume(1) == ["high"]
    assert cycle.consume(2) == ["low", "high"]


def test_weights_hold_on_average_and_one_below_1_is_refused() -> None:
    cycle = weighted({"high": 3})()
    cycle.update(["high", "low"])
    first = [cycle.consume(2)[0] for _ in range(4000)]
    assert 0.7 < first.count("high") / len(first) < 0.8
    with pytest.raises(ValueError, match="'low' is 0"):
        weighted({"low": 0})


@pytest.mark.skipif(KOMBU < (5, 7), reason="what these pin of older ones, the other tests show")
def test_the_private_parts_of_kombu_and_celery_that_the_lease_transport_uses_are_as_we_know_them() -> None:
    """A failure means: read the new kombu and Celery, then mend `celery_impl.sidekiq.lease`."""
    module: Any = kombu_redis
    channel, source = module.Channel, inspect.getsource
    assert list(inspect.signature(channel._brpop_start).parameters) == ["self", "timeout"]
    assert "self.client.connection.send_command(*command_args)" in source(channel._brpop_start)
    assert "self.connection._deliver(loads(bytes_to_str(item)), dest)" in source(channel._brpop_read)
    assert "self._in_poll = None" in source(channel._brpop_read)
    assert "self._flush_brpop_reauth()" in source(channel._brpop_read)
    assert "self._in_poll = self.client.connection" in source(channel._brpop_start)
    assert "self._brpop_sent_at = monotonic()" in source(channel._brpop_start)
    assert "if not channel._in_poll:" in source(module.MultiChannelPoller._register_BRPOP)
    assert "channel._brpop_start()" in source(module.MultiChannelPoller._register_BRPOP)
    assert "handlers = {'BRPOP': self._brpop_read" in source(channel.__init__)
    assert "self._queue_cycle = cycle_by_name(self.queue_order_strategy)()" in source(channel.__init__)
    assert "queue in self._fanout_queues" in source(channel.basic_consume)
    assert "connparams.pop('host', None)" in source(channel._connparams)
    assert "self.connection_class" in source(channel._connparams)
    assert "if client:" in source(channel.conn_or_acquire)
    assert "self._create_client()" in source(channel.conn_or_acquire)
    assert list(inspect.signature(channel._prepare_virtual_host).parameters) == ["self", "vhost"]
    assert list(inspect.signature(virtual.Transport._deliver).parameters) == ["self", "message", "queue"]
    assert "self._delivered" in source(virtual.QoS.restore_unacked_once)
    assert "self._quick_ack(delivery_tag)" in source(virtual.QoS.ack)
    assert {"active_requests", "should_stop", "should_terminate"} <= set(vars(state))
    assert '"can_consume"' not in source(virtual.QoS)
