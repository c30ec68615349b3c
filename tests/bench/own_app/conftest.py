"""Small apps of somebody's own, written into a folder for a test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

Write = Callable[..., Path]


@pytest.fixture
def project(tmp_path: Path) -> Write:
    """Writes modules, `shop__tasks="…"` into `shop/tasks.py`, also by path; returns the project's folder."""

    def write(**modules: str) -> Path:
        folder = tmp_path / "project"
        for name, text in modules.items():
            path = folder / f"{name if '/' in name else name.replace('__', '/')}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(dedent(text))
        return folder

    return write
