"""On the app's own broker: a queue of the run's own, and nothing of anybody else touched or left."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest
import redis

from bench.own_app.app_inspection import inspect_app
from bench.own_app.interpreter import inspect
from bench.own_app.own_app import OwnApp
from bench.own_app.own_stack import QUEUE_PREFIX, OwnStack
from bench.own_app.sides import CELERY_APP, SIDES
from bench.own_app.workload.workload import from_options
from bench.plan.subject import SideOptions, Workspace
from bench.process.process_table import ProcessTable
from bench.world.broker import Broker

HERE = inspect(Path(sys.executable))
APP = """
    from celery import Celery
    app = Celery("shop", broker="{url}")
    app.conf.task_routes = {{"shop.pay": "money"}}

    @app.task(ignore_result=True)
    def pay(order_id): ...
"""


@pytest.mark.timeout(150)
def test_the_runs_calls_go_through_its_own_queue_which_is_gone_afterwards(
    project: Any, tmp_path: Path
) -> None:
    with Broker.start(tmp_path / "theirs", env={}) as theirs, redis.Redis.from_url(theirs.url) as client:
        client.lpush("money", "a call of somebody else, which no worker of ours may take")
        folder = project(shop=APP.format(url=theirs.url))
        description = inspect_app("shop:app", folder, {"shop.pay": [[[1], {}]]}, interpreter=HERE, reach=True)
        workload = from_options(app="shop:app", tasks=["shop.pay"], args=["[1]"])
        own = OwnApp(
            workload=workload,
            folder=folder,
            description=description,
            entries={},
            interpreter=HERE,
            use_app_broker=True,
        )
        seen = asyncio.run(_probed(own, tmp_path, client))

        assert {event["event"] for event in seen["events"]} >= {"accepted", "start", "effect", "done"}
        assert [key for key in seen["keys"] if QUEUE_PREFIX in key]
        assert client.llen("money") == 1
        assert [key for key in client.scan_iter() if QUEUE_PREFIX in key.decode()] == []


async def _probed(own: OwnApp, tmp_path: Path, client: redis.Redis) -> dict[str, Any]:
    """The events of one call, and the server's keys while the side is up."""
    folder = tmp_path / "block"
    folder.mkdir()
    context = {"run": "test", "block": "b0", "side": CELERY_APP}
    with ProcessTable() as table:
        workspace = Workspace(folder=folder, table=table, context=context)
        stack = OwnStack(own, SIDES[CELERY_APP], workspace, SideOptions())
        async with stack:
            assert stack.processes.broker is None
            keys = [key.decode() for key in client.scan_iter()]
            return {"events": stack.events(), "keys": keys}
