"""What a middleware is, and the jobs that it sees on the client side and on the server side."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from celery import Celery

#: Hands a job to the rest of the chain and returns what comes of it.
CallNext = Callable[[Any], Any]


class MiddlewareError(RuntimeError):
    """A middleware cannot be added, found or used so; the text names it and says what to do."""


class OutgoingJob:
    """A job on its way to the broker. A middleware may change `args`, `kwargs` and `options`.

    `task` is the task that sends it, or None where the job was sent by its name alone (`app.send_task`).
    `options` are Celery's: `countdown`, `eta`, `queue`, `expires`, `headers` and so on. `chose_id` tells
    whether the caller chose `id`, as chains, groups and retries do.
    """

    __slots__ = ("_own_headers", "app", "args", "chose_id", "id", "kwargs", "name", "options", "task")

    def __init__(  # noqa: PLR0917 - one is made for each job, and keywords cost time
        self,
        app: Celery,
        task: Any,
        name: str,
        args: Any,
        kwargs: Any,
        job_id: str,
        options: dict[str, Any],
        chose_id: bool,  # noqa: FBT001 - as the others
    ) -> None:
        self.app = app
        self.task = task
        self.name = name
        self.args = args
        self.kwargs = kwargs
        self.id = job_id
        self.options = options
        self.chose_id = chose_id
        self._own_headers = False

    def __repr__(self) -> str:
        """The job's name and id."""
        return f"{self.name} [{self.id}]"

    @property
    def headers(self) -> dict[str, Any]:
        """The message's own headers, to be changed in place; they come to `RunningJob.headers`."""
        if not self._own_headers:  # the caller's mapping stays as it is
            self.options["headers"] = dict(self.options.get("headers") or {})
            self._own_headers = True
        headers: dict[str, Any] = self.options["headers"]
        return headers

    @property
    def retries(self) -> int:
        """How many retries the job had: 0 where it is sent for the first time."""
        return self.options.get("retries") or 0

    @property
    def is_tested(self) -> bool:
        """Whether `celery_impl.sidekiq.testing` takes the job, so that there is no broker to ask."""
        return getattr(self.app.amqp, "testing_jobs", None) is not None

    def copy(self) -> OutgoingJob:
        """Return a job of its own, so that sending it changes nothing in this one."""
        return OutgoingJob(
            self.app,
            self.task,
            self.name,
            self.args,
            self.kwargs,
            self.id,
            dict(self.options),
            self.chose_id,
        )


class RunningJob:
    """A job in the process that runs it. `request` is Celery's, with all that came with the message.

    A middleware may change `args` and `kwargs`: the task is called with them.
    """

    __slots__ = ("args", "failure", "kwargs", "request", "task", "verdict")

    def __init__(self, task: Any, request: Any, args: Any, kwargs: Any) -> None:
        self.task = task
        self.request = request
        self.args = args
        self.kwargs = kwargs
        #: What `Retry` leaves to `Death`: "kill" or "discard"; None as long as nothing was given up.
        self.verdict: str | None = None
        #: The error of a run that `Retry` sends again or gives back; what it raises then is no failure.
        self.failure: BaseException | None = None

    def __repr__(self) -> str:
        """The job's name and id."""
        return f"{self.name} [{self.id}]"

    @property
    def app(self) -> Celery:
        """The app of the task."""
        app: Celery = self.task.app
        return app

    @property
    def name(self) -> str:
        """The task's name."""
        return str(self.task.name)

    @property
    def id(self) -> str:
        """The job's id."""
        return str(self.request.id)

    @property
    def headers(self) -> Mapping[str, Any]:
        """The headers that the client side gave to the message."""
        return self.request.headers or {}

    @property
    def retries(self) -> int:
        """How many retries the job had: 0 at its first run."""
        return self.request.retries or 0

    @property
    def queue(self) -> str:
        """The routing key that the job came by, which is its queue's name; "" if unknown."""
        return (self.request.delivery_info or {}).get("routing_key") or ""

    @property
    def is_tested(self) -> bool:
        """Whether `celery_impl.sidekiq.testing` runs the job, so that there is no broker to ask."""
        return getattr(self.task.app.amqp, "testing_jobs", None) is not None


class Middleware:
    """Code around every job of an app: around its sending (`client`), its run (`server`), or both.

    Override one of them or both, call `call_next(job)` once, and return what it returned:

        class Trace(Middleware):
            def client(self, job, call_next):
                job.headers["trace"] = current_trace()
                return call_next(job)

    Not calling `call_next` ends the job there: it is not sent, or not run and acknowledged. A method that
    returns None passes the result of `call_next` on. One object serves all threads of a process, so it keeps
    nothing of a single job in its attributes.
    """

    def check(self, task: Any) -> None:
        """Look at a task as it is made, in every process; raise for options that cannot be used."""

    def client(self, job: OutgoingJob, call_next: CallNext) -> Any:
        """Do something around the sending of a job; return its AsyncResult, or raise what the caller gets."""
        return call_next(job)

    def server(self, job: RunningJob, call_next: CallNext) -> Any:
        """Do something around the run of a job; return its result. An error raised here fails the job."""
        return call_next(job)
