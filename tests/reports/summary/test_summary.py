from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest

from bench.schema import CHECKS, TABLES
from reports.data.run import read
from reports.summary import dumps, markdown, summary, terminal
from reports.summary.markdown import LONGEST, code, escape
from reports.summary.plain import number, plain
from tests.reports.synthetic_run import manifest, plant, strike

HOSTILE = "<img src=x onerror=alert(1)>|`*_[a](http://b)\n# @everyone $x$"
#: The keys of `summary.json` that scripts rely on.
KEYS = {
    *("summary", "schema", "run", "started_at", "finished_at", "interrupted", "profile", "seed", "command"),
    *("commit", "dirty", "machine", "versions", "stamps", "problems", "missing", "blocks", "verdicts"),
    *("measured", "answer", "figures", "comparisons", "faults", "thresholds", "manifest_sha256"),
}


def short(folder: Path) -> dict[str, Any]:
    """The summary as a script reads it: strict JSON."""

    def refuse(constant: str) -> None:
        pytest.fail(f"{constant} is no JSON")

    found: dict[str, Any] = json.loads(dumps(summary(read(folder))), parse_constant=refuse)
    return found


def cells(line: str) -> list[str]:
    """The cells of a row of a Markdown table, cut at the bars that are not escaped."""
    return re.split(r"(?<!\\)\|", line)[1:-1]


@pytest.fixture(scope="module")
def whole(whole_run: Path) -> dict[str, Any]:
    return short(whole_run)


def test_a_whole_run_has_every_key_that_scripts_rely_on(whole: dict[str, Any]) -> None:
    assert set(whole) == KEYS
    assert [verdict["choice"] for verdict in whole["verdicts"]] == ["queue", "no queue", "no queue"]
    assert whole["blocks"] == {"total": 20, "invalid": 1}


def test_a_run_with_nothing_but_a_manifest_has_the_same_keys_and_says_what_is_missing(tmp_path: Path) -> None:
    manifest(tmp_path)
    found = short(tmp_path)
    assert set(found) == KEYS
    assert (found["figures"], found["comparisons"], found["faults"]) == ([], [], [])
    assert any("queue-or-task run --measure fault" in gap["command"] for gap in found["missing"])


def test_figures_come_with_their_range_and_the_blocks_that_they_rest_on(whole: dict[str, Any]) -> None:
    chosen = {"key": "response_p50", "scenario": "account_setup", "side": "inprocess"}
    (figure,) = [item for item in whole["figures"] if chosen.items() <= item.items()]
    assert figure["low"] <= figure["value"] <= figure["high"]
    assert (figure["unit"], figure["n"]) == ("ms", 4)


def test_losses_are_a_share_of_accepted_jobs_with_the_bound_on_strikes(whole: dict[str, Any]) -> None:
    lost = {item["side"]: item for item in whole["figures"] if item["key"] == "lost_10"}
    assert (lost["inprocess"]["value"], lost["inprocess"]["n"]) == (0.8, 50)
    assert lost["celery-hardened"]["value"] == 0
    assert lost["celery-hardened"]["high"] == pytest.approx(0.45, abs=0.01)


def test_what_was_not_measured_is_null_and_what_was_not_reached_is_told(run: Path) -> None:
    rows = [
        dict.fromkeys(TABLES["comparisons"], "") | {"scenario": "welcome_email", "ratio": "inf", "low": ""}
    ]
    plant(run, "comparisons", rows)
    (found,) = short(run)["comparisons"]
    assert (found["ratio"], found["low"]) == ("inf", None)
    assert (number(found["ratio"]), math.isnan(number(found["low"]))) == (math.inf, True)


def test_a_job_that_could_not_be_accounted_for_leaves_the_loss_open(run: Path) -> None:
    plant(run, "failures", [strike(fault=10, at_least_once="unknown", sum_ok=False)])
    found = short(run)
    assert [item["value"] for item in found["figures"] if item["key"] == "lost_10"] == [None]


