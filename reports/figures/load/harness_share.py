"""What the measuring itself took of the processor, by measure: one dot a block."""

from __future__ import annotations

from bench.schema import MEASURE_LABELS
from reports.data import evidence, formatting, rerun_commands
from reports.data.frames import groups
from reports.data.run import Run
from reports.data.tables import Table, headings, table
from reports.figures import canvas
from reports.figures.dot_strips import describe, draw, line, panel

#: The plots: heading and column.
SHOWN = {
    "generator and harness, % of what the run's processes used": "own_percent",
    "the same, % of all that the machine's cores offered": "own_machine_percent",
}


def harness_share(run: Run) -> canvas.Figure | None:
    """The harness's part, by measure; None where it was not recorded."""
    found = [
        (MEASURE_LABELS.get(measure, str(measure)) or "unnamed", rows)
        for measure, rows in groups(run.table("own"), "measure")
    ]
    plots = [
        drawn
        for heading, column in SHOWN.items()
        if (
            drawn := panel(
                heading,
                [line(rows[column], name=name, side="", unit=formatting.percentage) for name, rows in found],
            )
        )
    ]
    if not plots:
        return None
    return canvas.figure(
        draw(plots),
        slug="own",
        title="What the measuring itself took",
        description=describe(plots),
        caption="The load generator and the harness run on the machine that they measure, and slow a side "
        "that is short of processor time.",
        notes=" ".join(
            filter(
                None, ["The mark is the median, each pale dot one block, the bar their range.", unknown(run)]
            )
        ),
        n=formatting.plural(len(run.table("own")), "block"),
        command=rerun_commands.run_again(run),
        numbers=numbers(run),
        raw=("own",),
    )


def unknown(run: Run) -> str:
    """In how many blocks the side's use is not known, and why; empty for none."""
    rows = run.table("own")
    missing = int(rows["side_s"].isna().sum())
    if not missing:
        return ""
    why = (
        "a part of the side was elsewhere"
        if run.mapping("external")
        else "a fault ended a part of the side, and runs of that time kept no reading of what it had used"
    )
    return f"Not measured in {formatting.count_of(missing, len(rows))} blocks: {why}."


def numbers(run: Run) -> Table | None:
    """Seconds of processor time of every party, and the harness's part, by measure and side."""
    names = headings("own")
    rows = [
        {
            "measure and side": f"{measure}: {formatting.side(str(side))}",
            "blocks": formatting.count(len(rows)),
            names["seconds"]: formatting.seconds(evidence.middle(rows["seconds"])),
            names["side_s"]: formatting.seconds(evidence.middle(rows["side_s"])),
            names["services_s"]: formatting.seconds(evidence.middle(rows["services_s"])),
            names["generator_s"]: formatting.seconds(evidence.middle(rows["generator_s"])),
            names["harness_s"]: formatting.seconds(evidence.middle(rows["harness_s"])),
            names["own_percent"]: formatting.percentage(evidence.middle(rows["own_percent"])),
        }
        for (measure, side), rows in groups(run.table("own"), "measure", "side")
    ]
    return table("processor time a block, medians", rows, folded=True)
