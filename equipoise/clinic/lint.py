"""Static lint: what a recipe sets that limits its samples, whatever the signals look like.

The signals alone name the symptom: noise that hides the data leaves a discriminator at chance, and
so does a generator that has won. Where the recipe is known it says which of the two it is. Each
lint speaks once the run is over; all but the curriculum's, which needs no sign, also ask that the
samples are poor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from equipoise.clinic.quality import over, poor_samples
from equipoise.record import Evidence, Finding, Trace

CONFIDENCE = 0.97
PREFIX = "recipe/"  # of a setting as evidence
WHOLE = 0.9  # share of the data that a curriculum must have opened at the end
# Karras et al. 2020 (ADA), figure 4: augmentations of p up to 0.8 do not leak into the samples.
LEAKS = 0.8
# Of a normal law that is cut at 0.7 deviations, 0.39 of the spread is left (closed form).
USUAL = 0.7
# Standard deviation of noise that is still there at the end, in units of the data, which are scaled
# to a spread of about 1. Instance noise starts at 0.1 and goes to 0 (Sonderby et al. 2016).
HIDES = 0.1


@dataclass(frozen=True)
class Setting:
    """A setting that limits: its path and value, what it should be, and what it does."""

    path: str
    value: float
    expected: str
    words: str


Recipe = Mapping[str, Any]


def lint(trace: Trace, failure: str) -> Finding | None:
    """The finding that the recipe alone makes sure of, None where there is none."""
    recipe = trace.header.get("recipe")
    if not isinstance(recipe, Mapping) or not over(trace):
        return None
    for read, needs_poor in LINTS.get(failure, ()):
        setting = read(recipe)
        poor = poor_samples(trace) if needs_poor else []
        if setting is not None and (poor or not needs_poor):
            return _finding(trace, failure, setting, poor)
    return None


def blamed(finding: Finding) -> str | None:
    """The path of the setting that a lint's finding rests on; None for any other."""
    first = finding.evidence[0].signal if finding.evidence else ""
    return first.removeprefix(PREFIX) if first.startswith(PREFIX) else None


def _finding(trace: Trace, failure: str, setting: Setting, poor: list[Evidence]) -> Finding:
    window = (0, trace.last_step)
    first = Evidence(f"{PREFIX}{setting.path}", setting.value, setting.expected, window, "setting")
    return Finding(failure, CONFIDENCE, 0, setting.words, (first, *poor))


def _part(recipe: Recipe, *path: str) -> Mapping[str, Any]:
    for name in path:
        found = recipe.get(name)
        if not isinstance(found, Mapping):
            return {}
        recipe = found
    return recipe


def _never_opens(recipe: Recipe) -> Setting | None:
    curriculum, budget = _part(recipe, "data", "curriculum"), recipe.get("kimg")
    if not curriculum or not budget:
        return None
    start = curriculum["start"]
    share = start + (1 - start) * min(1.0, budget / curriculum["kimg"])
    words = (
        f"The generator was never shown all of the data: at the end of its {budget:g} kimg the"
        f" curriculum has opened {share:.0%}, the most typical ones."
    )
    expected = f"at most {budget:g} kimg, the budget"
    found = Setting("data.curriculum.kimg", curriculum["kimg"], expected, words)
    return found if share < WHOLE else None


def _truncated(recipe: Recipe) -> Setting | None:
    threshold = _part(recipe, "evaluation").get("truncation")
    if threshold is None or threshold >= USUAL:
        return None
    words = (
        f"What is measured has collapsed, whatever was trained: evaluation.truncation ="
        f" {threshold:g} draws every latent from the middle of its law."
    )
    return Setting("evaluation.truncation", threshold, f"null, or at least {USUAL:g}", words)


def _leaks(recipe: Recipe) -> Setting | None:
    p = _part(recipe, "augmentation").get("p")
    if p is None or p <= LEAKS or _part(recipe, "augmentation").get("name") != "ada":
        return None
    words = (
        f"Augmentation leaks into the samples: with augmentation.p = {p:g} the discriminator hardly"
        " ever sees an image as it is, so the generator learns the augmented ones."
    )
    return Setting("augmentation.p", p, f"at most {LEAKS:g}, or steered by a target", words)


def _reals_alone(recipe: Recipe) -> Setting | None:
    augment = _part(recipe, "data", "augment")
    name = max(("color", "crop"), key=lambda n: augment.get(n) or 0)
    value = augment.get(name) or 0
    words = (
        f"The reals are changed and the fakes are not: data.augment.{name} = {value:g} shows the"
        " discriminator other images than the data holds, and the generator learns those."
    )
    return Setting(f"data.augment.{name}", value, "0", words) if value else None


def _hides(recipe: Recipe) -> Setting | None:
    noise = _part(recipe, "noise", "input")
    left = (noise.get("sigma") or 0.0) * _part(noise, "schedule").get("end", 1.0)
    words = (
        f"What is smaller than the noise cannot be learned: noise of sigma {left:g} still lies over"
        " all that the discriminator sees at the end of the run."
    )
    return Setting("noise.input.sigma", left, "fading to 0", words) if left >= HIDES else None


LINTS: dict[str, tuple[tuple[Callable[[Recipe], Setting | None], bool], ...]] = {
    "mode_collapse": ((_never_opens, False), (_truncated, True)),
    "data_range_mismatch": ((_leaks, True), (_reals_alone, True)),
    "stagnation": ((_hides, True),),
}
