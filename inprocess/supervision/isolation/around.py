"""Around: what is set up before each job in this process, and taken down after it.

A hook is a function without arguments that returns a context manager. It is called for each attempt of a
child, where that is about to run its function: in its thread or, for an async function, on its loop. The
function runs inside of the context manager; `current_child` works in a hook too. A manager that can do
both is entered by `async with` around an async function, and by `with` around a plain one. An error of a hook
is one of the attempt: what raises at the entry keeps the function from running.

All hooks that apply are entered, those of the process (`around_every_job`) first, then that of the runtime
(`Runtime(around=)`), then that of the supervisor (`TaskSupervisor.start(around=)`). A worker process enters
none of them: it gets the function and its arguments alone.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    AsyncExitStack,
    ExitStack,
    asynccontextmanager,
    contextmanager,
)
from typing import Final, cast
from weakref import WeakKeyDictionary

from inprocess.supervision.core.log import log

#: Returns the context manager that one attempt runs in.
Around = Callable[[], AbstractContextManager[object] | AbstractAsyncContextManager[object]]

#: Not empty once this process has had a hook. Hot paths look here first.
in_use: Final[list[bool]] = []

_told: Final[set[str]] = set()
_of_process: Final[list[Around]] = []
_of_loop: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, Around]] = WeakKeyDictionary()


def around_every_job(hook: Around) -> None:
    """Run each job of this process inside of what `hook` returns, from now on. Any thread.

    For the glue of a framework. Has no effect for a hook that is there already; raise TypeError for what is
    none.
    """
    check_hook(hook)
    if hook not in _of_process:
        _of_process.append(hook)


def no_longer_around(hook: Around) -> None:
    """Undo `around_every_job`; jobs that run now are not affected. Any thread."""
    if hook in _of_process:
        _of_process.remove(hook)


def around_jobs_of(loop: asyncio.AbstractEventLoop, hook: Around) -> None:
    """Run each job of the supervisors on this loop inside of what `hook` returns."""
    _of_loop[loop] = hook


def check_hook(hook: object) -> None:
    """Raise TypeError unless the hook can be called; else note that there is one."""
    if not callable(hook) or hasattr(type(hook), "__enter__"):  # a manager for one job alone
        raise TypeError(
            f"around is {hook!r}: expected a function that returns a new context manager for each job, such "
            "as `app.app_context` (without the brackets)"
        )
    if not in_use:
        in_use.append(True)


def hooks_for(own: Around | None, loop: asyncio.AbstractEventLoop) -> Sequence[Around]:
    """Return the hooks of a job of a supervisor on this loop, the outermost first."""
    of_loop = _of_loop.get(loop)
    return (*_of_process, *(hook for hook in (of_loop, own) if hook is not None))


def tell_of_borrowed_session() -> None:
    """Say once that a job without a hook shares the Flask-SQLAlchemy session of who started it."""
    if "flask_sqlalchemy" not in sys.modules:
        return
    has_app_context = getattr(sys.modules.get("flask"), "has_app_context", bool)  # it may be half imported
    if not has_app_context():
        return
    _tell(
        "a job runs in the application context of the request that started it, and shares its "
        "Flask-SQLAlchemy session: a commit of either commits what the other has half done. Call "
        "inprocess.integrations.flask.init_app(app), or pass around=app.app_context"
    )


def tell_of_open_connections() -> None:
    """Say once that a job without a hook has left a database connection of Django's open."""
    connections = getattr(sys.modules.get("django.db"), "connections", None)
    if connections is None:
        return
    try:
        is_open = any(one.connection is not None for one in connections.all(initialized_only=True))
    except Exception:  # noqa: BLE001 - Django is there, and not set up
        return
    if not is_open:
        return
    _tell(
        "a job has left its database connection open, as Django closes those of requests alone: put "
        '"inprocess.integrations.django" into INSTALLED_APPS'
    )


def _tell(what: str) -> None:
    if what not in _told:
        _told.add(what)
        log.warning("%s (this is said once)", what)


@contextmanager
def entered(hooks: Sequence[Around]) -> Iterator[None]:
    """Call the hooks and enter what they return, in this order; leave them in reverse."""
    with ExitStack() as stack:
        for hook in hooks:
            stack.enter_context(cast("AbstractContextManager[object]", hook()))
        yield


@asynccontextmanager
async def entered_async(hooks: Sequence[Around]) -> AsyncIterator[None]:
    """Like `entered`, around an async function."""
    async with AsyncExitStack() as stack:
        for hook in hooks:
            manager = hook()
            if isinstance(manager, AbstractAsyncContextManager):
                await stack.enter_async_context(manager)
            else:
                stack.enter_context(manager)
        yield
