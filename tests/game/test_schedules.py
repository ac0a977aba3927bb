"""Schedules against their closed forms."""

import math

import pytest

from equipoise.game import SCHEDULES, burn_in, factor
from equipoise.recipe import Schedule

START, END = 4.0, 0.25
VALUES = {
    "constant": (4.0, 4.0, 4.0),
    "linear": (4.0, 2.125, 0.25),
    "cosine": (4.0, 2.125, 0.25),
    "exponential": (4.0, 1.0, 0.25),
}
QUARTER = {
    "constant": 4.0,
    "linear": 3.0625,
    "cosine": 0.25 + 3.75 * (1 + math.sqrt(0.5)) / 2,
    "exponential": 2.0,
}
every = pytest.mark.parametrize("shape", VALUES)


def test_every_schedule_is_under_contract_and_may_stand_in_a_recipe():
    assert set(VALUES) == set(SCHEDULES)
    assert all(Schedule(shape=shape).shape == shape for shape in SCHEDULES)


@every
def test_values_at_the_start_middle_and_end(shape):
    found = tuple(factor(shape, START, END, t) for t in (0.0, 0.5, 1.0))
    assert found == pytest.approx(VALUES[shape], abs=1e-15)
    assert factor(shape, START, END, 0.25) == pytest.approx(QUARTER[shape])


@every
def test_time_is_held_inside_the_run(shape):
    start, _, end = VALUES[shape]
    for t in (-0.1, -5.0, -math.inf):
        assert factor(shape, START, END, t) == pytest.approx(start)
    for t in (1.1, 7.0, math.inf):
        assert factor(shape, START, END, t) == pytest.approx(end)


@every
def test_equal_ends_make_a_constant(shape):
    assert [factor(shape, 0.7, 0.7, t / 10) for t in range(11)] == pytest.approx([0.7] * 11)


@pytest.mark.parametrize(("start", "end"), [(0.0, 1.0), (1.0, 0.0), (-1.0, 1.0)])
def test_exponential_refuses_what_it_cannot_reach(start, end):
    with pytest.raises(ValueError, match="above 0; use 'linear' or 'cosine' to reach 0"):
        factor("exponential", start, end, 0.5)


@pytest.mark.parametrize("shape", ["linear", "cosine"])
def test_linear_and_cosine_reach_zero(shape):
    assert factor(shape, 1.0, 0.0, 1.0) == 0.0


def test_an_unknown_schedule_lists_the_choices():
    with pytest.raises(ValueError, match="'cosin'; did you mean 'cosine'") as caught:
        factor("cosin", 1.0, 0.0, 0.5)
    assert all(shape in str(caught.value) for shape in SCHEDULES)


@pytest.mark.parametrize("shape", ["linear", "cosine", "exponential"])
def test_burn_in_goes_from_start_to_end_and_stays(shape):
    assert burn_in(START, END, 0, 50, shape) == START
    assert burn_in(START, END, 25, 50, shape) == pytest.approx(VALUES[shape][1])
    assert [burn_in(START, END, kimg, 50, shape) for kimg in (50, 51, 1e6)] == [END] * 3
    assert burn_in(START, END, 0, 0, shape) == END


def test_burn_in_of_instance_noise_reaches_zero():
    assert burn_in(0.1, 0.0, 100, 100) == 0.0
    assert 0 < burn_in(0.1, 0.0, 99, 100) < 0.1


@pytest.mark.parametrize("wrong", [(1, 0, -1, 5), (1, 0, 1, -5), (1, 0, math.nan, 5)])
def test_burn_in_refuses_negative_times(wrong):
    with pytest.raises(ValueError, match="at least 0, in kimg"):
        burn_in(*wrong)


def test_burn_in_refuses_shapes_that_do_not_arrive():
    with pytest.raises(ValueError, match="never comes from 1 to 0"):
        burn_in(1, 0, 5, 10, "constant")
    with pytest.raises(ValueError, match="above 0; use 'linear'"):
        burn_in(1, 0, 50, 10, "exponential")
