"""`Sidekiq(app)`: the one line that adds all of it to a Celery app."""

from __future__ import annotations

import logging
import os
import weakref
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

import kombu
from celery import Celery, signals
from kombu.utils.imports import symbol_by_name
from kombu.utils.url import maybe_sanitize_url

from celery_impl.sidekiq.enqueue.buffer import Buffer
from celery_impl.sidekiq.enqueue.death import DeathHandler
from celery_impl.sidekiq.enqueue.task import SidekiqTask, bulk_of
from celery_impl.sidekiq.jobs.broker_support import IN_MEMORY, RabbitMQError, is_in_memory
from celery_impl.sidekiq.jobs.broker_support import serves as serves_rabbitmq
from celery_impl.sidekiq.jobs.error_rules import Rule, check_rule
from celery_impl.sidekiq.jobs.retry_schedule import Schedule
from celery_impl.sidekiq.lease import transport as lease_transport
from celery_impl.sidekiq.limits import unique
from celery_impl.sidekiq.memory.store import keep_in_memory
from celery_impl.sidekiq.middleware import (
    Chain,
    Deadline,
    Death,
    Failures,
    LocalBuffer,
    Middleware,
    RateLimit,
    Retry,
    StrictArguments,
    Unique,
)
from celery_impl.sidekiq.middleware.chain import sides_of
from celery_impl.sidekiq.middleware.entry_points import Adopter, Sender, enter_client_chain, run
from celery_impl.sidekiq.middleware.failures import ErrorHandler, Report
from celery_impl.sidekiq.redis import transport
from celery_impl.sidekiq.redis.deadline import WITHIN_S
from celery_impl.sidekiq.redis.server_check import EarlyCheck, ServerCheck
from celery_impl.sidekiq.sending import bulk
from celery_impl.sidekiq.worker import pool_names
from celery_impl.sidekiq.worker.maintenance import MaintenanceStep

#: What a broker URL may begin with, and what it becomes where the scheme itself names the transport. Those
#: of the lease transport may as well, and stay as they are.
SCHEMES: Final = {"redis": "redis", "rediss": "rediss", "redis+socket": f"{transport.ALIAS}+socket"}
#: The option of broker_transport_options that asks for the lease transport on a URL of Redis.
LEASE_OPTION: Final = "lease"
LEASE_SCHEMES: Final = ("lease+redis", "lease+rediss", "lease+socket")
#: What `worker_consumer` names; an app with a consumer of its own derives it from ours, or loses what no
#: task can run.
CELERYS_CONSUMER: Final = "celery.worker.consumer:Consumer"
CONSUMER: Final = "celery_impl.sidekiq.worker.consumer:SidekiqConsumer"
#: By name: an app that only sends jobs loads no worker.
SWARM_STEP: Final = "celery_impl.sidekiq.swarm.steps:SwarmStep"
#: What `task_cls` names where the app has no task class of its own.
CELERYS_TASK: Final = "celery.app.task:Task"

#: The first kombu that delays messages on RabbitMQ.
RABBITMQ_KOMBU: Final = (5, 5)

logger = logging.getLogger(__name__)

_installed: Final[weakref.WeakSet[Celery]] = weakref.WeakSet()


class SidekiqError(RuntimeError):
    """`Sidekiq(app)` cannot be used on this app; the text says why and what to do."""


