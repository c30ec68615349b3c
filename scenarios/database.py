"""The one database of the scenarios: SQLite in WAL mode, or whatever DATABASE_URL names.

Synchronous SQLAlchemy Core on purpose: a Celery worker calls it as it is, and a coroutine
calls it through `asyncio.to_thread`, so both builds run the same statements.
"""

from __future__ import annotations

import os
from functools import cache
from typing import Any

from sqlalchemy import (
    Column,
    Date,
    DateTime,
    Engine,
    Integer,
    MetaData,
    String,
    Table,
    create_engine,
    event,
    exc,
)

from scenarios import settings

#: Seconds that a statement waits for another writer's lock before it fails.
LOCK_TIMEOUT_S = 10.0

metadata = MetaData()

users = Table(
    "users",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("name", String(200), nullable=False),
    Column("email", String(320), nullable=False, unique=True),
    Column("birthday", Date, nullable=False),
    Column("address", String(500), nullable=False),
    Column("crm_id", String(64)),
    Column("fulfillment_center_id", String(64)),
)

balances = Table(
    "balances",
    metadata,
    Column("owner", String(64), primary_key=True),
    Column("active", Integer, nullable=False, default=1),
    Column("balance", Integer),
    Column("last_run_at", DateTime(timezone=True)),
)


def engine() -> Engine:
    """The engine of this process; a forked child gets one of its own."""
    return _engine(settings.current().database_url, os.getpid())


def create_tables() -> None:
    """Create the tables that are missing; existing rows stay. Several processes may do so at once."""
    try:
        metadata.create_all(engine())
    except exc.DBAPIError:  # another process has made one between the look and the statement
        metadata.create_all(engine())


@cache
def _engine(url: str, _pid: int) -> Engine:
    if not url.startswith("sqlite"):
        return create_engine(url, pool_pre_ping=True)
    made = create_engine(url, connect_args={"timeout": LOCK_TIMEOUT_S})
    event.listen(made, "connect", _use_wal)
    return made


def _use_wal(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()
