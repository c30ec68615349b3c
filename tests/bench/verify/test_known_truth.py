"""The instrument is tested: what is known to be true is what the harness reports."""

from __future__ import annotations

import asyncio
import json
import math
import random
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from scipy.signal import lfilter

from bench.app.planted.engine import Engine, exactly_until
from bench.app.planted.truths import TRUTHS, Truth
from bench.cli import commands
from bench.ledger import reader
from bench.measures.events.block import Block, elapsed_ms
from bench.measures.events.history import JobHistory
from bench.measures.latency import latency
from bench.measures.statistics import interval
from bench.measures.statistics.comparison import comparisons
from bench.measures.statistics.verdict_words import Difference, measure_difference
from bench.schema import INSTRUMENT, TABLES
from bench.storage.manifest import instrument
from bench.storage.run_directory import RunDirectory
from bench.verify import checks, same_side, verify
from bench.verify.checks import Row
from tests import noise

#: As short as the truths allow; `make verify-instrument` takes its time.
TINY = verify.Size(
    latency_s=3.0,
    pairs=1,
    drift_s=8.0,
    count_s=3.0,
    aa_s=8.0,
    tries=1,
    drifts=("truth-drift", "truth-drift-plain"),
    stalls=1,
)
MS = 1_000_000
#: What a busy machine may add to the quickest of some ninety jobs, ms; the truth is 50.
QUICKEST_MS = 15.0
#: By which part a plain drift may be off on a busy machine.
PLAIN_SHARE = 0.2

Verified = tuple[RunDirectory, list[Row]]
the_whole_road = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def verified(tmp_path_factory: pytest.TempPathFactory) -> Verified:
    """The whole road once. What the tests ask of it first, a machine as busy as may be can judge."""
    return verify.verify(tmp_path_factory.mktemp("verified"), size=TINY, seed=1)


@the_whole_road
def test_what_was_dropped_and_doubled_is_counted_exactly(verified: Verified) -> None:
    directory, rows = verified
    counted = [row for row in rows if row.unit == "jobs"]
    assert [row.verdict for row in counted] == ["held"] * 3, counted
    assert min(row.expected for row in counted) >= 5
    failures = directory.table("failures")
    assert failures["sum_ok"].all()
    own = failures[failures["block"].eq("f00-truth-count") & failures["scenario"].eq("account_setup")].iloc[0]
    assert (own["at_least_once"], own["at_most_once"]) == ("broken", "broken")


@the_whole_road
@pytest.mark.parametrize("metric", ["response_ms", "uncorrected_ms", "pickup_ms"])
def test_the_quickest_jobs_are_later_by_the_planted_delay_and_the_others_in_order(
    verified: Verified, metric: str
) -> None:
    directory, rows = verified
    jobs = directory.table("jobs")
    base, later = (jobs[jobs["block"] == f"l00-{side}"][metric] for side in ("truth-base", "truth-delay"))
    planted = TRUTHS["truth-delay"].delay_ms
    assert min(len(base), len(later)) > 50
    assert later.min() >= planted, "no job is done sooner than it was held back"
    added = later.min() - base.min()
    orders = [later.quantile(share) > base.quantile(share) for share in (0.1, 0.5)]
    told = [row.verdict for row in rows if row.truth.startswith("each job 50 ms later")]
    if "too noisy to say" in told and (abs(added - planted) > QUICKEST_MS or not all(orders)):
        noise.too_noisy(
            f"even the quickest job is {added:.0f} ms later, and the harness says itself: too noisy"
        )
    assert added == pytest.approx(planted, abs=QUICKEST_MS)
    assert orders == [True, True]


@the_whole_road
def test_a_planted_stall_shows_in_the_lag_and_in_the_corrected_latency_first(verified: Verified) -> None:
    directory, _ = verified
    stall_ms = TRUTHS["truth-stall"].stall_s * 1e3
    failures, jobs = directory.table("failures"), directory.table("jobs")
    lag_ms = failures[failures["side"] == "truth-stall"]["lag_max_ms"].min()
    assert 0.99 * stall_ms <= lag_ms <= 1.5 * stall_ms
    stalled = jobs[jobs["block"] == "l00-truth-stall"]
    assert (stalled["response_ms"] >= stalled["uncorrected_ms"]).all()
    shown, hidden = (stalled[metric].quantile(0.9) for metric in ("response_ms", "uncorrected_ms"))
    assert shown > stall_ms / 2
    assert shown > 1.5 * hidden


