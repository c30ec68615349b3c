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
from reports.pages.links import Share
from reports.pages.section import Section
from reports.pages.sections import sections, with_figures
from reports.summary import dumps, markdown, summary, terminal

__all__ = ["RunError", "render", "summary_text", "write_card"]


def render(run_directory: Path, *, processes: int = 1, share: Share | None = None) -> tuple[Path, str]:
    """Write `report.html` and the summaries into the run directory; return the report's path and `terminal`.

    Each file is replaced in one step. With `processes` above 1 the work is shared by forks
    (`reports.pages.fork_pool`), which needs a program with a single thread. Raise RunError if the directory
    holds no readable run or cannot be written to. `share` says where the page will be published.
    """
    run = read(run_directory)
    shown, short = _make(run, processes)
    write(run_directory / REPORT, report.html(run, shown, share=share))
    write(run_directory / SUMMARY_JSON, dumps(short))
    write(run_directory / SUMMARY_MD, markdown(short))
    return run_directory / REPORT, terminal(short)


def _make(run: Run, processes: int) -> tuple[list[Section], dict[str, Any]]:
    """The sections of the page, and the summary."""
    with matplotlib_cache.cache_in(run.directory):
        from reports import figures  # matplotlib is slow to import and writes a cache
        from reports.pages import figure_list

        with figures.drawing():
            pieces = (sections, summary, *figure_list.PIECES)
            bare, short, *drawn = fork_pool.run_pieces(run, pieces, processes=processes)
    return with_figures(bare, figure_list.by_section(drawn)), short


def write_card(run_directory: Path, target: Path) -> None:
    """Write the card of a run, a PNG, in one step. Raise RunError as `render` does."""
    run = read(run_directory)
    with matplotlib_cache.cache_in(run.directory):
        from reports import card  # matplotlib is slow to import and writes a cache

        write(target, card.png(run))


def summary_text(run_directory: Path, *, form: str) -> str:
    """The summary of a run as text: "md", "json" or "terminal". Raise RunError as `render` does."""
    return {"md": markdown, "json": dumps, "terminal": terminal}[form](summary(read(run_directory)))
