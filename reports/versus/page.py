"""The page of two runs, put into its template."""

from __future__ import annotations

from dataclasses import dataclass

from reports.data import formatting
from reports.pages import report
from reports.pages.templating import rendered
from reports.verdicts import verdicts
from reports.versus import differences, tables
from reports.versus.two_runs import Pair

#: What the verdicts' choices are called on every page.
_CHOICES = {"no queue": "no queue needed", "journal": "a journalled task", "neither": "neither is enough"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdicts:
    """The choice of each run for one scenario; empty where it was not measured."""

    scenario: str
    a: str
    b: str

    @property
    def differs(self) -> bool:
        """Whether the runs chose otherwise."""
        return self.a != self.b


def html(pair: Pair) -> str:
    """The whole page as text; the same pair gives the same text."""
    from reports import figures  # matplotlib is slow to import and writes a cache
    from reports.versus import drawing

    with figures.drawing():
        ratios, responses, phases = drawing.ratios(pair), drawing.responses(pair), drawing.phases(pair)
    text, every = differences.facts(pair), tables.ratios(pair)
    return rendered(
        "versus.html.j2",
        names=pair.names,
        how=pair.how,
        stamps=[(letter, stamp) for letter, run in pair.runs for stamp in report.stamps(run)],
        problems=[(letter, problem) for letter, run in pair.runs for problem in run.problems],
        counted=tables.counted(pair),
        correction=tables.correction(pair),
        verdicts=judged(pair),
        ratio_table=every,
        differing_table=tables.differing(every),
        drift_table=tables.drift(pair),
        fault_table=tables.faults(pair),
        differing=[fact for fact in text if fact.differs],
        same=[fact for fact in text if not fact.differs],
        commands=differences.both_commands(pair),
        started=[(letter, run.text("started_at") or "not recorded") for letter, run in pair.runs],
        ratios=ratios,
        responses=responses,
        phases=phases,
    )


def judged(pair: Pair) -> list[Verdicts]:
    """The choices of both runs, scenario by scenario."""
    a, b = (
        {verdict.scenario: _choice(verdict.choice) for verdict in verdicts(run)} for run in (pair.a, pair.b)
    )
    return [
        Verdicts(
            scenario=formatting.scenario(name), a=a.get(name, "not asked for"), b=b.get(name, "not asked for")
        )
        for name in dict.fromkeys([*a, *b])
    ]


def _choice(choice: str) -> str:
    return _CHOICES.get(choice, choice)
