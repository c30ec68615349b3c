"""Every command, through click's runner on a real broker, and through a real `celery` process."""

from __future__ import annotations

import json
import os
from functools import partial
from importlib.metadata import entry_points
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from celery_impl.sidekiq.api import DeadSet, Queue, RetrySet, ScheduledSet
from celery_impl.sidekiq.cli import sidekiq
from celery_impl.sidekiq.redis.sets import RETRY, SCHEDULE
from celery_impl.sidekiq.redis.store import Store


class Command:
    """`celery -A sample_app sidekiq …` in this process."""

    def __init__(self, sample: Any) -> None:
        self.app = sample.app
        self.sample = sample

    def __call__(self, *arguments: str, exit_code: int = 0, answer: str | None = None) -> Result:
        context = SimpleNamespace(app=self.app)
        result = CliRunner().invoke(sidekiq, arguments, obj=context, input=answer)
        assert result.exit_code == exit_code, result.output
        return result

    def json(self, *arguments: str) -> Any:
        return json.loads(self(*arguments, "--json").stdout)

    def retrying(self, *jobs: str) -> list[str]:
        return [self.sample.note.apply_async((job,), countdown=60, retries=1).id for job in jobs]


@pytest.fixture
def run(lab: Any) -> Command:
    return Command(lab.sample())


def test_stats_are_a_table_and_json(run: Command) -> None:
    run.retrying("a", "b")
    assert run.json("stats")["retries"] == 2
    lines = [line.split() for line in run("stats").stdout.splitlines()]
    assert lines[0] == ["WHAT", "COUNT"]
    assert ["retries", "2"] in lines


@pytest.mark.parametrize("name", ["retries", "scheduled", "dead"])
def test_an_empty_set_is_an_empty_list(run: Command, name: str) -> None:
    assert run.json(name) == {"size": 0, "jobs": []}
    assert "0 of 0" in run(name).stdout


def test_a_set_is_listed_newest_first_with_what_to_do_next(run: Command) -> None:
    for job, wait in (("a", 60), ("b", 7300)):
        run.sample.note.apply_async((job,), countdown=wait)
    table = run("scheduled").stdout
    assert table.index('"b"') < table.index('"a"')
    assert "in 2 h" in table
    assert "sidekiq retry ID" in table
    assert [job["args"] for job in run.json("scheduled")["jobs"]] == [["b"], ["a"]]


def test_a_list_is_cut_and_filtered_as_asked(run: Command) -> None:
    run.retrying(*"abc")
    run.app.send_task("other", countdown=5, retries=1)
    assert len(run.json("retries", "--limit", "2")["jobs"]) == 2
    assert "2 of 4, newest first; --limit 4 shows all" in run("retries", "--limit", "2").stdout
    assert [job["task"] for job in run.json("retries", "--task", "other")["jobs"]] == ["other"]


def test_what_cannot_be_read_stands_in_the_list_with_the_reason(lab: Any, run: Command) -> None:
    lab.redis.zadd(RETRY, {"v2\nsomething": 1, "corrupt\x1b[31m": 2})
    table = run("retries").stdout
    assert "written by version 2" in table
    assert "corrupt: expected" in table
    assert "\x1b" not in table
    [newer] = [job["id"] for job in run.json("retries")["jobs"] if "version 2" in job["problem"]]
    assert "upgrade it" in run("retry", newer, exit_code=1).stderr
    assert lab.redis.zcard(RETRY) == 2
    assert run("delete", newer).stdout == "deleted 1 job\n"
    assert lab.redis.zcard(RETRY) == 1


def test_control_characters_of_arguments_do_not_reach_the_terminal(run: Command) -> None:
    run.retrying("\x1b[2J\u202ea\nb")
    table = run("retries").stdout
    assert not {"\x1b", "\u202e"} & set(table)
    assert len(table.splitlines()) == 4


