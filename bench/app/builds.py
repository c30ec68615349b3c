"""The build behind each side, as the app calls it: the contract's three modules and how to host them."""

from __future__ import annotations

import importlib
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

from bench.app import inline, planted
from bench.app.other_hosts import PRELOAD
from bench.app.planted.truths import TRUTHS
from scenarios.contract import AccountSetup, AccountSync, WelcomeEmail

#: The variable that names another host of the build than a lifespan, see `other_hosts`.
HOST_VARIABLE = "QUEUE_OR_TASK_HOST"
#: The place of an in-process job that has not ended.
IN_MEMORY = "memory"
#: The package of each side.
PACKAGES = {
    "inprocess": "inprocess",
    "inprocess-journal": "inprocess.journalled",
    "celery-stock": "celery_impl",
    "celery-hardened": "celery_impl",
    "inline": inline.__name__,
    **dict.fromkeys(TRUTHS, planted.__name__),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """One build of the contract, imported."""

    account_setup: AccountSetup
    account_sync: AccountSync
    welcome_email: WelcomeEmail
    #: Hosts the build in the app for as long as the app serves.
    lifespan: Callable[[], AbstractAsyncContextManager[object]]
    #: Accepted jobs that have not ended, each with where it is; may block.
    pending_jobs: Callable[[], Mapping[str, str]]
    #: Whether handing a job over never blocks, so that a coroutine calls it directly.
    on_loop: bool


def load(side: str) -> Build:
    """Import the build of a side, and nothing of the others; raise KeyError for an unknown side."""
    package = PACKAGES[side]
    scenarios = {
        name: cast("Any", importlib.import_module(f"{package}.{name}"))
        for name in ("account_setup", "account_sync", "welcome_email")
    }
    hosts = {
        "inprocess": _inprocess,
        "inprocess.journalled": _journalled,
        "celery_impl": _celery,
        inline.__name__: _inline,
        planted.__name__: _known,
    }
    lifespan, pending = hosts[package]()
    return Build(**scenarios, lifespan=lifespan, pending_jobs=pending, on_loop=package == "inprocess")


_Host = tuple[Callable[[], AbstractAsyncContextManager[object]], Callable[[], Mapping[str, str]]]


def _inprocess() -> _Host:
    from inprocess import application  # late: each side imports its own build alone

    return _hosted(application), lambda: dict.fromkeys(application.pending_jobs(), IN_MEMORY)


def _hosted(application: Any) -> Callable[[], AbstractAsyncContextManager[object]]:
    if not os.environ.get(HOST_VARIABLE):
        return cast("Callable[[], AbstractAsyncContextManager[object]]", application.lifespan)
    application.home()  # the tree on a runtime, from the import of the app on
    return _nothing


def _journalled() -> _Host:
    from inprocess.journalled import application  # late: as above

    return _hosted(application), application.pending_jobs


def _celery() -> _Host:
    from celery_impl.app import app  # late: as above
    from celery_impl.pending_jobs import pending_jobs

    if os.environ.get(HOST_VARIABLE) == PRELOAD:  # connections that a fork then finds
        pending_jobs(app)
        app.pool.acquire().release()
    return _nothing, lambda: pending_jobs(app)


def _inline() -> _Host:
    return _nothing, dict


def _known() -> _Host:
    from bench.app.planted.engine import engine  # late: as above

    return engine.lifespan, dict


@asynccontextmanager
async def _nothing() -> AsyncIterator[None]:
    yield
