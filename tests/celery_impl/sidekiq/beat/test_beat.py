"""Real `celery beat` processes, and real workers: two beats, kills, pauses, a broker that goes away."""

from __future__ import annotations

import json
import random
import signal
import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from celery_impl.sidekiq.beat import PeriodicEntries, PeriodicEntry
from celery_impl.sidekiq.beat.runs import RUN_S

#: Seconds between two ticks of the entry that most tests watch.
EVERY_S = 0.2


class Beat:
    """One real `celery beat`, killed with its test."""

    def __init__(self, lab: Any, name: str, *arguments: str) -> None:
        self.log: Path = lab.folder / f"{name}.log"
        self._process = lab.begin(self.log, "-A", lab.app, "beat", "-l", "INFO", *arguments)
        self.pid: int = self._process.pid

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def end(self, number: int) -> int:
        if self._process.poll() is None:
            self._process.send_signal(number)
        code: int = self._process.wait(25)
        return code


class Field:
    """A lab with beats."""

    def __init__(self, lab: Any) -> None:
        lab.app = "beat_app"
        self.lab = lab
        self.beats: list[Beat] = []

    def app(self, **entries: tuple[float, dict[str, Any]]) -> Any:
        """The app with these entries; beats and workers started later have them too."""
        return self.lab.sample(BEAT_ENTRIES=json.dumps(entries)).app

    def beat(self, *arguments: str) -> Beat:
        self.beats.append(Beat(self.lab, f"beat{len(self.beats)}", *arguments))
        return self.beats[-1]

    def two(self, app: Any) -> tuple[Beat, Beat]:
        """Two beats of which the first sends and the second stands by."""
        first = self.beat()
        self.until(lambda: self.holder(app) == first.pid)
        second = self.beat()
        self.until(lambda: "stands by" in second.output)
        return first, second

    def holder(self, app: Any) -> int | None:
        found = PeriodicEntries(app).holder()
        return found.pid if found else None

    def dues(self, entry: str = "e") -> list[float]:
        """The ticks that were queued, in their order."""
        texts = reversed(self.lab.redis.lrange("celery", 0, -1))
        ticks = [json.loads(text)["headers"]["periodic"] for text in texts]
        return [tick["due"] for tick in ticks if tick["entry"] == entry]

    def more(self, count: int) -> None:
        """Wait until so many more ticks are queued."""
        seen = len(self.dues())
        self.until(lambda: len(self.dues()) >= seen + count)

    def until(self, look: Any) -> Any:
        try:
            return self.lab.eventually(look)
        except pytest.fail.Exception as failure:
            outputs = "\n".join(beat.output[-3000:] for beat in self.beats)
            pytest.fail(f"{failure.msg}\n{outputs}")


@pytest.fixture
def field(lab: Any) -> Iterator[Field]:
    made = Field(lab)
    yield made
    for beat in made.beats:
        beat.signal(signal.SIGCONT)
        beat.end(signal.SIGKILL)


def entry_of(app: Any, name: str = "e") -> PeriodicEntry:
    found = PeriodicEntries(app).find(name)
    assert found is not None
    return found


def numbers(dues: list[float], every: float = EVERY_S) -> list[int]:
    """The numbers of the ticks on their grid; fail for one that is off it or comes twice."""
    found = [round(due / every) for due in dues]
    assert [number * every for number in found] == dues
    assert found == sorted(set(found))
    return found


def killed(field: Field, app: Any) -> tuple[PeriodicEntry, list[float]]:
    """Kill all beats; return the entry and its queued ticks as they left them, which agree."""
    for beat in field.beats:
        beat.end(signal.SIGKILL)
    entry, dues = entry_of(app), field.dues()
    assert len(numbers(dues)) == entry.runs
    assert dues[-1] <= entry.tick
    return entry, dues


def passed(before: PeriodicEntry, after: PeriodicEntry) -> None:
    """Each tick between two looks was queued or counted as a miss."""
    ticks = round((after.tick - before.tick) / EVERY_S)
    assert after.runs - before.runs + after.misfires - before.misfires == ticks


