from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
#: The least contrast that text of this size must have with what is behind it (WCAG 2 AA).
LEAST_CONTRAST = 4.5
CONTRASTS = """
() => {
  const rgb = name => {
    const probe = document.createElement("i");
    probe.style.color = `var(${name})`;
    document.body.append(probe);
    const parts = getComputedStyle(probe).color.match(/[0-9.]+/g).slice(0, 3).map(Number);
    probe.remove();
    return parts;
  };
  const light = name => rgb(name).map(c => c / 255)
    .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const ratio = (a, b) => {
    const [high, low] = [light(a), light(b)].sort((x, y) => y - x);
    return (high + 0.05) / (low + 0.05);
  };
  const texts = ["--ink", "--muted", "--link", "--good", "--bad", "--open"];
  return texts.flatMap(text => ["--paper", "--card"].map(ground => [text, ground, ratio(text, ground)]));
}
"""

Scheme = Literal["light", "dark"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium")
    if path is None:
        missing = "no chromium on PATH: apt-get install chromium"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield launched
        launched.close()


def opened(browser: Browser, report: Path, *, width: int = 1100, scheme: Scheme = "light") -> Page:
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.goto(report.as_uri())
    return page


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_report_opens_without_a_console_message_or_any_request_but_its_own(
    browser: Browser, whole_report: Path, scheme: Scheme
) -> None:
    page = browser.new_page(color_scheme=scheme)
    said: list[str] = []
    requested: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: requested.append(request.url))
    page.goto(whole_report.as_uri(), wait_until="networkidle")
    assert said == []
    assert [url for url in requested if not url.startswith("data:")] == [whole_report.as_uri()]
    page.close()


def test_light_and_dark_differ_in_paper_and_in_every_figures_ink(
    browser: Browser, whole_report: Path
) -> None:
    found = []
    for scheme in ("light", "dark"):
        page = opened(browser, whole_report, scheme=scheme)
        style = "element => getComputedStyle(element)"
        paper = page.eval_on_selector("body", f"{style.replace('(element)', '(element).backgroundColor')}")
        inks = page.eval_on_selector_all("figure svg text", "all => all.map(t => getComputedStyle(t).fill)")
        found.append((paper, inks))
        page.close()
    (light_paper, light_inks), (dark_paper, dark_inks) = found
    assert light_paper != dark_paper
    assert light_inks
    assert all(light != dark for light, dark in zip(light_inks, dark_inks, strict=True))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_colour_has_enough_contrast(browser: Browser, whole_report: Path, scheme: Scheme) -> None:
    page = opened(browser, whole_report, scheme=scheme)
    poor = [item for item in page.evaluate(CONTRASTS) if item[2] < LEAST_CONTRAST]
    page.close()
    assert poor == []


@pytest.mark.parametrize("width", [320, 400, 768])
def test_the_page_does_not_scroll_sideways(browser: Browser, whole_report: Path, width: int) -> None:
    page = opened(browser, whole_report, width=width)
    page.eval_on_selector_all("details", "all => all.forEach(d => d.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    scrolling = page.eval_on_selector_all(".scroll", "all => all.filter(e => e.scrollWidth > e.clientWidth)")
    page.close()
    assert scrolling  # a wide table does, inside its own frame


def test_every_figure_has_a_title_a_description_and_a_caption(browser: Browser, whole_report: Path) -> None:
    page = opened(browser, whole_report)
    told = page.eval_on_selector_all(
        "figure",
        """all => all.map(f => {
          const svg = f.querySelector("svg[role=img]");
          const named = svg.getAttribute("aria-labelledby").split(" ").map(id => document.getElementById(id));
          return [...named, f.querySelector("figcaption")].map(e => e.textContent.trim().length);
        })""",
    )
    page.close()
    assert len(told) == 7
    assert all(length > 0 for lengths in told for length in lengths)


def test_ids_are_unique_and_headings_come_in_order(browser: Browser, whole_report: Path) -> None:
    page = opened(browser, whole_report)
    ids = page.eval_on_selector_all("[id]", "all => all.map(e => e.id)")
    levels = page.eval_on_selector_all("h1,h2,h3,h4", "all => all.map(e => Number(e.tagName[1]))")
    page.close()
    assert len(ids) == len(set(ids))
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_the_keyboard_reaches_the_verdicts_first(browser: Browser, whole_report: Path) -> None:
    page = opened(browser, whole_report)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the verdicts"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.close()


def test_tables_have_captions_and_scopes(browser: Browser, whole_report: Path) -> None:
    page = opened(browser, whole_report)
    bare = page.eval_on_selector_all("table", "all => all.filter(t => !t.caption).length")
    unscoped = page.eval_on_selector_all("th", "all => all.filter(h => !h.scope).length")
    page.close()
    assert (bare, unscoped) == (0, 0)
