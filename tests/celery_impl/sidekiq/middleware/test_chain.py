"""The chains: their order and how it is changed, what a middleware may do, and who is told of its errors."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any

import pytest
from celery import Celery, chain, group
from celery.exceptions import Ignore
from kombu.exceptions import OperationalError

from celery_impl.sidekiq import KILL, Schedule, Sidekiq
from celery_impl.sidekiq.middleware import (
    CallNext,
    Deadline,
    Death,
    LocalBuffer,
    Middleware,
    MiddlewareError,
    OutgoingJob,
    RateLimit,
    Retry,
    RunningJob,
    StrictArguments,
    Unique,
)
from celery_impl.sidekiq.testing import Jobs, fake, inline

NOWHERE = "redis://127.0.0.1:1/0"


class Noted(Middleware):
    """Notes each job that passes, and its end."""

    def __init__(self, name: str, notes: list[str]) -> None:
        self.name = name
        self.notes = notes

    def client(self, job: OutgoingJob, call_next: CallNext) -> Any:
        with self._noted("out"):
            return call_next(job)

    def server(self, job: RunningJob, call_next: CallNext) -> Any:
        with self._noted("in"):
            return call_next(job)

    @contextmanager
    def _noted(self, way: str) -> Any:
        self.notes.append(f"{way} {self.name}")
        try:
            yield
        finally:
            self.notes.append(f"{way} {self.name} ends")


class Sample:
    """An app with one task that does what the test says."""

    def __init__(self, **options: Any) -> None:
        self.app = Celery(broker=NOWHERE, set_as_current=False)
        self.app.conf.broker_transport_options = {"max_retries": 0, "socket_connect_timeout": 0.1}
        self.sidekiq = Sidekiq(self.app, schedule=Schedule(limit=1), **options)
        self.seen: list[Any] = []
        self.error: Exception | None = None

        @self.app.task(name="note", shared=False)
        def note(*args: Any, **kwargs: Any) -> Any:
            self.seen.append([*args, *kwargs.items()])
            if self.error is not None:
                raise self.error
            return args[0] if args else None

        self.note: Any = note

    def run_once(self) -> None:
        """Send a job and run it; raise its error."""
        with fake(self.app) as jobs:
            self.note.delay("x")
            jobs.drain()

    def ran(self, *args: Any, **options: Any) -> Jobs:
        """What is left after sending a job and running all that waits."""
        with fake(self.app) as jobs:
            self.note.apply_async(args, **options)
            jobs.drain(retries=True)
        return jobs


class Client(Middleware):
    """A client side made of a function."""

    def __init__(self, step: Any) -> None:
        self.step = step

    def client(self, job: OutgoingJob, call_next: CallNext) -> Any:
        return self.step(job, call_next)


class Server(Middleware):
    """A server side made of a function."""

    def __init__(self, step: Any) -> None:
        self.step = step

    def server(self, job: RunningJob, call_next: CallNext) -> Any:
        return self.step(job, call_next)


def names(entries: Any) -> list[str]:
    return [getattr(entry, "name", type(entry).__name__) for entry in entries]


OWN_CLIENT = ["StrictArguments", "Deadline", "Unique", "LocalBuffer"]
OWN_SERVER = ["Death", "Failures", "Retry", "RateLimit", "Unique"]


def test_the_first_that_is_given_is_the_outermost_of_the_users_on_both_sides() -> None:
    notes: list[str] = []
    sample = Sample(middleware=[Noted("a", notes), Noted("b", notes)])
    sample.ran("x")
    assert notes == [
        *("out a", "out b", "out b ends", "out a ends"),
        *("in a", "in b", "in b ends", "in a ends"),
    ]
    assert names(sample.sidekiq.client_middleware) == ["a", "b", *OWN_CLIENT]
    assert names(sample.sidekiq.server_middleware) == [*OWN_SERVER, "a", "b"]


def test_what_overrides_one_side_is_in_that_chain_alone() -> None:
    sample = Sample(middleware=[Client(lambda job, call_next: call_next(job))])
    assert len(sample.sidekiq.client_middleware) == 5
    assert len(sample.sidekiq.server_middleware) == 5


def test_a_chain_is_changed_by_name_of_class_or_object() -> None:
    a, b, c, d = (Noted(name, []) for name in "abcd")
    server = Sample().sidekiq.server_middleware
    server.add(a)
    server.prepend(b)
    server.insert_before(Retry, c)
    server.insert_after(c, d)
    assert names(server) == ["b", "Death", "Failures", "c", "d", "Retry", "RateLimit", "Unique", "a"]
    assert (Retry in server, a in server, LocalBuffer in server) == (True, True, False)
    server.remove(Noted)
    server.remove(RateLimit)
    assert names(server) == ["Death", "Failures", "Retry", "Unique"]
    assert repr(server) == "<server chain: Death, Failures, Retry, Unique>"


def test_on_the_client_what_is_added_stays_outside_of_sidekiqs_own_and_behind_what_was_added() -> None:
    client = Sample().sidekiq.client_middleware
    client.add(Noted("a", []))
    client.add(Noted("b", []))
    client.insert_after(LocalBuffer, Noted("c", []))
    client.add(Noted("d", []))
    assert names(client) == ["a", "b", "d", *OWN_CLIENT, "c"]


def test_a_change_counts_for_the_next_job() -> None:
    sample = Sample()
    notes: list[str] = []
    sample.ran("x")
    sample.sidekiq.server_middleware.add(Noted("late", notes))
    sample.ran("y")
    assert notes == ["in late", "in late ends"]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda chain: chain.add(Retry), r"^Retry is a class: add an object of it, Retry\(\)"),
        (lambda chain: chain.add(print), "is no middleware: derive its class from Middleware"),
        (
            lambda chain: chain.add(next(iter(chain))),
            "^Death is in the server chain already: remove it first",
        ),
        (
            lambda chain: chain.insert_before(LocalBuffer, Retry()),
            "^no LocalBuffer in the server chain: it has Death, Failures, Retry, RateLimit, Unique",
        ),
        (lambda chain: chain.remove(Deadline()), "^no Deadline in the server chain"),
    ],
)
def test_a_change_that_cannot_be_made_says_why(change: Any, text: str) -> None:
    server = Sample().sidekiq.server_middleware
    with pytest.raises(MiddlewareError, match=text):
        change(server)
    assert names(server) == OWN_SERVER


def test_a_middleware_that_would_do_nothing_or_is_async_is_refused_where_it_is_given() -> None:
    class Nothing(Middleware):
        pass

    class Later(Middleware):
        async def server(self, job: RunningJob, call_next: CallNext) -> Any:
            return call_next(job)

    with pytest.raises(MiddlewareError, match=r"^Nothing overrides neither client nor server"):
        Sample(middleware=[Nothing()])
    with pytest.raises(MiddlewareError, match=r"^Later\.server is async, and nobody awaits it"):
        Sample(middleware=[Later()])


def test_the_client_side_may_change_the_job_and_the_server_side_finds_its_headers() -> None:
    def out(job: OutgoingJob, call_next: CallNext) -> Any:
        job.headers["tenant"] = "t1"
        job.args = [*job.args, "added"]
        job.options["queue"] = "other"
        return call_next(job)

    def within(job: RunningJob, call_next: CallNext) -> Any:
        sample.seen.append((job.name, job.headers["tenant"], job.headers["mine"], job.queue, job.retries))
        return call_next(job)

    mine = {"mine": 1}
    sample = Sample(middleware=[Client(out), Server(within)])
    sample.ran("x", headers=mine)
    assert sample.seen == [("note", "t1", 1, "other", 0), ["x", "added"]]
    assert mine == {"mine": 1}, "the caller's headers are the caller's"


def test_arguments_that_a_middleware_makes_are_checked_like_the_callers() -> None:
    def to_text(job: OutgoingJob, call_next: CallNext) -> Any:
        job.args = [str(value) for value in job.args]
        return call_next(job)

    sample = Sample(middleware=[Client(to_text)])
    sample.ran(1 + 2j)
    assert sample.seen == [["(1+2j)"]]

    def to_tuple(job: OutgoingJob, call_next: CallNext) -> Any:
        job.args = [("t",)]
        return call_next(job)

    with pytest.raises(TypeError, match=r"note: args\[0\] is of type tuple"):
        Sample(middleware=[Client(to_tuple)]).ran("x")


def test_every_way_to_send_passes_the_client_chain_once() -> None:
    sample = Sample()
    notes: list[tuple[str, int, bool]] = []

    def noted(job: OutgoingJob, call_next: CallNext) -> Any:
        notes.append((job.name, job.retries, job.task is None))
        return call_next(job)

    sample.sidekiq.client_middleware.add(Client(noted))
    app, note = sample.app, sample.note
    with fake(app) as jobs:
        note.delay(1)
        note.apply_async((1,), countdown=5)
        app.send_task("note", (1,))
        app.send_task("elsewhere", (1,), None, None, None, "an id", queue="q")
        app.signature("note", (1,)).apply_async()
        group(note.s(1), note.s(2)).apply_async()
        chain(note.si(1), note.si(2)).apply_async()
        assert jobs.enqueued[2].id == "an id"
    assert [name for name, *_ in notes] == ["note"] * 3 + ["elsewhere"] + ["note"] * 4
    assert [by_name for *_, by_name in notes] == [False] * 2 + [True] * 2 + [False] * 4


def test_a_retry_passes_both_chains_again_and_a_burial_does_not() -> None:
    notes: list[str] = []
    sample = Sample(middleware=[Noted("a", notes)])
    sample.error = ValueError("no")
    jobs = sample.ran("x")
    assert len(sample.seen) == 2
    assert [note for note in notes if "ends" not in note] == ["out a", "in a", "out a", "in a"]
    assert [dead_job.error_class for dead_job in jobs.dead] == ["ValueError"]


def test_without_call_next_a_job_is_not_sent_or_not_run() -> None:
    sample = Sample(middleware=[Client(lambda _job, _call_next: None)])
    with fake(sample.app) as jobs:
        assert sample.note.delay("x") is None
        assert len(jobs) == 0

    def skip(job: RunningJob, call_next: CallNext) -> Any:
        if job.args == ("skip",):
            raise Ignore
        return call_next(job)

    sample = Sample(middleware=[Server(skip)])
    assert sample.ran("skip").dead == []
    sample.ran("run")
    assert sample.seen == [["run"]]


def test_a_side_that_returns_nothing_passes_the_result_on() -> None:
    results: list[Any] = []

    def silent(job: Any, call_next: CallNext) -> None:
        results.append(call_next(job))

    sample = Sample(middleware=[Client(silent), Server(silent)])
    with inline(sample.app):
        sent = sample.note.delay("x")
    assert results[0] == "x"
    assert sent is results[1]


@pytest.mark.parametrize("side", [Client, Server])
def test_an_error_of_a_middleware_names_it_and_one_of_the_job_does_not(side: Any) -> None:
    def broken(job: Any, _call_next: CallNext) -> Any:
        raise LookupError(f"no tenant of {job.name}")

    sample = Sample(middleware=[side(broken)])
    with pytest.raises(LookupError) as caught:
        sample.run_once()
    side_name = side.__name__.lower()
    [note] = caught.value.__notes__
    assert note.startswith(f"raised by {side_name} middleware {side.__name__}, of job note [")

    sample = Sample(middleware=[side(lambda job, call_next: call_next(job))])
    sample.error = ValueError("of the job")
    with pytest.raises(ValueError, match="of the job") as raised:
        sample.run_once()
    assert not hasattr(raised.value, "__notes__")


def test_an_error_on_the_server_side_is_retried_and_at_last_buried() -> None:
    def broken(job: RunningJob, _call_next: CallNext) -> Any:
        raise LookupError(job.name)

    sample = Sample(middleware=[Server(broken)], errors={OSError: KILL})
    [dead_job] = sample.ran("x").dead
    assert (dead_job.error_class, dead_job.retries, sample.seen) == ("LookupError", 1, [])


def test_calling_next_twice_is_refused_and_after_an_error_it_is_another_try() -> None:
    def twice(job: Any, call_next: CallNext) -> Any:
        call_next(job)
        return call_next(job)

    sample = Sample(middleware=[Server(twice)])
    with pytest.raises(MiddlewareError, match="Server called call_next twice"):
        sample.run_once()
    assert sample.seen == [["x"]]

    def again(job: Any, call_next: CallNext) -> Any:
        try:
            return call_next(job)
        except ValueError:
            sample.error = None
            return call_next(job)

    sample = Sample(middleware=[Server(again)])
    sample.error = ValueError("once")
    assert sample.ran("x").dead == []
    assert len(sample.seen) == 2


def test_without_retry_a_failed_job_is_dead_at_once_and_without_death_too_it_is_only_failed() -> None:
    sample = Sample()
    sample.error = ValueError("no")
    sample.sidekiq.server_middleware.remove(Retry)
    [dead_job] = sample.ran("x").dead
    assert dead_job.retries == 0
    sample.sidekiq.server_middleware.remove(Death)
    assert sample.ran("x").dead == []
    assert len(sample.seen) == 2


def test_without_strict_arguments_celerys_own_serializer_decides() -> None:
    sample = Sample()
    sample.sidekiq.client_middleware.remove(StrictArguments)
    sample.ran(("a", "tuple"))
    assert sample.seen == [[["a", "tuple"]]]


def test_a_users_middleware_is_not_asked_again_for_a_job_that_the_buffer_kept() -> None:
    notes: list[str] = []
    sample = Sample(middleware=[Noted("a", notes)], buffer=5)
    sent = sample.note.delay("x")
    buffer = sample.note.sidekiq_buffer
    assert len(buffer) == 1
    with fake(sample.app) as jobs:
        assert buffer.flush()
        assert [job.id for job in jobs.enqueued] == [sent.id]
    assert notes == ["out a", "out a ends"]


def test_the_client_side_hears_of_a_broker_that_is_away() -> None:
    heard: list[str] = []

    def told(job: OutgoingJob, call_next: CallNext) -> Any:
        try:
            return call_next(job)
        except OperationalError:
            heard.append(job.id)
            raise

    sample = Sample(middleware=[Client(told)])
    with pytest.raises(OperationalError) as refused:
        sample.note.apply_async(("x",), task_id="j1")
    assert heard == ["j1"]
    assert not hasattr(refused.value, "__notes__")


def test_each_middleware_checks_each_task_once_as_it_is_made() -> None:
    checked: list[str] = []

    class Checks(Noted):
        def check(self, task: Any) -> None:
            checked.append(task.name)

    sample = Sample(middleware=[Checks("a", [])])
    assert sample.note.name == "note"
    assert checked.count("note") == 1


def test_unique_is_one_object_on_both_sides() -> None:
    sidekiq = Sample().sidekiq
    [client] = [entry for entry in sidekiq.client_middleware if isinstance(entry, Unique)]
    assert client in sidekiq.server_middleware
