"""Reports: a run directory becomes tables, verdicts, figures and one self-contained HTML file.

Reads the CSVs, `run.json`, `micro.json` and `checks.json` of `bench.schema`, and nothing else. Where a
run lacks a figure, the page says so in its place, with the command that measures it. Only a directory
without a readable manifest, or of a newer schema, raises RunError. The same run gives the same bytes.

`reports.summary` writes `summary.json` and `summary.md`, `reports.index` the list of all runs, and
`reports.versus` compares two runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.schema import REPORT, SUMMARY_JSON, SUMMARY_MD
from reports.data.atomic_write import write
from reports.data.errors import RunError
from reports.data.run import Run, read
from reports.pages import fork_pool, matplotlib_cache, report
from reports.pages.section import Section
from reports.pages.sections import sections, with_figures
from reports.summary import dumps, markdown, summary
from reports.verdicts import verdicts

__all__ = ["RunError", "headlines", "render", "render_with_headlines", "summary_text"]


def render(run_directory: Path) -> Path:
    """Write `report.html` and the summaries into the run directory; return the report's path.

    Each file is replaced in one step. Raise RunError if the directory holds no readable run or cannot
    be written to.
    """
    return _write_all(run_directory, read(run_directory))


def render_with_headlines(run_directory: Path, *, processes: int = 1) -> tuple[Path, list[str]]:
    """Do `render` and `headlines`, and read the run only once. Raise RunError as `render` does.

    With `processes` above 1 the work is shared by forks (`reports.pages.fork_pool`), which needs a program
    with a single thread.
    """
    run = read(run_directory)
    return _write_all(run_directory, run, processes), _headlines(run)


def _write_all(run_directory: Path, run: Run, processes: int = 1) -> Path:
    shown, short = _make(run, processes)
    write(run_directory / REPORT, report.html(run, shown))
    write(run_directory / SUMMARY_JSON, dumps(short))
    write(run_directory / SUMMARY_MD, markdown(short))
    return run_directory / REPORT


def _make(run: Run, processes: int) -> tuple[list[Section], dict[str, Any]]:
    """The sections of the page, and the summary."""
    with matplotlib_cache.cache_in(run.directory):
        from reports import figures  # matplotlib is slow to import and writes a cache
        from reports.pages import figure_list

        with figures.drawing():
            pieces = (sections, summary, *figure_list.PIECES)
            bare, short, *drawn = fork_pool.run_pieces(run, pieces, processes=processes)
    return with_figures(bare, figure_list.by_section(drawn)), short


def summary_text(run_directory: Path, *, form: str) -> str:
    """The summary of a run as text, in the format "md" or "json". Raise RunError as `render` does."""
    short = summary(read(run_directory))
    return markdown(short) if form == "md" else dumps(short)


def headlines(run_directory: Path) -> list[str]:
    """The verdict of each scenario in one line, with a stamp if it may not be quoted.

    Raise RunError as `render` does.
    """
    return _headlines(read(run_directory))


def _headlines(run: Run) -> list[str]:
    stamp = "".join(f" [{text}]" for text in report.stamps(run)[:1])
    return [verdict.sentence + stamp for verdict in verdicts(run)]
