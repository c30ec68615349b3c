"""The page: verdicts, figures, tables and what is absent, put into the templates."""

from __future__ import annotations

from collections.abc import Mapping

from reports import commands, limits, words
from reports.reading import Run
from reports.sections import Drawn, sections
from reports.templating import rendered
from reports.verdicts import Verdict, verdicts

#: Profiles whose figures may be quoted.
QUOTABLE = frozenset({"full"})
#: The style sheets in the order in which they are put into the page.
SHEETS = ("base", "verdicts", "figures", "tables", "matrix", "failure", "foot", "print")


def html(run: Run, drawn: Drawn) -> str:
    """The whole page as text, with the figures `drawn` for each section; the same run gives the same text."""
    judged = verdicts(run)
    return rendered(
        "report.html.j2",
        sheets=SHEETS,
        run=run,
        stamps=stamps(run),
        verdicts=judged,
        answer=answer(judged),
        basis=basis(run),
        scenario_name=words.scenario,
        sections=sections(run, drawn),
        provenance=provenance(run),
        problems=run.problems,
        limits=limits.limits(run),
        render_again=commands.again(run),
    )


#: What a manifest says of a run over several hosts whose figures are all told.
NOTHING_UNTOLD = "nothing"


def stamps(run: Run) -> list[str]:
    """What a reader must know before quoting a figure."""
    found = [] if run.profile in QUOTABLE else [f"{run.profile}: not for quoting"]
    if run.manifest.get("interrupted"):
        found.append("interrupted: holds what was measured until then")
    elif not run.manifest.get("finished_at"):
        found.append("not finished: holds what has been measured so far")
    if cut := run.manifest.get("cut_lines") or []:
        found.append(f"ledger lines cut off and left out: {len(cut)}, the first of {cut[0]}")
    if (untold := run.mapping("external").get("not told", NOTHING_UNTOLD)) != NOTHING_UNTOLD:
        found.append(f"parts were elsewhere; not told: {untold}")
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
