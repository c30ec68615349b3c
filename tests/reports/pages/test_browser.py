from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, ViewportSize

from reports.data.run import read
from reports.pages import report
from reports.pages.section import Drawn
from reports.pages.sections import sections
from tests.reports.synthetic_run import manifest, plant, strike

#: Where `make axe` puts axe-core.
AXE = Path(__file__).parents[3] / ".cache/axe/node_modules/axe-core/axe.min.js"
#: Opens what is folded, since axe sees only what is shown, and answers a question of "your case".
UNFOLD = """
() => {
  document.querySelectorAll("details").forEach(d => d.open = true);
  document.querySelector("#case-form input").click();
  document.querySelector("#case-all").click();
}
"""
VIOLATIONS = """
async () => (await axe.run(document, { resultTypes: ["violations"] })).violations
  .map(v => [v.id, v.help, v.nodes.slice(0, 5).map(n => n.html.slice(0, 160))])
"""
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

OVERLAPS = """
() => [...document.querySelectorAll("figure svg")].flatMap(svg => {
  const texts = [...svg.querySelectorAll("text")].map(t => [t.textContent, t.getBoundingClientRect()]);
  return texts.flatMap(([one, a], i) => texts.slice(i + 1)
    .filter(([_, b]) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1
      && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 4)
    .map(([other]) => [one, other]));
})
"""

#: An A4 page without its margins, in CSS pixels.
PAPER: ViewportSize = {"width": 703, "height": 1017}
BOX = "element => element.getBoundingClientRect().toJSON()"

Scheme = Literal["light", "dark"]


def opened(browser: Browser, report: Path) -> Page:
    page = browser.new_page()
    page.goto(report.as_uri())
    return page


@pytest.fixture(scope="module")
def once(browser: Browser, whole_report: Path) -> Iterator[Page]:
    """The whole report, opened once: that takes as long as most tests."""
    page = opened(browser, whole_report)
    yield page
    page.close()


@pytest.fixture
def shown(once: Page) -> Page:
    """The whole report in light at 1100 pixels, as a reader finds it; a test may resize or unfold it."""
    once.emulate_media(color_scheme="light")
    once.set_viewport_size({"width": 1100, "height": 900})
    once.eval_on_selector_all("details", "all => all.forEach(d => d.open = false)")
    return once


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


def test_light_and_dark_differ_in_paper_and_in_every_figures_ink(shown: Page) -> None:
    found = []
    schemes: tuple[Scheme, ...] = ("light", "dark")
    for scheme in schemes:
        shown.emulate_media(color_scheme=scheme)
        paper = shown.eval_on_selector("body", "body => getComputedStyle(body).backgroundColor")
        inks = shown.eval_on_selector_all("figure svg text", "all => all.map(t => getComputedStyle(t).fill)")
        found.append((paper, inks))
    (light_paper, light_inks), (dark_paper, dark_inks) = found
    assert light_paper != dark_paper
    assert light_inks
    assert all(light != dark for light, dark in zip(light_inks, dark_inks, strict=True))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_colour_has_enough_contrast(shown: Page, scheme: Scheme) -> None:
    shown.emulate_media(color_scheme=scheme)
    assert [item for item in shown.evaluate(CONTRASTS) if item[2] < LEAST_CONTRAST] == []


@pytest.mark.parametrize("width", [320, 400, 768, 1200])
def test_the_page_does_not_scroll_sideways(shown: Page, width: int) -> None:
    shown.set_viewport_size({"width": width, "height": 900})
    shown.eval_on_selector_all("details", "all => all.forEach(d => d.open = true)")
    assert shown.evaluate("document.documentElement.scrollWidth") <= width
    scrolling = shown.eval_on_selector_all(".scroll", "all => all.filter(e => e.scrollWidth > e.clientWidth)")
    assert scrolling  # a wide table does, inside its own frame


