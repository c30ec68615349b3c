"""Rates, times and arguments as a person writes them."""

from __future__ import annotations

import json
import random
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import BenchError
from bench.own_app.workload import arguments, units

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(min_size=9), inner, max_size=3),
    max_leaves=8,
)


def made(value: Any, number: int = 0, seed: int = 1) -> Any:
    return arguments.maker(value, where="args")(random.Random(seed), number)  # noqa: S311 - made-up arguments


@pytest.mark.parametrize(
    ("text", "per_second"), [("50/s", 50), ("50", 50), ("3000/min", 50), ("1800/h", 0.5), (2.5, 2.5)]
)
def test_a_rate_is_read_as_calls_a_second(text: object, per_second: float) -> None:
    assert units.rate(text, where="rate") == pytest.approx(per_second)


@pytest.mark.parametrize("text", ["fast", "50/day", "-1/s", "0/s", "", True, None, "1e3/s", "nan"])
def test_a_rate_that_is_none_is_refused_by_its_text(text: object) -> None:
    with pytest.raises(BenchError, match=r"^--rate is .*expected a rate above 0, such as 50/s"):
        units.rate(text, where="--rate")


def test_a_time_has_a_unit_or_is_seconds() -> None:
    assert [units.seconds(text, where="x") for text in ("500ms", "2s", "1min", 3)] == [0.5, 2, 60, 3]
    with pytest.raises(BenchError, match="expected a time above 0"):
        units.seconds("soon", where="--deadline")


@pytest.mark.parametrize("text", ["0", "-1", "much", "nan", "inf", True])
def test_a_weight_of_nothing_is_refused(text: object) -> None:
    with pytest.raises(BenchError, match="expected a number above 0"):
        units.weight(text, where="weight")


@given(JSON)
def test_a_plain_value_stands_for_itself(value: Any) -> None:
    assert made(value) == value


def test_each_call_has_arguments_of_its_own() -> None:
    value = [{"sequence": 7}, {"format": "order-{n}"}, {"deep": [{"integer": [3, 3]}]}]
    assert made(value, number=2) == [9, "order-2", {"deep": [3]}]
    assert made({"choice": ["a"]}) == "a"
    assert len(made({"text": 40})) == 40
    assert uuid.UUID(made({"uuid": True})).version == 4
    assert made({"literal": {"sequence": 1}}) == {"sequence": 1}


def test_the_same_seed_draws_the_same_arguments() -> None:
    value = [{"uuid": True}, {"text": 9}, {"integer": [1, 10**9]}]
    assert made(value, seed=3) == made(value, seed=3) != made(value, seed=4)


def test_a_keyword_may_bear_the_name_of_a_generator() -> None:
    make = arguments.keywords({"text": "hello"}, where="kwargs")
    assert make(random.Random(1), 0) == {"text": "hello"}  # noqa: S311 - as above


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"choice": []}, "expected a list with one value or more"),
        ({"integer": [2, 1]}, "2 is above 1"),
        ({"integer": 5}, r"expected \[lowest, highest\]"),
        ({"sequence": "one"}, "'one' is not a whole number"),
        ({"format": "{order}"}, "'order'"),
        ({"text": -1}, "expected 0 to"),
    ],
)
def test_a_generator_that_makes_nothing_is_refused_before_the_run(value: Any, told: str) -> None:
    with pytest.raises(BenchError, match=told):
        made([value])


def test_text_that_is_not_json_is_refused_with_an_example() -> None:
    with pytest.raises(BenchError, match=r"which is not JSON .*write it as '\[42\]'"):
        arguments.from_json("42]", where="--args")
    assert arguments.from_json(json.dumps([1]), where="--args") == [1]
