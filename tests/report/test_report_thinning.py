"""Fewer points, same story."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from equipoise.report.thinning import evenly, kept


@pytest.mark.parametrize("position", [0, 1, 4_321, 55_555, 99_999])
@pytest.mark.parametrize("height", [50.0, -50.0])
def test_a_spike_of_one_step_survives(position, height):
    values = np.sin(np.arange(100_000) / 500)
    values[position] = height
    keep = kept(values)
    assert len(keep) <= 2_000
    assert position in keep
    assert values[keep].min() == values.min()
    assert values[keep].max() == values.max()


def test_a_gap_of_one_step_survives():
    values = np.zeros(50_000)
    values[31_234] = np.nan
    assert np.isnan(values[kept(values)]).sum() == 1


def test_short_series_are_left_whole():
    assert kept(np.zeros(2_000)).tolist() == list(range(2_000))
    assert kept(np.zeros(0)).tolist() == []


@given(st.integers(1, 5_000), st.integers(5, 300), st.floats(0, 1))
def test_thinned_indices_rise_within_the_limit_and_keep_both_ends(count, limit, missing):
    rng = np.random.default_rng(count)
    values = np.where(rng.random(count) < missing, np.nan, rng.standard_normal(count))
    keep = kept(values, limit)
    assert len(keep) <= limit or count <= limit
    assert (np.diff(keep) > 0).all()
    assert keep[0] == 0
    assert keep[-1] == count - 1


@given(st.integers(1, 500), st.integers(-50, 6_000))
def test_time_points_keep_first_last_and_the_one_nearest_the_onset(count, onset):
    steps = [10 * i for i in range(count)]
    keep = evenly(steps, 40, onset)
    assert len(keep) == min(count, 40)
    assert keep == sorted(set(keep))
    assert keep[0] == 0
    assert keep[-1] == count - 1
    distance = min(abs(step - onset) for step in steps)
    assert min(abs(steps[i] - onset) for i in keep) == distance
