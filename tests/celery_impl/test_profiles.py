from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest
from celery import Celery

from celery_impl import profiles
from celery_impl.app import make
from celery_impl.sidekiq import Sidekiq, SidekiqError


def test_hardened_is_what_the_profile_is_when_nothing_is_said() -> None:
    assert profiles.chosen({}) is profiles.HARDENED


def test_an_unknown_profile_is_refused_with_the_names_of_the_known_ones() -> None:
    with pytest.raises(profiles.ProfileError, match="'fast': expected stock or hardened"):
        profiles.chosen({"QUEUE_OR_TASK_PROFILE": "fast"})


def test_a_visibility_timeout_that_is_no_time_is_refused_by_name() -> None:
    with pytest.raises(profiles.ProfileError, match="QUEUE_OR_TASK_VISIBILITY_TIMEOUT_S"):
        profiles.celery_settings(profiles.STOCK, {"QUEUE_OR_TASK_VISIBILITY_TIMEOUT_S": "long"})


def test_stock_sets_the_broker_and_nothing_else() -> None:
    settings = profiles.celery_settings(profiles.STOCK, {"REDIS_URL": "redis://h:1/2"})
    assert settings == {"broker_url": "redis://h:1/2"}


def test_hardened_names_only_settings_that_celery_knows() -> None:
    assert set(profiles.HARDENED.settings) <= set(Celery().conf)


def test_the_time_limits_are_in_order() -> None:
    assert profiles.SOFT_TIME_LIMIT_S < profiles.TIME_LIMIT_S


@pytest.mark.parametrize(
    ("url", "scheme"), [("unix:///tmp/s", "sidekiq+socket"), ("rediss://h:1/0", "rediss")]
)
def test_a_socket_and_tls_reach_the_transport_too(url: str, scheme: str) -> None:
    app = make(profiles.HARDENED, {"REDIS_URL": url})
    assert app.conf.broker_url.partition("://")[0] == scheme
    connection: Any = app.connection_for_write()
    assert connection.transport.Channel.__module__ == "celery_impl.sidekiq.transport"
    assert bool(connection.ssl) == (scheme == "rediss")


def test_sidekiq_refuses_a_broker_that_is_not_redis() -> None:
    with pytest.raises(SidekiqError, match="'amqp'"):
        Sidekiq(Celery(broker="amqp://"))


def test_sidekiq_refuses_an_app_whose_tasks_are_made_already() -> None:
    app = Celery(broker="redis://")
    assert app.Task
    with pytest.raises(SidekiqError, match="before any task"):
        Sidekiq(app)


def test_the_package_itself_loads_neither_celery_nor_pandas_nor_plots() -> None:
    look = "import sys, celery_impl, celery_impl.app; print(*sys.modules)"
    answer = subprocess.run(
        [sys.executable, "-c", look], check=True, capture_output=True, text=True, env={**os.environ}
    )
    assert not {"pandas", "matplotlib", "scipy", "numpy"} & set(answer.stdout.split())
