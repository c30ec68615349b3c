"""The lease transport by an option, on a URL that others can read."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from celery import Celery, signals

from celery_impl.sidekiq import Sidekiq, SidekiqError
from celery_impl.sidekiq.lease.transport import Transport

URL = "redis://:secret@127.0.0.1:7399/3"


def make(url: str = URL, **options: Any) -> Any:
    app: Any = Celery("lease option", broker=url, set_as_current=False)
    app.conf.broker_transport_options = options
    return app


@pytest.mark.parametrize("by", ["option", "argument"])
@pytest.mark.parametrize("scheme", ["redis", "rediss"])
def test_others_read_the_url_as_it_was_and_the_transport_is_that_of_the_lease(by: str, scheme: str) -> None:
    url = URL.replace("redis", scheme, 1)
    app = make(url, lease=True, lease_s=7.0) if by == "option" else make(url, lease_s=7.0)
    Sidekiq(app, lease=True) if by == "argument" else Sidekiq(app)
    connection = app.connection_for_write()

    assert isinstance(connection.transport, Transport)
    assert app.conf.broker_url == url, "redbeat, celery-singleton"
    assert connection.as_uri(include_password=True) == url, "Flower's broker page"
    assert connection.as_uri() == url.replace("secret", "**")
    channel = connection.transport.Channel
    known = channel._connparams(_unconnected(connection))
    assert (known["host"], known["port"], known["db"], known["password"]) == ("127.0.0.1", 7399, 3, "secret")


def _unconnected(connection: Any) -> Any:
    """A channel that is not opened: nobody listens."""
    channel: Any = object.__new__(connection.transport.Channel)
    channel.connection = connection.transport
    return channel


def test_without_it_there_is_no_lease_and_the_alias_has_it() -> None:
    for app, is_lease in ((make(), False), (make(lease=False), False), (make(f"lease+{URL}"), True)):
        Sidekiq(app)
        assert isinstance(app.connection_for_write().transport, Transport) is is_lease
    argument = make(lease=True)
    Sidekiq(argument, lease=False)
    assert not isinstance(argument.connection_for_write().transport, Transport)


def test_what_contradicts_itself_is_refused() -> None:
    with pytest.raises(SidekiqError, match="lease=False with lease\\+redis://: write redis://, or no lease="):
        Sidekiq(make(f"lease+{URL}"), lease=False)
    with pytest.raises(SidekiqError, match="lease=True is for Redis"):
        Sidekiq(make("amqp://127.0.0.1:1//"), lease=True)


def test_a_worker_says_that_nobody_honours_the_option_without_sidekiq(caplog: Any) -> None:
    for app, said in ((make(lease=True), True), (make(), False)):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            signals.celeryd_init.send(
                sender="w", instance=type("W", (), {"app": app}), conf=app.conf, options={}
            )
        assert ("nobody honours it: call Sidekiq(app)" in caplog.text) is said


def test_jobs_run_under_a_lease_by_the_option(lab: Any) -> None:
    lab.app = "lease_option_app"
    sample = lab.sample()
    worker = lab.worker("-P", "solo")
    sample.work.delay("a")
    lab.eventually(lambda: lab.runs("done", "a"))
    assert lab.redis.keys("*lease*")
    assert "nobody honours" not in worker.output
