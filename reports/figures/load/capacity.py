"""The most that each side gets done, and the ramp of rates that found it."""

from __future__ import annotations

import pandas as pd

from reports.data import evidence, formatting, rerun_commands
from reports.data.frames import groups, records
from reports.data.run import Run
from reports.data.tables import Table, headings, ordered, table
from reports.figures import canvas, dot_strips, line_chart


def _per_s(value: float) -> str:
    return f"{formatting.number(value)}/s"


def capacity(run: Run) -> canvas.Figure | None:
    """Jobs a second that each side got done, one dot a ramp."""
    found = run.table("capacity")
    drawn = dot_strips.panel_by_side("jobs done a second", found, "capacity_jobs_per_s", unit=_per_s)
    if drawn is None:
        return None
    return canvas.figure(
        dot_strips.draw([drawn]),
        slug="capacity",
        title="The most that each side gets done",
        description=dot_strips.describe([drawn]),
        caption="The most that each side got done, once a ramp of rates had left it behind: how far the load "
        "may grow on this machine.",
        notes="The mark is the median, each pale dot one ramp, the bar their range, which is no interval.",
        n=", ".join(f"{line.name} {formatting.plural(len(line.dots), 'ramp')}" for line in drawn.lines),
        command=rerun_commands.measure(run, "load"),
        numbers=capacities(found),
        raw=("capacity",),
    )


def capacities(found: pd.DataFrame) -> Table | None:
    """Capacity, the steps around it, and who used the processor beyond it."""
    names = headings("capacity")
    rows = [
        {
            "side": formatting.side(str(side)),
            "ramps": formatting.count(len(own)),
            names["capacity_per_s"]: formatting.number(evidence.middle(own["capacity_per_s"])),
            names["capacity_jobs_per_s"]: formatting.number(evidence.middle(own["capacity_jobs_per_s"])),
            names["held_per_s"]: formatting.number(evidence.middle(own["held_per_s"])),
            names["broke_per_s"]: formatting.number(evidence.middle(own["broke_per_s"])),
            names["side_cores"]: formatting.number(evidence.middle(own["side_cores"])),
            names["services_cores"]: formatting.number(evidence.middle(own["services_cores"])),
            names["generator_cores"]: formatting.number(evidence.middle(own["generator_cores"])),
            names["limited_by"]: ", ".join(dict.fromkeys(own["limited_by"])),
        }
        for side, own in groups(found, "side")
    ]
    return table("medians over ramps", rows, (names["limited_by"],), folded=True)


def ramps(run: Run) -> canvas.Figure | None:
    """Jobs done a second against jobs due a second, step by step."""
    found = run.table("ramps")
    found = found[found["seconds"] > 0]
    per_s = found.assign(due=found["due_jobs"] / found["seconds"], done=found["done_jobs"] / found["seconds"])
    kept = per_s[(per_s["due"] > 0) & (per_s["due"] < canvas.LARGEST)]
    drawn = line_chart.plot(
        "jobs done a second (log)",
        [_trend(kept[kept["side"] == side], side) for side in ordered(kept["side"])],
    )
    if drawn is None:
        return None
    return canvas.figure(
        line_chart.draw([drawn], line_chart.Scale(name="jobs due a second (log)", log=True), height=2.7),
        slug="ramps",
        title="Where each side stops keeping up",
        description=[
            f"{trend.name}: {formatting.number(max(y for _, y in trend.points))} jobs/s at most in a step"
            for trend in drawn.trends
        ],
        caption="A side that keeps up does what is due. Where its line turns level or falls, the rest waits.",
        notes="Each mark is one step of the first ramp, each pale dot a step of another. A cross at the top: "
        "a step in which the backlog grew.",
        n=f"{formatting.plural(len(kept), 'step')} of {formatting.seconds(evidence.middle(kept['seconds']))}",
        command=rerun_commands.measure(run, "load"),
        numbers=steps(kept),
        raw=("ramps",),
    )


def _trend(rows: pd.DataFrame, side: str) -> line_chart.Trend:
    first = rows[rows["repetition"] == rows["repetition"].min()].sort_values("due", kind="stable")
    points = tuple(zip(first["due"], first["done"], strict=True))
    beyond = first[~first["held"].fillna(value=True).astype(bool)]["due"]
    others = rows.drop(first.index)
    return line_chart.Trend(
        name=formatting.side(side),
        side=side,
        points=points,
        dots=tuple(zip(others["due"], others["done"], strict=True)),
        crosses=tuple((due, 0.0) for due in beyond),
    )


def steps(found: pd.DataFrame) -> Table | None:
    """Every step of every ramp."""
    names = headings("ramps")
    rows = [
        {
            "side": f"{formatting.side(row['side'])}, step {formatting.count(row['step'])}",
            names["rate_per_s"]: formatting.number(row["rate_per_s"]),
            "jobs due/s": formatting.number(row["due"]),
            "jobs done/s": formatting.number(row["done"]),
            names["backlog_start"]: formatting.count(row["backlog_start"]),
            names["backlog_end"]: formatting.count(row["backlog_end"]),
            names["oldest_s"]: formatting.seconds(row["oldest_s"]),
            names["held"]: {True: "yes", False: "no"}.get(row["held"], formatting.NOTHING),
        }
        for row in records(found)
    ]
    return table("every step", rows, (names["held"],), folded=True)
