# ruff: noqa: E501 - one case, one line
"""Rows for the rules that read probes and cycles: sick, well, too short (see test_rules.py)."""

import numpy as np
from clinic_scenarios import (
    PLANTED,
    READINGS,
    UNDIVERSE,
    cosine,
    from_onset,
    run,
    well_columns,
)

T = np.arange(READINGS)
IMPROVING = {"metric/frechet_digits_cnn": np.linspace(100, 10, READINGS)}
EVEN = {"auc/discriminator": np.full(READINGS, 0.51)}
FALLS = {"metric/fid": np.where(PLANTED <= T, 20.0 + 0.2 * (T - PLANTED), 20.0)}


def noise(seed=0, size=1.0):
    return size * np.random.default_rng(seed).normal(size=READINGS)


LOGITS = -0.6 + 0.1 * np.sin(T)


def generator_loss(sign, objective="hinge", gap=1.2, terms=0.0):
    """A generator whose adversarial loss is `sign` times the mean logit of its fakes."""
    columns = {
        "loss/generator": 0.5 + terms + 0.3 * sign * LOGITS,
        "loss/reconstruction": np.full(READINGS, 0.5),
        "adaptive_weight": np.full(READINGS, 0.3),
        "logits/fake/mean": LOGITS,
        "logits/gap": np.full(READINGS, gap),
    }
    return run(columns, header={"objective": objective})


OUR_SPLIT = {"recipe": {"data": {"held_out": 0.1}}}


def few_ranks(level, header):
    """Four readings of a discriminator that knew its images before the first."""
    return run(
        {"overfitting/auc": np.where((PLANTED <= T) & (T % 20 == 0), level, np.nan)}, header=header
    )


def swing(size, period=8.0, shift=0.0, at=PLANTED):
    """A wave that begins at reading `at`, at its crest."""
    return size * np.cos(2 * np.pi * (T - at) / period + shift) * (at <= T)


def game(size=2.0, period=8.0, fade=None, samples=True, losses=True):
    """The lead swings; the samples' mean follows a quarter of a turn later."""
    shape = np.ones(READINGS) if fade is None else fade
    lead = swing(size, period) * shape
    columns = {"logits/gap": 1.2 + lead + noise(1, 0.1)}
    if losses:
        columns |= {
            "loss/discriminator": 1.1 - 0.25 * lead + noise(2, 0.02),
            "loss/generator": 0.9 + 0.25 * lead + noise(3, 0.02),
        }
    if samples:
        columns |= {
            "batch/fake/mean": swing(0.2 * size, period, np.pi / 2) * shape + noise(4, 0.02),
            "batch/real/mean": noise(5, 0.02),
            "batch/real/std": np.ones(READINGS),
        }
    return columns


def bare(changes, **kinds):
    """Nothing but losses, as most logs are."""
    return run(changes, drop=[n for n in well_columns() if not n.startswith("loss/")], **kinds)


def recipe(objective="wasserstein", penalties=None, **parts):
    played = {"objective": {"name": objective}, "penalties": penalties or {}} | parts
    return {"objective": objective, "recipe": played}


WGAN = recipe(penalties={"wgan_gp": {"gamma": 10.0}})
TOY = recipe(penalties={"wgan_gp": {"gamma": 0.1}})
CLIPPED = recipe(constraint={"name": "weight_clipping", "bound": 0.01})
SPECTRAL = recipe("hinge", discriminator={"normalization": "spectral"})
HELD_OUT = {
    "logits/real/mean": from_onset(1.0, 3.0), "logits/fake/mean": np.full(READINGS, -3.0),
    "logits/held_out/mean": from_onset(0.9, -1.5), "logits/real/std": np.ones(READINGS),
}  # fmt: skip
BATCH = {"objective": "hinge", "batch": 4}
POOR = {"metric/coverage_pixels": from_onset(0.6, 0.1)}
NOISY = {"noise_scale/generator": from_onset(8.0, 60.0)}
RISES = np.where(T < PLANTED, 2.0, 10.5 * 1.02 ** (T - PLANTED))

