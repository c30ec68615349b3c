"""Where jobs enter the chains: `app.send_task` on the client side, the task's `__call__` on the server side.

1. Everything that sends a job ends in `app.send_task`: `delay`, `apply_async`, canvas, `self.retry`, beat. It
   is overridden by a class in front of the app's own, so that any task class goes through it, and what the
   app or another library makes of `apply_async` and `send_task` happens too.
2. Celery's tracer calls `task(...)` where the class of the task has a `__call__`. So each task that is
   registered gets a class of its own in front of its class (`__class__`), which has one. Behind its class
   comes the app's SidekiqTask, where the defaults of the options are. Whatever the user's class does, such as
   a `__call__` that calls `self.run`, happens inside of the chain.

    class of the task: [TaskEntry, the task's own class …, SidekiqTask of the app, celery.Task]

3. A worker has a tracer for each task, `__trace__`. It is guarded, so that what follows a job is sent or the
   job comes again (`enqueue.after_run`).

What is called directly, and Celery's eager mode, do not pass the chains. A class that cannot be led
through them is refused as its task is made (`TaskClassError`).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import FunctionType, new_class
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import redis
from celery import Celery, Task
from celery.app import base
from celery.app.trace import task_has_custom
from celery.utils import uuid
from kombu.exceptions import EncodeError, OperationalError
from kombu.utils.imports import symbol_by_name

from celery_impl.sidekiq.beat import runs
from celery_impl.sidekiq.enqueue import after_run
from celery_impl.sidekiq.enqueue.death import BURYING
from celery_impl.sidekiq.enqueue.task import SidekiqTask
from celery_impl.sidekiq.limits import client
from celery_impl.sidekiq.memory.store import MemoryStore, memory_store
from celery_impl.sidekiq.middleware import chord_claim
from celery_impl.sidekiq.middleware.base import OutgoingJob, RunningJob
from celery_impl.sidekiq.middleware.chain import Chain
from celery_impl.sidekiq.sending import fast_enqueue

if TYPE_CHECKING:
    BaseTask = Task[Any, Any]
else:
    BaseTask = Task  # before Celery 5.7 a task is no generic class

#: What Celery's send_task takes by position, after the name and the arguments of the task.
POSITIONAL: Final = tuple(inspect.signature(Celery.send_task).parameters)[4:]
#: What a task class without a request class of its own has.
CELERYS_REQUEST: Final = "celery.worker.request:Request"
#: The attribute of a task's class that holds what somebody has wrapped around its `__call__`.
WRAPPED: Final = "sidekiq_wrapped"
#: The attribute of a task that holds its tracer.
TRACER: Final = "_sidekiq_trace"
#: How a worker takes jobs of a task class without a way of its own.
CELERYS_STRATEGY: Final = Task.Strategy
#: How many arguments `delay` gives to `apply_async`.
DELAYS: Final = 2
#: What a task's own `apply_async` calls, where none stands before it, and the file that it goes on to.
SIDEKIQS_OWN: Final = SidekiqTask.apply_async
TASK_FILE: Final = Task.apply_async.__code__.co_filename
#: Whether this thread sends a job once more that a task class has sent before.
_AGAIN: Final = ContextVar("sidekiq_again", default=False)


class TaskClassError(TypeError):
    """Jobs of a task of this class cannot be led through the chains; the text says why and what to do."""


@contextmanager
def past_overrides() -> Iterator[None]:
    """Send a job once more inside, past the `apply_async` of the task's own class.

    That has seen the job when it was sent: a lock that it took then would turn the job's own retry away.
    """
    token = _AGAIN.set(True)
    try:
        yield
    finally:
        _AGAIN.reset(token)


class Sender:
    """The end of the client chain: hands a job to the broker.

    Celery subscribes to a job's result before it sends the job, and retries that for minutes if the broker is
    silent. With `asks_first`, for results in the same broker, the broker is tried before,
    and `Deadline` bounds that.
    """

    def __init__(self, app: Celery[Any], *, asks_first: bool) -> None:
        self._app = app
        self._own: Any = type(app)
        self._asks_first = asks_first

    def __call__(self, job: OutgoingJob) -> Any:
        """Send the job and return its result; raise kombu's OperationalError where it is not taken."""
        app, options = self._app, job.options
        kept = memory_store(app)
        if kept is not None:
            return self._send_in_memory(job, kept)
        try:
            if self._asks_first and options.get("countdown") and not job.is_tested:
                self._by_the_brokers_clock(options)
            if job.task is None:
                return self._own.send_task(app, job.name, job.args, job.kwargs, task_id=job.id, **options)
            if self._asks_first and not options.get("ignore_result") and not job.is_tested:
                self._ask()
            sent = fast_enqueue.send(app, job) if self._is_celerys else None
            if sent is not None:
                return sent
            return self._own.send_task(
                app, job.name, job.args, job.kwargs, task_id=job.id, task_type=job.task, **options
            )
        except redis.RedisError as error:  # a bound that was over before anybody asked kombu
            raise OperationalError(str(error)) from error

    def _send_in_memory(self, job: OutgoingJob, kept: MemoryStore) -> Any:
        """Send a job of an app whose broker is in memory; what has to wait is kept in the app's sets."""
        app, options = self._app, dict(job.options)
        known: Any = {"task_id": job.id, "task_type": job.task}
        waits = options.get("countdown") or options.get("eta")
        if waits and kept.defers and options.get("producer") is None:
            try:
                return self._own.send_task(
                    app, job.name, job.args, job.kwargs, **known, **{**options, "producer": kept.producer()}
                )
            except EncodeError:
                # A run that passes arguments by reference: they wait where Celery has them wait.
                if getattr(app.amqp, "strict", True):
                    raise
        return self._own.send_task(app, job.name, job.args, job.kwargs, **known, **options)

    @property
    def _is_celerys(self) -> bool:
        """Whether `send_task` is Celery's own: what overrides or wraps it must see each job."""
        return _is_of(base.__file__, self._own.send_task)

    def _by_the_brokers_clock(self, options: dict[str, Any]) -> None:
        """Say when instead of how long: the broker decides what is due, and clocks differ."""
        countdown = options["countdown"]
        if isinstance(countdown, int | float) and countdown > 0:  # else it is Celery's to refuse
            moment = client.server_now(self._app) + countdown
            options |= {"countdown": None, "eta": datetime.fromtimestamp(moment, UTC)}

    def _ask(self) -> None:
        if hasattr(self._app.backend, "result_consumer"):
            client.client(self._app).ping()


