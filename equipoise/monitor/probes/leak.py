"""Whether a sample's logit depends on the company it keeps."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from equipoise.monitor.probes.probe import Probe, Readings
from equipoise.monitor.probes.quiet import reseed
from equipoise.monitor.probes.scene import Scene
from equipoise.monitor.probes.stage import Stage, staged


def leak(scene: Scene) -> Readings:
    """How far logits of the same reals move, in standard deviations of reals' and fakes' logits.

    leak/batch: mean_i |D(x_i | other reals) - D(x_i | fakes)|: the first half of the reals beside
    the second half, and beside fakes. Exactly 0 where samples are apart. leak/mode: the same
    between training and evaluation mode of the layers that keep running statistics, all else as it
    is. In the mode that the discriminator was found in, with the same random numbers in each pass,
    so that dropout is no leak. Layers that couple by design (minibatch deviation) are seen too.
    """
    with staged(scene) as stage, torch.no_grad():
        real, fake, labels = stage.pair()
        half = len(real) // 2
        if half < 1:
            return {}
        real, fake = real[: 2 * half], fake[: 2 * half].to(real.dtype)
        labels = None if labels is None else labels[: 2 * half]
        still = _by_running_statistics(stage, real, labels)  # first: other passes move them
        pure, of_fake = (_scores(stage, x, labels) for x in (real, fake))
        mixed = _scores(stage, torch.cat([real[:half], fake[half:]]), labels)
        spread = torch.cat([pure, of_fake]).std(correction=0).clamp_min(1e-12)
        found = {"leak/batch": (pure[:half] - mixed[:half]).abs().mean() / spread}
        if still is not None:
            found["leak/mode"] = (pure - still).abs().mean() / spread
        return found


def _scores(stage: Stage, samples: Tensor, labels: Tensor | None) -> Tensor:
    reseed(stage.device)
    return stage.scores(samples, labels)


def _by_running_statistics(stage: Stage, samples: Tensor, labels: Tensor | None) -> Tensor | None:
    """Scores where layers found in training mode use what they kept; None where none keeps any."""
    parts = [p for n in stage.scene.discriminators.values() for p in n.module.modules()]
    kept = [p for p in parts if isinstance(p, nn.modules.batchnorm._NormBase)]
    changed = [p for p in kept if p.training and p.running_mean is not None]
    for part in changed:
        part.training = False
    scores = _scores(stage, samples, labels) if changed else None
    for part in changed:
        part.training = True
    return scores


PROBE = Probe("leak", leak, 0.28, frozenset({"generator", "discriminator"}))
