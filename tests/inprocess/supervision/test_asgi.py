"""A tree in an ASGI app, served by a real uvicorn."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from inprocess.supervision.asgi import App, Message, Receive, Scope, Send, Supervised, lifespan
from inprocess.supervision.core.names import whereis
from inprocess.supervision.core.process import Process
from inprocess.supervision.lifecycle.runtime import home_loop
from inprocess.supervision.supervisors.child_spec import ChildSpec
from inprocess.supervision.supervisors.supervisor import Supervisor
from inprocess.supervision.tasks.task import Task
from inprocess.supervision.tasks.task_supervisor import TaskSupervisor

start_tree = partial(
    Supervisor.start, [ChildSpec("tasks", partial(TaskSupervisor.start, name="tasks"))], name="tree"
)


async def show_state(request: Request) -> PlainTextResponse:
    await asyncio.sleep(0)
    return PlainTextResponse(request.state.inprocess.name)


def show_home(_request: Request) -> PlainTextResponse:  # a plain one: Starlette runs it in a thread
    tasks = whereis("tasks")
    assert isinstance(tasks, TaskSupervisor)
    return PlainTextResponse(str(home_loop() is tasks.loop))


ROUTES = [Route("/", show_state), Route("/home", show_home)]


@asynccontextmanager
async def serving(app: Any) -> AsyncIterator[httpx.AsyncClient]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(
            uvicorn.Config(app, lifespan="on", log_config=None, timeout_graceful_shutdown=5)
        )
        started, startup = asyncio.Event(), server.startup

        async def note_startup(sockets: Any = None) -> None:
            await startup(sockets)
            started.set()

        server.startup = note_startup  # type: ignore[method-assign]  # uvicorn has no event for it
        task = asyncio.ensure_future(server.serve([listening]))
        waiting = asyncio.ensure_future(started.wait())
        await asyncio.wait((task, waiting), return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
            try:
                yield client
            finally:
                server.should_exit = True
                await task


def journal_app(journal: list[str], *, fail: str | None = None) -> App:
    """An app with a lifespan of its own, which fails at a phase where that is asked for."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "lifespan"
        while True:
            phase = (await receive())["type"].removeprefix("lifespan.")
            journal.append(f"{phase} with {whereis('tree') and 'a tree'}")
            if phase == fail:
                await send({"type": f"lifespan.{phase}.failed", "message": "own reason"})
            else:
                await send({"type": f"lifespan.{phase}.complete"})
            if phase in {fail, "shutdown"}:
                return

    return app


async def lifespan_of(app: App) -> list[Message]:
    """Drive an app through a whole lifespan and return what it sent."""
    asked: asyncio.Queue[Message] = asyncio.Queue()
    sent: list[Message] = []

    async def send(message: Message) -> None:
        await asyncio.sleep(0)
        sent.append(message)

    for phase in ("startup", "shutdown"):
        asked.put_nowait({"type": f"lifespan.{phase}"})
    await app({"type": "lifespan"}, asked.get, send)
    assert whereis("tree") is None
    return sent


def types(messages: list[Message]) -> list[str]:
    return [message["type"].removeprefix("lifespan.") for message in messages]


@pytest.mark.parametrize(
    "make",
    [
        lambda: Starlette(routes=ROUTES, lifespan=lifespan(start_tree)),
        lambda: Supervised(Starlette(routes=ROUTES), start_tree),
    ],
    ids=["lifespan", "wrapped"],
)
def test_a_served_app_has_its_tree_in_the_requests_state_and_drains_it_at_the_end(
    make: Callable[[], Any],
) -> None:
    async def test() -> None:
        done: list[str] = []

        async def work(begun: asyncio.Event) -> None:
            begun.set()
            await asyncio.sleep(0.05)
            done.append("work")

        async with serving(make()) as client:
            assert (await client.get("/")).text == "tree"
            assert (await client.get("/home")).text == "True"
            tasks = whereis("tasks")
            assert isinstance(tasks, TaskSupervisor)
            begun = asyncio.Event()
            tasks.start_child(work, begun)
            await begun.wait()
        assert done == ["work"]
        assert whereis("tree") is None

    asyncio.run(test())


