"""A run that something happened to still renders, and the report says what could not be read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from markupsafe import escape

import reports
from bench.schema import CHECKS, MANIFEST, MICRO, TABLES, Manifest
from reports.data.run import Run, read
from reports.data.safe_text import LONGEST_TEXT
from reports.index import write_index
from reports.pages import report
from reports.pages.sections import sections
from reports.summary import dumps, markdown, summary
from tests.reports.page_words import words_of
from tests.reports.synthetic_run import plant, shortened

#: All of it is computing, of which a full machine gets a tenth done; nothing here can hang.
pytestmark = pytest.mark.timeout(300)
#: Rows of each table that are kept, so that an example takes a moment.
ROWS = 12
TABLES_OF_IT = sorted(TABLES)
#: An example takes half a second of a processor, so a failing one is shown as it is found, and the
#: properties go by halves.
FUZZ = settings(
    max_examples=12,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)

Damage = Callable[[bytes], bytes]


@pytest.fixture(scope="module")
def tiny(whole_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole synthetic run with few rows of each table; a test leaves it as it found it."""
    folder = tmp_path_factory.mktemp("tiny") / "2000-01-01T00-00-00-quick"
    return shortened(whole_run, folder, rows=ROWS)


@contextmanager
def damaged(path: Path, damage: Damage) -> Iterator[None]:
    before = path.read_bytes()
    path.write_bytes(damage(before))
    try:
        yield
    finally:
        path.write_bytes(before)


def renders(folder: Path) -> Run:
    """Everything but the figures: the page, both summaries; whatever was not read in full is told in them."""
    run = read(folder)
    html, short = report.html(run, sections(run)), summary(run)
    text = markdown(short)
    assert html.rstrip().endswith("</html>")
    assert json.loads(dumps(short)) == short
    assert all(str(escape(problem)) in html for problem in run.problems)
    assert text.count("> **not read in full:") == len(run.problems)
    return run


def columns_dropped(content: bytes, *names: str) -> bytes:
    lines = [line.split(b",") for line in content.splitlines()]
    kept = [number for number, name in enumerate(lines[0]) if name.decode() not in names]
    return b"".join(b",".join(line[number] for number in kept) + b"\n" for line in lines)


def column_filled(content: bytes, name: str, value: str) -> bytes:
    lines = [line.split(b",") for line in content.splitlines()]
    place = lines[0].index(name.encode())
    for line in lines[1:]:
        line[place] = json.dumps(value).encode("utf-8", "surrogatepass")
    return b"".join(b",".join(line) + b"\n" for line in lines)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda content: content[:-9], "jobs.csv: its last line is cut off and left out"),
        (lambda content: content[:40], "jobs.csv: its last line is cut off and left out"),
        (lambda _: b"", "jobs.csv cannot be read"),
        (lambda _: b"\xff\xfe\x00\x01", "jobs.csv holds bytes that are no UTF-8"),
        (
            lambda content: content.replace(b"welcome", b"w\xe9lc\x80me"),
            "jobs.csv holds bytes that are no UTF-8",
        ),
        (lambda content: columns_dropped(content, "side"), "jobs.csv lacks side"),
        (
            lambda content: columns_dropped(content, "response_ms", "due_ns"),
            "jobs.csv lacks due_ns, response_ms",
        ),
        (lambda content: content + b",".join([b"1"] * 99) + b"\n", "with too many fields left out"),
    ],
    ids=["cut", "cut head", "empty", "no text", "bytes", "no side", "no numbers", "too many fields"],
)
def test_what_happened_to_a_table_is_told_and_the_rest_stands(tiny: Path, damage: Damage, told: str) -> None:
    with damaged(tiny / "jobs.csv", damage):
        run = renders(tiny)
    assert any(told in problem for problem in run.problems)
    assert not run.tables["failures"].empty


def test_a_number_that_was_cut_is_not_taken_for_another(tiny: Path) -> None:
    whole = len(read(tiny).tables["cost"])
    with damaged(tiny / "cost.csv", lambda content: content[:-2]):
        assert len(read(tiny).tables["cost"]) == whole - 1


def test_nan_in_every_number_renders(tiny: Path) -> None:
    for table in ("latency", "comparisons", "drift", "failures", "cost", "blocks"):
        numbers = [name for name in TABLES[table] if name.endswith(("ms", "_s", "lost", "accepted", "ratio"))]
        with damaged(tiny / f"{table}.csv", partial(_all_nan, names=numbers)):
            renders(tiny)


def _all_nan(content: bytes, names: list[str]) -> bytes:
    for name in names:
        content = column_filled(content, name, "NaN")
    return content


def test_an_enormous_text_is_cut_and_costs_no_other_row(tiny: Path) -> None:
    with damaged(tiny / "failures.csv", lambda content: column_filled(content, "note", "x" * 300_000)):
        run = renders(tiny)
    assert len(run.tables["failures"]) == ROWS
    assert run.tables["failures"]["note"].str.len().max() < LONGEST_TEXT + 40


def test_a_run_with_one_block_only_renders(run: Path) -> None:
    for table, columns in TABLES.items():
        frame = pd.read_csv(run / f"{table}.csv", dtype=str)
        if "block" in columns:
            frame[frame["block"] == "b000"].to_csv(run / f"{table}.csv", index=False)
    assert "</html>" in reports.render(run)[0].read_text(encoding="utf-8")


