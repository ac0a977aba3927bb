"""What a recipe settles by itself, as facts."""

from __future__ import annotations

from typing import Any

from equipoise.recipe import Recipe

HOLDING = ("spectral", "spectral_exact")
ADAMS = ("adam", "adamw", "optimistic_adam")


def recipe_facts(recipe: Recipe) -> dict[str, Any]:
    """Objective, penalties as they start, pace, optimizers, batch, latents and warnings."""
    penalties = {n: p.gamma * p.schedule.start for n, p in recipe.penalties.items() if p.gamma > 0}
    plain = not (recipe.slopes.per_patch or recipe.slopes.per_pixel)
    held = bool(penalties) or recipe.discriminator.normalization in HOLDING
    held = held or recipe.constraint is not None or recipe.balance.hold is not None
    facts: dict[str, Any] = {
        "objective": recipe.objective.name,
        "penalties": penalties,
        "slopes/plain": plain,
        "discriminator/held": held,
        "balance/discriminator_steps": recipe.balance.discriminator_steps,
        "balance/generator_steps": recipe.balance.generator_steps,
        "batch/size": recipe.batch,
        "augmentation": _augmentation(recipe),
        "latent/mean": 0.0,
        "latent/std": 1.0,
        "latent/noise": recipe.noise.latent.sigma,
        "recipe/warnings": list(recipe.warnings()),
    }
    for name in ("generator", "discriminator"):
        settings = getattr(recipe.optimizer, name)
        facts |= {f"optimizer/{name}/lr": settings.lr, f"optimizer/{name}/name": settings.name}
        if settings.name in ADAMS:
            facts[f"optimizer/{name}/beta1"] = settings.beta1
    return facts


def _augmentation(recipe: Recipe) -> str:
    return "pseudo_real" if recipe.pseudo_real.p > 0 else recipe.augmentation.name
