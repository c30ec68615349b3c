from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import reports
from bench.schema import SCHEMA_VERSION
from reports.data import formatting
from reports.data.errors import RunError
from reports.data.run import read
from reports.index import runs_beside, write_index
from reports.index.entries import Entry, Unreadable, entries
from reports.index.lock import locked
from reports.index.trends import trends
from reports.summary import dumps, summary
from tests.reports.synthetic_run import manifest, plant

ROOT = Path(reports.__file__).parents[2]
HOSTILE = "<script>alert('x')</script>"
MACHINE = {"cores": 2, "memory_gb": 8.0, "processor": "x", "system": "Linux 1"}


def small(folder: Path, day: int, *, age_ms: float = 1_030.0, **changes: Any) -> Path:
    """A run of that day with two blocks of drift and nothing else, without a summary."""
    path = folder / f"2000-01-{day:02}T00-00-00-quick"
    path.mkdir(parents=True)
    started = f"2000-01-{day:02}T00:00:00+00:00"
    manifest(path, **{"run": path.name, "started_at": started, "machine": MACHINE, **changes})
    ages = {"block": "d00", "ticks_due": 20, "ticks_run": 20, "age_p99_ms": age_ms, "age_max_ms": age_ms}
    sides = (("inprocess", "anchored"), ("celery-stock", "beat"))
    plant(path, "drift", [{**ages, "side": side, "policy": policy} for side, policy in sides])
    return path


def summarised(path: Path) -> Path:
    """The run with its summary."""
    (path / "summary.json").write_text(dumps(summary(read(path))))
    return path


def page(folder: Path) -> str:
    """The list as text; no-break spaces are plain ones."""
    return write_index(folder).read_text(encoding="utf-8").replace("\N{NO-BREAK SPACE}", " ")


def listed(folder: Path) -> list[str]:
    return [entry.folder for entry in entries(folder)]


def test_runs_are_listed_newest_first_and_those_without_a_start_at_the_end(tmp_path: Path) -> None:
    for day in (2, 3, 1):
        small(tmp_path, day)
    small(tmp_path, 9, started_at=None)
    assert [name[8:10] for name in listed(tmp_path)] == ["03", "02", "01", "09"]


def test_moments_of_other_zones_are_put_in_order(tmp_path: Path) -> None:
    small(tmp_path, 1, started_at="2000-01-01T10:00:00+09:00")
    small(tmp_path, 2, started_at="2000-01-01T02:00:00+00:00")
    assert [name[8:10] for name in listed(tmp_path)] == ["02", "01"]


def test_the_second_name_of_a_run_and_folders_that_are_no_runs_are_not_listed(tmp_path: Path) -> None:
    run = small(tmp_path, 1)
    (tmp_path / "latest").symlink_to(run.name)
    (tmp_path / "holiday-pictures").mkdir()
    (tmp_path / "instrument.json").write_text("{}")
    assert listed(tmp_path) == [run.name]


def test_runs_that_cannot_be_read_are_listed_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "2000-01-01T00-00-00-quick").mkdir()
    small(tmp_path, 2, schema=SCHEMA_VERSION + 1)
    (small(tmp_path, 3) / "run.json").write_bytes(b"\xff\xfe")
    why = {entry.folder[8:10]: entry.why for entry in entries(tmp_path) if isinstance(entry, Unreadable)}
    assert "no run.json in it" in why["01"]
    assert "upgrade queue-or-task" in why["02"]
    assert "cannot be read" in why["03"]
    assert all(reason.split(":")[-1].strip() in page(tmp_path) for reason in why.values())


def test_a_summary_saves_reading_the_tables(tmp_path: Path) -> None:
    run = summarised(small(tmp_path, 1, age_ms=1_234.0))
    (run / "drift.csv").unlink()
    assert "1,234 ms" in page(tmp_path)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda run: manifest(run, run="another", finished_at="2000-01-01T00:04:40+00:00"),
        lambda run: (run / "summary.json").write_text("{"),
        lambda run: (run / "summary.json").write_text("[" * 100_000),
        lambda run: changed(run, figures=3),
        lambda run: changed(run, machine=None),
        lambda run: changed(run, summary=99),
    ],
    ids=["another manifest", "cut", "deep", "no list", "no object", "another version"],
)
def test_a_summary_that_tells_something_else_is_not_believed(tmp_path: Path, spoil: Any) -> None:
    run = summarised(small(tmp_path, 1, age_ms=1_234.0))
    spoil(run)
    rows = (run / "drift.csv").read_text().replace("1234.0", "1456.0")
    (run / "drift.csv").write_text(rows)
    assert "1,456 ms" in page(tmp_path)


