"""`queue-or-task world` and `worker`: the parts of a run on other hosts.

A worker is Celery's own, started with the broker, key prefix, profile and service URLs of the run. Its
ledger is sent to the world, from where the run fetches it. When the last worker ends, its keys are deleted
from the broker.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import tempfile
import uuid
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path

import httpx

from bench.errors import BenchError
from bench.ledger import host_label
from bench.ledger.tail import LedgerTail
from bench.plan.deployment import DeploymentRequest, key_prefix
from bench.plan.profiles import profile
from bench.plan.sides import SIDES
from bench.process.asgi_server import PortTakenError
from bench.process.process_table import Process, ProcessTable
from bench.process.signals import stop_on_signals
from bench.run.host_discovery import check_database, worker_answers
from bench.world import serve
from bench.world.broker import KEY_PREFIX_VARIABLE, URL_VARIABLE, BrokerError, check_broker, delete_keys
from bench.world.remote_world import ANSWER_S, RemoteWorld
from queue_or_task import module_command
from scenarios.ledger import CONTEXT_VARIABLE, LEDGER_VARIABLE

#: Seconds between two reads of the worker's ledger.
SEND_S = 0.1
#: Seconds that another worker of the same side has to answer the one that ends.
OTHERS_ANSWER_S = 2.0

Say = Callable[[str], None]


def world(address: str, port: int, *, say: Say) -> None:
    """Serve the outside services at an address of this host until SIGINT or SIGTERM.

    Raise BenchError for an address or ports that cannot be used.
    """
    with contextlib.suppress(ValueError):  # a name is fine
        if ip_address(address).is_unspecified:
            raise BenchError(
                f"--bind {address} is no address to be reached at: name the one that the run uses"
            )
    try:
        serve.serve_shared_world(address, port, say)
    except (PortTakenError, OSError) as error:
        raise BenchError(
            f"{error}: --bind takes an address of this host, --port the first of five"
        ) from error


def worker(
    *,
    side_name: str,
    world_url: str,
    broker_url: str,
    profile_name: str,
    concurrency: int | None,
    say: Say,
) -> None:
    """Run a Celery worker of a side until SIGINT or SIGTERM; raise BenchError where it cannot work."""
    queues = [side.name for side in SIDES.values() if side.queued]
    if side_name not in queues:
        raise BenchError(f"no queue is called {side_name!r}: choose from {', '.join(queues)}")
    side, size = SIDES[side_name], profile(profile_name)
    asked = DeploymentRequest(broker_url=broker_url, world_url=world_url, workers=True)
    asked.check(os.environ)
    check_database(os.environ)
    env = asked.environment(os.environ)
    try:
        check_broker(env, named="--broker-url" if broker_url else URL_VARIABLE)
    except BrokerError as error:
        raise BenchError(str(error)) from error
    served = RemoteWorld.connect(world_url)
    prefix = key_prefix(served, size.name, side)
    with tempfile.TemporaryDirectory(prefix="queue-or-task-worker-") as name, ProcessTable() as table:
        folder = Path(name)
        process = table.start(
            "worker",
            _celery(concurrency),
            folder=folder,
            env={
                **env,
                **side.env,
                **{variable.upper(): url for variable, url in served.urls.items()},
                KEY_PREFIX_VARIABLE: prefix,
                "SIDEKIQ_RETRY_SCALE": str(size.retry_scale),
                LEDGER_VARIABLE: name,
                CONTEXT_VARIABLE: json.dumps({"host": host_label.label(os.environ)}),
            },
        )
        say(f"a worker of {side.name} for runs with --profile {size.name}, until Ctrl-C; log: {process.log}")
        asyncio.run(_send_until_stopped(process, table, Sender(served, folder)))
        if not worker_answers({**env, **side.env, KEY_PREFIX_VARIABLE: prefix}, within_s=OTHERS_ANSWER_S):
            delete_keys(env[URL_VARIABLE], prefix)


class Sender:
    """Sends a worker's events to its world, each once."""

    def __init__(self, served: RemoteWorld, folder: Path) -> None:
        self._url = f"{served.url.rstrip('/')}/events"
        self._tail = LedgerTail(folder)
        self._source = uuid.uuid4().hex
        self._sent = 0

    async def send(self, client: httpx.AsyncClient) -> None:
        """Send the new events; if the world does not answer, the next call sends them again."""
        events = self._tail.events()
        body = {"source": self._source, "after": self._sent, "events": events[self._sent :]}
        if not body["events"]:
            return
        with contextlib.suppress(httpx.HTTPError):
            (await client.post(self._url, json=body)).raise_for_status()
            self._sent = len(events)


async def _send_until_stopped(process: Process, table: ProcessTable, sender: Sender) -> None:
    stopping = stop_on_signals()
    async with httpx.AsyncClient(trust_env=False, timeout=ANSWER_S) as client:
        while not stopping.is_set() and process.exit_code() is None:
            await sender.send(client)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), SEND_S)
        ended, last_words = process.exit_code(), process.tail(1)
        await table.stop(process)
        await sender.send(client)
    if ended is not None:
        raise BenchError(f"the worker ended with {ended}: {last_words}")


def _celery(concurrency: int | None) -> list[str]:
    """As `bench.stack.stack` starts one, under a name of its own: several may take a side's jobs."""
    options = [
        "--loglevel",
        "WARNING",
        "-n",
        f"elsewhere-{os.getpid()}@%h",
        "--include",
        "bench.app.fault_jobs.tasks",
    ]
    if concurrency is not None:
        options += ["--concurrency", str(concurrency)]
    return module_command("celery", "-A", "celery_impl.app", "worker", *options)
