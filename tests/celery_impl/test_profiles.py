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
    assert profiles.select_profile({}) is profiles.HARDENED


def test_an_unknown_profile_is_refused_with_the_names_of_the_known_ones() -> None:
    with pytest.raises(profiles.ProfileError, match="'fast': expected stock or hardened"):
        profiles.select_profile({"QUEUE_OR_TASK_PROFILE": "fast"})


def test_a_visibility_timeout_that_is_no_time_is_refused_by_name() -> None:
    with pytest.raises(profiles.ProfileError, match="QUEUE_OR_TASK_VISIBILITY_TIMEOUT_S"):
        profiles.celery_settings(profiles.STOCK, {"QUEUE_OR_TASK_VISIBILITY_TIMEOUT_S": "long"})


def test_stock_sets_the_broker_and_nothing_else() -> None:
    settings = profiles.celery_settings(profiles.STOCK, {"REDIS_URL": "redis://h:1/2"})
    assert settings == {"broker_url": "redis://h:1/2"}


@pytest.mark.parametrize("profile", profiles.PROFILES.values(), ids=lambda profile: profile.name)
def test_a_visibility_timeout_scales_the_sweep_that_enforces_it_alike_in_both_profiles(
    profile: profiles.Profile,
) -> None:
    options = profiles.celery_settings(profile, {"QUEUE_OR_TASK_VISIBILITY_TIMEOUT_S": "2"})[
        "broker_transport_options"
    ]
    assert options["visibility_timeout"] == 2
    assert options["unacked_restore_interval"] * options["unacked_restore_throttle"] <= 1
    assert options["unacked_mutex_expire"] <= 5


def test_the_lines_of_a_profile_grow_with_what_its_user_writes() -> None:
    assert profiles.STOCK.lines == 2, "the broker's URL and beat's entry"
    settings, options = profiles.HARDENED.settings, profiles.HARDENED.transport_options
    assert profiles.HARDENED.lines == 4 + len(settings) + len(options) + len(profiles.HARDENED.sync_options)


def test_hardened_names_only_settings_that_celery_knows() -> None:
    assert set(profiles.HARDENED.settings) <= set(Celery().conf)


def test_the_time_limits_are_in_order() -> None:
    assert profiles.SOFT_TIME_LIMIT_S < profiles.TIME_LIMIT_S


@pytest.mark.parametrize(
    ("url", "scheme"), [("unix:///tmp/s", "sidekiq+socket"), ("rediss://h:1/0", "rediss")]
)
def test_a_socket_and_tls_reach_the_transport_too(url: str, scheme: str) -> None:
    app = make(profiles.HARDENED, {"REDIS_URL": url, "QUEUE_OR_TASK_FETCH": "timeout"})
    assert app.conf.broker_url.partition("://")[0] == scheme
    connection: Any = app.connection_for_write()
    assert connection.transport.Channel.__module__ == "celery_impl.sidekiq.redis.transport"
    assert bool(connection.ssl) == (scheme == "rediss")


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("redis://h:1/2", {"host": "h", "port": 1, "db": 2}),
        ("rediss://h:1/2", {"host": "h", "port": 1, "db": 2, "ssl_cert_reqs": "required"}),
        ("unix:///tmp/s?db=2", {"path": "/tmp/s", "db": 2}),  # noqa: S108 - nothing is written there
        ("lease+redis://h:1/2", {"host": "h", "port": 1, "db": 2}),
    ],
)
def test_hardened_takes_jobs_under_leases_wherever_the_broker_is(url: str, place: dict[str, Any]) -> None:
    app = make(profiles.HARDENED, {"REDIS_URL": url})
    transport: Any = app.connection_for_write().transport
    assert transport.Channel.__module__ == "celery_impl.sidekiq.lease.channel"
    channel = transport.Channel.__new__(transport.Channel)
    channel.connection = transport
    assert place.items() <= channel._connparams().items()


def test_an_unknown_way_to_take_jobs_is_refused_by_name() -> None:
    with pytest.raises(
        profiles.ProfileError, match="QUEUE_OR_TASK_FETCH is 'poll': expected lease or timeout"
    ):
        profiles.celery_settings(profiles.HARDENED, {"QUEUE_OR_TASK_FETCH": "poll"})


def test_sidekiq_refuses_a_broker_that_is_not_redis() -> None:
    with pytest.raises(SidekiqError, match="'sqs'"):
        Sidekiq(Celery(broker="sqs://"))


def test_sidekiq_refuses_an_app_that_has_it_already() -> None:
    app = Celery(broker="redis://")
    Sidekiq(app)
    with pytest.raises(SidekiqError, match="for this app before: keep what it returned"):
        Sidekiq(app)


def test_the_package_itself_loads_neither_celery_nor_pandas_nor_plots() -> None:
    look = "import sys, celery_impl, celery_impl.app; print(*sys.modules)"
    answer = subprocess.run(
        [sys.executable, "-c", look], check=True, capture_output=True, text=True, env={**os.environ}
    )
    assert not {"pandas", "matplotlib", "scipy", "numpy"} & set(answer.stdout.split())