def test_the_failure_matrix_needs_no_scrolling_at_1200_pixels(shown: Page) -> None:
    shown.set_viewport_size({"width": 1200, "height": 900})
    widths = "frame => [frame.scrollWidth, frame.clientWidth]"
    needed, there = shown.eval_on_selector(".scroll:has(.matrix)", widths)
    assert shown.eval_on_selector(".matrix", "table => table.tHead.rows[0].cells.length - 1") == 4
    assert needed <= there


def test_a_cell_opens_its_timeline_by_the_keyboard(shown: Page) -> None:
    timeline = shown.locator("#f10-inprocess svg.tl")
    assert not timeline.is_visible()
    shown.locator("details:has(#f10-inprocess) > summary").focus()
    shown.keyboard.press("Enter")
    assert timeline.is_visible()


def test_an_opened_cell_is_as_wide_as_the_matrix_and_stands_under_its_row(shown: Page) -> None:
    shown.set_viewport_size({"width": 1200, "height": 900})
    shown.locator("details:has(#f10-inprocess) > summary").click()
    places = ("#f10-inprocess", "table.matrix:has(#f10-inprocess)", "tr:has(> td #f10-inprocess) + tr")
    cell, table, next_row = (shown.locator(place).evaluate(BOX) for place in places)
    assert cell["width"] > 0.9 * table["width"]
    assert next_row["y"] >= cell["bottom"]


def test_a_link_to_a_cell_opens_it(shown: Page) -> None:
    shown.evaluate("location.hash = '#f12-celery-stock'")
    shown.locator("#f12-celery-stock").wait_for(state="visible")


def test_print_has_the_answer_the_heat_map_and_the_verdicts_on_page_one(
    browser: Browser, whole_report: Path
) -> None:
    page = browser.new_page(viewport=PAPER)
    page.goto(whole_report.as_uri())
    page.emulate_media(media="print")
    for part in (".answer", "#at-a-glance", "#verdicts"):
        assert page.locator(part).evaluate(BOX)["bottom"] <= PAPER["height"]
    assert page.eval_on_selector("#about", "part => getComputedStyle(part).breakBefore") == "page"
    page.close()


def test_print_leaves_out_what_is_folded_and_shows_what_was_opened(shown: Page) -> None:
    visible = "all => all.filter(e => e.checkVisibility()).length"
    shown.emulate_media(media="print")
    folded = (
        shown.locator("details").evaluate_all(visible),
        shown.locator("svg.tl[role=img]").evaluate_all(visible),
    )
    shown.eval_on_selector("details:has(> #f10-inprocess)", "cell => { cell.open = true; }")
    opened = shown.locator("svg.tl[role=img]").evaluate_all(visible)
    shown.emulate_media(media="screen")
    assert (folded, opened) == ((0, 0), 1)


def test_in_print_no_heading_is_the_last_of_its_page(shown: Page) -> None:
    shown.emulate_media(media="print")
    kept = shown.eval_on_selector_all(
        "h2, h3, caption, .intro", "all => all.filter(e => getComputedStyle(e).breakAfter !== 'avoid').length"
    )
    shown.emulate_media(media="screen")
    assert kept == 0


def test_the_first_screen_has_the_answer_the_heat_map_and_the_verdicts(
    browser: Browser, whole_report: Path
) -> None:
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    page.goto(whole_report.as_uri())
    for part in (".answer", "#at-a-glance", ".verdict .choice"):
        assert page.locator(part).first.evaluate(BOX)["bottom"] <= 900
    page.close()


def test_a_click_anywhere_on_a_line_of_the_heat_map_leads_to_its_row(
    browser: Browser, whole_report: Path
) -> None:
    page = opened(browser, whole_report)
    line = page.locator(".heat tr:has(a[href='#fault-10'])")
    line.locator("td").last.click(force=True)  # the link lies over the whole line
    page.wait_for_function("location.hash === '#fault-10'")
    assert page.locator("#fault-10").is_visible()
    page.close()


