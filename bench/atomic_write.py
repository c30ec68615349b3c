"""Files written so that a reader sees the old text or the new one, never a part."""

from __future__ import annotations

import os
from pathlib import Path


def write_atomically(path: Path, text: str) -> None:
    """Write a file in one step; raise OSError where that fails, and leave no part behind."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        fresh.write_text(text, newline="")
        fresh.replace(path)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise
