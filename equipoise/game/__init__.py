"""The mathematics of the game: tensors in, tensors out; no I/O, no logging, no config."""

from equipoise.game.ema import averaged, decay_of, ema_update
from equipoise.game.moves import Move, discriminator_loss, generator_loss
from equipoise.game.normalization import NORMALIZATIONS, couples_batch, normalized, spectral_norm
from equipoise.game.objectives import OBJECTIVES, Objective, objective
from equipoise.game.penalties import PENALTIES, Pair, Penalty, r1, r2, squared_norm
from equipoise.game.schedules import SCHEDULES, factor
from equipoise.game.updates import OPTIMIZERS, frozen

__all__ = [
    "NORMALIZATIONS",
    "OBJECTIVES",
    "OPTIMIZERS",
    "PENALTIES",
    "SCHEDULES",
    "Move",
    "Objective",
    "Pair",
    "Penalty",
    "averaged",
    "couples_batch",
    "decay_of",
    "discriminator_loss",
    "ema_update",
    "factor",
    "frozen",
    "generator_loss",
    "normalized",
    "objective",
    "r1",
    "r2",
    "spectral_norm",
    "squared_norm",
]