def test_a_line_of_the_heat_map_opens_the_fold_that_its_row_is_in(
    browser: Browser, whole_report: Path
) -> None:
    page = opened(browser, whole_report)
    folded = page.eval_on_selector_all("details .matrix tr[id^=fault]", "all => all.map(row => row.id)")
    assert folded
    page.evaluate(f"location.hash = '{folded[0]}'")
    page.locator(f"#{folded[0]}").wait_for(state="visible")
    page.close()


def test_a_table_that_is_wider_than_its_frame_says_so_and_another_does_not(shown: Page) -> None:
    shown.set_viewport_size({"width": 400, "height": 900})
    shown.wait_for_function("document.querySelector('.scroll.sideways')")
    wrong = shown.eval_on_selector_all(
        ".scroll",
        "all => all.filter(e => e.checkVisibility()"
        " && e.classList.contains('sideways') !== e.scrollWidth > e.clientWidth + 1).length",
    )
    assert wrong == 0
    said = shown.eval_on_selector_all(
        ".sideways caption",
        "all => all.map(c => [c, ...c.querySelectorAll('*')]"
        ".filter(e => getComputedStyle(e, '::after').content.includes('sideways')).length)",
    )
    assert set(said) == {1}, "once at each table"


def test_no_text_of_a_timeline_runs_into_another(shown: Page) -> None:
    shown.eval_on_selector_all("details", "all => all.forEach(d => d.open = true)")
    assert shown.locator("#f10-inprocess svg.tl").is_visible()
    assert shown.evaluate(OVERLAPS.replace("figure svg", "svg.tl[role=img]")) == []


def test_no_text_of_a_figure_runs_into_another(shown: Page) -> None:
    overlaps = shown.evaluate(OVERLAPS)
    assert overlaps == []


def test_no_text_of_a_figure_is_cut_at_its_edge(shown: Page) -> None:
    cut = shown.evaluate(
        """() => [...document.querySelectorAll("figure svg")].flatMap(svg => {
          const edge = svg.getBoundingClientRect();
          return [...svg.querySelectorAll("text")].map(t => [t.textContent, t.getBoundingClientRect()])
            .filter(([_, at]) => at.left < edge.left - 1 || at.right > edge.right + 1)
            .map(([text]) => text);
        })"""
    )
    assert cut == []


def test_every_figure_has_a_title_a_description_and_a_caption(shown: Page, whole_drawn: Drawn) -> None:
    told = shown.eval_on_selector_all(
        "figure",
        """all => all.map(f => {
          const svg = f.querySelector("svg[role=img]");
          const named = svg.getAttribute("aria-labelledby").split(" ").map(id => document.getElementById(id));
          return [...named, f.querySelector("figcaption")].map(e => e.textContent.trim().length);
        })""",
    )
    assert len(told) >= sum(map(len, whole_drawn.values())) > 0
    assert all(length > 0 for lengths in told for length in lengths)


def test_ids_are_unique_and_headings_come_in_order(shown: Page) -> None:
    ids = shown.eval_on_selector_all("[id]", "all => all.map(e => e.id)")
    levels = shown.eval_on_selector_all("h1,h2,h3,h4", "all => all.map(e => Number(e.tagName[1]))")
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


def test_tables_have_captions_and_scopes(shown: Page) -> None:
    bare = shown.eval_on_selector_all("table", "all => all.filter(t => !t.caption).length")
    unscoped = shown.eval_on_selector_all("th", "all => all.filter(h => !h.scope).length")
    assert (bare, unscoped) == (0, 0)


def what_is_chosen(page: Page) -> list[str]:
    checked = page.locator("#case-form input:checked").all()
    return [f"{item.get_attribute('name')}={item.get_attribute('value')}" for item in checked]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation(browser: Browser, whole_report: Path, scheme: Scheme) -> None:
    if not AXE.is_file():
        missing = "no axe-core: make axe"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    page = browser.new_page(color_scheme=scheme)
    page.goto(whole_report.as_uri())
    page.evaluate(UNFOLD)
    page.evaluate(AXE.read_text())
    assert page.evaluate(VIOLATIONS) == []
    page.close()