def test_jobs_are_retried_killed_and_deleted_by_id(run: Command) -> None:
    first, second, third = run.retrying(*"abc")
    assert run("retry", first).stdout == "queued 1 job\n"
    assert run.json("kill", second) == {"killed": 1}
    assert run.json("delete", second, third) == {"deleted": 2}
    sizes = [RetrySet(run.app).size(), DeadSet(run.app).size(), Queue(run.app, "celery").size()]
    assert sizes == [0, 0, 1]


def test_all_jobs_of_a_set_are_acted_on(run: Command) -> None:
    run.retrying(*"abc")
    assert run("kill", "--all", "retries", answer="y\n").stdout == "killed 3 jobs\n"
    assert run.json("retry", "--all", "dead") == {"queued": 3}
    assert Queue(run.app, "celery").size() == 3


@pytest.mark.parametrize("name", ["retry", "kill", "delete"])
def test_an_unknown_id_changes_nothing_and_says_so(run: Command, name: str) -> None:
    [known] = run.retrying("a")
    result = run(name, known, "unknown", exit_code=1)
    assert "no job unknown in retries" in result.stderr
    assert "nothing was changed" in result.stderr
    assert RetrySet(run.app).size() == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("retry",),
        ("retry", "id", "--all", "dead"),
        ("kill", "--all", "dead"),
        ("clear",),
        ("clear", "everything"),
        ("clear", "dead", "--queue", "celery"),
        ("pause",),
        ("retries", "--limit", "0"),
        ("unknown",),
    ],
)
def test_a_wrong_command_line_is_refused(run: Command, arguments: tuple[str, ...]) -> None:
    assert "Usage:" in run(*arguments, exit_code=2).stderr


@pytest.mark.parametrize(
    "arguments", [("clear", "retries"), ("kill", "--all", "retries"), ("delete", "--all", "retries")]
)
def test_a_question_comes_before_what_cannot_be_undone(run: Command, arguments: tuple[str, ...]) -> None:
    run.retrying("a")
    assert "1 job of retries" in run(*arguments, answer="n\n", exit_code=1).stderr
    run(*arguments, answer="", exit_code=1)
    assert RetrySet(run.app).size() == 1
    run(*arguments, "--yes")
    assert RetrySet(run.app).size() == 0


def test_a_queue_is_cleared_by_its_name(run: Command) -> None:
    run.sample.note.delay("a")
    assert run.json("clear", "--queue", "celery", "--yes") == {"deleted": 1}
    assert ScheduledSet(run.app).clear() == 0


def test_queues_are_shown_paused_and_resumed(lab: Any) -> None:
    run = Command(lab.sample(QUEUE_OR_TASK_FETCH="timeout"))
    run.sample.note.delay("a")
    paused = run("pause", "celery")
    assert paused.stdout == "paused: celery\n"
    assert "only workers of a lease+redis:// broker obey" in paused.stderr
    [queue] = run.json("queues")
    assert (queue["name"], queue["size"], queue["paused"]) == ("celery", 1, True)
    assert "paused" in run("queues").stdout
    assert run.json("resume", "celery") == {"resumed": ["celery"]}
    assert "paused" not in run("queues").stdout
    assert "there are celery" in run("pause", "mail", exit_code=1).stderr


