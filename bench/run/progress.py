"""The progress of a run: a bar with the time left on a terminal, a line for each block, and a page."""

from __future__ import annotations

import asyncio
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from bench.run.live_page import LivePage

#: Seconds between two moves of the bar.
TICK_S = 0.5


class RunProgress:
    """The bar moves by each block's estimated length; a block that takes longer holds it there.

    `page` shows the same to a browser.
    """

    def __init__(self, total_s: float, console: Console, *, page: LivePage) -> None:
        self._console = console
        self._page = page
        self._total_s = total_s
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("measuring", total=total_s)

    def __enter__(self) -> Self:
        self._bar.start()
        self._show("begins")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
        self._page.end(whole=kind is None)

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)
        self._page.add(text)

    async def step(self, label: str, guess_s: float) -> None:
        """Move the bar by `guess_s` over that many seconds; cancel it when the block ends earlier."""
        self._bar.update(self._task, description=label)
        began, moved = time.monotonic(), 0.0
        try:
            while moved < guess_s:
                await asyncio.sleep(TICK_S)
                now = min(guess_s, time.monotonic() - began)
                self._bar.advance(self._task, now - moved)
                moved = now
                self._show(label)
        finally:
            self._bar.advance(self._task, guess_s - moved)

    def _show(self, label: str) -> None:
        done_s = self._bar.tasks[self._task].completed
        self._page.update(done_s=done_s, total_s=self._total_s, now=label)
