"""DOWN as a message: a server is told of another process's end, until it no longer wants to be."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import pytest

from inprocess import Child, GenServer, Monitor, Process, Runtime, TaskSupervisor
from inprocess.supervision.lifecycle.runtime import on_loop
from inprocess.testing import settle


class Watcher(GenServer):
    def init(self) -> None:
        self.seen: list[Any] = []
        self.begun, self.go_on = asyncio.Event(), asyncio.Event()
        self.go_on.set()

    async def handle_cast(self, _message: Any, /) -> None:
        self.begun.set()
        await self.go_on.wait()

    def handle_call(self, process: Process | Child, _caller: Any, /) -> Monitor:
        return self.send_down(process)

    def handle_info(self, message: Any, /) -> None:
        self.seen.append(message)


def test_the_end_of_a_process_or_of_a_child_is_a_message() -> None:
    async def main() -> None:
        async with Watcher.start() as watcher, TaskSupervisor.start() as tasks:
            server = GenServer.start()
            child = tasks.start_child(asyncio.sleep, 3600)
            monitors = [await watcher.call(server), await watcher.call(server), await watcher.call(child)]
            await server.stop()
            await settle()
            assert [(down.monitor, down.process, str(down.exit)) for down in watcher.seen] == [
                (monitors[0], server, "shutdown"),
                (monitors[1], server, "shutdown"),
            ]
            assert isinstance(child, Child)
            await tasks.terminate_child(child)
            await settle()
            assert (watcher.seen[2].process, watcher.seen[2].monitor) == (child, monitors[2])

    asyncio.run(main())


def test_a_process_that_has_ended_is_told_of_at_once() -> None:
    async def main() -> None:
        async with Watcher.start() as watcher:
            server = GenServer.start()
            await server.stop()
            await watcher.call(server)
            await settle()
            assert [down.process for down in watcher.seen] == [server]

    asyncio.run(main())


@pytest.mark.parametrize("is_down", [False, True], ids=["before the end", "while the message waits"])
def test_after_cancel_no_down_is_handled(is_down: bool) -> None:  # noqa: FBT001 - a parameter
    async def main() -> None:
        async with Watcher.start() as watcher:
            server = GenServer.start()
            monitor = await watcher.call(server)
            watcher.go_on.clear()
            watcher.cast("wait")
            await watcher.begun.wait()
            watcher.info("kept")
            if is_down:
                await server.stop()
            monitor.cancel()
            watcher.go_on.set()
            await server.stop()
            await settle()
            assert watcher.seen == ["kept"]

    asyncio.run(main())


def test_a_monitor_ends_with_its_server_and_holds_neither() -> None:
    async def main() -> None:
        async with GenServer.start() as long_lived:
            watcher = Watcher.start()
            await watcher.call(long_lived)
            await watcher.stop()
            held = weakref.ref(watcher)
            del watcher
            await settle()
            gc.collect()
            assert held() is None

    asyncio.run(main())


def test_a_process_of_another_loop_is_refused() -> None:
    async def main() -> None:
        async with Watcher.start() as watcher:
            with pytest.raises(RuntimeError, match="another event loop"):
                watcher.send_down(elsewhere)

    with Runtime() as runtime:
        elsewhere = runtime.call(GenServer.start)
        asyncio.run(main())
        on_loop(elsewhere.stop)


def test_a_callback_that_is_no_longer_wanted_is_not_called() -> None:
    async def main() -> None:
        seen: list[object] = []
        async with GenServer.start() as server:
            server.monitor(seen.append)
            assert server.demonitor(seen.append)
            assert not server.demonitor(seen.append)
        assert seen == []

    asyncio.run(main())


def test_a_wait_that_was_given_up_leaves_no_callback_at_the_process() -> None:
    async def main() -> None:
        async with GenServer.start() as server, TaskSupervisor.start() as tasks:
            task = tasks.async_nolink(asyncio.sleep, 3600)
            for _ in range(3):
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(server.wait(), 0.001)
                assert await task.poll(0.001) is None
            assert not server.__process__._monitors
            assert not task.child._monitors

    asyncio.run(main())
