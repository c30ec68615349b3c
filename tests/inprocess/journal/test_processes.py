"""A journal in several processes, some of which are killed; their jobs call a real service, which counts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench.soak.journal_service import Service
from bench.soak.journal_soak import Storm
from bench.world.postgres import PostgresServer
from inprocess.journal import Journal
from tests.inprocess.journal.conftest import PATIENCE_S, execute, the_server
from tests.inprocess.programs import run_program

ROOT = Path(__file__).parents[3]
#: Seconds within which the jobs of a dead process run elsewhere.
TAKEN_OVER_S = 5.0

PROGRAM = """
import asyncio, os, socket, sys, time
from inprocess import Backoff
from inprocess.journal import Journal, current_job, durable

port = int(sys.argv[2])

def say(event, name):
    with socket.create_connection(("127.0.0.1", port)) as service:
        service.sendall(f"{event} {name} {os.getpid()} {current_job().attempt}\\n".encode())
        assert service.recv(10) == b"ok\\n"

@durable(name="long")
async def long(name):
    say("run", name)
    await asyncio.sleep(3600)

@durable(name="short")
async def short(name, seconds=0.0):
    say("run", name)
    await asyncio.sleep(seconds)
    say("effect", name)

@durable(name="stubborn")
def stubborn(name):
    say("run", name)
    time.sleep(3600)

@durable(name="poison")
async def poison(name):
    say("run", name)
    await asyncio.sleep(0.1)
    os.kill(os.getpid(), 9)

async def main():
    journal = Journal(sys.argv[1], concurrency=int(sys.argv[3]))
    async with journal:
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)

