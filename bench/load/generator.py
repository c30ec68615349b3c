"""`python -m bench.load.generator --plan plan.json --url URL`: offers a plan to the app, open loop.

Each request goes out at its due time, whatever became of the earlier ones. Written to the ledger,
with scenario and request (the user's id):

1. `due`, with the plan's moment as its time, and `request`, just before the request goes out;
2. `response` with `status`, or `unknown` with `error` where no answer came in time, where the
   connection broke, or where the request was not sent because too many were open.

The plan begins `--lead-s` seconds after the connections are warm; `--announce F` has the moment
written to F as {"start_ns": …} (monotonic) when it is known. Ends with exit code 0 when every
request has come to 2, or after SIGTERM or SIGINT; with 2 and one line for a plan that cannot be read.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import selectors
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp

from bench.atomic_write import write_json
from bench.load.load_plan import Arrival, LoadPlan, PlanError
from bench.process.parent_watch import end_with_parent
from bench.process.signals import exit_with_usage_error, stop_on_signals
from scenarios import jobs, ledger
from scenarios.ledger import Event

#: Where each scenario's requests go.
PATHS = {jobs.ACCOUNT_SETUP: "/account-setup", jobs.WELCOME_EMAIL: "/users"}
#: Where the calls of tasks of somebody's own app go (`bench.own_app.children.host`).
TASKS_PATH = "/tasks"
#: Seconds after which a request that is not answered is `unknown`.
DEFAULT_TIMEOUT_S = 10.0
#: Most requests open at once. One that is due above that is not sent, and recorded as `unknown`.
MAX_OPEN = 400
#: Connections opened for each scenario before the start, so that the first requests pay for none.
WARM_EACH = 8
#: How often each of them is used, so that no code of ours runs for the first time in the window.
WARM_ROUNDS = 5
#: What the app refuses before it does anything: warms the road and leaves no trace.
WARM_BODY = b"[]"
#: Seconds from the end of the warm-up to the start of the plan.
DEFAULT_LEAD_S = 0.5
#: Seconds before a due time when sleeping ends and looking at the clock begins.
SPIN_S = 0.0003
#: Real-time priority, the lowest: the instrument goes before what it measures. Only root gets it.
PRIORITY = 1


class Generator:
    """Offers one plan to one app."""

    def __init__(self, session: aiohttp.ClientSession, url: str, plan: LoadPlan) -> None:
        self._session = session
        self._plan = plan
        scenarios = dict.fromkeys(arrival.scenario for arrival in plan.arrivals)
        self._urls = {name: f"{url}{PATHS.get(name, TASKS_PATH)}" for name in scenarios}
        self._bodies = [json.dumps(arrival.params).encode() for arrival in plan.arrivals]
        self._open: set[asyncio.Task[None]] = set()

    async def warm(self) -> None:
        """Open the connections and use them; an app that is away is the plan's own business."""
        urls = [url for url in dict.fromkeys(self._urls.values()) for _ in range(WARM_EACH)]
        for _ in range(WARM_ROUNDS):
            if not all(await asyncio.gather(*map(self._touch, urls))):
                return

    async def offer(self, start_ns: int) -> None:
        """Send every request at its due time, then wait for the answers."""
        for arrival, body in zip(self._plan.arrivals, self._bodies, strict=True):
            due = start_ns + arrival.due_ns
            await _until(due)
            self._send(arrival, body, due)
        await asyncio.gather(*self._open)

    async def stop(self) -> None:
        """Give up every request that is open; each leaves an `unknown`."""
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    def _send(self, arrival: Arrival, body: bytes, due: int) -> None:
        if len(self._open) >= MAX_OPEN:
            _record("due", arrival, t=due)
            _record("unknown", arrival, error=f"not sent: {MAX_OPEN} requests were open")
            return
        task = asyncio.create_task(self._request(arrival, body, due))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _request(self, arrival: Arrival, body: bytes, due: int) -> None:
        _record("request", arrival)
        _record("due", arrival, t=due)
        try:
            async with self._session.post(self._urls[arrival.scenario], data=body) as answer:
                await answer.read()
            _record("response", arrival, status=answer.status)
        except (aiohttp.ClientError, OSError) as error:
            _record("unknown", arrival, error=f"{type(error).__name__}: {error}"[:200])
        except asyncio.CancelledError:
            _record("unknown", arrival, error="the generator was stopped")
            raise

    async def _touch(self, url: str) -> bool:
        try:
            async with self._session.post(url, data=WARM_BODY) as answer:
                await answer.read()
        except (aiohttp.ClientError, OSError):
            return False
        return True


def _record(event: Event, arrival: Arrival, *, t: int | None = None, **fields: Any) -> None:
    ledger.record(event, t=t, scenario=arrival.scenario, request=arrival.request, **fields)


async def _until(due: int) -> None:
    """Sleep until shortly before `due` (monotonic ns), then let the loop turn until it is there."""
    while (left := (due - time.monotonic_ns()) / 1e9) > 0:  # noqa: ASYNC110 - time is the event
        await asyncio.sleep(max(0.0, left - SPIN_S))


async def run(plan: LoadPlan, url: str, *, lead_s: float, timeout_s: float, announce: Path | None) -> None:
    """Warm up, offer the plan and wait for its answers; a signal ends it early."""
    asked = stop_on_signals()
    connector = aiohttp.TCPConnector(limit=MAX_OPEN, keepalive_timeout=timeout_s + plan.seconds)
    async with aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=timeout_s),
        headers={"Content-Type": "application/json"},
        skip_auto_headers=("User-Agent", "Accept-Encoding"),
    ) as session:
        generator = Generator(session, url, plan)
        await generator.warm()
        gc.collect()
        gc.freeze()
        gc.disable()  # a collection in the middle of a block would be charged to a side
        start = time.monotonic_ns() + int(lead_s * 1e9)
        if announce is not None:
            write_json(announce, {"start_ns": start})
        offering = asyncio.create_task(generator.offer(start))
        stopping = asyncio.create_task(asked.wait())
        await asyncio.wait({offering, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if offering.done():
            offering.result()
        offering.cancel()
        await generator.stop()


def main() -> None:
    """Read the command line and offer the plan."""
    end_with_parent()
    parser = argparse.ArgumentParser(prog="python -m bench.load.generator", description=run.__doc__)
    parser.add_argument("--plan", type=Path, required=True, help="as written by bench.load.load_plan")
    parser.add_argument("--url", required=True, help="base URL of the app")
    parser.add_argument("--lead-s", type=float, default=DEFAULT_LEAD_S, help="from warm to the plan's zero")
    parser.add_argument("--announce", type=Path, help="file for the moment of the plan's zero")
    parser.add_argument("--timeout-s", type=float, default=DEFAULT_TIMEOUT_S, help="of one request")
    options = parser.parse_args()
    try:
        plan = LoadPlan.from_json(options.plan.read_text())
        with suppress(PermissionError):
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(PRIORITY))
        # A selector of microseconds: epoll's whole milliseconds alone would make each request late.
        with asyncio.Runner(loop_factory=_precise_loop) as runner:
            runner.run(
                run(
                    plan,
                    options.url.rstrip("/"),
                    lead_s=options.lead_s,
                    timeout_s=options.timeout_s,
                    announce=options.announce,
                )
            )
    except (PlanError, OSError) as error:
        exit_with_usage_error("bench.load.generator", str(error))


def _precise_loop() -> asyncio.AbstractEventLoop:
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


if __name__ == "__main__":
    main()
