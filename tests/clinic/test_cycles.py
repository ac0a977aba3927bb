"""Cycles: what is found of a known wave, and what is not found in noise."""

import numpy as np
import pytest

from equipoise.clinic.cycles import Cycle, began, cycle, evidence
from equipoise.record import Trace


def trace(values, every=10):
    return Trace.from_columns((np.arange(len(values)) + 1) * every, {"x": values})


def wave(count, period, amplitude=1.0):
    return amplitude * np.cos(2 * np.pi * np.arange(count) / period)


@pytest.mark.parametrize("period", [5.0, 8.0, 12.5, 20.0])
@pytest.mark.parametrize("amplitude", [1e-6, 0.5, 1e6])
def test_period_and_amplitude_of_a_wave_are_recovered(period, amplitude):
    values = wave(200, period, amplitude) + 7 * amplitude
    found = cycle(trace(values), "x")
    assert found.period == pytest.approx(10 * period, rel=0.05)
    assert found.amplitude == pytest.approx(amplitude, rel=0.1)
    assert found.centre == pytest.approx(7 * amplitude, rel=0.1)
    assert found.window == (1010, 2000)


def test_a_wave_on_a_slope_and_under_noise_is_found():
    random = np.random.default_rng(0)
    values = wave(200, 10) + np.linspace(0, 30, 200) + random.normal(size=200) * 0.3
    assert cycle(trace(values), "x").period == pytest.approx(100, rel=0.05)


def test_readings_at_uneven_steps_are_put_on_a_grid():
    random = np.random.default_rng(0)
    steps = np.unique(random.integers(1, 4000, 300))
    values = np.cos(2 * np.pi * steps / 200)
    found = cycle(Trace.from_columns(steps, {"x": values}), "x")
    assert found.period == pytest.approx(200, rel=0.05)


NONE = {
    "nothing": [],
    "constant": np.full(200, 3.0),
    "few readings": wave(40, 6),
    "not finite": np.full(200, np.nan),
    "fewer than four turns": wave(200, 30),
    "decays": wave(200, 8) * np.exp(-np.arange(200) / 40),
    "grows": wave(200, 8) * np.exp(np.arange(200) / 30),
    "line": np.linspace(0, 1, 200),
    "step": np.arange(200) > 150,
}


@pytest.mark.parametrize("name", NONE)
def test_what_is_no_lasting_cycle(name):
    assert cycle(trace(np.asarray(NONE[name], float)), "x") is None


@pytest.mark.parametrize("memory", [0.0, 0.6, 0.9, 0.98])
@pytest.mark.parametrize("count", [50, 100, 400])
def test_noise_of_any_colour_is_taken_for_a_cycle_less_than_once_in_a_hundred(memory, count):
    random = np.random.default_rng(7)
    shocks = random.normal(size=(200, count))
    for i in range(1, count):
        shocks[:, i] += memory * shocks[:, i - 1]
    assert sum(cycle(trace(row), "x") is not None for row in shocks) <= 1


def test_it_began_with_the_first_swing_of_the_chain():
    values = wave(200, 8)
    values[:60] = 0.0
    found = cycle(trace(values), "x")
    assert began(trace(values), found) == pytest.approx(610, abs=40)  # within half a period
    values[20] = 5.0  # an odd reading long before is no part of it
    assert began(trace(values), found) == pytest.approx(610, abs=40)


def test_the_evidence_is_half_the_range():
    found = cycle(trace(wave(200, 8, 3.0)), "x")
    told = evidence(trace(wave(200, 8, 3.0)), found, "settling")
    assert (told.observed, told.statistic) == (pytest.approx(3.0), "half the range")


def test_periods_are_near_within_a_bins_width():
    def of(period):
        return Cycle("x", period, 1.0, 0.0, (0, 1))

    assert of(100).near(of(110))
    assert of(110).near(of(100))
    assert not of(100).near(of(130))
