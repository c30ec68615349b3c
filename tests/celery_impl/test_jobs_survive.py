from __future__ import annotations

import os
import signal
import time
from typing import Any

import pytest


def test_a_killed_child_runs_its_job_again_when_hardened(lab: Any) -> None:
    sample = lab.sample()
    lab.worker()
    sample.note.delay("a", 2.0)
    [(child, _)] = lab.eventually(lambda: lab.runs("start", "a"))

    os.kill(child, signal.SIGKILL)

    t = time.monotonic()
    lab.eventually(lambda: len(lab.runs("start", "a")) == 2)
    print("child recovery", time.monotonic() - t)
    lab.eventually(lambda: lab.runs("done", "a"))


def test_a_killed_childs_job_is_given_up_once_and_logged_when_stock(lab: Any) -> None:
    sample = lab.sample("stock")
    worker = lab.worker()
    sample.note.delay("a", 2.0)
    [(child, _)] = lab.eventually(lambda: lab.runs("start", "a"))

    os.kill(child, signal.SIGKILL)

    lab.eventually(lambda: "WorkerLostError" in worker.output)
    sample.note.delay("b")
    lab.eventually(lambda: lab.runs("done", "b"))
    assert len(lab.runs("start", "a")) == 1


def test_a_killed_workers_jobs_are_done_by_another_when_hardened(lab: Any) -> None:
    sample = lab.sample()
    first = lab.worker()
    for name in "abcd":
        sample.note.delay(name, 1.0)
    lab.eventually(lambda: lab.runs("start", "a") and lab.runs("start", "b"))

    first.kill()
    t = time.monotonic()
    lab.worker()

    lab.eventually(lambda: all(lab.runs("done", name) for name in "cd"))
    print("cd", time.monotonic() - t)
    lab.eventually(lambda: all(lab.runs("done", name) for name in "abcd"))
    print("worker recovery", time.monotonic() - t)


def test_a_killed_workers_jobs_stay_unacked_when_stock(lab: Any) -> None:
    sample = lab.sample("stock")
    first = lab.worker()
    for number in range(8):
        sample.note.delay(f"job{number}", 1.0)
    lab.eventually(lambda: lab.runs("done", "job1"))

    first.kill()
    lab.worker()
    lab.eventually(lambda: lab.redis.llen("celery") == 0)
    time.sleep(3)
    print(lab.redis.hlen("unacked"), lab.redis.llen("celery"), [len(lab.runs("done", f"job{n}")) for n in range(8)], [len(lab.runs("start", f"job{n}")) for n in range(8)])


def test_x_enqueue(lab: Any) -> None:
    for profile in ("hardened", "stock"):
        sample = lab.sample(profile)
        sample.note.delay("a")
        lab.broker.kill()
        for _ in range(3):
            t = time.monotonic()
            try: sample.note.delay("a")
            except Exception as e: print(profile, "refused", type(e), e, time.monotonic()-t)
        lab.broker.restart()
        t = time.monotonic()
        sample.note.delay("a"); print("restarted", time.monotonic()-t)
    sample = lab.sample("hardened")
    sample.note.delay("a")
    lab.broker.pause()
    for _ in range(3):
        t = time.monotonic()
        try: sample.note.delay("a")
        except Exception as e: print("hardened", "silent", type(e), e, time.monotonic()-t)
    sample = lab.sample("hardened")
    for _ in range(3):
        t = time.monotonic()
        try: sample.note.delay("a")
        except Exception as e: print("hardened", "silent fresh", type(e), e, time.monotonic()-t)
    lab.broker.resume()
    t = time.monotonic()
    sample.note.delay("a"); print("resumed", time.monotonic()-t)