def test_an_answer_is_told_lights_up_its_verdict_and_stands_in_the_address(
    browser: Browser, whole_report: Path
) -> None:
    page = opened(browser, whole_report)
    page.check("#case-form input[name=restart][value=yes]")
    page.check("#case-form input[name=heavy][value=no]")
    told = page.inner_text("#case-told[role=status]")
    assert told.startswith("A queue is called for: it must survive the end of the app.")
    lit = page.eval_on_selector_all(".verdict.lit", "all => all.map(v => v.dataset.scenario)")
    assert lit == ["account_setup"]
    assert page.get_attribute("#f10-inprocess", "class") == "cell-detail lit-evidence"
    shown_rows = page.eval_on_selector_all(".answer-row:not([hidden])", "all => all.length")
    again = browser.new_page()
    again.goto(page.url)
    assert (shown_rows, what_is_chosen(again)) == (2, ["restart=yes", "heavy=no"])
    assert again.inner_text("#case-told") == told
    page.close()
    again.close()


def test_a_journalled_task_is_called_for_until_other_answers_need_a_queue(
    browser: Browser, tmp_path: Path
) -> None:
    manifest(tmp_path)
    losses = {"inprocess": 3, "inprocess-journal": 0, "celery-hardened": 0}
    plant(tmp_path, "failures", [strike(fault=10, side=side, lost=lost) for side, lost in losses.items()])
    (tmp_path / "report.html").write_text(report.html(run := read(tmp_path), sections(run)))
    page = opened(browser, tmp_path / "report.html")

    def told(**answers: str) -> str:
        for question, answer in answers.items():
            page.check(f"#case-form input[name={question}][value={answer}]")
        return page.inner_text("#case-told").partition(". ")[0]

    survives = "it must survive the end of the app"
    assert told(restart="yes") == f"A journalled task is called for: {survives}"
    assert told(machines="yes") == f"A queue is called for: jobs must run on other machines and {survives}"
    assert told(machines="no", database="yes") == f"A journalled task is called for: {survives}"
    assert told(database="no") == f"A queue is called for: {survives} and no database takes its writes"
    page.close()


def test_evidence_opens_what_it_leads_to(browser: Browser, whole_report: Path) -> None:
    page = opened(browser, whole_report)
    page.check("#case-form input[name=restart][value=yes]")
    page.click("#case-table a[href='#f10-inprocess'] >> visible=true")
    page.wait_for_function("document.querySelector('#f10-inprocess').closest('details').open")
    page.close()


def test_without_scripts_every_answer_stands_there(browser: Browser, whole_report: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(whole_report.as_uri())
    assert not page.is_visible("#case-form")
    assert page.locator(".answer-row").count() > 10
    assert all(row.is_visible() for row in page.locator(".answer-row").all())
    context.close()


def test_a_table_is_sorted_by_its_numbers_with_the_keyboard(shown: Page) -> None:
    table = shown.locator("table.sortable", has=shown.get_by_text("What there is to break")).first
    for direction in ("ascending", "descending"):
        table.locator("th button").nth(3).focus()
        shown.keyboard.press("Enter")
        cells = table.locator("tbody td:nth-child(4)").all_text_contents()
        numbers = [float(text.split()[0]) for text in cells]
        assert numbers == sorted(numbers, reverse=direction == "descending")
        assert table.locator("thead th").nth(3).get_attribute("aria-sort") == direction


def test_the_button_turns_light_into_dark(browser: Browser, whole_report: Path) -> None:
    page = opened(browser, whole_report)
    paper = "body => getComputedStyle(body).backgroundColor"
    before = page.eval_on_selector("body", paper)
    page.click("#theme")
    assert page.eval_on_selector("body", paper) != before
    page.close()


def test_every_link_within_the_page_leads_somewhere(shown: Page) -> None:
    astray = shown.eval_on_selector_all(
        "a[href^='#']", "all => all.map(a => a.hash.slice(1)).filter(id => !document.getElementById(id))"
    )
    assert astray == []
