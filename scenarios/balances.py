"""Balances: one row an owner, with the time of its last sync to look at."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import exc, insert, select, update

from scenarios.database import balances, engine


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """The last stored balance of an owner; `balance` and `last_run_at` are None before the first sync."""

    owner: str
    active: bool
    balance: int | None
    last_run_at: datetime | None


def activate(owner: str) -> None:
    """Mark the owner as one to be synced, adding its row where there is none."""
    try:
        with engine().begin() as connection:
            connection.execute(insert(balances).values(owner=owner, active=1))
    except exc.IntegrityError:
        _set_active(owner, active=1)


def deactivate(owner: str) -> None:
    """Mark the owner as one that is no longer synced; the last balance stays readable."""
    _set_active(owner, active=0)


def active_owners() -> list[str]:
    """Every owner that is to be synced, in the order of their names."""
    with engine().connect() as connection:
        query = select(balances.c.owner).where(balances.c.active == 1).order_by(balances.c.owner)
        return list(connection.execute(query).scalars())


def store(owner: str, balance: int) -> datetime:
    """Store the balance with the present time and return that time; a new owner gets a row."""
    now = datetime.now(UTC)
    with engine().begin() as connection:
        values = {"balance": balance, "last_run_at": now}
        result = connection.execute(update(balances).where(balances.c.owner == owner).values(values))
        if result.rowcount == 0:
            connection.execute(insert(balances).values(owner=owner, active=0, **values))
    return now


def get(owner: str) -> Balance | None:
    """The owner's row, or None where it was never started."""
    with engine().connect() as connection:
        row = connection.execute(select(balances).where(balances.c.owner == owner)).one_or_none()
    if row is None:
        return None
    last_run_at = row.last_run_at
    if last_run_at is not None and last_run_at.tzinfo is None:  # SQLite keeps no time zone
        last_run_at = last_run_at.replace(tzinfo=UTC)
    return Balance(owner=row.owner, active=bool(row.active), balance=row.balance, last_run_at=last_run_at)


def _set_active(owner: str, *, active: int) -> None:
    with engine().begin() as connection:
        connection.execute(update(balances).where(balances.c.owner == owner).values(active=active))
