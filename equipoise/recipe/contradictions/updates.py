"""Contradictions about how players step: optimizers, order, accumulation, precision, compilers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from equipoise.recipe.contradictions.players import sloped

if TYPE_CHECKING:
    from equipoise.recipe.parts import Optimizer, Switch
    from equipoise.recipe.schema import Recipe

COUPLED_OBJECTIVES = frozenset(
    {
        "relativistic_average",
        "relativistic_average_hinge",
        "relativistic_average_least_squares",
    }
)
BATCH_NORMS = frozenset({"batch", "virtual_batch"})


def _both(recipe: Recipe) -> dict[str, Optimizer | Switch]:
    found: dict[str, Optimizer | Switch] = {}
    for player in ("generator", "discriminator"):
        optimizer = getattr(recipe.optimizer, player)
        found[f"optimizer.{player}"] = optimizer
        if optimizer.switch is not None:
            found[f"optimizer.{player}.switch"] = optimizer.switch
    return found


def _negative_momentum(recipe: Recipe) -> str | None:
    for path, optimizer in _both(recipe).items():
        if optimizer.beta1 < 0 and optimizer.name != "sgd":
            return (
                f"{path}.beta1 = {optimizer.beta1:g} is negative momentum, which is defined for"
                f" plain descent: {path}.name = {optimizer.name!r} averages gradients; set the name"
                " to 'sgd', or beta1 to 0"
            )
    return None


def _second_moment(recipe: Recipe) -> str | None:
    for player in ("generator", "discriminator"):
        optimizer = getattr(recipe.optimizer, player)
        burn_in = optimizer.beta2_burn_in
        if burn_in is None:
            continue
        if optimizer.name == "sgd":
            return (
                f"optimizer.{player}.beta2_burn_in needs a second moment, and 'sgd' has none; use"
                " 'adam', or leave it out"
            )
        if burn_in.start >= 1:
            return (
                f"optimizer.{player}.beta2_burn_in.start = {burn_in.start:g}: beta2 is below 1; 0.9"
                " is usual"
            )
    return None


def _half_life_of_nothing(recipe: Recipe) -> str | None:
    ema = recipe.ema
    if ema.half_life_kimg is None and (ema.rampup is not None or ema.burn_in is not None):
        return "ema.rampup and ema.burn_in need an average; set ema.half_life_kimg (10 is usual)"
    return None


def _one_round(recipe: Recipe) -> str | None:
    b = recipe.balance
    if b.order == "alternating":
        return None
    if b.discriminator_steps != 1 or b.generator_steps != 1:
        return (
            f"balance.order = {b.order!r} moves both players once a round, but"
            f" discriminator_steps = {b.discriminator_steps} and generator_steps ="
            f" {b.generator_steps}; set both to 1, or the order to 'alternating'"
        )
    if b.hold is not None:
        return (
            f"balance.hold lets one player rest, which balance.order = {b.order!r} cannot; set the"
            " order to 'alternating'"
        )
    return None


def _consensus_is_simultaneous(recipe: Recipe) -> str | None:
    b = recipe.balance
    if b.consensus == 0:
        return None
    for path, wrong in {
        f"balance.order = {b.order!r}": b.order != "simultaneous",
        "balance.unroll": b.unroll is not None,
        f"accumulate = {recipe.accumulate}": recipe.accumulate > 1,
        "compute.precision = '16-mixed'": recipe.compute.precision == "16-mixed",
        "weighting.name = 'balancer'": recipe.weighting.name == "balancer",
    }.items():
        if wrong:
            return (
                f"balance.consensus = {b.consensus:g} contradicts {path}: it differentiates both"
                " players' gradients at one point, of one batch, unscaled; set balance.order to"
                " 'simultaneous' and leave the other out, or consensus to 0"
            )
    return None


def _half_precision_steps_once(recipe: Recipe) -> str | None:
    if recipe.compute.precision == "16-mixed" and recipe.balance.order == "extragradient":
        return (
            "compute.precision = '16-mixed' contradicts balance.order = 'extragradient': a step"
            " that the scaler skips would leave a player half-way; use 'bf16-mixed'"
        )
    return None


def _accumulated_parts_are_apart(recipe: Recipe) -> str | None:
    if recipe.accumulate == 1:
        return None
    if recipe.batch % recipe.accumulate or recipe.batch // recipe.accumulate < 2:
        return (
            f"accumulate = {recipe.accumulate} does not cut batch = {recipe.batch} into whole parts"
            " of 2 or more; make the batch a multiple"
        )
    for path, couples in _couplings(recipe).items():
        if couples:
            return (
                f"accumulate = {recipe.accumulate} contradicts {path}, which ties the samples of a"
                " batch: parts would not add up to the whole; leave one out"
            )
    return None


def _couplings(recipe: Recipe) -> dict[str, bool]:
    g, d = recipe.generator, recipe.discriminator
    return {
        f"objective.name = {recipe.objective.name!r}": recipe.objective.name in COUPLED_OBJECTIVES,
        f"generator.normalization = {g.normalization!r}": g.normalization in BATCH_NORMS,
        f"discriminator.normalization = {d.normalization!r}": d.normalization in BATCH_NORMS,
        f"discriminator.minibatch = {d.minibatch!r}": d.minibatch != "none",
        "discriminator.family = 'progressive' (minibatch deviation)": d.family == "progressive",
        "balance.top_k": recipe.balance.top_k is not None,
        "balance.unroll": recipe.balance.unroll is not None,
        "feature_matching.gamma": recipe.feature_matching.gamma > 0,
        "generator_penalties.path_length": "path_length" in recipe.generator_penalties,
    }


def _compiled_once(recipe: Recipe) -> str | None:
    twice = {
        f"penalties.{sloped(recipe)}": ("discriminator", sloped(recipe) is not None),
        "balance.consensus": ("discriminator", recipe.balance.consensus > 0),
        "balance.unroll": ("discriminator", recipe.balance.unroll is not None),
        "generator_penalties.path_length": (
            "generator",
            "path_length" in recipe.generator_penalties,
        ),
    }
    for path, (player, used) in twice.items():
        if used and player in recipe.compute.compile:
            return (
                f"compute.compile holds {player!r}, but {path} differentiates it twice, which"
                f" torch.compile does not support; take {player!r} out of compute.compile"
            )
    for path, changing in {
        "growth": recipe.growth is not None,
        "noise.hidden": recipe.noise.hidden.sigma > 0,
        "feature_matching.gamma": recipe.feature_matching.gamma > 0,
    }.items():
        if changing and recipe.compute.compile:
            return (
                f"compute.compile contradicts {path}, which reaches into the networks as they"
                " run, so that they would be compiled again and again; leave one out"
            )
    return None


def _hold_has_a_band(recipe: Recipe) -> str | None:
    hold = recipe.balance.hold
    if hold is not None and not hold.low < hold.high:
        return (
            f"balance.hold.low = {hold.low:g}, high = {hold.high:g}: low must be below high, or"
            " both players would rest at once"
        )
    return None


CHECKS = (
    _negative_momentum,
    _second_moment,
    _half_life_of_nothing,
    _one_round,
    _consensus_is_simultaneous,
    _half_precision_steps_once,
    _accumulated_parts_are_apart,
    _compiled_once,
    _hold_has_a_band,
)
