"""What `Sidekiq(app)` takes of an app's settings, and what it refuses with one line."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery

from celery_impl.sidekiq import Sidekiq, SidekiqError
from celery_impl.sidekiq.lease.channel import Channel
from celery_impl.sidekiq.redis import transport as stored
from celery_impl.sidekiq.worker.consumer import SidekiqConsumer

ONE, TWO = "redis://:secret@127.0.0.1:1/0", "redis://127.0.0.1:2/0"


def made(**conf: Any) -> Celery:
    app = Celery("made", set_as_current=False)
    app.config_from_object(SimpleNamespace(**conf))
    Sidekiq(app)
    return app


@pytest.mark.parametrize(
    "conf",
    [
        {"broker_url": [ONE, TWO]},
        {"broker_url": f"{ONE};{TWO}"},
        {"broker_url": f"lease+{ONE};lease+{TWO}"},
        {"broker_url": ONE, "broker_read_url": TWO},
        {"broker_read_url": ONE, "broker_write_url": TWO},
    ],
)
def test_several_brokers_are_refused_by_name_and_without_their_passwords(conf: dict[str, Any]) -> None:
    with pytest.raises(SidekiqError, match=r"name 2 brokers .*keeps its jobs on one") as refused:
        made(**conf)
    assert "secret" not in str(refused.value)
    assert "127.0.0.1:2" in str(refused.value)


def test_a_sentinel_is_refused_with_the_reason() -> None:
    with pytest.raises(SidekiqError, match=r"replica that follows .*may lack jobs that were accepted"):
        made(broker_url="sentinel://127.0.0.1:1/0")


@pytest.mark.parametrize(
    "conf",
    [
        {"broker_url": [TWO]},
        {"broker_read_url": TWO, "broker_write_url": TWO},
        {"broker_url": TWO, "broker_write_url": TWO},
    ],
)
def test_one_broker_may_be_named_in_each_way_that_celery_knows(conf: dict[str, Any]) -> None:
    assert made(**conf).conf.broker_url == TWO


def test_a_second_call_for_an_app_is_refused() -> None:
    app = made(broker_url=TWO)
    with pytest.raises(SidekiqError, match="called for this app before"):
        Sidekiq(app)


def test_settings_that_are_loaded_later_are_fitted() -> None:
    """They replace all settings, those too that `Sidekiq(app)` had set."""
    app = made(broker_url=ONE)

    app.config_from_object(SimpleNamespace(broker_url=TWO, task_acks_late=True))

    assert (app.conf.broker_url, app.conf.task_acks_late) == (TWO, True)
    channel: Any = app.connection_for_write().transport
    assert issubclass(channel.Channel, stored.Channel)
    assert app.conf.broker_transport_options["max_retries"] == 0
    assert app.conf.worker_consumer == f"{SidekiqConsumer.__module__}:{SidekiqConsumer.__name__}"


@pytest.mark.parametrize(
    ("url", "why"), [("amqp://127.0.0.1", "another kind"), (f"{ONE};{TWO}", "2 brokers")]
)
def test_settings_that_are_loaded_later_are_refused_where_they_cannot_be_served(url: str, why: str) -> None:
    app = made(broker_url=ONE)
    with pytest.raises(SidekiqError, match=why):
        app.config_from_object(SimpleNamespace(broker_url=url))


@pytest.mark.filterwarnings("ignore:Call to deprecated setex")  # Celery's
@pytest.mark.parametrize("lease", [True, False])
def test_a_result_backend_may_be_the_brokers_url(lab: Any, lease: bool) -> None:  # noqa: FBT001 - a parameter
    url = f"lease+{lab.broker.url}" if lease else lab.broker.url
    app = Celery("made", broker=url, backend=url, set_as_current=False)
    Sidekiq(app)
    app.backend.store_result("a", 1, "SUCCESS")
    assert app.AsyncResult("a").get() == 1
    lab.redis.delete(b"celery-task-meta-a")
    app.close()


@pytest.mark.parametrize("url", ["lease+redis://:secret@127.0.0.1:2/3", "redis://:secret@127.0.0.1:2/3"])
def test_others_read_the_address_of_the_broker_as_ever_and_no_password_in_its_place(url: str) -> None:
    """As Flower, redbeat and `celery inspect stats` do: by the setting, and by the connection's info."""
    app = Celery("made", broker=url, set_as_current=False)
    Sidekiq(app, lease=True)

    assert app.conf.broker_url == "redis://:secret@127.0.0.1:2/3"
    connection: Any = app.connection()
    assert connection.as_uri() == "redis://:**@127.0.0.1:2/3"
    info = connection.info()
    assert (info["hostname"], info["port"], info["virtual_host"]) == ("127.0.0.1", 2, "3")
    assert issubclass(connection.transport.Channel, Channel)
