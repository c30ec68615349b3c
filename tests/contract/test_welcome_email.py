from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from scenarios import jobs, users


def test_the_user_comes_back_and_the_mail_arrives_after_the_commit(
    caller: Any, params: dict[str, str]
) -> None:
    caller.lab.fault("mail", "slow", seconds=0.5)
    told = caller.tell("create_user", params)
    assert told["value"]["email"] == params["email"]
    assert caller("user", params["id"]) == told["value"], "the user is stored when the call returns"
    [effect] = caller.lab.eventually(lambda: caller.happened("effect", jobs.email(params["id"])))
    assert told["returned"] < effect
    [mail] = caller.lab.control(f"/mails/{params['id']}")
    assert (mail["to"], mail["subject"]) == (params["email"], "Welcome, Zoë O'Neill")
    assert "your account is ready" in mail["body"]


def test_the_mail_of_a_committed_user_is_handed_over_on_its_own(caller: Any, params: dict[str, str]) -> None:
    caller.lab.fault("mail", "slow", seconds=0.5)
    caller("insert", params)
    told = caller.tell("send_welcome_email", params["id"])
    [effect] = caller.lab.eventually(lambda: caller.happened("effect", jobs.email(params["id"])))
    assert (told["value"], told["returned"] < effect) == (None, True)


@pytest.mark.parametrize("mode", ["status", "hang"])
def test_a_mail_server_in_trouble_costs_the_mail_and_not_the_user(
    caller: Any, params: dict[str, str], mode: str
) -> None:
    caller.lab.fault("mail", mode)
    caller("create_user", params)
    caller.lab.eventually(lambda: caller.happened("start", jobs.email(params["id"])))
    assert caller("user", params["id"])["name"] == params["name"]


def test_a_mail_that_fails_is_not_sent_again(caller: Any, params: dict[str, str]) -> None:
    caller.lab.fault("mail", "status", times=1, only=f"^{params['id']}$")
    caller("create_user", params)
    caller.lab.eventually(lambda: caller.happened("failed", jobs.email(params["id"])))
    later = f"{params['id']}-later"
    caller("create_user", {**params, "id": later, "email": f"{later}@mail.example"})
    caller.lab.eventually(lambda: caller.happened("effect", jobs.email(later)))
    assert len(caller.happened("start", jobs.email(params["id"]))) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"name": "", "email": "nobody", "birthday": "soon", "address": None},
        {"birthday": date.max.isoformat()},
        {"name": 7, "address": "x" * 501},
        {"id": "no spaces"},
    ],
)
def test_parameters_that_make_no_user_come_back_with_the_same_errors_from_every_build(
    caller: Any, params: dict[str, str], change: dict[str, Any]
) -> None:
    with pytest.raises(users.ValidationError) as expected:
        users.validate({**params, **change})
    told = caller.tell("create_user", {**params, **change})
    assert (told["type"], told["errors"]) == ("ValidationError", expected.value.errors)


@pytest.mark.parametrize(("field", "other"), [("email", "id"), ("id", "email")])
def test_a_field_that_is_taken_is_refused_and_sends_no_mail(
    caller: Any, params: dict[str, str], field: str, other: str
) -> None:
    caller("create_user", params)
    caller.lab.eventually(lambda: caller.happened("done", jobs.email(params["id"])))
    told = caller.tell("create_user", {**params, other: f"other-{params[other]}"})
    assert (told["type"], told["errors"]) == ("ValidationError", {field: ["has already been taken"]})
    assert len(caller.happened("start", jobs.email(params["id"]))) == 1