def test_a_kill_that_exposed_no_job_gives_no_key_figure(run: Path) -> None:
    plant(run, "failures", [strike(fault=10)])
    plant(run, "exposure", [{"block": "f001", "scenario": "account_setup", "exposed": 0, "lost": 0}])
    found = short(run)
    assert not [item for item in found["figures"] if item["key"] == "lost_10"]
    assert found["faults"][0]["exposed"] == 0


def test_a_faults_row_sums_its_strikes(whole: dict[str, Any]) -> None:
    chosen = {"fault": 10, "side": "inprocess", "scenario": "account_setup"}
    (row,) = [item for item in whole["faults"] if chosen.items() <= item.items()]
    assert (row["strikes"], row["accepted"], row["lost"], row["at_least_once"]) == (5, 50, 40, "broken")


#: Lines of a comment that a screen shows without scrolling.
SCREEN = 45


def test_the_comment_fits_one_screen_and_begins_with_the_warnings(whole: dict[str, Any]) -> None:
    lines = markdown(whole).splitlines()
    assert len(lines) <= SCREEN
    assert lines[0].startswith("### queue-or-task: quick run")
    assert lines[2].startswith("> **quick: not for quoting**")
    assert lines[4].startswith("Take a hardened queue for account set-up when no accepted job")


def test_the_verdicts_of_the_comment_are_a_table_of_ticks_and_crosses(whole: dict[str, Any]) -> None:
    text = markdown(whole)
    assert "|  | in-process | stock Celery | hardened Celery | take |" in text
    (row,) = [line for line in text.splitlines() if line.startswith("| account set-up |")]
    at_app, at_worker = "exposed jobs at kill -9 of the app", "exposed jobs at kill -9 of the worker"
    assert cells(row)[1:] == [
        f" \N{BALLOT X} lost 40 of 50 {at_app} ",
        f" \N{BALLOT X} lost 5 of 50 {at_worker}; lost 0 of 50 {at_app} ",
        f" \N{CHECK MARK} lost 0 of 50 {at_app}; lost 0 of 50 {at_worker} ",
        " a hardened queue, when no accepted job may be lost ",
    ]
    assert "this project's own celery\\_impl.sidekiq" in text


def test_the_comment_lists_the_faults_that_lost_jobs_by_side(whole: dict[str, Any]) -> None:
    assert "| 10 kill -9 of the app: account set-up | 40 of 50 lost | none | none |" in markdown(whole)


def test_a_terminal_gets_the_warnings_and_an_aligned_table(whole: dict[str, Any]) -> None:
    table, _, measured = terminal(whole).rstrip().rpartition("\n\n")
    warning, titles, *rows = table.splitlines()
    assert warning == "! quick: not for quoting"
    assert titles.split() == ["in-process", "stock", "Celery", "hardened", "Celery", "take"]
    assert len(rows) == len(whole["verdicts"])
    assert {row.index(verdict["take"]) for row, verdict in zip(rows, whole["verdicts"], strict=True)} == {
        titles.index("take")
    }
    assert measured.startswith("measured: latency")
    assert len(measured.splitlines()) == 1, "every scenario has its verdict"


def test_a_terminal_names_the_figures_that_no_verdict_rests_on(run: Path) -> None:
    plant(run, "failures", [strike(fault=12, side="celery-stock", lost=3)])
    plant(run, "blocks", [{"block": "f001", "measure": "fault", "side": "celery-stock", "valid": True}])
    for table in ("latency", "comparisons", "cost", "drift"):
        plant(run, table, [])
    *_, measured, lost = terminal(short(run)).splitlines()
    assert measured.startswith("measured: fault 1 block")
    assert lost.startswith("  account set-up: lost at kill -9 of the worker: stock Celery ")


def test_a_loss_of_a_side_that_is_good_enough_is_told_in_the_comment_and_the_terminal(run: Path) -> None:
    rows = [strike(fault=10, lost=8), strike(fault=22, side="celery-hardened", lost=9)]
    rows += [strike(fault=fault, side="celery-hardened") for fault in (10, 12)]
    plant(run, "failures", rows)
    plant(run, "exposure", [])
    found = short(run)
    assert "; but lost 9 of 10 accepted jobs at broker out of memory" in markdown(found)
    told = terminal(found)
    assert "lost 0 of 10 accepted jobs (*)" in told
    assert "(*) hardened Celery lost 9 of 10 accepted jobs at broker out of memory" in told