class Sidekiq:
    """Adds Sidekiq's retries, sets and leases to `app`, and the chains that each of its jobs passes.

    `middleware` are added to `client_middleware`, `server_middleware` or both, by what they override: the
    first is the outermost of them. `schedule` defaults to Sidekiq's own, with the overrides of the
    environment (see `jobs.retry_schedule`); `errors` is what an error means for a job of any task (see
    `jobs.error_rules`); each of `death_handlers` is called with the job (`DeadJob`) and its error when a job
    is given up; each of `error_handlers` is called with the error and the job (`RunningJob`) of each run that
    fails, and Celery's `task_failure` is sent for "each" of them or the "last" (`report_failures`, see
    `middleware.failures`); `strict_arguments` refuses what the serializer does not give back.
    `schedule`, `errors` and `strict_arguments` can be set for a task as well. `delay` returns or raises
    within `enqueue_within_s` seconds, whatever the broker does (see `redis.deadline`); with `buffer`, so
    many jobs are kept in this process while the broker is away (see `enqueue.buffer`). `lease` chooses the
    lease transport on Redis (`lease`), by default as broker_transport_options["lease"] says; `lease+redis://`
    has it. On a broker in memory, and in a run of `inprocess.celery`, the sets are in memory too (`memory`).
    Raise SidekiqError for a broker that is none of these, or a second call for one app; TaskClassError for a
    task that the app has and that cannot pass the chains;
    MiddlewareError for what is no middleware; VerdictError for a bad rule; and RabbitMQError for what the
    app's broker cannot do (`rabbitmq`).
    """

    def __init__(
        self,
        app: Celery[Any],  # of whatever task class
        *,
        middleware: Sequence[Middleware] = (),
        schedule: Schedule | None = None,
        errors: Rule | None = None,
        death_handlers: Sequence[DeathHandler] = (),
        error_handlers: Sequence[ErrorHandler] = (),
        report_failures: Report = "each",
        strict_arguments: bool = True,
        enqueue_within_s: float = WITHIN_S,
        buffer: int | None = None,
        lease: bool | None = None,
    ) -> None:
        if app in _installed:
            raise SidekiqError(
                "Sidekiq(app) was called for this app before: keep what it returned, and see that the module "
                "that makes the app is imported under one name"
            )
        self._app = app
        check_rule(errors, "errors")
        sides = [(entry, sides_of(entry)) for entry in middleware]
        self.schedule = schedule or Schedule.from_env(os.environ)
        kept = None if buffer is None else Buffer(buffer)
        on_rabbitmq = serves_rabbitmq(app)
        if on_rabbitmq:
            _refuse_lease(lease)
        parts = _on_rabbitmq() if on_rabbitmq else _on_redis()
        fit = partial(_fit_settings, app, on_rabbitmq=on_rabbitmq, lease=lease, within_s=enqueue_within_s)
        fit()
        client = [*parts.first, StrictArguments(default=strict_arguments), *parts.client]
        self.client_middleware = Chain("client", client, Sender(app, asks_first=parts.asks_first))
        failures = Failures(error_handlers, report=report_failures)
        self.server_middleware = Chain("server", (Death(), failures, Retry(), *parts.server), run)
        for entry, found in sides:
            for side in found:
                {"client": self.client_middleware, "server": self.server_middleware}[side].add(entry)
        own = {
            "schedule": self.schedule,
            "sidekiq_errors": errors,
            "sidekiq_death_handlers": (unique.death_handler(app), *death_handlers),
            "sidekiq_within_s": enqueue_within_s,
            "sidekiq_buffer": kept,
            "sidekiq_strict_arguments": strict_arguments,
        }
        self._enter(app, own, parts, fit)
        signals.task_revoked.connect(unique.on_revoked, weak=False, dispatch_uid="sidekiq unique revoked")
        pool_names.register()
        app.steps["worker"].update(parts.worker_steps)
        app.steps["consumer"].update(parts.consumer_steps)
        _installed.add(app)

    def bulk(self, signatures: Iterable[Any]) -> Sequence[Any]:
        """Send a job for each signature, many in one packet, and return their results in the same order.

        Each is one of a single task of the app, with options of its own if it likes. No order holds between
        jobs of different tasks or options. Raise as `task.bulk`.
        """
        return bulk.send_signatures(self._app, signatures, bulk_of)

    def check(self, task: Any) -> None:
        """Have all middleware look at a task; raise what they raise for options that cannot be used."""
        for entry in dict.fromkeys((*self.client_middleware, *self.server_middleware)):
            entry.check(task)

    def _enter(self, app: Celery, own: dict[str, Any], parts: _Parts, fit: Callable[[], None]) -> None:
        """Lead all jobs of the app through the chains; `fit` is called when other settings are loaded."""
        if parts.amqp is not None:
            names = {"__module__": parts.amqp.__module__}
            app.amqp_cls = type("AMQP", (parts.amqp, symbol_by_name(app.amqp_cls)), names)  # type: ignore[assignment,arg-type] # Celery takes a class too
            vars(app).pop("amqp", None)  # where somebody has looked at it already
        base = type(
            "SidekiqTask", (SidekiqTask,), {**own, "abstract": True, "__module__": SidekiqTask.__module__}
        )
        app.task_cls = _task_class(app.task_cls, base)  # type: ignore[assignment] # Celery takes a class too
        enter_client_chain(app, self.client_middleware, fit)
        adopter = Adopter(base=base, request=parts.request, chain=self.server_middleware, check=self.check)
        adopter.adopt_all(app)


