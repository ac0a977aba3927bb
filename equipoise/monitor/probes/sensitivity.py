"""How the generator answers to its latent: how strongly, and in how many directions."""

from __future__ import annotations

import torch
from torch import Tensor

from equipoise.monitor.probes.probe import Probe, Readings
from equipoise.monitor.probes.scene import Scene
from equipoise.monitor.probes.stage import Stage, staged

MOST_SAMPLES = 8
DIRECTIONS = 8
STEP = 1e-2  # of the latents' RMS: rounding is 1e-5 of the difference in float32


def sensitivity(scene: Scene) -> Readings:
    """The generator's Jacobian J = dG/dz, in evaluation mode, by central differences.

    On K = min(8, dim z) random orthonormal directions T, scaled to dim z: sensitivity/generator =
    sqrt(mean_i |J_i|_F^2 s^2 / sum_p Var x_p), s the RMS of z and Var x_p the reals' variance of
    pixel p: 1 for a linear generator with the reals' spread, near 0 where z is ignored.
    rank/generator = mean_i exp(-sum_k p_k log p_k), p_k = sigma_k / sum sigma of J_i T: between 1,
    one direction, and K. Exact for a linear generator with dim z <= 8. Effective rank: Roy and
    Vetterli 2007; conditioning of J: Odena et al. 2018.
    """
    with staged(scene, training=False) as stage, torch.no_grad():
        assert scene.latents is not None
        z = stage.take(scene.latents, MOST_SAMPLES)
        scale = stage.take(scene.latents).float().square().mean().sqrt()
        jacobian = _differences(stage, z, STEP * scale)  # (N, K, outputs)
        squares = jacobian.square().sum((1, 2)) * (z[0].numel() / jacobian.shape[1])
        found = {"rank/generator": effective_rank(jacobian).mean()}
        if scene.reals is not None and len(scene.reals) > 1:
            reals = stage.take(scene.reals).float()
            spread = reals.var(0, correction=0).sum().clamp_min(1e-30)
            found["sensitivity/generator"] = (squares.mean() / spread).sqrt() * scale
        return found


def _differences(stage: Stage, z: Tensor, step: Tensor) -> Tensor:
    """(G(z + h t) - G(z - h t)) / 2 h for K orthonormal t: (N, K, outputs)."""
    dimension = z[0].numel()
    count = min(DIRECTIONS, dimension)
    directions = torch.linalg.qr(torch.randn(dimension, count, dtype=torch.float64)).Q.T
    moves = step * directions.to(z).view(count, *z.shape[1:])
    labels = stage.labels(len(z))
    rows = []
    for move in moves:
        ahead, behind = (stage.generate(z + sign * move, labels) for sign in (1, -1))
        rows.append((ahead.double() - behind.double()).flatten(1) / (2 * step))
    return torch.stack(rows, 1)


def effective_rank(matrices: Tensor) -> Tensor:
    """exp of the entropy of sigma / sum sigma: (N, K, d) -> (N,); NaN for 0 or not finite."""
    if not torch.isfinite(matrices).all():
        return torch.full((len(matrices),), torch.nan)
    gram = matrices @ matrices.transpose(1, 2)
    values = torch.linalg.eigvalsh(gram.cpu()).clamp_min(0).sqrt()
    shares = values / values.sum(1, keepdim=True)
    return torch.special.entr(shares).sum(1).exp()


PROBE = Probe("sensitivity", sensitivity, 0.22, frozenset({"generator", "latents"}))
