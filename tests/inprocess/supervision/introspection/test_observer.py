"""Observer: what a snapshot shows of the tree, from which thread, and how much of it."""

from __future__ import annotations

import asyncio
import json
import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from inprocess.supervision.core import thread_bridge
from inprocess.supervision.core.names import whereis
from inprocess.supervision.core.restarts import RestartIntensity
from inprocess.supervision.introspection.observer import MAX_LEVELS, snapshot
from inprocess.supervision.introspection.snapshot import Node, Snapshot
from inprocess.supervision.leases.file import FileLease
from inprocess.supervision.leases.leased import Leased
from inprocess.supervision.periodic.periodic import Periodic
from inprocess.supervision.servers import sys
from inprocess.supervision.servers.gen_server import GenServer
from inprocess.supervision.supervisors.dynamic_supervisor import DynamicSupervisor
from inprocess.supervision.supervisors.partition_supervisor import PartitionSupervisor
from inprocess.supervision.supervisors.supervisor import ChildSpec, Supervisor
from inprocess.supervision.tasks.child import Child
from inprocess.supervision.tasks.task import Task
from inprocess.supervision.tasks.task_supervisor import TaskSupervisor
from inprocess.testing import FakeClock, settle


class Slow(GenServer):
    """Handles a cast until it is told to go on."""

    def init(self) -> None:
        self.go_on = asyncio.Event()
        self.api_token = "s3cr3t"  # noqa: S105 - must not be shown
        self.size = 3

    async def handle_cast(self, message: Any, /) -> None:
        if message == "crash":
            raise RuntimeError(message)
        await self.go_on.wait()


async def wait_for(event: asyncio.Event, *, token: str = "") -> None:
    await event.wait()
    del token


def tree(clock: FakeClock | None = None) -> Supervisor:
    inner = [ChildSpec("slow", partial(Slow.start, name="slow"))]
    children = [
        ChildSpec("inner", partial(Supervisor.start, inner)),
        ChildSpec("tasks", partial(TaskSupervisor.start, name="tasks")),
        ChildSpec("many", DynamicSupervisor.start),
        ChildSpec("tick", partial(Periodic.start, lambda: None, interval_s=1.0, clock=clock)),
    ]
    return Supervisor.start(children, name="app")


def at(seen: Snapshot, node_id: str) -> Node:
    found = seen.find(node_id)
    assert found is not None, f"no {node_id} in\n{seen}"
    return found


async def server(name: str) -> Slow:
    from inprocess.supervision.core.names import whereis

    found = whereis(name)
    while found is None:
        await asyncio.sleep(0)
        found = whereis(name)
    assert isinstance(found, Slow)
    return found


def test_a_snapshot_shows_the_tree_with_states_depths_restarts_and_last_runs() -> None:
    async def main() -> None:
        clock, event = FakeClock(), asyncio.Event()
        async with tree(clock) as app:
            (await server("slow")).cast("crash")
            await settle()
            slow = await server("slow")
            for _ in range(3):
                slow.cast("wait")
            tasks = dict(app.which_children())["tasks"]
            assert isinstance(tasks, TaskSupervisor)
            tasks.start_child(wait_for, event, name="waits")
            await clock.advance(2.5)
            seen = snapshot()
            assert [root.id for root in seen.roots] == ["app"]
            assert [child.id for child in seen.roots[0].children] == ["inner", "tasks", "many", "tick"]
            assert at(seen, "inner").restarts == 1
            assert at(seen, "inner").children[0].id == "slow"
            assert (at(seen, "slow").kind, at(seen, "slow").state) == ("Slow", "running")
            assert at(seen, "slow").mailbox_depth == 2  # the third is being handled
            waits = at(seen, "waits")
            assert (waits.kind, waits.state, waits.attempt) == ("task", "running", 1)
            tick = at(seen, "tick")
            assert tick.counts is not None
            assert tick.counts["runs"] == 2
            assert tick.last_run_at is not None
            assert tick.last_run_at[:13] == seen.taken_at[:13]
            event.set()
            slow.go_on.set()

    asyncio.run(main())


def test_a_snapshot_becomes_json_and_a_tree_of_text() -> None:
    async def main() -> None:
        async with tree():
            seen = snapshot("app")
            told = json.loads(json.dumps(seen.as_dict()))
            assert told["roots"][0]["children"][0]["children"][0]["name"] == "slow"
            assert str(seen).splitlines()[0].startswith("app  Supervisor  running  up 0.")
            assert str(seen).splitlines()[1].startswith("├── inner (Supervisor)  Supervisor  running")
            assert str(seen).splitlines()[2].startswith("│   └── slow  Slow  running")
            assert str(seen).splitlines()[-1].startswith("└── tick (Periodic)")

    asyncio.run(main())


