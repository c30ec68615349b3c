from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, Page

from reports.index import write_index
from reports.versus import write_page
from tests.reports.pages.test_browser import OVERLAPS
from tests.reports.synthetic_run import manifest, shortened

NAMES = ("2000-01-01T00-00-00-quick", "2000-01-02T00-00-00-quick")
PAGES = ("index.html", "compare-a-b.html")
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


@pytest.fixture(scope="module")
def folder(whole_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs, a third that cannot be read, the list of them, and the first two side by side."""
    made = tmp_path_factory.mktemp("lists")
    for number, name in enumerate(NAMES, 1):
        run = shortened(whole_run, made / name, rows=400)
        manifest(run, run=name, started_at=f"2000-01-0{number}T00:00:00+00:00", profile="quick", seed=number)
    (made / "2000-01-03T00-00-00-quick").mkdir()
    rows = [
        _row(side, scenario)
        for side in ("inprocess", "celery-hardened")
        for scenario in ("account_setup", "x" * 40)
    ]
    told = {"a": NAMES[0], "b": NAMES[1], "how": "unpaired: the runs differ in seed", "rows": rows}
    (made / "compare-a-b.json").write_text(json.dumps(told))
    write_page(made / "compare-a-b.json")
    write_index(made)
    return made


def _row(side: str, scenario: str) -> dict[str, Any]:
    figure = {"scenario": scenario, "side": side, "metric": "request", "quantile": 0.5, "a": 1, "b": 2}
    return figure | {
        "pairs": 4,
        "ratio": 2,
        "low": 1.5,
        "high": 3,
        "words": "no clear difference",
        "why": "because",
    }


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    opened = browser.new_page()
    yield opened
    opened.close()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_quiet_asks_for_nothing_fits_every_width_and_has_both_looks(
    page: Page, folder: Path, name: str
) -> None:
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    url = (folder / name).as_uri()
    page.goto(url, wait_until="networkidle")
    page.eval_on_selector_all("details", "all => all.forEach(d => d.open = true)")
    papers = set()
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        papers.add(page.eval_on_selector("body", "body => getComputedStyle(body).backgroundColor"))
        for width in (320, 400, 1280):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert len(papers) == 2
    assert said == []
    assert [one for one in asked if not one.startswith("data:")] == [url]


@pytest.mark.parametrize("name", PAGES)
def test_figures_are_legible_and_told_in_words_and_tables_have_captions_and_scopes(
    page: Page, folder: Path, name: str
) -> None:
    page.goto((folder / name).as_uri())
    assert page.evaluate(OVERLAPS) == []
    told = (
        "all => all.map(s => [...s.querySelectorAll('title, desc')].filter(e => e.textContent).length >= 2)"
    )
    drawn = page.eval_on_selector_all("figure svg[role=img]", told)
    assert drawn
    assert all(drawn)
    assert page.eval_on_selector_all("table", "all => all.filter(t => !t.caption).length") == 0
    assert page.eval_on_selector_all("th", "all => all.filter(h => !h.scope).length") == 0
    ids = page.eval_on_selector_all("[id]", "all => all.map(e => e.id)")
    assert len(ids) == len(set(ids))


def test_a_reader_sorts_the_runs_by_a_heading_with_the_keyboard(page: Page, folder: Path) -> None:
    page.goto((folder / "index.html").as_uri())
    rows = "all => all.map(row => row.cells[0].dataset.sort)"
    newest_first = page.eval_on_selector_all(".runs tbody tr", rows)
    assert newest_first == sorted(newest_first, reverse=True)
    heading = page.locator(".runs thead th").first
    heading.get_by_role("button").press("Enter")
    assert page.eval_on_selector_all(".runs tbody tr", rows) == sorted(newest_first)
    assert heading.get_attribute("aria-sort") == "ascending"
    heading.get_by_role("button").press("Enter")
    assert page.eval_on_selector_all(".runs tbody tr", rows) == newest_first
    assert heading.get_attribute("aria-sort") == "descending"


def test_a_number_sorts_as_a_number_and_what_is_absent_stays_at_the_end(page: Page, folder: Path) -> None:
    page.goto((folder / "index.html").as_uri())
    values = page.evaluate(
        """() => {
          const rows = [...document.querySelectorAll(".runs tbody tr")];
          const body = rows[0].parentElement;
          body.append(rows[0].cloneNode(true), rows[0].cloneNode(true));
          ["9", "10", "", "8.5"].forEach((value, i) => { body.rows[i].cells[6].dataset.sort = value; });
          const button = document.querySelectorAll(".runs thead button")[6];
          const order = () => [...body.rows].map(row => row.cells[6].dataset.sort);
          button.click();
          const up = order();
          button.click();
          return [up, order()];
        }"""
    )
    assert values == [["8.5", "9", "10", ""], ["10", "9", "8.5", ""]]
