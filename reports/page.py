"""The page: verdicts, figures, tables and what is absent, put into the templates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from reports import commands, limits, matrix, tables, words
from reports.reading import Run
from reports.verdicts import Verdict, verdicts
from reports.verdicts.kinds import Gap

if TYPE_CHECKING:
    from reports.figures import Figure

#: Profiles whose figures may be quoted.
QUOTABLE = frozenset({"full"})
#: The style sheets, in their order.
STYLES = ("styles.css", "failure.css")


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of the page: what it shows, and what it lacks with the command that fills it."""

    slug: str
    title: str
    intro: str
    figures: tuple[Figure, ...] = ()
    tables: tuple[tables.Table, ...] = ()
    gaps: tuple[Gap, ...] = ()
    matrix: matrix.Matrix | None = None


Drawn = Mapping[str, tuple["Figure", ...]]


def html(run: Run, drawn: Drawn) -> str:
    """The whole page as text, with the figures `drawn` for each section; the same run gives the same text."""
    judged = verdicts(run)
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            run=run,
            stamps=stamps(run),
            verdicts=judged,
            answer=answer(judged),
            basis=basis(run),
            scenario_name=words.scenario,
            sections=_sections(run, drawn),
            provenance=provenance(run),
            problems=run.problems,
            limits=limits.limits(run),
            render_again=commands.again(run),
            styles=_styles(),
        )
    )


def _styles() -> Markup:
    folder = resources.files("reports").joinpath("templates")
    return Markup("".join(folder.joinpath(name).read_text("utf-8") for name in STYLES))  # noqa: S704 - our own files


def stamps(run: Run) -> list[str]:
    """What a reader must know before quoting a figure."""
    found = [] if run.profile in QUOTABLE else [f"{run.profile}: not for quoting"]
    if run.manifest.get("interrupted"):
        found.append("interrupted: holds what was measured until then")
    elif not run.manifest.get("finished_at"):
        found.append("not finished: holds what has been measured so far")
    if cut := run.manifest.get("cut_lines") or []:
        found.append(f"ledger lines cut off and left out: {len(cut)}, the first of {cut[0]}")
    if times := len(run.manifest.get("resumptions") or []):
        found.append(f"gone on with after an interruption, {times} {'time' if times == 1 else 'times'}")
    return found


def answer(judged: list[Verdict]) -> str:
    """The paragraph that answers the question, from the verdicts' choices alone."""
    parts = [
        f"{told}: {', '.join(names)}."
        for choice, told in _ANSWERS.items()
        if (names := [words.scenario(verdict.scenario) for verdict in judged if verdict.choice == choice])
    ]
    return " ".join(parts) or "Nothing was measured."


_ANSWERS = {
    "queue": "A queue is called for",
    "no queue": "A supervised task in the app is enough",
    "neither": "Neither keeps every accepted job",
    "unsettled": "The figures leave it open",
    "not measured": "Not measured in this run",
}


def basis(run: Run) -> str:
    """What the answer rests on, in one sentence."""
    blocks = run.tables["blocks"]
    cores = run.mapping("machine").get("cores")
    where = f" on {cores} cores" if cores else ""
    strikes = run.table("failures")["block"].nunique()
    return (
        f"From {len(blocks)} blocks{where}, {len(run.invalid_blocks())} of them left out as invalid, "
        f"and {strikes} strikes of faults."
    )


def provenance(run: Run) -> list[tuple[str, str]]:
    """The manifest, flattened for a person."""
    known = [("command", commands.whole(run))]
    fields = [name for name in run.manifest if name not in {"command", "discarded"}]
    return known + [pair for name in fields for pair in _flat(name.replace("_", " "), run.manifest[name])]


def _flat(name: str, value: object) -> list[tuple[str, str]]:
    if isinstance(value, Mapping):
        return [pair for key, item in value.items() for pair in _flat(f"{name}: {key}", item)]
    if isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
        return [pair for number, item in enumerate(value, 1) for pair in _flat(f"{name} {number}", item)]
    if isinstance(value, list):
        return [(name, ", ".join(map(str, value)))]
    return [(name, words.NOTHING if value is None else str(value))]


def _sections(run: Run, drawn: Drawn) -> list[Section]:
    return [_latency(run, drawn), _drift(run, drawn), _failure(run), _cost(run, drawn), _validity(run)]


def _latency(run: Run, drawn: Drawn) -> Section:
    return Section(
        slug="latency",
        title="Latency",
        intro="From the moment a job was due in the plan to the moment its effect was there. The load does "
        "not wait for the system, and unfinished jobs count.",
        figures=drawn.get("latency", ()),
        tables=_there(tables.comparisons(run), tables.quantiles(run)),
        gaps=_lacking(
            ("the responses of single jobs", run.table("jobs").empty, commands.measure(run, "latency")),
            ("quantiles by block", run.table("latency").empty, commands.measure(run, "latency")),
            ("comparisons of the sides", run.table("comparisons").empty, commands.measure(run, "latency")),
        ),
    )


def _drift(run: Run, drawn: Drawn) -> Section:
    command = commands.measure(run, "drift")
    return Section(
        slug="drift",
        title="Drift",
        intro="Whether the periodic sync keeps its grid of one second, and how old the balance gets.",
        figures=drawn.get("drift", ()),
        tables=_there(tables.drift(run)),
        gaps=_lacking(
            ("the ticks of the sync", run.table("ticks").empty, command),
            ("the drift of each owner", run.table("drift").empty, command),
        ),
    )


def _failure(run: Run) -> Section:
    found = matrix.matrix(run)
    return Section(
        slug="failure",
        title="Failure",
        intro="What became of every accepted job when a fault struck. Lost: no effect, no record, held "
        "nowhere. Stuck: still held somewhere at the drain limit. Failed visibly: a person can find it.",
        matrix=found,
        tables=_there(tables.failures(run)),
        gaps=_lacking(("strikes of faults", found is None, commands.measure(run, "fault"))),
    )


def _cost(run: Run, drawn: Drawn) -> Section:
    return Section(
        slug="cost",
        title="Cost",
        intro="What each side eats while it runs, what there is to break, and what a call costs its caller.",
        figures=drawn.get("cost", ()),
        tables=_there(tables.cost(run), tables.calls(run)),
        gaps=_lacking(
            ("the cost of the sides", run.table("cost").empty, commands.measure(run, "latency")),
            ("call costs", not run.micro, commands.measure(run, "micro")),
        ),
    )


def _validity(run: Run) -> Section:
    return Section(
        slug="validity",
        title="Validity",
        intro=" ".join(filter(None, [matrix.sum_checks(run), _blocks_told(run)])),
        tables=_there(tables.hiccups(run), tables.invalid(run), tables.discarded(run)),
        gaps=_lacking(("the record of the blocks", run.tables["blocks"].empty, commands.whole(run))),
    )


def _blocks_told(run: Run) -> str:
    left_out = len(run.invalid_blocks())
    total = len(run.tables["blocks"])
    return f"{total - left_out} of {total} blocks count; no figure above rests on the others."


def _lacking(*checks: tuple[str, bool, str]) -> tuple[Gap, ...]:
    return tuple(Gap(what=what, command=command) for what, absent, command in checks if absent)


def _there(*found: Any) -> tuple[Any, ...]:
    return tuple(item for item in found if item is not None)


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