@the_whole_road
def test_a_plain_drift_is_told_in_rate_and_in_sum_and_is_more_than_a_fine_one(verified: Verified) -> None:
    drift = verified[0].table("drift")
    plain, fine = (drift[drift["side"] == side] for side in ("truth-drift-plain", "truth-drift"))
    planted = TRUTHS["truth-drift-plain"].drift_ppm
    assert len(plain) == len(fine) == 2
    for row in plain.to_dict("records"):
        assert row["drift_ppm"] == pytest.approx(planted, rel=PLAIN_SHARE)
        assert row["cumulative_ms"] == pytest.approx(planted * row["run_s"] / 1e3, rel=PLAIN_SHARE)
        assert row["ticks_run"] == pytest.approx(row["ticks_due"], abs=1)
    assert plain["drift_ppm"].min() > fine["drift_ppm"].max()


@the_whole_road
def test_no_truth_is_said_not_to_hold_and_each_is_recorded(verified: Verified) -> None:
    directory, rows = verified
    assert [verify.line(row) for row in rows if row.verdict == "NOT HELD"] == []
    assert len(rows) == 13
    assert rows[-1].truth == "A/A, labels swapped: one label favoured by"
    assert rows[-1].verdict == "held", "no noise has a part in it"
    recorded = json.loads((directory.path.parent / INSTRUMENT).read_text())
    assert recorded == directory.manifest["instrument"] == instrument(directory.path.parent)
    outcomes = {truth["truth"]: truth["outcome"] for truth in recorded["truths"]}
    assert outcomes["every 7th dropped: lost"] == "held"


@the_whole_road
def test_every_fine_figure_is_held(verified: Verified) -> None:
    """To 10 % or 1 ms: only a quiet machine can say."""
    _, rows = verified
    if noisy := [f"{row.truth}: {verify.line(row)}" for row in rows if row.verdict == "too noisy to say"]:
        noise.too_noisy(f"{len(noisy)} of 13 truths, the first: {noisy[0]}")


def jobs_frame(
    side: str, responses: list[float], *, uncorrected: list[float] | None = None, repetition: int = 0
) -> pd.DataFrame:
    rows = [
        {"block": side, "side": side, "scenario": "welcome_email", "due_ns": number * 50 * MS}
        | {"response_ms": value, "pickup_ms": value - 20, "uncorrected_ms": hidden}
        for number, (value, hidden) in enumerate(zip(responses, uncorrected or responses, strict=True))
    ]
    return pd.DataFrame(rows, columns=list(TABLES["jobs"])).assign(repetition=repetition)


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


def test_medians_that_are_not_known_to_the_error_say_nothing_unless_they_are_off_by_more() -> None:
    wild = [25.0 + number % 10 * 5 for number in range(30)]
    base = jobs_frame("truth-base", wild)
    for added, verdict in ((50, "too noisy to say"), (90, "NOT HELD")):
        jobs = pd.concat([base, jobs_frame("truth-delay", [v + added for v in wild])])
        assert verdicts(checks.delay(jobs)) == {verdict}


def pairs_of_blocks(added: Sequence[float]) -> pd.DataFrame:
    """One pair of blocks a delay; within a block every job takes nearly the same."""
    blocks = [
        jobs_frame(side, [25.0 + number % 3 / 100 + ms for number in range(30)], repetition=repetition)
        for repetition, delay in enumerate(added)
        for side, ms in (("truth-base", 0.0), ("truth-delay", delay))
    ]
    return pd.concat(blocks)


@pytest.mark.parametrize(
    ("added", "verdict"),
    [
        ([50.1, 49.8, 50.3, 50.0], "held"),
        ([52.4, 48.2, 53.6, 53.8], "too noisy to say"),  # as a loaded machine did
        ([52.5, 52.4, 52.6, 52.5], "NOT HELD"),
    ],
)
def test_a_delay_is_known_to_what_its_pairs_of_blocks_agree_on(added: list[float], verdict: str) -> None:
    assert verdicts(checks.delay(pairs_of_blocks(added))) == {verdict}


