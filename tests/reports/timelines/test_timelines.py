from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree  # noqa: ICN001 - its own name says more than ET

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.measures.faults import failure
from reports.data.evidence import DEADLINE_MS, deadline_ms
from reports.data.run import read
from reports.failure.detail import BUDGET_BYTES
from reports.timelines import choice, drawing, events
from reports.timelines.histories import GRAVITY, finding, histories
from tests.reports.synthetic_events import BLOCK, SCENARIO, Events, event, fate, job, strike, write
from tests.reports.synthetic_run import manifest

#: Kinds of events that a job can have.
KINDS = ("due", "submit", "accepted", "refused", "unknown", "start", "effect", "done", "failed", "cancelled")


#: On a machine that is busy with something else, slow says nothing.
PATIENT = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def log_of(*parts: Events) -> events.Log:
    ordered = sorted((event for part in parts for event in part), key=lambda event: int(event["t"]))
    return events.Log(events=tuple(ordered), problem="")


def timeline_of(*parts: Events) -> choice.Timeline:
    made = choice.timeline(log_of(*parts), block=BLOCK, scenario=SCENARIO, deadline_ms=DEADLINE_MS)
    assert made is not None
    return made


def parsed(made: choice.Timeline, description: str = "a description") -> ElementTree.Element:
    svg = drawing.svg(made, title="a title", description=description)
    return ElementTree.fromstring(svg.encode("utf-8"))  # noqa: S314 - drawn by us


def drawn(*parts: Events) -> ElementTree.Element:
    return parsed(timeline_of(*parts))


def texts(svg: ElementTree.Element) -> list[str]:
    return [text.text or "" for text in svg.iter("text")]


@pytest.mark.parametrize("found", GRAVITY)
def test_each_fate_is_found_and_told_in_its_row(found: str) -> None:
    rows = timeline_of(fate("7/crm", 2, found)).rows
    assert [row.finding for row in rows] == [found]
    assert choice.TEXTS[found].partition(" {")[0] in rows[0].text


@PATIENT
@given(st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 12)), min_size=1, max_size=9))
def test_the_report_sorts_a_job_as_the_checker_does(made: list[tuple[str, int]]) -> None:
    history = [event(kind, at_s, "7/crm", where="log") for kind, at_s in made]
    history.append(event("submit", 0, "7/crm"))
    log = log_of(history)
    judged = failure.judge(log.events, scenario=SCENARIO, deadline_ms=DEADLINE_MS)
    named = judged.classes | judged.flags | {name: judged.acceptance[name] for name in ("refused", "unknown")}
    [found] = histories(log.events, SCENARIO)
    gravest = min((name for name in GRAVITY if named[name]), key=GRAVITY.index)
    assert finding(found, deadline_ms=DEADLINE_MS) == gravest


def test_a_client_that_was_told_no_makes_its_jobs_refused() -> None:
    user = f"{BLOCK}-7"
    request = {"scenario": SCENARIO, "request": user}
    told_no = [event("request", 1, **request), event("response", 2, **request, status=500)]
    rows = timeline_of(told_no, job("7/crm", 1.1, "submit", "accepted")).rows
    assert {row.label: row.finding for row in rows} == {"7 crm": "refused", "7 fulfillment": "refused"}


def test_the_probes_that_tried_whether_the_side_was_up_are_no_rows() -> None:
    rows = timeline_of(fate("probe-1s/crm", 0, "lost"), fate("1/crm", 1, "done_once")).rows
    assert [row.label for row in rows] == ["1 crm"]


def test_every_job_that_something_befell_has_a_row_before_the_unharmed() -> None:
    harmed = [fate(f"{number:06}/crm", 2, "lost") for number in range(20)]
    unharmed = [fate(f"{number:06}/crm", 3, "done_once") for number in range(20, 60)]
    made = timeline_of(*harmed, *unharmed, strike())
    assert {row.finding for row in made.rows} == {"lost"}
    assert len(made.rows) == 12
    assert made.not_drawn == "Not drawn: 8 lost, 40 done once."


def test_twelve_rows_are_the_most_and_the_gravest_are_kept() -> None:
    grave = [fate(f"{number:06}/crm", 1, "lost") for number in range(8)]
    lesser = [fate(f"{number:06}/crm", 2, "stuck") for number in range(8, 60)]
    made = timeline_of(*grave, *lesser, strike())
    found = [row.finding for row in made.rows]
    assert (found.count("lost"), found.count("stuck")) == (8, 4)
    assert made.not_drawn == "Not drawn: 48 stuck."


def test_a_hundred_and_more_of_the_largest_timelines_fit_into_a_page() -> None:
    jobs = [fate(f"{number:06}/fulfillment", 1 + number / 7, "duplicated") for number in range(60)]
    svg = drawing.svg(timeline_of(*jobs, strike()), title="Timeline: " + "x" * 60, description="x" * 200)
    assert 150 * len(svg.encode()) < BUDGET_BYTES


