"""The most that each side gets done, and the ramp of rates that found it."""

from __future__ import annotations

import pandas as pd

from reports.data import evidence, formatting, rerun_commands
from reports.data.frames import groups, records
from reports.data.run import Run
from reports.data.tables import Table, headings, ordered, table
from reports.figures import canvas, dot_strips, line_chart

#: Digits of a rate: a step of a ramp is 25 %.
DIGITS = 2


def _per_s(value: float) -> str:
    return f"{formatting.number(value, DIGITS)}/s"


def capacity(run: Run) -> canvas.Figure | None:
    """Requests a second that each side got done, one dot a ramp."""
    found = run.table("capacity")
    drawn = dot_strips.panel_by_side("requests done a second", found, "capacity_per_s", unit=_per_s)
    if drawn is None:
        return None
    return canvas.figure(
        dot_strips.draw([drawn]),
        slug="capacity",
        title="The most that each side gets done",
        description=[
            f"{formatting.side(one.side)}: {one}, {formatting.plural(one.ramps, 'ramp')}"
            for one in evidence.capacities(found)
        ],
        caption="The most that each side got done when more came than it could do: how far the load may grow "
        "on this machine.",
        notes=f"{jobs_a_request(found)}The mark is the median, each pale dot one ramp; the table has the "
        "interval from the last step that a ramp held to "
        "the first that it did not, over all ramps.",
        n=", ".join(f"{line.name} {formatting.plural(len(line.dots), 'ramp')}" for line in drawn.lines),
        command=rerun_commands.measure(run, "load"),
        numbers=capacities(found),
        raw=("capacity",),
    )


def jobs_a_request(found: pd.DataFrame) -> str:
    """How many jobs a request makes, as a sentence; empty where that was not recorded."""
    jobs = evidence.middle(found["capacity_jobs_per_s"] / found["capacity_per_s"])
    if not canvas.on_log_axis(jobs):
        return ""
    return f"A request makes {formatting.number(jobs, DIGITS)} jobs on average. "


def capacities(found: pd.DataFrame) -> Table | None:
    """Capacity as an interval over the ramps, and who used the processor beyond it."""
    names = headings("capacity")
    intervals = {one.side: one for one in evidence.capacities(found)}
    rows = [
        {
            "side": formatting.side(str(side)),
            "ramps": formatting.count(len(own)),
            "capacity, requests/s": formatting.span(intervals[str(side)].low, intervals[str(side)].high),
            names["side_cores"]: formatting.number(evidence.middle(own["side_cores"])),
            names["services_cores"]: formatting.number(evidence.middle(own["services_cores"])),
            names["generator_cores"]: formatting.number(evidence.middle(own["generator_cores"])),
            names["limited_by"]: ", ".join(dict.fromkeys(own["limited_by"])),
        }
        for side, own in groups(found, "side")
    ]
    return table(
        "capacity over all ramps of a side; cores are medians", rows, (names["limited_by"],), folded=True
    )


def ramps(run: Run) -> canvas.Figure | None:
    """Requests done a second against requests due a second, step by step."""
    found = run.table("ramps")
    found = found[found["seconds"] > 0]
    requests = (found["rate_per_s"] * found["seconds"]).groupby(found["block"]).transform("sum")
    jobs_a_request = found["due_jobs"].groupby(found["block"]).transform("sum") / requests
    seconds = found["seconds"] * jobs_a_request
    per_s = found.assign(due=found["due_jobs"] / seconds, done=found["done_jobs"] / seconds)
    kept = per_s[(per_s["due"] > 0) & (per_s["due"] < canvas.LARGEST)]
    drawn = line_chart.plot(
        "requests done a second (log)",
        [_trend(kept[kept["side"] == side], side) for side in ordered(kept["side"])],
    )
    if drawn is None:
        return None
    return canvas.figure(
        line_chart.draw([drawn], line_chart.Scale(name="requests due a second (log)", log=True), height=2.7),
        slug="ramps",
        title="Where each side stops keeping up",
        description=[
            f"{trend.name}: {_per_s(max(y for _, y in trend.points))} at most in a step"
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
        name=formatting.narrow_side(side),
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
            "requests due/s": formatting.number(row["due"]),
            "requests done/s": formatting.number(row["done"]),
            names["backlog_start"]: formatting.count(row["backlog_start"]),
            names["backlog_end"]: formatting.count(row["backlog_end"]),
            names["oldest_s"]: formatting.seconds(row["oldest_s"]),
            names["held"]: {True: "yes", False: "no"}.get(row["held"], formatting.NOTHING),
        }
        for row in records(found)
    ]
    return table("every step", rows, (names["held"],), folded=True)
