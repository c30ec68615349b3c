from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import reports
from tests.reports.synthetic_run import synthetic_run


@pytest.fixture(scope="session", autouse=True)
def _one_list_of_fonts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let every process that a test starts share what matplotlib finds out about fonts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MPLCONFIGDIR", str(tmp_path_factory.mktemp("matplotlib")))
        yield


@pytest.fixture(scope="session")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole synthetic run; tests only read it."""
    return synthetic_run(tmp_path_factory.mktemp("whole") / "run")


@pytest.fixture
def run(whole_run: Path, tmp_path: Path) -> Path:
    """A copy of the whole synthetic run that a test may change."""
    copied = shutil.copytree(whole_run, tmp_path / "run")
    (copied / "report.html").unlink(missing_ok=True)
    return copied


@pytest.fixture(scope="session")
def whole_report(whole_run: Path) -> Path:
    """The report of the whole synthetic run; tests only read it."""
    return reports.render(whole_run)
