"""`python -m bench.run.database_check`: try the database of DATABASE_URL, before a run begins.

The scenarios' tables are created, and a row is written and rolled back. It is a program of its own, so that
a server which does not answer is given up in time.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping

from sqlalchemy import exc, insert

from bench.errors import BenchError
from queue_or_task import module_command
from scenarios import database

VARIABLE = "DATABASE_URL"
#: Seconds that the database may take.
LIMIT_S = 15.0


def check_database(env: Mapping[str, str]) -> None:
    """Raise BenchError if the environment names a database that the scenarios cannot use."""
    if not env.get(VARIABLE):
        return
    with tempfile.TemporaryDirectory() as folder:  # a relative SQLite path is made there
        try:
            done = subprocess.run(
                module_command(__name__),
                env=dict(env),
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=LIMIT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            reason = f"no answer within {LIMIT_S:g} s"
        else:
            if done.returncode == 0:
                return
            reason = (done.stdout or done.stderr).strip().splitlines()[-1]
    raise BenchError(f"{VARIABLE} names no database that can be used ({reason}): correct it, or unset it")


def main() -> int:
    """Try the database, print why it cannot be used, and return the exit code."""
    try:
        engine = database.engine()
        database.create_tables()
        with engine.connect() as connection:
            connection.execute(insert(database.balances).values(owner="queue-or-task-database-check"))
            connection.rollback()
    except (exc.SQLAlchemyError, ImportError, ValueError) as error:
        cause = getattr(error, "orig", None) or error
        sys.stdout.write(" ".join(str(cause).split()) + "\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
