"""Many periodic owners that are due together: lateness, missed ticks, memory and processor as they grow."""

from __future__ import annotations

import pandas as pd

from reports.data import evidence, formatting, rerun_commands
from reports.data.frames import groups, records
from reports.data.run import Run
from reports.data.tables import Table, headings, table
from reports.figures import canvas
from reports.figures.line_chart import Plot, Scale, Trend, draw, plot

#: The plots: heading, column, whether the scale is logarithmic, and whether it is of times in ms.
SHOWN = (
    ("missed ticks, %", "missed_percent", False, False),
    ("phase p99: how late a run began (log)", "phase_p99_ms", True, True),
    ("cores in use, broker included", "side_cores", False, False),
    ("memory (PSS), MB (log)", "pss_mb", True, False),
)
#: The policy of which a side's mark is hollow, as another of the same side is drawn as well.
SECOND = "beat entries"
#: Inches of a plot.
HEIGHT = 1.2
THOUSAND = 1_000


def owners(run: Run) -> canvas.Figure | None:
    """A line for each side and policy over the number of owners; None where none was measured."""
    found = run.table("owners")
    found = found[found["owners"].map(canvas.on_log_axis).astype(bool)]
    found = found.assign(
        missed_percent=100 * found["missed"] / found["ticks_due"].where(found["ticks_due"] > 0)
    )
    plots = [drawn for shown in SHOWN if (drawn := _plot(found, *shown))]
    if not plots:
        return None
    counts = sorted({point[0] for item in plots for trend in item.trends for point in trend.points})
    places = {count: _short(count) for count in counts}
    return canvas.figure(
        draw(plots, Scale(name="periodic owners (log)", places=places, log=True), height=HEIGHT),
        slug="owners",
        title="Many periodic owners",
        description=_describe(found),
        caption="Whether a timer for each customer scales: every owner has a sync of its own, and all are "
        "due at once.",
        notes="The more owners, the longer the interval (see the table), as no side here could run ten "
        "thousand a second. Of very many owners a sample notes its runs, and ticks and phase are "
        "the sample's. A missed tick is one in which no run began. Celery's beat fans out from one entry; "
        "hollow is an entry of its own for each owner. A dot is one block.",
        n=formatting.plural(len(found), "block"),
        command=rerun_commands.measure(run, "owners"),
        numbers=numbers(found),
        raw=("owners",),
    )


def _plot(
    found: pd.DataFrame,
    heading: str,
    column: str,
    log: bool,  # noqa: FBT001 - a row of SHOWN
    times: bool,  # noqa: FBT001 - a row of SHOWN
) -> Plot | None:
    trends = []
    for (side, policy), rows in groups(found, "side", "policy"):
        known = rows.dropna(subset=[column])
        middles = known.groupby("owners")[column].median()
        trends.append(
            Trend(
                name=_name(str(side), str(policy)),
                side=str(side),
                points=tuple(
                    (float(count), float(value))
                    for count, value in zip(middles.index.to_numpy(), middles, strict=True)
                ),
                dots=tuple(zip(known["owners"], known[column], strict=True))
                if len(known) > len(middles)
                else (),
                hollow=policy == SECOND,
            )
        )
    return plot(heading, trends, log=log, times=times)


def _short(count: float) -> str:
    """A count as its scale has room for it: 1, 100, 1 k, 100 k."""
    return formatting.count(count) if count < THOUSAND else f"{formatting.count(count / THOUSAND)} k"


def _name(side: str, policy: str) -> str:
    return "stock, entries" if policy == SECOND else formatting.narrow_side(side)


def _describe(found: pd.DataFrame) -> list[str]:
    return [
        f"{formatting.side(row['side'])}, {row['policy']}, {formatting.plural(row['owners'], 'owner')}: "
        f"{formatting.number(row['missed_percent'])} % missed, phase p99 {formatting.ms(row['phase_p99_ms'])}"
        for row in records(found)
    ]


def numbers(found: pd.DataFrame) -> Table | None:
    """Every count of owners of every side and policy."""
    names = headings("owners")
    rows = [
        {
            "owners": f"{formatting.count(count)}: {formatting.side(str(side))}, {policy}",
            names["interval_s"]: formatting.seconds(evidence.middle(own["interval_s"])),
            names["noted"]: formatting.count(evidence.middle(own["noted"])),
            names["ticks_run"]: formatting.count_of(own["ticks_run"].sum(), own["ticks_due"].sum()),
            names["missed"]: formatting.count(own["missed"].sum()),
            names["duplicates"]: formatting.count(own["duplicates"].sum()),
            names["phase_p50_ms"]: formatting.ms(evidence.middle(own["phase_p50_ms"])),
            names["phase_p99_ms"]: formatting.ms(evidence.middle(own["phase_p99_ms"])),
            names["phase_max_ms"]: formatting.ms(float(own["phase_max_ms"].max())),
            names["jitter_sd_ms"]: formatting.ms(evidence.middle(own["jitter_sd_ms"])),
            names["drift_ppm"]: formatting.number(evidence.middle(own["drift_ppm"])),
            names["side_cores"]: formatting.number(evidence.middle(own["side_cores"])),
            names["pss_mb"]: formatting.number(evidence.middle(own["pss_mb"])),
            names["lag_p99_ms"]: formatting.ms(evidence.middle(own["lag_p99_ms"])),
        }
        for (count, side, policy), own in groups(found, "owners", "side", "policy")
    ]
    return table("medians over blocks, ticks as sums", rows, folded=True)
