"""LeasedScheduler in this process, on a real broker; PeriodicEntries and the command that shows them."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery, signals
from celery.exceptions import ImproperlyConfigured
from celery.schedules import crontab
from click.testing import CliRunner, Result

from celery_impl.sidekiq import beat
from celery_impl.sidekiq.api import NoSidekiqError, UnreadableError
from celery_impl.sidekiq.beat import LeasedScheduler, PeriodicEntries, PeriodicEntry
from celery_impl.sidekiq.beat.lease import LEASE
from celery_impl.sidekiq.beat.runs import RUN_S, begin
from celery_impl.sidekiq.beat.scheduler import BeatBroker
from celery_impl.sidekiq.beat.sent_ticks import Outcome
from celery_impl.sidekiq.cli import sidekiq
from celery_impl.sidekiq.limits.unique import holder as place
from celery_impl.sidekiq.redis.server_clock import ServerClock

LEASE_S = 6.0


class Stage:
    """An app with the lab's broker, beats in this process, and a clock that the test moves."""

    def __init__(self, lab: Any) -> None:
        lab.app = "beat_app"
        self.lab = lab
        self.now = 1_000_000.5
        #: Seconds by which the broker's clock has stepped.
        self.step = 0.0
        self.app: Celery = lab.sample().app
        self.beats: list[LeasedScheduler] = []

    def schedule(self, **entries: dict[str, Any]) -> None:
        self.app.conf.beat_schedule = {
            name: {"task": "tick", "args": (name,), **entry} for name, entry in entries.items()
        }

    def beat(self) -> LeasedScheduler:
        """A beat that has come to know its entries."""
        made = LeasedScheduler(self.app)
        made._clock = ServerClock(lambda: self.now)
        made._post = BeatBroker(
            self.app, lease_s=LEASE_S, clock=made._clock, now=lambda: self.now + self.step
        )
        self.beats.append(made)
        serve(made)
        return made

    def entries(self) -> PeriodicEntries:
        return PeriodicEntries(self.app, clock=lambda: self.now)

    def entry(self, name: str = "e") -> PeriodicEntry:
        found = self.entries().find(name)
        assert found is not None
        return found

    def queued(self, queue: str = "celery") -> list[Any]:
        """The headers of what is queued, in its order."""
        return [json.loads(text)["headers"] for text in reversed(self.lab.redis.lrange(queue, 0, -1))]

    def dues(self) -> list[float]:
        return [headers["periodic"]["due"] for headers in self.queued()]

    def at(self, now: float, *beats: LeasedScheduler) -> None:
        """Serve all that is due at that time."""
        self.now = now
        for one in beats or self.beats:
            serve(one)


def broker_of(scheduler: LeasedScheduler) -> BeatBroker:
    assert scheduler._post is not None
    return scheduler._post


def is_holder(scheduler: LeasedScheduler) -> bool:
    return broker_of(scheduler).lease_client.is_holder


def serve(scheduler: LeasedScheduler) -> float:
    while not (wait := scheduler.tick()):
        pass
    return wait


@pytest.fixture
def stage(lab: Any) -> Iterator[Stage]:
    made = Stage(lab)
    yield made
    for one in made.beats:
        one.close()


@pytest.fixture
def on_publish() -> Iterator[Callable[[Callable[[], object]], None]]:
    """Have something done once, between finding a tick and queueing it."""
    waiting: list[Callable[[], object]] = []

    def published(**_: Any) -> None:
        while waiting:
            waiting.pop()()

    signals.before_task_publish.connect(published)
    yield waiting.append
    signals.before_task_publish.disconnect(published)


def test_a_beat_sleeps_until_its_next_tick_or_renewal_and_no_longer(stage: Stage) -> None:
    stage.schedule(e={"schedule": 10.0}, soon={"schedule": 1.0})
    one = stage.beat()
    assert serve(one) == pytest.approx(0.5)
    stage.now += 0.5
    assert serve(one) == pytest.approx(1.0)
    stage.schedule(e={"schedule": 100_000.0})
    other = stage.beat()
    stage.now += 1.0
    one.close()
    assert serve(other) == pytest.approx(LEASE_S / 3)


@pytest.mark.parametrize("step", [-3600.0, 3600.0])
def test_a_step_of_the_brokers_clock_takes_no_living_beats_lease_and_keeps_no_dead_ones(
    stage: Stage, step: float
) -> None:
    stage.schedule(e={"schedule": 10.0, "options": {"overlap": "allow"}})
    first, second = stage.beat(), stage.beat()
    stage.step = step
    for seconds in range(1, 20):
        stage.at(1_000_000.5 + seconds, first, second)
    assert (is_holder(first), is_holder(second)) == (True, False)
    for seconds in range(20, 28):
        stage.at(1_000_000.5 + seconds, second)
    assert is_holder(second)


