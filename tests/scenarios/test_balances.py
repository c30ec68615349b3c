from __future__ import annotations

from datetime import UTC, datetime

import pytest

from scenarios import balances

pytestmark = pytest.mark.usefixtures("store")


def test_an_owner_that_was_never_started_has_no_row() -> None:
    assert balances.get("o") is None
    balances.deactivate("o")
    assert balances.get("o") is None


def test_an_owner_is_active_from_start_to_stop_however_often_it_is_started() -> None:
    balances.activate("b")
    balances.activate("a")
    balances.activate("b")
    assert balances.active_owners() == ["a", "b"]
    balances.deactivate("b")
    assert balances.active_owners() == ["a"]
    balances.activate("b")
    assert balances.active_owners() == ["a", "b"]


def test_a_stored_balance_is_read_back_with_the_time_of_its_run_in_utc() -> None:
    balances.activate("o")
    before = datetime.now(UTC)
    stored = balances.store("o", 7)
    found = balances.get("o")
    assert found is not None
    assert (found.balance, found.last_run_at, found.active) == (7, stored, True)
    assert before <= stored <= datetime.now(UTC)


def test_storing_again_replaces_the_balance_and_stopping_keeps_it() -> None:
    balances.activate("o")
    first = balances.store("o", 1)
    second = balances.store("o", 2)
    balances.deactivate("o")
    found = balances.get("o")
    assert found is not None
    assert (found.balance, found.last_run_at, found.active) == (2, second, False)
    assert second >= first


def test_a_balance_of_an_owner_that_nobody_started_starts_none() -> None:
    balances.store("o", 1)
    assert balances.active_owners() == []