def test_late_jobs_have_fewer_rows_than_lost_ones() -> None:
    made = timeline_of(
        *(fate(f"{number:06}/crm", 1, "late") for number in range(30)), fate("99/crm", 2, "lost")
    )
    found = [row.finding for row in made.rows]
    assert (found.count("lost"), found.count("late")) == (1, 7)


def test_the_unharmed_nearest_to_the_strike_fill_a_timeline_up() -> None:
    jobs = [fate(f"{number:06}/crm", number / 10, "done_once") for number in range(60)]
    made = timeline_of(*jobs, strike(on_s=3.0))
    assert {row.label for row in made.rows} == {f"{number} crm" for number in range(29, 32)}


def test_a_row_says_where_a_job_waits_where_its_failure_is_found_and_how_late_it_was() -> None:
    made = timeline_of(*(fate(f"{found}/crm", 2, found) for found in ("stuck", "failed_visibly", "late")))
    assert {row.text for row in made.rows} == {"stuck: queue", "failed: log", "late, 5.11 s"}


def test_the_history_of_the_gravest_job_is_told_in_words() -> None:
    made = timeline_of(fate("000007/crm", 2, "lost"), fate("000001/crm", 1, "done_once"))
    assert made.history == "lost 7 crm: submit +0 ms, accepted +10 ms"


def test_errors_are_told_once_with_the_number_of_jobs_and_are_cut() -> None:
    failed = [event("failed", 3, f"{number}/crm", error="x" * 300) for number in range(3)]
    submitted = [event("submit", 1, f"{number}/crm") for number in range(3)]
    [error] = choice.errors(log_of(submitted, failed), SCENARIO)
    assert error == "x" * (choice.ERROR_LENGTH - 1) + "… (3 jobs)"


def test_a_periodic_sync_has_a_row_an_owner_with_its_runs_and_its_longest_gap() -> None:
    runs = [event("effect", at_s, "owner-1/sync", scenario="account_sync") for at_s in (1, 2, 5)]
    over = [event("done", 6, "owner-1/sync", scenario="account_sync")]
    made = choice.timeline(log_of(runs, over), block=BLOCK, scenario="account_sync", deadline_ms=DEADLINE_MS)
    assert made is not None
    assert [(row.label, row.text) for row in made.rows] == [("owner-1 sync", "3 runs, gap 3.00 s")]


def test_a_log_without_a_job_of_the_scenario_makes_no_timeline() -> None:
    assert choice.timeline(log_of(strike()), block=BLOCK, scenario=SCENARIO, deadline_ms=DEADLINE_MS) is None


def test_the_strike_is_shaded_where_it_was() -> None:
    svg = drawn(fate("7/crm", 0, "lost"), strike(on_s=5, off_s=10))
    shade = next(svg.iter("rect"))
    middle = drawing.LEFT + (drawing.RIGHT - drawing.LEFT) // 2
    assert (int(shade.attrib["x"]), int(shade.attrib["width"])) == (middle, drawing.RIGHT - middle)


def test_a_strike_of_a_moment_can_still_be_seen() -> None:
    shade = next(drawn(fate("7/crm", 0, "lost"), strike(on_s=5, off_s=5)).iter("rect"))
    assert int(shade.attrib["width"]) == drawing.LEAST_SHADE


def test_without_a_strike_time_counts_from_the_first_event_and_nothing_is_shaded() -> None:
    svg = drawn(fate("7/crm", 2, "done_once"))
    assert list(svg.iter("rect")) == []
    assert "0" in texts(svg)


def test_every_kind_of_mark_has_a_shape_of_its_own_and_is_in_the_key() -> None:
    shapes = [mark.path for mark in drawing.MARKS.values()]
    assert len(set(shapes)) == len(shapes)
    assert all(
        f"{mark.path}" in drawing.key() and mark.text in drawing.key() for mark in drawing.MARKS.values()
    )


def test_a_timeline_is_an_image_with_a_title_and_a_description() -> None:
    svg = drawn(fate("7/crm", 2, "lost"))
    assert svg.attrib["role"] == "img"
    assert [child.text for child in svg[:2]] == ["a title", "a description"]


def test_markup_in_a_job_s_name_or_record_is_drawn_as_text() -> None:
    hostile = "<script>&\"'</script>"
    failed = event("failed", 3, f"{hostile}/crm", where=hostile)
    svg = drawn([event("submit", 1, f"{hostile}/crm"), event("accepted", 2, f"{hostile}/crm"), failed])
    assert any(text.startswith("<script>") for text in texts(svg))
    assert list(svg.iter("script")) == []


def test_coordinates_are_whole_numbers_within_the_sheet() -> None:
    svg = drawn(fate("1/crm", 0, "stuck"), fate("2/crm", 1, "duplicated"), strike())
    starts = re.findall(r"M([^ ]+) ([^a-zA-Z]+)", " ".join(path.attrib["d"] for path in svg.iter("path")))
    assert starts
    assert all(0 <= int(x) <= drawing.WIDTH for x, _ in starts)


