from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from rich.console import Console

from bench.run import live_page
from bench.run.live_page import LivePage
from bench.run.progress import RunProgress
from bench.schema import LIVE


def shown(folder: Path) -> str:
    return (folder / LIVE).read_text()


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_page, "RELOAD_S", 0)


def test_while_it_measures_the_page_reloads_and_says_how_far_it_has_come(tmp_path: Path) -> None:
    page = LivePage(tmp_path)
    page.add("done    r00-inprocess")
    page.update(done_s=30, total_s=120, now="r00-celery-stock")
    text = shown(tmp_path)
    assert 'http-equiv="refresh"' in text
    assert 'value="25"' in text
    assert "r00-celery-stock; began 0 s ago, about 90 s left" in text.replace("2 min", "90 s")
    assert "done    r00-inprocess" in text


def test_in_the_end_the_page_stops_reloading_and_leads_to_the_report(tmp_path: Path) -> None:
    page = LivePage(tmp_path)
    page.update(done_s=1, total_s=2, now="x")
    page.end(whole=True)
    assert "refresh" not in shown(tmp_path)
    assert '<a href="report.html">' in shown(tmp_path)
    assert 'value="100"' in shown(tmp_path)


def test_a_run_that_ended_early_is_not_called_measured(tmp_path: Path) -> None:
    page = LivePage(tmp_path)
    page.update(done_s=1, total_s=2, now="x")
    page.end(whole=False)
    assert "<h1>Ended early</h1>" in shown(tmp_path)
    assert 'value="50"' in shown(tmp_path)


def test_the_newest_line_comes_first_and_markup_in_it_is_text(tmp_path: Path) -> None:
    page = LivePage(tmp_path)
    for text in ("first", "<script>alert(1)</script>"):
        page.add(text)
    page.update(done_s=0, total_s=0, now="<b>")
    found = shown(tmp_path)
    assert "<script>" not in found
    assert found.index("&lt;script&gt;") < found.index("first")


def test_a_page_that_cannot_be_written_does_not_disturb_the_run(tmp_path: Path) -> None:
    page = LivePage(tmp_path / "gone")
    page.update(done_s=1, total_s=2, now="x")
    page.end(whole=True)


def test_the_page_is_written_at_most_every_few_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_page, "RELOAD_S", 3600)
    page = LivePage(tmp_path)
    page.update(done_s=1, total_s=4, now="x")
    page.update(done_s=2, total_s=4, now="y")
    assert 'value="25"' in shown(tmp_path)


def test_a_run_s_progress_is_on_its_page(tmp_path: Path) -> None:
    with RunProgress(10.0, Console(quiet=True), page=LivePage(tmp_path)) as progress:
        assert "begins" in shown(tmp_path)
        progress.say("invalid f10: no broker")
        asyncio.run(progress.step("f12-0", 0.6))
        assert "f12-0" in shown(tmp_path)
        assert "invalid f10: no broker" in shown(tmp_path)
    assert "refresh" not in shown(tmp_path)
