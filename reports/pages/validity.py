"""Which blocks count, which do not and why."""

from __future__ import annotations

from reports.data import rerun_commands, tables
from reports.data.run import Run
from reports.failure import matrix
from reports.pages.section import Section, lacking, there


def section(run: Run) -> Section:
    """Which blocks count, which do not and why."""
    return Section(
        slug="validity",
        title="Validity",
        intro=" ".join(filter(None, [matrix.sum_checks(run), _blocks_told(run)])),
        tables=there(tables.hiccups(run), tables.invalid(run), tables.discarded(run)),
        gaps=lacking(("the record of the blocks", run.tables["blocks"].empty, rerun_commands.whole(run))),
    )


def _blocks_told(run: Run) -> str:
    left_out = len(run.invalid_blocks())
    total = len(run.tables["blocks"])
    return f"{total - left_out} of {total} blocks count; no figure above rests on the others."
