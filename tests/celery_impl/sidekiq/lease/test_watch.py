"""Who counts as dead: signs and a monotonic clock, and nobody's wall clock."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from celery_impl.sidekiq.lease.watch import Watch

#: Seconds of a lease here, and between two looks.
LEASE_S, TURN_S = 8.0, 1.0


def looks(watch: Watch, *signs: dict[str, float], turn_s: float = TURN_S) -> list[dict[str, float]]:
    """What each of these looks finds, one turn after the other, answered at once."""
    return [watch.dead(seen, asked=turn_s * turn, answered=turn_s * turn) for turn, seen in enumerate(signs)]


def test_who_gives_no_sign_for_a_lease_is_dead_and_not_a_moment_before() -> None:
    found = looks(Watch(LEASE_S), *[{"silent": 5.0}] * 9)
    assert found == [{}] * 8 + [{"silent": 5.0}]


@given(st.lists(st.integers(-3_600_000, 3_600_000).filter(bool), min_size=30, max_size=30))
def test_whatever_the_wall_clock_does_who_gives_signs_lives_and_who_does_not_is_dead_in_time(
    steps_ms: list[int],
) -> None:
    watch, sign = Watch(LEASE_S), 0.0
    for turn, step in enumerate(steps_ms):
        sign += step
        found = watch.dead({"alive": sign, "dead": 7.0}, asked=turn * TURN_S, answered=turn * TURN_S)
        assert found == ({"dead": 7.0} if turn * TURN_S >= LEASE_S else {})


def test_a_look_that_took_long_gives_the_benefit_of_the_doubt() -> None:
    """The sign may have been read at the end of the first look, and at the beginning of the second."""
    watch = Watch(LEASE_S)
    watch.dead({"a": 1.0}, asked=0.0, answered=3.0)
    for moment in (5.0, 8.0):
        assert watch.dead({"a": 1.0}, asked=moment, answered=moment) == {}
    assert watch.dead({"a": 1.0}, asked=10.5, answered=11.5) == {}
    assert watch.dead({"a": 1.0}, asked=11.5, answered=11.5) == {"a": 1.0}


def test_after_a_silence_everybody_has_a_whole_lease_to_show_himself() -> None:
    watch = Watch(LEASE_S)
    looks(watch, *[{"a": 1.0}] * 8)
    assert watch.dead({"a": 1.0}, asked=11.5, answered=11.5) == {}, "4.5 s: more than half a lease"
    assert watch.dead({"a": 1.0}, asked=15.5, answered=15.5) == {}
    assert watch.dead({"a": 1.0}, asked=19.5, answered=19.5) == {"a": 1.0}


def test_a_longer_lease_of_another_worker_counts_for_it() -> None:
    found = looks(Watch(LEASE_S), *[{"slow/12000": 1.0}] * 13)
    assert found == [{}] * 12 + [{"slow/12000": 1.0}]
