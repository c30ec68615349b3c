"""SqliteTickStore: last ticks in a table of an SQLite database, which may be the app's own."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import sqlite3

#: Seconds that a locked database is waited for.
BUSY_S: Final = 5.0
#: The table, made when it is missing.
TABLE: Final = "inprocess_ticks"


@dataclass(frozen=True, slots=True)
class SqliteTickStore:
    """See the module. Each call opens the database anew, so it may be used from any thread and after a fork.

    Raise sqlite3.Error if the database cannot be opened, read or written.
    """

    path: Path | str

    def load(self, name: str) -> float | None:
        """See `TickStore.load`."""
        with closing(self._open()) as database:
            found = database.execute(f"SELECT moment FROM {TABLE} WHERE name = ?", (name,)).fetchone()  # noqa: S608 - a constant
        return None if found is None else float(found[0])

    def save(self, name: str, moment: float) -> None:
        """See `TickStore.save`."""
        with closing(self._open()) as database, database:
            database.execute(f"INSERT OR REPLACE INTO {TABLE} VALUES (?, ?)", (name, moment))  # noqa: S608 - a constant

    def _open(self) -> sqlite3.Connection:
        import sqlite3  # late: most programs keep no ticks in a database

        database = sqlite3.connect(self.path, timeout=BUSY_S)
        try:
            database.execute(
                f"CREATE TABLE IF NOT EXISTS {TABLE} (name TEXT PRIMARY KEY, moment REAL NOT NULL)"
            )
        except BaseException:
            database.close()
            raise
        return database
