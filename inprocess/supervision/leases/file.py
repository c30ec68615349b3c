"""FileLease: a lock on a local file, for replicas on one machine.

The kernel frees the lock as soon as its holder ends, however it ends. The lock belongs to the open file:
a child process made by a plain fork shares it and keeps it while it lives; one made by spawn or exec does
not. Network file systems may promise less: use another lease there.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from inprocess.supervision.leases.lease import TTL_S, check_ttl


class FileLease:
    """A lease by `flock`; see `lease.Lease`. The file holds the last token and is never deleted.

    Three times a `ttl_s`, the lease checks that the file is still the one that is locked. Raise OSError
    if the file cannot be opened or written.
    """

    def __init__(self, path: Path | str, *, ttl_s: float = TTL_S) -> None:
        self.path = Path(path)
        self.ttl_s = check_ttl(ttl_s)
        self._descriptor: int | None = None

    @property
    def name(self) -> str:
        """The path."""
        return str(self.path)

    async def acquire(self) -> int | None:
        """See `Lease.acquire`; raise ValueError if the file contains something else than a token."""
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        token = None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if self._is_at_path(descriptor):  # and was not replaced between open and lock
                token = self._next_token(descriptor)
                self._descriptor = descriptor
        except BlockingIOError:
            pass
        finally:
            if token is None:
                os.close(descriptor)
        return token

    async def renew(self) -> bool:
        """See `Lease.renew`: the lease is lost if the file was deleted or replaced."""
        return self._descriptor is not None and self._is_at_path(self._descriptor)

    async def release(self) -> None:
        """See `Lease.release`."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def _is_at_path(self, descriptor: int) -> bool:
        with suppress(FileNotFoundError):
            return os.path.samestat(os.fstat(descriptor), os.stat(self.path))  # noqa: PTH116 - beside fstat
        return False

    def _next_token(self, descriptor: int) -> int:
        text = os.pread(descriptor, 64, 0).decode(errors="replace").strip()
        if text and not text.isdecimal():
            raise ValueError(
                f"{self.path} holds no token but {text[:20]!r}: it is no lease's file, use another"
            )
        token = int(text or 0) + 1
        os.pwrite(descriptor, f"{token:<20}\n".encode(), 0)
        return token
