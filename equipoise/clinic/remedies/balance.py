"""How fast and how strong each player is: rates, steps, widths."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from equipoise.clinic.remedies.entry import Edit, Remedy
from equipoise.recipe import Recipe


def _fewer_discriminator_steps(recipe: Recipe) -> Mapping[str, Any]:
    steps = recipe.balance.discriminator_steps
    return {"balance.discriminator_steps": max(1, steps // 2)} if steps > 1 else {}


def _more_discriminator_steps(recipe: Recipe) -> Mapping[str, Any]:
    return {"balance.discriminator_steps": 2 * recipe.balance.discriminator_steps}


def _rates(**factors: float) -> Edit:
    """Multiply each named player's learning rate."""

    def edit(recipe: Recipe) -> Mapping[str, Any]:
        rates = {
            "generator": recipe.optimizer.generator.lr,
            "discriminator": recipe.optimizer.discriminator.lr,
        }
        return {f"optimizer.{name}.lr": rates[name] * factor for name, factor in factors.items()}

    return edit


def _decaying_rates(recipe: Recipe) -> Mapping[str, Any]:
    """Both rates down to nothing along a cosine, where they are constant now."""
    constant = [
        name
        for name in ("generator", "discriminator")
        if getattr(recipe.optimizer, name).schedule.shape == "constant"
    ]
    down = {"shape": "cosine", "start": 1.0, "end": 0.0, "kimg": None}
    return {f"optimizer.{name}.schedule": down for name in constant}


def _clipped(recipe: Recipe) -> Mapping[str, Any]:
    """Both players' gradients to norm 1, where nothing bounds them yet."""
    free = [
        name
        for name in ("generator", "discriminator")
        if getattr(recipe.optimizer, name).clip_norm is None
    ]
    return {f"optimizer.{name}.clip_norm": 1.0 for name in free}


def _wider_discriminator(recipe: Recipe) -> Mapping[str, Any]:
    return {"discriminator.width": 2 * recipe.discriminator.width}


def _wider_players(recipe: Recipe) -> Mapping[str, Any]:
    return {
        "generator.width": 2 * recipe.generator.width,
        "discriminator.width": 2 * recipe.discriminator.width,
    }


BALANCE = (
    Remedy(
        "fewer-discriminator-steps",
        "Update the discriminator less often",
        {"discriminator_dominance": 3},
        "n_critic = max(1, n_critic // 2)",
        "Each update more without a penalty sharpens the discriminator where it is right already.",
        _fewer_discriminator_steps,
        takes_effect="live",
        watch="auc/discriminator",
        caution="A Wasserstein critic needs its five steps.",
    ),
    Remedy(
        "more-discriminator-steps",
        "Update the discriminator twice as often",
        {"generator_dominance": 2},
        "n_critic = 2 * n_critic",
        "Brings the discriminator nearer to its optimum before each generator step.",
        _more_discriminator_steps,
        takes_effect="live",
        watch="auc/discriminator",
    ),
    Remedy(
        "slower-discriminator",
        "Lower the discriminator's learning rate to a quarter",
        {"discriminator_dominance": 4, "runaway_logits": 3},
        "for group in optimizer_D.param_groups: group['lr'] /= 4",
        "Slows the runaway; it does not change where the game goes, so it comes after a penalty.",
        _rates(discriminator=0.25),
        takes_effect="live",
        watch="auc/discriminator",
    ),
    Remedy(
        "faster-discriminator",
        "Double the discriminator's learning rate",
        {"generator_dominance": 1},
        "for group in optimizer_D.param_groups: group['lr'] *= 2",
        "A discriminator that lags teaches yesterday's lesson.",
        _rates(discriminator=2.0),
        takes_effect="live",
        watch="auc/discriminator",
    ),
    Remedy(
        "slower-generator",
        "Lower the generator's learning rate to a quarter",
        {"generator_dominance": 3, "mode_collapse": 5, "saturated_output": 1},
        "for group in optimizer_G.param_groups: group['lr'] /= 4",
        "Lets the discriminator see where the generator is before it has moved on.",
        _rates(generator=0.25),
        takes_effect="live",
        watch="auc/discriminator",
    ),
    Remedy(
        "faster-generator",
        "Double the generator's learning rate",
        {"discriminator_dominance": 9},
        "for group in optimizer_G.param_groups: group['lr'] *= 2",
        "It shortens the discriminator's lead. Only the product of steps and rate counts to first"
        " order, and no ratio damps without a penalty.",
        _rates(generator=2.0),
        takes_effect="live",
        watch="auc/discriminator",
        caution="Penalties first; a generator too fast loses modes.",
        sources=("claims 48, 63",),
    ),
    Remedy(
        "lower-both-rates",
        "Go back to the last good checkpoint and lower both learning rates to a quarter",
        {
            "non_finite": 1,
            "divergence": 2,
            "exploding_gradient": 2,
            "oscillation": 4,
            "gradient_noise": 3,
        },
        "load the last checkpoint before the onset\n"
        "for o in (optimizer_G, optimizer_D):\n"
        "    for group in o.param_groups: group['lr'] /= 4",
        "A step beyond the stable size grows from update to update until it overflows.",
        _rates(generator=0.25, discriminator=0.25),
        takes_effect="live",
        watch="gradient_norm/discriminator",
    ),
    Remedy(
        "decaying-rates",
        "Let both learning rates fall to nothing along a cosine",
        {"stagnation": 1},
        "for o in (optimizer_G, optimizer_D):\n"
        "    torch.optim.lr_scheduler.CosineAnnealingLR(o, T_max=steps)",
        "At a constant rate the players circle the solution at a distance that the rate sets.",
        _decaying_rates,
        watch="metric/fid",
        caution="A run whose samples are still far off may need capacity instead.",
        sources=("arXiv 1706.08500",),
    ),
    Remedy(
        "clip-gradients",
        "Clip both players' gradients to norm 1",
        {"exploding_gradient": 3},
        "torch.nn.utils.clip_grad_norm_(player.parameters(), 1.0)   # before each step",
        "It bounds a step, not what makes gradients jump: a stop-gap beside a penalty.",
        _clipped,
        takes_effect="live",
        watch="gradient_norm/discriminator",
        caution="With R1 and R2 it changes next to nothing.",
    ),
    Remedy(
        "wider-discriminator",
        "Double the discriminator's width",
        {"generator_dominance": 4},
        "D = Discriminator(width=2 * width)",
        "A discriminator that cannot represent the difference cannot teach it.",
        _wider_discriminator,
        watch="auc/discriminator",
    ),
    Remedy(
        "wider-players",
        "Double the width of both players",
        {"stagnation": 2},
        "G, D = Generator(width=2 * width), Discriminator(width=2 * width)",
        "A game that stands still far from the data may have nowhere better to go.",
        _wider_players,
        watch="metric/fid",
        caution="Four times the cost; on little data a wider discriminator overfits.",
    ),
)  # fmt: skip