@pytest.mark.parametrize("span_s", [1e-9, 0.05, 7, 3600, 3e9])
def test_a_window_of_any_length_has_a_grid_that_can_be_read(span_s: float) -> None:
    svg = drawn(fate("7/crm", 0, "unexpected"), [event("effect", span_s, "7/crm")])
    numbers = [text for text in svg.iter("text") if text.attrib.get("class") == "n"]
    assert 1 <= len(numbers) <= drawing.GRID_LINES + 1


def test_a_log_that_is_absent_is_told() -> None:
    assert events.read(Path("/nowhere"), "f1-0-x") == events.Log(
        events=(), problem="events-f1-0-x.jsonl is not in the run directory"
    )


def test_a_block_s_name_leads_to_no_file_elsewhere(tmp_path: Path) -> None:
    write(tmp_path, strike(), "f1")
    assert events.read(tmp_path / "run", "../f1").events == ()


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\0\0\0\n"])
def test_an_empty_log_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / f"events-{BLOCK}.jsonl").write_bytes(content)
    assert events.read(tmp_path, BLOCK).problem == f"events-{BLOCK}.jsonl is empty"


def test_a_log_that_is_a_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / f"events-{BLOCK}.jsonl").mkdir()
    assert "cannot be read" in events.read(tmp_path, BLOCK).problem


def test_a_log_with_stamps_of_two_hosts_is_not_drawn_on_one_axis(tmp_path: Path) -> None:
    lines = [{"t": t, "event": "submit", "job": "u/email", "host": host} for t, host in ((1, "A"), (2, "B"))]
    (tmp_path / "events-f1-0-x.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    log = events.read(tmp_path, "f1-0-x")
    assert log.events == ()
    assert "stamps of two hosts" in log.problem


def test_a_log_cut_in_mid_line_keeps_its_whole_lines(tmp_path: Path) -> None:
    path = write(tmp_path, fate("7/crm", 1, "done_once"))
    path.write_bytes(path.read_bytes()[:-20])
    log = events.read(tmp_path, BLOCK)
    assert len(log.events) == 4
    assert log.problem == f"events-{BLOCK}.jsonl: 1 of 5 lines cannot be read and are left out"


@pytest.mark.parametrize(
    "line",
    [
        b"no json",
        b"[]",
        b"3",
        b'"text"',
        b'{"t": NaN, "event": "due"}',
        b'{"t": null, "event": "due"}',
        b'{"t": true, "event": "due"}',
        b'{"t": 1e30, "event": "due"}',
        b'{"t": 99999999999999999999999, "event": "due"}',
        b'{"t": 1}',
        b'{"t": 1, "event": 3}',
        b"\xff\xfe\x00",
        b"[" * 100_000,
    ],
)
def test_a_line_that_is_no_event_is_left_out_and_counted(tmp_path: Path, line: bytes) -> None:
    path = write(tmp_path, fate("7/crm", 1, "lost"))
    path.write_bytes(line + b"\n" + path.read_bytes())
    log = events.read(tmp_path, BLOCK)
    assert [event["event"] for event in log.events] == ["submit", "accepted"]
    assert "1 of 3 lines" in log.problem


ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    2.5,
    float("nan"),
    "",
    "7/crm",
    "\x00\ud800<b>",
    [],
    {"a": 1},
    SCENARIO,
    500,
)
FIELDS = ("job", "request", "scenario", "status", "where", "error", "attempt")


@PATIENT
@given(
    st.lists(
        st.tuples(
            st.integers(0, 2**62),
            st.sampled_from(KINDS),
            st.dictionaries(st.sampled_from(FIELDS), st.sampled_from(ODD), max_size=4),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_events_with_any_fields_are_drawn_or_not_but_never_raise(
    found: list[tuple[int, str, dict[str, Any]]],
) -> None:
    log = log_of([{"t": t, "event": kind, "scenario": SCENARIO, **fields} for t, kind, fields in found])
    made = choice.timeline(log, block=BLOCK, scenario=SCENARIO, deadline_ms=DEADLINE_MS)
    assert made is None or parsed(made, description=made.history).tag == "svg"


def test_late_is_what_comes_after_the_deadline_that_the_workload_sets(tmp_path: Path) -> None:
    every = (("shop.pay", 2.0), ("shop.mail", 9.0), ("shop.pay", 4.0))
    tasks = [{"name": name, "deadline_s": seconds} for name, seconds in every]
    manifest(tmp_path, own_app={"app": "shop:app", "tasks": tasks})
    run = read(tmp_path)
    assert [deadline_ms(run, name) for name in ("shop.pay", "shop.mail", "other")] == [2000, 9000, 5000]
    log = log_of([event("submit", 0, "7/crm"), event("accepted", 0, "7/crm"), event("effect", 3, "7/crm")])
    [job] = histories(log.events, SCENARIO)
    assert [finding(job, deadline_ms=ms) for ms in (2000, 9000)] == ["late", "done_once"]
