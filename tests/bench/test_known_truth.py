"""The instrument is tested: what is known to be true is what the harness reports."""

from __future__ import annotations

import asyncio
import json
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from bench import cli
from bench.known_truth import checks, same, verify
from bench.known_truth.checks import Row
from bench.known_truth.engine import Engine, exactly_until
from bench.known_truth.truths import TRUTHS, Truth
from bench.manifests import instrument
from bench.schema import INSTRUMENT, TABLES

#: As short as the truths allow; `make verify-instrument` takes its time.
TINY = verify.Size(latency_s=3.0, pairs=1, drift_s=8.0, count_s=3.0, aa_s=6.0, tries=1)
MS = 1_000_000


@pytest.mark.timeout(300)
def test_the_whole_road_reports_what_is_known_to_be_true(tmp_path: Path) -> None:
    directory, rows = verify.verify(tmp_path, size=TINY, seed=1)

    told = {row.truth: row for row in rows}
    counted = [row for row in rows if row.unit == "jobs"]
    assert [row.verdict for row in counted] == ["held"] * 3, told
    assert min(row.expected for row in counted) >= 5
    assert [row for row in rows if row.verdict == "NOT HELD"] == []
    assert len(rows) == 12

    recorded = json.loads((tmp_path / INSTRUMENT).read_text())
    assert recorded == directory.manifest["instrument"] == instrument(tmp_path)
    assert recorded["every 7th dropped: lost"].endswith("held")
    failures = directory.table("failures")
    assert failures["sum_ok"].all()
    own = failures[failures["block"].eq("f00-truth-count") & failures["scenario"].eq("account_setup")].iloc[0]
    assert (own["at_least_once"], own["at_most_once"]) == ("broken", "broken")
    noisy = [verify.line(row) for row in rows if row.verdict == "too noisy to say"]
    if noisy:
        pytest.skip(f"the machine is too noisy for {len(noisy)} of 12 truths: {noisy[0]}")


def jobs_frame(side: str, responses: list[float], *, uncorrected: list[float] | None = None) -> pd.DataFrame:
    rows = [
        {"block": side, "side": side, "scenario": "welcome_email", "due_ns": number * 50 * MS}
        | {"response_ms": value, "pickup_ms": value - 20, "uncorrected_ms": hidden}
        for number, (value, hidden) in enumerate(zip(responses, uncorrected or responses, strict=True))
    ]
    return pd.DataFrame(rows, columns=list(TABLES["jobs"]))


def verdicts(rows: list[Row]) -> set[str]:
    return {row.verdict for row in rows}


@pytest.mark.parametrize(
    ("added", "verdict"), [(50.0, "held"), (50.9, "held"), (51.2, "NOT HELD"), (0.0, "NOT HELD")]
)
def test_a_delay_is_held_to_a_millisecond(added: float, verdict: str) -> None:
    base = [25.0 + number % 3 / 10 for number in range(30)]
    jobs = pd.concat([jobs_frame("truth-base", base), jobs_frame("truth-delay", [v + added for v in base])])
    assert verdicts(checks.delay(jobs)) == {verdict}
    assert verdicts(checks.delay(jobs, noise="hiccups")) == {"too noisy to say"}


def test_medians_that_are_not_known_to_half_the_error_say_nothing() -> None:
    wild = [25.0 + number % 10 * 5 for number in range(30)]
    jobs = pd.concat([jobs_frame("truth-base", wild), jobs_frame("truth-delay", [v + 50 for v in wild])])
    assert verdicts(checks.delay(jobs)) == {"too noisy to say"}


def test_counts_are_held_exactly() -> None:
    row = {"side": "truth-count", "accepted": 154, "lost": 22, "duplicated": 12, "done_once": 120}
    assert verdicts(checks.counts(pd.DataFrame([row]))) == {"held"}
    assert "NOT HELD" in verdicts(checks.counts(pd.DataFrame([row | {"lost": 21}])))


def test_a_stall_shows_in_the_corrected_latency_and_is_hidden_in_the_other() -> None:
    lag = pd.DataFrame([{"side": "truth-stall", "lag_max_ms": 995.0}])
    due = [number * 50.0 for number in range(80)]
    responses = [20.0 + max(0.0, 2_000 - at) if 1_000 <= at < 2_000 else 20.0 for at in due]
    honest = jobs_frame("truth-stall", responses, uncorrected=[20.0] * 80)
    assert verdicts(checks.stall(lag, honest, base_ms=20)) == {"held"}
    blind = jobs_frame("truth-stall", [20.0] * 80)
    found = checks.stall(lag.assign(lag_max_ms=4.0), blind, base_ms=20)
    assert [row.verdict for row in found] == ["NOT HELD", "NOT HELD", "held"]


