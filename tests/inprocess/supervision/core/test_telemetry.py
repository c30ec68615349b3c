"""Telemetry: who is told what, and that a failing handler harms nobody."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from inprocess.supervision.core import telemetry


class Seen:
    """Remembers what a handler was called with."""

    def __init__(self) -> None:
        self.events: list[tuple[telemetry.Event, dict[str, float], dict[str, Any]]] = []

    def __call__(self, event: telemetry.Event, numbers: Any, about: Any) -> None:
        self.events.append((event, dict(numbers), dict(about)))


@pytest.fixture
def seen() -> Iterator[Seen]:
    seen = Seen()
    telemetry.attach("test", [("job", "start"), ("job", "stop"), ("job", "exception")], seen)
    yield seen
    telemetry.detach("test")


def test_nothing_is_attached_at_first_and_after_the_last_detach() -> None:
    assert not telemetry.attached
    telemetry.attach("a", [("x",)], Seen())
    assert telemetry.attached
    assert telemetry.detach("a")
    assert not telemetry.attached
    assert not telemetry.detach("a")


def test_an_event_reaches_only_those_who_asked_for_it_in_their_order() -> None:
    order: list[str] = []
    for name, events in {"first": [("x",), ("y",)], "second": [("x",)], "third": [("y",)]}.items():
        telemetry.attach(name, events, lambda *_, name=name: order.append(name))
    telemetry.execute(("x",))
    assert order == ["first", "second"]
    for name in ("first", "second", "third"):
        telemetry.detach(name)


def test_a_span_tells_its_start_and_its_stop_with_a_duration_and_what_the_block_added(seen: Seen) -> None:
    with telemetry.span(("job",), {"id": 1}) as about:
        about["rows"] = 3
    (start, begun, told), (stop, ended, added) = seen.events
    assert (start, stop) == (("job", "start"), ("job", "stop"))
    assert (told, added) == ({"id": 1}, {"id": 1, "rows": 3})
    assert ended["duration"] == ended["monotonic_time"] - begun["monotonic_time"] >= 0
    assert begun["system_time"] > begun["monotonic_time"]


def test_a_span_whose_block_raises_tells_the_error_and_lets_it_pass(seen: Seen) -> None:
    error = KeyError("x")
    with pytest.raises(KeyError), telemetry.span(("job",)):
        raise error
    event, numbers, about = seen.events[-1]
    assert event == ("job", "exception")
    assert about["error"] is error
    assert numbers["duration"] >= 0


def test_a_handler_that_raises_is_detached_from_all_its_events_and_the_others_go_on(
    seen: Seen, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    failures = Seen()
    telemetry.attach("broken", [("job", "start"), ("job", "stop")], broken)
    telemetry.attach("failures", [telemetry.TELEMETRY_FAILED], failures)
    with caplog.at_level(logging.ERROR, "inprocess"), telemetry.span(("job",)):
        pass
    telemetry.detach("failures")
    assert [event for event, _, _ in seen.events] == [("job", "start"), ("job", "stop")]
    assert [record.getMessage() for record in caplog.records] == [
        "the telemetry handler 'broken' failed at ('job', 'start') and was detached"
    ]
    assert failures.events[0][2]["handler_id"] == "broken"
    assert not telemetry.detach("broken")


def test_a_failing_handler_of_failures_is_detached_too() -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    telemetry.attach("broken", [telemetry.TELEMETRY_FAILED], broken)
    telemetry.execute(telemetry.TELEMETRY_FAILED)
    assert not telemetry.attached


def test_an_id_is_taken_until_it_is_detached(seen: Seen) -> None:
    with pytest.raises(ValueError, match="'test' is attached: detach it, or use another id"):
        telemetry.attach("test", [("other",)], seen)


@pytest.mark.parametrize("event", ["job.start", (), ("job", 1)])
def test_an_event_that_is_no_tuple_of_names_is_refused(event: Any) -> None:
    with pytest.raises(ValueError, match="expected a tuple of names"):
        telemetry.attach("bad", [event], Seen())
    assert not telemetry.attached
