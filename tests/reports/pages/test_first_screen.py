"""The first screen, the words and the links of the page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from markupsafe import Markup

from reports.data.run import Run, read
from reports.pages import about, glossary, limits, links, report
from reports.pages.sections import sections
from reports.pages.templating import keep_together, verbatim
from tests.reports.page_words import words_of
from tests.reports.synthetic_run import manifest, plant, strike

ROOT = Path(__file__).parents[3]
#: A run that names neither sides nor scenarios, so that it may be of any.
EVERYTHING = Run(Path("here"), {}, {}, (), ())
#: The folder above, in a link.
UP = ".."
NBSP = "\N{NO-BREAK SPACE}"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with nothing but a manifest and one strike."""
    manifest(tmp_path, machine={"cores": 2, "processor": "AMD EPYC"}, versions={"queue-or-task": "0.1.0"})
    plant(tmp_path, "failures", [strike(lost=3)])
    return tmp_path


@pytest.mark.parametrize(
    "text",
    ["1.47 \N{MULTIPLICATION SIGN}", "285 MB", "50 ms", "42 µs", "45 %", "2.00 s", "88.5 ppm", "3 min"],
)
def test_a_number_and_its_unit_stay_on_one_line(text: str) -> None:
    assert keep_together(f"about {text}, or so") == f"about {text.replace(' ', NBSP)}, or so"


@pytest.mark.parametrize("text", ["2 sides", "10 minutes", "3 msgs", "8 strikes", "5 GBs"])
def test_other_words_after_a_number_may_begin_a_line(text: str) -> None:
    assert keep_together(text) == text


def test_html_and_commands_that_are_copied_keep_their_spaces() -> None:
    assert keep_together(Markup("<i>3 ms</i>")) == "<i>3 ms</i>"
    assert keep_together(verbatim("check --threshold '3 ms'")) == "check --threshold &#39;3 ms&#39;"


def test_the_first_lines_say_which_run_when_on_what_machine_and_made_with_what(run: Path) -> None:
    text = words_of(run)
    first = text[text.index('class="eyebrow"') : text.index("<h1>")]
    for words in ("run ", "2 cores, AMD EPYC", "version 0.1.0, commit ", "2000-01-01"):
        assert words in first


def test_the_sentence_comes_before_the_heat_map_and_that_before_the_verdicts(run: Path) -> None:
    text = words_of(run)
    places = [
        text.index(part) for part in ('class="answer"', 'id="at-a-glance"', 'id="verdicts"', 'id="about"')
    ]
    assert places == sorted(places)


def test_the_navigation_is_one_short_line_and_leads_to_parts_of_the_page(run: Path) -> None:
    text = words_of(run)
    assert sum(len(name) + 2 for name in report.NAVIGATION.values()) < 90
    assert all(f'id="{slug}"' in text for slug in report.NAVIGATION)
    assert all(
        f'<h2 id="{slug}-title">{name}</h2>' in text or f'id="{slug}" aria-label="{name}"' in text
        for slug, name in report.NAVIGATION.items()
    )


def test_each_job_and_side_that_was_measured_is_described_in_two_lines(run: Path) -> None:
    manifest(run, sides=["inprocess", "celery-hardened"], scenarios=["account_setup"])
    text = words_of(run)
    told = re.sub(r"<[^>]+>", "", text[text.index('id="about"') : text.index('id="case"')])
    for name in ("Account set-up", "in-process", "hardened Celery"):
        assert name in told
    assert "stock Celery" not in told
    assert "Welcome e-mail" not in told


def test_no_description_is_longer_than_two_lines() -> None:
    texts = [text for _, text in (*about.scenarios(EVERYTHING), *about.sides(EVERYTHING))]
    assert len(texts) == 9
    assert max(map(len, texts)) <= 125  # some 62 letters a line


def test_the_words_are_defined_as_in_the_glossary() -> None:
    written = " ".join((ROOT / "docs/glossary.md").read_text().split())
    astray = [term for term, text in glossary.DEFINITIONS.items() if f"**{term}**: {text}" not in written]
    assert astray == []