def test_entries_go_on_at_the_brokers_time_after_its_clock_has_stepped_back(stage: Stage) -> None:
    stage.schedule(e={"schedule": 10.0})
    one = stage.beat()
    stage.at(1_000_010.0, one)
    run = stage.queued()[0]["id"]
    begin(
        broker_of(one).store.sets, "sidekiq:beat:runs:e", run, now=1_000_012.0
    )  # its process is killed then

    stage.step = -3600.0
    for seconds in (12.5, 20.0, 30.0):
        stage.at(1_000_000.0 + seconds, one)
    assert stage.dues() == [1_000_010.0, 996_420.0, 996_430.0]
    assert stage.entry().overlaps == 0


def test_a_tick_in_the_hand_of_a_beat_that_stood_still_is_sent_by_the_other_alone(
    stage: Stage, on_publish: Any, caplog: pytest.LogCaptureFixture
) -> None:
    stage.schedule(e={"schedule": 10.0})
    first, second = stage.beat(), stage.beat()
    stage.at(1_000_001.0)

    # 1. The first finds the tick of 10 and stands still. 2. The second takes the lease and sends it.
    def second_sends() -> None:
        for now in (1_000_011.0, 1_000_017.5):  # it sees the first's renewal, and then none
            stage.at(now, second)

    on_publish(second_sends)
    stage.at(1_000_010.0, first)  # 3. The first goes on.

    assert stage.dues() == [1_000_010.0]
    assert "left to the beat that has the lease now" in caplog.text
    assert (stage.entry().runs, stage.entry().misfires) == (1, 0)
    stage.at(1_000_020.0)
    assert stage.dues() == [1_000_010.0, 1_000_020.0]


def test_a_run_carries_its_tick_its_expiry_and_the_options_of_its_entry(stage: Stage) -> None:
    options = {"queue": "reports", "priority": 3, "headers": {"own": 1}, "misfire": "coalesce"}
    stage.schedule(e={"schedule": 10.0, "args": ("x",), "options": options})
    stage.beat()
    stage.at(1_000_001.0)
    stage.at(1_000_012.0)
    [headers] = stage.queued("reports\x06\x163")
    assert headers["periodic"] == {"entry": "e", "due": 1_000_010.0, "overlap": "skip"}
    assert (headers["own"], headers["celery_beat_task"]) == (1, True)
    assert (headers["id"], headers["argsrepr"]) == (stage.entry().job, "['x']")
    assert headers["expires"]
    [(mark, until)] = stage.lab.redis.zrange("sidekiq:beat:runs:e", 0, -1, withscores=True)
    assert (mark, until) == (headers["id"], 1_000_020.0)


def test_crontab_entries_are_sent_at_their_moments_and_missed_ones_counted(stage: Stage) -> None:
    stage.schedule(
        e={"schedule": crontab(minute="*/5")},
        strict={"schedule": crontab(minute="*/5"), "options": {"grace_s": 30}},
        merged={"schedule": crontab(minute="*/5"), "options": {"grace_s": 30, "misfire": "coalesce"}},
    )
    stage.beat()
    start = 1_000_200.0  # a moment of the calendar: 13:50
    for now in (start - 100, start, start + 1, start + 300, start + 1000):
        stage.at(now)
    wanted = {"e": [0, 300, 900], "strict": [0, 300], "merged": [0, 300, 900]}
    found: dict[str, list[float]] = {name: [] for name in wanted}
    for headers in stage.queued():
        found[headers["periodic"]["entry"]].append(headers["periodic"]["due"] - start)
    assert found == wanted
    assert {entry.name: entry.misfires for entry in stage.entries()} == {"e": 1, "strict": 2, "merged": 1}


def test_an_expiry_of_one_interval_does_not_hold_up_the_next_tick(stage: Stage) -> None:
    stage.schedule(e={"schedule": 1.0, "options": {"expires": 1.0}})
    stage.beat()
    for tick in range(1, 5):
        stage.at(1_000_000.0 + tick + 0.001 * (5 - tick))  # each a little less late than the one before
    assert (len(stage.dues()), stage.entry().overlaps) == (4, 0)


def test_a_long_outage_makes_one_run_and_many_misses(stage: Stage) -> None:
    stage.schedule(e={"schedule": 1.0})
    stage.beat()
    stage.at(1_000_001.0)
    stage.at(1_003_600.5)
    assert stage.dues()[-2:] == [1_000_001.0, 1_003_600.0]
    assert stage.entry().misfires == 3598


