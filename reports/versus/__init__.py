"""Two runs side by side, as a page: from `compare-A-B.json` of `queue-or-task compare` and the two runs.

The ratios, their intervals and their words are the harness's own; the rest is read from the runs. The
same files give the same bytes.
"""

from __future__ import annotations

from pathlib import Path

from reports.data.atomic_write import write
from reports.pages import matplotlib_cache
from reports.versus.page import html
from reports.versus.two_runs import read_pair

__all__ = ["write_page"]


def write_page(figures: Path) -> Path:
    """Write the page beside `figures` and return its path.

    Raise RunError where the figures or one of the runs cannot be read, or the page cannot be written.
    """
    pair, page = read_pair(figures), figures.with_suffix(".html")
    with matplotlib_cache.cache_in(figures.parent):
        write(page, html(pair))
    return page
