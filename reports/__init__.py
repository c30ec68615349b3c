"""Reports: a run directory becomes tables, verdicts, figures and one self-contained HTML file.

Reads the CSVs, `run.json` and `micro.json` of `bench.schema` and nothing else. What a run lacks is
told in place with the command that fills it; only a directory without a readable manifest, or of a
newer schema, raises RunError. The same run directory gives the same bytes.

Beside `report.html` stand the run in short, `summary.json` and `summary.md` (`reports.summary`), and
over all runs the list of them (`reports.index`) and two of them side by side (`reports.versus`).
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
from reports.pages.sections import with_figures, sections
from reports.summary import dumps, markdown, summary
from reports.verdicts import verdicts

__all__ = ["RunError", "headlines", "in_short", "render", "rendered"]


def render(run_directory: Path) -> Path:
    """Write `report.html` and the summaries into the run directory; return the report's path.

    Each file in one step. Raise RunError where the directory holds no run that can be read, or
    cannot be written to.
    """
    return _written(run_directory, read(run_directory))


def rendered(run_directory: Path, *, processes: int = 1) -> tuple[Path, list[str]]:
    """As `render`, with what `headlines` says: the run is read once. Raise RunError as `render` does.

    More than one process share the work (`reports.pages.fork_pool`): for a program with a single thread.
    """
    run = read(run_directory)
    return _written(run_directory, run, processes), _headlines(run)


def _written(run_directory: Path, run: Run, processes: int = 1) -> Path:
    shown, short = _made(run, processes)
    write(run_directory / REPORT, report.html(run, shown))
    write(run_directory / SUMMARY_JSON, dumps(short))
    write(run_directory / SUMMARY_MD, markdown(short))
    return run_directory / REPORT


def _made(run: Run, processes: int) -> tuple[list[Section], dict[str, Any]]:
    """The page's sections and the run in short: all that takes long."""
    with matplotlib_cache.cache_in(run.directory):
        from reports import figures  # matplotlib is slow to import and writes a cache
        from reports.pages import figure_list

        with figures.drawing():
            pieces = (sections, summary, *figure_list.PIECES)
            bare, short, *drawn = fork_pool.run_pieces(run, pieces, processes=processes)
    return with_figures(bare, figure_list.by_section(drawn)), short


def in_short(run_directory: Path, *, form: str) -> str:
    """The run as the text of its summary, "md" or "json"; nothing is written. Raise RunError as `render`."""
    short = summary(read(run_directory))
    return markdown(short) if form == "md" else dumps(short)


def headlines(run_directory: Path) -> list[str]:
    """The verdict of each scenario in a line, stamped where it may not be quoted.

    Raise RunError as `render` does.
    """
    return _headlines(read(run_directory))


def _headlines(run: Run) -> list[str]:
    stamp = "".join(f" [{text}]" for text in report.stamps(run)[:1])
    return [verdict.sentence + stamp for verdict in verdicts(run)]
