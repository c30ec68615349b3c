"""The sets of a journal, by API and by command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from inprocess import Backoff
from inprocess.journal import Journal, JournalError, durable
from inprocess.journal.cli import journal as command
from inprocess.journal.stores.sqlite import database_file
from tests.inprocess.journal.conftest import PATIENCE_S, run, until

MakeJournal = Callable[..., Journal]
ROOT = Path(__file__).parents[3]
CARD = "4711"


@pytest.fixture
def filled(make_journal: MakeJournal) -> Journal:
    """Two dead jobs, one that waits for its retry, one scheduled, one done, one that waits."""

    @durable(name="shop.pay", retry=None)
    async def pay(order: int, *, card_token: str = "") -> None:
        raise ValueError(f"order {order} is refused: token={card_token}")

    @durable(name="shop.ship", retry=Backoff(initial_s=3600, max_s=3600))
    async def ship(order: int) -> None:
        raise ValueError(f"no truck for {order}")

    @durable(name="shop.note", queue="low")
    async def note(text: str) -> None: ...

    journal = make_journal()

    async def main() -> None:
        async with journal:
            await pay.enqueue(1, card_token=CARD, key="order-1")
            await pay.enqueue(2)
            await ship.enqueue(3)
            await note.enqueue("now")
            await note.enqueue("later", delay_s=3600)
            await until(lambda: journal.dead.size() == 2 and journal.retries.size() and journal.done.size())

    run(main())
    note.enqueue_from_thread("waits", journal=journal)
    return journal


def test_the_sets_hold_what_is_in_each_state(filled: Journal) -> None:
    stats = filled.stats()
    assert (stats.waiting, stats.scheduled, stats.retries, stats.running) == (1, 1, 1, 0)
    assert (stats.dead, stats.parked, stats.done) == (2, 0, 1)
    assert stats.latency >= 0.0
    assert [job.call for job in filled.dead] == [
        "filled.<locals>.pay(2)",
        "filled.<locals>.pay(1, card_token=[hidden])",
    ]
    assert [job.queue for job in filled.waiting] == ["low"]


def test_a_job_is_found_in_its_own_set_alone(filled: Journal) -> None:
    job = next(iter(filled.dead))
    assert filled.dead.find(job.id) == job
    assert filled.waiting.find(job.id) is None
    assert filled.dead.find("nobody") is None


def test_a_part_of_a_set_is_of_a_task_or_a_queue(filled: Journal) -> None:
    assert filled.dead.only(task="shop.pay").size() == 2
    assert filled.dead.only(task="shop.ship").size() == 0
    assert filled.waiting.only(queue="low").size() == 1
    assert [job.task for job in filled.waiting.only(queue="low", task="shop.note")] == ["shop.note"]


def test_dead_jobs_run_again_with_all_attempts(filled: Journal) -> None:
    first, second = filled.dead
    assert filled.dead.retry(first) == 1
    assert filled.dead.retry(first) == 0  # it has moved
    assert filled.dead.retry_all() == 1
    assert {(job.id, job.attempt) for job in filled.waiting.only(task="shop.pay")} == {
        (first.id, 0),
        (second.id, 0),
    }


def test_a_dead_job_whose_key_another_one_has_stays_dead(filled: Journal) -> None:
    @durable(name="shop.other")
    async def other() -> None: ...

    other.enqueue_from_thread(key="order-1", journal=filled)
    assert filled.dead.retry_all() == 1
    assert [job.key for job in filled.dead] == ["order-1"]


def test_jobs_are_killed_deleted_and_cleared(filled: Journal) -> None:
    (scheduled,), (retried,) = filled.scheduled, filled.retries
    assert filled.scheduled.kill(scheduled) == 1
    assert filled.retries.delete(retried) == 1
    killed = filled.dead.find(scheduled.id)
    assert killed is not None
    assert killed.error == "killed by hand"
    assert filled.dead.clear() == 3
    assert filled.dead.size() == 0


def test_running_jobs_cannot_be_changed(filled: Journal) -> None:
    for act in (filled.running.clear, filled.running.retry_all, filled.running.kill_all):
        with pytest.raises(JournalError, match="a running job cannot be changed"):
            act()
    with pytest.raises(JournalError, match="a job that is done cannot be changed so"):
        filled.done.retry_all()


def test_history_is_pruned(make_journal: MakeJournal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inprocess.journal.runner.PRUNE_S", 0.05)
    monkeypatch.setattr("inprocess.journal.runner.PRUNED", 3)

    @durable
    async def nothing() -> None: ...

    async def main() -> None:
        async with make_journal(history_s=0.2) as journal:
            for _ in range(10):
                await nothing.enqueue()
            await until(lambda: journal.done.size() >= 8)
            await until(lambda: journal.done.size() == 0)

    run(main())


def test_without_history_a_done_job_is_deleted(make_journal: MakeJournal) -> None:
    seen = []

    @durable
    async def note() -> None:
        seen.append(1)

    async def main() -> None:
        async with make_journal(history_s=0) as journal:
            await note.enqueue()
            await until(lambda: seen and not journal.running.size())
            assert journal.done.size() == 0

    run(main())


# The commands.


def invoke(journal: Journal, *words: str, code: int = 0, answer: str | None = None) -> Result:
    result = CliRunner().invoke(command, ["--url", journal.url, *words], input=answer)
    assert result.exit_code == code, result.output
    return result


def test_stats_and_lists_show_what_is_there(filled: Journal) -> None:
    assert "dead       2" in invoke(filled, "stats").output
    assert json.loads(invoke(filled, "stats", "--json").output)["scheduled"] == 1
    listed = invoke(filled, "dead").output
    assert "card_token=[hidden]" in listed
    assert "ValueError: order 1 is refused: token=[hidden]" in listed
    assert "2 of 2, newest first; act on one by `queue-or-task journal retry ID`" in listed
    assert "1 of 2, newest first; --limit 2 shows all" in invoke(filled, "dead", "--limit", "1").output
    jobs = json.loads(invoke(filled, "waiting", "--queue", "low", "--json").output)
    assert (jobs["size"], jobs["jobs"][0]["task"]) == (1, "shop.note")


def test_one_job_is_shown_and_acted_on(filled: Journal) -> None:
    job = next(iter(filled.dead))
    assert "order 2 is refused" in invoke(filled, "show", job.id).output
    assert invoke(filled, "retry", job.id).output == "1 job due now\n"
    assert invoke(filled, "kill", job.id, answer="y\n").output.endswith("1 job killed\n")
    assert invoke(filled, "delete", job.id, "--yes", "--json").output == '{"deleted": 1}\n'
    gone = invoke(filled, "retry", job.id, code=1)
    assert f"no job {job.id} in dead, parked, retries, scheduled; nothing was changed" in gone.output


def test_a_set_is_acted_on_after_a_question(filled: Journal) -> None:
    refused = invoke(filled, "delete", "--all", "dead", code=1, answer="n\n")
    assert "Really delete 2 jobs of dead for good?" in refused.output
    assert filled.dead.size() == 2
    assert invoke(filled, "retry", "--all", "dead", "--task", "shop.pay").output == "2 jobs due now\n"
    assert invoke(filled, "clear", "scheduled", "--yes").output == "1 job deleted\n"
    assert invoke(filled, "clear", "scheduled").output == "0 jobs deleted\n"
    assert invoke(filled, "kill", "--all", "scheduled").output == "0 jobs killed\n"


def test_a_command_without_jobs_or_with_too_many_is_refused(filled: Journal) -> None:
    assert "name the jobs (retry ID …), or a set" in invoke(filled, "retry", code=2).output
    assert "name the jobs" in invoke(filled, "kill", "x", "--all", "waiting", code=2).output


def test_a_journal_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    result = CliRunner().invoke(command, ["--url", f"sqlite:///{tmp_path}/none.db", "stats"])
    assert result.exit_code == 2
    assert "there is no journal at" in result.output
    assert not (tmp_path / "none.db").exists()
    result = CliRunner().invoke(command, ["--url", "redis://x", "stats"])
    assert (result.exit_code, "begins with 'redis'" in result.output) == (2, True)
    result = CliRunner().invoke(command, ["stats"], env={"QUEUE_OR_TASK_JOURNAL": ""})
    assert (result.exit_code, "which journal?" in result.output) == (2, True)


def test_the_program_finds_the_command_and_the_variable(filled: Journal) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import queue_or_task; queue_or_task.main()", "journal", "stats"],
        env={**os.environ, "QUEUE_OR_TASK_JOURNAL": filled.url},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "The oldest due job has waited" in done.stdout


def test_ctrl_c_at_a_question_changes_nothing_and_ends_with_130(filled: Journal) -> None:
    command = [sys.executable, "-c", "import queue_or_task; queue_or_task.main()"]
    command += ["journal", "--url", filled.url, "kill", "--all", "waiting"]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as asking:
        assert asking.stderr is not None
        asked = asking.stderr.read(len("Really kill 1 job of waiting for good?"))
        asking.send_signal(signal.SIGINT)
        _, said = asking.communicate(timeout=PATIENCE_S)
    assert asked.startswith("Really kill 1 job")  # and no warning before it
    assert (asking.returncode, said.splitlines()[-1]) == (130, "journal: interrupted: nothing was changed")
    assert filled.waiting.size() == 1


@pytest.mark.parametrize("store", ["sqlite"])
def test_only_a_process_that_runs_jobs_warns_of_an_old_sqlite_and_once(
    make_journal: MakeJournal, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(database_file, "may_damage", lambda _version: True)
    database_file.warn_of_version.cache_clear()
    journal = make_journal()
    journal.open()
    journal.stats()
    assert "in which several writers" not in caplog.text

    async def main() -> None:
        for one in (journal, make_journal(name="second")):
            async with one:
                pass

    run(main())
    assert caplog.text.count("in which several writers") == 1
