"""What waits in a journal is handed over to Celery, with a kill in between: real brokers, a real worker."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery

from inprocess.journal import Journal, durable, task
from queue_or_task import handover

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PATIENCE_S = 60.0
COMMAND = (
    f"import sys; sys.path[:0] = [{str(ROOT)!r}, {str(HERE)!r}]; import queue_or_task; queue_or_task.main()"
)
#: Jobs that are moved at once, and the one after which the process is killed.
BATCH = 5
KILL_AT = 8


@pytest.fixture(autouse=True)
def _tasks_of_a_test_are_forgotten() -> Iterator[None]:
    tasks = dict(task._tasks)
    yield
    task._tasks.clear()
    task._tasks.update(tasks)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    made = Journal(f"sqlite:///{tmp_path / 'app.db'}")
    yield made
    made.close()


def filled(journal: Journal) -> dict[str, str]:
    """Enqueue jobs, some for later; return the id of each by its name."""

    @durable(name="shop.pay")
    def pay(name: str) -> None: ...

    @durable(name="shop.ship")
    async def ship(name: str) -> None: ...

    async def enqueue() -> dict[str, str]:
        ids = {}
        for number in range(10):
            delay_s = 3600 if number % 5 == 4 else None
            sent = await pay.enqueue(f"pay {number}", journal=journal, delay_s=delay_s)
            ids[f"pay {number}"] = sent.id
        ids["fails once"] = (await pay.enqueue("fails once", journal=journal)).id
        ids["ship"] = (await ship.enqueue("ship", journal=journal)).id
        return ids

    return asyncio.run(enqueue())


def move(journal: Journal, broker: str, log: Path, **env: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable, "-c", COMMAND, "journal", "--url", journal.url,
        "move", "--to", "celery", "--app", "shop_app:app", "--batch", str(BATCH), "--json",
    ]  # fmt: skip
    env = {**os.environ, "BROKER": broker, "LOG": str(log), **env}
    return subprocess.run(
        command, check=False, timeout=PATIENCE_S, cwd=HERE, env=env, capture_output=True, text=True
    )


def test_a_move_that_is_killed_loses_nothing_and_doubles_nothing_on_redis(
    journal: Journal, broker: Any, tmp_path: Path
) -> None:
    ids = filled(journal)
    assert move(journal, broker.url, tmp_path / "log", KILL_AT=str(KILL_AT)).returncode == -signal.SIGKILL
    assert journal.moving.size() == BATCH
    done = move(journal, broker.url, tmp_path / "log")
    assert (done.returncode, done.stderr) == (0, "") or "SQLite" in done.stderr, done.stderr
    assert json.loads(done.stdout) == {"sent": len(ids) - KILL_AT, "had": KILL_AT - BATCH, "left": {}}
    with redis.Redis.from_url(broker.url) as client:
        sent = [json.loads(message)["headers"]["id"] for message in client.lrange("celery", 0, -1)]
    assert Counter(sent) == Counter(ids.values())
    assert journal.stats().waiting == journal.stats().scheduled == journal.stats().moving == 0


def test_jobs_run_in_a_worker_with_the_same_id_and_count_attempts(
    journal: Journal, broker: Any, tmp_path: Path
) -> None:
    ids, log = filled(journal), tmp_path / "log"
    assert move(journal, broker.url, log).returncode == 0
    env = {**os.environ, "BROKER": broker.url, "LOG": str(log), "PYTHONPATH": f"{ROOT}:{HERE}"}
    command = [sys.executable, "-m", "celery", "-A", "shop_app", "worker", "-P", "solo", "--without-mingle"]
    with (tmp_path / "worker.log").open("wb") as output:
        worker = subprocess.Popen(command, cwd=HERE, env=env, stdout=output, stderr=output)
    try:
        due = {name for name in ids if name not in {"pay 4", "pay 9"}}
        deadline = time.monotonic() + PATIENCE_S
        while len(found := log.read_text().splitlines() if log.exists() else []) < len(due) + 1:
            assert time.monotonic() < deadline, (tmp_path / "worker.log").read_text()
            time.sleep(0.05)
    finally:
        worker.kill()
        worker.wait()
    expected = [f"{name} {ids[name]} 1" for name in due] + [f"fails once {ids['fails once']} 2"]
    assert sorted(found) == sorted(expected)


@pytest.mark.slow
def test_a_move_that_is_killed_doubles_at_most_its_batch_on_rabbitmq(
    journal: Journal, rabbitmq: Any, tmp_path: Path
) -> None:
    ids = filled(journal)
    assert move(journal, rabbitmq.url, tmp_path / "log", KILL_AT=str(KILL_AT)).returncode == -signal.SIGKILL
    done = move(journal, rabbitmq.url, tmp_path / "log")
    assert done.returncode == 0, done.stderr
    app = Celery("reader", broker=rabbitmq.url, set_as_current=False)
    sent = []
    with app.connection_for_read() as connection, connection.channel() as channel:
        queue = app.amqp.queues["celery"].bind(channel)
        while (message := queue.get(no_ack=True)) is not None:
            sent.append(message.headers["id"])
    assert set(sent) == set(ids.values())
    assert len(sent) - len(ids) <= BATCH


def test_a_broker_that_is_away_leaves_everything_in_the_journal(journal: Journal, tmp_path: Path) -> None:
    ids = filled(journal)
    done = move(journal, "redis://127.0.0.1:1/0", tmp_path / "log")
    assert done.returncode == 1
    assert "run this again" in done.stderr
    assert journal.waiting.size() + journal.scheduled.size() == len(ids)


def test_what_is_wrong_with_the_app_is_said_in_one_line(journal: Journal) -> None:
    filled(journal)
    command = [sys.executable, "-c", COMMAND, "journal", "--url", journal.url, "move", "--to", "celery"]
    done = subprocess.run(
        [*command, "--app", "no_such_module:app"], check=False, cwd=HERE, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "no_such_module" in done.stderr.splitlines()[-1]


def test_a_task_of_another_kind_under_the_name_is_refused() -> None:
    app: Any = Celery("shop", set_as_current=False)
    app.task(filled, name="shop.pay", shared=False)

    @durable(name="shop.pay")
    def pay(name: str) -> None: ...

    with pytest.raises(ValueError, match=r"shop\.pay"):
        handover.register(app, pay)
