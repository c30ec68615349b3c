"""`live.html` in the run directory: how far a run has come, in a page that reloads while it measures."""

from __future__ import annotations

import html
import time
from collections import deque
from datetime import UTC, datetime
from pathlib import Path
from string import Template

from bench.atomic_write import write_atomically
from bench.schema import LIVE, REPORT

#: Seconds between two reloads of the page, and at least between two of its versions.
RELOAD_S = 5
#: Seconds up to which a time is told in seconds.
SHORT_S = 90
#: Lines of the newest events that the page shows.
MOST_LINES = 200

_PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="generator" content="queue-or-task">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
$reload<title>$percent % of $name</title>
<style>
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem; }
progress { width: 100%; height: 1.2rem; }
li { overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }
</style>
</head>
<body>
<h1>$title</h1>
<p>$name</p>
<p><label>$percent % <progress max="100" value="$percent">$percent %</progress></label></p>
<p>$now</p>
<ol reversed>
$lines
</ol>
</body>
</html>
""")


class LivePage:
    """Keeps `live.html` of a run directory up to date; the page is replaced in one step.

    A page that cannot be written, on a full disk for one, does not disturb the run.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / LIVE
        self._name = directory.name
        self._lines: deque[str] = deque(maxlen=MOST_LINES)
        self._began = self._written = time.monotonic()
        self._counted = self._percent_shown = 0

    def add(self, text: str) -> None:
        """Add a line, the newest first."""
        self._counted += 1
        self._lines.appendleft(f"{datetime.now(UTC):%H:%M:%S} {text}")

    def update(self, *, done_s: float, total_s: float, now: str) -> None:
        """Show that about `done_s` of `total_s` seconds are over; at most every RELOAD_S seconds."""
        if time.monotonic() - self._written >= RELOAD_S or not self._path.exists():
            left = max(0.0, total_s - done_s)
            began = self._minutes(time.monotonic() - self._began)
            text = f"{now}; began {began} ago, about {self._minutes(left)} left"
            self._write(title="Measuring", percent=self._percent(done_s, total_s), now=text, reload=True)

    def end(self, *, whole: bool) -> None:
        """Show that the run is over, and whether it went to its end; stop reloading."""
        took = self._minutes(time.monotonic() - self._began)
        text = f'Took {took}. The report: <a href="{REPORT}">{REPORT}</a>.'
        title, percent = ("Measured", 100) if whole else ("Ended early", self._percent_shown)
        self._write(title=title, percent=percent, now=text, reload=False)

    def _write(self, *, title: str, percent: int, now: str, reload: bool) -> None:
        self._written, self._percent_shown = time.monotonic(), percent
        page = _PAGE.substitute(
            reload=f'<meta http-equiv="refresh" content="{RELOAD_S}">\n' if reload else "",
            name=html.escape(self._name),
            title=title,
            percent=percent,
            now=html.escape(now) if reload else now,
            lines="\n".join(
                f"<li value={self._counted - at}>{html.escape(line)}</li>"
                for at, line in enumerate(self._lines)
            ),
        )
        try:
            write_atomically(self._path, page)
        except OSError:
            return

    @staticmethod
    def _percent(done_s: float, total_s: float) -> int:
        return min(99, int(100 * done_s / total_s)) if total_s > 0 else 0

    @staticmethod
    def _minutes(seconds: float) -> str:
        return f"{seconds:.0f} s" if seconds < SHORT_S else f"{seconds / 60:.0f} min"
