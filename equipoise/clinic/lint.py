"""Static lint: what a recipe sets that limits its samples, whatever the signals look like.

The signals alone name the symptom: noise that hides the data leaves a discriminator at chance, and
so does a generator that has won. Where the recipe is known it says which of the two it is. The
first lint of `LINTS` that applies is the one that speaks, once the run is over; all but those of
data that is never shown also ask that the samples are poor. Limits are those of the preflight
(`equipoise.clinic.preflight`) wherever it has one: what it would have objected to before the first
step is what is blamed after the last.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from equipoise.clinic.preflight.game import BETA1, FEWEST, PACE, SLOW_PACE, pace_of
from equipoise.clinic.preflight.networks import FEWEST_Z, LARGEST_RATIO, LEAST_RATIO
from equipoise.clinic.preflight.settings import ADAMS, recipe_facts
from equipoise.clinic.quality import over, poor_samples
from equipoise.clinic.windows import late_median
from equipoise.errors import RecipeError
from equipoise.recipe import Recipe
from equipoise.record import Evidence, Finding, Trace

KNOWN = 0.97  # nothing else that is found explains it
LIKELY = 0.9
PREFIX = "recipe/"  # of a setting as evidence
WHOLE = 0.9  # share of the data that a curriculum must have opened at the end
# Of a normal law that is cut at 0.7 deviations, 0.39 of the spread is left (closed form).
USUAL = 0.7
# Karras et al. 2020 (ADA), figure 4: augmentations of p up to 0.8 do not leak into the samples.
LEAKS = 0.8
# Standard deviation of noise that is still there at the end, in units of the data, which are scaled
# to a spread of about 1. Instance noise starts at 0.1 and goes to 0 (Sonderby et al. 2016).
HIDES = 0.1
# Adam's rates in published GANs are 1e-5 to 2.5e-3; at 1e-2 a weight moves by its own size in ten
# to a hundred updates.
RATE = 1e-2
# Labels flipped at this rate leave 1 - 2 e = 0.4 of the loss's pull; 0.05 to 0.1 is in use.
FLIPPED = 0.3
# Dropout in use: 0.5 in pix2pix's generator, 0.25 to 0.5 in discriminators.
DROPPED = 0.5
# Sinha et al. 2020 keep at least half of the fakes; fewer teach nothing to those that need it.
TOP = 0.5
# RMS of clipped weights over the bound: 0.58 where they fill it evenly, 1 where all lie at it.
PINNED = 0.65


@dataclass(frozen=True)
class Setting:
    """A setting that limits: the failure it makes, its path and value, what it should be."""

    failure: str
    path: str
    value: float
    expected: str
    words: str
    confidence: float = KNOWN


@dataclass(frozen=True)
class Played:
    """A recipe that was played: itself, the preflight's facts of it, and the trace."""

    recipe: Recipe
    facts: Mapping[str, Any]
    trace: Trace


PLAYERS = ("generator", "discriminator")
Read = Callable[[Played], Setting | None]


def lint(trace: Trace) -> Finding | None:
    """The finding that the recipe makes sure of, None where it blames nothing or is not known."""
    found = _first(trace)
    if found is None:
        return None
    setting, poor = found
    window = (0, trace.last_step)
    name = f"{PREFIX}{setting.path}"
    first = Evidence(name, setting.value, setting.expected, window, "setting")
    return Finding(setting.failure, setting.confidence, 0, setting.words, (first, *poor))


def blamed(finding: Finding) -> str | None:
    """The path of the setting that a lint's finding rests on; None for any other."""
    first = finding.evidence[0].signal if finding.evidence else ""
    return first.removeprefix(PREFIX) if first.startswith(PREFIX) else None


def _first(trace: Trace) -> tuple[Setting, list[Evidence]] | None:
    recipe = _recipe(trace) if over(trace) else None
    if recipe is None:
        return None
    poor = poor_samples(trace)
    played = Played(recipe, recipe_facts(recipe), trace)
    for read in (*UNSHOWN, *(LINTS if poor else ())):
        setting = read(played)
        if setting is not None:
            return setting, poor
    return None


def _recipe(trace: Trace) -> Recipe | None:
    told = trace.header.get("recipe")
    try:
        return Recipe(**told) if isinstance(told, Mapping) and "objective" in told else None
    except RecipeError:  # written by another version
        return None