def test_a_tick_is_dropped_while_a_run_is_queued_or_running_and_its_mark_is_renewed(stage: Stage) -> None:
    stage.schedule(e={"schedule": 1.0, "options": {"expires": 3}})
    stage.beat()
    for now in range(1, 5):
        stage.at(1_000_000.0 + now)
    assert stage.dues() == [1_000_001.0, 1_000_004.0]  # queued until 4, and then expired
    assert (stage.entry().overlaps, stage.entry().under_way) == (2, 1)

    begin(stage.lab.sets, "sidekiq:beat:runs:e", stage.queued()[-1]["id"], now=1_000_004.5)
    for now in range(5, 12):
        stage.at(1_000_000.0 + now)
    assert stage.dues() == [1_000_001.0, 1_000_004.0, 1_000_010.0]
    assert 1_000_004.5 + RUN_S == 1_000_009.5  # the keeper of a living worker renews; here is none


def test_a_run_that_cannot_be_sent_is_counted_and_stops_no_other(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage.schedule(bad={"schedule": 1.0, "args": (object(),)}, e={"schedule": 1.0})
    stage.beat()
    stage.at(1_000_001.0)
    stage.at(1_000_002.0)
    assert stage.dues() == [1_000_001.0, 1_000_002.0]
    assert (stage.entry("bad").refusals, stage.entry("bad").runs) == (2, 0)
    assert "a run of bad cannot be sent" in caplog.text


def test_a_unique_job_that_has_its_place_makes_the_tick_a_refusal(
    stage: Stage, caplog: pytest.LogCaptureFixture, on_publish: Any
) -> None:
    caplog.set_level(logging.INFO)
    task = stage.app.task(name="alone", shared=False, sidekiq_unique="until_done")(alone)
    stage.schedule(e={"task": "alone", "args": (), "schedule": 10.0, "options": {"overlap": "allow"}})
    first, second = stage.beat(), stage.beat()
    stage.at(1_000_010.0)
    stage.at(1_000_020.0)
    assert (stage.entry().runs, stage.entry().refusals) == (1, 1)
    assert "has its place" in caplog.text

    stage.lab.redis.flushall()
    stage.at(1_000_029.0)
    on_publish(lambda: take_over(stage, second))
    stage.at(1_000_030.0, first)
    assert place(task) is None, "a run that was not queued keeps no place"


def alone() -> None:
    """The task of which there is one job at a time."""


def take_over(stage: Stage, one: LeasedScheduler) -> None:
    """Let a beat have the lease, and send nothing yet."""
    post = one._post
    assert post is not None
    stage.lab.redis.hset(LEASE, "holder", post.lease.token)


@pytest.mark.parametrize("done", [False, True])
def test_a_tick_whose_answer_was_lost_keeps_the_place_of_its_unique_job_only_if_it_is_queued(
    stage: Stage,
    done: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    task = stage.app.task(name="alone", shared=False, sidekiq_unique="until_done")(alone)
    stage.schedule(e={"task": "alone", "args": (), "schedule": 10.0, "options": {"overlap": "allow"}})
    one = stage.beat()
    stage.at(1_000_009.0)
    post = one._post
    assert post is not None
    claim = post.ledger.claim

    def deaf(outcome: Outcome) -> str:
        if done:
            claim(outcome)
        raise ConnectionError("gone")

    post.ledger.claim = deaf  # type: ignore[method-assign] # the network, as it may be
    stage.now = 1_000_010.0
    assert one.tick() == 0.25
    post.ledger.claim = claim  # type: ignore[method-assign] # see above
    stage.at(1_000_021.0)
    entry = stage.entry()
    assert (entry.runs, entry.refusals, entry.misfires) == ((1, 1, 0) if done else (1, 0, 1))
    assert place(task) == entry.job


def test_an_entry_that_comes_or_changes_begins_with_the_next_tick_and_floods_nobody(stage: Stage) -> None:
    stage.schedule(e={"schedule": 1000.0})
    one = stage.beat()
    stage.at(1_000_001.0)
    one.add(name="late", task="tick", args=("late",), schedule=10.0)
    stage.at(1_000_013.0)
    assert stage.dues() == []
    stage.at(1_000_020.0)
    assert [headers["periodic"]["entry"] for headers in stage.queued()] == ["late"]

    one.close()
    stage.schedule(e={"schedule": 1.0})
    stage.now = 1_000_500.5
    stage.beat()
    assert stage.entries().find("late") is None
    assert (stage.entry().schedule, stage.entry().misfires) == ("every 1 s", 0)
    stage.at(1_000_501.0, stage.beats[-1])
    assert stage.dues()[-1] == 1_000_501.0


def test_a_beat_without_entries_holds_the_lease_and_waits(stage: Stage) -> None:
    stage.schedule()
    one = stage.beat()
    assert serve(one) == pytest.approx(LEASE_S / 3)
    assert (stage.entries().size(), stage.entries().holder() is not None) == (0, True)


def test_a_beat_that_stands_by_for_another_apps_says_so(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage.schedule(e={"schedule": 1.0})
    stage.at(1_000_001.0, stage.beat())
    stage.schedule(mine={"schedule": 1.0})
    stage.at(1_000_001.5, stage.beat())
    assert "does not know mine" in caplog.text
    assert "global_keyprefix" in caplog.text


def test_the_lease_and_the_entries_are_lost_with_the_brokers_data_and_made_anew(stage: Stage) -> None:
    stage.schedule(e={"schedule": 1.0})
    stage.beat()
    stage.at(1_000_001.0)
    stage.lab.redis.flushall()
    stage.at(1_000_002.0)
    stage.at(1_000_003.0)
    assert stage.dues() == [1_000_003.0]
    stage.lab.redis.delete("sidekiq:beat:entry:e")
    stage.at(1_000_004.0)
    stage.at(1_000_005.0)
    assert stage.dues() == [1_000_003.0, 1_000_005.0]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"v": "2", "due": "7"}, "was written by version 2"),
        ({"v": "1", "schedule": "every 1 s", "due": "soon"}, "is corrupt: its last tick is b'soon'"),
    ],
)
def test_what_a_newer_version_or_nobody_wrote_ends_the_beat_and_stays(
    stage: Stage, fields: dict[str, str], text: str
) -> None:
    stage.schedule(e={"schedule": 1.0})
    stage.lab.redis.hset("sidekiq:beat:entry:e", mapping=fields)
    with pytest.raises(UnreadableError, match=text):
        stage.beat().tick()
    assert stage.lab.redis.hgetall("sidekiq:beat:entry:e") == fields


