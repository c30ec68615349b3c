"""Events of systems with known truth, as the processes of a block would have written them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bench.measures.events.block import NS_PER_S, Block
from scenarios import jobs

MS = 1_000_000
Event = dict[str, Any]


@pytest.fixture
def block() -> Block:
    return Block(block="b001", side="inprocess", start_ns=0, end_ns=3_600 * NS_PER_S)


@pytest.fixture
def email() -> Callable[..., list[Event]]:
    """One welcome e-mail: name → times in ms; a missing time is an event that never came."""

    def events(user: str, status: int | None = 201, **times_ms: float) -> list[Event]:
        made: list[Event] = []
        for name, at in times_ms.items():
            kind = name.rstrip("0123456789")  # effect2 is a second effect
            event: Event = {"t": round(at * MS), "event": kind, "scenario": jobs.WELCOME_EMAIL}
            is_request = kind in {"due", "request", "response", "unknown"}
            event |= {"request": user} if is_request else {"job": jobs.email(user)}
            if kind == "response":
                event["status"] = status
            made.append(event)
        return made

    return events


@pytest.fixture
def syncs() -> Callable[..., list[Event]]:
    """The runs of one owner: starts in s, each done after `work_s` (None: never)."""

    def events(starts_s: list[float], work_s: float | None = 0.02, owner: str = "ada") -> list[Event]:
        common = {"scenario": jobs.ACCOUNT_SYNC, "job": jobs.sync(owner), "attempt": 1}
        made = [{"t": round(s * NS_PER_S), "event": "start", **common} for s in starts_s]
        if work_s is not None:
            made += [{"t": round((s + work_s) * NS_PER_S), "event": "done", **common} for s in starts_s]
        return made

    return events
