"""docs/faults.md is in step with the faults of the code and with the tables of the example run."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from bench.faults import FAULTS
from bench.faults.spec import Fault

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "faults.md"
EXAMPLE = ROOT / "docs" / "example"
SECTION = re.compile(r"^## (\d+)\. ([^\n]+)\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
#: What a count is called on the page.
CLASSES = {
    "done_once": "done once",
    "duplicated": "doubled",
    "failed_visibly": "failed visibly",
    "stuck": "stuck",
    "lost": "lost",
}
FLAGS = {
    "refused": "refused",
    "unknown": "unknown",
    "late": "late",
    "ghost": "ghosts",
    "unexpected": "unexpected",
    "out_of_order": "out of order",
}

#: Sides that are measured otherwise than in the example run, so that its rows say nothing of the expectation.
NOT_IN_EXAMPLE = {(16, "celery-hardened"), (29, "inprocess")}

FAILURES, EXPOSURE = (pd.read_csv(EXAMPLE / f"{name}.csv") for name in ("failures", "exposure"))
SECTIONS = {int(number): (title, text) for number, title, text in SECTION.findall(PAGE.read_text())}


def counts(rows: pd.DataFrame, names: dict[str, str]) -> list[str]:
    """The sums over the strikes that are not zero, as in "108 done once"."""
    sums = {text: int(rows[column].fillna(0).sum()) for column, text in names.items()}
    return [f"{count:,} {text}" for text, count in sums.items() if count]


def checked(rows: pd.DataFrame) -> Iterator[str]:
    """What the fault's own checker found: the range of each number, each word that was said."""
    facts: dict[str, list[str]] = {}
    for seen in rows["seen"].dropna():
        for fact in str(seen).split("; "):
            name, _, value = fact.rpartition(" ")
            facts.setdefault(name, []).append(value)
    for name, values in facts.items():
        of = f" in {len(values)} of {len(rows)}" if len(values) < len(rows) else ""
        yield f"{name} {spread(values)}{of}"


def spread(values: list[str]) -> str:
    try:
        numbers = [float(value) for value in values]
    except ValueError:
        return " or ".join(sorted(set(values)))
    low, high = min(numbers), max(numbers)
    return short(low) if low == high else f"{short(low)} to {short(high)}"


def short(number: float) -> str:
    return f"{number:,.0f}" if abs(number) >= 100 or number == math.floor(number) else f"{number:.2g}"


def seen(fault: Fault, side: str) -> str:
    """What the example run saw of a fault at a side, over all strikes."""
    rows, reached = (
        frame[frame["fault"].eq(fault.number) & frame["side"].eq(side) & frame["scenario"].eq(fault.scenario)]
        for frame in (FAILURES, EXPOSURE)
    )
    exposed = int(reached["exposed"].sum())
    parts = [", ".join(counts(rows, CLASSES)), ", ".join(counts(rows, FLAGS))]
    if rows["submitted"].sum():
        parts[0] = f"{int(rows['accepted'].sum()):,} accepted: {parts[0]}".removesuffix(": ")
    if exposed:
        parts.append(f"{int(reached['lost'].sum()):,} of {exposed:,} exposed lost")
    return "; ".join(filter(None, [*parts, *checked(rows)]))


def table(fault: Fault) -> str:
    """The table of a fault's section."""
    lines = ["| side | expected | as predicted | what was seen |", "|---|---|---|---|"]
    for side, expected in fault.expected.items():
        rows = FAILURES[(FAILURES["fault"] == fault.number) & (FAILURES["side"] == side)]
        compared = rows[rows["scenario"] == fault.scenario]["as_predicted"].dropna()
        told = f"{int((compared == 'yes').sum())} of {len(compared)}"
        if (fault.number, side) in NOT_IN_EXAMPLE or rows.empty:
            lines.append(f"| `{side}` | {expected.text} | | not measured so in the example run |")
            continue
        lines.append(f"| `{side}` | {expected.text} | {told} | {seen(fault, side)} |")
    return "\n".join(lines) + "\n"


def test_every_fault_of_the_code_has_its_section_and_no_other_is_there() -> None:
    assert {number: title for number, (title, _) in SECTIONS.items()} == {
        number: fault.title for number, fault in FAULTS.items()
    }
    assert list(SECTIONS) == list(FAULTS)


@pytest.mark.parametrize("number", FAULTS)
def test_a_section_has_what_the_code_expects_and_what_the_example_run_saw(number: int) -> None:
    fault, (_, text) = FAULTS[number], SECTIONS[number]
    assert table(fault) in text, f"put this table into section {number} of docs/faults.md:\n{table(fault)}"


@pytest.mark.parametrize("number", FAULTS)
def test_a_section_names_the_file_of_its_fault(number: int) -> None:
    [path] = re.findall(r"^Code: `(.+)`$", SECTIONS[number][1], re.MULTILINE)
    assert re.search(rf"^    number={number},$", (ROOT / path).read_text(), re.MULTILINE)


def test_the_failed_predictions_that_the_page_counts_are_those_of_the_run() -> None:
    told = FAILURES.dropna(subset=["as_predicted"])
    keys = list(zip(told["fault"], told["side"], strict=True))
    failed = {key for key, said in zip(keys, told["as_predicted"], strict=True) if said != "yes"}
    assert f"were {len(failed)} of {len(set(keys))}:" in PAGE.read_text()
    sections = {
        number
        for number, (_, text) in SECTIONS.items()
        if re.search(r"[Ff]ailed prediction|prediction failed", text)
    }
    assert sections == {int(fault) for fault, _ in failed}
