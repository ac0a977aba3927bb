"""When the adversarial term comes in: at a step, or once the reconstruction has settled."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from equipoise.game.schedules import factor


def ramp(step: int, start: int = 0, length: int = 0, shape: str = "linear") -> float:
    """0 before `start`, then up to 1 over `length` steps ("linear" or "cosine").

    A discriminator that is trained from an earlier step has by then something to say: the weight
    that jumps from 0 to full against an untrained one is the cliff of many public runs.

    Raises:
        ValueError: length < 0, or an unknown shape.

    >>> [ramp(step, start=10, length=4) for step in (9, 10, 12, 14, 99)]
    [0.0, 0.0, 0.5, 1.0, 1.0]
    """
    if length < 0:
        raise ValueError(f"length = {length!r}: a ramp takes 0 steps (a jump) or more")
    if step < start:
        return 0.0
    return factor(shape, 0.0, 1.0, (step - start) / length) if length else 1.0


def fixed_weight(weight: float, step: int = 0, start: int = 0, length: int = 0) -> float:
    """The same weight from `start` on, after a linear ramp over `length` steps; 0 before.

    0.01 to 0.2 in today's tokenizers, whose reconstruction is a mean over pixels.
    """
    return weight * ramp(step, start, length)


@dataclass(frozen=True)
class Plateau:
    """When the reconstruction counts as settled, and how the ramp then rises.

    Attributes:
        patience: steps without a new best after which the ramp starts.
        improvement: a new best is lower by this part of the best.
        earliest: the ramp starts no earlier than this step.
        length, shape: the ramp's.
        decay: of the loss's moving average.
    """

    patience: int = 2000
    improvement: float = 0.01
    earliest: int = 0
    length: int = 1000
    shape: str = "linear"
    decay: float = 0.99

    def __post_init__(self) -> None:
        if self.patience < 1 or self.length < 0 or not 0 <= self.decay < 1:
            raise ValueError(
                f"patience = {self.patience!r}, length = {self.length!r}, decay = {self.decay!r}:"
                " patience is at least 1 step, length at least 0, decay in [0, 1)"
            )


@dataclass(frozen=True)
class PlateauState:
    """What a plateau is told from; plain numbers, so `dataclasses.asdict` saves it.

    Attributes:
        average: of the loss, times (1 - decay^readings).
        best: lowest average so far.
        best_step: where it was.
        started: where the ramp started, None before.
    """

    average: float = 0.0
    readings: int = 0
    best: float = math.inf
    best_step: int = 0
    started: int | None = None


def plateau_update(
    state: PlateauState, settings: Plateau, step: int, reconstruction: float
) -> PlateauState:
    """The state after a reading of the reconstruction loss at `step`, a number of the host's.

    Reading every 50 steps or so keeps the device from being waited for. Once started a ramp does
    not go back; a reading that is not finite is passed over.
    """
    if state.started is not None or not math.isfinite(reconstruction):
        return state
    average = settings.decay * state.average + (1 - settings.decay) * reconstruction
    readings = state.readings + 1
    level = average / (1 - settings.decay**readings)
    needed = settings.improvement * abs(state.best) if state.readings else 0.0
    if level < state.best - needed:
        return PlateauState(average, readings, level, step)
    settled = step - state.best_step >= settings.patience and step >= settings.earliest
    return replace(state, average=average, readings=readings, started=step if settled else None)


def plateau_ramp(state: PlateauState, settings: Plateau, step: int) -> float:
    """The factor of the adversarial weight at `step`: 0 until the plateau, then the ramp."""
    if state.started is None:
        return 0.0
    return ramp(step, state.started, settings.length, settings.shape)
