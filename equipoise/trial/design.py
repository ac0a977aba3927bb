"""What is tried: a baseline, arms that each change one thing, seeds shared by all, fixed beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from equipoise.clinic import REMEDIES
from equipoise.errors import RecipeError, unknown
from equipoise.recipe import Recipe, parse_settings
from equipoise.record import SIGNALS, describe
from equipoise.trial.statistics import fewest_seeds


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
            repeated seeds, or a primary metric that is not measured or has no direction.
    """
    if not arms:
        raise RecipeError("arms = []: a trial compares at least one change with the baseline")
    for arm in arms:
        if not arm.edit or baseline.edit(arm.edit).content_hash() == baseline.content_hash():
            raise RecipeError(
                f"arm {arm.name!r} changes nothing in recipe {baseline.name!r}; choose another"
            )
    needed = fewest_seeds(len(arms))
    if len(set(seeds)) != len(seeds) or len(seeds) < needed:
        raise RecipeError(
            f"seeds = {list(seeds)}: {len(arms)} arm(s) need at least {needed} different seeds, since"
            f" n pairs cannot go below p = 2^-n; give --seeds {needed} or more"
        )
    name = metric or baseline.evaluation.primary
    return Design(baseline, tuple(arms), tuple(seeds), *_measured(baseline, name), minimal_effect)


def _measured(baseline: Recipe, metric: str | None) -> tuple[str, Literal["lower", "higher"]]:
    known = [n.removeprefix("metric/") for n, s in SIGNALS.items() if n.startswith("metric/")]
    if metric is None:
        raise RecipeError(
            f"recipe {baseline.name!r} has no evaluation.primary; name the metric with --metric"
        )
    signal = describe(f"metric/{metric}")
    if signal is None or signal.better is None:
        raise RecipeError(unknown("metric", metric, known))
    return metric, signal.better


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
