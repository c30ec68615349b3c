from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from bench.world import replies
from scenarios import crm, fulfillment, http, node, users
from scenarios.http import ServiceError
from scenarios.users import User

USER = users.validate(
    {
        "id": "u-1",
        "name": "Zoë",
        "email": "zoe@mail.example",
        "birthday": "1990-05-17",
        "address": "1 Mill St",
    }
)
Call = Callable[[User], str]


async def _closing(call: Coroutine[Any, Any, Any]) -> Any:
    try:
        return await call
    finally:
        await http.async_client().aclose()


CALLS: dict[str, Call] = {
    "crm": crm.create_contact,
    "acrm": lambda user: str(asyncio.run(_closing(crm.acreate_contact(user)))),
    "fulfillment": fulfillment.nearest_center,
    "afulfillment": lambda user: str(asyncio.run(_closing(fulfillment.anearest_center(user)))),
    "node": lambda user: str(node.fetch_balance(user.id)),
    "anode": lambda user: str(asyncio.run(_closing(node.afetch_balance(user.id)))),
}


@pytest.fixture(params=CALLS)
def call(request: pytest.FixtureRequest, fresh_settings: None, client: None) -> tuple[str, Call]:  # noqa: ARG001 - for their effects
    return str(request.param).removeprefix("a"), CALLS[request.param]


@pytest.fixture
def world(lab: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    lab.start_world("--latency-ms", "1")
    for name in ("crm_url", "fulfillment_url", "node_url"):
        monkeypatch.setenv(name.upper(), lab.world[name])
    monkeypatch.setenv("DEPENDENCY_TIMEOUT_S", "0.5")
    return lab


def test_each_service_answers_a_thread_and_a_coroutine_and_reports_its_failures(
    world: Any, call: tuple[str, Call]
) -> None:
    service, ask = call
    expected = {"crm": replies.contact_id("u-1"), "fulfillment": replies.nearest_center("1 Mill St")}
    assert ask(USER) == expected.get(service) or service == "node"
    world.fault(service, "status", status=503)
    with pytest.raises(ServiceError, match="503"):
        ask(USER)
    world.fault(service, "hang")
    with pytest.raises(ServiceError, match=r"http://127\.0\.0\.1"):
        ask(USER)


def test_a_service_that_is_away_is_an_error_that_names_the_address(
    call: tuple[str, Call], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    for name in ("CRM_URL", "FULFILLMENT_URL", "NODE_URL"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{port}")
    with pytest.raises(ServiceError, match=f"127.0.0.1:{port}"):
        call[1](USER)
