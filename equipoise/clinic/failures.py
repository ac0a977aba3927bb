"""The taxonomy of failures: stable ids, what each means, what it is confused with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Group = Literal["wiring", "game", "distribution", "samples", "adversarial term", "measuring"]


@dataclass(frozen=True)
class Failure:
    """A way in which adversarial training goes wrong.

    Attributes:
        id: stable name.
        group: where it sits.
        meaning: what happens, for somebody who trained their first GAN last week.
        looks_like: what the signals show.
        confused_with: what resembles it and how it is told apart.
    """

    id: str
    group: Group
    meaning: str
    looks_like: str
    confused_with: str


_FAILURES = (
    Failure("stalled_player", "wiring", "One network does not learn: its weights stand still.", "no updates, or updates that move the weights by exactly 0, or a learning rate of 0", "equilibrium, where weights still move"),
    Failure("gradient_leak", "wiring", "An update uses a gradient that was meant for another update.", "a gradient that arrived in the other player's phase enters a step", "accumulation and real-then-fake backwards, which are intended"),
    Failure("swapped_labels", "wiring", "A loss rewards the wrong answer: a sign or two arguments are swapped.", "AUC below 0.5 while the discriminator's loss falls", "Wasserstein losses written with the other sign in both players"),
    Failure("no_gradient_to_generator", "wiring", "The generator's loss does not reach the generator.", "the gradient at the fakes is absent or 0", "a vanishing gradient, which is small but not 0"),
    Failure("data_range_mismatch", "wiring", "Real and generated samples live on different scales, so telling them apart is trivial.", "range and mean of reals and fakes differ by design", "early training, where the fakes' statistics still move"),
    Failure("precision_underflow", "wiring", "Numbers are too small for the precision in use and become 0.", "many zero gradients, a scaler that keeps skipping", "a vanishing gradient in full precision"),
    Failure("discriminator_dominance", "game", "The discriminator has run away: it tells real from fake so easily that the generator can no longer follow.", "AUC near 1 for long, a growing gap, and samples that do not get better", "a healthy lead, under which quality or diversity still improves"),
    Failure("generator_dominance", "game", "The generator fools the discriminator at will, so nothing pushes it towards the data.", "AUC at or below 0.5 while samples are poor", "equilibrium, where AUC is near 0.5 and samples are good"),
    Failure("vanishing_gradient", "game", "The generator receives almost no gradient.", "its gradient decays to a small share of its start", "convergence"),
    Failure("exploding_gradient", "game", "Gradients jump by orders of magnitude again and again.", "norms above 10 times their running median, repeatedly", "single spikes that heal"),
    Failure("non_finite", "game", "A number became NaN or infinite; everything after it is lost.", "NaN or infinity in a loss, logit or gradient", "nothing: it is exact"),
    Failure("divergence", "game", "Losses or logits grow without bound and samples leave the data's range.", "a positive slope of the logarithm for long", "the early phase of a Wasserstein critic"),
    Failure("oscillation", "game", "The players chase each other in a circle instead of settling.", "a strong periodic peak in losses and logits, in antiphase", "noise; a cycle that decays"),
    Failure("stagnation", "game", "Training goes on but nothing gets better, far from good.", "a flat quality metric far from its floor", "convergence at the floor"),
    Failure("runaway_logits", "game", "The discriminator's outputs grow and grow.", "the largest logits rise steadily", "common drift under a relativistic objective"),
    Failure("lipschitz_violation", "game", "A critic that should be 1-Lipschitz is not.", "slopes on interpolates far from 1", "the bias 1 + a / (2 lambda) of the penalty"),
    Failure("batch_norm_leak", "game", "The discriminator judges whole batches instead of samples.", "a sample's logit changes with its batch mates", "minibatch layers, which do so by design"),
    Failure("gradient_noise", "game", "The batch is too small: its gradient is mostly noise.", "half-batch gradients that disagree", "early training"),
    Failure("mode_collapse", "distribution", "The generator makes only a few kinds of samples.", "fakes closer together than reals, low recall or coverage", "a small discriminator loss alone; imbalanced classes"),
    Failure("discriminator_overfitting", "distribution", "The discriminator has learned the training images by heart.", "training reals score above held-out reals", "dominance without a held-out gap"),
    Failure("memorization", "distribution", "The generator copies training images.", "fakes nearer to training data than held-out data is", "small data with true structure"),
    Failure("condition_ignored", "distribution", "Labels or text change nothing in the samples.", "samples equal under different conditions", "classes that look alike"),
    Failure("checkerboard_artifacts", "samples", "A regular grid pattern lies over the samples.", "energy at the Nyquist frequency above the reals'", "real data with grids"),
    Failure("saturated_output", "samples", "Pixels stick to the darkest and brightest values.", "share at the activation's limits above the reals'", "binary data"),
    Failure("adaptive_weight_explosion", "adversarial term", "The adaptive weight of the adversarial term is out of control.", "the clamp or the epsilon decides it, or the term pulls many times as hard as the other loss", "a large raw weight under sum reduction"),
    Failure("adversarial_cliff", "adversarial term", "Reconstruction breaks at the step where the adversarial term is switched on.", "a change point that does not recover", "a dip that recovers"),
    Failure("adversarial_term_off", "adversarial term", "The adversarial term is meant to act and does not.", "an adversarial share below 0.01", "the time before its start"),
    Failure("broken_metric", "measuring", "The quality metric itself is wrong.", "negative, not finite, absurdly large, or from too few samples", "a real collapse"),
)  # fmt: skip

FAILURES: dict[str, Failure] = {failure.id: failure for failure in _FAILURES}
