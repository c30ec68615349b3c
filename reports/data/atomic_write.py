"""Write a file in one step: a reader sees the old text or the new one, never a part."""

from __future__ import annotations

import os
from pathlib import Path

from reports.data.errors import RunError


def write(target: Path, content: str | bytes) -> None:
    """Replace `target`; raise RunError if it cannot be written, and leave no temporary file."""
    fresh = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        fresh.write_bytes(content.encode() if isinstance(content, str) else content)
        fresh.replace(target)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise RunError(
            f"{target} cannot be written: {error.strerror}; free some space or name another place"
        ) from error
