"""What the caller pays for a broker that is away: bounded when hardened, whatever the broker does."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import pytest
from kombu.exceptions import OperationalError

#: Seconds that an enqueue may take: the bound of the profile's constants, 1 s, and room for a busy machine.
BOUND_S = 1.5


def refused_after(sample: Any) -> float:
    """Seconds until an enqueue was refused."""
    begin = time.monotonic()
    with pytest.raises(OperationalError):
        sample.note.delay("a")
    return time.monotonic() - begin


def test_a_refusing_broker_costs_the_caller_no_time(lab: Any) -> None:
    sample = lab.sample()
    sample.note.delay("a")

    lab.broker.kill()

    assert max(refused_after(sample) for _ in range(3)) < BOUND_S


def test_a_silent_broker_is_given_up_whether_connected_before_or_not(lab: Any) -> None:
    connected, fresh = lab.sample(), lab.sample()
    connected.note.delay("a")

    lab.broker.pause()

    assert max(refused_after(sample) for sample in (connected, connected, fresh, fresh)) < BOUND_S


def test_many_callers_at_once_are_all_answered_by_a_silent_broker(lab: Any) -> None:
    sample = lab.sample()
    lab.broker.pause()
    times: list[float] = []
    callers = [threading.Thread(target=lambda: times.append(refused_after(sample))) for _ in range(30)]

    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()

    assert len(times) == 30
    assert max(times) < BOUND_S


def test_an_enqueue_works_again_once_the_broker_does(lab: Any) -> None:
    sample = lab.sample()
    sample.note.delay("a")
    lab.broker.kill()
    refused_after(sample)

    lab.broker.restart()
    sample.note.delay("b")

    queued = [json.loads(message)["headers"]["argsrepr"] for message in lab.redis.lrange("celery", 0, -1)]
    assert queued == ["('b',)", "('a',)"]


def test_stock_celery_still_blocks_on_a_silent_broker_after_the_hardened_bound(lab: Any) -> None:
    sample = lab.sample("stock")
    sample.note.delay("a")
    lab.broker.pause()
    caller = threading.Thread(target=sample.note.delay, args=("b",), daemon=True)

    caller.start()
    caller.join(BOUND_S)

    assert caller.is_alive()
    lab.broker.resume()
    caller.join()