def test_a_wrapped_app_starts_before_the_tree_and_ends_after_it() -> None:
    journal: list[str] = []

    async def test() -> None:
        app = Supervised(journal_app(journal), start_tree)
        assert types(await lifespan_of(app)) == ["startup.complete", "shutdown.complete"]

    asyncio.run(test())
    assert journal == ["startup with None", "shutdown with None"]


def test_an_app_that_cannot_start_is_reported_and_no_tree_is_started() -> None:
    def start() -> Process:
        raise AssertionError

    async def test() -> None:
        sent = await lifespan_of(Supervised(journal_app([], fail="startup"), start))
        assert sent == [{"type": "lifespan.startup.failed", "message": "own reason"}]

    asyncio.run(test())


def test_an_app_that_fails_at_its_end_is_reported_after_the_tree_was_drained() -> None:
    async def test() -> None:
        sent = await lifespan_of(Supervised(journal_app([], fail="shutdown"), start_tree))
        assert types(sent) == ["startup.complete", "shutdown.failed"]

    asyncio.run(test())


def test_a_tree_that_cannot_start_ends_the_app_again_and_tells_the_server_why() -> None:
    journal: list[str] = []

    async def start() -> Process:
        await asyncio.sleep(0)
        raise ValueError("no configuration")

    async def test() -> None:
        sent = await lifespan_of(Supervised(journal_app(journal), start))
        assert sent == [{"type": "lifespan.startup.failed", "message": "ValueError: no configuration"}]

    asyncio.run(test())
    assert journal == ["startup with None", "shutdown with None"]


@pytest.mark.parametrize("ends", ["returns", "raises"])
def test_an_app_without_a_lifespan_is_served_all_the_same(ends: str) -> None:
    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            if ends == "raises":
                raise NotImplementedError
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": scope["state"]["inprocess"].name.encode()})

    async def test() -> None:
        async with serving(Supervised(app, start_tree)) as client:
            assert (await client.get("/")).text == "tree"

    asyncio.run(test())


def test_a_tree_that_gave_up_while_the_app_served_is_no_trouble_at_the_end() -> None:
    async def test() -> None:
        async with serving(Supervised(Starlette(routes=ROUTES), start_tree)):
            tree = whereis("tree")
            assert tree is not None
            await tree.stop()

    asyncio.run(test())


def test_the_app_may_start_work_in_its_own_start_up_and_unlinked_tasks_are_cut_off(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def forever() -> None:
        await asyncio.Event().wait()

    @asynccontextmanager
    async def own(_app: object) -> AsyncIterator[None]:
        Task.start(forever, name="poll")
        await asyncio.sleep(0)
        yield

    async def test() -> None:
        async with serving(Supervised(Starlette(routes=ROUTES, lifespan=own), start_tree)) as client:
            assert (await client.get("/")).text == "tree"

    asyncio.run(test())
    assert "1 cut off and lost" in caplog.text
    assert "poll: " in caplog.text


def test_a_server_told_to_end_by_a_signal_finishes_the_work_first() -> None:
    program = """
        import asyncio, sys
        from functools import partial
        import uvicorn
        from starlette.applications import Starlette
        from inprocess import TaskSupervisor
        from inprocess.supervision.asgi import Supervised

        async def work():
            print("begun", flush=True)
            await asyncio.sleep(0.1)
            print("stored", flush=True)

        def start():
            tasks = TaskSupervisor.start()
            tasks.start_child(work)
            return tasks

        uvicorn.run(Supervised(Starlette(), start), host="127.0.0.1", port=0, log_level="error")
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == "begun\n"
        server.send_signal(signal.SIGTERM)
        assert server.stdout.read() == "stored\n"


def test_a_cancelled_lifespan_leaves_no_process() -> None:
    async def test() -> None:
        started = asyncio.Event()

        async def send(_message: Message) -> None:
            await asyncio.sleep(0)
            started.set()

        asked: asyncio.Queue[Message] = asyncio.Queue()
        asked.put_nowait({"type": "lifespan.startup"})
        app: Awaitable[None] = Supervised(journal_app([]), start_tree)({"type": "lifespan"}, asked.get, send)
        task = asyncio.ensure_future(app)
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert whereis("tree") is None

    asyncio.run(test())
