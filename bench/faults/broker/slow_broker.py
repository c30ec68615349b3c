"""Fault 19: every answer of the broker comes 50 ms later."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.faults.spec import CheckInput, Expected, Fault, do_nothing, nothing_lost
from bench.faults.target import Target
from bench.measures.events.block import elapsed_ms
from bench.measures.events.history import histories
from bench.measures.statistics.quantiles import quantile
from scenarios import jobs

#: Milliseconds of each answer.
LATENCY_MS = 50
#: Hops of a job: published, and fetched.
HOPS = 2


async def prepare(target: Target) -> None:
    """Make the broker slow from the start."""
    await target.client.proxy(
        "POST", "/toxics", type="latency", attributes={"latency": LATENCY_MS}, stream="downstream"
    )


def check(block: CheckInput) -> Mapping[str, Any]:
    """The median response of account set-up, ms."""
    own = [job for job in histories(block.events).values() if job.scenario == jobs.ACCOUNT_SETUP]
    responses = [elapsed_ms(job.due, job.first("effect")) for job in own if job.due is not None]
    return {"response_p50_ms": quantile(responses, 0.5)}


QUEUE = Expected(
    text="each hop is later; none is lost",
    holds=lambda row: nothing_lost(row) and row["response_p50_ms"] > HOPS * LATENCY_MS,
    drain_s=25.0,
)

FAULT = Fault(
    number=19,
    slug="slow-broker",
    title=f"the broker answers {LATENCY_MS} ms later",
    prepare=prepare,
    strike=do_nothing,
    timed=True,
    check=check,
    proxied="broker",
    rate=3.0,
    expected={"celery-stock": QUEUE, "celery-hardened": QUEUE},
)