class _Parts(NamedTuple):
    """The parts of an app that depend on its broker: classes, worker steps and middleware.

    `first` stand outside of strict arguments on the client side, `client` inside; `server` stand inside of
    `Retry`.
    """

    request: str
    first: tuple[Middleware, ...]
    client: tuple[Middleware, ...]
    server: tuple[Middleware, ...]
    worker_steps: tuple[Any, ...]
    consumer_steps: tuple[Any, ...]
    asks_first: bool
    amqp: type | None = None


def _fit_settings(app: Celery, *, on_rabbitmq: bool, lease: bool | None, within_s: float) -> None:
    """Set what Sidekiq needs of the app's settings: once, and anew where others are loaded later."""
    if serves_rabbitmq(app) != on_rabbitmq:
        raise SidekiqError(
            "the settings that were loaded after Sidekiq(app) name a broker of another kind: load them before"
        )
    if on_rabbitmq:
        from celery_impl.sidekiq.rabbitmq import settings  # late: most apps have Redis

        settings.use(app)
    else:
        _use_transport(app, lease)
    _bound(app, within_s)
    if app.conf.worker_consumer == CELERYS_CONSUMER:
        app.conf.worker_consumer = CONSUMER


def _on_redis() -> _Parts:
    unique_jobs = Unique()
    return _Parts(
        request="celery_impl.sidekiq.worker.request:SidekiqRequest",
        first=(),
        client=(Deadline(), unique_jobs, LocalBuffer()),
        server=(RateLimit(), unique_jobs),
        worker_steps=(EarlyCheck, SWARM_STEP),
        consumer_steps=(ServerCheck, MaintenanceStep),
        asks_first=True,
    )


def _on_rabbitmq() -> _Parts:
    version = kombu.VERSION  # type: ignore[attr-defined] # not in the stubs
    if version[:2] < RABBITMQ_KOMBU:
        raise RabbitMQError(
            f"RabbitMQ needs kombu 5.5 or newer, as in Celery 5.5: this is {version.major}.{version.minor}"
        )
    # late: most apps have Redis
    from celery_impl.sidekiq.rabbitmq import check, delayed_delivery, sender

    return _Parts(
        request="celery_impl.sidekiq.rabbitmq.consumer:RabbitRequest",
        first=(delayed_delivery.DelayedDelivery(),),
        client=(Deadline(), LocalBuffer()),
        server=(),
        worker_steps=(check.EarlyCheck,),
        consumer_steps=(check.Check, check.Watch),
        asks_first=False,
        amqp=sender.RabbitAMQP,
    )


def _task_class(known: Any, base: type[SidekiqTask]) -> type[SidekiqTask]:
    """Return the class of the app's tasks: `base`, in front of it the app's own where it has one."""
    own = symbol_by_name(known)
    if own is symbol_by_name(CELERYS_TASK):
        return base
    return type(
        own.__name__, (own, base), {"abstract": True, "__module__": own.__module__, "__doc__": own.__doc__}
    )


def _bound(app: Celery, within_s: float) -> None:
    """Let nothing wait for longer than an enqueue may take; what the app has set itself stays."""
    app.conf.broker_transport_options = {"max_retries": 0, **(app.conf.broker_transport_options or {})}
    if app.conf.get("broker_pool_acquire_timeout") is None:  # before Celery 5.7 nothing reads it but ours
        app.conf.broker_pool_acquire_timeout = within_s


