"""The parts that need no running app: the queues, the store of results, the timer, beat, the transport."""

from __future__ import annotations

import asyncio
import gc
import threading
from typing import Any

import kombu
import pytest
from celery import Celery
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from inprocess.celery import InProcess
from inprocess.celery.attach.settings_cache import cached_settings
from inprocess.celery.beat import Beat, BeatScheduler
from inprocess.celery.broker import kombu_transport
from inprocess.celery.broker.broker import LANES, Broker, Envelope, Lane
from inprocess.celery.celery_internals.refcounted_patch import RefcountedPatch
from inprocess.celery.results.backend import Store
from inprocess.celery.worker.timer import LoopTimer
from inprocess.supervision.core.scheduler import scheduler_of
from inprocess.testing import FakeClock


def envelope(number: int, priority: int = 0, queue: str = "celery", eta: str | None = None) -> Envelope:
    headers = {"task": "loop" if number % 2 else "thread", "id": number, "eta": eta}
    return Envelope(queue, number, None, None, headers, {"priority": priority})


def lane_of(task: str | None) -> Lane:
    return "loop" if task == "loop" else "thread"


class Queues(RuleBasedStateMachine):
    """Messages are neither lost nor doubled, and come by priority, then in order."""

    def __init__(self) -> None:
        super().__init__()
        self.broker = Broker(lane_of)
        self.count = 0
        self.waiting: list[tuple[int, int]] = []  # (minus priority, number)
        self.taken: dict[int, tuple[int, int]] = {}

    @rule(priority=st.integers(0, 9))
    def put(self, priority: int) -> None:
        self.count += 1
        self.broker.put(envelope(self.count, priority))
        self.waiting.append((-priority, self.count))

    @rule(lane=st.sampled_from(LANES))
    def take(self, lane: Lane) -> None:
        mine = [entry for entry in self.waiting if (entry[1] % 2 == 1) == (lane == "loop")]
        got = self.broker.take(lane)
        if not mine:
            assert got is None
            return
        assert got is not None
        first = min(mine)
        assert got.body == first[1]
        self.waiting.remove(first)
        self.taken[got.tag] = first

    @precondition(lambda self: self.taken)
    @rule(data=st.data(), requeue=st.booleans())
    def settle(self, data: st.DataObject, requeue: bool) -> None:  # noqa: FBT001 - hypothesis passes by name
        tag = data.draw(st.sampled_from(sorted(self.taken)))
        entry = self.taken.pop(tag)
        self.broker.reject(tag, requeue=requeue)
        if requeue:
            self.waiting.append(entry)

    @rule()
    def restore(self) -> None:
        assert self.broker.restore() == len(self.taken)
        self.waiting += self.taken.values()
        self.taken.clear()

    @invariant()
    def holds_what_was_put_and_not_settled(self) -> None:
        assert sorted(found.body for found in self.broker.waiting()) == sorted(
            number for _, number in self.waiting
        )
        assert sorted(found.tag for found in self.broker.taken()) == sorted(self.taken)


TestQueues = Queues.TestCase
TestQueues.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)


def test_a_message_with_an_eta_waits_for_no_slot() -> None:
    broker = Broker()
    broker.put(envelope(2, eta="2030-01-01T00:00:00+00:00"))
    assert broker.take("thread") is None
    found = broker.take_express()
    assert found is not None
    assert found.body == 2


def test_the_queues_take_turns_and_a_paused_one_has_none() -> None:
    broker = Broker()
    for number, queue in enumerate(["a", "a", "b", "b"]):
        broker.put(envelope(2 * number, queue=queue))
    first, second = broker.take("thread"), broker.take("thread")
    assert first is not None
    assert second is not None
    assert {first.queue, second.queue} == {"a", "b"}
    broker.pause("a")
    third = broker.take("thread")
    assert third is not None
    assert third.queue == "b"
    assert broker.take("thread") is None
    assert not broker.ready()
    broker.resume("a")
    assert broker.ready()


def test_results_expire_and_the_oldest_go_first() -> None:
    clock = FakeClock(0.0)
    store = Store(10, clock.monotonic)
    store.set("short", 1, 5)
    for key in range(9):
        store.set(str(key), key, 100)
    clock.now = 6.0
    assert store.get("short") is None
    store.set("one more", 1, None)
    assert len(store) == 10
    store.set("and one", 1, None)
    assert (store.get("0"), store.get("1")) == (None, 1)


@pytest.mark.parametrize("lives_s", [None, 0])
def test_a_result_without_a_time_to_live_never_expires(lives_s: float | None) -> None:
    clock = FakeClock(0.0)
    store = Store(10, clock.monotonic)
    store.set("for ever", 1, lives_s)
    store.set("for a second", 2, 1)
    clock.now = 0.999
    assert store.get("for a second") == 2
    clock.now = 1.0
    assert (store.get("for ever"), store.get("for a second")) == (1, None)


