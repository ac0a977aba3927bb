"""Contradictions about objectives, penalties, augmentation and what is weighed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from equipoise.recipe.parts import Schedule
    from equipoise.recipe.schema import Recipe

RELATIVISTIC = tuple(
    f"relativistic{kind}{loss}"
    for kind in ("", "_average")
    for loss in ("", "_hinge", "_least_squares")
)
# Objectives without labels; what is not named here is refused where the game is built.
SMOOTHING_UNDEFINED = {
    "hinge": "its margins are not probabilities",
    "wasserstein": "its critic has no labels",
    **dict.fromkeys(RELATIVISTIC, "it scores pairs and has no labels"),
}
# Objectives whose logits have no zero: r_t, a share of signs, says nothing of them.
SHIFTLESS = frozenset({"wasserstein", *RELATIVISTIC})


def _smoothing_undefined(recipe: Recipe) -> str | None:
    objective = recipe.objective
    reason = SMOOTHING_UNDEFINED.get(objective.name)
    for field in ("label_smoothing", "fake_smoothing", "label_flip"):
        value = getattr(objective, field)
        if value and reason is not None:
            return (
                f"objective.{field} = {value:g} is undefined for objective"
                f" {objective.name!r} ({reason}); set objective.{field} to 0,"
                " or objective.name to 'non_saturating'"
            )
    return None


def _labels_are_of_least_squares(recipe: Recipe) -> str | None:
    labels = recipe.objective.labels
    if labels is None:
        return None
    if recipe.objective.name != "least_squares":
        return (
            f"objective.labels = {labels} is undefined for objective {recipe.objective.name!r}:"
            " only 'least_squares' has labels a, b, c; leave it out"
        )
    if labels[0] == labels[1]:
        return (
            f"objective.labels = {labels}: a (fake) and b (real) are equal, so there is nothing to"
            " tell apart; the usual ones are 0, 1, 1 and -1, 1, 0"
        )
    return None


def _sign_needs_a_zero(recipe: Recipe) -> str | None:
    if recipe.objective.name not in SHIFTLESS:
        return None
    used = {
        "augmentation.target": recipe.augmentation.target is not None,
        "pseudo_real.target": recipe.pseudo_real.target is not None,
        "balance.hold.signal = 'r_t'": recipe.balance.hold is not None
        and recipe.balance.hold.signal == "r_t",
    }
    for path, on in used.items():
        if on:
            return (
                f"{path} reads r_t, the sign of the logits, but the logits of objective"
                f" {recipe.objective.name!r} may be shifted at will; use a fixed p"
                " (balance.hold: 'accuracy'), or objective 'non_saturating'"
            )
    return None


def _augmentation_is_whole(recipe: Recipe) -> str | None:
    a = recipe.augmentation
    if a.name == "ada" and a.p is None and a.target is None:
        return "augmentation.name = 'ada' needs a strength; set augmentation.p or .target (0.6)"
    if a.name != "ada" and (a.p is not None or a.target is not None):
        return (
            f"augmentation.p and .target are of 'ada', not of {a.name!r}; set augmentation.name to"
            " 'ada' or leave them out"
        )
    if a.name == "none" and a.policy is not None:
        return (
            f"augmentation.policy = {a.policy!r} without augmentation.name; set it to 'ada' or"
            " 'diffaugment'"
        )
    return None


def _weighting_needs_another_term(recipe: Recipe) -> str | None:
    w = recipe.weighting
    if recipe.feature_matching.gamma == 0 and w != type(w)():
        return (
            f"weighting.name = {w.name!r} weighs the adversarial term against another, and there"
            " is none; set feature_matching.gamma, or leave weighting out"
        )
    if w.name != "adaptive" and (w.largest_share is not None or w.largest != 1e4):
        return (
            f"weighting.largest and .largest_share bound the adaptive weight, not {w.name!r}; set"
            " weighting.name to 'adaptive' or leave them out"
        )
    if w.name == "balancer" and w.weight == 0:
        return "weighting.weight = 0: the balancer would leave the game out; give it a share"
    return None


def _schedules(recipe: Recipe) -> dict[str, Schedule]:
    found = {f"penalties.{name}": p.schedule for name, p in recipe.penalties.items()}
    found |= {
        f"generator_penalties.{name}": p.schedule for name, p in recipe.generator_penalties.items()
    }
    for player in ("generator", "discriminator"):
        found[f"optimizer.{player}"] = getattr(recipe.optimizer, player).schedule
    for place in ("input", "hidden", "output", "latent"):
        found[f"noise.{place}"] = getattr(recipe.noise, place).schedule
    return found


def _exponential_to_zero(recipe: Recipe) -> str | None:
    for path, schedule in _schedules(recipe).items():
        if schedule.shape == "exponential" and min(schedule.start, schedule.end) == 0:
            return (
                f"{path}.schedule goes from {schedule.start:g} to {schedule.end:g}: an exponential"
                " schedule never reaches 0; use 'linear' or 'cosine', or a small end"
            )
    return None


CHECKS = (
    _smoothing_undefined,
    _labels_are_of_least_squares,
    _sign_needs_a_zero,
    _augmentation_is_whole,
    _weighting_needs_another_term,
    _exponential_to_zero,
)
