"""How a loss pulls at logits: the value towards which each group of them is driven."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

FAR = 1e6  # a target without end, as a linear loss has it
FEWEST = 4


def pull(logits: Tensor, gradient: Tensor) -> dict[str, Any] | None:
    """Logit, target and coherence of one group; None where no finite gradient came.

    The gradient is fitted as g = c (a - t): t is where the loss wants the logits a. Least squares
    give their label exactly, a convex loss a point beyond a in the direction of descent, and a
    loss without curvature (Wasserstein) or of negative one (minimax) `FAR` in that direction. The
    factor before the loss and its reduction cancel. coherence = |sum g| / sum |g|.
    """
    a, g = logits.double(), gradient.double()
    if not bool(torch.isfinite(a).all() & torch.isfinite(g).all()) or not bool(g.any()):
        return None
    mean, slope = a.mean(), g.mean()
    centred = a - mean
    spread = centred.square().mean()
    size = g.abs().mean()
    curvature = (centred * g).mean() / spread.clamp_min(1e-30)
    target = mean - slope.sign() * FAR
    enough = len(a) >= FEWEST and float(spread) > 1e-16 and float(curvature) > 0
    if enough and float(slope.abs() / curvature) < FAR:
        target = mean - slope / curvature
    return {
        "logit": float(mean),
        "target": float(target),
        "coherence": float(slope.abs() / size),
        "count": len(a),
        "lowest": float(a.min()),
        "highest": float(a.max()),
    }
