"""The growing trace: small, cheap to look at, and never changed after it was handed out."""

import tracemalloc

import hypothesis.strategies as st
import numpy as np
from hypothesis import given

from equipoise.monitor.history import Column, History
from equipoise.record import Series

NAMES = [f"signal/{i}" for i in range(5)]


def filled(rows):
    history = History(None, {})
    for step in range(rows):
        history.add(step, step / 1000, step * 0.1, dict.fromkeys(NAMES, step * 0.5))
    return history


@given(st.lists(st.tuples(st.integers(0, 50), st.floats(allow_nan=False)), max_size=200))
def test_a_column_is_a_sorted_mapping_of_last_values(readings):
    column = Column()
    for step, value in readings:
        column.add(step, value)
    series, expected = column.series(), dict(sorted(dict(readings).items()))
    assert series.steps.tolist() == list(expected)
    assert series.values.tolist() == list(expected.values())


def test_a_reading_costs_sixteen_bytes_or_twice_that_while_it_doubles():
    tracemalloc.start()
    try:
        history = filled(20_000)
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(history.trace().series(NAMES[0])) == 20_000
    assert size / (20_000 * (len(NAMES) + 2)) < 34


def test_looking_copies_nothing():
    history = filled(1_000)
    looks = history.trace(), history.trace()
    for name in NAMES:
        first, second = (look.series(name) for look in looks)
        assert np.shares_memory(first.values, second.values)
        assert np.shares_memory(first.steps, second.steps)


def test_a_trace_handed_out_never_changes():
    history = filled(5)
    before = history.trace()
    history.add(4, 0.0, 0.0, {NAMES[0]: -1.0})
    history.add(5, 0.0, 0.0, {NAMES[0]: -2.0})
    history.add(0, 0.0, 0.0, {NAMES[0]: -3.0})
    assert before.series(NAMES[0]).values.tolist() == [0.0, 0.5, 1.0, 1.5, 2.0]
    assert history.trace().series(NAMES[0]).values.tolist() == [-3.0, 0.5, 1.0, 1.5, -1.0, -2.0]
    assert not before.series(NAMES[0]).values.flags.writeable


def test_the_last_value_of_a_signal():
    history = filled(3)
    assert history.last(NAMES[0]) == 1.0
    assert history.last("unknown") == 0.0


def test_a_column_begins_with_a_series():
    series = Series(np.array([1, 5], np.int64), np.array([2.0, 3.0]))
    column = Column.of(series)
    column.add(9, 4.0)
    assert column.series().steps.tolist() == [1, 5, 9]
