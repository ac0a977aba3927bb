"""One rule per failure: a pure function of the trace. `RULES` is in order of veto."""

from collections.abc import Callable

from equipoise.clinic.rules.batch_norm_leak import batch_norm_leak
from equipoise.clinic.rules.broken_metric import broken_metric
from equipoise.clinic.rules.checkerboard_artifacts import checkerboard_artifacts
from equipoise.clinic.rules.condition_ignored import condition_ignored
from equipoise.clinic.rules.data_range_mismatch import data_range_mismatch
from equipoise.clinic.rules.discriminator_dominance import discriminator_dominance
from equipoise.clinic.rules.discriminator_overfitting import discriminator_overfitting
from equipoise.clinic.rules.divergence import divergence
from equipoise.clinic.rules.exploding_gradient import exploding_gradient
from equipoise.clinic.rules.generator_dominance import generator_dominance
from equipoise.clinic.rules.gradient_leak import gradient_leak
from equipoise.clinic.rules.gradient_noise import gradient_noise
from equipoise.clinic.rules.lipschitz_violation import lipschitz_violation
from equipoise.clinic.rules.memorization import memorization
from equipoise.clinic.rules.mode_collapse import mode_collapse
from equipoise.clinic.rules.no_gradient_to_generator import no_gradient_to_generator
from equipoise.clinic.rules.non_finite import non_finite
from equipoise.clinic.rules.oscillation import oscillation
from equipoise.clinic.rules.precision_underflow import precision_underflow
from equipoise.clinic.rules.runaway_logits import runaway_logits
from equipoise.clinic.rules.saturated_output import saturated_output
from equipoise.clinic.rules.stagnation import stagnation
from equipoise.clinic.rules.stalled_player import stalled_player
from equipoise.clinic.rules.swapped_labels import swapped_labels
from equipoise.clinic.rules.vanishing_gradient import vanishing_gradient
from equipoise.record import Finding, Trace

Rule = Callable[[Trace], Finding | None]

RULES: dict[str, Rule] = {
    "non_finite": non_finite,
    "stalled_player": stalled_player,
    "gradient_leak": gradient_leak,
    "no_gradient_to_generator": no_gradient_to_generator,
    "swapped_labels": swapped_labels,
    "data_range_mismatch": data_range_mismatch,
    "precision_underflow": precision_underflow,
    "batch_norm_leak": batch_norm_leak,
    "discriminator_dominance": discriminator_dominance,
    "generator_dominance": generator_dominance,
    "mode_collapse": mode_collapse,
    "divergence": divergence,
    "stagnation": stagnation,
    "vanishing_gradient": vanishing_gradient,
    "exploding_gradient": exploding_gradient,
    "runaway_logits": runaway_logits,
    "saturated_output": saturated_output,
    "discriminator_overfitting": discriminator_overfitting,
    "memorization": memorization,
    "oscillation": oscillation,
    "lipschitz_violation": lipschitz_violation,
    "condition_ignored": condition_ignored,
    "gradient_noise": gradient_noise,
    "checkerboard_artifacts": checkerboard_artifacts,
    "broken_metric": broken_metric,
}
EXACT = frozenset(
    {
        "non_finite", "stalled_player", "gradient_leak", "no_gradient_to_generator",
        "swapped_labels", "data_range_mismatch",
    }
)  # fmt: skip

__all__ = ["EXACT", "RULES", "Rule"]