def test_two_beats_queue_each_tick_once(field: Field) -> None:
    app = field.app(e=(EVERY_S, {"overlap": "allow"}))
    _, second = field.two(app)
    field.more(1)
    before = entry_of(app)
    field.more(15)
    after, _ = killed(field, app)
    passed(before, after)
    assert "queued e" not in second.output


def test_a_killed_beat_is_followed_by_another_that_keeps_the_grid_and_counts_the_misses(
    field: Field,
) -> None:
    app = field.app(e=(EVERY_S, {"overlap": "allow"}))
    first, second = field.two(app)
    field.more(5)
    first.end(signal.SIGKILL)
    before = entry_of(app)
    field.until(lambda: field.holder(app) == second.pid)
    field.more(5)

    after, _ = killed(field, app)
    passed(before, after)
    assert after.misfires - before.misfires > 0
    assert "went by that nobody served" in second.output


def test_a_beat_that_ends_in_order_is_followed_at_once(field: Field) -> None:
    app = field.app(e=(EVERY_S, {"overlap": "allow"}))
    field.lab.env["BEAT_LEASE_S"] = "600"  # only a lease that is given back can pass on within the test
    first, second = field.two(app)
    field.more(1)
    before = entry_of(app)
    assert first.end(signal.SIGTERM) == 0
    field.until(lambda: field.holder(app) == second.pid)
    field.more(3)
    passed(before, killed(field, app)[0])


def test_a_beat_that_wakes_up_after_its_lease_sends_nothing_and_stands_by(field: Field) -> None:
    app = field.app(e=(EVERY_S, {"overlap": "allow"}))
    first, second = field.two(app)
    field.more(3)
    before = entry_of(app)
    first.signal(signal.SIGSTOP)
    field.until(lambda: field.holder(app) == second.pid)
    field.more(3)
    first.signal(signal.SIGCONT)
    field.until(lambda: "stands by" in first.output)
    field.more(5)

    assert field.holder(app) == second.pid
    second.end(signal.SIGKILL)
    field.until(lambda: field.holder(app) == first.pid)
    field.more(3)
    passed(before, killed(field, app)[0])


def test_beats_that_are_killed_at_any_moment_lose_and_double_no_tick(field: Field) -> None:
    app, chance = field.app(e=(EVERY_S, {"overlap": "allow"})), random.Random(7)  # noqa: S311 - no secret
    field.two(app)
    field.more(1)
    before = entry_of(app)
    for _ in range(4):
        field.more(1)
        threading.Event().wait(chance.uniform(0, 2 * EVERY_S))
        pid = field.holder(app)
        [holder] = [beat for beat in field.beats if beat.pid == pid]
        holder.end(signal.SIGKILL)
        field.beat()
        field.until(lambda old=pid: field.holder(app) not in {None, old})
    field.more(3)
    passed(before, killed(field, app)[0])


def test_a_broker_that_goes_away_is_waited_for_and_the_grid_kept(field: Field) -> None:
    app = field.app(e=(EVERY_S, {"overlap": "allow"}))
    first, second = field.two(app)
    field.more(3)
    before = entry_of(app)
    field.lab.broker.kill()
    field.until(lambda: first.output.count("trying again in") >= 2)
    field.until(lambda: second.output.count("trying again in") >= 2)
    field.lab.broker.restart()
    field.more(5)
    after, _ = killed(field, app)
    passed(before, after)
    assert after.misfires > before.misfires


def test_a_beat_that_starts_before_its_broker_waits_for_it(field: Field) -> None:
    field.app(e=(EVERY_S, {}))
    field.lab.broker.kill()
    beat = field.beat()
    field.until(lambda: "trying again in" in beat.output)
    field.lab.broker.restart()
    field.until(lambda: len(field.dues()) >= 2)


def test_a_run_is_not_begun_while_the_one_before_goes_on_unless_the_entry_allows(field: Field) -> None:
    app = field.app(e=(EVERY_S, {"expires": 60}), open=(EVERY_S, {"overlap": "allow", "expires": 60}))
    field.lab.env["BEAT_RUN_S"] = "0.7"
    field.lab.worker("-P", "threads", "-c", "8")
    field.beat()
    field.until(lambda: len(field.lab.runs("done", "e")) >= 3)
    field.until(lambda: len(field.lab.runs("done", "open")) >= 8)

    assert overlapping(field.lab, "e") == 1
    starts = [at for _, at in field.lab.runs("start", "e")]
    assert max(later - at for at, later in pairwise(starts)) < RUN_S, "a run that has ended holds up none"
    assert overlapping(field.lab, "open") > 1
    assert entry_of(app).overlaps > 0
    assert entry_of(app, "open").overlaps == 0


