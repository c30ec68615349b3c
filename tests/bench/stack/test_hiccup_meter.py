"""The hiccup meter."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bench.stack.hiccup_meter import SLEEP_NS, covered


def test_a_stall_counts_once_for_every_sleep_that_it_covered() -> None:
    assert covered(3_500_000) == [3_500_000, 2_500_000, 1_500_000, 500_000]


def test_a_punctual_sleep_counts_once() -> None:
    assert covered(0) == [0]


@given(st.integers(1, 2_000_000_000))
def test_the_longest_is_the_stall_itself_and_none_is_negative(late_ns: int) -> None:
    late = covered(late_ns)
    assert late[0] == late_ns
    assert min(late) >= 0
    assert len(late) == max(1, -(-late_ns // SLEEP_NS))
