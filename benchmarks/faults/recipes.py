"""Faults as edits of recipes. The right names were written down before the rules that find them.

A fault has at most two right names, since a cause may show in two ways; what its severity does to
the samples decides whether it must be found at all (`benchmarks.diagnosis`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Edit = Mapping[str, Any]
DIGITS = ("digits",)
EVERYWHERE = ("ring", *DIGITS)
MODES = ("ring", "grid", *DIGITS)  # what loses modes is tried where there are many
UNPENALIZED: Edit = {"penalties.r1.gamma": 0.0, "penalties.r2.gamma": 0.0}


@dataclass(frozen=True)
class Fault:
    """A named way to make a run sick.

    Attributes:
        name: of the fault, not of the failure.
        right: failure ids that name it, the first the best; two at most.
        edits: mild, medium, strong.
        presets: where it applies.
        why: what it does.
    """

    name: str
    right: tuple[str, ...]
    edits: tuple[Edit, Edit, Edit]
    presets: tuple[str, ...] = EVERYWHERE
    why: str = ""


def _rates(player: str, *factors: float) -> tuple[Edit, Edit, Edit]:
    """Learning rates of the presets (1e-3 on points, 2e-3 on digits) times each factor."""
    mild, medium, strong = ({f"optimizer.{player}.lr": 1e-3 * factor} for factor in factors)
    return mild, medium, strong


def _both(*factors: float) -> tuple[Edit, Edit, Edit]:
    pairs = zip(_rates("generator", *factors), _rates("discriminator", *factors), strict=True)
    mild, medium, strong = ({**g, **d} for g, d in pairs)
    return mild, medium, strong


def _each(path: str, *values: Any, **beside: Any) -> tuple[Edit, Edit, Edit]:
    more = {name.replace("__", "."): value for name, value in beside.items()}
    mild, medium, strong = ({path: value, **more} for value in values)
    return mild, medium, strong


def _free(edits: tuple[Edit, Edit, Edit]) -> tuple[Edit, Edit, Edit]:
    """The same without penalties, which would hold the game."""
    mild, medium, strong = ({**UNPENALIZED, **edit} for edit in edits)
    return mild, medium, strong


_FAULTS = (
    Fault(
        "discriminator too fast",
        ("discriminator_dominance", "mode_collapse"),
        _free(_rates("discriminator", 4, 10, 30)),
        why="it is sure before the generator has moved",
    ),
    Fault(
        "discriminator updated too often",
        ("discriminator_dominance", "mode_collapse"),
        _free(_each("balance.discriminator_steps", 3, 5, 10)),
        why="each round it is near its optimum, and unpenalized that is a cliff",
    ),
    Fault(
        "no penalty at a high rate",
        ("mode_collapse", "discriminator_dominance"),
        _free(_both(1, 2, 4)),
        presets=MODES,
        why="nothing makes the game converge",
    ),
    Fault(
        "generator too fast",
        ("generator_dominance", "mode_collapse"),
        _rates("generator", 10, 30, 100),
        why="it moves on before the discriminator has seen where it was",
    ),
    Fault(
        "discriminator too slow",
        ("generator_dominance", "stagnation"),
        _rates("discriminator", 0.1, 0.02, 0.005),
        why="it teaches yesterday's lesson",
    ),
    Fault(
        "discriminator too small",
        ("generator_dominance", "mode_collapse"),
        _each("discriminator.width", 8, 4, 2),
        why="it cannot represent the difference",
    ),
    Fault(
        "generator too small",
        ("stagnation", "mode_collapse"),
        _each("generator.width", 6, 3, 1),
        why="it cannot represent the data",
    ),
    Fault(
        "latent too narrow",
        ("mode_collapse", "stagnation"),
        _each("generator.z_dim", 2, 1, 1),
        DIGITS,
        why="a curve cannot cover the data",
    ),
    Fault(
        "saturating loss",
        ("vanishing_gradient", "discriminator_dominance"),
        _free(_each("optimizer.discriminator.lr", 1e-3, 4e-3, 1e-2, objective__name="minimax")),
        why="the surer the discriminator, the less the generator is told",
    ),
    Fault(
        "rates beyond stability",
        ("divergence", "exploding_gradient"),
        _both(20, 60, 200),
        why="a step overshoots the basin",
    ),
    Fault(
        "dead generator",
        ("stalled_player",),
        _each("optimizer.generator.lr", 1e-9, 1e-11, 1e-14),
        why="its rate moves nothing",
    ),
    Fault(
        "dead discriminator",
        ("stalled_player", "generator_dominance"),
        _each("optimizer.discriminator.lr", 1e-9, 1e-11, 1e-14),
        why="its rate moves nothing",
    ),
    Fault(
        "momentum",
        ("oscillation", "mode_collapse"),
        _free(
            (
                {"optimizer.generator.beta1": 0.5, "optimizer.discriminator.beta1": 0.5},
                {"optimizer.generator.beta1": 0.9, "optimizer.discriminator.beta1": 0.9},
                {"optimizer.generator.beta1": 0.98, "optimizer.discriminator.beta1": 0.98},
            )
        ),
        why="it carries both players past each other",
    ),
    Fault(
        "batch too small",
        ("gradient_noise", "oscillation"),
        _each("batch", 8, 4, 2),
        why="gradients are mostly noise",
    ),
    Fault(
        "penalty too strong",
        ("stagnation", "generator_dominance"),
        (
            {"penalties.r1.gamma": 10.0, "penalties.r2.gamma": 10.0},
            {"penalties.r1.gamma": 100.0, "penalties.r2.gamma": 100.0},
            {"penalties.r1.gamma": 1000.0, "penalties.r2.gamma": 1000.0},
        ),
        why="a flat discriminator tells nothing",
    ),
    Fault(
        "clipped too hard",
        ("vanishing_gradient", "lipschitz_violation"),
        _free(_each("constraint.bound", 0.05, 0.01, 0.001, objective__name="wasserstein")),
        why="weights at the bound leave no slope",
    ),
    Fault(
        "critic without constraint",
        ("divergence", "runaway_logits"),
        _free(
            _each("optimizer.discriminator.lr", 1e-3, 3e-3, 1e-2, objective__name="wasserstein")
        ),
        why="its scale is free and grows",
    ),
    Fault(
        "hinge without constraint",
        ("mode_collapse", "runaway_logits"),
        _free(_each("optimizer.discriminator.lr", 2e-3, 4e-3, 1e-2, objective__name="hinge")),
        presets=MODES,
        why="beyond its margins nothing holds it",
    ),
    Fault(
        "noise on the input",
        ("stagnation", "mode_collapse"),
        _each("noise.input.sigma", 0.3, 1.0, 3.0),
        why="what it hides cannot be learned",
    ),
    Fault(
        "dropout in the generator",
        ("stagnation", "mode_collapse"),
        _each("generator.dropout", 0.3, 0.6, 0.9),
        why="samples are not what was trained",
    ),
    Fault(
        "dropout in the discriminator",
        ("generator_dominance", "stagnation"),
        _each("discriminator.dropout", 0.5, 0.8, 0.95),
        why="it forgets what it knew",
    ),
    Fault(
        "labels flipped",
        ("stagnation", "generator_dominance"),
        _each("objective.label_flip", 0.2, 0.35, 0.49, objective__name="non_saturating"),
        why="the loss rewards not knowing",
    ),
    Fault(
        "augmentation that leaks",
        ("data_range_mismatch", "mode_collapse"),
        _each("augmentation.policy", "rotation", "rotation,scale", "rotation,scale,brightness",
              augmentation__name="ada", augmentation__p=1.0),
        DIGITS,
        why="at p = 1 the transforms are learned as if they were data",
    ),
    Fault(
        "reals alone augmented",
        ("data_range_mismatch", "stagnation"),
        (
            {"data.augment.color": 0.3},
            {"data.augment.color": 0.6, "data.augment.crop": 1},
            {"data.augment.color": 1.0, "data.augment.crop": 2},
        ),
        DIGITS,
        why="the generator learns the changes",
    ),
    Fault(
        "best fakes alone",
        ("mode_collapse",),
        _each("balance.top_k.floor", 0.25, 0.1, 0.05,
              balance__top_k__gamma=0.01, balance__top_k__epoch_kimg=1.0),
        presets=MODES,
        why="what is not yet good is never taught",
    ),
    Fault(
        "the core alone",
        ("mode_collapse", "stagnation"),
        _each("data.curriculum.start", 0.3, 0.1, 0.02, data__curriculum__kimg=1e6),
        DIGITS,
        why="a curriculum that never opens",
    ),
    Fault(
        "average that lags",
        ("stagnation",),
        _each("ema.half_life_kimg", 100.0, 1000.0, 1e5),
        why="samples are drawn from weights of long ago",
    ),
    Fault(
        "weights decay",
        ("stagnation", "vanishing_gradient"),
        _each("optimizer.generator.weight_decay", 0.1, 1.0, 10.0),
        why="the generator is pulled to nothing",
    ),
    Fault(
        "gradients clipped to nothing",
        ("stagnation", "stalled_player"),
        _each("optimizer.generator.clip_norm", 1e-2, 1e-3, 1e-5, optimizer__generator__name="sgd",
              optimizer__generator__lr=1e-2),
        why="descent at a step of fixed, tiny length",
    ),
    Fault(
        "half precision",
        ("precision_underflow", "non_finite"),
        _each("compute.precision", "16-mixed", "16-mixed", "16-mixed",
              objective__name="minimax"),
        DIGITS,
        why="small gradients are lost to their type",
    ),
    Fault(
        "too little data",
        ("discriminator_overfitting", "memorization"),
        _each("data.limit", 128, 48, 16),
        DIGITS,
        why="the discriminator learns them by heart, and the generator copies",
    ),
    Fault(
        "too little data, no penalty",
        ("discriminator_overfitting", "discriminator_dominance"),
        _free(_each("data.limit", 256, 96, 32)),
        DIGITS,
        why="with nothing to flatten it, the discriminator knows each sample",
    ),
    Fault(
        "truncated evaluation",
        ("mode_collapse", "broken_metric"),
        _each("evaluation.truncation", 0.5, 0.2, 0.05),
        why="what is measured is not what was trained",
    ),
    Fault(
        "too few samples measured",
        ("broken_metric",),
        _each("evaluation.samples", 64, 32, 16),
        DIGITS,
        why="a covariance of more dimensions than samples",
    ),
)  # fmt: skip

FAULTS: dict[str, Fault] = {fault.name: fault for fault in _FAULTS}
