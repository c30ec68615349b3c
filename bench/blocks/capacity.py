"""A capacity block: one side on a ramp of rates, until it no longer keeps up.

    start, probe | steps, each steeper than the last … | stop

What it finds is the base of the load blocks. It does not count where the generator was late, where
the services or the machine were the bottleneck, or where a hypervisor took the processor away.
"""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from bench.blocks.block_result import BlockResult
from bench.blocks.context import Context, sleep_until
from bench.load import ramp
from bench.load.load_plan import LoadPlan
from bench.load.ramp import RampStep
from bench.measures.events.block import Block
from bench.measures.latency import validity
from bench.measures.latency.latency import request_frame
from bench.measures.latency.validity import Noise
from bench.measures.load import backlog, capacity
from bench.measures.load.capacity import STEPS_BEYOND, Step
from bench.measures.load.cpu_shares import CpuShares, bottleneck
from bench.plan.blocks import BlockSpec, block_row
from bench.stack import cpu_usage
from bench.stack.cpu_usage import Usage
from bench.stack.stack import Stack

#: Seconds from a warm generator to the first request.
LEAD_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class RampRun:
    """How far a ramp went: the plan's zero (ns), its steps, and the processor's use at each one's end."""

    start_ns: int
    planned: Sequence[RampStep]
    usages: Sequence[Usage]


async def run(spec: BlockSpec, context: Context) -> str:
    """Run the ramp and append its rows; return why it does not count, or nothing."""
    profile = context.profile
    plan, planned = ramp.make_ramp(
        partial(context.subject.load, profile=profile),
        seed=context.draw("ramp", spec.repetition).getrandbits(32),
        prefix=spec.name,
        step_s=profile.ramp_step_s,
    )
    stack = context.make_stack(spec)
    async with stack:
        ramp_run = await _offer_ramp(context, stack, plan, planned)
    events, _ = context.keep_events(spec)
    return _write(spec, context, ramp_run, events)


async def _offer_ramp(context: Context, stack: Stack, plan: LoadPlan, planned: Sequence[RampStep]) -> RampRun:
    await stack.client.sync(plan.owners)
    generator, start_ns = await context.start_generator(stack, plan, lead_s=LEAD_S)
    await sleep_until(start_ns)
    usages = [cpu_usage.read(stack, generator)]
    for number, step in enumerate(planned):
        await sleep_until(start_ns + step.end_ns)
        usages.append(cpu_usage.read(stack, generator))
        if capacity.is_over(_steps(stack.events(), start_ns, planned[: number + 1])):
            break
    generator.signal(signal.SIGTERM)
    await context.end_generator(generator)
    return RampRun(start_ns=start_ns, planned=planned[: len(usages) - 1], usages=usages)


def _steps(events: Sequence[dict[str, Any]], start_ns: int, planned: Sequence[RampStep]) -> list[Step]:
    seen = backlog.jobs(events)
    return [
        Step(
            rate=step.rate,
            requests=step.requests,
            seen=backlog.backlog(seen, start_ns + step.start_ns, start_ns + step.end_ns),
        )
        for step in planned
    ]


def _write(spec: BlockSpec, context: Context, ramp_run: RampRun, events: list[dict[str, Any]]) -> str:
    block = Block(
        block=spec.name,
        side=spec.side.name,
        repetition=spec.repetition,
        start_ns=ramp_run.start_ns,
        end_ns=ramp_run.start_ns + ramp_run.planned[-1].end_ns,
    )
    steps = _steps(events, ramp_run.start_ns, ramp_run.planned)
    found = capacity.capacity(steps)
    spent = cpu_usage.between(ramp_run.usages[-1 - min(STEPS_BEYOND, len(steps))], ramp_run.usages[-1])
    rows = [capacity.step_row(block, number, step) for number, step in enumerate(steps)]
    whole = cpu_usage.between(ramp_run.usages[0], ramp_run.usages[-1])
    late_ms = validity.sent_lateness_ms(request_frame(events, block)["lateness_ms"])
    noise = {"steal_percent": whole.steal_percent, "lateness_ms": late_ms}
    reason = "; ".join(filter(None, [validity.reason(Noise(**noise)), bottleneck(spent)]))
    result = BlockResult(
        spec=spec,
        spent=whole,
        tables={
            "ramps": rows,
            "capacity": [capacity.capacity_row(block, found) | cores(spent)],
        },
        row=block_row(spec, reason, seconds=whole.seconds, **noise),
    )
    return result.append_to(context.directory)


def cores(spent: CpuShares) -> dict[str, object]:
    """How many cores each party used."""
    return {
        "side_cores": spent.side_s / spent.seconds,
        "services_cores": spent.services_s / spent.seconds,
        "generator_cores": spent.generator_s / spent.seconds,
    }
