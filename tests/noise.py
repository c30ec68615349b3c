"""What a machine is too busy to judge: skipped, and counted apart in the closing line of the run."""

from __future__ import annotations

from typing import Any, Final, NoReturn

import pytest

#: The category of the closing line: "1990 passed, 2 skipped, 1 skipped for noise in 412 s".
CATEGORY: Final = "skipped for noise"
#: How a block that does not count blames the machine: what `validity.reason` and `bottleneck` say.
BUSY: Final = (
    *("generator late by", "of the processor stolen", "hiccups of"),
    *("the generator used", "the services used", "the machine was full"),
)
_MARK: Final = f"{CATEGORY}: "


def too_noisy(why: str) -> NoReturn:
    """Skip the running test: its figures say nothing on a machine as busy as this, and `why`."""
    pytest.skip(f"{_MARK}{why}")


def check_run(exit_code: int, printed: str) -> None:
    """Fail unless a run of the harness worked: exit code 0, or 1 where the machine was too busy."""
    told = [line for line in printed.splitlines() if "nothing counted: " in line]
    busy = any(reason in line for line in told for reason in BUSY)
    assert exit_code == 0 or (exit_code == 1 and busy), printed


def pytest_report_teststatus(report: Any) -> tuple[str, str, str] | None:
    """Give such a test a category of its own."""
    return (CATEGORY, "n", "NOISE") if _why(report) else None


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Tell why, for each."""
    if reports := terminalreporter.stats.get(CATEGORY):
        terminalreporter.section(CATEGORY)
        for report in reports:
            terminalreporter.line(f"{report.nodeid}: {_why(report)}")


def _why(report: Any) -> str:
    reason = str(report.longrepr[2]) if report.skipped and isinstance(report.longrepr, tuple | list) else ""
    return reason.partition(_MARK)[2]
