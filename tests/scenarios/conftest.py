from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from scenarios import database, http, settings


@pytest.fixture
def fresh_settings() -> Iterator[None]:
    """Settings are read once a process: read them anew in this test, and again after it."""
    settings.current.cache_clear()
    yield
    settings.current.cache_clear()


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh_settings: None) -> Iterator[Path]:  # noqa: ARG001 - for its effect
    """An empty SQLite file with the tables."""
    path = tmp_path / "scenarios.db"
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{path}")
    database.create_tables()
    yield path
    database.engine().dispose()


@pytest.fixture
def client() -> Iterator[None]:
    """Closes the blocking client that the test opened."""
    yield
    http.client().close()
    http._client.cache_clear()
