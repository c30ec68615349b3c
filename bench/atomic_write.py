"""Writing files so that a reader sees the old one or the new one, never a part of either.

Imports nothing of ours: every folder of `bench` may use it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def replacement(path: Path) -> Iterator[Path]:
    """A path to write to, which takes the place of `path` in one step at the end; an error leaves nothing."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield fresh
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


def write_atomically(path: Path, text: str) -> None:
    """Write a whole file in one step; OSError leaves the old one."""
    with replacement(path) as fresh:
        fresh.write_text(text)


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON, on one line, in one step."""
    write_atomically(path, json.dumps(value) + "\n")
