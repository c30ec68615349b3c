from __future__ import annotations

import asyncio
import errno
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
from scenarios.ledger import RESERVED_BYTES, Ledger, whole_lines

WRITER = """
import sys
from scenarios import ledger
print("writing", flush=True)
number = 0
while True:
    number += 1
    ledger.record("start", scenario="s", job=f"job-{number}", attempt=1)
"""

ANSWERING = """
import sys
from scenarios import ledger
for line in sys.stdin:
    ledger.record("accepted", scenario="s", job=line.strip())
    print(line, end="", flush=True)
"""


def read(folder: Path) -> list[dict[str, Any]]:
    lines = [line for path in folder.glob("events-*.jsonl") for line in whole_lines(path.read_bytes())]
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
    assert len(whole_lines((kept / f"events-{child.pid}.jsonl").read_bytes())) == 1


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


def test_a_killed_process_loses_no_line_but_the_one_that_it_was_writing(tmp_path: Path) -> None:
    """A line is one copy into memory; a kill may come amid it, before `record` has returned."""
    env = {**os.environ, "QUEUE_OR_TASK_LEDGER": str(tmp_path), "PYTHONPATH": str(Path.cwd())}
    with subprocess.Popen([sys.executable, "-c", WRITER], env=env, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        while len(read(tmp_path)) < 1_000:
            assert writer.poll() is None
            time.sleep(0.005)
        writer.send_signal(signal.SIGKILL)
    [path] = tmp_path.iterdir()
    *_, cut = path.read_bytes().rstrip(b"\0").split(b"\n")
    assert cut == b"" or b'{"t": '.startswith(cut[:6])
    jobs = [event["job"] for event in read(tmp_path)]
    assert jobs == [f"job-{number + 1}" for number in range(len(jobs))]


def test_a_killed_process_has_recorded_what_it_told_of_in_time(tmp_path: Path) -> None:
    """What is recorded before a step is answered is there once the answer was seen, whatever comes next."""
    env = {**os.environ, "QUEUE_OR_TASK_LEDGER": str(tmp_path), "PYTHONPATH": str(Path.cwd())}
    with subprocess.Popen(
        [sys.executable, "-c", ANSWERING], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as asked:
        assert asked.stdin is not None
        assert asked.stdout is not None
        for number in range(2_000):
            asked.stdin.write(f"job-{number}\n")
            asked.stdin.flush()
            assert asked.stdout.readline() == f"job-{number}\n"
            if number % 400 == 0:
                assert read(tmp_path)[-1]["job"] == f"job-{number}"
        asked.send_signal(signal.SIGKILL)
    assert [event["job"] for event in read(tmp_path)] == [f"job-{number}" for number in range(2_000)]


def test_a_process_that_ends_gives_back_the_room_that_it_reserved(tmp_path: Path) -> None:
    env = {**os.environ, "QUEUE_OR_TASK_LEDGER": str(tmp_path)}
    code = "from scenarios import ledger; ledger.record('start', scenario='s', job='j')"
    subprocess.run([sys.executable, "-c", code], env=env, check=True)
    [path] = tmp_path.iterdir()
    [line] = path.read_text().splitlines()
    assert json.loads(line)["job"] == "j"


def test_a_second_ledger_of_the_process_in_the_folder_has_a_file_of_its_own(tmp_path: Path) -> None:
    for job in ("one", "two"):
        Ledger(tmp_path, {}).record("start", job=job)
    pid = os.getpid()
    assert {path.name for path in tmp_path.iterdir()} == {f"events-{pid}.jsonl", f"events-{pid}-2.jsonl"}
    assert {event["job"] for event in read(tmp_path)} == {"one", "two"}


def test_an_event_after_the_close_is_kept(tmp_path: Path) -> None:
    kept = Ledger(tmp_path, {})
    for job in ("one", "two"):
        kept.record("start", job=job)
        kept.close()
    assert {event["job"] for event in read(tmp_path)} == {"one", "two"}


@pytest.mark.parametrize("size", [10, 1_000, RESERVED_BYTES - 200, RESERVED_BYTES, 3 * RESERVED_BYTES])
def test_lines_of_every_size_are_kept_whole_and_in_their_order(tmp_path: Path, size: int) -> None:
    kept = Ledger(tmp_path, {"run": "r"})
    for number in range(10):
        kept.record("failed", t=number, error="é\n\0" + "x" * (size - number))
    kept.close()
    assert [event["t"] for event in read(tmp_path)] == list(range(10))
    assert {len(event["error"]) - size + event["t"] for event in read(tmp_path)} == {3}


@pytest.mark.parametrize("value", [None, True, 1, 1.5, 'é\n\\"', [1], {"a": None}])
def test_every_kind_of_field_is_read_back_as_it_was(kept: Path, value: Any) -> None:
    ledger.record("start", scenario="s", job="j", attempt=1, where=value)
    ledger.record("failed", scenario="s", job="j", where=value)
    assert [event["where"] for event in read(kept)] == [value, value]
    assert [event.get("attempt") for event in read(kept)] == [1, None]


def test_a_full_disk_is_an_error_and_no_crash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space left"):
        Ledger(tmp_path, {}).record("start", job="j")
