"""What only the tables of parts can refuse: names that nobody knows, needs that nobody meets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from equipoise.data import SOURCES
from equipoise.errors import RecipeError, unknown
from equipoise.game import (
    ADA_PARTS,
    AUGMENTATIONS,
    CONSTRAINTS,
    DIFFAUGMENT_PARTS,
    INITIALIZERS,
    MINIBATCH_LAYERS,
    NORMALIZATIONS,
    OBJECTIVES,
    OPTIMIZERS,
    PENALTIES,
    WEIGHT_PENALTIES,
    WEIGHTINGS,
)
from equipoise.metrics import FAMILIES as METRICS
from equipoise.networks import FAMILIES as NETWORKS
from equipoise.recipe import Recipe
from equipoise.record import SIGNALS

PARTS: dict[str, Mapping[str, Any]] = {"ada": ADA_PARTS, "diffaugment": DIFFAUGMENT_PARTS}
ON_GENERATOR = ("path_length", "latent_spread", *WEIGHT_PENALTIES)
Named = tuple[str, str, Mapping[str, Any]]


def check_names(recipe: Recipe) -> None:
    """Refuse a recipe that names a part which does not exist; cheap, nothing is built.

    Raises:
        RecipeError: with the path, the nearest name and all choices; or a penalty lacks what it
            needs.
    """
    for path, name, table in (*_networks(recipe), *_losses(recipe), *_measured(recipe)):
        if name not in table:
            raise RecipeError(f"recipe {recipe.name!r}: {unknown(path, name, table)}")
    _check_consistency(recipe)


def _networks(recipe: Recipe) -> Iterator[Named]:
    yield "data.kind", recipe.data.kind, SOURCES
    for player in ("generator", "discriminator"):
        network, optimizer = getattr(recipe, player), getattr(recipe.optimizer, player)
        yield f"{player}.family", network.family, NETWORKS
        normalizations = {**NORMALIZATIONS, "spectral_exact": None}
        yield f"{player}.normalization", network.normalization, normalizations
        if network.initializer is not None:
            yield f"{player}.initializer", network.initializer, {**INITIALIZERS, "fixup": None}
        yield f"optimizer.{player}.name", optimizer.name, OPTIMIZERS
        if optimizer.switch is not None:
            yield f"optimizer.{player}.switch.name", optimizer.switch.name, OPTIMIZERS
    yield "discriminator.minibatch", recipe.discriminator.minibatch, MINIBATCH_LAYERS


def _losses(recipe: Recipe) -> Iterator[Named]:
    yield "objective.name", recipe.objective.name, OBJECTIVES
    for name in recipe.penalties:
        yield "penalties", name, {**PENALTIES, **WEIGHT_PENALTIES}
    for name in recipe.generator_penalties:
        yield "generator_penalties", name, dict.fromkeys(ON_GENERATOR)
    yield "weighting.name", recipe.weighting.name, WEIGHTINGS
    augmentation = recipe.augmentation
    yield "augmentation.name", augmentation.name, {"none": None, **AUGMENTATIONS}
    policies: dict[str, tuple[str, Mapping[str, Any]]] = {
        "consistency.policy": (recipe.consistency.policy, ADA_PARTS)
    }
    if augmentation.policy is not None:
        policies["augmentation.policy"] = (augmentation.policy, PARTS[augmentation.name])
    for path, (policy, table) in policies.items():
        for part in filter(None, map(str.strip, policy.split(","))):
            yield path, part, table
    if recipe.constraint is not None:
        yield "constraint.name", recipe.constraint.name, CONSTRAINTS


def _measured(recipe: Recipe) -> Iterator[Named]:
    for name in recipe.evaluation.metrics:
        yield "evaluation.metrics", name, METRICS
    if recipe.evaluation.primary is not None:
        measured = [n.removeprefix("metric/") for n in SIGNALS if n.startswith("metric/")]
        yield "evaluation.primary", recipe.evaluation.primary, dict.fromkeys(measured)


def _check_consistency(recipe: Recipe) -> None:
    c = recipe.consistency
    if c.policy or c.sigma:
        return
    for name, penalty in recipe.penalties.items():
        if penalty.gamma > 0 and "augment" in PENALTIES.get(name, PENALTIES["r1"]).needs:
            raise RecipeError(
                f"recipe {recipe.name!r}: penalties.{name} compares a sample with its transform,"
                " and there is none; set consistency.policy ('flip,translation') for images, or"
                " consistency.sigma for points"
            )