def test_a_paused_queue_is_left_alone_by_a_worker_until_it_is_resumed(lab: Any) -> None:
    run = Command(lab.sample(QUEUE_OR_TASK_FETCH="lease"))
    assert run("pause", "celery").stderr == ""
    run.sample.note.delay("a")
    run.sample.note.apply_async(("b",), queue="open")
    lab.worker("--queues", "celery,open")
    lab.eventually(lambda: lab.runs("done", "b"))
    assert lab.runs("start", "a") == []
    run("resume", "celery")
    lab.eventually(lambda: lab.runs("done", "a"))


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
@pytest.mark.parametrize("fetch", ["timeout", "lease"])
def test_quiet_workers_finish_what_they_run_and_take_nothing_more(lab: Any, fetch: str, pool: str) -> None:
    run = Command(lab.sample(QUEUE_OR_TASK_FETCH=fetch))
    assert "no worker is alive" in run("quiet", exit_code=1).stderr
    quieted = lab.worker("--pool", pool, "--concurrency", "2")
    [worker] = lab.eventually(lambda: run.json("workers"))
    assert worker["name"] in run("workers").stdout
    assert "no living worker other" in run("quiet", "other", exit_code=1).stderr
    if pool != "solo":  # which hears nothing while it runs a job
        run.sample.note.delay("running", 2)
        lab.eventually(lambda: lab.runs("start", "running"))

    assert run.json("quiet") == {"quiet": [worker["name"]]}

    lab.eventually(lambda: run.json("workers")[0]["queues"] == [])
    quiet_pids = {worker["pid"], *quieted.children}
    names = [f"job-{number}" for number in range(20)]
    for name in names:
        run.sample.note.delay(name)
    lab.worker()
    lab.eventually(lambda: all(lab.runs("done", name) for name in names))
    assert not {pid for name in names for pid, _ in lab.runs("start", name)} & quiet_pids
    if pool != "solo":
        lab.eventually(lambda: lab.runs("done", "running"))
    assert not quieted.ended


def test_a_quiet_worker_stays_quiet_when_its_broker_comes_back(lab: Any) -> None:
    run = Command(lab.sample(QUEUE_OR_TASK_FETCH="lease"))
    quieted = lab.worker()
    lab.eventually(lambda: run.json("workers"))
    run("quiet")
    lab.broker.kill()
    lab.eventually(lambda: "Connection to broker lost" in quieted.output)
    lab.broker.restart()
    lab.eventually(lambda: quieted.output.count("Connected to redis") == 2)
    lab.eventually(lambda: [worker["queues"] for worker in run.json("workers")] == [[]])
    run.sample.note.delay("a")
    lab.worker()
    [(pid, _)] = lab.eventually(lambda: lab.runs("done", "a"))
    assert pid not in quieted.children


def test_an_app_without_sidekiq_and_a_broker_that_is_away_are_told_in_one_line(
    lab: Any, run: Command
) -> None:
    stock = Command(lab.sample("stock"))
    assert stock("retries", exit_code=os.EX_CONFIG).stderr.count("\n") == 1
    lab.broker.kill()
    error = run("retries", exit_code=os.EX_UNAVAILABLE).stderr
    assert error.startswith("sidekiq: the broker does not answer")
    assert error.count("\n") == 1


@pytest.mark.skipif(
    not entry_points(group="celery.commands", name="sidekiq"),
    reason="not installed: make install, then again",
)
def test_the_commands_are_part_of_celerys_own_program(lab: Any, run: Command) -> None:
    [job_id] = run.retrying("a")
    celery = partial(lab.celery, "-A", "sample_app", "sidekiq")
    assert json.loads(celery("retries", "--json").stdout)["jobs"][0]["id"] == job_id
    missing = celery("retry", "nothing")
    assert (missing.returncode, "no job nothing" in missing.stderr) == (1, True)
    assert celery("retry", job_id).stdout == "queued 1 job\n"


def test_what_is_due_is_counted_by_queue_and_queued_by_promote(run: Command) -> None:
    """As an autoscaler needs it where no worker lives; what is due later stays."""
    run.sample.note.apply_async(("a",), countdown=60)
    run.sample.note.apply_async(("b",), countdown=60, queue="other", priority=6)
    run.sample.note.apply_async(("c",), countdown=3600)
    run.retrying("d")
    run.sample.note.delay("e")
    redis: Any = Store.of(run.app).client
    for name in (SCHEDULE, RETRY):
        for member, at in redis.zrange(name, 0, -1, withscores=True):
            redis.zadd(name, {member: at - 120})

    assert run.json("due") == [
        {"name": "celery", "queued": 1, "due": 2},
        {"name": "other", "queued": 0, "due": 1},
    ]
    assert run("due").stdout.splitlines()[0].split() == ["QUEUE", "QUEUED", "DUE"]
    assert run("promote").stdout == "queued 3 jobs\n"
    assert run.json("due")[0] == {"name": "celery", "queued": 3, "due": 0}
    assert run.json("promote") == {"queued": 0}