def _use_transport(app: Celery, wanted: bool | None) -> None:  # noqa: FBT001 - as Sidekiq takes it
    if is_in_memory(app):
        keep_in_memory(app)
        lease_transport.register()  # for a URL that the app gets later
        return
    scheme, _, rest = _broker_url(app).partition("://")
    if scheme in LEASE_SCHEMES:
        if wanted is False:
            raise SidekiqError(
                f"lease=False with {scheme}://: write {scheme.removeprefix('lease+')}://, or no lease="
            )
        _lease(app, scheme.removeprefix("lease+"), rest)
        return
    if scheme not in SCHEMES:
        raise SidekiqError(_refusal(scheme, app))
    if wanted if wanted is not None else lease_option(app):
        _lease(app, scheme.removeprefix("redis+"), rest)
        return
    transport.register()
    app.conf.update(broker_url=f"{SCHEMES[scheme]}://{rest}", broker_transport=transport.ALIAS)
    _check_certificate(app, scheme)


def _lease(app: Celery, scheme: str, rest: str) -> None:
    """Use the lease transport, with a URL that others know, who read `broker_url` and a connection's info."""
    lease_transport.register()
    if scheme == "socket":
        app.conf.update(broker_url=f"lease+socket://{rest}")
        return
    app.conf.update(broker_url=f"{scheme}://{rest}", broker_transport=lease_transport.PLAIN[scheme])
    _check_certificate(app, scheme)


def _check_certificate(app: Celery, scheme: str) -> None:
    if scheme == "rediss" and not app.conf.broker_use_ssl:
        app.conf.broker_use_ssl = {"ssl_cert_reqs": "required"}


def _broker_url(app: Celery) -> str:
    """Return the one URL of the app's broker; raise SidekiqError where there are several."""
    conf: Any = app.conf
    known = (conf.broker_url, conf.broker_read_url, conf.broker_write_url)
    lists = [url.split(";") if isinstance(url, str) else url for url in known if url]
    urls = list(dict.fromkeys(part for urls in lists for url in urls for part in url.split(";") if part))
    if any(url.startswith("sentinel") for url in urls):
        raise SidekiqError(
            "the broker is a Sentinel's: the replica that follows in a failover may lack jobs that were "
            "accepted, and Sidekiq promises to lose none. Name one Redis server with an append-only file"
        )
    if len(urls) > 1:
        named = ", ".join(map(maybe_sanitize_url, urls))
        raise SidekiqError(
            f"the settings name {len(urls)} brokers ({named}): Sidekiq keeps its jobs on one. Set broker_url "
            "to one URL, and leave broker_read_url and broker_write_url out"
        )
    if urls and conf.broker_url != urls[0]:
        conf.update(broker_url=urls[0])
    return urls[0] if urls else ""


def lease_option(app: Celery) -> bool:
    """Return whether the app's broker_transport_options ask for the lease."""
    return bool((app.conf.broker_transport_options or {}).get(LEASE_OPTION))


def _refuse_lease(wanted: bool | None) -> None:  # noqa: FBT001 - as Sidekiq takes it
    if wanted:
        raise SidekiqError(
            "lease=True is for Redis: quorum queues of RabbitMQ deliver a dead worker's jobs anyway"
        )


def warn_of_lease(instance: Any = None, **_: Any) -> None:
    """Celery's signal `celeryd_init`: say so where the option asks for a lease that nobody honours."""
    app = instance.app
    if app not in _installed and lease_option(app):
        logger.warning(
            "broker_transport_options has lease=True, and nobody honours it: call Sidekiq(app) where the app "
            "is made, or take the option away"
        )


signals.celeryd_init.connect(warn_of_lease, weak=False, dispatch_uid="sidekiq lease option")


def _refusal(scheme: str, app: Celery) -> str:
    if "cluster" in scheme or "cluster" in str(app.conf.broker_transport or ""):
        return (
            "the broker is a Redis Cluster, where no script can move a job: use one Redis server (redis://)"
        )
    known = ", ".join((*SCHEMES, *LEASE_SCHEMES, "amqp", *IN_MEMORY))
    return f"the broker is {scheme or 'unset'!r}: Sidekiq needs {known}"