def overlapping(lab: Any, entry: str) -> int:
    """How many runs went on at once, at most."""
    starts = [(at, 1) for _, at in lab.runs("start", entry)]
    ends = [(at, -1) for _, at in lab.runs("done", entry)]
    now = most = 0
    for _, change in sorted(starts + ends):
        now += change
        most = max(most, now)
    return most


def test_a_run_that_has_not_begun_by_its_next_tick_is_dropped(field: Field) -> None:
    app = field.app(e=(EVERY_S, {}), kept=(EVERY_S, {"overlap": "allow", "expires": 60}))
    beat = field.beat()
    field.more(3)
    beat.end(signal.SIGTERM)
    stale, kept = field.dues(), field.dues("kept")
    field.until(lambda: float(".".join(map(str, field.lab.redis.time()))) > max(stale) + 1)
    field.lab.worker("-c", "1")
    field.until(lambda: len(field.lab.runs("done", "kept")) == len(kept))
    app.send_task("tick", args=("last",))
    field.until(lambda: field.lab.runs("done", "last"))

    assert len(stale) >= 3
    assert field.lab.runs("start", "e") == []
    ran = [
        line.split()[1] for line in (field.lab.folder / "runs").read_text().splitlines() if "due kept" in line
    ]
    assert ran == [f"kept@{due}" for due in kept]


def test_a_run_whose_process_was_killed_holds_up_the_next_ones_for_a_moment_only(field: Field) -> None:
    app = field.app(e=(EVERY_S, {}))
    field.lab.env["BEAT_RUN_S"] = "60"
    worker = field.lab.worker("-c", "1")
    field.beat()
    field.until(lambda: field.lab.runs("start", "e"))
    seen, begun = entry_of(app).runs, believed_until(field.lab)
    field.until(lambda: believed_until(field.lab) > begun + 2)  # a living worker renews
    assert entry_of(app).overlaps > 3
    assert entry_of(app).runs == seen
    worker.kill()
    field.until(lambda: entry_of(app).runs > seen)


def believed_until(lab: Any) -> float:
    # On a busy machine an earlier run may have expired before it began; its mark goes with the next one.
    return max(float(until) for _, until in lab.redis.zrange("sidekiq:beat:runs:e", 0, -1, withscores=True))


def test_stock_beat_takes_the_same_entries_and_ignores_what_is_ours(field: Field) -> None:
    field.app(e=(EVERY_S, {"overlap": "allow", "misfire": "coalesce", "grace_s": 5}))
    beat = field.beat("-S", "celery.beat:PersistentScheduler", "-s", str(field.lab.folder / "schedule"))
    field.until(lambda: field.lab.redis.llen("celery") >= 2)
    headers = json.loads(field.lab.redis.lrange("celery", 0, 0)[0])["headers"]
    assert "periodic" not in headers
    assert field.lab.redis.keys("sidekiq:beat:*") == []
    field.lab.worker("-c", "1")
    field.until(lambda: field.lab.runs("done", "e"))
    assert beat.end(signal.SIGTERM) == 0


@pytest.mark.parametrize("fetch", ["timeout", "lease"])
def test_a_tick_reaches_a_waiting_worker_of_either_transport(field: Field, fetch: str) -> None:
    field.lab.env["QUEUE_OR_TASK_FETCH"] = fetch
    app = field.app(e=(EVERY_S, {}))
    field.lab.worker("-c", "1")
    field.beat()
    field.until(lambda: len(field.lab.runs("done", "e")) >= 5)
    assert entry_of(app).last_run_at is not None


def test_an_entry_that_makes_no_sense_ends_the_beat_with_its_name(field: Field) -> None:
    field.app(e=(EVERY_S, {"overlap": "perhaps"}))
    beat = field.beat()
    assert beat.end(0) != 0
    assert "beat_schedule['e']: overlap is 'perhaps': expected one of skip, allow" in beat.output