def changed(run: Path, **fields: Any) -> None:
    path = run / "summary.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def test_a_run_under_way_is_listed_as_far_as_it_has_come(tmp_path: Path) -> None:
    run = summarised(small(tmp_path, 1, age_ms=1_111.0, finished_at=None))
    rows = (run / "drift.csv").read_text().replace("1111.0", "1456.0")
    (run / "drift.csv").write_text(rows)
    text = page(tmp_path)
    assert "1,456 ms" in text
    assert "not finished: holds what has been measured so far" in text


def test_figures_are_followed_within_one_machine_and_one_profile_only(tmp_path: Path) -> None:
    small(tmp_path, 1)
    small(tmp_path, 2, age_ms=1_040.0)
    small(tmp_path, 3, profile="full")
    small(tmp_path, 4, machine={**MACHINE, "cores": 8})
    small(tmp_path, 5, machine={**MACHINE, "load_before": [9.0]})
    (group,) = trends(entries(tmp_path))
    assert [run.folder[8:10] for run in group.runs] == ["01", "02", "05"]
    (trend,) = group.trends
    assert [line.label for line in trend.lines] == ["in-process, anchored + skip", "stock Celery, beat"]
    assert trend.lines[0].values == [1_030.0, 1_040.0, 1_030.0]
    assert [row[3] for row in trend.table.rows] == ["1,030 ms", "1,040 ms", "1,030 ms"]


def test_a_run_without_a_figure_leaves_a_gap_in_its_line(tmp_path: Path) -> None:
    small(tmp_path, 1)
    (small(tmp_path, 2) / "drift.csv").unlink()
    small(tmp_path, 3)
    (group,) = trends(entries(tmp_path))
    assert [row[3] for row in group.trends[0].table.rows] == ["1,030 ms", formatting.NOTHING, "1,030 ms"]


def test_an_empty_folder_says_how_to_make_a_run(tmp_path: Path) -> None:
    assert "queue-or-task run" in page(tmp_path)


def test_hostile_text_shows_as_text(tmp_path: Path) -> None:
    small(tmp_path, 1, run=HOSTILE, profile=HOSTILE, git={"commit": HOSTILE}, machine={"processor": HOSTILE})
    small(tmp_path, 2, run=HOSTILE, profile=HOSTILE, git={"commit": HOSTILE}, machine={"processor": HOSTILE})
    (tmp_path / f"2000-01-03T00-00-00-{HOSTILE.replace('/', '')}").mkdir()
    text = page(tmp_path)
    assert text.count("<script") == 1  # our own
    assert "&lt;script&gt;" in text


def test_a_missing_folder_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="name a folder that holds runs"):
        write_index(tmp_path / "nothing")


def test_latest_is_listed_beside_the_run_that_it_points_at(tmp_path: Path) -> None:
    run = small(tmp_path / "results", 1)
    (tmp_path / "results" / "latest").symlink_to(run.name)
    (tmp_path / "elsewhere").symlink_to(run)
    assert runs_beside(tmp_path / "results" / "latest") == tmp_path / "results"
    assert runs_beside(tmp_path / "elsewhere") == tmp_path / "results"


def test_one_process_at_a_time_writes_the_list_and_a_stopped_one_holds_nobody_for_ever(
    tmp_path: Path,
) -> None:
    small(tmp_path, 1)
    with locked(tmp_path):
        began = time.monotonic()
        with locked(tmp_path, patience_s=0.2):
            assert time.monotonic() - began >= 0.2
        command = [sys.executable, "-m", "reports.index", str(tmp_path)]
        waiting = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        small(tmp_path, 2)  # a run that ends while another's list is being made
    printed, _ = waiting.communicate(timeout=60)
    assert printed == f"all runs: {tmp_path / 'index.html'}\n"
    assert "2000-01-02T00-00-00-quick" in (tmp_path / "index.html").read_text()
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_the_program_ends_with_one_line_and_exit_code_2_where_there_is_no_folder(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "reports.index", str(tmp_path / "nothing")]
    done = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("queue-or-task: ")


def test_the_machine_is_told_in_a_line(tmp_path: Path) -> None:
    small(tmp_path, 1)
    (entry,) = entries(tmp_path)
    assert isinstance(entry, Entry)
    assert entry.machine_summary == "2 cores, 8.0 GB, x, Linux 1"
