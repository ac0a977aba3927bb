"""What is tried: a baseline, arms that change one thing each, shared seeds; fixed beforehand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from equipoise.clinic import REMEDIES
from equipoise.errors import RecipeError, unknown
from equipoise.metrics import ModeCount
from equipoise.recipe import Recipe, parse_settings
from equipoise.record import SIGNALS
from equipoise.training import check_names
from equipoise.trial.statistics import MOST_PAIRS, fewest_seeds

BASELINE = "baseline"  # the name that no arm may have


@dataclass(frozen=True)
class Arm:
    """A named edit of the baseline."""

    name: str
    edit: dict[str, Any]


@dataclass(frozen=True)
class Design:
    """A trial, fixed before its first run.

    Attributes:
        baseline: the recipe that every arm starts from.
        arms: each changes one thing.
        seeds: shared by the baseline and all arms, so that runs pair up.
        metric: primary metric by name without "metric/"; `better` is its direction.
        minimal_effect: least improvement worth keeping, in the metric's unit.
    """

    baseline: Recipe
    arms: tuple[Arm, ...]
    seeds: tuple[int, ...]
    metric: str
    better: Literal["lower", "higher"]
    minimal_effect: float = 0.0


def plan(
    baseline: Recipe,
    arms: Sequence[Arm],
    seeds: Sequence[int],
    metric: str | None = None,
    minimal_effect: float = 0.0,
) -> Design:
    """A design that can decide, or the reason why it cannot.

    Raises:
        RecipeError: no arms, an arm that changes nothing or contradicts the recipe, too few or
            repeated seeds, a minimal effect that is no size, or a primary metric that is not
            measured or has no direction.
    """
    if not arms:
        raise RecipeError("arms = []: a trial compares at least one change with the baseline")
    names = [BASELINE, *(arm.name for arm in arms)]
    if len(set(names)) < len(names):
        raise RecipeError(f"arms = {names[1:]}: each needs a name of its own, and not {BASELINE!r}")
    for arm in arms:
        _check_arm(arm, baseline)
    _check_seeds(seeds, len(arms))
    if not 0 <= minimal_effect < math.inf:
        raise RecipeError(
            f"minimal_effect = {minimal_effect!r} must be finite and at least 0: it is the least"
            " improvement worth keeping, whatever the metric's direction"
        )
    name = metric or baseline.evaluation.primary
    return Design(baseline, tuple(arms), tuple(seeds), *_measured(baseline, name), minimal_effect)


def _check_arm(arm: Arm, baseline: Recipe) -> None:
    edited = baseline.edit(arm.edit)
    check_names(edited)
    if edited.content_hash() == baseline.content_hash():
        raise RecipeError(
            f"arm {arm.name!r} changes nothing in recipe {baseline.name!r}; choose another"
        )
    if edited.evaluation != baseline.evaluation:
        raise RecipeError(
            f"arm {arm.name!r} edits the evaluation, so the two sides would not be measured alike;"
            " change it in the baseline with --set"
        )


def _check_seeds(seeds: Sequence[int], arms: int) -> None:
    needed = fewest_seeds(arms)
    if len(set(seeds)) != len(seeds) or len(seeds) < needed:
        raise RecipeError(
            f"seeds = {list(seeds)}: {arms} arm(s) need at least {needed} different seeds:"
            f" n pairs cannot go below p = 2^-n; give --seeds {needed} or more"
        )
    if len(seeds) > MOST_PAIRS:
        raise RecipeError(
            f"seeds: {len(seeds)} of them, and the exact test covers at most {MOST_PAIRS} pairs;"
            f" give --seeds {MOST_PAIRS} or fewer"
        )


def _measured(baseline: Recipe, metric: str | None) -> tuple[str, Literal["lower", "higher"]]:
    known = _metrics(baseline)
    if metric is None:
        raise RecipeError(
            f"recipe {baseline.name!r} has no evaluation.primary; name the metric with --metric"
        )
    if metric not in known:
        families = ", ".join(baseline.evaluation.metrics) or "none"
        raise RecipeError(
            f"recipe {baseline.name!r} does not measure it (evaluation.metrics: {families}):"
            f" {unknown('metric', metric, known)}"
        )
    return metric, known[metric]


def _metrics(baseline: Recipe) -> dict[str, Literal["lower", "higher"]]:
    """The metrics that the recipe's families measure, with the better direction of each."""
    directions = {
        name.removeprefix("metric/"): signal.better
        for name, signal in SIGNALS.items()
        if name.startswith("metric/") and signal.better is not None
    }
    families = baseline.evaluation.metrics
    return {
        name: better
        for name, better in directions.items()
        if any(name.endswith(f"_{family}") for family in families)
        or ("mixture" in families and name in ModeCount._fields)
    }


def parse_arm(text: str, baseline: Recipe) -> Arm:
    """An arm from the command line: a remedy's id, `r1=10` for a penalty's gamma, or PATH=VALUE.

    Raises:
        RecipeError: none of these.
    """
    name, equals, value = text.partition("=")
    if not equals:
        if text not in REMEDIES:
            raise RecipeError(f"--arm: {unknown('remedy', text, REMEDIES)}, or PATH=VALUE")
        edit = dict(REMEDIES[text].edit(baseline))
        if not edit:
            raise RecipeError(
                f"--arm {text!r} has no edit that changes recipe {baseline.name!r}:"
                f" {REMEDIES[text].caution or 'it is already there, or it is a code change'}"
            )
        return Arm(text, edit)
    if "." not in name and name not in type(baseline).model_fields:
        return Arm(text, parse_settings([f"penalties.{name}.gamma={value}"]))
    return Arm(text, parse_settings([text]))
