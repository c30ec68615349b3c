from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from bench.schema import REPORT
from reports import figures
from reports.data.run import read
from reports.pages import figure_list
from reports.pages import report as page
from reports.pages.section import Drawn
from reports.pages.sections import sections, with_figures
from tests.chromium import needed
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
    (copied / REPORT).unlink(missing_ok=True)
    return copied


@pytest.fixture(scope="session")
def whole_drawn(whole_run: Path) -> Drawn:
    """Every figure of the whole synthetic run, by section."""
    with figures.drawing():
        run = read(whole_run)
        return figure_list.by_section([draw(run) for draw in figure_list.PIECES])


@pytest.fixture(scope="session")
def whole_report(whole_run: Path, whole_drawn: Drawn) -> Path:
    """The report of the whole synthetic run, as `reports.render` writes it; tests only read it."""
    report = whole_run / REPORT
    run = read(whole_run)
    report.write_text(page.html(run, with_figures(sections(run), whole_drawn)), encoding="utf-8")
    return report


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium. No wider than a module: while it is open no test of its process can run a loop of its own."""
    with needed() as opened:
        yield opened