asyncio.run(main())
"""

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def service() -> Iterator[Service]:
    with Service() as running:
        yield running


@pytest.fixture
def start(url: str, service: Service) -> Iterator[Start]:
    """Starts a process that runs the journal, until its standard input ends."""
    started: list[subprocess.Popen[str]] = []

    def start_one(concurrency: int = 100) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", textwrap.dedent(PROGRAM), url, str(service.port), str(concurrency)]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, encoding="utf-8"
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    yield start_one
    for process in started:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()


@pytest.fixture
def journal(url: str) -> Iterator[Journal]:
    made = Journal(url)
    made.open()
    yield made
    made.close()


def enqueue(journal: Journal, fn: str, *names: str, **kwargs: object) -> None:
    """Write jobs of a function that this process does not have."""
    from inprocess.journal.model import operations as op
    from inprocess.journal.model.job import NewJob, new_id, now_us

    for name in names:
        body = journal.codecs.dumps(fn, [name], kwargs)
        now = now_us()
        journal.ask(op.Enqueue(NewJob(new_id(), fn, "default", 0, None, body, None, 25, now, now)))


def wait(condition: Callable[[], object], seconds: float = PATIENCE_S) -> float:
    """Wait for a condition; return how long it took."""
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < seconds
        time.sleep(0.01)
    return time.monotonic() - begun


def test_the_jobs_of_a_killed_process_run_in_another_one(
    journal: Journal, service: Service, start: Start
) -> None:
    first = start()
    enqueue(journal, "long", "a", "b", "c")
    wait(lambda: len(service.of("run")) == 3)
    second = start()
    first.kill()
    first.wait()
    wait(lambda: len(service.of("run")) == 6, TAKEN_OVER_S)
    again = service.of("run")[3:]
    assert {call.pid for call in again} == {second.pid}
    assert {(call.name, call.attempt) for call in again} == {("a", 2), ("b", 2), ("c", 2)}
    assert {job.kills for job in journal.running} == {1}


def test_two_processes_share_the_work_and_run_each_job_once(
    journal: Journal, service: Service, start: Start
) -> None:
    processes = [start(4), start(4)]
    names = [str(number) for number in range(80)]
    enqueue(journal, "short", *names, seconds=0.05)
    wait(lambda: journal.done.size() == 80)
    assert sorted(call.name for call in service.of("effect")) == sorted(names)
    assert {call.pid for call in service.of("run")} == {process.pid for process in processes}


def test_a_job_that_kills_its_process_three_times_is_dead_and_its_neighbours_are_not(
    journal: Journal, service: Service, start: Start
) -> None:
    neighbours = [f"n{number}" for number in range(12)]
    enqueue(journal, "short", *neighbours, seconds=0.3)
    enqueue(journal, "poison", "bad")
    for _ in range(3):
        start().wait(PATIENCE_S)
    last = start()
    wait(lambda: journal.dead.size() == 1)
    (dead,) = journal.dead
    assert (dead.task, dead.kills) == ("poison", 3)
    assert dead.error == "its process ended while it ran: death 3, attempt 3 of 25"
    wait(lambda: journal.done.size() == len(neighbours))
    assert sorted(call.name for call in service.of("effect")) == sorted(neighbours)
    assert sum(call.name == "bad" for call in service.of("run")) == 3
    assert last.poll() is None


def test_suspects_run_one_at_a_time(journal: Journal, service: Service, start: Start) -> None:
    enqueue(journal, "short", *(str(number) for number in range(6)), seconds=0.1)
    execute(journal.url, "update journal_job set kills = 2")
    start()
    wait(lambda: journal.done.size() == 6)
    calls = [call.event for call in service.calls]
    assert calls == ["run", "effect"] * 6


@pytest.mark.parametrize("store", ["postgresql"])
def test_the_jobs_of_a_process_that_is_frozen_for_long_run_elsewhere_and_its_own_run_is_fenced(
    journal: Journal, service: Service, start: Start
) -> None:
    processes = [start(), start()]
    enqueue(journal, "short", "slow", seconds=2.0)
    wait(lambda: service.of("run"))
    first, second = sorted(processes, key=lambda process: process.pid != service.of("run")[0].pid)
    first.send_signal(signal.SIGSTOP)
    try:
        wait(lambda: len(service.of("effect")) == 1)  # nobody can tell whether the first one lives
        wait(lambda: journal.done.size() == 1)
    finally:
        first.send_signal(signal.SIGCONT)
    assert [call.pid for call in service.of("effect")] == [second.pid]
    (job,) = journal.done
    assert (job.attempt, job.kills) == (1, 0)  # nobody is to blame
    wait(lambda: len(service.of("effect")) == 2)
    assert journal.done.size() == 1


@pytest.mark.parametrize("store", ["sqlite"])
def test_a_frozen_process_keeps_its_jobs(journal: Journal, service: Service, start: Start) -> None:
    first = start()
    enqueue(journal, "short", "slow", seconds=1.0)
    wait(lambda: service.of("run"))
    start()
    first.send_signal(signal.SIGSTOP)
    try:
        time.sleep(3.0)  # three looks for dead holders
        assert len(service.of("run")) == 1
    finally:
        first.send_signal(signal.SIGCONT)
    wait(lambda: journal.done.size() == 1)
    assert len(service.of("run")) == 1


def ended_while_another_runs(
    kind: str, journal: Journal, service: Service, start: Start
) -> tuple[subprocess.Popen[str], subprocess.Popen[str]]:
    """End a process in good order during its job, and wait until a second one runs that job."""
    first = start()
    enqueue(journal, kind, "a")
    wait(lambda: service.of("run"))
    second = start()
    assert first.stdin is not None
    first.stdin.close()
    first.wait(PATIENCE_S)
    wait(lambda: len(service.of("run")) == 2)
    return first, second


def test_an_orderly_end_gives_back_at_once_and_without_blame(
    journal: Journal, service: Service, start: Start
) -> None:
    first, second = ended_while_another_runs("long", journal, service, start)
    assert [(call.pid, call.attempt) for call in service.of("run")] == [(first.pid, 1), (second.pid, 1)]
    assert [job.kills for job in journal.running] == [0]


@pytest.mark.slow
def test_a_thread_that_cannot_be_stopped_keeps_its_row_until_the_process_has_ended(
    journal: Journal, service: Service, start: Start
) -> None:
    # the interpreter of the first waits for the thread, for a time
    _, second = ended_while_another_runs("stubborn", journal, service, start)
    assert service.of("run")[1].pid == second.pid
    assert [job.kills for job in journal.running] == [0]


def test_a_fork_is_no_holder_and_opens_a_connection_of_its_own(url: str) -> None:
    code = f"""
    import asyncio, os, sys
    from inprocess.journal import Journal, durable

    @durable(name="short")
    async def nothing(): ...

    journal = Journal({url!r})

    async def main():
        await journal.start().ready()
        for _ in range(20):  # at whatever the writer does just then
            await nothing.enqueue()
            child = os.fork()
            if not child:
                nothing.enqueue_from_thread()
                assert journal.stats().waiting >= 0
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
        while journal.done.size() < 40:
            await asyncio.sleep(0.01)
        await journal._runner.stop()

    asyncio.run(main())
    """
    done = run_program(code)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def soak_url(store: str, tmp_path: Path) -> Iterator[str]:
    """The URL of a database of its own."""
    if store == "sqlite":
        yield f"sqlite:///{tmp_path}/soak.db"
        return
    the_server()  # or skip
    with PostgresServer() as server:
        yield server.url()


def test_a_few_kills_lose_nothing(tmp_path: Path, soak_url: str) -> None:
    result = Storm(tmp_path, soak_url, seed=os.getpid() % 1000).run(4)
    assert result.is_clean, result
    assert result.kills == 4


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("store", ["sqlite"])
def test_many_kills_lose_nothing(tmp_path: Path, soak_url: str) -> None:
    result = Storm(tmp_path, soak_url, seed=7).run(40)
    assert result.is_clean, result
