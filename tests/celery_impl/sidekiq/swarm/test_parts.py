"""What parent and children share: slots, buckets, and the line for commands."""

from __future__ import annotations

import os
import socket
import threading
from typing import Any

import pytest

from celery_impl.sidekiq.swarm import messages
from celery_impl.sidekiq.swarm.messages import Line, serve, tell_all
from celery_impl.sidekiq.swarm.rate_limits import BucketTable
from celery_impl.sidekiq.swarm.slots import _RUN, COPY_BYTES, NONE, Slot


def test_a_slot_tells_what_runs_and_what_ran_last() -> None:
    slot = Slot(["a"])
    assert (slot.run(), slot.begun, slot.holder, slot.ready) == (None, NONE, "", False)
    slot.fetches("me/1000")
    slot.begin(7, 1.5, soft=2.0, hard=3.0, copy=b"entry")
    slot.count("a")
    slot.count("of another")
    assert slot.run() == (7, 1.5, 2.0, 3.0, b"entry")
    slot.end(7)
    assert (slot.run(), slot.begun, slot.holder, slot.ready) == (None, 7, "me/1000", True)
    assert slot.counts() == {"a": 1, "": 1}


def test_a_record_that_was_half_written_at_the_kill_is_none() -> None:
    slot = Slot([])
    slot.begin(7, 1.5, soft=0, hard=0)
    _RUN.pack_into(slot._memory, 0, 9, 8, 2.0, 0.0, 0.0, 0, 8)
    assert slot.run() is None


def test_a_message_too_long_for_the_slot_is_left_out() -> None:
    slot = Slot([])
    slot.begin(1, 1.0, soft=0, hard=0, copy=b"x" * (COPY_BYTES + 1))
    run = slot.run()
    assert run is not None
    assert run.copy == b""


def test_two_processes_share_the_tokens_of_a_bucket() -> None:
    table = BucketTable(["a"])
    mine = table.bucket("a", 0.01)
    if not (child := os.fork()):
        os._exit(int(table.bucket("a", 0.01).can_consume(1)))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    assert not mine.can_consume(1)
    assert 50 < mine.expected_time(1) <= 100
    assert table.bucket("b", 0.01).can_consume(1)


def test_a_command_is_answered_and_the_end_of_the_line_noticed() -> None:
    ours, theirs = socket.socketpair()
    taken: list[Any] = []
    thread = threading.Thread(
        target=serve, args=(theirs, lambda name, options: taken.append((name, options)))
    )
    thread.start()
    tell_all([Line(ours)], "rate_limit", {"task_name": "a"})
    assert taken == [("rate_limit", {"task_name": "a"})]
    ours.close()
    thread.join()
    theirs.close()


def test_a_child_that_does_not_answer_delays_nobody_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "ANSWER_S", 0.1)
    ours, theirs = socket.socketpair()
    line = Line(ours)
    tell_all([line], "revoked", {"ids": []})
    assert line.is_open
    tell_all([line], "revoked", {"ids": ["x" * 1_000_000]})
    assert not line.is_open, "it cannot know the rest, so it is to stop"
    tell_all([line], "revoked", {"ids": []})
    theirs.close()
