from __future__ import annotations

from pathlib import Path

import pytest

import reports
from tests.reports.synthetic_run import synthetic_run


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A whole synthetic run that a test may change."""
    return synthetic_run(tmp_path / "run")


@pytest.fixture(scope="session")
def whole_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a whole synthetic run; tests only read it."""
    return reports.render(synthetic_run(tmp_path_factory.mktemp("whole") / "run"))
