"""The lease scripts against a small model of them, on a real broker with a clock of the test's own."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from celery_impl.sidekiq.lease.lease_store import LeaseStore, lease_s_of
from celery_impl.sidekiq.lease.pipelined_commands import PipelinedCommands
from celery_impl.sidekiq.lease.scripts import MARK

LEASE_MS = 3000
QUEUES = (("a", "a"), ("b", "b"), ("a\x06\x163", "a"))
KEYS = [key for key, _ in QUEUES]
HOLDERS = ("one", "two", "three")
_runs = itertools.count()


@pytest.fixture
def leases(broker: Any) -> Iterator[LeaseStore]:
    with redis.Redis.from_url(broker.url) as client:
        yield LeaseStore(PipelinedCommands(lambda: client.connection_pool))


def push(leases: LeaseStore, key: str, message: str) -> None:
    leases.commands.call(("LPUSH", leases.prefix + key, message))


def queued(leases: LeaseStore, key: str) -> list[str]:
    """The queue's messages, the front first."""
    [messages] = leases.commands.call(("LRANGE", leases.prefix + key, 0, -1))
    return [message.decode() for message in reversed(messages)]


def plain(message: str) -> str:
    """A message without the mark of having been given back."""
    return "{" + message.removeprefix(MARK) if message.startswith(MARK) else message