@pytest.mark.parametrize(("bias_ms", "share"), [(0.0, 0.05), (1.0, 0.05), (3.0, 1.0)])
def test_a_delay_is_said_not_to_hold_where_the_instrument_is_off_and_else_once_in_twenty_at_most(
    bias_ms: float, share: float
) -> None:
    draw = np.random.default_rng(3)
    delays = draw.normal(50 + bias_ms, 0.5, (12, 6))
    called = sum("NOT HELD" in verdicts(checks.delay(pairs_of_blocks(added))) for added in delays)
    assert called == 12 if share == 1.0 else called <= 12 * share


def test_counts_are_held_exactly() -> None:
    row = {"side": "truth-count", "accepted": 154, "lost": 22, "duplicated": 12, "done_once": 120}
    assert verdicts(checks.counts(pd.DataFrame([row]))) == {"held"}
    assert "NOT HELD" in verdicts(checks.counts(pd.DataFrame([row | {"lost": 21}])))


#: Jobs every 50 ms; those of the second second wait until it ends.
DUE_MS = [number * 50.0 for number in range(80)]
WAIT_MS = [max(0.0, 2_000 - at) if 1_000 <= at < 2_000 else 0.0 for at in DUE_MS]
STALLS = {"truth-stall": (1_000 * MS, 2_000 * MS), "f": (0, 1_000 * MS)}


def stall_rows(corrected: list[float], uncorrected: list[float], *, lag_ms: float = 1_000.0) -> list[Row]:
    lag = pd.DataFrame([{"block": "f", "side": "truth-stall", "lag_max_ms": lag_ms}])
    jobs = jobs_frame("truth-stall", corrected, uncorrected=uncorrected)
    return checks.stall(lag, jobs, stalls_ns=STALLS, base_ms=20)


def test_a_stall_shows_in_the_corrected_latency_and_is_hidden_in_the_other() -> None:
    honest = stall_rows([20.0 + wait for wait in WAIT_MS], [20.0] * 80, lag_ms=995)
    assert verdicts(honest) == {"held"}
    assert [row.expected for row in honest] == [1_000, 525, 0]
    assert [row.allowed for row in honest] == [20, 100, 100]
    blind = stall_rows([20.0] * 80, [20.0] * 80, lag_ms=4)
    assert [row.verdict for row in blind] == ["NOT HELD", "NOT HELD", "held"]


@pytest.mark.parametrize(
    ("off_ms", "verdict"),
    [(-250, "NOT HELD"), (-99, "held"), (99, "held"), (150, "too noisy to say"), (250, "NOT HELD")],
)
def test_both_latencies_may_be_off_by_what_the_jobs_that_waited_do_to_each_other(
    off_ms: float, verdict: str
) -> None:
    uncorrected = [20 + off_ms if wait else 20.0 for wait in WAIT_MS]
    corrected = [
        own + wait + (off_ms if wait else 0.0) for own, wait in zip(uncorrected, WAIT_MS, strict=True)
    ]
    rows = stall_rows(corrected, uncorrected)
    assert [row.verdict for row in rows[1:]] == [verdict, verdict]


def test_a_stall_in_which_hardly_a_job_was_due_says_nothing() -> None:
    jobs = jobs_frame("truth-stall", [20.0] * 80)
    lag = pd.DataFrame([{"block": "f", "side": "truth-stall", "lag_max_ms": 1_000.0}])
    rows = checks.stall(lag, jobs, stalls_ns=STALLS | {"truth-stall": (0, 100 * MS)}, base_ms=20)
    assert [row.verdict for row in rows] == ["held", "too noisy to say", "too noisy to say"]


def test_a_stall_that_a_busy_machine_made_longer_is_held_to_its_own_length() -> None:
    jobs = jobs_frame("truth-stall", [20.0] * 80)
    lags = pd.DataFrame({"block": ["f", "g"], "side": "truth-stall", "lag_max_ms": [1_050.0, 1_041.0]})
    stalls = STALLS | {"g": (0, 1_040 * MS)}
    [row, *_] = checks.stall(lags, jobs, stalls_ns=stalls, base_ms=20)
    assert (row.expected, row.reported, row.verdict) == (1_040, 1_041, "held")


