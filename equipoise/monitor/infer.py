"""Which objective a loop uses, told from its loss and logits."""

from __future__ import annotations

import torch
from torch import Tensor

from equipoise.game import OBJECTIVES

CLOSE = 0.02  # relative; halved and doubled conventions are tried too
SCALES = (1.0, 0.5)


def inferred_objective(
    real: Tensor, fake: Tensor, loss: Tensor | float | None
) -> tuple[str | None, str]:
    """(name or None, how it was told): the objective whose loss on these logits is the loop's own.

    A penalty added to the loss hides it: then None. One synchronization, once per run.
    """
    if loss is None:
        return None, "not told: pass objective= or losses= with the discriminator's loss"
    count = min(len(real), len(fake))
    given = float(loss)
    for name, objective in OBJECTIVES.items():
        value = float(objective.discriminator(real[:count], fake[:count]).mean())
        for scale in SCALES:
            if abs(given - scale * value) <= CLOSE * max(abs(scale * value), 1e-6):
                return name, f"inferred: the discriminator's loss is {scale:g} x this objective's"
    if not bool(torch.isfinite(torch.as_tensor(given))):
        return None, "not told: the loss is not finite"
    return None, "not told: the discriminator's loss fits no known objective (a penalty in it?)"
