"""The sections of the page under the verdicts, in the order of a reader's questions.

To add one, write its function and name it in `_SECTIONS`; its figures are named in
`reports.pages.figure_list`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from reports.data import formatting, rerun_commands, tables
from reports.data.frames import groups
from reports.data.run import Run
from reports.failure import matrix
from reports.pages.section import Drawn, Section, gaps_of, present


def sections(run: Run) -> list[Section]:
    """Every section of this run, without its figures."""
    return [section(run) for section in _SECTIONS]


def with_figures(shown: Iterable[Section], drawn: Drawn) -> list[Section]:
    """The same sections with the figures `drawn` for each."""
    return [replace(section, figures=drawn.get(section.slug, ())) for section in shown]


def latency(run: Run) -> Section:
    """From due to effect: single jobs, every percentile, what the caller pays, and the sides compared."""
    command = rerun_commands.measure(run, "latency")
    return Section(
        slug="latency",
        title="Latency",
        intro="From the moment a job was due in the plan to the moment its effect was there. The load does "
        "not wait for the system, and unfinished jobs count.",
        gaps=gaps_of(
            ("the responses of single jobs", run.table("jobs").empty, command),
            ("single HTTP requests", run.table("requests").empty, command),
            ("quantiles by block", run.table("latency").empty, command),
            ("comparisons of the sides", run.table("comparisons").empty, command),
        ),
    )


def load(run: Run) -> Section:
    """How much each side can do, and how soon when it is busy."""
    command = rerun_commands.measure(run, "load")
    return Section(
        slug="load",
        title="Load",
        intro="The most that each side gets done on this machine, and how soon at shares of that. The sides "
        "share the machine with the services and the generator, so on a larger one the order may differ.",
        gaps=gaps_of(
            ("the capacity of the sides", run.table("capacity").empty, command),
            ("the ramps that found it", run.table("ramps").empty, command),
            ("latency at shares of the capacity", run.table("load_latency").empty, command),
            *((f"the capacity of {side}: {reason}", True, command) for side, reason in _uncounted(run)),
        ),
    )


def _uncounted(run: Run) -> list[tuple[str, str]]:
    """The sides none of whose ramps counts, each with the reason of the last."""
    ramps = run.tables["blocks"][run.tables["blocks"]["measure"] == "capacity"]
    counting = set(run.valid_blocks()["block"])
    return [
        (formatting.side(str(side)), str(rows["reason"].iloc[-1]) or "no reason recorded")
        for side, rows in groups(ramps, "side")
        if not counting & set(rows["block"])
    ]


def responsiveness(run: Run) -> Section:
    """What the app's other users feel of the background work."""
    tax = run.table("latency")["metric"] == "host_tax"
    return Section(
        slug="responsiveness",
        title="Responsiveness",
        intro="A task in the app runs where requests are served. It takes little from them while it waits "
        "for a service, and everything while it computes on the event loop.",
        gaps=gaps_of(
            (
                "requests beside CPU-heavy jobs",
                run.table("hog_latency").empty,
                rerun_commands.measure(run, "hogs"),
            ),
            ("the host tax", not tax.any(), rerun_commands.measure(run, "latency")),
        ),
    )


def drift(run: Run) -> Section:
    """Whether the periodic sync keeps its grid, and how old the balance gets."""
    command = rerun_commands.measure(run, "drift")
    return Section(
        slug="drift",
        title="Drift",
        intro="Whether the periodic sync keeps its grid of one second, and how old the balance gets.",
        tables=present(tables.drift(run)),
        gaps=gaps_of(
            ("the ticks of the sync", run.table("ticks").empty, command),
            ("the drift of each owner", run.table("drift").empty, command),
        ),
    )


def owners(run: Run) -> Section:
    """Whether a timer for each customer scales."""
    return Section(
        slug="owners",
        title="Many owners",
        intro="The periodic sync again, with one owner and with as many as the run was given.",
        gaps=gaps_of(
            ("many periodic owners", run.table("owners").empty, rerun_commands.measure(run, "owners"))
        ),
    )


def failure(run: Run) -> Section:
    """What became of every accepted job when a fault struck."""
    found = matrix.matrix(run)
    return Section(
        slug="failure",
        title="Failure",
        intro="What became of every accepted job when a fault struck. Lost: no effect, no record, held "
        "nowhere. Stuck: still held somewhere at the drain limit. Failed visibly: a person can find it.",
        matrix=found,
        gaps=gaps_of(("strikes of faults", found is None, rerun_commands.measure(run, "fault"))),
    )


def cost(run: Run) -> Section:
    """What each side uses, what there is to break, and the price of a call."""
    return Section(
        slug="cost",
        title="Cost",
        intro="What each side uses while it runs, what there is to break, and what a call costs its caller.",
        tables=present(tables.breakable(run)),
        gaps=gaps_of(
            ("the cost of the sides", run.table("cost").empty, rerun_commands.measure(run, "latency")),
            ("call costs", not run.micro, rerun_commands.measure(run, "micro")),
        ),
    )


def cold_start(run: Run) -> Section:
    """How long a side needs until it serves."""
    return Section(
        slug="cold-start",
        title="Cold start",
        intro="From nothing to the first job's effect, with every process that a side needs spawned at once.",
        gaps=gaps_of(("cold starts", run.table("cold").empty, rerun_commands.measure(run, "cold"))),
    )


def validity(run: Run) -> Section:
    """Which blocks count, which do not and why."""
    return Section(
        slug="validity",
        title="Validity",
        intro=" ".join(filter(None, [matrix.sum_checks(run), _blocks_counted(run)])),
        tables=present(tables.hiccups(run), tables.invalid(run), tables.discarded(run)),
        gaps=gaps_of(("the record of the blocks", run.tables["blocks"].empty, rerun_commands.run_again(run))),
    )


def _blocks_counted(run: Run) -> str:
    left_out = len(run.invalid_blocks())
    total = len(run.tables["blocks"])
    return f"{total - left_out} of {total} blocks count; no figure above rests on the others."


def harness_share(run: Run) -> Section:
    """What the measuring itself took."""
    return Section(
        slug="own",
        title="The harness's own share",
        intro="An instrument on the machine that it measures is part of the load.",
        gaps=gaps_of(("what the harness itself took", run.table("own").empty, rerun_commands.run_again(run))),
    )


_SECTIONS = (
    failure,
    latency,
    load,
    responsiveness,
    drift,
    owners,
    cost,
    cold_start,
    validity,
    harness_share,
)
