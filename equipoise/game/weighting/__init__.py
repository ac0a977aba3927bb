"""How strong the adversarial term is beside another loss (tokenizers, vocoders, super-resolution).

Gradients are compared where both terms meet: at the output y_hat (works under DDP, FSDP and
activation checkpointing), or at the weight of the last layer, as the taming family does. The
*adversarial share* is ||w g_adv|| / ||g_rec||: unlike w it has no unit and no trace of how a loss
was reduced (a sum over pixels instead of a mean multiplies w by C H W).
"""

from equipoise.game.weighting.adaptive import (
    Adaptive,
    Weight,
    adaptive_weight,
    adversarial_share,
    gradient_norm,
    weight_of_norms,
)
from equipoise.game.weighting.balancer import Balancer, BalancerState, balanced_gradient
from equipoise.game.weighting.ramps import (
    Plateau,
    PlateauState,
    fixed_weight,
    plateau_ramp,
    plateau_update,
    ramp,
)

WEIGHTINGS = {
    "fixed": fixed_weight,
    "adaptive": adaptive_weight,
    "balancer": balanced_gradient,
}

__all__ = [
    "WEIGHTINGS",
    "Adaptive",
    "Balancer",
    "BalancerState",
    "Plateau",
    "PlateauState",
    "Weight",
    "adaptive_weight",
    "adversarial_share",
    "balanced_gradient",
    "fixed_weight",
    "gradient_norm",
    "plateau_ramp",
    "plateau_update",
    "ramp",
    "weight_of_norms",
]