def _never_opens(played: Played) -> Setting | None:
    curriculum, budget = played.recipe.data.curriculum, played.recipe.kimg
    if curriculum is None:
        return None
    opened = min(1.0, budget / curriculum.kimg)
    share = curriculum.start + (1 - curriculum.start) * opened
    words = (
        f"The generator was never shown all of the data: at the end of its {budget:g} kimg the"
        f" curriculum has opened {share:.0%}, the most typical ones."
    )
    expected = f"at most {budget:g} kimg, the budget"
    path = "data.curriculum.kimg"
    found = Setting("mode_collapse", path, curriculum.kimg, expected, words)
    return found if share < WHOLE else None


def _truncated(played: Played) -> Setting | None:
    threshold = played.recipe.evaluation.truncation
    if threshold is None or threshold >= USUAL:
        return None
    words = (
        f"What is measured has collapsed, whatever was trained: evaluation.truncation ="
        f" {threshold:g} draws every latent from the middle of its law."
    )
    expected = f"null, or at least {USUAL:g}"
    return Setting("mode_collapse", "evaluation.truncation", threshold, expected, words)


def _few_latents(played: Played) -> Setting | None:
    z = played.recipe.generator.z_dim
    if z > FEWEST_Z or "metric/high_quality" in played.trace:  # points lie on a surface
        return None
    words = (
        f"The samples lie on a {'surface' if z > 1 else 'curve'}, which cannot cover images:"
        f" z has {z} dimension{'s' if z > 1 else ''}."
    )
    return Setting("mode_collapse", "generator.z_dim", z, f"above {FEWEST_Z}", words)


def _unheld_critic(played: Played) -> Setting | None:
    if played.recipe.objective.name != "wasserstein" or played.facts["discriminator/held"]:
        return None
    words = (
        "Nothing holds the critic: without a penalty, a spectral norm or a bound a Wasserstein loss"
        " has no minimum, and what it pulls the generator along is no distance."
    )
    return Setting("divergence", "penalties", 0.0, "wgan_gp, or another that holds it", words)


def _pinned(played: Played) -> Setting | None:
    bound = played.recipe.constraint
    count = played.trace.facts.get("parameters/discriminator")
    if bound is None or bound.name != "weight_clipping" or not count:
        return None
    norm = late_median(played.trace, "parameter_norm/discriminator")
    share = norm / (bound.bound * math.sqrt(count))
    words = (
        f"Clipping has pinned the critic's weights at its bound: their size is {share:.0%} of what"
        f" {bound.bound:g} allows, and what is left of its slope teaches little."
    )
    found = Setting("vanishing_gradient", "constraint", share, f"below {PINNED:g}", words)
    return found if share >= PINNED else None


def _capacity(played: Played) -> Setting | None:
    mine, others = (played.trace.facts.get(f"parameters/{p}") or 0 for p in PLAYERS)
    if not mine or not others:
        return None
    ratio = others / mine
    if LEAST_RATIO <= ratio <= LARGEST_RATIO:
        return None
    smaller = "generator" if ratio > 1 else "discriminator"
    times = max(ratio, 1 / ratio)
    words = (
        f"The {smaller} is too small: the other has {times:.3g} times its parameters, and it cannot"
        f" {'follow' if ratio > 1 else 'tell what is wrong'}."
    )
    failure = "stagnation" if ratio > 1 else "generator_dominance"
    expected = f"within {LARGEST_RATIO:g} times"
    return Setting(failure, f"{smaller}.width", times, expected, words)


def _rates(played: Played) -> Setting | None:
    chosen = [getattr(played.recipe.optimizer, p) for p in PLAYERS]
    rate = min(settings.lr for settings in chosen)
    if rate < RATE or any(settings.name not in ADAMS for settings in chosen):
        return None
    words = (
        f"The players step past each other: both learn at {rate:g} or more, where rates in use"
        " end at 0.0025."
    )
    path = "optimizer.generator.lr"
    return Setting("divergence", path, rate, f"below {RATE:g}", words)


def _pace(played: Played) -> Setting | None:
    speed = pace_of(played.facts)
    if speed is None or SLOW_PACE < speed < PACE:
        return None
    if speed >= PACE and played.facts["discriminator/held"]:
        return None
    ahead, behind = ("discriminator", "generator") if speed > 1 else ("generator", "discriminator")
    times = max(speed, 1 / speed)
    words = (
        f"The {ahead} outruns the {behind}: by updates and learning rates it moves {times:.3g}"
        " times as fast."
    )
    expected = f"within {PACE:g} times the other's pace"
    if ahead == "generator":
        path = "optimizer.generator.lr"
        return Setting("generator_dominance", path, times, expected, words)
    # the pace alone does no harm where something holds it: what is missing is blamed
    words = f"{words} No penalty, normalization or bound holds it."
    expected = f"one that holds it, or a pace {expected}"
    return Setting("discriminator_dominance", "penalties", 0.0, expected, words, LIKELY)