def test_another_thread_sees_the_same() -> None:
    async def main() -> None:
        async with tree():
            here, there = snapshot(), await asyncio.to_thread(snapshot)
            assert [node.id for node in here] == [node.id for node in there]

    asyncio.run(main())


def test_a_loop_that_takes_no_turn_is_shown_as_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thread_bridge, "HOP_TIMEOUT_S", 0.01)

    async def main() -> None:
        async with tree():
            seen: list[Snapshot] = []
            looker = threading.Thread(target=lambda: seen.append(snapshot("slow")))
            looker.start()
            looker.join()  # the loop is held
            assert at(seen[0], "slow").state == "no answer"
            assert "took no turn" in (at(seen[0], "slow").about or "")

    asyncio.run(main())


def test_attributes_are_shown_where_asked_for_without_secrets() -> None:
    async def main() -> None:
        async with tree():
            assert at(snapshot(), "slow").about is None
            about = at(snapshot(attributes=True), "slow").about or ""
            assert "'size': 3" in about
            assert "s3cr3t" not in about

    asyncio.run(main())


def test_no_more_than_max_children_are_shown_and_the_rest_is_counted() -> None:
    async def main() -> None:
        event = asyncio.Event()
        async with TaskSupervisor.start(name="tasks") as tasks:
            for k in range(10):
                tasks.start_child(wait_for, event, name=f"task {k}")
            seen = snapshot("tasks", max_children=3)
            assert len(seen.roots[0].children) == 3
            assert seen.roots[0].child_count == 10
            assert str(seen).splitlines()[-1] == "└── and 7 more"
            event.set()
            await settle()

    asyncio.run(main())


def test_the_uptime_is_told_in_seconds_of_the_process_s_own_clock() -> None:
    async def main() -> None:
        clock = FakeClock()
        async with Slow.start(name="slow", clock=clock):
            await clock.advance(7.0)
            assert at(snapshot("slow"), "slow").uptime_s == 7.0

    asyncio.run(main())


def test_states_tell_what_starts_what_is_suspended_and_what_is_stopping() -> None:
    class Opening(Slow):
        async def init(self) -> None:  # type: ignore[override]  # an async init may stand for a plain one
            super().init()
            await self.go_on.wait()

        async def terminate(self, _ended: object, /) -> None:
            await self.go_on.wait()

    async def main() -> None:
        app = Supervisor.start([ChildSpec("opening", partial(Opening.start, name="opening"))], name="app")
        opening = await server("opening")
        await settle()
        assert at(snapshot(), "app").state == "starting"
        assert at(snapshot("opening"), "opening").state == "starting"
        opening.go_on.set()
        await app.ready()
        assert at(snapshot(), "opening").state == "running"
        await sys.suspend(opening)
        assert at(snapshot(), "opening").state == "suspended"
        await sys.resume(opening)
        opening.go_on.clear()
        app.shutdown()
        await settle()
        assert [(node.id, node.state) for node in snapshot("app", "opening")][::2] == [
            ("app", "stopping"),
            ("opening", "stopping"),
        ]
        opening.go_on.set()
        await app.wait()
        assert at(snapshot(app), "app").state == "ended: shutdown"

    asyncio.run(main())


def test_children_that_do_not_run_are_shown_as_such() -> None:
    async def main() -> None:
        async with tree() as app:
            await app.terminate_child("tick")
            assert at(snapshot(), "tick").state == "stopped"

    asyncio.run(main())