SICK = [
    ("oscillation", "lead-and-samples", run(game())),
    ("oscillation", "slow", run(game(period=12.0))),
    ("oscillation", "a-field-that-turns", run(game(samples=False) | {"rotation": np.full(READINGS, 0.97), "spectrum/angle": np.full(READINGS, 1.0)})),
    ("oscillation", "a-distance-that-swings-along", run(game(samples=False) | {"metric/fid": 30 + swing(9.0, shift=1.0) + noise(6, 0.5)})),
    ("oscillation", "accuracy-and-diversity", run({"accuracy/discriminator": 0.7 + swing(0.2) + noise(7, 0.02), "diversity/pairwise": 0.9 + swing(0.2, shift=1.0) + noise(8, 0.02)}, drop=["auc/discriminator", "logits/gap"])),
    ("discriminator_overfitting", "ranks", run({"overfitting/auc": from_onset(0.52, 0.9)})),
    ("discriminator_overfitting", "ranks-ratio-and-quality", run({"overfitting/auc": from_onset(0.5, 0.75), "overfitting/ratio": from_onset(0.05, 0.8)} | FALLS)),
    ("discriminator_overfitting", "means-of-the-logits", run(HELD_OUT)),
    ("swapped_labels", "from-the-start", generator_loss(1.0)),
    ("swapped_labels", "from-the-start", run({"loss/generator": LOGITS, "logits/fake/mean": LOGITS}, header={"objective": "wasserstein"})),
    ("swapped_labels", "from-the-start", run({"loss/adversarial": LOGITS, "logits/fake/mean": LOGITS}, header={"objective": "hinge"})),
    ("discriminator_overfitting", "few-ranks-of-a-split-of-our-own", few_ranks(0.97, OUR_SPLIT)),
    ("memorization", "copies", run({"memorization/ratio": from_onset(1.1, 0.1)})),
    ("memorization", "near-copies-and-a-judge-who-knows", run({"memorization/ratio": from_onset(1.1, 0.4), "overfitting/auc": from_onset(0.5, 0.9)})),
    ("condition_ignored", "generator", run({"condition/effect": from_onset(0.8, 0.01), "condition/judged": np.full(READINGS, 0.5)})),
    ("condition_ignored", "both", run({"condition/effect": from_onset(0.8, 0.01), "condition/judged": from_onset(0.5, 0.001)})),
    ("condition_ignored", "discriminator", run({"condition/effect": np.full(READINGS, 0.6), "condition/judged": from_onset(0.5, 0.001)})),
    ("condition_ignored", "from-the-start", run({"condition/effect": np.zeros(READINGS)})),
    ("lipschitz_violation", "too-steep", run({"lipschitz/interpolates": from_onset(1.0, 6.0)}, header=WGAN)),
    ("lipschitz_violation", "too-flat", run({"lipschitz/interpolates": from_onset(1.0, 0.125)}, header=WGAN)),
    ("lipschitz_violation", "nothing-holds-it", run({"lipschitz/interpolates": RISES}, header=recipe())),
    ("lipschitz_violation", "nobody-knows-what-holds-it", run({"lipschitz/interpolates": RISES}, header={"objective": "wasserstein"})),
    ("lipschitz_violation", "a-foreign-penalty-too-steep", run({"lipschitz/interpolates": from_onset(1.0, 6.0), "penalty/wgan_gp": np.full(READINGS, 0.1)}, header={"objective": "wasserstein"})),
    ("lipschitz_violation", "a-normalized-layer", run({"sigma/discriminator/body.0": from_onset(1.01, 3.0)}, header=SPECTRAL)),
    ("gradient_noise", "noise-scale-and-poor-samples", run(NOISY | POOR, header=BATCH)),
    ("gradient_noise", "no-signal-left", run({"noise_scale/generator": np.where(PLANTED <= T, np.where(T % 5 == 0, 60.0, np.inf), 8.0)} | POOR, header=BATCH)),
    ("gradient_noise", "at-the-floor-of-adam", run(NOISY | {"certainty/generator": np.full(READINGS, 1.02)}, header=BATCH)),
    ("gradient_noise", "cosine-where-the-batch-is-unknown", run({"gradient_cosine/generator": from_onset(0.4, 0.01)} | POOR)),
    ("gradient_noise", "even-and-poor", run(NOISY | POOR | EVEN, header=BATCH)),
    ("checkerboard_artifacts", "grid", run({"checkerboard/ratio": from_onset(1.1, 6.0)})),
    ("checkerboard_artifacts", "plain-to-the-eye", run({"checkerboard/ratio": from_onset(0.9, 40.0)})),
]  # fmt: skip

