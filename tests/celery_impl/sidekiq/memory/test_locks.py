"""Locks and limits in memory answer as those in Redis do, whatever is asked."""

from __future__ import annotations

from typing import Any

import pytest
import redis
from celery import Celery
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from celery_impl.sidekiq import Limiter, Sidekiq
from celery_impl.sidekiq.limits.unique import Locks
from celery_impl.sidekiq.memory.locks import MemoryLimits, MemoryLocks

SHARED = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
#: Later than any clock: Redis itself expires keys by the wall clock.
START_MS = 4_000_000_000_000

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["take", "free", "holder"]),
        st.sampled_from(["a", "b"]),
        st.sampled_from(["1", "2"]),
        st.integers(0, 400),
    ),
    max_size=20,
)


@SHARED
@given(steps=STEPS)
def test_a_lock_is_taken_renewed_freed_and_expires_as_in_redis(broker: Any, steps: Any) -> None:
    client = redis.Redis.from_url(broker.url)
    client.flushdb()
    theirs, ours, now = Locks(client), MemoryLocks(), START_MS
    for what, digest, job, passes_ms in steps:
        now += passes_ms
        if what == "take":
            assert ours.take(digest, job, 1000, now=now) == theirs.take(digest, job, 1000, now=now)
        elif what == "free":
            if ours.holder(digest, now=now) is not None:  # one that is over stays in Redis until it expires
                assert ours.free(digest, job) == theirs.free(digest, job)
        else:
            assert ours.holder(digest, now=now) == theirs.holder(digest, now=now)
    client.close()


@SHARED
@pytest.mark.parametrize("kind", ["window", "bucket", "concurrent"])
@given(steps=st.lists(st.tuples(st.booleans(), st.integers(1, 700)), max_size=20))
def test_a_limit_lets_in_what_it_lets_in_in_redis(broker: Any, kind: Any, steps: Any) -> None:
    client = redis.Redis.from_url(broker.url)
    client.flushdb()
    app = Celery(broker=broker.url, set_as_current=False)
    Sidekiq(app)
    theirs = Limiter(app=app, name="l", kind=kind, count=2, span_ms=1000)
    ours, now = MemoryLimits(), START_MS
    for number, (leaves, passes_ms) in enumerate(steps):
        now += passes_ms
        use = str(number)
        assert ours.ask(kind, "l", 2, 1000, use, now=now) / 1000 == theirs.ask(use, now=now)
        if leaves and kind == "concurrent":
            assert ours.leave(kind, "l", use) == theirs.leave(use)
    app.close()
    client.close()
