"""The file of an SQLite journal: its path, whether it can be safe there, and what errors of it mean."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from inprocess.journal.model.errors import (
    JournalBusyError,
    JournalDamagedError,
    JournalError,
    JournalFullError,
    JournalReadOnlyError,
    JournalRefusedError,
)
from inprocess.supervision.core.log import log

#: The first SQLite with RETURNING.
OLDEST: Final = (3, 35, 0)
#: The first SQLite without the WAL-reset bug, and older lines with its repair.
REPAIRED: Final = (3, 51, 3)
REPAIRED_LINES: Final = ((3, 50, 7), (3, 44, 6))
#: File systems over a network, whose locks and shared memory SQLite's WAL cannot rely on.
NETWORK: Final = frozenset({
    "9p", "afs", "beegfs", "ceph", "cifs", "coda", "fuse.ceph", "fuse.glusterfs", "fuse.s3fs", "fuse.sshfs",
    "gfs2", "glusterfs", "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "smb2", "smb3", "smbfs",
})  # fmt: skip
MOUNTS: Final = Path("/proc/self/mountinfo")

_BUSY: Final = frozenset({"SQLITE_BUSY", "SQLITE_LOCKED"})
_DAMAGED: Final = frozenset({"SQLITE_CORRUPT", "SQLITE_IOERR"})


def path_of(url: str) -> Path:
    """Return the absolute path that `sqlite:///app.db` or `sqlite:////abs/app.db` names.

    Raise JournalRefusedError for a URL without a file, or with what it does not understand.
    """
    parts = urlsplit(url)
    if parts.netloc or not parts.path.startswith("/"):
        raise JournalRefusedError(
            f"the journal's URL is {url!r}: a path has three slashes before it, as in sqlite:///app.db"
        )
    if parts.query or parts.fragment:
        raise JournalRefusedError(
            f"the journal's URL is {url!r}: it takes no options after the path; leave them out"
        )
    name = unquote(parts.path[1:])
    if not name or name == ":memory:":
        raise JournalRefusedError(
            f"the journal's URL is {url!r}: a database in memory ends with the process, which is what a "
            "journal is there to survive; name a file, as in sqlite:///app.db"
        )
    return Path(name).absolute()


def check_place(path: Path) -> None:
    """Raise JournalRefusedError if the file cannot be safe there, or cannot be made there."""
    if sqlite3.sqlite_version_info < OLDEST:
        raise JournalRefusedError(
            f"this Python has SQLite {sqlite3.sqlite_version}: a journal needs "
            f"{'.'.join(map(str, OLDEST))} or newer"
        )
    folder = path.parent
    if not folder.is_dir():
        raise JournalRefusedError(f"the journal {path}: there is no folder {folder}; make it first")
    if path.is_dir():
        raise JournalRefusedError(f"the journal {path} is a folder: name a file in it")
    kind = file_system_of(path)
    if kind in NETWORK:
        raise JournalRefusedError(
            f"the journal {path} lies on a network file system ({kind}), where SQLite's locks do not hold "
            "and the file is damaged sooner or later: put it on a local disk"
        )


def may_damage(version: tuple[int, ...]) -> bool:
    """Whether this SQLite has the WAL-reset bug: two checkpoints and a commit at once may damage a file.

    See https://sqlite.org/wal.html#walresetbug.
    """
    return version < REPAIRED and not any(line <= version < (*line[:2], 1000) for line in REPAIRED_LINES)


@cache
def warn_of_version() -> None:
    """Log once in this process that its SQLite has that bug, and what to do."""
    if may_damage(sqlite3.sqlite_version_info):
        log.warning(
            "journal: this Python has SQLite %s, in which several writers may, very rarely, damage a file in "
            "WAL mode (sqlite.org/wal.html#walresetbug): use a Python with 3.51.3 or newer",
            sqlite3.sqlite_version,
        )


def file_system_of(path: Path, mounts: Path = MOUNTS) -> str | None:
    """Return the type of the file system under a path; None if the system does not tell."""
    try:
        lines = mounts.read_text(errors="replace").splitlines()
    except OSError:
        return None
    real = os.path.realpath(path)
    found, longest = None, -1
    for line in lines:
        left, _, right = line.partition(" - ")
        mount = left.split(" ")[4].encode().decode("unicode_escape")
        inside = real == mount or real.startswith(mount.rstrip("/") + "/")
        if inside and len(mount) >= longest:  # a later mount at the same place covers the earlier
            found, longest = right.split(" ")[0], len(mount)
    return found


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Raise what SQLite raises inside as an error of a journal, with what to do."""
    try:
        yield
    except sqlite3.Error as error:
        raise meaning(error, path) from error


def meaning(error: sqlite3.Error, path: Path) -> JournalError:
    """Return the error of a journal that an error of SQLite means."""
    name = getattr(error, "sqlite_errorname", None) or ""
    kind = "_".join(name.split("_")[:2])
    if kind in _BUSY:
        return JournalBusyError(
            f"the journal {path} is locked by another connection, of this process or of another: one of its "
            "transactions is open for too long; commit it or roll it back"
        )
    if kind == "SQLITE_FULL":
        return JournalFullError(f"the journal {path}: no space left on its disk; make room, and it goes on")
    if kind == "SQLITE_READONLY" or name == "SQLITE_CANTOPEN" or kind == "SQLITE_PERM":
        return JournalReadOnlyError(
            f"the journal {path} cannot be written ({error}): this process needs to write the file, and its "
            f"folder {path.parent}"
        )
    if kind == "SQLITE_NOTADB":
        return JournalDamagedError(
            f"the journal {path} is not a database of SQLite, or is damaged: is the path right? If it is, "
            f"stop the app, then take a backup, or `sqlite3 {path} .recover` into a new file"
        )
    if kind in _DAMAGED:
        return JournalDamagedError(
            f"the journal {path} is damaged, or its disk fails ({error}): stop the app, then "
            f"`sqlite3 {path} .recover` into a new file, or take a backup"
        )
    return JournalError(f"the journal {path}: {error} ({name or type(error).__name__})")
