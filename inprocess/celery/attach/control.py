"""Remote control in one process: a command is a call of the worker's handler, answered at once.

Celery's broadcast waits for its timeout, because more answers may come; here there is one worker.
Handlers are Celery's own and those that the app has registered. They run on the loop's thread.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from celery.exceptions import WorkerShutdown
from celery.utils.collections import AttributeDict
from celery.utils.log import get_logger
from kombu.matcher import match

from inprocess.celery.celery_internals.internals import Control, Panel

logger = get_logger(__name__)


class InProcessControl(Control):  # type: ignore[misc]  # see internals
    """`app.control` of an app that runs in this process."""

    def __init__(self, app: Any, ask: Callable[[Callable[[Any], Any]], Any]) -> None:
        super().__init__(app)
        self._ask = ask

    def broadcast(  # noqa: PLR0917 - Celery's signature
        self,
        command: str,
        arguments: dict[str, Any] | None = None,
        destination: Any = None,
        connection: Any = None,  # noqa: ARG002 - as above
        reply: bool = False,  # noqa: FBT001, FBT002 - as above
        timeout: float = 1.0,  # noqa: ARG002 - the answer is there at once
        limit: int | None = None,  # noqa: ARG002 - there is one worker
        callback: Callable[[Any], object] | None = None,
        channel: Any = None,  # noqa: ARG002 - as above
        pattern: str | None = None,
        matcher: str | None = None,
        **extra: Any,
    ) -> list[dict[str, Any]] | None:
        """Run a command in the worker; return its answer in a list, None without `reply`."""
        arguments = dict(arguments or {}, **extra)

        def handle(worker: Any) -> list[dict[str, Any]]:
            if not _is_meant(worker.hostname, destination, pattern, matcher):
                return []
            self.app.clock.forward()
            return [{worker.hostname: _handled(worker, command, arguments)}]

        answers: list[dict[str, Any]] = self._ask(handle) or []
        for answer in answers if callback is not None else ():
            callback(answer)  # type: ignore[misc]  # it is not None
        return answers if reply else None


def _is_meant(hostname: str, destination: Any, pattern: str | None, matcher: str | None) -> bool:
    if pattern is not None and matcher is not None:
        return bool(match(hostname, pattern, matcher))  # type: ignore[arg-type]  # texts, whatever the stubs say
    names = [destination] if isinstance(destination, str) else destination
    return not names or hostname in names


def _handled(worker: Any, command: str, arguments: dict[str, Any]) -> Any:
    handler = Panel.data.get(command)
    if handler is None:
        return {"error": f"No such control command: {command}"}
    state = AttributeDict(app=worker.app, hostname=worker.hostname, consumer=worker.consumer, tset=set)
    try:
        return handler(state, **arguments)
    except WorkerShutdown:
        return {"error": "this worker is part of its app and ends with it: stop the run instead"}
    except Exception as error:
        logger.exception("Control command %s failed", command)
        return {"error": repr(error)}
