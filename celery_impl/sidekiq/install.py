"""`Sidekiq(app)`: the one line that adds all of it to a Celery app."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from celery import Celery, signals
from celery.app.amqp import AMQP
from kombu.utils.imports import symbol_by_name

from celery_impl.sidekiq.beat import runs
from celery_impl.sidekiq.enqueue.buffer import Buffer
from celery_impl.sidekiq.enqueue.death import DeathHandler
from celery_impl.sidekiq.enqueue.task import SidekiqTask
from celery_impl.sidekiq.jobs.broker_support import serves as serves_rabbitmq
from celery_impl.sidekiq.jobs.error_rules import Rule, check_rule
from celery_impl.sidekiq.jobs.retry_schedule import Schedule
from celery_impl.sidekiq.jobs.strict_arguments import StrictAMQP
from celery_impl.sidekiq.lease import transport as lease
from celery_impl.sidekiq.limits import unique
from celery_impl.sidekiq.redis import transport
from celery_impl.sidekiq.redis.deadline import WITHIN_S
from celery_impl.sidekiq.redis.server_check import EarlyCheck, ServerCheck
from celery_impl.sidekiq.worker.maintenance import KeeperStep

#: What a broker URL may begin with, and what it becomes where the scheme itself names the transport. Those
#: of the lease transport may as well, and stay as they are.
SCHEMES: Final = {"redis": "redis", "rediss": "rediss", "redis+socket": f"{transport.ALIAS}+socket"}
LEASE_SCHEMES: Final = ("lease+redis", "lease+rediss", "lease+socket")
#: What `worker_consumer` names; an app with a consumer of its own derives it from ours, or loses what no
#: task can run.
CELERYS_CONSUMER: Final = "celery.worker.consumer:Consumer"
CONSUMER: Final = "celery_impl.sidekiq.worker.consumer:SidekiqConsumer"


class SidekiqError(RuntimeError):
    """The app cannot take Sidekiq; the text says why and what to do."""


class Sidekiq:
    """Adds Sidekiq's retries, sets and leases to `app`; call it before the app's first task.

    `schedule` defaults to Sidekiq's own, with the overrides of the environment (see `retries`); `errors` is
    what an error means for a job of any task (see `verdicts`); each of `death_handlers` is called with the
    job (`Grave`) and its error when a job is given up; `strict_arguments` refuses what JSON does not give
    back (see `arguments`). All but the handlers can be set for a task as well. `delay` returns or raises
    within `enqueue_within_s` seconds, whatever the broker does (see `deadline`); with `buffer`, so many jobs
    are kept in this process while the broker is away (see `buffer`).
    Raise SidekiqError for a broker that is neither Redis nor RabbitMQ or an app whose task class is made
    already, VerdictError for a bad rule, and RabbitMQError for what its broker cannot do (`rabbitmq`).
    """

    def __init__(
        self,
        app: Celery,
        *,
        schedule: Schedule | None = None,
        errors: Rule | None = None,
        death_handlers: Sequence[DeathHandler] = (),
        strict_arguments: bool = True,
        enqueue_within_s: float = WITHIN_S,
        buffer: int | None = None,
    ) -> None:
        if "Task" in vars(app):
            raise SidekiqError("this app has used its task class already: call Sidekiq(app) before any task")
        check_rule(errors, "errors")
        self.schedule = schedule or Schedule.from_env(os.environ)
        parts = _on_rabbitmq(app) if serves_rabbitmq(app) else _on_redis(app)
        _bound(app, enqueue_within_s)
        own = {
            "schedule": self.schedule,
            "sidekiq_errors": errors,
            "sidekiq_death_handlers": (unique.death_handler(app), *death_handlers),
            "sidekiq_within_s": enqueue_within_s,
            "sidekiq_buffer": None if buffer is None else Buffer(buffer),
            "sidekiq_strict_arguments": strict_arguments,
        }
        app.amqp_cls = _strict(parts.amqp, app.amqp_cls)  # type: ignore[assignment] # Celery takes a class too
        vars(app).pop("amqp", None)  # where somebody has looked at it already
        app.task_cls = _task_class(parts.task, own)  # type: ignore[assignment] # Celery takes a class too
        if app.conf.worker_consumer == CELERYS_CONSUMER:
            app.conf.worker_consumer = CONSUMER
        signals.task_revoked.connect(unique.on_revoked, weak=False, dispatch_uid="sidekiq unique revoked")
        runs.watch()
        app.steps["worker"].update(parts.worker_steps)
        app.steps["consumer"].update(parts.consumer_steps)


class _Parts(NamedTuple):
    """What is made of an app, by its broker."""

    amqp: tuple[type[AMQP], ...]
    task: type[SidekiqTask]
    worker_steps: tuple[Any, ...]
    consumer_steps: tuple[Any, ...]


def _on_redis(app: Celery) -> _Parts:
    _use_transport(app)
    return _Parts((StrictAMQP,), SidekiqTask, (EarlyCheck,), (ServerCheck, KeeperStep))


def _on_rabbitmq(app: Celery) -> _Parts:
    from celery_impl.sidekiq.rabbitmq import check, sender, settings, task  # late: most apps have Redis

    settings.use(app)
    amqp = (sender.RabbitAMQP, StrictAMQP)
    return _Parts(amqp, task.RabbitTask, (check.EarlyCheck,), (check.Check, check.Watch))


def _bound(app: Celery, within_s: float) -> None:
    """Let nothing wait for longer than an enqueue may take; what the app has set itself stays."""
    app.conf.broker_transport_options = {"max_retries": 0, **(app.conf.broker_transport_options or {})}
    if app.conf.broker_pool_acquire_timeout is None:
        app.conf.broker_pool_acquire_timeout = within_s


def _strict(ours: tuple[type[AMQP], ...], amqp: Any) -> type[AMQP]:
    own = {"__module__": StrictAMQP.__module__}
    return type("StrictAMQP", (*ours, symbol_by_name(amqp)), own)


def _task_class(base: type[SidekiqTask], own: dict[str, Any]) -> type[SidekiqTask]:
    return type("SidekiqTask", (base,), {**own, "abstract": True, "__module__": base.__module__})


def _use_transport(app: Celery) -> None:
    scheme, _, rest = (app.conf.broker_url or "").partition("://")
    if scheme in LEASE_SCHEMES:
        lease.register()
        return
    if scheme not in SCHEMES:
        raise SidekiqError(_refusal(scheme, app))
    transport.register()
    app.conf.update(broker_url=f"{SCHEMES[scheme]}://{rest}", broker_transport=transport.ALIAS)
    if scheme == "rediss" and not app.conf.broker_use_ssl:
        app.conf.broker_use_ssl = {"ssl_cert_reqs": "required"}


def _refusal(scheme: str, app: Celery) -> str:
    if "cluster" in scheme or "cluster" in str(app.conf.broker_transport or ""):
        return (
            "the broker is a Redis Cluster, where no script can move a job: use one Redis server (redis://)"
        )
    known = ", ".join((*SCHEMES, *LEASE_SCHEMES, "amqp"))
    return f"the broker is {scheme or 'unset'!r}: Sidekiq needs {known}"
