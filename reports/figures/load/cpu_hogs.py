"""Requests and the app's own loop beside CPU-heavy jobs, in every place that a side has for such jobs."""

from __future__ import annotations

import pandas as pd

from bench.schema import METRIC_LABELS, MINIMUM_SAMPLES, PLACE_LABELS
from reports.data import evidence, formatting, rerun_commands
from reports.data.frames import groups
from reports.data.run import Run
from reports.data.tables import Table, table
from reports.figures import canvas
from reports.figures.dot_strips import Line, Panel, describe, draw, line, panel

#: The metrics that are shown, each with the words before its quantile.
SHOWN = {metric: METRIC_LABELS[metric] for metric in ("request", "lag", "response")}


def hogs(run: Run) -> canvas.Figure | None:
    """Without the heavy jobs (hollow) and with them, at the highest quantile that all windows have."""
    found = run.table("hog_latency")
    found = found[found["quantile"].isin(MINIMUM_SAMPLES)]
    plots = [drawn for metric in SHOWN if (drawn := _plot(found[found["metric"] == metric], metric))]
    if not plots:
        return None
    blocks = run.table("hogs")
    return canvas.figure(
        draw(plots),
        slug="hogs",
        title="Responsiveness beside CPU-heavy jobs",
        description=describe(plots),
        caption="What people at the app feel while it also computes: hollow without heavy jobs, full with "
        "them.",
        notes=f"The marks are medians over blocks, those of the table; both are of the same "
        f"blocks{_load(blocks)}. Each pale dot is one block with heavy "
        "jobs, the bar their range.",
        n=formatting.plural(found["block"].nunique(), "block"),
        command=rerun_commands.measure(run, "hogs"),
        numbers=numbers(found, blocks),
        raw=("hog_latency", "hogs"),
    )


def _plot(rows: pd.DataFrame, metric: str) -> Panel | None:
    scenarios = sorted(set(rows["scenario"]))  # account set-up, or the whole app for its loop
    own = rows[rows["scenario"] == scenarios[0]] if scenarios else rows
    windows = groups(own.assign(calm=own["hogs"] == 0), "side", "place", "calm")
    common = set.intersection(*({*window["quantile"]} for _, window in windows)) if windows else set()
    if not common:
        return None
    share = max(common)
    at = own[own["quantile"] == share]
    lines = [_line(str(side), str(place), found) for (side, place), found in groups(at, "side", "place")]
    return panel(f"{_title(metric, scenarios[0])}, {formatting.percentile(float(share))}", lines, log=True)


def _title(metric: str, scenario: str) -> str:
    return SHOWN[metric] if metric == "lag" else f"{SHOWN[metric]} of {formatting.scenario(scenario)}"


def _line(side: str, place: str, rows: pd.DataFrame) -> Line:
    calm, busy = rows[rows["hogs"] == 0]["value_ms"], rows[rows["hogs"] > 0]["value_ms"]
    return line(busy, name=_name(side, place), side=side, unit=formatting.ms, before=evidence.middle(calm))


def _name(side: str, place: str) -> str:
    return f"{formatting.side(side)}, {PLACE_LABELS.get(place, place)}"


def _load(blocks: pd.DataFrame) -> str:
    each, every = evidence.middle(blocks["hog_s"]), evidence.middle(blocks["every_s"])
    if not (canvas.on_log_axis(each) and canvas.on_log_axis(every)):
        return ""
    return (
        f"; each heavy job takes {formatting.seconds(each)} of processor time, one every "
        f"{formatting.seconds(every)}"
    )


def numbers(found: pd.DataFrame, blocks: pd.DataFrame) -> Table | None:
    """Every quantile of every place, without the heavy jobs and with them."""
    rows = []
    for (side, place), own in groups(found, "side", "place"):
        done = blocks[(blocks["side"] == side) & (blocks["place"] == place)]
        for (metric, scenario, share), values in groups(own, "metric", "scenario", "quantile"):
            if metric in SHOWN:
                rows.append(
                    {
                        "where": (
                            f"{_name(str(side), str(place))}: {_title(str(metric), str(scenario))} "
                            f"{formatting.percentile(share)}"
                        ),
                        "without": formatting.ms(evidence.middle(values[values["hogs"] == 0]["value_ms"])),
                        "with": formatting.ms(evidence.middle(values[values["hogs"] > 0]["value_ms"])),
                        "heavy jobs done": formatting.count_of(done["hogs_done"].sum(), done["hogs"].sum()),
                    }
                )
    return table("medians over blocks", rows, folded=True)