class Model(RuleBasedStateMachine):
    """What the scripts should do, said with lists and dictionaries; the front of a queue is its start."""

    broker_url: str

    def __init__(self) -> None:
        super().__init__()
        self.client = redis.Redis.from_url(self.broker_url)
        self.leases = LeaseStore(
            PipelinedCommands(lambda: self.client.connection_pool), prefix=f"run{next(_runs)}:"
        )
        self.now = 10_000
        self.accepted = 0
        self.done: set[str] = set()
        self.queues: dict[str, list[str]] = {key: [] for key in KEYS}
        self.held: dict[str, dict[int, tuple[str, str]]] = {holder: {} for holder in HOLDERS}
        self.signs: dict[str, int] = {}
        self.next = dict.fromkeys(HOLDERS, 0)
        self.known = dict.fromkeys(HOLDERS, 0)
        self.paused: set[str] = set()

    def teardown(self) -> None:
        self.client.close()

    @rule(key=st.sampled_from(KEYS))
    def a_producer_queues(self, key: str) -> None:
        message = f'{{"job": {self.accepted}}}'
        self.accepted += 1
        push(self.leases, key, message)
        self.queues[key].append(message)

    @rule(
        holder=st.sampled_from(HOLDERS),
        count=st.integers(1, 4),
        order=st.permutations(QUEUES),
        arrives=st.booleans(),
    )
    def a_worker_fetches(self, holder: str, count: int, order: list[tuple[str, str]], arrives: bool) -> None:  # noqa: FBT001 - a strategy's value
        entries = self.leases.fetch(holder, self.known[holder], count, order, self.now)
        expected = [job for number, job in sorted(self.held[holder].items()) if number >= self.known[holder]]
        if not expected:
            expected = self._take(holder, count, order)
        prefix = self.leases.prefix
        split = [entry.decode().removeprefix(prefix).partition("\n") for entry in entries]
        assert [(key, plain(message)) for key, _, message in split] == expected
        if arrives:
            self.known[holder] += len(entries)

    def _take(self, holder: str, count: int, order: list[tuple[str, str]]) -> list[tuple[str, str]]:
        self.next[holder] = self.known[holder]
        taken: list[tuple[str, str]] = []
        for key, name in order:
            while name not in self.paused and self.queues[key] and len(taken) < count:
                taken.append((key, self.queues[key].pop(0)))
                self.held[holder][self.next[holder]] = taken[-1]
                self.next[holder] += 1
        if taken:
            self._sign(holder)
        return taken

    def _sign(self, holder: str) -> None:
        """A sign of life is another number than the one before, whatever the clock does."""
        sign = self.now + LEASE_MS
        self.signs[holder] = sign + 1 if self.signs.get(holder) == sign else sign

    @rule(holder=st.sampled_from(HOLDERS), data=st.data())
    def a_job_is_done(self, holder: str, data: st.DataObject) -> None:
        numbers = self._known_numbers(holder)
        if numbers:
            number = data.draw(st.sampled_from(numbers))
            self.leases.acknowledge(holder, [number])
            self.done.add(self.held[holder].pop(number)[1])

    @rule(holder=st.sampled_from(HOLDERS), data=st.data())
    def some_are_given_back(self, holder: str, data: st.DataObject) -> None:
        numbers = self._known_numbers(holder)
        if numbers:
            chosen = data.draw(st.lists(st.sampled_from(numbers), unique=True))
            self.leases.give_back(holder, chosen)
            self._back(holder, chosen)

    @rule(holder=st.sampled_from(HOLDERS), data=st.data())
    def a_channel_closes(self, holder: str, data: st.DataObject) -> None:
        numbers = self._known_numbers(holder)
        keep = data.draw(st.lists(st.sampled_from(numbers), unique=True)) if numbers else []
        holds = self.leases.recover(holder, keep)
        self._back(holder, set(self.held[holder]) - set(keep))
        assert holds == bool(self.held[holder])
        if not holds:
            self.signs.pop(holder, None)

    @rule(alive=st.lists(st.sampled_from(HOLDERS), unique=True))
    def some_renew(self, alive: list[str]) -> None:
        for holder in alive:
            self._sign(holder)
        assert self.leases.renew(alive, self.now) == self.signs

    @rule(ms=st.sampled_from([1, 500, 3000, -500, -3000, 0]))
    def time_passes_or_the_clock_steps(self, ms: int) -> None:
        self.now += ms

    @rule(judged=st.dictionaries(st.sampled_from(HOLDERS), st.booleans()))
    def a_worker_takes_some_for_dead(self, judged: dict[str, bool]) -> None:
        """It has seen the last sign of some of them, and an earlier one of the others."""
        known = {holder: self.signs[holder] - late for holder, late in judged.items() if holder in self.signs}
        dead = [holder for holder in known if known[holder] == self.signs[holder]]
        assert self.leases.reap(known) == sum(len(self.held[holder]) for holder in dead)
        for holder in dead:
            self._back(holder, set(self.held[holder]))
            del self.signs[holder]

    @rule(name=st.sampled_from(["a", "b"]))
    def a_queue_is_paused(self, name: str) -> None:
        self.leases.pause(name)
        self.paused.add(name)

    @precondition(lambda self: self.paused)
    @rule()
    def a_queue_is_resumed(self) -> None:
        self.leases.resume(self.paused.pop())

    @invariant()
    def the_queues_hold_what_they_should_in_their_order(self) -> None:
        for key in KEYS:
            assert [plain(message) for message in queued(self.leases, key)] == self.queues[key]

    @invariant()
    def the_holders_hold_what_they_should_and_each_has_a_lease(self) -> None:
        held = {
            holder: [message for _, message in dict(sorted(self.held[holder].items())).values()]
            for holder in self.signs
        }
        assert {
            holder: list(map(plain, jobs)) for holder, jobs in self.leases.jobs_by_holder().items()
        } == held
        assert all(holder in self.signs for holder in HOLDERS if self.held[holder])

    @invariant()
    def every_job_is_in_one_place(self) -> None:
        everywhere = [*itertools.chain(*self.queues.values()), *self.done]
        everywhere += [message for jobs in self.held.values() for _, message in jobs.values()]
        assert len(everywhere) == len(set(everywhere)) == self.accepted

    def _known_numbers(self, holder: str) -> list[int]:
        return sorted(number for number in self.held[holder] if number < self.known[holder])

    def _back(self, holder: str, numbers: Any) -> None:
        for number in sorted(numbers, reverse=True):
            key, message = self.held[holder].pop(number)
            self.queues[key].insert(0, message)


@pytest.mark.hypothesis
def test_the_scripts_do_what_their_model_does(broker: Any) -> None:
    model = type("BoundModel", (Model,), {"broker_url": broker.url})
    limits = settings(
        max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
    )
    run_state_machine_as_test(model, settings=limits)


def test_what_is_given_back_is_marked_once_and_else_byte_for_byte_the_same(leases: LeaseStore) -> None:
    message = '{"empty": [], "big": 12345678901234567890, "text": "a\\nb\\n€"}'
    push(leases, "a", message)
    for number in range(2):
        leases.fetch("one", number, 1, QUEUES)
        leases.give_back("one", [number])

    assert queued(leases, "a") == [MARK + message[1:]]


