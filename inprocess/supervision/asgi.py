"""A supervision tree that lives as long as an ASGI app: started before it serves, drained at its end.

Give a framework with a lifespan (Starlette, FastAPI) `lifespan(start)`. Wrap any other ASGI app, with or
without a lifespan of its own: `Supervised(app, start)`. `start` creates the tree on the server's loop:
`partial(Supervisor.start, children, name="tree")`, or an async function that returns a process.

For a wrapped app:
1. The app's own start-up runs first, so that the tree can use what the app has opened.
2. The tree starts. If that fails, the app's own shut-down runs and the server is told why; it then does
   not serve.
3. While it serves, `request.state.inprocess` is the tree (if the server passes state on, as uvicorn
   does), and calls from the app's worker threads use its loop.
4. At shut-down the tree is drained for `grace_s`, and running tasks of `Task.start` are cut off; then the
   app's own shut-down runs.

OTP has applications for this. A server that is killed drains nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from inspect import isawaitable
from typing import Any

from inprocess.supervision.core.log import log
from inprocess.supervision.core.process import Process
from inprocess.supervision.core.redact import repr_of, text_of
from inprocess.supervision.lifecycle.drain import GRACE_S, drain
from inprocess.supervision.lifecycle.runtime import attach
from inprocess.supervision.tasks.task import unlinked

#: Name of the tree in the state of requests.
STATE_KEY = "inprocess"

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Start = Callable[[], Process | Awaitable[Process]]


def lifespan(
    start: Start, *, grace_s: float = GRACE_S
) -> Callable[[object], AbstractAsyncContextManager[dict[str, Process]]]:
    """Return a `lifespan=` for a framework: called with the app, it gives a context that runs the tree.

    The context yields the state of requests: `request.state.inprocess` is the tree. It raises what the start
    raises.
    """

    @asynccontextmanager
    async def run(_app: object) -> AsyncIterator[dict[str, Process]]:
        async with running(start, grace_s=grace_s) as tree:
            yield {STATE_KEY: tree}

    return run


@asynccontextmanager
async def running(start: Start, *, grace_s: float = GRACE_S) -> AsyncIterator[Process]:
    """Run the tree on the running loop while the block runs, then drain it for `grace_s` seconds."""
    loop = asyncio.get_running_loop()
    tasks = unlinked(loop)
    with attach(loop):
        made = start()
        tree = await made if isawaitable(made) else made
        try:
            await tree.ready()
            yield tree
        finally:
            tasks.quiet()
            try:
                await drain(tree, grace_s=grace_s)
            finally:
                await drain(tasks, grace_s=0.0)


class Supervised:
    """An ASGI app that wraps another; see the module."""

    def __init__(self, app: App, start: Start, *, grace_s: float = GRACE_S) -> None:
        self._app = app
        self._start = start
        self._grace_s = grace_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, or the server's lifespan."""
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return
        await receive()  # lifespan.startup
        inner = _Inner(self._app, scope)
        try:
            await self._run(scope, inner, receive, send)
        finally:
            await inner.cancel()

    async def _run(self, scope: Scope, inner: _Inner, receive: Receive, send: Send) -> None:
        refused = await inner.ask("startup")
        if refused is not None:
            await send(refused)
            return
        phase = "startup"
        try:
            async with running(self._start, grace_s=self._grace_s) as tree:
                scope.setdefault("state", {})[STATE_KEY] = tree
                await send({"type": "lifespan.startup.complete"})
                phase = "shutdown"
                await receive()  # lifespan.shutdown
        except Exception as error:  # noqa: BLE001 - the server is told, whatever it is
            log.exception("the supervision tree failed at %s", phase)
            await inner.ask("shutdown")
            message = f"{type(error).__name__}: {text_of(error)}"
            await send({"type": f"lifespan.{phase}.failed", "message": message})
            return
        await send(await inner.ask("shutdown") or {"type": "lifespan.shutdown.complete"})


class _Inner:
    """The lifespan of the wrapped app, which this module serves by the same protocol."""

    def __init__(self, app: App, scope: Scope) -> None:
        self._asked: asyncio.Queue[Message] = asyncio.Queue()
        self._answers: asyncio.Queue[Message] = asyncio.Queue()
        self._task = asyncio.ensure_future(app(scope, self._asked.get, self._answers.put))

    async def ask(self, phase: str) -> Message | None:
        """Run a phase of the app; return its message if that fails, else None.

        An app that returns or raises without an answer has no lifespan, as the protocol says.
        """
        if self._task.done():
            return None
        self._asked.put_nowait({"type": f"lifespan.{phase}"})
        answer = asyncio.ensure_future(self._answers.get())
        try:
            await asyncio.wait((answer, self._task), return_when=asyncio.FIRST_COMPLETED)
            if not answer.done() and self._answers.empty():
                return None
            message = await answer
        finally:
            answer.cancel()
        return message if message["type"].endswith(".failed") else None

    async def cancel(self) -> None:
        """Cancel it and wait for its end."""
        self._task.cancel()
        await asyncio.wait((self._task,))
        if not self._task.cancelled() and (error := self._task.exception()) is not None:
            log.info("the app has no lifespan of its own: %s", repr_of(error))
