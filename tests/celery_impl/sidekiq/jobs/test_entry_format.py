from __future__ import annotations

import json
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celery_impl.sidekiq.jobs import malformed
from celery_impl.sidekiq.jobs.entry_format import (
    MESSAGE_LIMIT,
    DeadJob,
    UnreadableError,
    entry,
    failure,
    queue_name,
    split,
    stand_in_id,
)

JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists)


@given(key=st.text().filter(lambda key: "\n" not in key), message=st.text())
def test_what_is_written_is_read(key: str, message: str) -> None:
    assert split(entry(key, message)) == (key, message)


@given(args=st.lists(JSON), text=st.text(), at=st.floats(0, 2**40))
def test_a_grave_that_is_written_is_read(args: list[object], text: str, at: float) -> None:
    dead_job = DeadJob(
        id=text,
        task=text,
        args=args,
        kwargs={"key": args},
        queue=text,
        retries=3,
        error_class="E",
        error_message=text,
        failed_at=at,
        buried_at=at,
        message=text,
    )
    assert DeadJob.loads(dead_job.dumps()) == dead_job


def test_arguments_that_json_does_not_know_are_shown_as_text() -> None:
    known = asdict(malformed.dead_job(b"x", "q", "no"))
    assert DeadJob.loads(DeadJob(**{**known, "args": [{1}]}).dumps()).args == ["{1}"]


@pytest.mark.parametrize(
    "member", ["", "celery", "celery\n{}", "v1\ncelery", "v\nq\n{}", "vx\nq\n{}", f"v{10**20}\nq\n{{}}"]
)
def test_a_corrupt_entry_is_told_as_such(member: str) -> None:
    with pytest.raises(UnreadableError, match=r"corrupt.*stays here"):
        split(member)


@pytest.mark.parametrize(
    "member", ["", "{", "[]", "{}", '{"v": 1}', '{"v": null}', "[" * 100_000, '"v"', "7"]
)
def test_a_corrupt_grave_is_told_as_such(member: str) -> None:
    with pytest.raises(UnreadableError, match=r"corrupt.*stays here"):
        DeadJob.loads(member)


def test_what_a_newer_version_wrote_is_told_with_what_to_do() -> None:
    with pytest.raises(UnreadableError, match=r"version 2 .* knows 1: upgrade"):
        split("v2\na layout of its own")
    with pytest.raises(UnreadableError, match=r"version 7 .* knows 1: upgrade"):
        DeadJob.loads(json.dumps({"v": 7, "anything": "else"}))


def test_the_first_failure_is_remembered_and_the_message_cut() -> None:
    first = failure(ValueError("a" * 20_000), now=5.0)
    assert (first["error_class"], len(first["error_message"])) == ("ValueError", MESSAGE_LIMIT)
    assert (first["failed_at"], first["retried_at"]) == (5.0, None)
    second = failure(KeyError("b"), now=9.0, before=first)
    assert (second["error_class"], second["failed_at"], second["retried_at"]) == ("KeyError", 5.0, 9.0)


def test_a_queues_name_has_no_priority() -> None:
    assert (queue_name("q\x06\x163"), queue_name("q")) == ("q", "q")


@given(st.binary() | st.just(b"[" * 100_000))
def test_no_bytes_are_too_strange_to_be_told_from_a_message(item: bytes) -> None:
    reason = malformed.problem(item)
    assert reason
    assert DeadJob.loads(malformed.dead_job(item, "q", reason).dumps()).error_message == reason


def test_what_has_no_id_has_the_same_stand_in_each_time() -> None:
    assert stand_in_id("a") == stand_in_id("a") != stand_in_id("b")
