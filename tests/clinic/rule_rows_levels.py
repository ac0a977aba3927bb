# ruff: noqa: E501 - one case, one line
"""Rows for what is judged by levels once a run is over: sick, well, too short (see test_rules.py)."""

import numpy as np
from clinic_scenarios import PLANTED, READINGS, STEPS, UNDIVERSE, from_onset, run

FULL = np.full(READINGS, 1.0)
LATE = int(STEPS[int(0.7 * READINGS)])  # where the last 30 % begin


def over(changes, **header):
    """The well run with its budget spent: improving or not, its level is what it leaves."""
    return run(changes, header={"budget_steps": int(STEPS[-1])} | header)


def under_way(changes, **header):
    return run(changes, header={"budget_steps": 2 * int(STEPS[-1])} | header)


def recipe(**parts):
    return {"recipe": {"objective": {"name": "wasserstein"}} | parts}


RISES = np.linspace(0.001, 0.1, READINGS)  # good samples, few and ever more
AHEAD = {"auc/discriminator": from_onset(0.8, 0.95)}
PROVEN = {"loss/discriminator": from_onset(1.1, 0.7)}
LOW_COVERAGE = {"metric/coverage_digits_cnn": np.linspace(0.02, 0.3, READINGS)}
LOST = {"metric/coverage_digits_cnn": np.linspace(0.02, 0.2, READINGS)}
AT_CHANCE = {"loss/discriminator": 1.3863 * FULL, "auc/discriminator": 0.6 * FULL}
FAST = {"update_ratio/generator": from_onset(1e-3, 1e-2)}
BURST = {
    "loss/discriminator": np.where(
        (np.arange(READINGS) >= PLANTED) & (np.arange(READINGS) < 50), 90.0, 1.1
    )
}
IDLE = {"update_ratio/generator": 2e-8 * FULL, "update_ratio/discriminator": 1e-3 * FULL}
CREEP = {"update_ratio/generator": 1e-5 * FULL, "update_ratio/discriminator": 1e-3 * FULL}
FRECHET = {"metric/frechet_digits_cnn": from_onset(20.0, 15.0)}
UNHELD = {"logits/extreme": from_onset(5.0, 300.0)}
CRITIC = {"objective": "wasserstein", **recipe(penalties={"r1": {"gamma": 0.0}})}
LAGS = recipe(kimg=1.0, ema={"half_life_kimg": 1e5, "rampup": None})
KEEPS = recipe(kimg=1.0, ema={"half_life_kimg": 0.05, "rampup": None})
UNLEARNED = {"metric/high_quality": 0.0 * FULL}

SICK_OVER = [  # seen in the last 30 % of a run that is over: no onset is claimed
    ("discriminator_dominance", "far-ahead-and-few-good-samples", over(AHEAD | {"metric/high_quality": RISES})),
    ("discriminator_dominance", "its-loss-proves-a-distance", over(PROVEN | {"metric/high_quality": RISES})),
    ("discriminator_dominance", "somewhat-ahead-on-both-scales", over({"auc/discriminator": 0.85 * FULL, "loss/discriminator": 1.1 * FULL} | LOW_COVERAGE)),
    ("discriminator_dominance", "ahead-and-flat", run(AHEAD | {"metric/high_quality": 0.05 * FULL})),
    ("generator_dominance", "a-loss-at-chance", over(AT_CHANCE | LOST)),
    ("generator_dominance", "outruns-the-discriminator", over(FAST | {"metric/high_quality": RISES})),
    ("mode_collapse", "coverage-under-a-discriminator-that-is-ahead", over(AHEAD | LOST)),
    ("mode_collapse", "shares-of-the-modes", over({"metric/mode_kl": np.linspace(2.0, 0.2, READINGS)})),
    ("stagnation", "a-budget-that-is-spent", over(UNLEARNED)),
    ("stagnation", "an-average-that-lags", over(LOW_COVERAGE, **LAGS)),
    ("stagnation", "an-average-that-lags-behind-a-distance", over({"metric/frechet_digits_cnn": np.linspace(90, 60, READINGS)}, **LAGS)),
]  # fmt: skip

SICK = [
    ("stagnation", "weights-that-shrink", over(LOST | {"parameter_norm/generator": from_onset(10.0, 3.0)})),
    ("divergence", "a-burst-that-left-the-samples-poor", over(BURST | {"metric/high_quality": RISES})),
    ("divergence", "a-critic-that-nothing-holds", run(UNHELD | {"metric/coverage_digits_cnn": 0.1 * FULL}, header=CRITIC)),
    ("vanishing_gradient", "a-critic-without-slope", over({"pull/norm": from_onset(0.5, 1e-5)} | LOST, objective="wasserstein")),
    ("mode_collapse", "all-fakes-one", run({"diversity/pairwise": from_onset(0.9, 1e-4), "diversity/nearest": from_onset(0.9, 1e-4), "auc/discriminator": FULL})),
    ("stalled_player", "from-the-start", run(IDLE)),
    ("stalled_player", "from-the-start", run(CREEP)),
    ("broken_metric", "from-the-start", run(FRECHET, header=recipe(evaluation={"samples": 64}))),
]  # fmt: skip

