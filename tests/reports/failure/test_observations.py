from __future__ import annotations

import math

import pytest

from reports.failure.observations import in_words, number, over_strikes


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        ("ticks due 58; missed 0; duplicates 0; overlaps 0", "58 ticks due, none missed, none doubled"),
        ("missed 3; bursts 2", "3 missed, 2 twice within half an interval"),
        (
            "age max ms 1066; step ms 0.1362",
            "the balance at most 1.07 s old, largest step of the phase 136 µs",
        ),
        ("step repaid", "after which the phase came back"),
        ("status 202; handover s 1.849", "the caller was answered with HTTP 202, the hand-over took 1.85 s"),
        ("herd 77; share 0.77", "77 requests at one moment, which is 77 % of the users"),
        ("runs 1", "the job ran once"),
        ("content changed", "the job saw the argument as it was changed later"),
        ("step ms nan; step unknown", ""),
        ("", ""),
    ],
)
def test_what_a_checker_recorded_reads_as_a_sentence(seen: str, words: str) -> None:
    assert in_words(seen) == words


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (("ticks due 24; missed 1", "ticks due 26; missed 0"), "over 2 strikes: 50 ticks due, 1 missed"),
        (("handover s 0.2", "handover s 0.3"), "in each of 2 strikes: the hand-over took 200 to 300 ms"),
        (("herd 77", "herd 40", ""), "in each of 2 strikes: 40 to 77 requests at one moment"),
        (("killed 1", "killed 1"), "in each of 2 strikes: the limit killed 1 process"),
        (("step ms nan; step unknown", "step ms nan; step unknown"), ""),
        (("a new fact 3", "a new fact 4"), "in each of 2 strikes: a new fact 3, a new fact 4"),
        (("missed many", "missed 2"), "over 2 strikes: missed many, missed 2"),
        (("missed 2", ""), "2 missed"),
        (("", ""), ""),
    ],
)
def test_what_was_recorded_in_several_strikes_is_told_of_all(seen: tuple[str, ...], words: str) -> None:
    assert over_strikes(seen) == words


@pytest.mark.parametrize("seen", ["a new fact 3", "missed many", "<b>", "content strange"])
def test_a_fact_that_is_not_known_stays_as_it_is(seen: str) -> None:
    assert in_words(seen) == seen


def test_a_number_that_was_not_recorded_is_none() -> None:
    assert number("missed 3; step repaid", "missed") == 3
    assert math.isnan(number("missed 3; step repaid", "step"))
    assert math.isnan(number("", "missed"))
