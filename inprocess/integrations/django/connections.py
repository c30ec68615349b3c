"""Database connections of jobs.

Django opens a connection for each thread, and closes it at the end of a request. A job is no request: without
this, the connection of its thread would stay open, whatever CONN_MAX_AGE says, until the thread ends.

    TaskSupervisor.start(around=ClosedConnections)  # or, for all jobs, the app in INSTALLED_APPS
"""

from __future__ import annotations

from types import TracebackType

from asgiref.sync import SyncToAsync, ThreadSensitiveContext, sync_to_async
from django.db import connections, reset_queries

from inprocess.supervision.core.log import log


class ClosedConnections:
    """A hook: the context of one job, whose connections are closed at its end.

    A transaction that is open then is rolled back. They are closed also if CONN_MAX_AGE keeps those of
    requests; a pooled one goes back to its pool. What fails at the close is logged, since the job has ended
    by then. The async ORM of a job runs in a thread of its own, as that of a request under ASGI does.
    """

    def __enter__(self) -> None:
        reset_queries()

    def __exit__(self, *_: object) -> None:
        _close()

    async def __aenter__(self) -> None:
        self._thread = ThreadSensitiveContext()
        await self._thread.__aenter__()  # type: ignore[no-untyped-call]  # as it says

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._thread in SyncToAsync.context_to_thread_executor:  # else the job has used none
                await sync_to_async(_close)()
        finally:
            await self._thread.__aexit__(kind, error, trace)  # type: ignore[no-untyped-call]  # as above


def _close() -> None:
    try:
        connections.close_all()
    except Exception:  # noqa: BLE001 - of any database
        log.exception("the database connections of a job could not be closed")
