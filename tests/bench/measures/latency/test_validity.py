from __future__ import annotations

import math

import pandas as pd
import pytest

from bench.measures.latency.validity import (
    Noise,
    counted,
    discarded,
    lateness_ms,
    noise,
    reason,
    sent_lateness_ms,
)

QUIET = {"lateness_ms": 0.4, "median_response_ms": 25.0, "steal_percent": 0.0, "hiccup_p99_ms": 1.2}


def test_a_quiet_block_counts() -> None:
    assert reason(Noise(**QUIET)) == ""


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"lateness_ms": 1.1}, "generator late by 1.10 ms"),
        ({"median_response_ms": 3.9}, "10% of the median"),
        ({"steal_percent": 5.5}, "stolen"),
        ({"hiccup_p99_ms": 10.5}, "hiccups"),
        ({"lateness_ms": math.inf}, "generator late by inf ms"),
    ],
)
def test_a_block_that_breaks_a_rule_says_which(change: dict[str, float], word: str) -> None:
    assert word in reason(Noise(**{**QUIET, **change}))


def test_what_was_not_measured_breaks_no_rule() -> None:
    assert reason(Noise(**dict.fromkeys(QUIET, math.nan))) == ""


def test_noise_is_read_from_the_blocks_frames_though_they_are_small() -> None:
    frames = pd.DataFrame({"response_ms": [20.0, 30]}), pd.DataFrame({"lateness_ms": [0.1, 0.3]})
    seen = noise(*frames, steal_percent=0.5, hiccup_p99_ms=1)
    assert seen.median_response_ms == 25
    assert seen.lateness_ms == pytest.approx(0.298)


@pytest.mark.parametrize(("requests", "percentile"), [(400, 0.99), (80, 0.95), (40, 0.9), (4, 0.99)])
def test_lateness_is_judged_at_the_highest_percentile_that_the_requests_allow(
    requests: int, percentile: float
) -> None:
    late = pd.DataFrame({"lateness_ms": [float(number) for number in range(requests)]})
    seen = noise(pd.DataFrame({"response_ms": [20.0]}), late, steal_percent=0, hiccup_p99_ms=1)
    assert seen.lateness_ms == pytest.approx(percentile * (requests - 1))


def test_in_a_ramp_what_an_overwhelmed_side_kept_from_being_sent_does_not_make_the_generator_late() -> None:
    late = pd.Series([0.2] * 380 + [math.inf] * 20)
    assert lateness_ms(late) == math.inf
    assert sent_lateness_ms(late) == 0.2
    assert sent_lateness_ms(pd.Series([3.0] * 400)) == 3.0


def blocks(*bad: str) -> pd.DataFrame:
    names = [f"{side}{repetition}" for repetition in range(2) for side in ("base", "x", "y")]
    return pd.DataFrame(
        [
            {
                "block": name,
                "measure": "latency",
                "side": name[:-1],
                "repetition": int(name[-1]),
                "valid": name not in bad,
                "reason": "hiccups" if name in bad else "",
            }
            for name in names
        ]
    )


def test_an_invalid_side_takes_its_own_pair_and_an_invalid_baseline_all_of_them() -> None:
    assert [row["pair"] for row in discarded(blocks("x1"), "base")] == ["x / base"]
    assert [row["pair"] for row in discarded(blocks("base0"), "base")] == ["x / base", "y / base"]
    assert discarded(blocks(), "base") == []


def test_only_blocks_that_count_are_compared() -> None:
    latency = pd.DataFrame({"block": ["base0", "x0"], "value_ms": [1.0, 2.0]})
    assert list(counted(latency, blocks("x0"))["block"]) == ["base0"]
