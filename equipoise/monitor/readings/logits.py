"""What logits tell. They are (..., N): one vector, or one from each of several iterations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import relu, softplus

WIDE = (torch.float32, torch.float64)
LOG2 = 0.6931471805599453
MOST_LOGITS = 2048  # per side, evenly spaced; patches of one image are near copies of each other


def flat_logits(logits: Any) -> Tensor:
    """Logits in any of the shapes that discriminators return, as one detached vector.

    A tensor of any shape; a list or mapping of such; a (logits, features) tuple, of which the first
    counts. Several discriminators are concatenated. Of many, an even selection stands for all.

    Raises:
        TypeError: something else.
    """
    values = whole_logits(logits)
    count = values.numel()  # len() of a tensor is Python, and slow
    return values if count <= MOST_LOGITS else values[:: -(-count // MOST_LOGITS)]


def whole_logits(logits: Any) -> Tensor:
    """As `flat_logits`, every value kept."""
    if type(logits) is Tensor:
        return _flat(logits)
    parts = _logit_parts(logits)
    return torch.cat(parts) if len(parts) > 1 else parts[0]


def _flat(logits: Tensor) -> Tensor:
    flat = logits.detach().flatten()
    return flat if flat.dtype in WIDE else flat.float()


def _logit_parts(logits: Any) -> list[Tensor]:
    if isinstance(logits, Tensor):
        return [_flat(logits)]
    if isinstance(logits, Mapping) and logits:
        return [part for value in logits.values() for part in _logit_parts(value)]
    if isinstance(logits, tuple) and logits:
        return _logit_parts(logits[0])
    if isinstance(logits, list) and logits:
        return [part for value in logits for part in _logit_parts(value)]
    raise TypeError(
        f"logits are {type(logits).__name__}: pass a tensor, a list or mapping of tensors, or"
        " (logits, features)"
    )


def several(logits: Any) -> dict[str, Any]:
    """The logits of each of several discriminators by name; {} where there is one.

    A list or mapping with two entries or more; those of a list are discriminator_0, ... A mapping's
    own names stand. Of (logits, features) the first counts.
    """
    if isinstance(logits, Tensor):
        return {}
    if isinstance(logits, tuple) and logits:
        return several(logits[0])
    if isinstance(logits, Mapping):
        found = {str(name): value for name, value in logits.items()}
    elif isinstance(logits, list):
        found = {f"discriminator_{i}": value for i, value in enumerate(logits)}
    else:
        found = {}
    return found if len(found) > 1 else {}


def one_of_several(real: Tensor, fake: Tensor, name: str) -> dict[str, Tensor]:
    """AUC and scale-free gap of one discriminator's pair, as `pair_readings` has them."""
    found = pair_readings(real, fake, None)
    return {f"auc_each/{name}": found["auc/discriminator"], f"gap_each/{name}": found["logits/gap"]}


def side_readings(logits: Tensor, side: str) -> dict[str, Tensor]:
    """Mean, spread and sign rate of one side's logits."""
    readings = {
        f"logits/{side}/mean": logits.mean(-1),
        f"logits/{side}/std": _variance(logits).sqrt(),
    }
    if side == "real":
        readings["sign_rate/real"] = logits.sign().mean(-1)
    return readings


def _variance(logits: Tensor) -> Tensor:
    return (logits - logits.mean(-1, keepdim=True)).square().mean(-1)  # var() is 6 x slower


def pair_readings(real: Tensor, fake: Tensor, neutral: float | None = 0.0) -> dict[str, Tensor]:
    """AUC, accuracy, gap and extreme of a pair of logit vectors.

    gap = (mean r - mean g) / sqrt((var r + var g) / 2). Accuracy counts r above and g below
    `neutral`, the logit of not knowing (0.5 for least squares with labels 0 and 1); None: the
    midpoint of the means, where a common drift of the logits means nothing.
    """
    spread = ((_variance(real) + _variance(fake)) / 2).sqrt()
    of_real, of_fake = real.mean(-1), fake.mean(-1)
    drift = (of_real + of_fake) / 2
    middle = drift[..., None] if neutral is None else neutral
    right = ((real > middle).float().mean(-1) + (fake < middle).float().mean(-1)) / 2
    return {
        "auc/discriminator": area_under_curve(real, fake),
        "accuracy/discriminator": right,
        "logits/gap": (of_real - of_fake) / spread.clamp_min(1e-12),
        "logits/extreme": torch.maximum(real.abs().amax(-1), fake.abs().amax(-1)),
        "logits/drift": drift,
    }


def area_under_curve(real: Tensor, fake: Tensor) -> Tensor:
    """P(r > g) + P(r = g) / 2 over all pairs, by sorting. Logits that are not finite give NaN."""
    ordered, asked = _sorted(fake), _sorted(real)  # what is asked in order is found 5 x faster
    below = torch.searchsorted(ordered, asked, right=False)
    through = torch.searchsorted(ordered, asked, right=True)
    auc = (below + through).to(real.dtype).mean(-1) / (2 * ordered.shape[-1])
    return torch.where(
        torch.isfinite(real.sum(-1) + fake.sum(-1)), auc, torch.full_like(auc, torch.nan)
    )


def _sorted(values: Tensor) -> Tensor:
    if values.device.type == "cpu":  # torch finds the indices as well, 20 x slower
        return torch.from_numpy(np.sort(values.numpy(), axis=-1))
    return values.sort(-1).values


def divergence_reading(objective: str, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
    """The distance between data and samples that the discriminator's loss amounts to.

    Cross-entropy: the Jensen-Shannon divergence, log 2 - L_D / 2, in nats up to log 2. Hinge: the
    total variation, 1 - L_D / 2, up to 1. Least squares: 1 - 4 L_D, up to 1. Wasserstein: the gap
    E D(x) - E D(G(z)), in units of the critic. Lower bounds, reached by the best discriminator; at
    one that is worse than knowing nothing they are below 0. Relativistic losses have none.
    Goodfellow et al. 2014, theorem 1; Lim and Ye 2017; Mao et al. 2017; Arjovsky et al. 2017.
    """
    if objective in ("non_saturating", "minimax"):
        return {"divergence": LOG2 - (softplus(-real).mean(-1) + softplus(fake).mean(-1)) / 2}
    if objective == "hinge":
        return {"divergence": 1 - (relu(1 - real).mean(-1) + relu(1 + fake).mean(-1)) / 2}
    if objective == "least_squares":
        return {"divergence": 1 - 2 * ((real - 1).square().mean(-1) + fake.square().mean(-1))}
    if objective == "wasserstein":
        return {"divergence": real.mean(-1) - fake.mean(-1)}
    return {}


def silent_share(objective: str, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
    """Share of the pair beyond its margins, where the hinge gives the discriminator no gradient."""
    if objective != "hinge":
        return {}
    return {"logits/silent": ((real > 1).float().mean(-1) + (fake < -1).float().mean(-1)) / 2}
