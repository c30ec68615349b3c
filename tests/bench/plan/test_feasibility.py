"""What is left out where parts of a run are elsewhere: nothing that is not ours is struck."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import faults
from bench.errors import BenchError
from bench.plan import sides
from bench.plan.blocks import fault_turns
from bench.plan.deployment import ALL_HERE, Elsewhere, Found
from bench.plan.feasibility import check_some_is_possible, possible, unmeasurable
from bench.plan.plan_file import planned
from bench.plan.profiles import PROFILES
from bench.plan.run_plan import make_agenda
from bench.plan.run_request import Order, make_order
from bench.world.remote_world import World

BROKER = "redis://10.0.0.2:6379/0"
WORLD = World(url="http://10.0.0.2:8100", id="1", host="B", urls={}, run="")
REMOTE_BROKER = Found(broker_url=BROKER)
REMOTE_WORLD = Found(host="A", world=WORLD)
ALL_REMOTE = Found(host="A", broker_url=BROKER, world=WORLD, workers=True, profile="full")


def order(*measures: str, elsewhere: Elsewhere | None = None, profile: str = "full") -> Order:
    return make_order(
        scenarios=(),
        sides=(),
        measures=measures,
        faults=(),
        profile=PROFILES[profile],
        seed=1,
        out=Path(),
        elsewhere=elsewhere or Elsewhere(),
    )


def reasons(here: Found, side: str) -> dict[str, str]:
    """Why each fault is left out for a side, by the fault's name; those that can be made are not in it."""
    turns = fault_turns([sides.SIDES[side]], faults.chosen(()), PROFILES["smoke"])
    told = {turn.fault.slug: unmeasurable(turn, here) for turn in turns if turn.fault}
    return {slug: reason for slug, reason in told.items() if reason}


def test_a_run_all_of_whose_parts_are_its_own_leaves_nothing_out() -> None:
    agenda = make_agenda(order())
    assert possible(agenda, ALL_HERE) == (agenda, [])


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
    here = Found(host="B", world=WORLD)
    assert reasons(here, "inprocess") == {}
    assert possible(make_agenda(order("cold")), here)[1] == []


def test_measures_against_the_services_and_those_that_need_own_workers_are_left_out() -> None:
    agenda = make_agenda(order("latency", "load", "cold", "owners", "hogs", "drift"))
    left, refused = possible(agenda, REMOTE_WORLD)
    assert {turn.measure for turn, _ in refused} == {"capacity", "load", "cold"}
    assert left.drift == agenda.drift
    left, refused = possible(agenda, ALL_REMOTE)
    assert {turn.side.name for turn, _ in refused if turn.measure == "drift"} == {
        "celery-stock",
        "celery-hardened",
    }
    assert left.latency == agenda.latency


def test_a_run_of_which_nothing_is_left_is_refused_with_the_reason() -> None:
    with pytest.raises(BenchError, match="cold would subtract stamps of two hosts: leave out --world-url"):
        check_some_is_possible(make_agenda(order("cold")), REMOTE_WORLD)


def test_a_run_that_is_gone_on_with_may_have_nothing_left_but_what_is_left_out() -> None:
    left, refused = possible(make_agenda(order("cold")), REMOTE_WORLD)
    assert left.further == []
    assert len(refused) > 1


def test_the_same_seed_gives_the_same_load_and_strikes_wherever_the_parts_are() -> None:
    elsewhere = Elsewhere(broker_url=BROKER, world_url=WORLD.url, workers=True)
    here, there = (
        order("latency", "fault", elsewhere=parts, profile="smoke") for parts in (Elsewhere(), elsewhere)
    )
    assert there.profile.lanes == 1
    lanes = f'"lanes": {here.profile.lanes}'
    assert planned(here, make_agenda(here)).replace(lanes, '"lanes": 1') == planned(there, make_agenda(there))
    assert there.command == [*here.command, *elsewhere.options()]


def test_workers_and_run_agree_on_a_prefix_that_no_other_world_profile_or_side_has() -> None:
    hardened, stock = sides.SIDES["celery-hardened"], sides.SIDES["celery-stock"]
    assert ALL_REMOTE.key_prefix(hardened) == "queue-or-task:1:full:celery-hardened:"
    assert ALL_REMOTE.key_prefix(stock) != ALL_REMOTE.key_prefix(hardened)
    assert REMOTE_WORLD.key_prefix(hardened) is None
    assert ALL_REMOTE.key_prefix(sides.SIDES["inprocess"]) is None
