"""Deletes the rows of a block from a database that outlives it."""

from __future__ import annotations

from sqlalchemy import create_engine, delete, exc, inspect

from bench.errors import BenchError
from scenarios.database import balances, users


def clear(url: str, block: str) -> None:
    """Delete the users and owners of a block: the next run has a block of that name, with the same users.

    Raise BenchError where the database is away.
    """
    engine = create_engine(url)
    try:
        with engine.begin() as connection:
            there = set(inspect(connection).get_table_names())
            for column in (column for column in (users.c.id, balances.c.owner) if column.table.name in there):
                of_block = column.startswith(f"{block}-", autoescape=True)
                connection.execute(delete(column.table).where(of_block))
    except exc.SQLAlchemyError as error:
        raise BenchError(f"the database of DATABASE_URL cannot be used: {error}") from error
    finally:
        engine.dispose()
