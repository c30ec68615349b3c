from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from scenarios import ledger
from scenarios.ledger import Ledger

WRITER = """
import sys
from scenarios import ledger
print("writing", flush=True)
number = 0
while True:
    number += 1
    ledger.record("start", scenario="s", job=f"job-{number}", attempt=1)
"""


def read(folder: Path) -> list[dict[str, Any]]:
    lines = [line for path in folder.glob("events-*.jsonl") for line in path.read_text().splitlines()]
    return [json.loads(line) for line in lines]


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This process keeps a ledger in the folder for the length of the test."""
    made = Ledger(tmp_path, {"run": "r", "side": "inline"})
    monkeypatch.setattr(ledger, "_ledger", made)
    return tmp_path


def test_an_event_carries_its_fields_its_context_and_a_monotonic_time(kept: Path) -> None:
    before = time.monotonic_ns()
    ledger.record("submit", scenario="s", job='u"1"/crm')
    ledger.record("due", t=5)
    first, second = read(kept)
    assert before <= first.pop("t") <= time.monotonic_ns()
    assert first == {"event": "submit", "scenario": "s", "job": 'u"1"/crm', "run": "r", "side": "inline"}
    assert second == {"t": 5, "event": "due", "run": "r", "side": "inline"}


def test_an_attempt_is_done_where_it_did_not_fail_and_says_so_where_it_raised(kept: Path) -> None:
    with ledger.attempt("s", "good", 2):
        pass
    with pytest.raises(ValueError, match="bad"), ledger.attempt("s", "bad"):
        raise ValueError("bad")
    told = [(event["event"], event["job"], event["attempt"]) for event in read(kept)]
    assert told == [("start", "good", 2), ("done", "good", 2), ("start", "bad", 1), ("raised", "bad", 1)]


def test_an_attempt_that_is_cancelled_says_so_and_stays_cancelled(kept: Path) -> None:
    async def cancelled() -> None:
        started = asyncio.Event()

        async def work() -> None:
            with ledger.attempt("s", "job"):
                started.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(work())
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert [event["event"] for event in read(kept)] == ["start", "cancelled"]


def test_a_failure_says_where_a_person_finds_it_and_its_text_is_cut(kept: Path) -> None:
    ledger.failed("s", "job", where="dead set", error=ValueError("x" * 500))
    [event] = read(kept)
    assert (event["event"], event["where"], event["error"]) == ("failed", "dead set", "x" * 200)


def test_nothing_is_kept_where_no_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "_ledger", None)
    monkeypatch.chdir(tmp_path)
    ledger.record("submit", job="job")
    assert list(tmp_path.iterdir()) == []


def test_a_forked_child_writes_to_a_file_of_its_own(kept: Path) -> None:
    ledger.record("submit", job="parent")
    child = multiprocessing.get_context("fork").Process(target=ledger.record, args=("submit",))
    child.start()
    child.join()
    assert {path.name for path in kept.iterdir()} == {
        f"events-{os.getpid()}.jsonl",
        f"events-{child.pid}.jsonl",
    }
    assert len((kept / f"events-{child.pid}.jsonl").read_text().splitlines()) == 1


def test_threads_never_cut_each_others_lines(kept: Path) -> None:
    def write(name: str) -> None:
        for number in range(500):
            ledger.record("start", job=f"{name}-{number}", text="x" * 300)

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {event["job"] for event in read(kept)} == {f"{n}-{i}" for n in "abcd" for i in range(500)}


def test_a_killed_process_loses_no_line_and_leaves_none_cut(tmp_path: Path) -> None:
    env = {**os.environ, "QUEUE_OR_TASK_LEDGER": str(tmp_path), "PYTHONPATH": str(Path.cwd())}
    with subprocess.Popen([sys.executable, "-c", WRITER], env=env, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        while not any(path.stat().st_size > 100_000 for path in tmp_path.iterdir()):
            assert writer.poll() is None
            time.sleep(0.005)
        writer.send_signal(signal.SIGKILL)
    [path] = tmp_path.iterdir()
    assert path.read_text().endswith("\n")
    assert [event["job"] for event in read(tmp_path)] == [f"job-{n + 1}" for n in range(len(read(tmp_path)))]
