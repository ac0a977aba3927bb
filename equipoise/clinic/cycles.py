"""Cycles in a signal: a periodic swing told from noise, however coloured the noise is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from equipoise.record import Evidence, Series, Trace

PART = 0.5  # of the run that is looked at: a cycle that has ended is none
FEWEST = 24  # readings in it
TURNS = 4  # whole cycles in it, at least; a slower swing cannot be told from drift
# Chance of so high a peak anywhere in the spectrum of autoregressive noise fitted to the rest. The
# fit is no exact law: of 8,000 series of 20 lengths and colours one passes all conditions; with
# 1e-4 and three turns one in a hundred does.
CHANCE = 1e-6
SHARE = 0.5  # of the variance, in the cycle and its next two harmonics; white noise has about 0.2
LASTS, GROWS = (
    0.7,
    3.0,
)  # spread of the later half over the earlier; below it decays, above diverges
FITS = np.linspace(0.0, 0.98, 50)  # autocorrelations of the noise that are tried
NEAR = 0.15  # relative difference of two periods that are one: a bin's width at few turns


@dataclass(frozen=True)
class Cycle:
    """A lasting periodic swing.

    Attributes:
        signal: its name.
        period: in steps.
        amplitude: of the sinusoid with the cycle's power, in the signal's unit.
        centre: median of the part looked at.
        window: first and last step of that part.
    """

    signal: str
    period: float
    amplitude: float
    centre: float
    window: tuple[int, int]

    def near(self, other: Cycle) -> bool:
        """Whether two swings have one period."""
        return abs(math.log(self.period / other.period)) <= NEAR


def cycle(trace: Trace, name: str) -> Cycle | None:
    """The cycle of a signal over the last half of its readings, None where it is none.

    The periodogram of the readings, detrended and under a Hann window, is compared with that of
    first-order autoregressive noise fitted by Whittle's likelihood to all frequencies but the
    peak's (Mann and Lees 1996 do so for climate records): P_k / S_k is exponential of mean 1 there,
    and with S's scale from M of them its chance among m is at most m (1 + P_k / (S_k M))^-M. It
    must also hold `SHARE` of the variance, turn `TURNS` times, and neither decay nor grow.
    """
    series = trace.series(name).finite()
    part = _part(series)
    if len(part) < FEWEST:
        return None
    values = _detrended(_even(part))
    spread = float(values.std())
    if not spread > 1e-9 * max(1e-300, float(np.abs(part.values).max())) or not _lasts(values):
        return None
    power = np.abs(np.fft.rfft(values * np.hanning(len(values)))[1:]) ** 2
    peak = TURNS - 1 + int(np.argmax(power[TURNS - 1 : len(values) // 4]))
    share, turns = _share(power, peak), _turns(power, peak)
    if turns < TURNS - 0.5 or share < SHARE or _chance(power, peak) > CHANCE:
        return None
    first, last = int(part.steps[0]), int(part.steps[-1])
    return Cycle(
        name,
        (last - first) * len(values) / (len(values) - 1) / turns,
        math.sqrt(2 * share) * spread,
        float(np.median(part.values)),
        (first, last),
    )


def evidence(trace: Trace, found: Cycle, expected: str) -> Evidence:
    """Half the range of the signal over the cycle's window."""
    part = trace.series(found.signal).finite().since(found.window[0]).until(found.window[1])
    return Evidence(
        found.signal, float(np.ptp(part.values)) / 2, expected, found.window, "half the range"
    )


def began(trace: Trace, found: Cycle) -> int:
    """First reading of the unbroken chain of swings to the end.

    A swing is a reading farther than half the amplitude from the centre; in a chain no two are
    farther apart than a period.
    """
    series = trace.series(found.signal).finite()
    far = np.flatnonzero(np.abs(series.values - found.centre) >= found.amplitude / 2)
    steps = series.steps[far]
    breaks = np.flatnonzero(np.diff(steps) > found.period)
    return int(steps[int(breaks[-1]) + 1 if len(breaks) else 0])


def _part(series: Series) -> Series:
    if len(series) == 0:
        return series
    first, last = series.steps[0], series.steps[-1]
    return series.since(math.ceil(last - PART * (last - first)))


def _even(part: Series) -> NDArray[np.float64]:
    """As many readings at even distances."""
    grid = np.linspace(part.steps[0], part.steps[-1], len(part))
    return np.interp(grid, part.steps, part.values)


def _detrended(values: NDArray[np.float64]) -> NDArray[np.float64]:
    t = np.linspace(-1, 1, len(values))
    centred = values - values.mean()
    rest: NDArray[np.float64] = centred - t * (t @ centred) / (t @ t)
    return rest


def _lasts(values: NDArray[np.float64]) -> bool:
    early, late = np.array_split(values, 2)
    return bool(LASTS * early.std() <= late.std() <= GROWS * early.std())


def _near_bins(peak: int, count: int, harmonics: int) -> NDArray[np.int64]:
    """Indices of the bins around the peak's frequency and its multiples (bin i is i + 1 turns)."""
    centres = [(peak + 1) * h - 1 for h in range(1, harmonics + 1)]
    bins = np.unique([c + d for c in centres for d in (-1, 0, 1)])
    kept: NDArray[np.int64] = bins[(bins >= 0) & (bins < count)]
    return kept


def _share(power: NDArray[np.float64], peak: int) -> float:
    return float(power[_near_bins(peak, len(power), 3)].sum() / power.sum())


def _turns(power: NDArray[np.float64], peak: int) -> float:
    """Turns in the window: the centroid of the peak's bins."""
    bins = _near_bins(peak, len(power), 1)
    return float(power[bins] @ (bins + 1) / power[bins].sum())


def _chance(power: NDArray[np.float64], peak: int) -> float:
    rest = np.setdiff1d(np.arange(len(power)), _near_bins(peak, len(power), 3))
    frequency = np.pi * (np.arange(len(power)) + 1) / len(power)
    shapes = 1 / (1 - 2 * FITS[:, None] * np.cos(frequency) + FITS[:, None] ** 2)
    kept = np.maximum(power[rest], 1e-300)
    scales = (kept / shapes[:, rest]).mean(1)
    likelihood = -(np.log(scales[:, None] * shapes[:, rest])).sum(1)
    best = int(np.argmax(likelihood))
    ratio = power[peak] / (scales[best] * shapes[best, peak])
    return min(1.0, len(power) * math.exp(-len(rest) * math.log1p(float(ratio) / len(rest))))
