"""Penalties on the discriminator, per sample (N,); the caller weighs and averages.

A penalty is a function of a `Pair`: the images and logits of one discriminator update. Under
autocast `discriminator_loss` computes penalties in float32. What acts on weights alone stands in
WEIGHT_PENALTIES (module -> scalar) and CONSTRAINTS (module, bound -> None).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from equipoise.game.penalties.consistency import bcr, consistency, cr, latent_spread, zcr
from equipoise.game.penalties.lazy import lazy_adam, lazy_weight
from equipoise.game.penalties.lecam import (
    LeCamState,
    drift,
    lecam,
    lecam_on,
    lecam_state,
    lecam_update,
    squared_logits,
)
from equipoise.game.penalties.pair import (
    PLAIN,
    Pair,
    Setting,
    input_gradients,
    scored,
    single_precision,
    squared_norm,
)
from equipoise.game.penalties.path_length import (
    PathLengthState,
    path_length,
    path_length_state,
    path_length_update,
    path_lengths,
)
from equipoise.game.penalties.slope import (
    around,
    between,
    blend,
    dragan,
    slope_penalty,
    wgan_gp,
    wgan_gp_one_sided,
    zero_gp,
)
from equipoise.game.penalties.weights import (
    CONSTRAINTS,
    WEIGHT_PENALTIES,
    clip_weights,
    orthogonal,
    orthogonal_weight,
    orthonormal,
    orthonormal_weight,
)
from equipoise.game.penalties.zero_centred import (
    directional,
    finite_difference_r1,
    r1,
    r1_finite_difference,
    r2,
    zero_centred,
)


@dataclass(frozen=True)
class Penalty:
    """A penalty and what it takes.

    Attributes:
        value: pair -> (N,).
        differentiates: the images that it differentiates by: "real", "fake", or such as it makes
            ("between", "around"). Batch normalization silently hides these slopes.
        factor: what the weight is multiplied by: gamma / 2 for R1 and R2, plain lambda elsewhere,
            each as its paper writes it.
        needs: names of `Setting` that must be given.
        reads_logits_alone: whether it needs no pass of its own in float32 under autocast.
    """

    value: Callable[[Pair], Tensor]
    differentiates: tuple[str, ...] = ()
    factor: float = 1.0
    needs: tuple[str, ...] = ()
    reads_logits_alone: bool = False


PENALTIES: dict[str, Penalty] = {
    "r1": Penalty(r1, ("real",), factor=0.5),
    "r2": Penalty(r2, ("fake",), factor=0.5),
    "r1_finite_difference": Penalty(r1_finite_difference, factor=0.5),
    "wgan_gp": Penalty(wgan_gp, ("between",)),
    "wgan_gp_one_sided": Penalty(wgan_gp_one_sided, ("between",)),
    "zero_gp": Penalty(zero_gp, ("between",)),
    "dragan": Penalty(dragan, ("around",)),
    "drift": Penalty(drift, reads_logits_alone=True),
    "lecam": Penalty(lecam_on, needs=("lecam",), reads_logits_alone=True),
    "cr": Penalty(cr, needs=("augment",)),
    "bcr": Penalty(bcr, needs=("augment",)),
    "zcr": Penalty(zcr, needs=("nearby",)),
}

__all__ = [
    "CONSTRAINTS",
    "PENALTIES",
    "PLAIN",
    "WEIGHT_PENALTIES",
    "LeCamState",
    "Pair",
    "PathLengthState",
    "Penalty",
    "Setting",
    "around",
    "between",
    "blend",
    "clip_weights",
    "consistency",
    "directional",
    "drift",
    "finite_difference_r1",
    "input_gradients",
    "latent_spread",
    "lazy_adam",
    "lazy_weight",
    "lecam",
    "lecam_state",
    "lecam_update",
    "orthogonal",
    "orthogonal_weight",
    "orthonormal",
    "orthonormal_weight",
    "path_length",
    "path_length_state",
    "path_length_update",
    "path_lengths",
    "r1",
    "r2",
    "scored",
    "single_precision",
    "slope_penalty",
    "squared_logits",
    "squared_norm",
    "zero_centred",
]