def _tiny_batch(played: Played) -> Setting | None:
    size = played.recipe.batch * played.recipe.accumulate
    words = f"The generator follows noise: a gradient of {size} samples is little else."
    found = Setting("gradient_noise", "batch", size, "32 to 64, or accumulated", words)
    return found if size <= FEWEST else None


def _flipped(played: Played) -> Setting | None:
    rate = played.recipe.objective.label_flip
    words = (
        f"The discriminator is rewarded for not knowing: with {rate:.0%} of its labels flipped"
        f" {1 - 2 * rate:.0%} of the loss's pull is left."
    )
    found = Setting("stagnation", "objective.label_flip", rate, "0.05 to 0.1, or none", words)
    return found if rate >= FLIPPED else None


def _leaks(played: Played) -> Setting | None:
    p = played.recipe.augmentation.p
    if p is None or p <= LEAKS or played.recipe.augmentation.name != "ada":
        return None
    words = (
        f"Augmentation leaks into the samples: with augmentation.p = {p:g} the discriminator hardly"
        " ever sees an image as it is, so the generator learns the augmented ones."
    )
    expected = f"at most {LEAKS:g}, or steered by a target"
    return Setting("data_range_mismatch", "augmentation.p", p, expected, words)


def _reals_alone(played: Played) -> Setting | None:
    augment = played.recipe.data.augment
    name, value = max((("color", augment.color), ("crop", augment.crop)), key=lambda pair: pair[1])
    words = (
        f"The reals are changed and the fakes are not: data.augment.{name} = {value:g} shows the"
        " discriminator other images than the data holds, and the generator learns those."
    )
    found = Setting("data_range_mismatch", f"data.augment.{name}", value, "0", words)
    return found if value else None


def _hides(played: Played) -> Setting | None:
    noise = played.recipe.noise.input
    left = noise.sigma * noise.schedule.end if noise.sigma else 0.0
    words = (
        f"What is smaller than the noise cannot be learned: noise of sigma {left:g} still lies over"
        " all that the discriminator sees at the end of the run."
    )
    found = Setting("stagnation", "noise.input.sigma", left, "fading to 0", words)
    return found if left >= HIDES else None


def _drops(played: Played) -> Setting | None:
    shares = {p: getattr(played.recipe, p).dropout for p in PLAYERS}
    player = max(shares, key=lambda p: shares[p])
    if shares[player] <= DROPPED:
        return None
    failure = "stagnation" if player == "generator" else "generator_dominance"
    words = (
        f"The {player} cannot hold what it learns: dropout takes {shares[player]:.0%} of its units"
        " away at every update."
    )
    expected = f"at most {DROPPED:g}"
    return Setting(failure, f"{player}.dropout", shares[player], expected, words)


def _best_alone(played: Played) -> Setting | None:
    top = played.recipe.balance.top_k
    floor = None if top is None else top.floor
    if floor is None or floor >= TOP:
        return None
    words = (
        f"What is not yet good is never taught: updates come from the best {floor:.0%} of the fakes"
        " alone, so the generator keeps to the modes that it has."
    )
    return Setting("mode_collapse", "balance.top_k.floor", floor, f"at least {TOP:g}", words)


def _momentum(played: Played) -> Setting | None:
    betas = [played.facts.get(f"optimizer/{p}/beta1", 0.0) for p in PLAYERS]
    if min(betas) <= BETA1 or played.facts["discriminator/held"]:
        return None
    words = (
        f"Momentum carries the players round each other: both have beta1 = {min(betas):g} or more,"
        " and nothing damps the game."
    )
    path = "optimizer.generator.beta1"
    return Setting("oscillation", path, min(betas), f"at most {BETA1:g}: 0 or 0.5", words)


UNSHOWN: tuple[Read, ...] = (_never_opens,)
LINTS: tuple[Read, ...] = (
    _truncated, _few_latents, _unheld_critic, _pinned, _capacity, _rates, _pace, _tiny_batch,
    _flipped, _leaks, _reals_alone, _hides, _drops, _best_alone, _momentum,
)  # fmt: skip
