"""A block at a standing world: what it fetches is its own, each event once, with the host that stamped it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette

from bench.errors import BenchError
from bench.ledger import reader
from bench.process.asgi_server import Server, listening_socket, url_of
from bench.world.faults import ServiceFaults
from bench.world.remote_world import FETCHED, RemoteLedger, RemoteWorld
from bench.world.shared_world import SharedWorld
from scenarios import ledger
from scenarios.ledger import Ledger

CONTEXT = {"run": "r1", "block": "b01", "side": "inprocess", "host": "A"}


@asynccontextmanager
async def standing(folder: Path) -> AsyncIterator[RemoteWorld]:
    """A world of host B, whose services write into the folder."""
    bound = listening_socket()
    server = Server(Starlette(routes=SharedWorld(folder, "B", ServiceFaults(), [], 0.0).routes()))
    serving = asyncio.create_task(server.serve(sockets=[bound]))
    await server.listening.wait()
    try:
        yield await asyncio.to_thread(RemoteWorld.connect, url_of(bound))
    finally:
        server.stop()
        await serving


def fetched(folder: Path) -> list[dict[str, Any]]:
    events, _ = reader.read_events(folder / FETCHED)
    return events


def test_what_is_fetched_is_the_blocks_own_once_with_the_host_that_stamped_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, here = tmp_path / "there", tmp_path / "here"
    there.mkdir()
    here.mkdir()
    services = Ledger(there, {"host": "B"})
    monkeypatch.setattr(ledger, "_ledger", services)  # that of the world's process

    async def block() -> None:
        async with standing(there) as world:
            services.record("effect", scenario="welcome_email", job="b01-000000/email")  # before the block
            remote = RemoteLedger(world, here, CONTEXT)
            await remote.begin(None)
            for number in range(1, 30):
                services.record("effect", scenario="welcome_email", job=f"b01-{number:06}/email")
                services.record("effect", scenario="welcome_email", job=f"b02-{number:06}/email")
            await remote.mark("fault_on", 12)
            await asyncio.gather(*(remote.fetch() for _ in range(5)))
            await remote.end()

    asyncio.run(block())
    events = fetched(here)
    effects = [event["job"] for event in events if event["event"] == "effect"]
    assert effects == [f"b01-{number:06}/email" for number in range(1, 30)]
    assert [event["event"] for event in events[29:]] == ["fault_on"]
    assert {(e["host"], e["run"], e["block"], e["side"]) for e in events} == {("B", "r1", "b01", "inprocess")}


def test_a_world_that_another_run_has_or_that_is_gone_is_told_in_one_line(tmp_path: Path) -> None:
    async def block() -> None:
        async with standing(tmp_path) as world:
            first = RemoteLedger(world, tmp_path, CONTEXT)
            await first.begin(None)
            second = RemoteLedger(world, tmp_path, {**CONTEXT, "run": "r2"})
            with pytest.raises(BenchError, match="answered 409: run r1 has this world"):
                await second.begin(None)
            await second.end()
        with pytest.raises(BenchError, match="is away"):
            await first.fetch()
        await first.end()

    asyncio.run(block())