@pytest.mark.parametrize("url", ["redis://", "amqp://"])
def test_an_app_without_sidekiq_or_without_redis_is_refused_in_one_line(url: str) -> None:
    app = Celery("stock", broker=url, set_as_current=False)
    with pytest.raises(ImproperlyConfigured, match="needs an app with Sidekiq"):
        LeasedScheduler(app)
    assert "lease" in LeasedScheduler(app, lazy=True).info


def test_closing_twice_or_without_a_broker_is_harmless(stage: Stage) -> None:
    stage.schedule(e={"schedule": 1.0})
    LeasedScheduler(stage.app).close()
    one = stage.beat()
    serve(one)
    one.close()
    one.close()
    assert stage.lab.redis.exists(LEASE) == 0
    other = stage.beat()
    serve(other)
    stage.lab.broker.kill()
    other.close()


def test_entries_tell_what_happened_and_what_is_next(stage: Stage) -> None:
    stage.schedule(e={"schedule": 10.0, "options": {"overlap": "allow"}}, f={"schedule": 60.0})
    stage.beat()
    stage.at(1_000_001.0)
    assert (stage.entry().last_run_at, stage.entry().job, stage.entry().runs) == (None, None, 0)
    stage.at(1_000_010.25)
    assert stage.entry() == PeriodicEntry(
        name="e",
        task="tick",
        schedule="every 10 s",
        overlap="allow",
        misfire="skip",
        tick=1_000_010.0,
        next_at=1_000_020.0,
        last_run_at=1_000_010.25,
        job=stage.queued()[0]["id"],
        under_way=None,
        runs=1,
        misfires=0,
        overlaps=0,
        refusals=0,
    )
    assert [entry.name for entry in stage.entries()] == ["e", "f"]
    assert stage.entries().find("g") is None
    holder = stage.entries().holder()
    assert holder is not None
    assert (holder.pid, holder.since, holder.until) == (os.getpid(), 1_000_000.5, 1_000_016.25)
    stage.now += 100
    assert stage.entries().holder() is None


def test_the_command_shows_the_entries_as_a_table_and_as_json(stage: Stage) -> None:
    def run(*arguments: str) -> Result:
        return CliRunner().invoke(sidekiq, ("periodic", *arguments), obj=SimpleNamespace(app=stage.app))

    assert json.loads(run("--json").stdout) == {"holder": None, "entries": []}
    assert "no beat sends" in run().stdout
    stage.schedule(e={"schedule": 1.0})
    one = LeasedScheduler(stage.app)
    stage.beats.append(one)
    one.tick()
    [entry] = json.loads(run("--json").stdout)["entries"]
    assert (entry["name"], entry["misfires"], entry["schedule"]) == ("e", 0, "every 1 s")
    table = run().stdout
    assert f"beat {os.getpid()} on" in table
    assert "every 1 s" in table


def test_an_app_without_sidekiq_has_no_entries_to_look_at(lab: Any) -> None:
    with pytest.raises(NoSidekiqError):
        PeriodicEntries(Celery("stock", broker=lab.broker.url, set_as_current=False))


def test_the_package_names_what_its_users_need() -> None:
    assert set(beat.__all__) == {"LeasedScheduler", "PeriodicEntries", "PeriodicEntry"}
