"""Jobs through a journal: enqueued, run, retried, given up, given back."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from inprocess import Backoff, ChildSpec, StartError, Supervisor, drain, snapshot, telemetry
from inprocess.journal import (
    ArgumentsError,
    GiveUp,
    Journal,
    JournalError,
    NoJournalError,
    RetryAfter,
    current_job,
    durable,
)
from inprocess.journal.model.job import CurrentJob
from tests.inprocess.journal.conftest import execute, run, run_one, until
from tests.inprocess.programs import run_program

AT_ONCE = Backoff(initial_s=0.0, max_s=0.0)
MakeJournal = Callable[..., Journal]


def test_a_job_runs_with_its_arguments(make_journal: MakeJournal) -> None:
    seen = []

    @durable
    async def greet(name: str, *, times: int = 1) -> None:
        seen.append((name, times))

    async def main() -> None:
        async with make_journal() as journal:
            answer = await greet.enqueue("Ada", times=2)
            assert answer.is_new
            await until(journal.done.size)
            assert [job.id for job in journal.done] == [answer.id]

    run(main())
    assert seen == [("Ada", 2)]


def test_a_plain_function_runs_in_a_thread(make_journal: MakeJournal) -> None:
    seen = []

    @durable
    def note(what: str) -> None:
        job = current_job()
        assert job is not None
        seen.append((what, threading.current_thread() is threading.main_thread(), job.attempt))

    run_one(make_journal, note, "here")
    assert seen == [("here", False, 1)]


def test_a_job_is_on_disk_when_enqueue_returns(make_journal: MakeJournal, url: str) -> None:
    @durable
    async def nothing() -> None: ...

    async def main() -> None:
        journal = make_journal()
        answer = await nothing.enqueue(journal=journal)
        assert execute(url, "select id, state from journal_job") == [(answer.id, 1)]

    run(main())


def test_an_enqueue_that_would_block_the_loop_is_refused(make_journal: MakeJournal) -> None:
    @durable
    async def nothing() -> None: ...

    async def main() -> None:
        async with make_journal() as journal:
            with pytest.raises(RuntimeError, match=r"await enqueue\(\) here"):
                nothing.enqueue_from_thread()
            enqueued = await asyncio.to_thread(nothing.enqueue_from_thread)
            await until(lambda: journal.done.find(enqueued.id) is not None)

    run(main())


def test_a_job_that_was_enqueued_before_the_start_runs_after_it(make_journal: MakeJournal) -> None:
    seen = []

    @durable
    async def note(number: int) -> None:
        seen.append(number)

    journal = make_journal()
    note.enqueue_from_thread(1)
    note.enqueue_from_thread(2)

    async def main() -> None:
        async with journal:
            await until(lambda: len(seen) == 2)

    run(main())
    assert seen == [1, 2]


def test_a_forgotten_await_writes_nothing(make_journal: MakeJournal) -> None:
    @durable
    async def nothing() -> None: ...

    journal = make_journal()
    coroutine = nothing.enqueue(journal=journal)
    coroutine.close()
    assert journal.waiting.size() == 0


def test_a_failed_job_runs_again_with_the_next_attempt(make_journal: MakeJournal) -> None:
    seen: list[CurrentJob | None] = []

    @durable(retry=AT_ONCE)
    async def flaky() -> None:
        seen.append(current_job())
        if len(seen) < 3:
            raise ValueError("not yet")

    run_one(make_journal, flaky)
    assert [job.attempt for job in seen if job] == [1, 2, 3]
    assert [job.token for job in seen if job] == [1, 2, 3]
    assert len({job.id for job in seen if job}) == 1


def test_a_job_without_attempts_left_is_dead_with_its_error(
    make_journal: MakeJournal, caplog: pytest.LogCaptureFixture
) -> None:
    @durable(retry=AT_ONCE, max_attempts=2)
    async def broken(password: str) -> None:
        raise ValueError(f"refused: password={password}")

    async def main() -> None:
        async with make_journal() as journal:
            await broken.enqueue("hunter2")
            await until(journal.dead.size)
            (job,) = journal.dead
            assert (job.attempt, job.max_attempts) == (2, 2)
            assert job.error == "ValueError: refused: password=[hidden]"
            assert job.call.endswith("broken([hidden])")

    run(main())
    assert "is dead" in caplog.text
    assert "broken([hidden])" in caplog.text


def test_a_task_without_retry_runs_once(make_journal: MakeJournal) -> None:
    @durable(retry=None)
    async def broken() -> None:
        raise ValueError

    async def main() -> None:
        async with make_journal() as journal:
            await broken.enqueue()
            await until(journal.dead.size)
            assert [job.attempt for job in journal.dead] == [1]

    run(main())


def test_give_up_makes_a_job_dead_whatever_attempts_are_left(make_journal: MakeJournal) -> None:
    @durable
    async def closed() -> None:
        raise GiveUp("the account is closed")

    async def main() -> None:
        async with make_journal() as journal:
            await closed.enqueue()
            await until(journal.dead.size)
            assert [(job.attempt, job.error) for job in journal.dead] == [
                (1, "GiveUp: the account is closed")
            ]

    run(main())


def test_retry_after_takes_the_place_of_the_back_off(make_journal: MakeJournal) -> None:
    @durable
    async def later() -> None:
        raise RetryAfter(3600)

    async def main() -> None:
        async with make_journal() as journal:
            await later.enqueue()
            await until(journal.retries.size)
            (job,) = journal.retries
            assert 3500 < job.due - job.created < 3700

    run(main())


def test_a_key_makes_a_job_unique_until_it_is_over(make_journal: MakeJournal) -> None:
    go = asyncio.Event()

    @durable
    async def wait() -> None:
        await go.wait()

    async def main() -> None:
        async with make_journal() as journal:
            first = await wait.enqueue(key="crm-1")
            second = await wait.enqueue(key="crm-1")
            assert (first.is_new, second.is_new, second.id) == (True, False, first.id)
            go.set()
            await until(journal.done.size)
            assert (await wait.enqueue(key="crm-1")).is_new

    run(main())


def test_an_enqueue_that_is_repeated_with_its_id_writes_one_job(make_journal: MakeJournal) -> None:
    @durable
    async def nothing() -> None: ...

    async def main() -> None:
        async with make_journal() as journal:
            answers = [await nothing.enqueue(job_id="mine") for _ in range(2)]
            assert [answer.is_new for answer in answers] == [True, False]
            await until(journal.done.size)
            assert journal.done.size() == 1

    run(main())


def test_a_delayed_job_runs_when_it_is_due(make_journal: MakeJournal) -> None:
    @durable
    async def nothing() -> None: ...

    async def main() -> None:
        async with make_journal() as journal:
            await nothing.enqueue(run_at=datetime.now(UTC) + timedelta(hours=1))
            await nothing.enqueue(delay_s=0.05)
            await until(journal.done.size)
            assert (journal.scheduled.size(), journal.done.size()) == (1, 1)

    run(main())


def test_the_job_with_the_higher_priority_runs_first(make_journal: MakeJournal) -> None:
    seen = []

    @durable
    async def note(number: int) -> None:
        seen.append(number)

    async def main() -> None:
        journal = make_journal(concurrency=1)
        for priority in (0, 9, 5):
            await note.enqueue(priority, priority=priority)
        async with journal:
            await until(lambda: len(seen) == 3)

    run(main())
    assert seen == [9, 5, 0]


def test_queues_of_one_priority_take_turns(make_journal: MakeJournal) -> None:
    seen = []

    @durable
    async def note(name: str) -> None:
        seen.append(name)

    async def main() -> None:
        journal = make_journal(concurrency=1)
        for name in ("a", "a", "a", "b", "b", "b"):
            await note.enqueue(name, queue=name)
        async with journal:
            await until(lambda: len(seen) == 6)

    run(main())
    assert set(seen[:2]) == set(seen[2:4]) == {"a", "b"}


def test_a_process_runs_the_jobs_of_its_queues_alone(make_journal: MakeJournal) -> None:
    seen = []

    @durable
    async def note(name: str) -> None:
        seen.append(name)

    async def main() -> None:
        async with make_journal(queues=["mail"]) as journal:
            await note.enqueue("default")
            await note.enqueue("mail", queue="mail")
            await until(journal.done.size)
            assert (seen, journal.waiting.size()) == (["mail"], 1)

    run(main())


def test_a_parameter_with_the_name_of_an_option_is_refused() -> None:
    async def note(key: str) -> None: ...

    with pytest.raises(ValueError, match="its parameter 'key' has the name of an option of enqueue"):
        durable(note)


def test_two_functions_with_one_name_are_refused() -> None:
    async def first() -> None: ...

    async def second() -> None: ...

    durable(name="same")(first)
    with pytest.raises(ValueError, match="two functions are durable tasks named 'same'"):
        durable(name="same")(second)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"max_attempts": 0}, "max_attempts is 0"),
        ({"priority": 10}, "the priority is 10"),
        ({"queue": ""}, "the queue is ''"),
        ({"shutdown": -1}, "the limit is -1"),
    ],
)
def test_wrong_options_of_a_task_are_refused(options: dict[str, object], said: str) -> None:
    async def nothing() -> None: ...

    with pytest.raises((ValueError, ArgumentsError), match=said):
        durable(**options)(nothing)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"run_at": datetime(2030, 1, 1)}, "expected a datetime with a time zone"),  # noqa: DTZ001 - it is wrong
        ({"delay_s": -1}, "expected seconds of at least 0"),
        ({"delay_s": float("nan")}, "expected seconds of at least 0"),
        ({"delay_s": 1, "run_at": datetime.now(UTC)}, "give one of them"),
        ({"key": ""}, "the key is ''"),
        ({"priority": -1}, "the priority is -1"),
        ({"number": 3}, "multiple values for argument 'number'"),
        ({"other": 3}, "unexpected keyword argument 'other'"),
    ],
)
def test_wrong_options_of_an_enqueue_are_refused(
    make_journal: MakeJournal, options: dict[str, object], said: str
) -> None:
    @durable
    async def note(number: int) -> None: ...

    journal = make_journal()
    with pytest.raises(TypeError, match=said):
        note.enqueue_from_thread(1, journal=journal, **options)
    assert journal.waiting.size() == 0


def test_without_a_journal_or_with_several_an_enqueue_says_what_to_do(make_journal: MakeJournal) -> None:
    @durable
    async def nothing() -> None: ...

    with pytest.raises(NoJournalError, match="make one first"):
        nothing.enqueue_from_thread()
    make_journal()
    make_journal()
    with pytest.raises(NoJournalError, match="2 journals in this process"):
        nothing.enqueue_from_thread()


def test_the_journal_that_runs_is_the_one_that_is_meant(make_journal: MakeJournal) -> None:
    @durable
    async def nothing() -> None: ...

    async def main() -> None:
        make_journal()
        async with make_journal() as journal:
            await nothing.enqueue()
            await until(journal.done.size)

    run(main())


def test_it_is_a_child_of_a_supervision_tree(make_journal: MakeJournal) -> None:
    @durable
    async def nothing() -> None: ...

    async def main() -> None:
        journal = make_journal()
        async with Supervisor.start([ChildSpec("journal", journal.start)], name="app"):
            await nothing.enqueue()
            await until(journal.done.size)
            (app,) = snapshot("app").roots
            assert [(child.id, child.kind) for child in app.children] == [("journal", "Runner")]
        assert not journal.is_running

    run(main())


def test_a_second_start_in_one_process_is_refused(make_journal: MakeJournal) -> None:
    async def main() -> None:
        async with make_journal() as journal:
            with pytest.raises(StartError, match="runs in this process already"):
                journal.start()

    run(main())


def test_a_stop_gives_back_what_runs_without_using_an_attempt(
    make_journal: MakeJournal, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    begun = []

    @durable
    async def long() -> None:
        begun.append(current_job())
        await asyncio.sleep(3600)

    async def main() -> None:
        journal = make_journal()
        async with journal:
            await long.enqueue()
            await until(lambda: begun)
        (job,) = journal.waiting
        assert (job.attempt, job.kills) == (0, 0)
        async with journal:
            await until(lambda: len(begun) == 2)

    run(main())
    assert [job.attempt for job in begun if job] == [1, 1]
    assert [job.token for job in begun if job] == [1, 2]
    assert "left for the next start: 1 jobs that ran" in caplog.text


def test_a_drain_waits_for_running_jobs_and_reports_none_as_lost(make_journal: MakeJournal) -> None:
    begun, go = [], asyncio.Event()

    @durable
    async def wait(_number: int) -> None:
        begun.append(1)
        await go.wait()

    async def main() -> None:
        journal = make_journal(concurrency=2)
        runner = journal.start()
        await runner.ready()
        for number in range(4):
            await wait.enqueue(number)
        await until(lambda: len(begun) == 2)
        asyncio.get_running_loop().call_later(0.05, go.set)
        report = await drain(runner, grace_s=30.0)
        assert (report.ended, report.cut_off) == (2, ())
        assert (journal.done.size(), journal.waiting.size()) == (2, 2)

    run(main())


def test_a_drain_whose_grace_is_over_gives_back_what_runs_and_calls_it_not_lost(
    make_journal: MakeJournal,
) -> None:
    begun = []

    @durable
    async def long() -> None:
        begun.append(1)
        await asyncio.sleep(3600)

    async def main() -> None:
        journal = make_journal()
        runner = journal.start()
        await runner.ready()
        await long.enqueue()
        await until(lambda: begun)
        report = await drain(runner, grace_s=0.0)
        assert report.cut_off == ()
        assert journal.waiting.size() == 1

    run(main())


def test_telemetry_tells_of_each_run(make_journal: MakeJournal) -> None:
    seen = []

    @durable(retry=AT_ONCE, max_attempts=2)
    async def broken() -> None:
        raise ValueError("no")

    async def main() -> None:
        async with make_journal() as journal:
            await broken.enqueue()
            await until(journal.dead.size)

    events = [("journal", name) for name in ("start", "stop", "exception", "dead")]
    telemetry.attach("test", events, lambda event, _, about: seen.append((event[1], about["attempt"])))
    try:
        run(main())
    finally:
        telemetry.detach("test")
    assert seen == [("start", 1), ("exception", 1), ("start", 2), ("exception", 2), ("dead", 2)]


def test_threads_enqueue_while_it_runs(make_journal: MakeJournal) -> None:
    seen = []

    @durable
    async def note(number: int) -> None:
        seen.append(number)

    def enqueue(first: int) -> None:
        for number in range(first, first + 25):
            note.enqueue_from_thread(number)

    async def main() -> None:
        async with make_journal():
            threads = [threading.Thread(target=enqueue, args=(first,)) for first in (0, 25, 50)]
            for thread in threads:
                thread.start()
            await until(lambda: len(seen) == 75)
            for thread in threads:
                thread.join()

    run(main())
    assert sorted(seen) == list(range(75))


def test_what_ended_the_loop_is_a_failure_and_a_new_loop_goes_on(url: str) -> None:
    done = run_program(
        """
        import asyncio, sys
        from inprocess import Backoff
        from inprocess.journal import Journal, current_job, durable

        @durable(retry=Backoff(initial_s=0.0, max_s=0.0))
        async def leave():
            print("attempt", current_job().attempt, flush=True)
            if current_job().attempt == 1:
                raise SystemExit(3)

        journal = Journal(sys.argv[1])

        async def main():
            await journal.start().ready()
            await leave.enqueue()
            await asyncio.sleep(30)

        async def again():
            async with journal:
                while not journal.done.size():
                    await asyncio.sleep(0.01)

        try:
            asyncio.run(main())
        except SystemExit as left:
            print("left", left.code)
        asyncio.run(again())
        """,
        url,
    )
    assert done.stdout.split("\n")[:3] == ["attempt 1", "left 3", "attempt 2"], done.stderr


def test_an_old_run_is_fenced(make_journal: MakeJournal, url: str, caplog: pytest.LogCaptureFixture) -> None:
    go = asyncio.Event()
    begun = []

    @durable
    async def wait() -> None:
        begun.append(1)
        await go.wait()

    async def main() -> None:
        async with make_journal() as journal:
            await wait.enqueue()
            await until(lambda: begun)
            execute(url, "update journal_job set token = token + 1")
            go.set()
            await until(lambda: "was taken over meanwhile" in caplog.text)
            assert journal.done.size() == 0

    run(main())


def test_a_journal_cannot_be_made_with_wrong_options(url: str) -> None:
    with pytest.raises(ValueError, match="concurrency is 0"):
        Journal(url, concurrency=0)
    with pytest.raises(ValueError, match="history_s is -1"):
        Journal(url, history_s=-1)
    with pytest.raises(JournalError, match="expected 'full' or 'normal'"):
        Journal(url, durability="fast")  # type: ignore[arg-type]
