"""What a run leaves out because parts of it are elsewhere, each block with its reason. Pure.

Nothing that is not ours is struck, and no stamps of two hosts are subtracted.
"""

from __future__ import annotations

from dataclasses import replace

from bench.errors import BenchError
from bench.faults.spec import Fault, no_environment, recorded_facts
from bench.plan.blocks import BlockSpec
from bench.plan.deployment import Deployment
from bench.plan.run_plan import RunPlan
from bench.world.broker import URL_VARIABLE

#: Measures all of whose figures lie between a stamp of the services and one of the run's host.
AGAINST_THE_SERVICES = ("capacity", "load", "cold")
#: Measures that need workers which start, end and are set up with the block.
OWN_WORKERS = ("capacity", "load", "cold", "owners", "hogs", "drift")


def possible(run_plan: RunPlan, deployment: Deployment) -> tuple[RunPlan, list[tuple[BlockSpec, str]]]:
    """What of the plan can be measured with these parts, and the rest: each block with the reason."""
    refused: list[tuple[BlockSpec, str]] = []

    def able(spec: BlockSpec) -> bool:
        if reason := unmeasurable(spec, deployment):
            refused.append((spec, reason))
        return not reason

    together = [[spec for spec in specs if able(spec)] for specs in run_plan.drift]
    left = replace(
        run_plan,
        further=[spec for spec in run_plan.further if able(spec)],
        drift=[specs for specs in together if specs],
        faults=[spec for spec in run_plan.faults if able(spec)],
    )
    return left, refused


def check_some_is_possible(run_plan: RunPlan, deployment: Deployment) -> None:
    """Raise BenchError where nothing of the plan can be measured with these parts."""
    left, refused = possible(run_plan, deployment)
    if refused and not (left.latency or left.further or left.drift or left.faults or left.micro):
        spec, reason = refused[0]
        raise BenchError(f"nothing can be measured so: {spec.label}: {reason}")


def unmeasurable(spec: BlockSpec, deployment: Deployment) -> str:
    """Why the block cannot be measured with the parts that are elsewhere, or nothing."""
    if spec.fault is not None:
        return _unstrikable(spec.fault, spec, deployment)
    if deployment.services_on_other_host and spec.measure in AGAINST_THE_SERVICES:
        return f"{spec.measure} would subtract stamps of two hosts: leave out --world-url"
    if deployment.workers_of(spec.side) and spec.measure in OWN_WORKERS:
        return f"{spec.measure} needs workers of the run's own: leave out --external-workers"
    return ""


def _unstrikable(fault: Fault, spec: BlockSpec, deployment: Deployment) -> str:
    struck = fault.hits if spec.side.queued else frozenset[str]()
    if "broker" in struck and deployment.broker_url:
        return f"it strikes the broker, which is not ours: leave out --broker-url and {URL_VARIABLE}"
    if deployment.workers_of(spec.side):
        if "worker" in struck:
            return "it strikes the worker, which is not ours: leave out --external-workers"
        if _sets_workers_up(fault, spec):
            return "it needs workers that are set up for it: leave out --external-workers"
    if deployment.services_on_other_host and fault.check is not recorded_facts:
        return "its checker would compare stamps of two hosts: leave out --world-url"
    return ""


def _sets_workers_up(fault: Fault, spec: BlockSpec) -> bool:
    variables = bool(fault.expected[spec.side.name].env) or fault.environment is not no_environment
    return variables or bool(fault.proxied) or fault.rabbitmq
