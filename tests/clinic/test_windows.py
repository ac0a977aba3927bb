"""Windows against slow twins."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from equipoise.clinic.windows import (
    FEWEST,
    HOLDS,
    late,
    median,
    onset,
    persistent_share,
    slope_per_run,
    smoothed,
    window,
)
from equipoise.record import Series, Trace

NAN = float("nan")


def series(values, every=10):
    steps = (np.arange(len(values)) + 1) * every
    return Series(steps.astype(np.int64), np.asarray(values, np.float64))


def slow_onset(values, holds):
    if len(values) < FEWEST or not sum(holds[-FEWEST:]) > FEWEST / 2:
        return None
    for i in range(len(values) - FEWEST + 1):
        if holds[i] and sum(holds[i:]) / len(holds[i:]) >= HOLDS:
            return (i + 1) * 10
    return None


@given(st.lists(st.booleans(), max_size=40))
def test_onset_is_the_slow_twins(holds):
    values = series([float(h) for h in holds])
    assert onset(values, np.array(holds, bool)) == slow_onset(holds, holds)


@given(st.lists(st.floats(-100, 100), min_size=FEWEST, max_size=30))
def test_slope_is_that_of_least_squares(values):
    t = np.linspace(0, 1, len(values))
    assert slope_per_run(series(values)) == pytest.approx(np.polyfit(t, values, 1)[0], abs=1e-8)


def test_slope_asks_for_five_readings():
    assert np.isnan(slope_per_run(series([1, 2, 3, 4])))
    assert slope_per_run(series([NAN, 1, 2, 3, 4, 5])) == pytest.approx(4)


def test_a_step_stays_where_it_is_when_smoothed():
    values = [0.0] * 10 + [1.0] * 10
    np.testing.assert_array_equal(smoothed(series(values)).values, values)


@pytest.mark.parametrize("odd", [0, 7, 19])
def test_one_odd_reading_is_smoothed_away(odd):
    values = np.ones(20)
    values[odd] = 50
    assert (smoothed(series(values)).values == 1).all()


def test_late_is_the_last_third_or_five_readings():
    assert window(late(series(range(100)))) == (710, 1000)
    assert len(late(series(range(6)))) == FEWEST
    assert len(late(series([NAN, NAN]))) == 0
    assert np.isnan(median(late(series([]))))


def test_persistent_share_is_of_the_observed_steps():
    trace = Trace.from_columns([0, 50, 100], {"x": [0, 0, 0]})
    assert persistent_share(trace, 75) == pytest.approx(0.25)
