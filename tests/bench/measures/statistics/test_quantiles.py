from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.measures.statistics.quantiles import printable, quantile, quantiles
from bench.schema import MINIMUM_SAMPLES


@pytest.mark.parametrize(("q", "minimum"), MINIMUM_SAMPLES.items())
def test_a_quantile_is_printed_from_its_minimum_on(q: float, minimum: int) -> None:
    assert q not in printable(minimum - 1)
    assert q in printable(minimum)


def test_the_minimums_are_those_of_the_method() -> None:
    assert MINIMUM_SAMPLES == {0.5: 6, 0.9: 36, 0.95: 72, 0.99: 368, 0.999: 3688}


def test_too_few_samples_print_nothing() -> None:
    assert quantiles([1.0] * 5) == {}


@given(
    st.lists(st.floats(0, 1e6) | st.just(math.inf), min_size=1),
    st.floats(0, 1),
)
def test_a_quantile_is_never_nan_and_lies_within_the_values(values: list[float], q: float) -> None:
    assert min(values) <= quantile(values, q) <= max(values)


def test_a_quantile_between_a_finite_and_an_unfinished_job_is_infinite() -> None:
    assert quantile([1.0, math.inf], 0.5) == math.inf


def test_a_quantile_that_lands_on_a_finite_value_is_finite_though_others_never_finished() -> None:
    assert quantile([1.0, 2.0, math.inf], 0.5) == 2.0


def test_finite_quantiles_are_those_of_numpy() -> None:
    values = np.random.default_rng(1).exponential(size=400)
    assert quantiles(values) == pytest.approx({q: np.quantile(values, q) for q in (0.5, 0.9, 0.95, 0.99)})


@pytest.mark.parametrize("values", [[], [1.0, math.nan]])
def test_nothing_and_nan_are_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="needs numbers"):
        quantile(values, 0.5)