DRIVEN = {"batch/real/mean": swing(0.3, at=0)}
WELL = [
    ("oscillation", "noise", run({"logits/gap": 1.2 + noise(1, 2.0), "batch/fake/mean": noise(2, 1.0), "batch/real/std": np.ones(READINGS)})),
    ("oscillation", "a-random-walk", run({"logits/gap": np.cumsum(noise(1)), "batch/fake/mean": np.cumsum(noise(1)), "batch/real/std": np.ones(READINGS)})),
    ("oscillation", "a-cycle-that-decays", run(game(fade=np.exp(-(T - PLANTED) / 15)))),
    ("oscillation", "a-cycle-that-grows", run(game(size=0.2, fade=np.exp((T - PLANTED) / 12)))),
    ("oscillation", "a-cycle-that-ended", run({k: np.where(T < 60, v, np.median(v)) for k, v in game().items()})),
    ("oscillation", "small-waves", run(game(size=0.2))),
    ("oscillation", "improving", run(game() | IMPROVING)),
    ("oscillation", "the-data-come-in-a-fixed-order", run(game() | DRIVEN)),
    ("oscillation", "cyclic-learning-rate", run(game() | {"learning_rate/generator": 2e-4 + swing(1e-4, at=0)})),
    ("oscillation", "two-swings-of-different-period", run(game(samples=False) | {"batch/fake/mean": swing(0.5, 13.0), "batch/real/std": np.ones(READINGS)} | {"loss/generator": 0.9 + noise(9, 0.02)})),
    ("oscillation", "a-lead-that-swings-alone", run(game(samples=False, losses=False))),
    ("oscillation", "a-balanced-field", run({"rotation": np.full(READINGS, 0.97)})),
    ("discriminator_overfitting", "dominance-without-a-gap", run({"overfitting/auc": np.full(READINGS, 0.52), "auc/discriminator": np.full(READINGS, 0.999)})),
    ("discriminator_overfitting", "a-split-that-differs-by-design", run({"overfitting/auc": np.full(READINGS, 0.9)})),
    ("swapped_labels", "minus-the-mean-logit", generator_loss(-1.0)),
    ("swapped_labels", "terms-that-nobody-showed", generator_loss(1.0, terms=0.2)),
    ("swapped_labels", "a-loss-that-is-not-linear", generator_loss(1.0, objective="non_saturating")),
    ("swapped_labels", "a-game-with-the-other-sign-throughout", generator_loss(1.0, gap=-1.2)),
    ("discriminator_overfitting", "few-ranks-of-a-split-of-ones-own", few_ranks(0.97, {})),
    ("discriminator_overfitting", "few-ranks-that-waver", few_ranks(0.7, OUR_SPLIT)),
    ("discriminator_overfitting", "chance-of-a-small-batch", run({"overfitting/auc": np.full(READINGS, 0.62)})),
    ("discriminator_overfitting", "a-wild-ratio-beside-calm-ranks", run({"overfitting/auc": np.full(READINGS, 0.53), "overfitting/ratio": from_onset(0.1, 0.9)})),
    ("discriminator_overfitting", "means-without-a-gap", run(HELD_OUT | {"logits/fake/mean": HELD_OUT["logits/real/mean"] - 0.3})),
    ("discriminator_overfitting", "known-for-a-moment", run({"overfitting/auc": np.where((T > 50) & (T < 60), 0.9, 0.52)})),
    ("memorization", "of-the-datas-own-law", run({"memorization/ratio": 1.0 + noise(1, 0.08)})),
    ("memorization", "blurred-samples", run({"memorization/ratio": np.full(READINGS, 0.71)})),
    ("memorization", "contracted-to-the-modes", run({"memorization/ratio": np.full(READINGS, 0.607)})),
    ("memorization", "untrained", run({"memorization/ratio": np.full(READINGS, 1.7)})),
    ("memorization", "copies-for-a-moment", run({"memorization/ratio": np.where(T == 70, 0.1, 1.0)})),
    ("condition_ignored", "labels-do-as-much-as-the-latent", run({"condition/effect": 1.0 + noise(1, 0.1), "condition/judged": 0.5 + noise(2, 0.05)})),
    ("condition_ignored", "classes-that-look-alike", run({"condition/effect": np.full(READINGS, 0.12), "condition/judged": np.full(READINGS, 0.1)})),
    ("condition_ignored", "not-yet-learned", run({"condition/effect": from_onset(0.01, 0.6)})),
    ("condition_ignored", "nothing-changes-anything", run({"condition/effect": from_onset(0.8, 0.0)} | UNDIVERSE)),
    ("lipschitz_violation", "the-penaltys-own-bias", run({"lipschitz/interpolates": np.full(READINGS, 9.0), "logits/real/mean": np.full(READINGS, 1.0), "logits/fake/mean": np.full(READINGS, -0.6)}, header=TOY)),
    ("lipschitz_violation", "a-soft-bound", run({"lipschitz/interpolates": 1.05 + noise(1, 0.1)}, header=WGAN)),
    ("lipschitz_violation", "clipped", run({"lipschitz/interpolates": np.full(READINGS, 0.01)}, header=CLIPPED)),
    ("lipschitz_violation", "clipped-and-unknown", run({"lipschitz/interpolates": np.full(READINGS, 40.0)}, header={"objective": "wasserstein"})),
    ("lipschitz_violation", "one-sided", run({"lipschitz/interpolates": np.full(READINGS, 0.2)}, header=recipe(penalties={"wgan_gp_one_sided": {"gamma": 10.0}}))),
    ("lipschitz_violation", "zero-centred", run({"lipschitz/interpolates": np.full(READINGS, 0.01)}, header=recipe(penalties={"r1": {"gamma": 1.0}}))),
    ("lipschitz_violation", "another-objective", run({"lipschitz/interpolates": RISES}, header={"objective": "hinge"})),
    ("lipschitz_violation", "steep-at-first", run({"lipschitz/interpolates": from_onset(6.0, 1.0)}, header=WGAN)),
    ("lipschitz_violation", "a-free-layer", run({"sigma/discriminator/body.0": np.full(READINGS, 30.0)}, header={"objective": "hinge"})),
    ("lipschitz_violation", "an-iteration-that-lags", run({"sigma/discriminator/body.0": np.full(READINGS, 1.05), "sigma/generator/0": np.full(READINGS, 9.0)}, header=SPECTRAL)),
    ("gradient_noise", "a-batch-of-the-noises-size", run({"noise_scale/generator": np.full(READINGS, 60.0)} | POOR, header=BATCH | {"batch": 64})),
    ("gradient_noise", "equilibrium", run(NOISY | EVEN | {"certainty/generator": np.full(READINGS, 1.0)}, header=BATCH)),
    ("gradient_noise", "the-discriminator-at-its-optimum", run({"noise_scale/discriminator": np.full(READINGS, np.inf), "gradient_cosine/discriminator": np.zeros(READINGS)} | POOR, header=BATCH)),
    ("gradient_noise", "improving", run(NOISY | IMPROVING, header=BATCH)),
    ("gradient_noise", "early-noise", run({"noise_scale/generator": from_onset(80.0, 6.0)} | POOR, header=BATCH)),
    ("checkerboard_artifacts", "as-smooth-as-reals", run({"checkerboard/ratio": 1.0 + noise(1, 0.05)})),
    ("checkerboard_artifacts", "smoother-than-reals", run({"checkerboard/ratio": np.full(READINGS, 0.2)})),
    ("checkerboard_artifacts", "a-grid-that-fades", run({"checkerboard/ratio": from_onset(9.0, 1.2)})),
    ("checkerboard_artifacts", "a-grid-for-a-moment", run({"checkerboard/ratio": np.where(T == 90, 30.0, 1.1)})),
    ("oscillation", "cosine-schedule", run({"learning_rate/generator": cosine()})),
]  # fmt: skip

