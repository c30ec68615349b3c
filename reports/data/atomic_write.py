"""Files written so that a reader sees the old text or the new one, never a part."""

from __future__ import annotations

import os
from pathlib import Path

from reports.data.errors import RunError


def write(target: Path, text: str) -> None:
    """Write `target` in one step; raise RunError where it cannot be written, and leave no part behind."""
    fresh = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(target)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise RunError(
            f"{target} cannot be written: {error.strerror}; free some space or copy the run"
        ) from error