def measured_again(directory: RunDirectory, block: str) -> list[Row]:
    """The stall's rows, from the events of the run by the harness as it is now."""
    jobs = directory.table("jobs")
    own = jobs[jobs["block"] == block]
    events, _ = reader.read_events(directory.path / f"events-{block}.jsonl")
    window = Block(block=block, side="truth-stall", start_ns=0, end_ns=own["due_ns"].max() + 1)
    frame = latency.job_frame(events, window)
    return checks.stall(
        directory.table("failures"),
        frame[frame["job"].isin(own["job"])],
        stalls_ns=verify.planted_stalls_ns(directory, [block, "f00-truth-stall"]),
        base_ms=float(jobs[jobs["block"] == "l00-truth-base"]["response_ms"].median()),
    )


@the_whole_road
@pytest.mark.parametrize("metric", ["response_ms", "uncorrected_ms"])
def test_a_harness_that_begins_a_latency_at_the_wrong_event_breaks_the_check(
    verified: Verified, monkeypatch: pytest.MonkeyPatch, metric: str
) -> None:
    """The response from `submit` is coordinated omission, the classic fault."""
    directory, _ = verified
    begins = {"response_ms": "submit", "uncorrected_ms": "due"}[metric]
    right = measured_again(directory, "l00-truth-stall")[1]
    honest = latency._job_row

    def broken(job: JobHistory, block: Block, due: int) -> dict[str, object]:
        wrong = elapsed_ms(job.first(begins), job.first("effect"))
        return honest(job, block, due) | {metric: wrong}

    monkeypatch.setattr(latency, "_job_row", broken)
    wrong = measured_again(directory, "l00-truth-stall")[1]
    assert (wrong.verdict, wrong.reported) == ("NOT HELD", 0)
    if right.verdict != "held":
        noise.too_noisy(verify.line(right))


def drift_row(**figures: float) -> pd.DataFrame:
    return pd.DataFrame([{"side": "truth-drift", "run_s": 60.0, "jitter_sd_ms": 0.1, **figures}])


def test_a_drift_is_held_in_rate_and_in_sum() -> None:
    assert verdicts(checks.drift(drift_row(drift_ppm=505, cumulative_ms=30.5))) == {"held"}
    assert verdicts(checks.drift(drift_row(drift_ppm=0, cumulative_ms=0))) == {"NOT HELD"}
    off_by_3_percent, right = checks.drift(drift_row(drift_ppm=515, cumulative_ms=30))
    assert (off_by_3_percent.verdict, right.verdict) == ("NOT HELD", "held")
    noisy = drift_row(drift_ppm=0, cumulative_ms=0, jitter_sd_ms=3)
    assert verdicts(checks.drift(noisy)) == {"too noisy to say"}


def noisy_windows(
    draw: np.random.Generator, *, spread: float, hangs: float, trend: float = 0.0
) -> pd.DataFrame:
    """The windows of one block whose noise hangs together in time (AR(1)), on a machine that slows down."""
    count = verify.AA_WINDOWS
    shocks = draw.normal(0, spread * math.sqrt(1 - hangs**2), count)
    noise = lfilter([1.0], [1.0, -hangs], shocks)
    values = 25 * np.exp(noise + np.linspace(0, trend, count))
    names: dict[str, Any] = {"scenario": "welcome_email", "quantile": 0.5}
    return pd.DataFrame({"window": range(count), "value_ms": values}).assign(**names)


def aa_row(cut: pd.DataFrame) -> Row:
    return checks.false_differences(same_side.called_different(cut, verify.AA_RUNS), verify.AA_RUNS)


@pytest.mark.parametrize(
    ("spread", "hangs", "trend"), [(0.05, 0.0, 0.3), (0.2, 0.0, 0.0), (0.2, 0.9, 0.0), (0.4, 0.7, 0.3)]
)
def test_an_honest_instrument_is_not_called_biased_and_calls_one_run_in_twenty_different_at_most(
    spread: float, hangs: float, trend: float
) -> None:
    draw = np.random.default_rng(11)
    rows = [aa_row(noisy_windows(draw, spread=spread, hangs=hangs, trend=trend)) for _ in range(25)]
    assert "NOT HELD" not in verdicts(rows)
    assert sum(row.reported for row in rows) <= same_side.most_by_chance(
        len(rows) * verify.AA_RUNS, figures=1
    )