WELL = [
    ("discriminator_dominance", "ahead-and-under-way", under_way(AHEAD | {"metric/high_quality": RISES})),
    ("discriminator_dominance", "ahead-and-good", over(AHEAD | {"metric/high_quality": np.linspace(0.1, 0.5, READINGS)})),
    ("discriminator_dominance", "few-good-samples-in-a-balanced-game", over({"metric/high_quality": RISES})),
    ("discriminator_dominance", "ranks-well-and-is-flat", over(AHEAD | {"loss/discriminator": 1.35 * FULL} | LOST)),
    ("discriminator_dominance", "coverage-of-a-small-network", over({"auc/discriminator": 0.85 * FULL, "loss/discriminator": 1.35 * FULL} | LOST)),
    ("generator_dominance", "at-chance-and-good", over(AT_CHANCE | {"metric/coverage_digits_cnn": 0.5 * FULL})),
    ("generator_dominance", "at-chance-and-under-way", under_way(AT_CHANCE | LOW_COVERAGE)),
    ("generator_dominance", "fast-and-good", over(FAST | {"metric/high_quality": 0.4 * FULL})),
    ("generator_dominance", "a-loss-beyond-chance-of-a-discriminator-that-leads", over(AT_CHANCE | AHEAD | LOST)),
    ("mode_collapse", "one-mode-of-25", over({"metric/mode_coverage": 0.92 * FULL, "metric/high_quality": 0.35 * FULL, "metric/mode_kl": 0.054 * FULL})),
    ("mode_collapse", "hardly-a-good-sample", over({"metric/mode_coverage": 0.25 * FULL, "metric/high_quality": 0.01 * FULL, "metric/mode_kl": 0.01 * FULL})),
    ("mode_collapse", "modes-of-a-run-under-way", under_way({"metric/mode_coverage": np.linspace(0, 0.7, READINGS)})),
    ("mode_collapse", "coverage-of-a-small-network", over({"loss/discriminator": 1.35 * FULL} | LOST)),
    ("divergence", "a-burst-that-healed", over(BURST | {"metric/high_quality": 0.4 * FULL, "metric/coverage_digits_cnn": 0.5 * FULL})),
    ("divergence", "one-reading-beyond-any-game", over({"loss/discriminator": np.where(np.arange(READINGS) == PLANTED, 90.0, 1.1), "metric/high_quality": RISES})),
    ("divergence", "a-critic-that-something-holds", run(UNHELD, header={"objective": "wasserstein", **recipe(penalties={"wgan_gp": {"gamma": 10.0}})})),
    ("divergence", "a-critic-that-nothing-holds-and-good-samples", run(UNHELD | {"metric/high_quality": 0.7 * FULL}, header=CRITIC)),
    ("stagnation", "good-samples-few-and-more", over({"metric/high_quality": RISES * 3})),
    ("stagnation", "nothing-learned-yet", under_way(UNLEARNED)),
    ("stagnation", "an-average-that-follows", over(LOW_COVERAGE, **KEEPS)),
    ("stagnation", "weights-that-shrink-to-good-samples", over({"metric/coverage_digits_cnn": 0.5 * FULL, "parameter_norm/generator": from_onset(10.0, 3.0)})),
    ("vanishing_gradient", "a-flat-critic-and-good-samples", over({"pull/norm": from_onset(0.5, 1e-5), "metric/high_quality": 0.5 * FULL}, objective="wasserstein")),
    ("vanishing_gradient", "a-small-pull-under-another-objective", over({"pull/norm": 1e-4 * FULL} | LOST)),
    ("stalled_player", "follows-a-pull-that-is-gone", run(CREEP | {"pull/norm": 1e-8 * FULL})),
    ("stalled_player", "no-gradient-once-it-had-moved", run({"update_ratio/generator": from_onset(1e-3, 0.0), "gradient_zero/generator": from_onset(0.0, 1.0)})),
    ("stalled_player", "no-gradient-behind-a-saturated-output", run({"update_ratio/generator": 0.0 * FULL, "gradient_zero/generator": FULL, "saturation/fake": FULL})),
    ("stalled_player", "no-gradient-beyond-both-margins", run({"update_ratio/discriminator": 0.0 * FULL, "gradient_zero/discriminator": FULL, "logits/silent": FULL})),
    ("stalled_player", "small-steps-of-both", run({"update_ratio/generator": 1e-5 * FULL, "update_ratio/discriminator": 2e-5 * FULL})),
    ("stalled_player", "a-slow-discriminator-is-no-stalled-one", run({"update_ratio/discriminator": 1e-5 * FULL})),
    ("broken_metric", "enough-samples", run(FRECHET, header=recipe(evaluation={"samples": 1797}))),
    ("mode_collapse", "undiverse-for-a-while", over({k: np.where(np.arange(READINGS) < 60, v, 0.95) for k, v in UNDIVERSE.items()})),
]  # fmt: skip

SHORT = [
    ("discriminator_dominance", run(AHEAD | {"metric/high_quality": RISES}, count=4, header={"budget_steps": int(STEPS[3])})),
    ("generator_dominance", run(AT_CHANCE | LOST, count=2, header={"budget_steps": int(STEPS[1])})),
    ("stagnation", run(UNLEARNED, count=2, header={"budget_steps": int(STEPS[1])})),
    ("vanishing_gradient", run({"pull/norm": 1e-5 * FULL} | LOST, count=4, header={"objective": "wasserstein", "budget_steps": int(STEPS[3])})),
    ("divergence", run(UNHELD | LOST, count=4, header=CRITIC)),
    ("stalled_player", run(CREEP, count=40)),
]  # fmt: skip