def test_a_run_with_an_empty_ledger_says_what_is_missing_with_the_command(run: Path) -> None:
    for table in TABLES:
        plant(run, table, [])
    (run / MICRO).unlink()
    text = words_of(run)
    assert "Not in this run: the responses of single jobs. Measure it with <code>queue-or-task run" in text


def test_a_run_of_an_older_schema_without_the_newer_tables_and_columns_renders(run: Path) -> None:
    older = ("blocks", "jobs", "latency", "failures")
    for table in TABLES:
        if table not in older:
            (run / f"{table}.csv").unlink()
    for table in older:
        path = run / f"{table}.csv"
        path.write_bytes(columns_dropped(path.read_bytes(), *TABLES[table][-6:]))
    assert len(renders(run).problems) == len(older)


NUMBERS = st.one_of(st.integers(), st.floats(), st.sampled_from([10**400, -1, 0, 1e300]))
JSONS = st.recursive(
    st.one_of(
        st.none(), st.booleans(), NUMBERS, st.text(max_size=30), st.just("\ud800 lone"), st.just("x" * 9_000)
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
#: Every field of a manifest but its schema.
FIELDS = sorted(Manifest.__annotations__.keys() - {"schema"})


@pytest.mark.parametrize("fields_changed", [FIELDS[::2], FIELDS[1::2]], ids=["even", "odd"])
@FUZZ
@given(data=st.data(), less=st.sets(st.sampled_from(FIELDS)))
def test_a_manifest_with_fields_missing_or_of_any_kind_renders(
    tiny: Path, fields_changed: list[str], data: st.DataObject, less: set[str]
) -> None:
    changes = data.draw(st.dictionaries(st.sampled_from(fields_changed), JSONS, min_size=1, max_size=4))

    def damage(content: bytes) -> bytes:
        fields = json.loads(content) | changes
        return json.dumps({name: value for name, value in fields.items() if name not in less}).encode()

    with damaged(tiny / MANIFEST, damage):
        renders(tiny)
        assert tiny.name in write_index(tiny.parent).read_text(encoding="utf-8")


def benchmarks(one: Any, other: Any) -> dict[str, Any]:
    stats = {"median": 1e-5, "q1": one, "q3": other, "min": one, "rounds": other}
    return {"benchmarks": [{"name": one, "group": other, "stats": stats}]}


def checks(one: Any, other: Any) -> list[Any]:
    return [{"text": one, "subject": other, "value": one, "met": other}]


@pytest.mark.parametrize(("name", "shaped"), [(MICRO, benchmarks), (CHECKS, checks)], ids=[MICRO, CHECKS])
@FUZZ
@given(data=st.data())
def test_call_costs_and_checks_of_any_kind_render(
    tiny: Path, name: str, shaped: Callable[[Any, Any], Any], data: st.DataObject
) -> None:
    content = data.draw(JSONS | st.builds(shaped, JSONS, JSONS))
    if not (tiny / name).exists():
        (tiny / name).write_text("[]")
    with damaged(tiny / name, lambda _: json.dumps(content).encode()):
        renders(tiny)


@st.composite
def damages(draw: st.DrawFn, tables: list[str]) -> tuple[str, Damage]:
    """One of the tables and what happens to it."""
    table = draw(st.sampled_from(tables))
    column = draw(st.sampled_from(TABLES[table]))
    at, value = draw(st.floats(0, 1)), draw(st.text(max_size=12) | NUMBERS.map(str) | st.just("x" * 9_000))
    inserted = draw(st.binary(min_size=1, max_size=6))

    def spliced(content: bytes) -> bytes:
        place = int(at * len(content))
        return content[:place] + inserted + content[place:]

    def halved(content: bytes) -> bytes:
        lines = content.splitlines(keepends=True)
        return b"".join(lines[: 1 + int(at * len(lines))])

    kinds: list[Damage] = [
        lambda content: content[: int(at * len(content))],
        lambda content: columns_dropped(content, column),
        lambda content: column_filled(content, column, value),
        lambda content: content + content.partition(b"\n")[2],
        spliced,
        halved,
    ]
    return table, draw(st.sampled_from(kinds))


@pytest.mark.parametrize("tables", [TABLES_OF_IT[::2], TABLES_OF_IT[1::2]], ids=["even", "odd"])
@FUZZ
@given(data=st.data())
def test_a_table_that_anything_happened_to_renders(
    tiny: Path, tables: list[str], data: st.DataObject
) -> None:
    table, damage = data.draw(damages(tables))
    with damaged(tiny / f"{table}.csv", damage):
        cut = not (tiny / f"{table}.csv").read_bytes().endswith(b"\n")
        run = renders(tiny)
    assert not cut or any(problem.startswith(f"{table}.csv") for problem in run.problems)


def test_figures_of_a_run_with_damage_everywhere_are_drawn(run: Path) -> None:
    for number, table in enumerate(TABLES_OF_IT):
        path = run / f"{table}.csv"
        content = path.read_bytes()
        path.write_bytes(
            content[: -3 - number] if number % 2 else columns_dropped(content, TABLES[table][-1])
        )
    assert "</html>" in reports.render(run)[0].read_text(encoding="utf-8")
