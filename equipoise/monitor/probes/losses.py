"""The players' losses on the fixed batches, with graph through both players."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from equipoise.game import OBJECTIVES, PENALTIES, Pair
from equipoise.monitor.probes.stage import MOST_SAMPLES, Stage


class Losses(NamedTuple):
    """Batch means; `discriminator` with penalties, `adversarial` the same without."""

    generator: Tensor
    discriminator: Tensor
    adversarial: Tensor


def losses(
    stage: Stage, most: int = MOST_SAMPLES, start: int = 0, reals: Tensor | None = None
) -> Losses:
    """L_G and L_D of the samples from `start` up to `most`, one pass each for reals and fakes.

    Fakes carry the generator's graph into the discriminator's loss too: v_psi depends on theta.
    `reals` stand in for the scene's.
    """
    scene = stage.scene
    assert scene.objective is not None
    real, fake, labels = stage.pair(most, start)
    real = real if reals is None else reals
    sides = {s for name, g in scene.gammas.items() if g for s in PENALTIES[name].differentiates}
    real = real.detach().requires_grad_("real" in sides)
    if "fake" in sides and not fake.requires_grad:
        fake = fake.detach().requires_grad_()
    of_real, of_fake = (stage.discriminate(x, labels) for x in (real, fake))
    objective = OBJECTIVES[scene.objective]
    adversarial = objective.discriminator(of_real, of_fake).mean()
    pair = Pair(lambda x: stage.discriminate(x, labels), real, fake, of_real, of_fake)
    whole = adversarial
    for name, gamma in scene.gammas.items():
        if gamma:
            value = PENALTIES[name].value(pair).mean()
            whole = whole + PENALTIES[name].factor * gamma * value
    return Losses(objective.generator(of_fake, of_real).mean(), whole, adversarial)
