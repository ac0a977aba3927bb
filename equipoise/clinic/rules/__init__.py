"""One rule per failure: a pure function of the trace. `RULES` is in order of veto."""

from collections.abc import Callable

from equipoise.clinic.rules.discriminator_dominance import discriminator_dominance
from equipoise.clinic.rules.divergence import divergence
from equipoise.clinic.rules.generator_dominance import generator_dominance
from equipoise.clinic.rules.mode_collapse import mode_collapse
from equipoise.clinic.rules.non_finite import non_finite
from equipoise.clinic.rules.stagnation import stagnation
from equipoise.clinic.rules.stalled_player import stalled_player
from equipoise.record import Finding, Trace

Rule = Callable[[Trace], Finding | None]

RULES: dict[str, Rule] = {
    "non_finite": non_finite,
    "stalled_player": stalled_player,
    "discriminator_dominance": discriminator_dominance,
    "generator_dominance": generator_dominance,
    "mode_collapse": mode_collapse,
    "divergence": divergence,
    "stagnation": stagnation,
}
EXACT = frozenset({"non_finite", "stalled_player"})

__all__ = ["EXACT", "RULES", "Rule"]