def enter_client_chain(app: Celery[Any], chain: Chain, reconfigured: Callable[[], None]) -> None:
    """Have all jobs of the app sent through the chain: its class gets a class in front that does so.

    `reconfigured` is called when settings are loaded that replace the app's.
    """
    own: Any = type(app)

    class Entering(own):  # type: ignore[misc] # the app's own class, Celery or one derived from it
        """A Celery app with `Sidekiq(app)`."""

        def send_task(
            self,
            name: str,
            args: Any = None,
            kwargs: Any = None,
            *positional: Any,
            task_id: str | None = None,
            task_type: Any = None,
            **options: Any,
        ) -> Any:
            """As the app's own, through the client middleware of `Sidekiq(app)`."""
            if positional:
                options.update(zip(POSITIONAL, positional, strict=False))
                task_id, task_type = options.pop("task_id", task_id), options.pop("task_type", task_type)
            chose_id = task_id is not None
            job = OutgoingJob(self, task_type, name, args, kwargs, task_id or uuid(), options, chose_id)
            return chain.last(job) if BURYING.get() else chain.call(job)

        def config_from_object(self, *args: Any, **options: Any) -> Any:
            """As the app's own; `Sidekiq(app)` then fits the new settings, or refuses them."""
            found = super().config_from_object(*args, **options)
            reconfigured()
            return found

    entering: Any = Entering
    entering.sidekiq_entry = _Entry(chain, own, Entering.send_task)
    Entering.__name__, Entering.__qualname__ = own.__name__, own.__qualname__
    Entering.__module__, Entering.__doc__ = own.__module__, own.__doc__
    app.__class__ = Entering


class _Entry(NamedTuple):
    """How jobs of an app come from `send_task` into the chain: what an app is asked that has a short way."""

    chain: Chain
    own: Any
    send_task: Any

    def is_open(self, app: Any) -> bool:
        """Whether jobs that are sent without options meet nothing but what `Sidekiq(app)` brings."""
        return (
            self.chain.is_usual
            and type(app).send_task is self.send_task
            and "send_task" not in vars(app)
            and _is_of(base.__file__, self.own.send_task)
            and not app.conf.task_always_eager
        )


