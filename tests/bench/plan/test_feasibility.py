"""What is left out where parts of a run are elsewhere: nothing that is not ours is struck."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import faults
from bench.errors import BenchError
from bench.plan import sides
from bench.plan.blocks import fault_blocks
from bench.plan.deployment import ALL_HERE, Deployment, DeploymentRequest
from bench.plan.feasibility import check_some_is_possible, possible, unmeasurable
from bench.plan.plan_file import planned
from bench.plan.profiles import PROFILES
from bench.plan.run_plan import make_run_plan
from bench.plan.run_request import RunRequest, make_run_request
from bench.stack.scenario_subject import ScenarioSubject
from bench.world.remote_world import RemoteWorld

BROKER = "redis://10.0.0.2:6379/0"
WORLD = RemoteWorld(url="http://10.0.0.2:8100", id="1", host="B", urls={}, run="")
REMOTE_BROKER = Deployment(broker_url=BROKER)
REMOTE_WORLD = Deployment(host="A", world=WORLD)
ALL_REMOTE = Deployment(host="A", broker_url=BROKER, world=WORLD, workers=True, profile="full")


def order(*measures: str, deployment: DeploymentRequest | None = None, profile: str = "full") -> RunRequest:
    return make_run_request(
        ScenarioSubject,
        scenarios=(),
        sides=(),
        measures=measures,
        faults=(),
        profile=PROFILES[profile],
        seed=1,
        out=Path(),
        deployment=deployment or DeploymentRequest(),
    )


def reasons(deployment: Deployment, side: str) -> dict[str, str]:
    """Why each fault is left out for a side, by the fault's name; those that can be made are not in it."""
    specs = fault_blocks([sides.SIDES[side]], faults.select_faults(()), PROFILES["smoke"])
    told = {spec.fault.slug: unmeasurable(spec, deployment) for spec in specs if spec.fault}
    return {slug: reason for slug, reason in told.items() if reason}


def test_a_run_all_of_whose_parts_are_its_own_leaves_nothing_out() -> None:
    run_plan = make_run_plan(order())
    assert possible(run_plan, ALL_HERE) == (run_plan, [])


def test_a_broker_that_is_not_ours_is_never_struck() -> None:
    found = reasons(REMOTE_BROKER, "celery-hardened")
    assert {"broker-killed", "broker-refuses", "broker-silent", "broker-full", "big-argument"} <= found.keys()
    assert all("strikes the broker, which is not ours" in reason for reason in found.values())
    assert "worker-killed" not in found


def test_a_worker_that_is_not_ours_is_never_struck_nor_expected_to_be_set_up_anew() -> None:
    found = reasons(ALL_REMOTE, "celery-hardened")
    assert "strikes the worker" in found["worker-killed"]
    assert "strikes the worker" in found["deploy"]
    assert "set up for it" in found["outlives-visibility"]
    assert "set up for it" in found["slow-broker"]
    assert "app-killed" not in found


def test_a_side_without_a_queue_is_struck_as_ever() -> None:
    assert "deploy" not in reasons(ALL_REMOTE, "inprocess")
    assert reasons(REMOTE_BROKER, "inprocess") == {}


def test_a_checker_that_would_compare_two_clocks_is_not_asked() -> None:
    assert "stamps of two hosts" in reasons(REMOTE_WORLD, "inprocess")["slow-sync"]


def test_services_that_bear_this_hosts_name_share_its_clock() -> None:
    deployment = Deployment(host="B", world=WORLD)
    assert reasons(deployment, "inprocess") == {}
    assert possible(make_run_plan(order("cold")), deployment)[1] == []


def test_measures_against_the_services_and_those_that_need_own_workers_are_left_out() -> None:
    run_plan = make_run_plan(order("latency", "load", "cold", "owners", "hogs", "drift"))
    left, refused = possible(run_plan, REMOTE_WORLD)
    assert {spec.measure for spec, _ in refused} == {"capacity", "load", "cold"}
    assert left.drift == run_plan.drift
    left, refused = possible(run_plan, ALL_REMOTE)
    assert {spec.side.name for spec, _ in refused if spec.measure == "drift"} == {
        "celery-stock",
        "celery-hardened",
    }
    assert left.latency == run_plan.latency


def test_a_run_of_which_nothing_is_left_is_refused_with_the_reason() -> None:
    with pytest.raises(BenchError, match="cold would subtract stamps of two hosts: leave out --world-url"):
        check_some_is_possible(make_run_plan(order("cold")), REMOTE_WORLD)


def test_a_run_that_is_gone_on_with_may_have_nothing_left_but_what_is_left_out() -> None:
    left, refused = possible(make_run_plan(order("cold")), REMOTE_WORLD)
    assert left.further == []
    assert len(refused) > 1


def test_the_same_seed_gives_the_same_load_and_strikes_wherever_the_parts_are() -> None:
    apart = DeploymentRequest(broker_url=BROKER, world_url=WORLD.url, workers=True)
    one, there = (
        order("latency", "fault", deployment=parts, profile="smoke") for parts in (DeploymentRequest(), apart)
    )
    assert there.profile.lanes == 1
    lanes = f'"lanes": {one.profile.lanes}'
    assert planned(one, make_run_plan(one)).replace(lanes, '"lanes": 1') == planned(
        there, make_run_plan(there)
    )
    assert there.command == [*one.command, *apart.options()]


def test_workers_and_run_agree_on_a_prefix_that_no_other_world_profile_or_side_has() -> None:
    hardened, stock = sides.SIDES["celery-hardened"], sides.SIDES["celery-stock"]
    assert ALL_REMOTE.key_prefix(hardened) == "queue-or-task:1:full:celery-hardened:"
    assert ALL_REMOTE.key_prefix(stock) != ALL_REMOTE.key_prefix(hardened)
    assert REMOTE_WORLD.key_prefix(hardened) is None
    assert ALL_REMOTE.key_prefix(sides.SIDES["inprocess"]) is None
