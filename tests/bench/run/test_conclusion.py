"""The end of a run: how many pairs of blocks its profile wants before a side is called lower."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from scipy.stats import gmean

from bench.measures.latency.validity import counted
from bench.plan.profiles import PROFILES
from bench.run.conclusion import conclude, side_comparisons
from bench.stack.scenario_subject import ScenarioSubject
from bench.storage.run_directory import RunDirectory
from scenarios.jobs import WELCOME_EMAIL

SIDES = {"inprocess": 30.0, "celery-hardened": 60.0}


def concluded(tmp_path: Path, *, pairs: int, plan: dict[str, Any]) -> dict[str, Any]:
    """The comparison of a run whose second side takes twice as long in every pair."""
    run = RunDirectory.create(
        tmp_path, "full", {"sides": list(SIDES), "scenarios": [WELCOME_EMAIL], "plan": plan}
    )
    for repetition in range(pairs):
        for side, value in SIDES.items():
            block = {"block": f"r{repetition}-{side}", "side": side, "repetition": repetition}
            run.append("blocks", [{**block, "measure": "latency", "valid": 1, "hiccup_p99_ms": 0.1}])
            figure = {"scenario": WELCOME_EMAIL, "metric": "response", "quantile": 0.5, "n": 100}
            run.append("latency", [{**block, **figure, "value_ms": value + repetition / 100}])
    conclude(run, ScenarioSubject([WELCOME_EMAIL]))
    [row] = run.table("comparisons").to_dict("records")
    return {str(name): value for name, value in row.items()}


@pytest.mark.parametrize(("name", "needed"), [("full", 10), ("quick", 4), ("smoke", 4)])
def test_a_profile_speaks_from_so_many_pairs_as_the_method_wants(
    tmp_path: Path, name: str, needed: int
) -> None:
    plan = {"least_pairs": PROFILES[name].least_pairs}
    enough = concluded(tmp_path, pairs=needed, plan=plan)
    assert (enough["words"], enough["pairs"]) == ("higher", needed)
    too_few = concluded(tmp_path, pairs=needed - 1, plan=plan)
    assert too_few["words"] == "too few pairs"
    assert (too_few["pairs"], too_few["pairs_needed"]) == (needed - 1, needed)


def test_every_ratio_of_the_published_run_is_that_of_what_was_measured() -> None:
    """Recomputed from its latency table by other code."""
    example = RunDirectory.open(Path(__file__).parents[3] / "docs" / "example")
    found = side_comparisons(example)
    rows = counted(example.table("latency"), example.table("blocks"))
    assert len(found) > 50
    for row in found.itertuples():
        own = rows[(rows["scenario"] == row.scenario) & (rows["metric"] == row.metric)]
        own = own[own["quantile"] == row.quantile]
        wide = own.pivot_table(index="repetition", columns="side", values="value_ms", aggfunc=gmean)
        ratios = (wide[row.side] / wide[row.baseline]).dropna()
        assert row.ratio == pytest.approx(float(gmean(ratios)))
        assert row.pairs == len(ratios)


def test_a_run_of_a_version_that_planned_no_number_speaks_from_four(tmp_path: Path) -> None:
    assert concluded(tmp_path, pairs=4, plan={})["words"] == "higher"