def _is_of(file: str, function: Any) -> bool:
    """Whether this is a function of that file: one that stands for it may have its code, too."""
    return isinstance(function, FunctionType) and function.__code__.co_filename == file


class Wrappable(type):
    """The class of a task's class: what is wrapped around its `__call__` is wrapped around the run itself.

    Sentry and others do so when a worker makes its tracers. Outside of the chain they would see Celery's
    Retry in place of the error.
    """

    def __setattr__(cls, name: str, value: Any) -> None:
        super().__setattr__(WRAPPED if name == "__call__" else name, value)


class TaskEntry(BaseTask):
    """The front of the class of each task: leads its runs through the server chain."""

    abstract = True
    #: These are set by `Adopter`.
    _sidekiq_chain: Chain
    _sidekiq_check: Callable[[Any], None]
    _sidekiq_enters: bool

    @classmethod
    def on_bound(cls, app: Any) -> None:
        """Refuse options that cannot be used as soon as the task is made."""
        cls._sidekiq_check(cls)
        super().on_bound(app)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run a job through the server chain; called directly, the task is the function that it was."""
        request = self.request
        wrapped = vars(request).pop(WRAPPED, None)
        if wrapped is not None:
            return self._sidekiq_run(wrapped)
        direct = request.called_directly or request.is_eager or not self._sidekiq_enters
        if direct or "sidekiq_chain" in vars(request):
            return super().__call__(*args, **kwargs)
        vars(request)["sidekiq_chain"] = True  # a task that calls itself is in the chain already
        job, succeeded = RunningJob(self, request, args, kwargs), False
        chord_claim.take_away(self, request)
        try:
            result = self._sidekiq_chain.call(job)
            succeeded = True
        finally:
            after_run.ended(succeeded=succeeded)
        if request.chord and not job.is_tested:
            after_run.wait_for_broker(job.app, f"the chord of {job}")
        return result

    @property
    def __trace__(self) -> Any:
        """Celery's tracer of the task, which each worker makes and sets."""
        return vars(self).get(TRACER)

    @__trace__.setter
    def __trace__(self, trace: Any) -> None:
        again = trace and chord_claim.run_again(self, runs.marked(self, trace))
        vars(self)[TRACER] = again and after_run.guarded(self, again)

    def apply_async(self, *args: Any, **options: Any) -> Any:
        """As that of the task's own class; Celery's where a job goes once more."""
        if _AGAIN.get() or BURYING.get():
            return BaseTask.apply_async(self, *args, **options)
        if (
            not options
            and len(args) == DELAYS
            and _ours(self).sidekiq_unique is None
            and self._sidekiq_is_direct()
        ):
            app = self.app
            sent = None if app.current_worker_task is not None else fast_enqueue.delay(app, self, *args)
            if sent is not None:
                return sent
        return super().apply_async(*args, **options)

    def delay_on_commit(self, *args: Any, **kwargs: Any) -> Any:
        """As that of the task's own class, Django's say; with a session of SQLAlchemy, SidekiqTask's."""
        session = type(kwargs.get("session"))
        if any(base.__module__.startswith("sqlalchemy.") for base in session.__mro__):
            return SidekiqTask.delay_on_commit(self, *args, **kwargs)  # type: ignore[arg-type] # it is behind
        return super().delay_on_commit(*args, **kwargs)  # type: ignore[misc] # SidekiqTask's at last

    def _sidekiq_is_direct(self) -> bool:
        """Whether nobody has overridden or wrapped what Celery does from `apply_async` to the broker."""
        app, me = self.app, _ours(self)
        entry = getattr(type(app), "sidekiq_entry", None)
        return (
            entry is not None
            and getattr(super().apply_async, "__func__", None) is SIDEKIQS_OWN
            and _is_of(TASK_FILE, getattr(super(SidekiqTask, me).apply_async, "__func__", None))
            and me.sidekiq_buffer is None
            and entry.is_open(app)
        )

    def _sidekiq_run(self, job: RunningJob) -> Any:
        """Run the task itself: by the `__call__` of its own class, where it has one."""
        return super().__call__(*job.args, **job.kwargs)