def drift_row(**figures: float) -> pd.DataFrame:
    return pd.DataFrame([{"side": "truth-drift", "run_s": 60.0, "jitter_sd_ms": 0.1, **figures}])


def test_a_drift_is_held_in_rate_and_in_sum() -> None:
    assert verdicts(checks.drift(drift_row(drift_ppm=505, cumulative_ms=30.5))) == {"held"}
    assert verdicts(checks.drift(drift_row(drift_ppm=0, cumulative_ms=0))) == {"NOT HELD"}
    noisy = drift_row(drift_ppm=0, cumulative_ms=0, jitter_sd_ms=3)
    assert verdicts(checks.drift(noisy)) == {"too noisy to say"}


@pytest.mark.parametrize("spread", [0.02, 0.1, 0.4])
@pytest.mark.parametrize("trend", [0.0, 0.3])
def test_a_side_is_called_different_from_itself_in_one_run_of_twenty_at_most(
    spread: float, trend: float
) -> None:
    """Many long blocks of made-up noise, with the slow trend of a machine that warms up."""
    draw = np.random.default_rng(7)
    calls = 0
    for _ in range(20):
        grows = np.linspace(0, trend, 4_000)
        responses = 25 * np.exp(draw.normal(grows, spread, 4_000))
        cut = same.windows(jobs_frame("truth-base", responses.tolist()), 4 * same.PAIRS)
        calls += sum(same.is_called_different(cut, ("welcome_email", 0.5), seed) for seed in range(5))
    assert calls <= 0.05 * 100


def test_windows_need_samples_enough_for_each_quantile() -> None:
    jobs = jobs_frame("truth-base", [25.0] * 400)
    assert set(same.windows(jobs, 40)["quantile"]) == {0.5}
    assert set(same.windows(jobs, 10)["quantile"]) == {0.5, 0.9}
    assert same.called_different(same.windows(jobs, 40), 3) == {("welcome_email", 0.5): 0}


def test_a_side_drops_every_7th_and_doubles_every_11th_but_no_probe() -> None:
    done: list[str] = []

    async def work(name: str) -> None:
        done.append(name)

    async def main() -> None:
        engine = Engine(Truth(drop_every=7, double_every=11))
        async with engine.lifespan():
            for number in range(1, 78):
                engine.submit("s", f"u-probe-{number}", lambda: work("probe"))
                engine.submit("s", str(number), lambda number=number: work(str(number)))  # type: ignore[misc]
            await asyncio.sleep(0.05)

    asyncio.run(main())
    once = [str(n) for n in range(1, 78) if n % 7]
    assert sorted(done) == sorted(["probe"] * 77 + once + [n for n in once if int(n) % 11 == 0])


def test_an_exact_wait_is_never_early_and_hardly_late() -> None:
    async def late_ns() -> int:
        due = time.monotonic_ns() + random.randrange(3 * MS)  # noqa: S311 - no secret
        await exactly_until(due)
        return time.monotonic_ns() - due

    async def main() -> list[int]:
        return [await late_ns() for _ in range(50)]

    late = sorted(asyncio.run(main()))
    assert late[0] >= 0
    assert late[len(late) // 2] < MS


def test_every_truth_has_one_wrong_at_most() -> None:
    assert TRUTHS["truth-base"] == Truth()
    assert all(truth != Truth() for name, truth in TRUTHS.items() if name != "truth-base")


@pytest.mark.parametrize("text", [None, "", "[]", "{"])
def test_a_run_without_a_verification_says_how_to_have_one(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / INSTRUMENT).write_text(text)
    assert instrument(tmp_path) == {"known truth": "not verified: run make verify-instrument"}


@pytest.mark.parametrize(
    ("reported", "noise", "code"),
    [(50.0, "", 0), (60.0, "", 99), (60.0, "hiccups", 75), (50.0, "hiccups", 75)],
)
def test_ci_sees_whether_the_instrument_told_the_truth(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, reported: float, noise: str, code: int
) -> None:
    row = Row(truth="later", unit="ms", expected=50, reported=reported, allowed=1, noise=noise)

    class Directory:
        path = tmp_path

    def found(*_: Any, **__: Any) -> Any:
        return Directory(), [row]

    monkeypatch.setattr(verify, "verify", found)
    done = CliRunner().invoke(cli.main, ["verify", "--short"])
    assert done.exit_code == code
    assert row.verdict in done.output