@pytest.mark.parametrize("factor", [1.05, 0.95, 1.001])
def test_an_instrument_that_favours_a_label_is_called_out_whatever_the_noise(
    monkeypatch: pytest.MonkeyPatch, factor: float
) -> None:
    def leaning(blocks: pd.DataFrame, **options: Any) -> pd.DataFrame:
        favour = np.where(blocks["side"] == "B", factor, 1.0)
        return comparisons(blocks.assign(value_ms=blocks["value_ms"] * favour), **options)

    cut = noisy_windows(np.random.default_rng(2), spread=0.2, hangs=0.5)
    assert checks.label_bias(same_side.label_bias(cut)).verdict == "held"
    monkeypatch.setattr(same_side, "comparisons", leaning)
    row = checks.label_bias(same_side.label_bias(cut))
    assert row.verdict == "NOT HELD"
    assert row.reported == pytest.approx(100 * (factor - 1))


def test_an_instrument_that_favours_a_label_beyond_the_margin_calls_a_side_different_from_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def leaning(baseline: Sequence[float], side: Sequence[float]) -> Difference:
        return measure_difference(baseline, [1.25 * value for value in side])

    monkeypatch.setattr(same_side, "measure_difference", leaning)
    cut = noisy_windows(np.random.default_rng(2), spread=0.1, hangs=0.5)
    assert aa_row(cut).verdict == "NOT HELD"


def test_an_instrument_whose_intervals_are_too_narrow_is_called_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """As one would be that took every job for a sample of its own."""
    honest = interval._sem
    monkeypatch.setattr(interval, "_sem", lambda values: honest(values) / 4)
    draw = np.random.default_rng(5)
    rows = [aa_row(noisy_windows(draw, spread=0.4, hangs=0.5)) for _ in range(4)]
    assert verdicts(rows) == {"NOT HELD"}


@pytest.mark.parametrize(
    ("different", "verdict"),
    [(0, "held"), (2, "held"), (3, "too noisy to say"), (6, "too noisy to say"), (7, "NOT HELD")],
)
def test_two_runs_of_forty_may_differ_and_chance_may_bring_six(different: int, verdict: str) -> None:
    row = checks.false_differences({("welcome_email", 0.5): different}, 40)
    assert row.verdict == verdict
    assert ("chance" in verify.line(row)) == (verdict == "too noisy to say")


def test_the_windows_of_a_figure_are_kept_in_pairs_and_need_six() -> None:
    jobs = jobs_frame("truth-base", [25.0] * 400)
    assert set(same_side.windows(jobs, 40)["quantile"]) == {0.5}
    assert same_side.windows(jobs, 10).empty
    assert same_side.called_different(same_side.windows(jobs, 40), 3) == {("welcome_email", 0.5): 0}
    gap = jobs[(jobs["due_ns"] < 100 * 50 * MS) | (jobs["due_ns"] >= 110 * 50 * MS)]
    assert sorted(set(range(40)) - set(same_side.windows(gap, 40)["window"])) == [10, 11]
    few = same_side.windows(jobs, 10)
    assert verdicts(
        [
            checks.false_differences(same_side.called_different(few, 3), 3),
            checks.label_bias(same_side.label_bias(few)),
        ]
    ) == {"too noisy to say"}


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


def test_an_exact_wait_is_never_early_and_sooner_there_than_a_plain_sleep() -> None:
    async def plainly_until(due: int) -> None:
        await asyncio.sleep((due - time.monotonic_ns()) / 1e9)

    async def late_ns(wait: Callable[[int], Awaitable[None]]) -> int:
        due = time.monotonic_ns() + random.randrange(MS, 3 * MS)  # noqa: S311 - no secret
        await wait(due)
        return time.monotonic_ns() - due

    async def main() -> list[tuple[int, int]]:
        return [(await late_ns(exactly_until), await late_ns(plainly_until)) for _ in range(100)]

    exact, plain = zip(*asyncio.run(main()), strict=True)
    assert min(exact) >= 0
    assert statistics.median(exact) < statistics.median(plain)


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
    done = CliRunner().invoke(commands.main, ["verify", "--short"])
    assert done.exit_code == code
    assert row.verdict in done.output
