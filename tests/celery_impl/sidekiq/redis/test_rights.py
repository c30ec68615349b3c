"""Users of the broker with few rights, and a broker that takes no writes for a while."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from celery_impl.sidekiq.api import DeadSet, Stats

DOCS = Path(__file__).parents[4] / "docs" / "sidekiq.md"


@pytest.fixture
def as_user(lab: Any) -> Iterator[Callable[..., Any]]:
    """The sample app over the lease transport, as a user with these rights."""

    def sample(*rules: str) -> Any:
        lab.redis.execute_command("ACL", "SETUSER", "app", "reset", "on", ">secret", *rules)
        return lab.sample(REDIS_URL="lease+" + lab.broker.url.replace("//", "//app:secret@"))

    yield sample
    lab.redis.execute_command("ACL", "DELUSER", "app")


def test_the_rights_that_the_page_lists_are_enough(lab: Any, as_user: Callable[..., Any]) -> None:
    """Except for `CONFIG GET`, which is used where it is allowed."""
    [rules] = re.findall(r"^ACL SETUSER app on >secret (.*)$", DOCS.read_text(), re.MULTILINE)
    sample = as_user(*rules.split())
    worker = lab.worker("--concurrency", "1")
    sample.note.delay("now")
    sample.note.apply_async(("later",), countdown=0.5)
    sample.fail_once_and_for_all.delay("failing")
    sample.fail.apply_async(("dead",), retries=25)

    lab.eventually(lambda: lab.runs("done", "now") and lab.runs("done", "later"))
    lab.eventually(lambda: DeadSet(sample.app).size() == 1, within_s=10.0)
    assert Stats.of(sample.app).workers == 1
    assert lab.eventually(lambda: sample.app.control.ping(timeout=1.0, limit=1))
    assert "NOPERM" not in worker.output


def test_a_user_without_client_reply_sends_and_acknowledges(lab: Any, as_user: Callable[..., Any]) -> None:
    """Of two answers one was never read, and the next command got it."""
    sample = as_user("~*", "&*", "+@all", "-client|reply")
    for number in range(20):
        sample.note.delay(f"job{number}")
    assert lab.redis.llen("celery") == 20

    lab.worker("--concurrency", "1")

    lab.eventually(lambda: all(lab.runs("done", f"job{number}") for number in range(20)))
    lab.eventually(lambda: not [*lab.redis.scan_iter("sidekiq:lease:held:*")])
    assert [len(lab.runs("start", f"job{number}")) for number in range(20)] == [1] * 20


@pytest.mark.parametrize(
    ("rules", "named"),
    [
        (("~celery*", "~_kombu*", "&*", "+@all"), "the keys sidekiq:*"),
        (("~*", "&*", "+@all", "-evalsha"), "evalsha"),
    ],
)
def test_a_worker_names_the_right_that_is_missing_and_where_all_are_listed(
    lab: Any, as_user: Callable[..., Any], rules: tuple[str, ...], named: str
) -> None:
    as_user(*rules)
    worker = lab.start("--concurrency", "1")

    lab.eventually(lambda: "NOPERM" in worker.output)
    [line, *_] = [line for line in worker.output.splitlines() if "NOPERM" in line]
    assert named in line
    assert "docs/sidekiq.md" in line


def test_a_caller_without_a_right_is_told_so(as_user: Callable[..., Any]) -> None:
    sample = as_user("~_kombu*", "~sidekiq*", "&*", "+@all")
    with pytest.raises(Exception, match=r"NOPERM.*docs/sidekiq\.md"):
        sample.note.delay("a")


def test_a_broker_that_takes_no_writes_for_a_while_is_waited_for(lab: Any) -> None:
    """As a replica that was the server before, until it is that again."""
    sample = lab.sample(REDIS_URL=f"lease+{lab.broker.url}")
    running = lab.worker("--concurrency", "1")
    sample.wait.delay("a")
    lab.eventually(lambda: lab.runs("start", "a"))
    lab.redis.execute_command("REPLICAOF", "127.0.0.1", "1")
    try:
        starting = lab.start("--concurrency", "1", "--queues", "celery")
        with pytest.raises(sample.note.OperationalError, match="takes no writes now"):
            sample.note.delay("refused")
        (lab.folder / "go-a").touch()
        lab.eventually(lambda: lab.runs("done", "a"))
        began = time.monotonic()
        lab.eventually(lambda: running.ended or starting.ended or time.monotonic() - began > 5.0)
    finally:
        lab.redis.execute_command("REPLICAOF", "NO", "ONE")

    assert not running.ended, running.output
    assert not starting.ended, starting.output
    sample.note.delay("b")
    lab.eventually(lambda: lab.runs("done", "b"))
    lab.eventually(lambda: not [*lab.redis.scan_iter("sidekiq:lease:held:*")])
    assert len(lab.runs("start", "a")) == 1
