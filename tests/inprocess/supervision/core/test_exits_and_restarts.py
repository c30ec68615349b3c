from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inprocess import NORMAL, SHUTDOWN, Backoff, Exit, Restart, RestartIntensity, Shutdown, Stop
from inprocess.supervision.core.exits import exit_of, restarts
from inprocess.supervision.core.restarts import RestartWindow

CRASH = Exit("crash", ValueError("no"))
KILLED = Exit("crash", asyncio.CancelledError())


@pytest.mark.parametrize(
    ("ended", "permanent", "transient", "temporary"),
    [
        (NORMAL, True, False, False),
        (SHUTDOWN, True, False, False),
        (CRASH, True, True, False),
        (KILLED, True, True, False),
    ],
    ids=["normal", "shutdown", "crash", "killed"],
)
def test_the_table_of_exits_says_who_comes_back(
    ended: Exit, *, permanent: bool, transient: bool, temporary: bool
) -> None:
    values: tuple[Restart, ...] = ("permanent", "transient", "temporary")

    assert [restarts(value, ended) for value in values] == [permanent, transient, temporary]


def test_stop_is_a_normal_exit_and_shutdown_is_shutdown() -> None:
    assert [exit_of(None), exit_of(Stop()), exit_of(Shutdown())] == [NORMAL, NORMAL, SHUTDOWN]
    assert exit_of(KeyError("x")).kind == "crash"


def test_the_fourth_restart_in_five_seconds_is_one_too_many() -> None:
    window = RestartWindow(RestartIntensity())

    assert [window.allows(now) for now in (0.0, 1.0, 2.0, 3.0)] == [True, True, True, False]


def test_the_edge_of_the_window_belongs_to_it() -> None:
    at_the_edge, past_it = RestartWindow(RestartIntensity(1, 5.0)), RestartWindow(RestartIntensity(1, 5.0))

    assert [at_the_edge.allows(now) for now in (0.0, 5.0)] == [True, False]
    assert [past_it.allows(now) for now in (0.0, 5.001)] == [True, True]


def test_an_intensity_of_zero_allows_none() -> None:
    assert not RestartWindow(RestartIntensity(0, 5.0)).allows(0.0)


@given(
    st.lists(st.integers(0, 12), max_size=40),
    st.integers(0, 5),
    st.integers(1, 20),
)
def test_the_window_agrees_with_a_count_over_all_restarts(
    gaps: list[int], max_restarts: int, max_seconds: int
) -> None:
    window = RestartWindow(RestartIntensity(max_restarts, max_seconds))
    past: list[int] = []
    now = 0

    for gap in gaps:
        now += gap
        past.append(now)
        within = sum(restart >= now - max_seconds for restart in past)
        assert window.allows(now) == (within <= max_restarts)


@pytest.mark.parametrize(("max_restarts", "max_seconds"), [(-1, 5.0), (3, 0.0), (3, -1.0), (3, float("nan"))])
def test_an_intensity_that_is_no_window_is_refused(max_restarts: int, max_seconds: float) -> None:
    with pytest.raises(ValueError, match="expected max_restarts"):
        RestartIntensity(max_restarts, max_seconds)


def test_the_back_off_doubles_up_to_its_bound() -> None:
    backoff = Backoff(initial_s=1.0, factor=2.0, max_s=5.0, jitter=0.5)

    assert [backoff.delay(n, chance=lambda: 0.0) for n in (1, 2, 3, 4)] == [1.0, 2.0, 4.0, 5.0]
    assert backoff.delay(1, chance=lambda: 1.0) == 1.5


@given(st.integers(1, 100_000), st.floats(0, 1))
def test_no_back_off_is_longer_than_its_bound_and_jitter(failures: int, chance: float) -> None:
    backoff = Backoff(initial_s=0.5, factor=3.0, max_s=30.0, jitter=0.2)

    assert 0.5 <= backoff.delay(failures, chance=lambda: chance) <= 36.0


@pytest.mark.parametrize(
    "options", [{"initial_s": -1.0}, {"initial_s": 99.0}, {"factor": 0.5}, {"jitter": -0.1}]
)
def test_a_back_off_that_is_no_schedule_is_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected 0 <= initial_s"):
        Backoff(**options)
