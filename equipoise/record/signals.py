"""The catalogue of signals: one entry per name that a trace may hold.

`<player>` stands for a player's name and `<metric>`-like parts stand for themselves: a name such as
`gradient_norm/generator` is looked up under `gradient_norm/<player>`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Signal:
    """What a name in a trace means.

    Attributes:
        name: the name, with `<player>` where a player's name stands.
        meaning: what it is, with its formula.
        unit: "1" for a pure number.
        measured: how and when.
        tier: "free" (values at hand), "cheap" (a reduction), "probe" (own pass), "evaluation".
        source: where the definition comes from.
        better: for metrics: which direction is better.
        would_show: what a run without it cannot be told.
    """

    name: str
    meaning: str
    unit: str
    measured: str
    tier: Literal["free", "cheap", "probe", "evaluation"]
    source: str = "definition"
    better: Literal["lower", "higher"] | None = None
    would_show: str = ""


_SIGNALS = (
    Signal("loss/<player>", "loss that the player's update descends, batch mean", "nats or objective's own", "observe(losses=...)", "free"),
    Signal("logits/real/mean", "mean of D(x) over the batch", "logit", "observe(real_logits=...)", "free"),
    Signal("logits/fake/mean", "mean of D(G(z)) over the batch", "logit", "observe(fake_logits=...)", "free"),
    Signal("logits/real/std", "spread of D(x) over the batch", "logit", "observe(real_logits=...)", "free"),
    Signal("logits/fake/std", "spread of D(G(z)) over the batch", "logit", "observe(fake_logits=...)", "free"),
    Signal("logits/gap", "(E D(x) - E D(G(z))) / sqrt((Var D(x) + Var D(G(z))) / 2): scale-free separation", "1", "both logits", "cheap", "effect size d'"),
    Signal("logits/extreme", "largest |logit| of the pair", "logit", "both logits", "cheap"),
    Signal("logits/generator/mean", "mean of D(G(z)) in the generator's step", "logit", "observe(generator_logits=...)", "free"),
    Signal("adaptive_weight", "weight that the loop gave the adversarial term", "1", "observe(adaptive_weight=...)", "free", "arXiv 2012.09841, eq. 7"),
    Signal("adaptive_weight/at_largest", "share of readings whose weight equals the largest one before: a clamp, or a weight that is fixed", "1", "Monitor.terms(weight=...)", "free"),
    Signal("adaptive_weight/epsilon_share", "eps / (||g_adv|| + eps), eps = 1e-4 as in public code: what of the weight's denominator is epsilon", "1", "Monitor.terms(weight=...)", "free", "arXiv 2012.09841, eq. 7"),
    Signal("adversarial_share", "||w g_adv|| / ||g_rec|| at the output (or layer) where both terms meet: free of every loss's reduction", "1", "Monitor.terms(...), before the backward", "probe", "arXiv 2012.09841, eq. 7", would_show="whether the adversarial term is off or drowns the other loss: call monitor.terms(...) before the backward"),
    Signal("term_gradient/<term>", "||d term / d at||: the L2 norm of a loss term's gradient where the terms meet; 0 where it does not reach", "loss per entry", "Monitor.terms(...), before the backward", "probe"),
    Signal("terms/cosine", "cosine of the reconstruction's and the adversarial gradient where they meet", "1", "Monitor.terms(...), before the backward", "probe"),
    Signal("terms/opposed", "share of entries in which the reconstruction's and the adversarial gradient have opposed signs", "1", "Monitor.terms(...), before the backward", "probe"),
    Signal("logits/held_out/mean", "mean of D on held-out reals", "logit", "own pass, eval mode, at the tick", "probe", "ADA, arXiv 2006.06676, eq. 1", would_show="whether the discriminator overfits"),
    Signal("sign_rate/real", "r_t = E sign D(x)", "1", "observe(real_logits=...)", "cheap", "ADA, arXiv 2006.06676, eq. 1"),
    Signal("accuracy/discriminator", "share of the pair on its own side of the logit of not knowing (0; 0.5 for least squares; the midpoint for relativistic objectives)", "1", "both logits", "cheap", would_show="whether one player dominates"),
    Signal("auc/discriminator", "P(D(x) > D(G(z))) + P(equal) / 2 over all pairs: the same under any shift or scale of the logits", "1", "both logits", "cheap", "Mann-Whitney U / (n m)", would_show="whether one player dominates"),
    Signal("auc_each/<player>", "P(D_k(x) > D_k(G(z))) + P(equal) / 2 of one discriminator of several", "1", "both logits, as a list or mapping", "cheap", "Mann-Whitney U / (n m)"),
    Signal("gap_each/<player>", "logits/gap of one discriminator of several", "1", "both logits, as a list or mapping", "cheap", "effect size d'"),
    Signal("gradient_norm/<player>", "L2 norm of the gradient that the player's update consumed", "loss per parameter", "optimizer's pre-step hook", "cheap", would_show="whether gradients vanish, explode or are not finite"),
    Signal("parameter_norm/<player>", "L2 norm of the player's parameters", "1", "optimizer's pre-step hook", "cheap"),
    Signal("update_ratio/<player>", "|| change of the parameters in one update || / || parameters ||", "1", "optimizer's step hooks", "cheap", would_show="whether each player learns"),
    Signal("updates/<player>", "updates of the player so far", "count", "optimizer's post-step hook", "free", would_show="whether each player learns"),
    Signal("learning_rate/<player>", "learning rate of the player's first parameter group", "1", "optimizer's post-step hook", "free"),
    Signal("loss_scale/<player>", "scale of the gradient scaler; all: of both players'", "1", "Monitor(scaler=...), at the tick", "free"),
    Signal("nonfinite/<player>", "share of the updates read whose gradient held a NaN or an infinity", "1", "optimizer's pre-step hook", "cheap"),
    Signal("batch/real/mean", "mean over the real batch", "pixel", "observe(real=...)", "cheap"),
    Signal("batch/fake/mean", "mean over the fake batch", "pixel", "observe(fake=...)", "cheap"),
    Signal("batch/real/std", "spread over the real batch", "pixel", "observe(real=...)", "cheap"),
    Signal("batch/fake/std", "spread over the fake batch", "pixel", "observe(fake=...)", "cheap"),
    Signal("batch/real/extreme", "largest |value| of the real batch", "pixel", "observe(real=...)", "cheap"),
    Signal("batch/fake/extreme", "largest |value| of the fake batch", "pixel", "observe(fake=...)", "cheap"),
    Signal("diversity/pairwise", "median distance between fakes of a batch / median distance between its reals", "1", "observe(real=..., fake=...)", "cheap", would_show="whether the fakes collapse"),
    Signal("diversity/nearest", "median distance from a fake to its nearest fake / the same of the reals, in one batch", "1", "observe(real=..., fake=...)", "cheap", would_show="whether the fakes collapse onto a few points"),
    Signal("metric/modes", "modes with at least one high-quality sample", "count", "evaluation of a mixture", "evaluation", "PacGAN, arXiv 1712.04086", "higher"),
    Signal("metric/fair_modes", "modes with at least 20 % of n / K high-quality samples", "count", "evaluation of a mixture", "evaluation", "definition", "higher"),
    Signal("metric/mode_coverage", "modes with at least one high-quality sample / all modes", "1", "evaluation of a mixture", "evaluation", "PacGAN, arXiv 1712.04086", "higher"),
    Signal("metric/high_quality", "share of samples within 3 sigma of the nearest mode", "1", "evaluation of a mixture", "evaluation", "PacGAN, arXiv 1712.04086", "higher"),
    Signal("metric/mode_kl", "KL(nearest-mode histogram of all samples || true shares)", "nats", "evaluation of a mixture", "evaluation", "PacGAN, arXiv 1712.04086", "lower"),
    Signal("metric/frechet_digits_cnn", "Frechet distance in the digit classifier's 32 features (not FID)", "1", "evaluation on digits", "evaluation", "arXiv 1706.08500, eq. 6", "lower"),
    Signal("metric/precision_digits_cnn", "share of fakes inside the reals' k-nearest-neighbour balls, k = 5", "1", "evaluation on digits", "evaluation", "arXiv 1904.06991", "higher"),
    Signal("metric/recall_digits_cnn", "share of reals inside the fakes' k-nearest-neighbour balls, k = 5", "1", "evaluation on digits", "evaluation", "arXiv 1904.06991", "higher"),
    Signal("metric/coverage_digits_cnn", "share of reals whose k-nearest-neighbour ball holds a fake, k = 5", "1", "evaluation on digits", "evaluation", "arXiv 2002.09797", "higher"),
    Signal("metric/fid", "Frechet distance in Inception features, as the log names it", "1", "read from a log or observe(fid=...)", "evaluation", "arXiv 1706.08500, eq. 6", "lower", "whether quality gets better or collapses"),
    Signal("metric/kid", "kernel distance in Inception features, as the log names it", "1", "read from a log or observe(kid=...)", "evaluation", "arXiv 1801.01401", "lower"),
    Signal("metric/inception_score", "Inception Score, as the log names it", "1", "read from a log", "evaluation", "arXiv 1606.03498", "higher"),
    Signal("metric/precision", "improved precision, as the log names it", "1", "read from a log", "evaluation", "arXiv 1904.06991", "higher"),
    Signal("metric/recall", "improved recall, as the log names it", "1", "read from a log", "evaluation", "arXiv 1904.06991", "higher"),
    Signal("metric/density", "density, as the log names it", "1", "read from a log", "evaluation", "arXiv 2002.09797", "higher"),
    Signal("metric/coverage", "coverage, as the log names it", "1", "read from a log", "evaluation", "arXiv 2002.09797", "higher"),
    Signal("metric/reconstruction_l1", "mean |x - y_hat| over held-out samples", "pixel", "evaluation of an autoencoder", "evaluation", "definition", "lower"),
    Signal("metric/frechet_patches", "Frechet distance of 4 x 4 patches of pixels, held-out images against their reconstructions (not FID)", "1", "evaluation of an autoencoder", "evaluation", "arXiv 1706.08500, eq. 6", "lower"),
    Signal("metric/psnr", "10 log10(range^2 / mean squared error) of held-out reconstructions", "dB", "evaluation of an autoencoder", "evaluation", "definition", "higher"),
    Signal("probability/real/mean", "mean of sigmoid(D(x)), as logs print D(x)", "1", "read from a log", "free", "Goodfellow et al. 2014"),
    Signal("probability/fake/mean", "mean of sigmoid(D(G(z))), as logs print D(G(z))", "1", "read from a log", "free", "Goodfellow et al. 2014"),
    Signal("loss_on_real/discriminator", "the real half of the discriminator's loss", "as the log's", "read from a log", "free"),
    Signal("loss_on_fake/discriminator", "the fake half of the discriminator's loss", "as the log's", "read from a log", "free"),
    Signal("metric/frechet_pixels", "Frechet distance of images averaged down to 8x8 pixels (not FID)", "1", "evaluation on a folder", "evaluation", "arXiv 1706.08500, eq. 6", "lower"),
    Signal("metric/precision_pixels", "precision (k = 5) on images averaged down to 8x8 pixels", "1", "evaluation on a folder", "evaluation", "arXiv 1904.06991", "higher"),
    Signal("metric/recall_pixels", "recall (k = 5) on images averaged down to 8x8 pixels", "1", "evaluation on a folder", "evaluation", "arXiv 1904.06991", "higher"),
    Signal("metric/coverage_pixels", "coverage (k = 5) on images averaged down to 8x8 pixels", "1", "evaluation on a folder", "evaluation", "arXiv 2002.09797", "higher"),
    Signal("speed/images_per_second", "real images shown to the discriminator per wall second", "1/s", "training loop or monitor, at the tick", "free"),
    Signal("memory/device", "most memory that tensors had on the device so far", "bytes", "at the tick, where the device counts it", "free"),
    Signal("cost/monitor", "time spent watching / time of the loop, since the start", "1", "monitor's own clock", "free"),
    Signal("penalty/r1", "E ||dD/dx||^2 at reals (without gamma / 2)", "logit^2 per pixel^2", "training loop", "free", "arXiv 1801.04406, eq. 9"),
    Signal("penalty/r2", "E ||dD/dx||^2 at fakes (without gamma / 2)", "logit^2 per pixel^2", "training loop", "free", "arXiv 1801.04406, eq. 10"),
    Signal("logits/drift", "(E D(x) + E D(G(z))) / 2: where both sides' logits lie", "logit", "both logits", "free"),
    Signal("logits/silent", "share of the pair beyond its margin of 1, where the hinge gives the discriminator no gradient", "1", "both logits, hinge", "free", "definition"),
    Signal("divergence", "distance of data and samples that the discriminator's loss amounts to: log 2 - L_D / 2 (cross-entropy, nats), 1 - L_D / 2 (hinge), 1 - 4 L_D (least squares), the critic's gap (Wasserstein)", "the objective's", "both logits and the objective", "free", "Goodfellow et al. 2014, theorem 1"),
    Signal("batch/shift", "largest difference of channel means, fake against real, in standard deviations of the reals' channel", "1", "observe(real=..., fake=...)", "cheap", would_show="whether reals and fakes differ by their mere range"),
    Signal("saturation/real", "share of real values within 1 % of the range from its ends", "1", "observe(real=..., fake=...)", "cheap"),
    Signal("saturation/fake", "share of fake values within 1 % of the reals' range from its ends, or beyond", "1", "observe(real=..., fake=...)", "cheap", would_show="whether the output saturates"),
    Signal("gradient_zero/<player>", "share of the gradient's entries that are exactly 0", "1", "optimizer's pre-step hook", "cheap"),
    Signal("gradient_underflow/<player>", "share of entries that are not 0 and below 2^-24, the least float16", "1", "optimizer's pre-step hook", "cheap", would_show="whether gradients are lost to their precision"),
    Signal("certainty/<player>", "RMS of Adam's m / sqrt(v) over what pure noise gives, sqrt((1 - b1) / (1 + b1)); about 1 is noise; none at b1 = 0", "1", "optimizer's pre-step hook", "cheap", "Kingma and Ba 2015; the floor is that of an average of independent numbers"),
    Signal("pull/norm", "mean over fakes of |d loss_G / d G(z)|, the loss summed over the batch", "loss per pixel", "hook in the generator's backward", "cheap", would_show="whether the generator is told anything"),
    Signal("pull/alignment", "mean cosine between the pulls on two fakes: 1 where all are pushed the same way", "1", "hook in the generator's backward", "cheap", "Thanh-Tung et al. 2019"),
    Signal("penalty/<name>", "batch mean of the penalty (or of feature matching) before its weight", "the penalty's own", "training loop", "free"),
    Signal("control/<name>", "what a control of the run stands at: p of augmentation, balance, anchors, loss scale", "the control's own", "training loop, at evaluations", "free"),
    Signal("sigma/<player>", "largest singular value of a layer's weight, a convolution's reshaped to (out, rest): sigma/<player>/<layer>", "1", "probe: persistent power iteration", "probe", "arXiv 1802.05957, algorithm 1"),
    Signal("sigma_exact/<player>", "norm of a convolution itself on inputs of the size that it sees: sigma_exact/<player>/<layer>", "1", "probe: persistent power iteration", "probe", "arXiv 1805.10408"),
    Signal("lipschitz/interpolates", "mean of |dD/dx| at x between reals and fakes", "logit per pixel", "probe, eval mode", "probe", "arXiv 1704.00028, algorithm 1", would_show="whether the critic keeps to its Lipschitz bound"),
    Signal("lipschitz/largest", "largest of the slopes |dD/dx| between reals and fakes: a lower bound of the Lipschitz constant", "logit per pixel", "probe, eval mode", "probe", "arXiv 1704.00028"),
    Signal("input_gradient/real", "mean of |dD/dx| over reals", "logit per pixel", "probe, eval mode", "probe", "arXiv 1801.04406, eq. 9"),
    Signal("input_gradient/fake", "mean of |dD/dx| over fakes", "logit per pixel", "probe, eval mode", "probe", "arXiv 1801.04406, eq. 10"),
    Signal("overfitting/ratio", "r_v = (E D(train) - E D(held out)) / (E D(train) - E D(fake)): 0 none, 1 full; left out where train and fakes are not apart", "1", "probe, eval mode, held_out=", "probe", "ADA, arXiv 2006.06676, eq. 1"),
    Signal("overfitting/auc", "P(D(train) > D(held out)) + P(equal) / 2: 0.5 where no training sample is known by heart", "1", "probe, eval mode, held_out=", "probe", "Mann-Whitney U / (n m)"),
    Signal("leak/batch", "mean |D(x_i beside reals) - D(x_i beside fakes)| / std D: 0 where samples are apart", "1", "probe, mode as found", "probe", would_show="whether the discriminator sees a sample's batch"),
    Signal("leak/mode", "mean |D(x_i) with batch statistics - with running statistics| / std D", "1", "probe", "probe"),
    Signal("gradient_cosine/<player>", "cosine between the player's gradients on two halves of a batch; about 1 / (1 + B / b), B the noise scale, b half the batch", "1", "probe", "probe", "arXiv 1812.06162", would_show="whether gradients are mostly noise"),
    Signal("noise_scale/<player>", "tr Sigma / |G|^2: the batch size that the gradient's noise recommends", "samples", "probe: four parts of a batch", "probe", "arXiv 1812.06162, section 2.2"),
    Signal("rank/generator", "effective rank of dG/dz on at most 8 directions: exp of the entropy of sigma / sum sigma, mean over samples; from 1", "directions", "probe, eval mode, finite differences", "probe", "Roy and Vetterli 2007", would_show="in how many directions the samples vary"),
    Signal("sensitivity/generator", "|dG/dz|_F times the RMS of z / the reals' spread: 1 for a linear generator of that spread, 0 where z is ignored", "1", "probe, eval mode, finite differences", "probe", "arXiv 1802.08768"),
    Signal("memorization/ratio", "median distance from a fake to the nearest training sample / the same of held-out reals: about 1 is right, near 0 copies", "1", "probe, held_out=", "probe", "arXiv 2004.05675", would_show="whether the generator copies its training data"),
    Signal("rotation", "rho = |A x| / (|A x| + |S x|), A and S the antisymmetric and symmetric part of the game's Jacobian: 1 turns, 0 descends", "1", "probe: two products with the Jacobian", "probe", "arXiv 1802.05642", would_show="whether the players turn around each other"),
    Signal("spectrum/real", "least real part among the outer eigenvalues of the game's Jacobian: below 0 repels", "1", "probe: six products", "probe", "arXiv 1705.10461"),
    Signal("spectrum/angle", "largest |Im| / |.| among the outer eigenvalues of the game's Jacobian: near 1 asks for a small step", "1", "probe: six products", "probe", "arXiv 1705.10461, lemma 4"),
    Signal("curvature_max/<player>", "largest eigenvalue of the Hessian of the player's loss (over 2 / learning rate descent leaves)", "loss per parameter^2", "probe: Lanczos, 8 steps", "probe", "arXiv 1906.04848"),
    Signal("curvature_min/<player>", "least eigenvalue of the Hessian of the player's loss (below 0: a saddle)", "loss per parameter^2", "probe: Lanczos, 8 steps", "probe", "arXiv 1906.04848"),
    Signal("path_angle/before", "cosine of the way since the last run and the field, at 3/4 of the way; below 0 where the way descends", "1", "probe", "probe", "arXiv 1906.04848"),
    Signal("path_angle/at", "the same at the present weights; a bump here is rotation", "1", "probe", "probe", "arXiv 1906.04848"),
    Signal("path_angle/after", "the same at 5/4 of the way; above 0 where the present point attracts", "1", "probe", "probe", "arXiv 1906.04848"),
    Signal("duality_gap", "max_psi' M(theta, psi') - min_theta' M(theta', psi), M = -L_D, each by 10 steps of Adam on copies; 0 at an equilibrium", "loss", "probe", "probe", "arXiv 1811.05512"),
    Signal("forgetting", "accuracy on old fakes now - accuracy on them then: below 0 is forgotten", "1", "probe, eval mode", "probe", "arXiv 1807.04015", would_show="whether the discriminator forgets earlier fakes"),
    Signal("dead_units/<player>", "share of units of dense and convolution layers on which nothing depends in any sample; dead_units/<player>/<layer> where there are some", "1", "probe, eval mode", "probe", "arXiv 1903.06733"),
    Signal("weights/<player>", "quantiles of a weight tensor's entries: weights/<player>/<tensor>/q01 ... q99", "1", "probe: even selection of 4096", "probe"),
    Signal("gradients/<player>", "quantiles of the entries of the loss's gradient by a weight tensor: gradients/<player>/<tensor>/q01 ... q99", "loss per parameter", "probe: even selection of 4096", "probe"),
    Signal("condition/effect", "mean change of G(z, y) under another y / under another z: 0 where labels are ignored", "1", "probe, eval mode", "probe", would_show="whether the condition is used"),
    Signal("condition/judged", "mean |D(x, y') - D(x, y)| / std D over reals: 0 where the discriminator ignores labels", "1", "probe, eval mode", "probe"),
    Signal("checkerboard/ratio", "power of the Nyquist row and column / of the ring 0.35 to 0.45 cycles per pixel, fakes over reals", "1", "both batches, images of 16 pixels or more", "cheap", "distill.pub/2016/deconv-checkerboard", would_show="whether fakes carry a grid"),
)  # fmt: skip

SIGNALS: dict[str, Signal] = {signal.name: signal for signal in _SIGNALS}
_TEMPLATES = {name.partition("/<")[0]: name for name in SIGNALS if name.endswith(">")}


def describe(name: str) -> Signal | None:
    """The catalogue's entry for a name as it stands in a trace, None for a name not in it."""
    if name in SIGNALS:
        return SIGNALS[name]
    stem, _, rest = name.partition("/")
    return SIGNALS[_TEMPLATES[stem]] if rest and stem in _TEMPLATES else None