def test_a_lease_shows_whether_it_is_held_and_what_runs_under_it(tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "lease"
        start = lambda token: Slow.start(name=f"slow {token}")  # noqa: E731 - one line, used twice
        async with Leased.start(start, FileLease(path), name="holder") as holder:
            while holder.process is None:  # noqa: ASYNC110 - the file is opened in a thread
                await asyncio.sleep(0)
            async with Leased.start(start, FileLease(path), name="candidate"):
                seen = snapshot("holder", "candidate")
                assert [(root.state, root.child_count) for root in seen.roots] == [
                    ("running", 1),
                    ("waiting", 0),
                ]
                assert seen.roots[0].children[0].id.startswith("slow ")

    asyncio.run(main())


def test_partitions_and_dynamic_children_are_shown() -> None:
    async def main() -> None:
        async with (
            PartitionSupervisor.start(lambda _: Slow.start(), partitions=3, name="parts"),
            DynamicSupervisor.start(name="many") as many,
        ):
            for _ in range(2):
                await many.start_child(ChildSpec("slow", Slow.start))
            seen = snapshot()
            assert [(root.id, root.child_count) for root in seen.roots] == [("many", 2), ("parts", 3)]
            assert {node.kind for node in seen} == {"DynamicSupervisor", "PartitionSupervisor", "Slow"}

    asyncio.run(main())


def test_unlinked_tasks_are_a_root_of_their_own() -> None:
    async def main() -> None:
        event = asyncio.Event()
        Task.start(wait_for, event, name="mail")
        await settle()
        assert [node.name for node in snapshot()] == ["Task.start", "mail"]
        event.set()
        await settle()
        assert str(snapshot()) == "(no process runs)"

    asyncio.run(main())


def test_a_name_that_no_process_has_is_told() -> None:
    with pytest.raises(LookupError, match="no process is named 'nobody'"):
        snapshot("nobody")


def test_a_task_supervisor_counts_its_children_by_what_became_of_them() -> None:
    async def crash() -> None:
        raise ValueError

    async def main() -> None:
        async with TaskSupervisor.start(name="counted", max_restarts=1000) as tasks:
            none = RestartIntensity(0, 1.0)
            for _ in range(3):
                tasks.start_child(settle)
            tasks.start_child(crash)
            tasks.start_child(crash, restart="transient", intensity=none)
            tasks.start_child(asyncio.sleep, 60)
            await settle(200)
            counts = snapshot("counted").roots[0].counts
            assert counts == {"started": 6, "done": 3, "failed": 1, "given_up": 1, "refused": 0, "waiting": 0}

    asyncio.run(main())


def test_whereis_returns_a_process_of_the_class_that_is_asked_for() -> None:
    async def main() -> None:
        async with TaskSupervisor.start(name="tasks"):
            tasks = whereis("tasks", TaskSupervisor)
            assert tasks is not None
            assert tasks.count == 0  # a type checker needs no cast
            with pytest.raises(TypeError, match="is a TaskSupervisor, and not a GenServer"):
                whereis("tasks", GenServer)
            assert whereis("nobody", GenServer) is None
            with pytest.raises(TypeError, match="the name is 7: expected a string"):
                whereis(7)  # type: ignore[call-overload]  # that is the case

    asyncio.run(main())


def test_each_task_has_an_id_that_stays_and_its_age() -> None:
    async def main() -> None:
        clock, event = FakeClock(), asyncio.Event()
        async with TaskSupervisor.start(name="tasks", clock=clock) as tasks:
            first = tasks.start_child(wait_for, event)
            await clock.advance(5.0)
            second = tasks.start_child(wait_for, event)
            third = tasks.start_child(wait_for, event)
            assert isinstance(first, Child)
            assert isinstance(second, Child)
            assert isinstance(third, Child)
            seen = snapshot("tasks").roots[0].children
            assert [node.uptime_s for node in seen] == [5.0, None, None]  # the others have not begun
            await clock.advance(2.0)
            await tasks.terminate_child(second)
            again = snapshot("tasks").roots[0]
            assert [node.uptime_s for node in again.children] == [7.0, 2.0]
            assert (
                [node.id for node in again.children]
                == [seen[0].id, seen[2].id]
                == [str(first.id), str(third.id)]
            )
            assert len({node.id for node in seen}) == 3
            assert {node.name for node in seen} == {"wait_for"}
            assert f"{first.id} (wait_for)  task  running  up 7.0 s" in str(snapshot("tasks"))
            event.set()

    asyncio.run(main())


def test_a_deep_tree_is_shown_down_to_a_level() -> None:
    def nest(levels: int) -> Supervisor:
        return Supervisor.start([ChildSpec("below", partial(nest, levels - 1))] if levels else [])

    async def main() -> None:
        async with nest(500) as top:
            seen = snapshot(top)
            assert len(list(seen)) == MAX_LEVELS
            assert list(seen)[-1].child_count == 1
            assert str(seen).endswith("and 1 more")
            assert len(json.dumps(seen.as_dict())) > MAX_LEVELS

    asyncio.run(main())
