"""What an app, or the end of its loop, cancels from outside: nothing hangs and nothing runs a second time."""

from __future__ import annotations

import asyncio

import pytest

from inprocess import Child, GenServer, Supervisor, TaskSupervisor
from tests.inprocess.programs import run_program


def cancel_everything(*but: asyncio.Task[object]) -> None:
    """Cancel as the SIGTERM handlers of many apps do."""
    for task in asyncio.all_tasks() - {asyncio.current_task(), *but}:
        task.cancel()


@pytest.mark.parametrize("restart", ["temporary", "transient", "permanent"])
@pytest.mark.parametrize("brutally", [False, True])
def test_a_task_supervisor_stops_although_every_task_is_cancelled(restart: str, *, brutally: bool) -> None:
    async def job() -> None:
        try:
            await asyncio.sleep(99)
        finally:
            await asyncio.sleep(0.01)

    async def main() -> None:
        tasks = TaskSupervisor.start()
        child = tasks.start_child(job, restart=restart)  # type: ignore[arg-type]  # one of the three
        assert isinstance(child, Child)
        await asyncio.sleep(0.01)
        stop = asyncio.create_task(tasks.stop("brutal_kill" if brutally else None))
        await asyncio.sleep(0.001)
        cancel_everything(stop)
        await asyncio.wait_for(stop, 10)
        assert (tasks.exit is not None, tasks.count) == (True, 0)

    asyncio.run(main())


def test_a_supervisor_whose_stop_is_under_way_ends_although_every_task_is_cancelled() -> None:
    class Slow(GenServer):
        async def terminate(self, _exit: object, /) -> None:
            await asyncio.sleep(99)

    async def main() -> None:
        from inprocess import ChildSpec

        tree = Supervisor.start([ChildSpec("slow", Slow.start)])
        await tree.ready()
        stop = asyncio.create_task(tree.stop())
        await asyncio.sleep(0.01)
        cancel_everything(stop)
        await asyncio.wait_for(stop, 10)
        assert tree.exit is not None

    asyncio.run(main())


@pytest.mark.parametrize("runner", ["asyncio.run(main())", "uvicorn_run(main())"])
def test_a_tree_that_was_not_stopped_runs_nothing_again_while_its_loop_closes(runner: str) -> None:
    ended = run_program(f"""
        import asyncio
        from inprocess import Backoff, ChildSpec, DynamicSupervisor, GenServer, Supervisor, TaskSupervisor

        def uvicorn_run(main):
            # uvicorn, aiohttp and others have a copy of asyncio's end of a loop
            def _cancel_all_tasks(loop):
                tasks = asyncio.all_tasks(loop)
                for task in tasks:
                    task.cancel()
                loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            loop = asyncio.new_event_loop()
            try:
                loop.run_until_complete(main)
            finally:
                _cancel_all_tasks(loop)
                loop.close()

        class Server(GenServer):
            def init(self, name):
                print("init", name)

            async def handle_cast(self, message):
                await asyncio.sleep(99)

        async def charge(restart):
            print("charge", restart)
            await asyncio.sleep(99)

        async def main():
            tasks = TaskSupervisor.start(name="tasks")
            for restart in ("temporary", "transient", "permanent"):
                tasks.start_child(charge, restart, restart=restart)
            tree = Supervisor.start([ChildSpec("a", lambda: Server.start("a", name="a"))], name="tree")
            many = DynamicSupervisor.start(name="many")
            child = await many.start_child(ChildSpec("b", lambda: Server.start("b")))
            child.cast(1)
            tree.which_children()[0][1].cast(1)
            await asyncio.sleep(0.05)

        {runner}
    """)
    assert sorted(ended.stdout.split("\n")[:-1]) == [
        "charge permanent", "charge temporary", "charge transient", "init a", "init b",
    ], ended.stderr  # fmt: skip
    for name in ("tasks", "tree", "many"):
        assert ended.stderr.count(f"{name}: its event loop is being closed") == 1, ended.stderr
    assert "destroyed but it is pending" not in ended.stderr