def test_the_first_use_of_a_word_in_a_part_of_the_page_leads_to_its_definition() -> None:
    linked = glossary.Linker()
    text = linked("A hiccup & a hiccup, not a hiccups-meter", "a")
    assert text.count("<a ") == 1
    assert text.startswith('A <a class="word" href="#word-hiccup" title="')
    assert "&amp; a hiccup" in text
    assert "<a " not in linked("hiccup", "a")
    assert "<a " in linked("hiccup", "b")


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("within the margin", "Margin"),
        ("the drain limit", "Drain limit"),
        ("more than the deadline after", "Deadline"),
        ("pickup p95", "Pickup"),
        ("Words follow Holm's correction", "Holm's correction"),
        ("p (Holm)", "Holm's correction"),
        ("the prefetched ones", "Prefetch"),
        ("noeviction", "noeviction"),
        ("anchored + spawn", "Skip, spawn, catch up"),
        ("anchored + catch up", "Skip, spawn, catch up"),
        ("jitter sd", "Jitter"),
        ("within the grace", "Grace"),
        ("the uncorrected latency", "Uncorrected"),
        ("less the idle control", "Idle control"),
        ("told the CRM", "CRM"),
        ("age p99 1,018 ms", "Age"),
        ("no accepted job", "Accepted, refused, unknown"),
    ],
)
def test_a_word_of_ours_leads_to_its_definition(text: str, term: str) -> None:
    assert f'href="#{glossary.slug(term)}"' in glossary.Linker()(text)
    assert term in glossary.DEFINITIONS


def test_the_blast_radius_is_in_percentage_points() -> None:
    assert "percentage points" in glossary.DEFINITIONS["Blast radius"]


def test_the_control_and_the_limits_say_plainly_what_they_are(run: Path) -> None:
    assert dict(about.sides(EVERYTHING))["inline control"].startswith("The control: no background work.")
    told = " ".join(limits.limits(read(run)))
    assert "what one of them uses, the others lack" in told
    assert "If a service finishes such work, a retry does the job a second time." in told


def test_every_word_that_is_linked_is_defined_on_the_page(run: Path) -> None:
    text = words_of(run)
    targets = set(re.findall(r'class="word" href="#([^"]+)"', text))
    assert targets
    assert all(f'id="{target}"' in text for target in targets)


def test_a_file_is_linked_only_where_it_lies_beside_the_page(run: Path) -> None:
    log = "events-f10-0-inprocess.jsonl"
    other = strike(side="celery-stock", block="f10-0-celery-stock")
    plant(run, "failures", [strike(lost=3, block="f10-0-inprocess"), other])
    (run / "events-f10-0-celery-stock.jsonl").write_text("")
    assert f'href="{log}"' not in words_of(run)
    assert log in words_of(run)
    (run / log).write_text("")
    assert f'href="{log}"' in words_of(run)
    assert not links.is_beside(read(run), f"../{run.name}/{log}")


def test_a_fault_leads_to_its_expectations_where_the_documents_are(tmp_path: Path) -> None:
    run = tmp_path / "results" / "run"
    run.mkdir(parents=True)
    manifest(run)
    plant(run, "failures", [strike()])
    assert ">expected<" not in words_of(run)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/faults.md").write_text("# Faults\n\n## 10. kill -9 the app\n")
    assert f'href="{UP}/{UP}/docs/faults.md#10-kill--9-the-app">expected<' in words_of(run)


def test_every_fault_has_a_section_of_the_documents_to_lead_to() -> None:
    example = links.Documents(read(ROOT / "docs/example"))
    found = [example.expectation(f"{number} x").partition("#") for number in range(1, 39)]
    assert {(ROOT / "docs/example" / page).resolve() for page, _, _ in found} == {ROOT / "docs/faults.md"}
    assert len({anchor for _, _, anchor in found}) == len(found)


def test_the_project_is_linked_where_its_address_is_known(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = read(run)
    monkeypatch.setattr(links, "project", lambda: "https://example.org/queue-or-task")
    assert '<a href="https://example.org/queue-or-task">queue-or-task</a>' in report.html(
        found, sections(found)
    )
    monkeypatch.setattr(links, "project", lambda: "")
    assert "example.org" not in report.html(found, sections(found))
