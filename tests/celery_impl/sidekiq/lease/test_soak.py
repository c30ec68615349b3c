"""A short form of the soak of the leases; the long one is `python -m bench.soak.sidekiq_soak`.

SIDEKIQ_SOAK_KILLS sets the number of kills of each kind.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bench.soak.sidekiq_count import Result, Run, runs_of
from bench.soak.sidekiq_soak import KINDS
from bench.soak.sidekiq_victims import soak

KILLS = int(os.environ.get("SIDEKIQ_SOAK_KILLS", "3"))


@pytest.mark.usefixtures("_broker_at_hand")
@pytest.mark.timeout(120 + 30 * KILLS)
@pytest.mark.parametrize(
    "kind", [KINDS[0], *(pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS[1:])]
)
def test_no_kill_loses_a_job_or_doubles_one_that_it_did_not_meet(tmp_path: Path, kind: str) -> None:
    result = soak(kind, KILLS, folder=tmp_path)

    assert len(result.kills) == KILLS
    assert result.accepted
    assert result.follows
    assert result.is_clean, str(result)


def repeats(result: Result) -> tuple[int, int, int, bool]:
    return (result.repeated_at_kill, result.repeated_near_kill, result.unexplained, result.is_clean)


def test_a_job_that_is_missing_or_ran_twice_without_a_kill_is_found() -> None:
    clean = Result("child", kills=[5.0], runs={"a": [Run(4.9, None), Run(5.1, 5.2)]})
    assert repeats(clean) == (1, 0, 0, True)
    edge = Result("child", kills=[5.0], runs={"a": [Run(5.1, 5.2), Run(4.0, 4.8)]})
    assert repeats(edge) == (0, 1, 0, True)
    unexplained = Result("child", kills=[5.0], runs={"a": [Run(1.0, 2.0), Run(5.1, 5.2)]})
    assert repeats(unexplained) == (0, 0, 1, False)
    after = Result(
        "child", kills=[5.0], runs={"a": [Run(4.9, None), Run(5.1, 5.2)], "b": [Run(8.0, 8.1), Run(9.0, 9.1)]}
    )
    assert repeats(after)[2:] == (1, False)
    after.follows = {"b": ("a",)}
    assert (*repeats(after), after.repeated_after) == (1, 0, 0, True, 1)
    lost = Result("child", missing={"a"})
    assert not lost.is_clean
    assert "1 lost" in str(lost)
    assert "JOBS LOST OR REPEATED" in str(lost)


def test_the_runs_are_read_from_what_the_jobs_wrote() -> None:
    text = "start a 1 1.0\nstart b 2 1.5\ndone a 1 2.0\nstart a 2 3.0\nstart b 2 4.0\n"
    assert runs_of(text) == {"a": [Run(1.0, 2.0), Run(3.0)], "b": [Run(1.5), Run(4.0)]}