def _ours(task: Any) -> SidekiqTask:
    """Return the task as what it is besides: SidekiqTask stands behind the class of each."""
    found: SidekiqTask = task
    return found


class Adopter:
    """Gives each task of an app the class that enters the server chain.

    `base` is the app's SidekiqTask, `request` the request class that buries a job whose process was killed.
    """

    def __init__(self, *, base: type, request: str, chain: Chain, check: Callable[[Any], None]) -> None:
        self._base = base
        self._request = request
        self._own = {"_sidekiq_chain": chain, "_sidekiq_check": staticmethod(check)}

    def adopt_all(self, app: Celery) -> None:
        """Adopt the tasks that the app has, and each as soon as it is registered."""
        registry: Any = app._tasks  # type: ignore[attr-defined] # noqa: SLF001 - pinned by a test
        adopt = self.adopt

        class Adopting(type(registry)):  # type: ignore[misc] # the app may have a registry of its own
            """The registry of an app with `Sidekiq(app)`."""

            def __setitem__(self, name: str, task: Any) -> None:
                adopt(task)
                super().__setitem__(name, task)

        for task in registry.values():
            adopt(task)
            if task.__bound__:
                task._sidekiq_check(type(task))  # noqa: SLF001 - ours
        registry.__class__ = Adopting

    def adopt(self, task: Any) -> None:
        """Adopt a task; once is enough. Raise TaskClassError for a class that cannot be."""
        own = type(task)
        if issubclass(own, TaskEntry):
            return
        bases = (TaskEntry, own) if issubclass(own, self._base) else (TaskEntry, own, self._base)
        named = {"__module__": own.__module__, "__doc__": own.__doc__}
        made = {**self._own, **named, "Request": self._request_of(own)}
        made["_sidekiq_enters"] = own.Strategy == CELERYS_STRATEGY or _refuse_strategy(task)
        if not task_has_custom(task, "__call__"):
            made["_sidekiq_run"] = _run
        try:
            # Not by type(): the class may have a metaclass.
            task.__class__ = new_class(
                own.__name__, bases, {"metaclass": _metaclass(own)}, lambda body: body.update(made)
            )
        except TypeError as error:
            raise TaskClassError(
                f"task {task.name}: Sidekiq(app) cannot put a class before its class {_named(task)} "
                f"({error}): take away its __slots__ or metaclass, or use another base="
            ) from error

    def _request_of(self, own: Any) -> Any:
        if own.Request == CELERYS_REQUEST:
            return self._request
        ours, theirs = symbol_by_name(self._request), symbol_by_name(own.Request)
        return theirs if issubclass(theirs, ours) else type(theirs.__name__, (ours, theirs), {})


def _metaclass(own: type) -> Any:
    return Wrappable if type(own) is type else type("Wrappable", (Wrappable, type(own)), {})


def _refuse_strategy(task: Any) -> bool:
    """Return False: the jobs do not enter the chain. Raise TaskClassError where an option asks for it."""
    options = [name for name in ("sidekiq_unique", "sidekiq_limits") if getattr(task, name, None)]
    if getattr(task, "sidekiq_retry", True) is False and not options:
        return False
    leave = f" and leave out {' and '.join(options)}" if options else ""
    raise TaskClassError(
        f"task {task.name}: its class {_named(task)} has a Strategy of its own, so Sidekiq(app) "
        f"can neither retry nor bury its jobs: set sidekiq_retry=False on it{leave}, and it runs as Celery "
        "has it"
    )


def _named(task: Any) -> str:
    """Return the name of the class that its author has written: Celery derives one for each task."""
    return str(type(task).__mro__[1].__qualname__)


def _run(task: Any, job: RunningJob) -> Any:
    return task.run(*job.args, **job.kwargs)


def run(job: RunningJob) -> Any:
    """Run the task of the job, with what is wrapped around it: the end of the server chain."""
    wrapper = vars(type(job.task)).get(WRAPPED)
    if wrapper is not None:
        vars(job.request)[WRAPPED] = job
        return wrapper(job.task, *job.args, **job.kwargs)
    return job.task._sidekiq_run(job)  # noqa: SLF001 - ours
