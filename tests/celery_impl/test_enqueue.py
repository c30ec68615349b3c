"""What the caller pays for a broker that is away: bounded when hardened, whatever the broker does.

Bounded shows by the order of events: the caller is answered while the broker is still away. How
many seconds that takes is the sum of the profile's constants; a benchmark's business, not a test's.
"""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from kombu.exceptions import OperationalError

from celery_impl import profiles

#: Seconds that the constants of the hardened profile allow an enqueue, all told.
BOUND_S = profiles.POOL_TIMEOUT_S + profiles.CONNECT_TIMEOUT_S + profiles.SOCKET_TIMEOUT_S


def refused(sample: Any) -> bool:
    """Whether an enqueue comes back with a refusal; it may not come back at all."""
    with pytest.raises(OperationalError):
        sample.note.delay("a")
    return True


def test_the_constants_of_the_profile_add_up_to_no_more_than_a_second() -> None:
    assert BOUND_S <= 1.0


def test_a_refusing_broker_is_answered_for_while_it_is_away(lab: Any) -> None:
    sample = lab.sample()
    sample.note.delay("a")

    lab.broker.kill()

    assert all(refused(sample) for _ in range(3))


def test_a_silent_broker_is_given_up_whether_connected_before_or_not(lab: Any) -> None:
    connected, fresh = lab.sample(), lab.sample()
    connected.note.delay("a")

    lab.broker.pause()

    assert all(refused(sample) for sample in (connected, connected, fresh, fresh))


def test_many_callers_at_once_are_all_answered_by_a_silent_broker(lab: Any) -> None:
    sample = lab.sample()
    lab.broker.pause()
    answers: list[bool] = []
    callers = [threading.Thread(target=lambda: answers.append(refused(sample))) for _ in range(30)]

    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()

    assert answers == [True] * 30


def test_an_enqueue_works_again_once_the_broker_does(lab: Any) -> None:
    sample = lab.sample()
    sample.note.delay("a")
    lab.broker.kill()
    refused(sample)

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
