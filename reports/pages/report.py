"""The page: verdicts, figures, tables and what is absent, put into the templates."""

from __future__ import annotations

from collections.abc import Sequence

from reports.cases import cases
from reports.data import formatting, rerun_commands
from reports.data.run import Run
from reports.failure.heat_map import heat_map
from reports.pages import about, glossary, limits, links
from reports.pages.instrument import instrument
from reports.pages.links import Share
from reports.pages.promises import promises
from reports.pages.provenance import provenance
from reports.pages.section import Section
from reports.pages.templating import rendered
from reports.verdicts import Verdict, verdicts

#: Profiles whose figures may be quoted.
QUOTABLE = frozenset({"full"})
#: What a manifest says of a run over several hosts whose figures are all told.
NOTHING_UNTOLD = "nothing"
#: The style sheets in the order in which they are put into the page.
SHEETS = ("base", "verdicts", "heat_map", "case", "figures", "tables", "matrix", "failure", "foot", "print")
#: What helps a reader who lets scripts run; the page says the same without them.
SCRIPTS = ("theme", "case", "sort", "sideways")
#: The parts that the short navigation leads to, each with its name there, in the order of the page.
NAVIGATION = {
    "verdicts": "Verdicts",
    "case": "Your case",
    "failure": "Failure",
    "latency": "Latency",
    "load": "Load",
    "drift": "Drift",
    "cost": "Cost",
    "validity": "Validity",
    "words": "Words",
}


def html(run: Run, shown: Sequence[Section], *, share: Share | None = None) -> str:
    """The whole page as text, with the sections `shown` on it; the same run gives the same text.

    `share` adds what services show of a link to the page.
    """
    judged = verdicts(run)
    matrix = next((section.matrix for section in shown if section.matrix), None)
    return rendered(
        "report.html.j2",
        sheets=SHEETS,
        scripts=SCRIPTS,
        run=run,
        share=share,
        stamps=stamps(run),
        verdicts=judged,
        answer=answer(judged),
        basis=basis(run),
        origin=origin(run),
        project=links.project(),
        heat_map=heat_map(matrix) if matrix else None,
        navigation=NAVIGATION,
        jobs=about.scenarios(run),
        sides=about.sides(run),
        definitions=glossary.definitions(),
        linked=glossary.Linker(),
        is_beside=lambda name: links.is_beside(run, name),
        expectation=links.Documents(run).expectation,
        scenario_title=formatting.title,
        side_name=formatting.side,
        questions=cases(run),
        targets=targets(shown),
        promises=promises(run),
        sections=shown,
        command=rerun_commands.run_again(run),
        provenance=provenance(run),
        instrument=instrument(run),
        problems=run.problems,
        limits=limits.limits(run),
        render_again=rerun_commands.render_again(run),
    )


def targets(shown: Sequence[Section]) -> frozenset[str]:
    """The ids that evidence can be found under: sections, figures, and the opened cells of the matrix."""
    return frozenset(
        [section.slug for section in shown]
        + [figure.slug for section in shown for figure in section.figures]
        + [slug for section in shown if section.matrix for slug in section.matrix.details]
    )


#: Letters of a commit that name it on the first screen; provenance has them all.
SHORT_COMMIT = 7
#: Why a run is not complete, by its `stopped_by`.
_STOPPED = {"full disk": "ended by a full disk", "error": "ended by an error of the harness"}


def stamps(run: Run) -> list[str]:
    """What a reader must know before quoting a figure."""
    found = [] if run.profile in QUOTABLE else [f"{run.profile}: not for quoting"]
    if run.manifest.get("interrupted"):
        why = _STOPPED.get(run.text("stopped_by") or "", "interrupted")
        found.append(f"{why}: holds what was measured until then")
    elif not run.manifest.get("finished_at"):
        found.append("not finished: holds what has been measured so far")
    if cut := run.cut_lines:
        found.append(f"ledger lines cut off and left out: {len(cut)}, the first of {cut[0]}")
    if (untold := run.mapping("external").get("not told", NOTHING_UNTOLD)) != NOTHING_UNTOLD:
        found.append(f"parts were elsewhere; not told: {untold}")
    if times := len(run.texts("resumptions")):
        found.append(f"resumed after an interruption, {formatting.plural(times, 'time')}")
    if run.manifest.get("other_runs"):
        found.append("another run measured on the same machine at the same time")
    if run.mapping("git").get("dirty"):
        found.append("files differed from the commit")
    if wrong := instrument(run).failed:
        found.append(f"the instrument misreported {formatting.plural(wrong, 'known truth')}")
    return found


def answer(judged: list[Verdict]) -> str:
    """The paragraph that answers the question: each choice with its queue, its scenarios and conditions."""
    parts = []
    for choice, text in _ANSWERS.items():
        chosen = [verdict for verdict in judged if verdict.choice == choice]
        for queue in dict.fromkeys(verdict.queue for verdict in chosen) if choice == "queue" else [""]:
            names = [_with_condition(verdict) for verdict in chosen if queue in {"", verdict.queue}]
            if names:
                colon = "" if text.endswith(" for") else ":"
                parts.append(f"{text.format(queue=queue)}{colon} {_listed(names)}.")
    return " ".join(parts) or "Nothing was measured."


def _with_condition(verdict: Verdict) -> str:
    name = formatting.scenario(verdict.scenario)
    return f"{name} {verdict.condition}" if verdict.condition else name


def _listed(names: Sequence[str]) -> str:
    """As in "periodic sync if this will do, and for welcome e-mail if that will do"."""
    return ", and for ".join(names)


_ANSWERS = {
    "queue": "Take {queue} for",
    "journal": "Take a journalled task for",
    "no queue": "A supervised task in the app is enough for",
    "neither": "Neither keeps every accepted job",
    "unsettled": "The figures leave it open",
    "not measured": "Not measured in this run",
}


def origin(run: Run) -> tuple[str, ...]:
    """When and where it was measured, each in a few words; what the manifest lacks is left out."""
    machine = run.mapping("machine")
    cores, processor = machine.get("cores"), str(machine.get("processor") or "")
    commit = str(run.mapping("git").get("commit") or "")
    version = str(run.mapping("versions").get("queue-or-task") or "")
    return tuple(
        filter(
            None,
            (
                (run.text("started_at") or "")[:10],
                ", ".join(
                    filter(
                        None, [formatting.plural(cores, "core") if isinstance(cores, int) else "", processor]
                    )
                ),
                ", ".join(
                    filter(
                        None,
                        [
                            f"version {version}" if version else "",
                            f"commit {commit[:SHORT_COMMIT]}" if commit else "",
                        ],
                    )
                ),
            ),
        )
    )


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
