"""Work that users start: what always fails ends alone, an outage is survived, every refusal is told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

import pytest

from inprocess import (
    Backoff,
    Child,
    ChildSpec,
    GenServer,
    Refused,
    Supervisor,
    TaskSupervisor,
    telemetry,
    whereis,
)
from inprocess.supervision.tasks.child_options import RESTARTS_IN_A_ROW
from inprocess.testing import FakeClock, settle

#: As README's example has it.
BACKOFF = Backoff(initial_s=0.2)


def test_one_address_that_always_fails_ends_alone_and_visibly(caplog: pytest.LogCaptureFixture) -> None:
    events: list[Mapping[str, Any]] = []
    hooks: list[str] = []

    async def send(address: str) -> None:
        if address == "bad":
            raise ConnectionError("no such host")
        await asyncio.get_running_loop().create_future()

    async def main() -> None:
        clock = FakeClock()
        async with TaskSupervisor.start(name="mailers", clock=clock) as mailers:
            bad = mailers.start_child(
                send,
                "bad",
                restart="transient",
                backoff=BACKOFF,
                on_give_up=lambda child, _: hooks.append(child.name),
            )
            good = mailers.start_child(send, "good", restart="transient", backoff=BACKOFF)
            assert isinstance(bad, Child)
            assert isinstance(good, Child)
            await clock.advance(60.0)
            assert bad.exit is None
            await clock.advance(3600.0)
            assert bad.exit is not None
            assert bad.attempt == RESTARTS_IN_A_ROW + 1
            assert (mailers.exit, mailers.children()) == (None, [good])
            assert isinstance(mailers.start_child(send, "later"), Child)

    telemetry.attach(
        "note", [("task", "given_up")], lambda _event, numbers, about: events.append({**numbers, **about})
    )
    try:
        asyncio.run(main())
    finally:
        telemetry.detach("note")
    assert [(event["name"].rpartition(".")[2], event["attempts"]) for event in events] == [
        ("send", RESTARTS_IN_A_ROW + 1)
    ]
    assert len(hooks) == 1
    assert "was given up after 21 attempts" in caplog.text


def test_an_outage_of_the_mail_server_loses_no_mail() -> None:
    sent: list[int] = []

    async def main() -> None:
        clock = FakeClock(0.0)

        async def send(message: int) -> None:
            if clock.now < 240.0:
                raise ConnectionError("smtp down")
            sent.append(message)

        async with TaskSupervisor.start(name="mailers", max_children=1000, clock=clock) as mailers:
            for n in range(12):  # two sign-ups a second
                assert isinstance(mailers.start_child(send, n, restart="transient", backoff=BACKOFF), Child)
                await clock.advance(0.5)
            await clock.advance(400.0)
            assert mailers.count == 0

    logging.disable()
    asyncio.run(main())
    logging.disable(logging.NOTSET)
    assert sorted(sent) == list(range(12))


def test_an_attempt_that_lived_long_begins_a_new_row() -> None:
    async def main() -> None:
        clock = FakeClock(0.0)

        async def consume() -> None:
            await clock_sleep(clock, 5.0)
            raise ConnectionError

        async with TaskSupervisor.start(clock=clock) as tasks:
            backoff = Backoff(initial_s=1.0, max_s=2.0)
            child = tasks.start_child(consume, restart="permanent", backoff=backoff)
            assert isinstance(child, Child)
            await clock.advance(1000.0)
            assert child.exit is None
            assert child.attempt > RESTARTS_IN_A_ROW

    logging.disable()
    asyncio.run(main())
    logging.disable(logging.NOTSET)


async def clock_sleep(clock: FakeClock, seconds: float) -> None:
    woken = asyncio.get_running_loop().create_future()
    clock.call_later(seconds, lambda: woken.set_result(None))
    await woken


def test_a_bare_restart_shares_one_window_and_the_log_names_what_its_end_drops(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def crash() -> None:
        raise ConnectionError

    async def mail(number: int) -> None:
        await asyncio.sleep(60 + number)

    async def main() -> None:
        tasks = TaskSupervisor.start(name="mailers")
        for number in range(3):
            tasks.start_child(mail, number)
        tasks.start_child(crash, restart="transient")
        await tasks.wait()
        refused = tasks.start_child(mail, 4)
        assert isinstance(refused, Refused)
        assert "reached its restart intensity" in refused.text

    asyncio.run(main())
    log = next(
        record.getMessage() for record in caplog.records if "reached its restart" in record.getMessage()
    )
    assert "its other 3 children" in log
    assert all(f"mail({number})" in log for number in range(3))
    assert "backoff=" in log


def test_a_supervisor_that_gives_up_names_the_children_that_it_drops(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Crashes(GenServer):
        def handle_cast(self, _message: Any, /) -> None:
            raise ValueError

    async def main() -> None:
        specs = [
            ChildSpec("a", lambda: GenServer.start(name="innocent")),
            ChildSpec("b", lambda: Crashes.start(name="crashes")),
        ]
        supervisor = Supervisor.start(specs, max_restarts=0)
        await supervisor.ready()
        whereis("crashes").cast(1)  # type: ignore[union-attr]  # it runs
        await supervisor.wait()

    asyncio.run(main())
    assert "it stops its other children and exits: innocent" in caplog.text


def test_refusals_are_logged_once_and_then_counted_and_each_has_a_telemetry_event(
    caplog: pytest.LogCaptureFixture,
) -> None:
    events: list[Mapping[str, Any]] = []

    async def main() -> None:
        async with TaskSupervisor.start(name="mailers", max_children=0) as mailers:
            for _ in range(100):
                assert isinstance(mailers.start_child(settle), Refused)
        assert isinstance(mailers.start_child(settle), Refused)

    telemetry.attach("note", [("task", "refused")], lambda _event, _numbers, about: events.append(about))
    try:
        asyncio.run(main())
    finally:
        telemetry.detach("note")
    assert [event["reason"] for event in events] == ["max_children"] * 100 + ["not_running"]
    assert {event["supervisor"] for event in events} == {"mailers"}
    records = [record for record in caplog.records if "was refused" in record.getMessage()]
    assert len(records) == 1
    assert "mailers has 0 children" in records[0].getMessage()
