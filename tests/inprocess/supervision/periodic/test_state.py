"""A server that keeps its last tick: over restarts of the process, of the machine's clock, of the disk."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inprocess import (
    FileTickStore,
    Misfire,
    Periodic,
    SqliteTickStore,
    TaskSupervisor,
    TickCounts,
    TickStore,
    drain,
    wall_origin,
)
from inprocess.supervision.periodic.policies import CATCH_UP_MAX
from inprocess.supervision.periodic.tick_store import wait_until_saved
from inprocess.testing import FakeClock, settle
from tests.inprocess.programs import run_program

#: A moment of the wall clock, s.
WALL = 1_800_000_000.0
Make = Callable[[Path], TickStore]
STORES: list[Make] = [
    lambda folder: FileTickStore(folder / "ticks.json"),
    lambda folder: SqliteTickStore(folder / "ticks.db"),
]


class Memory:
    """A store that a test can look into."""

    def __init__(self) -> None:
        self.moments: dict[str, float] = {}

    def load(self, name: str) -> float | None:
        return self.moments.get(name)

    def save(self, name: str, moment: float) -> None:
        self.moments[name] = moment


class Lives:
    """One process after another: each with clocks of its own, and the wall clock of all of them."""

    def __init__(self, store: TickStore, *, interval_s: float = 10.0, misfire: Misfire = "skip") -> None:
        self.store, self.interval_s, self.misfire = store, interval_s, misfire
        self.wall = WALL
        self.runs: list[float] = []
        self.counts: list[TickCounts] = []

    def live(self, seconds: float, *, then_down: float = 0.0) -> None:
        """Run the server for so long, end it, and stay down for so long."""
        asyncio.run(self._live(seconds))
        self.wall += seconds + then_down

    async def _live(self, seconds: float) -> None:
        clock = FakeClock(len(self.counts) * 1e5)  # a monotonic clock starts anywhere
        clock.set_wall(self.wall)

        async def work() -> None:
            self.runs.append(round(clock.wall() - WALL, 3))

        async with TaskSupervisor.start() as tasks:
            server = Periodic.start(
                lambda: tasks.start_child(work),
                interval_s=self.interval_s,
                misfire=self.misfire,
                state=self.store,
                name="report",
                clock=clock,
            )
            await clock.advance(seconds)
            await settle(2 * CATCH_UP_MAX if self.misfire == "catch_up" else 1)
            self.counts.append(server.counts)
            await server.stop()
        assert wait_until_saved()


def test_an_interval_longer_than_each_process_lives_is_kept() -> None:
    lives = Lives(Memory())
    for _ in range(10):
        lives.live(4.0)
    assert lives.runs == [10.0, 20.0, 30.0, 40.0]


def test_without_it_such_a_server_never_runs_and_says_so_where_the_interval_is_long(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        clock = FakeClock()
        async with Periodic.start(lambda: None, interval_s=90_001.0, clock=clock) as server:
            await clock.advance(4.0)
            assert server.counts.runs == 0
        async with Periodic.start(lambda: None, interval_s=90_001.0, clock=clock):
            pass

    asyncio.run(main())
    (said,) = [record.message for record in caplog.records if "state=" in record.message]
    assert said == (
        "a Periodic with an interval of 90001 s keeps no last tick, so the interval begins anew with each "
        "start of the process: give it state=FileTickStore(path), unless the process lives longer"
    )


@pytest.mark.parametrize(
    ("misfire", "runs", "misfires"), [("skip", 1, 3), ("coalesce", 1, 3), ("catch_up", 4, 0)]
)
def test_what_came_due_while_no_process_ran_is_counted_and_served_by_the_policy(
    misfire: Misfire, runs: int, misfires: int
) -> None:
    lives = Lives(Memory(), misfire=misfire)
    lives.live(12.0, then_down=35.0)  # ran at 10; 20, 30 and 40 went by
    lives.live(4.0)  # 47 to 51: begins late, and is on its grid at 50
    assert lives.runs == [10.0, *[47.0] * min(runs, 3), 50.0]
    assert lives.counts[1].misfires == misfires - 1 if misfires else lives.counts[1].misfires == 0


def test_a_catch_up_is_bounded() -> None:
    lives = Lives(Memory(), interval_s=1.0, misfire="catch_up")
    lives.live(1.5, then_down=5000.0)
    lives.live(0.1)
    assert lives.counts[1].runs == CATCH_UP_MAX
    assert lives.counts[1].misfires == 5000 - CATCH_UP_MAX


@settings(max_examples=60, deadline=None)
@given(spans=st.lists(st.tuples(st.floats(0.5, 40.0), st.floats(0.0, 60.0)), min_size=1, max_size=8))
def test_over_any_lives_each_tick_is_run_or_counted_once_and_the_grid_stays(
    spans: list[tuple[float, float]],
) -> None:
    lives = Lives(Memory())
    for seconds, down in spans:
        lives.live(round(seconds, 2) + 0.003, then_down=round(down, 2))
    end = lives.wall - WALL - round(spans[-1][1], 2)
    total = sum(counts.runs + counts.misfires for counts in lives.counts)
    assert total == int(end // 10)
    on_time = [run for run in lives.runs if run % 10 < 0.01]
    assert all(run >= 10 for run in on_time)


@pytest.mark.parametrize("make", STORES)
def test_each_store_keeps_each_name_apart_and_gives_back_what_it_was_given(
    make: Make, tmp_path: Path
) -> None:
    store = make(tmp_path)
    assert store.load("a") is None
    store.save("a", 1.5)
    store.save("b/ü", WALL)
    store.save("a", 2.25)
    assert (make(tmp_path).load("a"), make(tmp_path).load("b/ü")) == (2.25, WALL)
    assert make(tmp_path) == store
    assert hash(make(tmp_path)) == hash(store)


@pytest.mark.parametrize("make", STORES)
def test_many_processes_share_a_store_without_losing_each_others_ticks(make: Make, tmp_path: Path) -> None:
    code = """
        import sys
        from pathlib import Path
        from threading import Thread
        from inprocess import FileTickStore, SqliteTickStore
        kind, path, name = sys.argv[1:]
        store = {"FileTickStore": FileTickStore, "SqliteTickStore": SqliteTickStore}[kind](path)
        def save(n):
            for k in range(20):
                store.save(f"{name}-{n}", float(k))
        threads = [Thread(target=save, args=(n,)) for n in range(3)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
    """
    store = make(tmp_path)
    with ThreadPoolExecutor(3) as pool:
        ended = list(
            pool.map(lambda n: run_program(code, type(store).__name__, str(store.path), f"p{n}"), range(3))  # type: ignore[attr-defined]
        )
    assert [one.stderr for one in ended] == ["", "", ""]
    assert [store.load(f"p{p}-{n}") for p in range(3) for n in range(3)] == [19.0] * 9


def test_a_file_of_something_else_is_set_aside_and_the_server_begins_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "ticks.json"
    for text in ("{", "[1]", '{"report": 5}', "\0\1\2", '{"report": "soon"}'):
        path.write_text(text)
        store = FileTickStore(path)
        assert store.load("report") is None
        assert (tmp_path / "ticks.json.unreadable").read_text() == text
        store.save("report", WALL)
        assert store.load("report") == WALL
    assert "was set aside as" in caplog.text
    assert json.loads(path.read_text()) == {"report": "2027-01-15T08:00:00+00:00"}


def test_a_store_that_cannot_be_read_is_an_error_at_the_start(tmp_path: Path) -> None:
    async def main() -> None:
        with pytest.raises(NotADirectoryError):
            Periodic.start(
                lambda: None, interval_s=1.0, state=FileTickStore(tmp_path / "file" / "x"), name="r"
            )
        (tmp_path / "no.db").write_text("this is no database" * 100)
        with pytest.raises(sqlite3.DatabaseError):
            Periodic.start(lambda: None, interval_s=1.0, state=SqliteTickStore(tmp_path / "no.db"), name="r")

    (tmp_path / "file").write_text("")
    asyncio.run(main())


def test_a_tick_that_cannot_be_saved_is_logged_once_and_runs_all_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    lives = Lives(FileTickStore(folder / "ticks.json"))
    folder.rmdir()
    lives.live(35.0)
    assert lives.runs == [10.0, 20.0, 30.0]
    said = [record.message for record in caplog.records]
    assert len(said) == 1
    assert "the tick of report cannot be saved in FileTickStore" in said[0]


def test_a_disk_that_hangs_holds_up_neither_the_loop_nor_the_runs() -> None:
    class Slow(Memory):
        def save(self, name: str, moment: float) -> None:
            time.sleep(0.3)
            super().save(name, moment)

    async def main() -> None:
        runs: list[float] = []
        store = Slow()
        server = Periodic.start(lambda: runs.append(1), interval_s=0.02, state=store, name="report")
        began = time.monotonic()
        while len(runs) < 5:  # noqa: ASYNC110 - nothing tells when a run came
            await asyncio.sleep(0.005)
        assert time.monotonic() - began < 10
        assert len(store.moments) <= 1
        await drain(server, grace_s=5.0)  # waits for the last one
        last = store.moments["report"]
        assert time.time() - last < 5

    asyncio.run(main())
    assert wait_until_saved()


def test_a_clock_that_was_wrong_does_not_silence_the_server_for_years(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = Memory()
    store.moments["report"] = WALL + 1e8
    lives = Lives(store)
    lives.live(11.0)
    assert lives.runs == [10.0]
    assert "in the future" in caplog.text


def test_with_a_grid_of_its_own_it_goes_on_there_and_knows_what_it_missed() -> None:
    store, runs = Memory(), []

    async def live(wall: float, seconds: float) -> TickCounts:
        clock = FakeClock(50.0)
        clock.set_wall(wall)
        t0 = wall_origin(10.0, monotonic=clock.monotonic(), wall=wall)
        server = Periodic.start(
            lambda: runs.append(round(clock.wall() - WALL)),
            interval_s=10.0,
            t0=t0,
            state=store,
            name="report",
            clock=clock,
        )
        await clock.advance(seconds)
        await server.stop()
        return server.counts

    asyncio.run(live(WALL + 3, 4.0))
    assert runs == []
    wait_until_saved()
    assert asyncio.run(live(WALL + 38, 4.0)) == TickCounts(runs=2, misfires=2)  # 10 and 20; 30 late, 40
    assert runs == [38, 40]


def test_a_server_that_its_supervisor_restarts_at_once_does_not_repeat_its_tick() -> None:
    class Slow(Memory):
        def save(self, name: str, moment: float) -> None:
            time.sleep(0.05)
            super().save(name, moment)

    async def main() -> None:
        clock, store, runs = FakeClock(), Slow(), []
        for _ in range(3):
            server = Periodic.start(
                lambda: runs.append(clock.now), interval_s=10.0, state=store, name="report", clock=clock
            )
            await clock.advance(10.0)
            server.kill()
        assert runs == [1010.0, 1020.0, 1030.0]

    asyncio.run(main())
    wait_until_saved()


def test_the_options_that_do_not_go_together_are_refused() -> None:
    class Never:
        def next_after(self, _moment: float) -> float:
            return float("inf")

    async def main() -> None:
        with pytest.raises(ValueError, match="state= needs a name="):
            Periodic.start(lambda: None, interval_s=1.0, state=Memory())
        with pytest.raises(ValueError, match="either interval_s= or schedule="):
            Periodic.start(lambda: None)
        with pytest.raises(ValueError, match="either interval_s= or schedule="):
            Periodic.start(lambda: None, interval_s=1.0, schedule=Never())
        with pytest.raises(ValueError, match="t0= belongs to an interval"):
            Periodic.start(lambda: None, schedule=Never(), t0=1.0)
        with pytest.raises(ValueError, match="the interval is inf s"):
            Periodic.start(lambda: None, interval_s=float("inf"))
        with pytest.raises(ValueError, match="the interval is 0 s"):
            Periodic.start(lambda: None, interval_s=0, state=Memory(), name="r")

    asyncio.run(main())


def test_a_kill_of_the_process_keeps_the_tick(tmp_path: Path) -> None:
    """A real process, killed between two ticks of half a second, again and again."""
    code = """
        import asyncio, os, signal, sys, time
        from inprocess import FileTickStore, Periodic, TaskSupervisor

        async def work():
            with open(sys.argv[2], "a") as file:
                file.write(f"{time.time()}\\n")

        async def main():
            tasks = TaskSupervisor.start()
            Periodic.start(lambda: tasks.start_child(work), interval_s=1.5, misfire="coalesce",
                           state=FileTickStore(sys.argv[1]), name="report")
            await asyncio.sleep(0.8)
            os.kill(os.getpid(), signal.SIGKILL)

        asyncio.run(main())
    """
    runs = tmp_path / "runs"
    began = time.time()
    for _ in range(5):
        ended = run_program(code, str(tmp_path / "ticks.json"), str(runs))
        assert ended.returncode == -9, ended.stderr
    moments = [float(line) for line in runs.read_text().split()]
    assert 2 <= len(moments) <= (time.time() - began) / 1.5
    saved = FileTickStore(tmp_path / "ticks.json").load("report")
    assert saved is not None
    assert saved <= moments[-1]


@pytest.fixture(autouse=True)
def _saved() -> Iterator[None]:
    yield
    assert wait_until_saved()
