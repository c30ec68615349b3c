"""Two beats over one broker: whatever happens to them, each tick is dealt with once.

The beats are real schedulers and the broker is real; only the clock is the test's. A beat may be killed, may
stand still between finding a tick and queueing it, and may not hear the broker's answers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from celery_impl.sidekiq.beat.entry_api import PeriodicEntries
from celery_impl.sidekiq.beat.lease import LEASE
from celery_impl.sidekiq.beat.scheduler import BeatBroker, LeasedScheduler
from celery_impl.sidekiq.beat.sent_ticks import COUNTS, Outcome
from celery_impl.sidekiq.redis.server_clock import ServerClock

LEASE_S = 6.0
#: Name to interval and options. Ticks of `slow` are dropped while a run of it is under way.
ENTRIES: dict[str, tuple[float, dict[str, Any]]] = {
    "fast": (1.0, {"overlap": "allow"}),
    "strict": (2.5, {"overlap": "allow", "grace_s": 0.5}),
    "merging": (4.0, {"overlap": "allow", "grace_s": 0.5, "misfire": "coalesce"}),
    "slow": (3.0, {"expires": 10_000}),
}
BEATS = st.sampled_from([0, 1])
WAITS = st.sampled_from([0.0, 0.1, 0.4, 1.0, 2.0, 2.5, 5.9, 6.1, 30.0])


class Beat(LeasedScheduler):
    """A beat that does what the test wants between finding a tick and queueing it, and may go deaf."""

    meanwhile: Callable[[], object] | None = None
    deaf: str | None = None

    def begin(self, now: Callable[[], float]) -> None:
        self._clock = ServerClock(now)
        self._post = BeatBroker(self.app, lease_s=LEASE_S, clock=self._clock, now=now)
        claim = self._post.ledger.claim

        def told(outcome: Outcome) -> str:
            deaf, self.deaf = self.deaf, None
            if deaf == "asking":
                raise redis.ConnectionError(deaf)
            answer = claim(outcome)
            if deaf == "hearing":
                raise redis.TimeoutError(deaf)
            return answer

        self._post.ledger.claim = told  # type: ignore[method-assign] # the network, as it may be

    def apply_async(self, *args: Any, **options: Any) -> Any:
        sent = super().apply_async(*args, **options)
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()
        return sent

    def word(self) -> str:
        assert self._post is not None
        return self._post.lease.token

    def let_go(self) -> None:
        """Close the connections, as a kill does."""
        assert self._post is not None
        self._post.store.close()

    def serve(self) -> None:
        """Tick until there is nothing to do at once."""
        while not self.tick():
            pass


class TwoBeats(RuleBasedStateMachine):
    lab: Any
    app: Any

    @initialize()
    def both_start(self) -> None:
        self.lab.redis.flushall()
        self.now = 1_000_000.25
        self.beats = [self.start(), self.start()]
        self.beats[0].serve()
        self.born = self.now

    def teardown(self) -> None:
        for beat in getattr(self, "beats", ()):
            beat.close()

    def start(self) -> Beat:
        beat = Beat(self.app)
        beat.begin(lambda: self.now)
        return beat

    @rule(wait=WAITS)
    def time_passes(self, wait: float) -> None:
        self.now += wait

    @rule(beat=BEATS)
    def a_beat_goes_on(self, beat: int) -> None:
        self.beats[beat].serve()

    @rule(beat=BEATS, wait=WAITS)
    def a_beat_stands_still_with_a_tick_in_its_hand(self, beat: int, wait: float) -> None:
        def meanwhile() -> None:
            self.now += wait
            self.beats[1 - beat].serve()

        self.beats[beat].meanwhile = meanwhile
        self.beats[beat].serve()
        self.beats[beat].meanwhile = None

    @rule(beat=BEATS)
    def a_beat_is_killed_and_another_started(self, beat: int) -> None:
        self.beats[beat].let_go()
        self.beats[beat] = self.start()

    @rule(beat=BEATS)
    def a_beat_is_stopped_and_another_started(self, beat: int) -> None:
        word = self.beats[beat].word()
        self.beats[beat].close()
        assert self.lab.redis.hget(LEASE, "holder") != word
        self.beats[beat] = self.start()

    @rule(beat=BEATS, what=st.sampled_from(["asking", "hearing"]))
    def an_answer_gets_lost(self, beat: int, what: str) -> None:
        self.beats[beat].deaf = what
        self.beats[beat].serve()

    @rule()
    def the_runs_of_slow_end(self) -> None:
        self.lab.redis.delete("sidekiq:beat:runs:slow")

    @rule(beat=BEATS)
    def all_is_caught_up_once_a_beat_watches_for_a_lease(self, beat: int) -> None:
        self.beats[1 - beat].close()
        self.beats[1 - beat] = self.start()
        self.beats[beat].serve()  # it sees who holds the lease
        self.now += LEASE_S
        for _ in range(2):  # an answer may get lost once
            self.beats[beat].serve()
        for entry in self.entries():
            assert entry.tick <= self.now < entry.next_at
            assert entry.next_at - entry.tick == ENTRIES[entry.name][0]

    def entries(self) -> PeriodicEntries:
        return PeriodicEntries(self.app, clock=lambda: self.now)

    def queued(self) -> dict[str, list[float]]:
        """The ticks of each entry that were queued, in their order."""
        found: dict[str, list[float]] = {name: [] for name in ENTRIES}
        for text in reversed(self.lab.redis.lrange("celery", 0, -1)):
            tick = json.loads(text)["headers"]["periodic"]
            found[tick["entry"]].append(tick["due"])
        return found

    @invariant()
    def no_tick_is_queued_twice_or_before_its_time_or_off_the_grid(self) -> None:
        for name, dues in self.queued().items():
            interval = ENTRIES[name][0]
            assert dues == sorted(set(dues))
            assert all(due <= self.now and (due / interval).is_integer() for due in dues)

    @invariant()
    def every_tick_that_is_dealt_with_is_queued_or_counted(self) -> None:
        queued = self.queued()
        for entry in self.entries():
            interval = ENTRIES[entry.name][0]
            passed = entry.tick // interval - self.born // interval
            assert sum(getattr(entry, count) for count in COUNTS) == passed
            assert entry.runs == len(queued[entry.name])
            assert entry.refusals == 0
            assert entry.overlaps == 0 or entry.name == "slow"


@pytest.fixture
def swift(lab: Any) -> Iterator[Any]:
    """A lab whose broker does not wait for its disk: nothing here kills it."""
    lab.redis.config_set("appendfsync", "no")
    yield lab
    lab.redis.config_set("appendfsync", "always")


@pytest.mark.hypothesis
@pytest.mark.timeout(300)
def test_two_beats_deal_with_each_tick_once_whatever_happens_to_them(swift: Any) -> None:
    swift.app = "beat_app"
    entries = {name: [every, options] for name, (every, options) in ENTRIES.items()}
    TwoBeats.lab, TwoBeats.app = swift, swift.sample(BEAT_ENTRIES=json.dumps(entries)).app
    run_state_machine_as_test(
        TwoBeats,
        settings=settings(
            max_examples=20,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
