"""The express way of `delay` gives what Celery's whole way gives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery, signals
from celery.utils.saferepr import saferepr
from hypothesis import given, settings
from hypothesis import strategies as st

from inprocess.celery import InProcess
from inprocess.celery.attach.app_patch import patched
from inprocess.celery.broker.broker import Broker, Envelope
from inprocess.celery.sending.fast_send import FastSend
from inprocess.celery.sending.plain_values import are_plain, quick_repr

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
values = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5
)


class Parked:
    """An app whose messages stay in the broker, sent by both ways."""

    def __init__(self, app: Any, broker: Broker) -> None:
        self.app, self.broker = app, broker
        self.task = app.tasks["anything"]
        self.express: FastSend = app.__dict__["send_task"]

    def by(self, way: Any, *args: Any, **kwargs: Any) -> Envelope:
        self.app.__dict__["send_task"] = way
        self.task.apply_async(args, kwargs, task_id="id", root_id="root")
        envelope = self.broker.get("celery")
        assert envelope is not None
        return envelope


@pytest.fixture(scope="module")
def parked() -> Iterator[Parked]:
    app: Any = Celery("parked", set_as_current=False)
    broker = Broker()
    with patched(app, broker, strict=True, ask=bool, backend=None, store=None):
        app.task(name="anything", shared=False)(anything)
        yield Parked(app, broker)


def anything(*args: Any, **kwargs: Any) -> None:
    """Take any arguments."""


def opened(envelope: Envelope) -> Any:
    """The body as the task would see it."""
    if envelope.content_type is None:
        return list(envelope.body)
    from kombu.serialization import loads

    return loads(envelope.body, envelope.content_type, "utf-8", accept={envelope.content_type})


@given(
    st.lists(values, max_size=4),
    st.dictionaries(st.from_regex(r"[a-z]{1,5}", fullmatch=True), values, max_size=2),
)
@settings(max_examples=60, deadline=None)
def test_both_ways_send_the_same_message(parked: Parked, args: list[Any], kwargs: dict[str, Any]) -> None:
    quick = parked.by(parked.express, *args, **kwargs)
    whole = parked.by(parked.express._whole, *args, **kwargs)
    assert list(quick.headers.items()) == list(whole.headers.items())
    assert quick.properties == whole.properties
    assert (quick.queue, quick.exchange, quick.routing_key) == (
        whole.queue,
        whole.exchange,
        whole.routing_key,
    )
    assert opened(quick) == opened(whole)


@given(st.lists(scalars | st.text(max_size=200), max_size=10).map(tuple))
@settings(max_examples=300, deadline=None)
def test_a_quick_text_is_celerys_text(args: tuple[Any, ...]) -> None:
    assert quick_repr(args, 1024) == saferepr(args, 1024, maxlevels=3)


@pytest.mark.parametrize("value", [{}, [], b"", 2**63, "a'b", "x" * 101, "a\nb", 1j, object()])
def test_what_json_may_change_is_not_plain(value: object) -> None:
    assert not are_plain([value])


def test_a_call_with_more_to_it_goes_the_whole_way(run: InProcess, app: Any) -> None:
    seen: list[str] = []

    @app.task
    def task() -> None:
        """Do nothing."""

    def note(sender: str, **_: Any) -> None:
        seen.append(sender)

    signals.before_task_publish.connect(note)
    try:
        task.delay().get(timeout=20)
    finally:
        signals.before_task_publish.disconnect(note)
    app.conf.update(task_routes={task.name: {"queue": "special"}})
    result = task.delay()
    result.get(timeout=20)
    assert seen == [task.name]
    assert "special" in run.broker.consumed()
