"""FileTickStore: last ticks in one small file of JSON, name by name, for processes of one machine."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from inprocess.supervision.core.log import log


@dataclass(frozen=True, slots=True)
class FileTickStore:
    """See the module. The file is replaced whole, so a kill leaves the old one or the new one.

    A file with the same name and `.lock` keeps several processes apart. A file that holds something else is
    set aside as `.unreadable`, with an error in the log, and the store begins anew. Raise OSError if the
    files cannot be read or written.
    """

    path: Path | str

    def load(self, name: str) -> float | None:
        """See `TickStore.load`."""
        return self._read().get(name)

    def save(self, name: str, moment: float) -> None:
        """See `TickStore.save`."""
        with self._locked():
            moments = {**self._read(), name: moment}
            text = {
                known: datetime.fromtimestamp(at, UTC).isoformat() for known, at in sorted(moments.items())
            }
            whole = Path(f"{self.path}.new")
            whole.write_text(json.dumps(text, indent=1) + "\n")
            whole.replace(self.path)

    def _read(self) -> dict[str, float]:
        try:
            text = Path(self.path).read_text()
        except FileNotFoundError:
            return {}
        try:
            return {name: datetime.fromisoformat(at).timestamp() for name, at in json.loads(text).items()}
        except (ValueError, TypeError, AttributeError) as error:
            aside = Path(self.path).replace(f"{self.path}.unreadable")
            log.error(
                "%s holds no ticks (%s): it was set aside as %s, and begins anew", self.path, error, aside
            )
            return {}

    @contextmanager
    def _locked(self) -> Iterator[None]:
        descriptor = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)
