"""What the builds hand to the broker, and what they do without one; tests/contract does the rest."""

from __future__ import annotations

import importlib
import json
import sys
from types import SimpleNamespace
from typing import Any

import pytest

import celery_impl
from scenarios import balances, database, settings, users
from scenarios.contract import RefusedError

MODULES = ("app", "enqueue", "account_setup", "account_sync", "welcome_email")
PARAMS = {
    "id": "u1",
    "name": "Ada",
    "email": "ada@a.example",
    "birthday": "1990-05-17",
    "address": "1 A Street",
}


@pytest.fixture(params=["stock", "hardened"])
def build(request: pytest.FixtureRequest, lab: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The modules of the build, imported anew for the lab's broker and a database of its own."""
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{lab.folder}/db")
    lab.sample(request.param)
    for name in MODULES:
        monkeypatch.delitem(sys.modules, f"celery_impl.{name}", raising=False)
        monkeypatch.delattr(celery_impl, name, raising=False)
    settings.current.cache_clear()
    database.create_tables()
    yield SimpleNamespace(**{name: importlib.import_module(f"celery_impl.{name}") for name in MODULES})
    database.engine().dispose()
    settings.current.cache_clear()


def queued(lab: Any) -> list[dict[str, Any]]:
    return [json.loads(text)["headers"] for text in lab.redis.lrange("celery", 0, -1)]


def test_setting_up_an_account_queues_two_jobs_that_take_the_users_id(lab: Any, build: Any) -> None:
    build.account_setup.set_up_user_account(users.create(PARAMS))

    assert {(headers["task"], headers["argsrepr"]) for headers in queued(lab)} == {
        ("account_setup.create_crm_contact", "('u1',)"),
        ("account_setup.find_fulfillment_center", "('u1',)"),
    }


def test_an_account_set_up_is_refused_where_the_broker_is_gone_and_queues_nothing(
    lab: Any, build: Any
) -> None:
    user = users.create(PARAMS)
    lab.broker.kill()

    with pytest.raises(RefusedError, match="did not"):
        build.account_setup.set_up_user_account(user)

    lab.broker.restart()
    assert queued(lab) == []


def test_a_user_stays_created_and_a_warning_is_logged_where_the_broker_is_gone(
    lab: Any, build: Any, caplog: pytest.LogCaptureFixture
) -> None:
    lab.broker.kill()

    user = build.welcome_email.create_user(PARAMS)

    assert users.get("u1") == user
    assert "no welcome e-mail for user u1" in caplog.text


def test_a_tick_queues_one_sync_for_each_owner_that_is_active(lab: Any, build: Any) -> None:
    for owner in ("ann", "bob", "eve"):
        build.account_sync.start(owner)
    build.account_sync.stop("bob")

    build.account_sync.sync_all()

    assert sorted(headers["argsrepr"] for headers in queued(lab)) == ["('ann',)", "('eve',)"]
    expiring = [headers["expires"] is not None for headers in queued(lab)]
    assert expiring == [build.app.profile.name == "hardened"] * 2


def test_beat_has_one_entry_a_second_which_expires_only_when_hardened(build: Any) -> None:
    [entry] = build.app.app.conf.beat_schedule.values()
    assert (entry["task"], entry["schedule"]) == (build.account_sync.sync_all.name, 1.0)
    expected = {"expires": 1.0} if build.app.profile.name == "hardened" else None
    assert entry.get("options") == expected


def test_an_owner_that_was_never_started_has_no_state_and_one_that_was_has(build: Any) -> None:
    assert build.account_sync.state("ann") is None
    build.account_sync.start("ann")
    build.account_sync.start("ann")
    assert build.account_sync.state("ann") == balances.get("ann")
    assert balances.active_owners() == ["ann"]
