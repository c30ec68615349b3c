from __future__ import annotations

from typing import Any

from scenarios import jobs


def runs(caller: Any, owner: str) -> list[int]:
    found: list[int] = caller.happened("effect", jobs.sync(owner))
    return found


def ran(caller: Any, owner: str) -> Any:
    """The owner's state once it has been synced; in-process its row appears soon after `start`."""
    state = caller("state", owner)
    return state and state["last_run_at"] and state


def test_a_started_owner_is_synced_again_and_again(caller: Any, owner: str) -> None:
    assert caller("start", owner) is None
    first = caller.lab.eventually(lambda: ran(caller, owner))
    # A balance grows every 100 ms, and two syncs may be closer than that: wait for one that is apart.
    second = caller.lab.eventually(lambda: (s := caller("state", owner))["balance"] > first["balance"] and s)
    assert (second["owner"], second["active"]) == (owner, True)
    assert second["last_run_at"] > first["last_run_at"]
    assert len(runs(caller, owner)) >= 2
    caller("stop", owner)


def test_starting_twice_is_the_same_as_once(caller: Any, owner: str) -> None:
    once, twice = f"{owner}-once", f"{owner}-twice"
    for name in (once, twice, twice):
        caller("start", name)
    caller.lab.eventually(lambda: len(runs(caller, once)) >= 4)
    assert abs(len(runs(caller, twice)) - len(runs(caller, once))) <= 1
    for name in (once, twice):
        caller("stop", name)


def test_a_stopped_owner_is_synced_no_longer(caller: Any, owner: str) -> None:
    stopped, control = f"{owner}-stopped", f"{owner}-control"
    for name in (stopped, control):
        caller("start", name)
    caller.lab.eventually(lambda: runs(caller, stopped) and runs(caller, control))
    told = caller.tell("stop", stopped)
    assert "error" not in told

    def after(name: str) -> int:
        return sum(1 for t in runs(caller, name) if t > told["returned"])

    caller.lab.eventually(lambda: after(control) >= 4)
    assert after(stopped) <= 1, "one that was under way may still come"
    assert caller("state", stopped)["active"] is False
    caller("stop", control)


def test_stopping_an_owner_that_was_never_started_is_no_error(caller: Any, owner: str) -> None:
    assert caller("stop", owner) is None
    assert caller("state", owner) is None


def test_a_node_that_fails_once_costs_a_tick_and_not_the_schedule(caller: Any, owner: str) -> None:
    caller.lab.fault("node", "status", times=1, only=owner)
    caller("start", owner)
    caller.lab.eventually(lambda: ran(caller, owner))
    assert len(caller.happened("start", jobs.sync(owner))) >= 2
    caller("stop", owner)
