"""Adversarial losses per sample, from logits alone.

Logits have shape (N,) or (N, ...); trailing dimensions are patches, and a sample's loss is the mean
over its patches. Several discriminators give lists of logits, and a sample's loss is the mean over
them. Every loss returns (N,). f(t) = log(1 + exp(-t)) is the logistic loss.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from equipoise.errors import unknown
from equipoise.game.logits import per_sample
from equipoise.game.objectives.base import LOG2, Objective
from equipoise.game.objectives.critics import (
    hinge_discriminator,
    hinge_generator,
    wasserstein_discriminator,
    wasserstein_generator,
)
from equipoise.game.objectives.cross_entropy import (
    cross_entropy_discriminator,
    labelled_cross_entropy,
    minimax_generator,
    non_saturating_generator,
)
from equipoise.game.objectives.features import (
    captured,
    feature_matching,
    mean_feature_matching,
)
from equipoise.game.objectives.labels import flips, relabelled
from equipoise.game.objectives.least_squares import (
    least_squares,
    least_squares_discriminator,
    least_squares_generator,
)
from equipoise.game.objectives.relativistic import (
    relativistic_average_discriminator,
    relativistic_average_generator,
    relativistic_average_hinge_discriminator,
    relativistic_average_hinge_generator,
    relativistic_average_least_squares_discriminator,
    relativistic_average_least_squares_generator,
    relativistic_discriminator,
    relativistic_generator,
    relativistic_hinge_discriminator,
    relativistic_hinge_generator,
    relativistic_least_squares_discriminator,
    relativistic_least_squares_generator,
)

PAIRS = "it scores pairs, never a sample against a label"
MARGINS = "its margins are not probabilities"

# Where two objectives share the discriminator's loss, the more usual stands first.
OBJECTIVES: dict[str, Objective] = {
    "non_saturating": Objective(
        "non_saturating",
        cross_entropy_discriminator,
        non_saturating_generator,
        labelled=labelled_cross_entropy,
        chance=(2 * LOG2, LOG2),
    ),
    "minimax": Objective(
        "minimax",
        cross_entropy_discriminator,
        minimax_generator,
        labelled=labelled_cross_entropy,
        chance=(2 * LOG2, -LOG2),
    ),
    "least_squares": replace(
        least_squares(),
        discriminator=least_squares_discriminator,
        generator=least_squares_generator,
    ),
    "wasserstein": Objective(
        "wasserstein",
        wasserstein_discriminator,
        wasserstein_generator,
        unlabelled="its critic gives scores, not probabilities",
    ),
    "hinge": Objective(
        "hinge", hinge_discriminator, hinge_generator, unlabelled=MARGINS, chance=(2.0, 0.0)
    ),
    "relativistic": Objective(
        "relativistic",
        relativistic_discriminator,
        relativistic_generator,
        pairs=True,
        unlabelled=PAIRS,
        chance=(LOG2, LOG2),
    ),
    "relativistic_hinge": Objective(
        "relativistic_hinge",
        relativistic_hinge_discriminator,
        relativistic_hinge_generator,
        pairs=True,
        unlabelled=PAIRS,
        chance=(1.0, 1.0),
    ),
    "relativistic_least_squares": Objective(
        "relativistic_least_squares",
        relativistic_least_squares_discriminator,
        relativistic_least_squares_generator,
        pairs=True,
        unlabelled=PAIRS,
        chance=(1.0, 1.0),
    ),
    "relativistic_average": Objective(
        "relativistic_average",
        relativistic_average_discriminator,
        relativistic_average_generator,
        pairs=True,
        unlabelled=PAIRS,
        chance=(2 * LOG2, 2 * LOG2),
        couples=True,
    ),
    "relativistic_average_hinge": Objective(
        "relativistic_average_hinge",
        relativistic_average_hinge_discriminator,
        relativistic_average_hinge_generator,
        pairs=True,
        unlabelled=PAIRS,
        chance=(2.0, 2.0),
        couples=True,
    ),
    "relativistic_average_least_squares": Objective(
        "relativistic_average_least_squares",
        relativistic_average_least_squares_discriminator,
        relativistic_average_least_squares_generator,
        pairs=True,
        unlabelled=PAIRS,
        chance=(2.0, 2.0),
        couples=True,
    ),
}


def objective(
    name: str,
    label_smoothing: float = 0.0,
    fake_smoothing: float = 0.0,
    label_flip: float = 0.0,
    noise: torch.Generator | None = None,
) -> Objective:
    """The objective called `name`, its discriminator's targets 1 - label_smoothing, fake_smoothing.

    Other labels for least squares: `least_squares(a, b, c)`. See `relabelled` for the rest.

    Raises:
        ValueError: no such objective, a share out of [0, 0.5), a flip without `noise`, or labels
            asked of an objective that has none.
    """
    if name not in OBJECTIVES:
        raise ValueError(unknown("objective", name, OBJECTIVES))
    return relabelled(OBJECTIVES[name], label_smoothing, fake_smoothing, label_flip, noise)


__all__ = [
    "LOG2",
    "OBJECTIVES",
    "Objective",
    "captured",
    "feature_matching",
    "flips",
    "least_squares",
    "mean_feature_matching",
    "objective",
    "per_sample",
    "relabelled",
]
