"""Any task class goes through the chains: the app's own, a project's base, one that is assigned later."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from celery import Celery, Task, canvas
from celery.app.registry import TaskRegistry
from celery.worker.request import Request
from kombu.utils.imports import symbol_by_name

from celery_impl.sidekiq import Schedule, Sidekiq, SidekiqTask
from celery_impl.sidekiq.api import DeadSet
from celery_impl.sidekiq.middleware.entry_points import TaskClassError
from celery_impl.sidekiq.testing import fake
from celery_impl.sidekiq.worker.request import SidekiqRequest

NOWHERE = "redis://127.0.0.1:1/0"
#: Each task of the sample with how often it runs.
RUNS = {"early": 2, "of_app": 2, "plain": 2, "calls_run": 2, "options": 3, "assigned": 2}


@pytest.mark.parametrize("fetch", ["timeout", "lease"])
def test_a_job_that_fails_is_retried_and_buried_whatever_the_class_of_its_task(lab: Any, fetch: str) -> None:
    lab.app = "own_classes_app"
    own = lab.sample(QUEUE_OR_TASK_FETCH=fetch)
    lab.worker()
    for name in RUNS:
        own.app.tasks[name].delay(name)
    own.hangs.delay("hangs")

    dead = lab.eventually(lambda: len(found := list(DeadSet(own.app))) == len(RUNS) + 1 and found)

    assert {job.task: job.count for job in dead} == {"hangs": 0} | {name: RUNS[name] - 1 for name in RUNS}
    assert {name: len(lab.runs("start", name)) for name in RUNS} == RUNS
    assert {name: len(lab.runs("error", name)) for name in RUNS} == RUNS, "middleware sees the error itself"
    for name, runs in RUNS.items():
        assert all(len(lab.runs("trace", f"{name}:{run}")) == 1 for run in range(runs))
    assert {job.task: job.error_class for job in dead}["hangs"] == "TimeLimitExceeded"
    assert [len(lab.runs("context", name)) for name in ("early", "of_app", "calls_run")] == [2, 2, 2]


@pytest.fixture
def app() -> Celery:
    return Celery(broker=NOWHERE, set_as_current=False)


def nothing() -> None: ...


class Own(Task[Any, Any]):
    abstract = True
    sidekiq_retry = 3

    def marked(self) -> str:
        return "own"


def test_the_apps_own_class_stays_and_its_attributes_win_over_the_defaults() -> None:
    app: Celery[Any] = Celery(broker=NOWHERE, task_cls=Own, set_as_current=False)
    Sidekiq(app)
    job: Any = app.task(name="job", shared=False)(nothing)
    own_retry: Any = app.task(name="own_retry", shared=False, sidekiq_retry=False)(nothing)

    assert isinstance(job, Own)
    assert isinstance(job, SidekiqTask)
    assert (job.marked(), job.retry_limit, job.goes_to_dead_set) == ("own", 3, True)
    assert not own_retry.goes_to_dead_set
    assert issubclass(app.Task, Own)


def test_a_class_derived_from_ours_by_name_has_the_options_of_its_app(app: Celery) -> None:
    Sidekiq(app, schedule=Schedule(limit=7))

    class Derived(SidekiqTask):
        abstract = True

    job: Any = app.task(name="job", base=Derived, shared=False)(nothing)
    assert job.retry_limit == 7


def test_called_directly_a_task_of_any_class_is_the_function_that_it_was(app: Celery) -> None:
    Sidekiq(app)

    @app.task(name="twice", base=Own, shared=False, bind=True)
    def twice(task: Any, number: int) -> int:
        return 2 * number if number > 10 else int(task(number + 10))

    assert twice(11) == 22
    assert twice(1) == 22
    with fake(app) as jobs:
        twice.delay(1)
        assert jobs.drain() == 1, "a task that calls itself enters the chain once"


def test_a_bad_option_is_refused_for_any_class_and_a_task_that_is_there_already(app: Celery) -> None:
    Sidekiq(app)
    with pytest.raises(ValueError, match="sidekiq_unique of bad is 'for_ever'"):
        _ = app.task(name="bad", base=Own, shared=False, sidekiq_unique="for_ever")(nothing).name

    early = Celery(broker=NOWHERE, set_as_current=False)
    _ = early.task(name="early", shared=False, sidekiq_retry_in={"x": 1})(nothing).name
    with pytest.raises(ValueError, match="sidekiq_retry_in of early has the key 'x'"):
        Sidekiq(early)


def test_a_task_keeps_the_request_class_of_its_own(app: Celery) -> None:
    Sidekiq(app)

    class OwnRequest(Request):
        pass

    class Batched(Task[Any, Any]):
        abstract = True
        Request = OwnRequest  # type: ignore[assignment] # Celery takes a class too

    job: Any = app.task(name="job", base=Batched, shared=False)(nothing)
    mine: Any = app.task(name="mine", shared=False)(nothing)

    assert issubclass(job.Request, OwnRequest)
    assert issubclass(job.Request, SidekiqRequest)
    assert symbol_by_name(mine.Request) is SidekiqRequest


class Locking(Task[Any, Any]):
    """As celery-once and celery-singleton: it takes a lock as a job is sent, and frees it when that ends."""

    abstract = True
    locked: set[str] = set()  # noqa: RUF012 - one for all, as a lock is

    def apply_async(self, *args: Any, **options: Any) -> Any:
        if str(self.name) in self.locked:
            raise LookupError("queued already")
        self.locked.add(str(self.name))
        return super().apply_async(*args, **options)

    def on_failure(self, *_: Any) -> None:
        self.locked.discard(str(self.name))


def test_a_lock_that_a_job_took_when_it_was_sent_does_not_turn_its_own_retry_or_burial_away(
    app: Celery,
) -> None:
    Sidekiq(app, schedule=Schedule(limit=1))

    @app.task(name="locks", base=Locking, shared=False)
    def locks() -> None:
        raise ValueError

    with fake(app) as jobs:
        locks.delay()
        with pytest.raises(LookupError, match="queued already"):
            locks.delay()
        assert jobs.drain(retries=True) == 2
        [dead] = jobs.dead
        assert dead.message is not None
        locks.delay()


def test_a_class_that_takes_jobs_by_a_strategy_of_its_own_is_refused_or_runs_as_celery_has_it(
    app: Celery,
) -> None:
    Sidekiq(app)

    class Batched(Task[Any, Any]):
        abstract = True
        Strategy = "celery.worker.strategy:own"

    with pytest.raises(
        TaskClassError, match=r"task batch: its class \S*Batched .*set sidekiq_retry=False on it, and"
    ):
        _ = app.task(name="batch", base=Batched, shared=False)(nothing).name
    with pytest.raises(TaskClassError, match="on it and leave out sidekiq_unique"):
        _ = app.task(
            name="one", base=Batched, shared=False, sidekiq_retry=False, sidekiq_unique="until_done"
        )(nothing).name
    plain: Any = app.task(name="plain", base=Batched, shared=False, sidekiq_retry=False)(nothing)
    plain.push_request(called_directly=False, id="1")
    assert plain() is None


def test_a_class_with_a_metaclass_is_adopted_and_one_that_no_class_can_stand_before_is_refused(
    app: Celery,
) -> None:
    Sidekiq(app)

    class Registering(type):
        made: list[str] = []  # noqa: RUF012 - as above

        def __init__(cls, name: str, *rest: Any) -> None:
            super().__init__(name, *rest)
            cls.made.append(name)

    class Registered(Task[Any, Any], metaclass=Registering):
        abstract = True

    class Choosy(type):
        def __new__(cls, name: str, bases: Any, body: Any, **_: Any) -> Any:
            if any(issubclass(base, SidekiqTask) for base in bases):
                raise TypeError("no bases of others")
            return super().__new__(cls, name, bases, body)

    class Chosen(Task[Any, Any], metaclass=Choosy):
        abstract = True

    assert app.task(name="fine", base=Registered, shared=False)(nothing).name == "fine"
    with pytest.raises(TaskClassError, match=r"task bad: .* its class .*Chosen \(no bases of others\)"):
        _ = app.task(name="bad", base=Chosen, shared=False)(nothing).name


def test_the_parts_of_celery_by_which_tasks_enter_the_chains_are_as_we_know_them() -> None:
    """A failure means: read the new Celery, then mend `celery_impl.sidekiq.middleware.entry_points`."""
    register = inspect.getsource(Celery._task_from_fun)
    assert register.index("self._tasks[task.name] = task") < register.index("task.bind(self)")
    assert "self.tasks[task.name] = task" in inspect.getsource(Celery.register_task)
    assert "self[task.name] = task" in inspect.getsource(TaskRegistry.register)
    assert "return app.send_task(" in inspect.getsource(Task.apply_async)
    assert "self.app.send_task" in inspect.getsource(vars(canvas.Signature)["_apply_async"].func)
