"""A standing world: one run has it at a time, and a worker's events come in once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from bench.world import shared_world
from bench.world.faults import ServiceFault, ServiceFaults
from bench.world.shared_world import SharedWorld


@dataclass
class Service:
    latency_s: float = 0.02


class Asked:
    """The world's application, asked without a network."""

    def __init__(self, app: Starlette) -> None:
        self._transport = httpx.ASGITransport(app)

    def __call__(self, method: str, path: str, body: Any = None) -> httpx.Response:
        return asyncio.run(self._ask(method, path, body))

    async def _ask(self, method: str, path: str, body: Any) -> httpx.Response:
        async with httpx.AsyncClient(transport=self._transport, base_url="http://world") as client:
            return await client.request(method, path, json=body)


@pytest.fixture
def faults() -> ServiceFaults:
    return ServiceFaults()


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def world(tmp_path: Path, faults: ServiceFaults, service: Service) -> Asked:
    return Asked(Starlette(routes=SharedWorld(tmp_path, "B", faults, [service], 0.02).routes()))


@pytest.fixture
def begin(world: Asked) -> Callable[..., Any]:
    return lambda run, **also: world("POST", "/blocks", {"run": run, "block": "b", **also})


def start(job: str, t: int = 1) -> dict[str, Any]:
    return {"t": t, "event": "start", "job": job, "host": "C"}


def test_a_block_finds_every_service_well_and_as_slow_as_it_asks(
    begin: Callable[..., Any], faults: ServiceFaults, service: Service
) -> None:
    faults.set(ServiceFault(service="crm", mode="hang"))
    assert begin("one", latency_ms=600).json() == {"after": 0}
    assert faults.present()["crm"].mode == "ok"
    assert service.latency_s == pytest.approx(0.6)
    begin("one")
    assert service.latency_s == pytest.approx(0.02)


def test_another_run_is_refused_while_one_has_the_world(
    world: Asked, begin: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    begin("one")
    answer = begin("two")
    assert (answer.status_code, answer.json()) == (409, {"error": "run one has this world"})
    assert world("GET", "/").json()["run"] == "one"
    world("DELETE", "/runs/two")
    assert begin("two").status_code == 409
    world("DELETE", "/runs/one")
    assert begin("two").status_code == 200
    monkeypatch.setattr(shared_world, "HELD_S", 0.0)  # as long after its last question
    assert begin("three").status_code == 200


def test_a_workers_events_come_once_however_often_they_are_sent(world: Asked) -> None:
    sent = {"source": "w1", "after": 0, "events": [start("a"), start("b")]}
    for _ in range(2):
        assert world("POST", "/events", sent).status_code == 204
    world("POST", "/events", {"source": "w1", "after": 1, "events": [start("b"), start("c")]})
    world("POST", "/events", {"source": "w2", "after": 0, "events": [start("d")]})
    told = world("GET", "/events?after=0").json()
    assert [event["job"] for event in told["events"]] == ["a", "b", "c", "d"]
    assert world("GET", f"/events?after={told['next']}").json() == {"next": 4, "events": []}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/events", {"source": "w", "events": []}),
        ("POST", "/events", []),
        ("POST", "/marks", {"event": "effect"}),
        ("GET", "/events?after=-1", None),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_reason(
    world: Asked, method: str, path: str, body: Any
) -> None:
    answer = world(method, path, body)
    assert answer.status_code == 422
    assert "expected" in answer.json()["error"]