@pytest.mark.parametrize("text", ["", "no JSON", "[]", "{}", "\n", '{"redelivered":true,"a": 1}'])
def test_what_cannot_be_marked_is_given_back_as_it_is(leases: LeaseStore, text: str) -> None:
    push(leases, "a", text)
    leases.fetch("one", 0, 1, QUEUES)
    leases.give_back("one", [0])

    assert queued(leases, "a") == [text]


def test_a_full_broker_refuses_a_producer_and_nothing_of_what_the_leases_need(
    leases: LeaseStore, broker: Any
) -> None:
    for number in range(4):
        push(leases, "a", f'{{"a": {number}}}')
    with redis.Redis.from_url(broker.url) as client:
        client.config_set("maxmemory", 1)
        try:
            with pytest.raises(redis.exceptions.OutOfMemoryError):
                push(leases, "a", "{}")
            leases.renew(["one"])
            assert len(leases.fetch("one", 0, 3, QUEUES)) == 3
            leases.acknowledge("one", [0])
            leases.give_back("one", [1])
            assert leases.reap(leases.renew([])) == 1
            assert len(leases.fetch("two", 0, 3, QUEUES)) == 3
            assert not leases.recover("two")
        finally:
            client.config_set("maxmemory", 0)
    assert len(queued(leases, "a")) == 3


def test_who_gave_a_sign_since_it_was_seen_last_is_left_alone(leases: LeaseStore) -> None:
    push(leases, "a", '{"a": 1}')
    assert len(leases.fetch("slow", 0, 1, QUEUES, 10_000)) == 1
    seen = leases.renew([], 10_000)

    leases.renew(["slow"], 10_000)  # the clock stands, or has stepped back by just so much

    assert leases.reap(seen) == 0
    assert leases.reap(leases.renew([], 10_000)) == 1
    assert len(queued(leases, "a")) == 1


def test_a_look_shows_those_whose_signs_are_the_oldest_and_the_newest(
    leases: LeaseStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("celery_impl.sidekiq.lease.lease_store.LOOK_LIMIT", 2)
    for place in range(8):
        leases.renew([f"holder{place}"], 1000 * place)

    assert leases.renew(["new"], 9000).keys() == {"holder0", "holder1", "holder7", "new"}


def test_a_holders_name_tells_how_long_its_lease_is_and_that_of_an_older_version_does_not(
    leases: LeaseStore,
) -> None:
    assert lease_s_of(leases.new_holder(), default_s=7.0) == LEASE_MS / 1000
    assert lease_s_of("host-1-0a1b2c3d", default_s=7.0) == 7.0


def test_a_fetch_that_fails_half_way_holds_what_it_took_under_a_lease(leases: LeaseStore) -> None:
    push(leases, "a", '{"a": 1}')
    leases.commands.call(("SET", leases.prefix + "b", "no list"))
    with pytest.raises(redis.ResponseError):
        leases.fetch("one", 0, 5, QUEUES)

    assert {holder: list(map(plain, jobs)) for holder, jobs in leases.jobs_by_holder().items()} == {
        "one": ['{"a": 1}']
    }


def test_a_fetch_that_leaves_jobs_behind_rings_for_others_and_one_that_does_not_is_silent(
    leases: LeaseStore,
) -> None:
    for message in ('{"a": 1}', '{"a": 2}'):
        push(leases, "a\x06\x163", message)

    leases.fetch("one", 0, 1, QUEUES)
    assert leases.commands.call(("ZCARD", "a\x06\x16bell")) == [1]

    leases.commands.call(("DEL", "a\x06\x16bell"))
    leases.fetch("one", 1, 1, QUEUES)
    assert leases.commands.call(("ZCARD", "a\x06\x16bell")) == [0]


def test_a_broker_that_has_forgotten_the_scripts_is_told_again(leases: LeaseStore) -> None:
    leases.commands.call(("SCRIPT", "FLUSH"))
    push(leases, "a", '{"a": 1}')

    assert leases.fetch("one", 0, 5, QUEUES) == [b'a\n{"a": 1}']


def test_without_a_time_of_the_caller_the_brokers_clock_counts(leases: LeaseStore) -> None:
    [(seconds, micros)] = leases.commands.call(("TIME",))

    [sign] = leases.renew(["one"]).values()

    before = int(seconds) * 1000 + int(micros) // 1000 + LEASE_MS
    assert before <= sign < before + 60_000