SHORT = [
    ("oscillation", run({k: np.roll(v, -PLANTED) for k, v in game().items()}, count=40)),
    ("oscillation", run({k: np.where(T < 84, np.median(v), v) for k, v in game().items()})),
    ("discriminator_overfitting", run({"overfitting/auc": from_onset(0.5, 0.9, at=2)}, count=8)),
    ("swapped_labels", run({"loss/generator": LOGITS, "logits/fake/mean": LOGITS}, header={"objective": "hinge"}, count=4)),
    ("discriminator_overfitting", run({k: np.r_[v[:2], v[PLANTED:], v[2:PLANTED]] for k, v in HELD_OUT.items()}, count=8)),
    ("memorization", run({"memorization/ratio": np.full(READINGS, 0.1)}, count=4)),
    ("condition_ignored", run({"condition/effect": np.zeros(READINGS)}, count=4)),
    ("lipschitz_violation", run({"lipschitz/interpolates": np.full(READINGS, 9.0)}, count=4, header=WGAN)),
    ("gradient_noise", run({"noise_scale/generator": np.full(READINGS, 90.0)} | POOR, count=4, header=BATCH)),
    ("checkerboard_artifacts", run({"checkerboard/ratio": np.full(READINGS, 9.0)}, count=4)),
]  # fmt: skip