def test_a_kill_of_one_side_alone_is_told_though_it_gives_no_verdict(tmp_path: Path) -> None:
    manifest(tmp_path)
    plant(tmp_path, "failures", [strike(fault=12, side="celery-stock", lost=3)])
    found = short(tmp_path)
    assert "none was killed" not in found["verdicts"][0]["sentence"]
    assert (
        "stock Celery lost 3 of 10 accepted jobs at kill -9 of the worker" in found["verdicts"][0]["sentence"]
    )
    assert "\N{BALLOT X} lost 3 of 10" in terminal(found)


def test_exposed_jobs_and_those_that_came_late_stand_in_a_faults_row(run: Path) -> None:
    plant(run, "failures", [strike(fault=10, lost=3, late=2, unknown=4)])
    plant(run, "exposure", [{"block": "f001", "scenario": "account_setup", "exposed": 5, "lost": 3}])
    (row,) = short(run)["faults"]
    assert (row["exposed"], row["late"], row["unknown"]) == (5, 2, 4)


@pytest.mark.parametrize(("met", "mark"), [(True, "✓"), (False, "✗")])
def test_thresholds_stand_in_the_comment_with_their_marks(run: Path, met: bool, mark: str) -> None:  # noqa: FBT001 - a case of a table
    rows = [{"text": "lost == 0", "subject": "account_setup inprocess", "value": None, "met": met}]
    (run / CHECKS).write_text(json.dumps(rows))
    assert f"| {mark} | lost == 0 | not measured | account\\_setup inprocess |" in markdown(short(run))


def test_an_interrupted_run_says_so(run: Path) -> None:
    manifest(run, interrupted=True, finished_at=None)
    assert short(run)["interrupted"] is True
    assert "> **interrupted: holds what was measured until then**" in markdown(short(run))


def test_hostile_text_neither_opens_a_tag_nor_breaks_a_table_nor_calls_anybody(run: Path) -> None:
    manifest(run, run=HOSTILE, profile=HOSTILE, broker=HOSTILE, git={"commit": HOSTILE, "dirty": True})
    plant(run, "failures", [strike(slug=HOSTILE, fault=99, side=HOSTILE, scenario=HOSTILE, lost=1)])
    (run / CHECKS).write_text(
        json.dumps([{"text": HOSTILE, "subject": HOSTILE, "value": HOSTILE, "met": HOSTILE}])
    )
    text = markdown(short(run))
    outside = re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)", "", text)
    assert "<" not in outside
    assert "@" not in outside
    assert not re.search(r"(?<!\\)\[", outside)
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(cells(line)) for line in tables if "img" in line} <= {2, 4}


def test_a_command_with_backticks_stays_code() -> None:
    assert code("run `x` ``y``") == "``` run `x` ``y`` ```"
    assert code("run x") == "`run x`"


def test_text_is_escaped_in_one_line() -> None:
    assert escape("a|b\n<c> d_e @f") == "a\\|b &lt;c&gt; d\\_e &#64;f"


def test_a_comment_is_never_longer_than_a_comment_may_be(run: Path) -> None:
    rows = [
        strike(fault=number, slug="*" * 900, side=f"{number}{'*' * 900}", lost=1)
        for number in range(100, 400)
    ]
    plant(run, "failures", rows)
    text = markdown(short(run))
    assert len(text) < LONGEST + 100
    assert text.endswith("Cut here: the rest is in report.html.\n")


def test_plain_knows_no_nan_and_no_infinity() -> None:
    assert plain({"a": math.nan, 1: (math.inf, -math.inf, 2.5), "b": None}) == {
        "a": None,
        "1": ["inf", "-inf", 2.5],
        "b": None,
    }
