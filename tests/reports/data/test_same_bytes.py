"""The lists and summaries: the same files give the same bytes, whatever the seed of Python's hashes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import reports
from tests.reports.synthetic_run import manifest, shortened

ROOT = Path(reports.__file__).parents[2]
#: Renders everything but the report's own figures, which have their own test.
SCRIPT = """
import sys
from pathlib import Path
from reports import summary_text
from reports.index import write_index
from reports.versus import write_page

folder = Path(sys.argv[1])
write_index(folder)
write_page(folder / "compare-a-b.json")
for form in ("md", "json"):
    (folder / f"short.{form}").write_text(summary_text(folder / "a", form=form))
"""


def written(folder: Path, *, seed: str) -> dict[str, bytes]:
    """What a fresh process with this seed of hashes leaves in the folder."""
    command = [sys.executable, "-c", SCRIPT, str(folder)]
    subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": seed}, check=True)
    names = ("index.html", "compare-a-b.html", "short.md", "short.json")
    found = {name: (folder / name).read_bytes() for name in names}
    for name in names:
        (folder / name).unlink()
    return found


def test_two_processes_write_the_same_bytes(whole_run: Path, tmp_path: Path) -> None:
    rows = []
    for letter in "ab":
        run = shortened(whole_run, tmp_path / letter, rows=40)
        manifest(
            run, run=letter, versions={"celery": f"5.7.{letter}", "python": "3", "redis": "8", "uvicorn": "0"}
        )
    for scenario in ("account_setup", "welcome_email"):
        figure = {"scenario": scenario, "side": "inprocess", "metric": "response", "quantile": 0.5}
        rows.append(
            figure
            | {"a": 1, "b": 2, "pairs": 4, "ratio": 2, "low": 1.5, "high": 3, "words": "higher", "why": ""}
        )
    told = {"a": "a", "b": "b", "how": "paired by repetition", "rows": rows}
    (tmp_path / "compare-a-b.json").write_text(json.dumps(told))
    once, again = written(tmp_path, seed="1"), written(tmp_path, seed="2")
    assert {name: len(content) > 500 for name, content in once.items()} == dict.fromkeys(once, True)
    assert once == again
