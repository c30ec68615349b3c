"""`Sidekiq(app)`: the one line that adds all of it to a Celery app."""

from __future__ import annotations

import os
from typing import Final

from celery import Celery

from celery_impl.sidekiq import transport
from celery_impl.sidekiq.keeper import KeeperStep
from celery_impl.sidekiq.retries import Schedule
from celery_impl.sidekiq.task import SidekiqTask

#: What a broker URL may begin with, and what it becomes where the scheme itself names the transport.
SCHEMES: Final = {"redis": "redis", "rediss": "rediss", "redis+socket": f"{transport.ALIAS}+socket"}


class SidekiqError(RuntimeError):
    """The app cannot take Sidekiq; the text says why and what to do."""


class Sidekiq:
    """Adds Sidekiq's retries, sets and leases to `app`; call it before the app's first task.

    `schedule` defaults to Sidekiq's own, with the overrides of the environment (see `retries`).
    Raise SidekiqError for a broker that is not Redis or an app whose task class is made already.
    """

    def __init__(self, app: Celery, *, schedule: Schedule | None = None) -> None:
        if "Task" in vars(app):
            raise SidekiqError("this app has used its task class already: call Sidekiq(app) before any task")
        self.schedule = schedule or Schedule.from_env(os.environ)
        _use_transport(app)
        app.task_cls = _task_class(self.schedule)  # type: ignore[assignment] # Celery takes a class too
        app.steps["consumer"].add(KeeperStep)


def _task_class(schedule: Schedule) -> type[SidekiqTask]:
    attributes = {"schedule": schedule, "abstract": True, "__module__": SidekiqTask.__module__}
    return type("SidekiqTask", (SidekiqTask,), attributes)


def _use_transport(app: Celery) -> None:
    scheme, _, rest = (app.conf.broker_url or "").partition("://")
    if scheme not in SCHEMES:
        raise SidekiqError(f"the broker is {scheme or 'unset'!r}: Sidekiq needs {', '.join(SCHEMES)}")
    transport.register()
    app.conf.update(broker_url=f"{SCHEMES[scheme]}://{rest}", broker_transport=transport.ALIAS)
    if scheme == "rediss" and not app.conf.broker_use_ssl:
        app.conf.broker_use_ssl = {"ssl_cert_reqs": "required"}
