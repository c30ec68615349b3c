from __future__ import annotations

from typing import Any

from bench.world import replies
from scenarios import jobs


def test_both_ids_appear_on_the_user(caller: Any, params: dict[str, str]) -> None:
    caller("insert", params)
    assert caller("set_up", params["id"]) is None
    user = caller.lab.eventually(
        lambda: (u := caller("user", params["id"]))["crm_id"] and u["fulfillment_center_id"] and u
    )
    assert user["crm_id"] == replies.contact_id(params["id"])
    assert user["fulfillment_center_id"] == replies.nearest_center(params["address"])


def test_the_call_returns_before_the_work_is_done(caller: Any, params: dict[str, str]) -> None:
    caller.lab.fault("crm", "slow", seconds=0.5)
    caller("insert", params)
    returned = caller.tell("set_up", params["id"])["returned"]
    [effect] = caller.lab.eventually(lambda: caller.happened("effect", jobs.crm(params["id"])))
    assert returned < effect


def test_a_service_that_never_answers_holds_neither_the_caller_nor_the_other_piece(
    caller: Any, params: dict[str, str]
) -> None:
    caller.lab.fault("crm", "hang")
    caller("insert", params)
    assert caller("set_up", params["id"]) is None
    caller.lab.eventually(lambda: caller("user", params["id"])["fulfillment_center_id"])
    caller.lab.eventually(lambda: caller.happened("start", jobs.crm(params["id"])))
    assert caller("user", params["id"])["crm_id"] is None


def test_one_piece_failing_does_not_hold_the_other(caller: Any, params: dict[str, str]) -> None:
    caller.lab.fault("fulfillment", "status", status=500)
    caller("insert", params)
    caller("set_up", params["id"])
    caller.lab.eventually(lambda: caller("user", params["id"])["crm_id"])
    assert caller("user", params["id"])["fulfillment_center_id"] is None


def test_a_piece_is_retried_by_itself_after_a_503(caller: Any, params: dict[str, str]) -> None:
    """Celery's defaults retry nothing: there the failure is on record instead."""
    caller.lab.fault("crm", "status", times=2)
    crm, center = jobs.crm(params["id"]), jobs.fulfillment(params["id"])
    caller("insert", params)
    caller("set_up", params["id"])
    if not caller.stand.retries:
        caller.lab.eventually(lambda: caller.happened("failed", crm))
        assert caller.happened("effect", crm) == []
        return
    caller.lab.eventually(lambda: caller("user", params["id"])["crm_id"])
    assert [event["attempt"] for event in caller.lab.events("start", job=crm)] == [1, 2, 3]
    caller.lab.eventually(lambda: caller.happened("done", center))
    assert len(caller.happened("start", center)) == 1


def test_accounts_of_many_users_are_set_up_once_each(caller: Any, params: dict[str, str]) -> None:
    ids = [f"{params['id']}-{number}" for number in range(10)]
    for user_id in ids:
        caller("insert", {**params, "id": user_id, "email": f"{user_id}@mail.example"})
        caller("set_up", user_id)
    names = [name for user_id in ids for name in (jobs.crm(user_id), jobs.fulfillment(user_id))]
    caller.lab.eventually(lambda: all(caller.happened("done", name) for name in names))
    assert [len(caller.happened("effect", name)) for name in names] == [1] * len(names)