def test_the_timer_fires_in_order_and_forgets_what_was_cancelled() -> None:
    async def main() -> list[str]:
        clock, fired = FakeClock(0.0), list[str]()
        timer = LoopTimer(scheduler_of(asyncio.get_running_loop(), clock), print)
        timer.call_after(3.0, fired.append, ("late",))
        timer.call_after(1.0, fired.append, ("soon",))
        timer.cancel(timer.call_after(2.0, fired.append, ("never",)))
        await clock.advance(1.0)
        assert fired == ["soon"]
        assert timer.due_before(10.0) == 3.0
        await clock.advance(5.0)
        timer.call_after(1.0, fired.append, ("stopped",))
        timer.stop()
        await clock.advance(5.0)
        return fired

    assert asyncio.run(main()) == ["soon", "late"]


def test_beat_asks_the_schedule_when_to_come_back() -> None:
    class Schedule:
        ticks = 0

        def tick(self) -> float:
            self.ticks += 1
            return 2.0

    async def main() -> int:
        clock, schedule = FakeClock(0.0), Schedule()
        async with Beat.start(schedule, clock=clock) as beat:
            await clock.advance(0.0)
            await clock.advance(4.0)
            beat.quiet()
            await clock.advance(10.0)
        return schedule.ticks

    assert asyncio.run(main()) == 3


def test_the_schedule_of_an_app_is_sent_when_it_is_due(app: Any) -> None:
    app.conf.beat_schedule = {"often": {"task": "tick", "schedule": 1.0}}
    sent: list[str] = []
    scheduler: Any = BeatScheduler(app)
    scheduler.send_task = lambda name, *_, **__: sent.append(name)
    assert scheduler.adjust(5.0) == 5.0
    entry = scheduler.schedule["often"]
    scheduler.apply_entry(entry)
    assert sent == ["tick"]


def test_a_raw_connection_reaches_the_same_queues(run: InProcess, app: Any) -> None:
    queue = kombu.Queue("raw", kombu.Exchange("raw", type="topic"), routing_key="news.#")
    with app.connection_for_write() as connection:
        bound = queue(connection.default_channel)
        bound.declare()
        producer = connection.Producer()
        producer.publish({"x": 1}, exchange="raw", routing_key="news.today")
        assert run.broker.size("raw") == 1
        message = bound.get()
        assert message is not None
        assert message.payload == {"x": 1}
        assert bound.purge() == 0
    assert "raw" not in run.broker.consumed()


def test_a_shared_change_is_undone_when_the_last_holder_lets_go() -> None:
    done: list[str] = []

    def change() -> Any:
        done.append("made")
        return lambda: done.append("undone")

    shared = RefcountedPatch(change)
    first, second = shared.held(), shared.held()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert done == ["made"]
    second.__exit__(None, None, None)
    assert done == ["made", "undone"]


def test_remembered_settings_notice_changes() -> None:
    conf: Any = Celery("settings", set_as_current=False).conf
    conf.finalize()
    with cached_settings(conf):
        assert conf.task_protocol == 2
        conf.task_protocol = 1
        assert conf.task_protocol == 1
        conf.update(task_protocol=2, timezone="Europe/Oslo")
        assert (conf.task_protocol, conf.timezone) == (2, "Europe/Oslo")
        with pytest.raises(AttributeError):
            _ = conf.no_such_setting
    assert "task_protocol" not in conf.__dict__


def test_a_message_that_is_acknowledged_while_others_are_put_back_stays_gone() -> None:
    begun, looking, gone = threading.Event(), threading.Event(), threading.Event()

    class Held(dict[int, Envelope]):
        """Brings about the moment: one thread removes a message while another goes through them."""

        def pop(self, *args: Any) -> Any:
            begun.set()
            looking.wait(0.2)
            found = super().pop(*args)
            gone.set()
            return found

        def values(self) -> Any:
            for envelope in super().values():
                yield envelope
                looking.set()
                gone.wait(0.2)

    broker = Broker()
    for number in range(3):
        broker.put(Envelope("q", None, None, None, {"task": "t", "id": str(number)}, {}))
    taken = [broker.take("thread") for _ in range(3)]
    assert taken[1] is not None
    broker._taken = Held(broker._taken)
    acknowledging = threading.Thread(target=broker.ack, args=(taken[1].tag,))
    acknowledging.start()
    assert begun.wait(10)
    assert broker.restore() == 2
    acknowledging.join()
    assert [envelope.headers["id"] for envelope in broker.waiting()] == ["0", "2"]


def test_a_broker_that_takes_the_place_of_an_ended_one_in_memory_has_a_url_of_its_own() -> None:
    urls, states = set(), dict(kombu_transport._states)
    for _ in range(20):
        broker = Broker(lambda _name: "thread")
        urls.add(kombu_transport.url_of(broker))
        assert kombu_transport.url_of(broker) in urls
        with kombu.Connection(kombu_transport.url_of(broker)) as connection:
            channel: Any = connection.default_channel
            channel.queue_declare("queue")
        del channel
        del broker, connection
        gc.collect()
    assert len(urls) == 20
    assert kombu_transport._states == states
