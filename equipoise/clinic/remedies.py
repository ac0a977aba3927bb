"""What to do: remedies as recipe edits plus the change for a foreign loop, ranked per failure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from equipoise.errors import RecipeError, unknown
from equipoise.recipe import Recipe
from equipoise.record import Prescription

Edit = Callable[[Recipe], Mapping[str, Any]]


def _nothing(recipe: Recipe) -> Mapping[str, Any]:
    return {}


@dataclass(frozen=True)
class Remedy:
    """A treatment.

    Attributes:
        id: stable name.
        title: what to do.
        treats: failure id -> rank (1 is tried first).
        edit: recipe -> the edit by dotted path; {} where it does not apply or only code helps.
        code: the change for a foreign loop.
        why: the reason, with what supports it.
        takes_effect: "live", "surgery" or "restart".
        watch: the signal that must move if it works.
        caution: when not to.
    """

    id: str
    title: str
    treats: Mapping[str, int]
    code: str
    why: str
    edit: Edit = _nothing
    takes_effect: Literal["live", "surgery", "restart"] = "restart"
    watch: str = ""
    caution: str = ""
    sources: tuple[str, ...] = field(default=())


FIRST_GAMMA = 0.3  # unit-scale data of 2 to 64 dimensions; see `equipoise.recipe.presets`
GAMMA_STEP = 10.0


def _gradient_penalty(recipe: Recipe) -> Mapping[str, Any]:
    """R1 and R2 at one gamma: ten times what is there, `FIRST_GAMMA` where there is none."""
    if recipe.discriminator.normalization == "batch":
        return {}
    gammas = [recipe.penalties[name].gamma for name in ("r1", "r2") if name in recipe.penalties]
    gamma = GAMMA_STEP * max(gammas) if any(gammas) else FIRST_GAMMA
    return {"penalties.r1.gamma": gamma, "penalties.r2.gamma": gamma}


def _spectral(recipe: Recipe) -> Mapping[str, Any]:
    if recipe.discriminator.normalization == "spectral":
        return {}
    return {"discriminator.normalization": "spectral"}


def _no_batch_norm(recipe: Recipe) -> Mapping[str, Any]:
    return (
        {"discriminator.normalization": "none"}
        if recipe.discriminator.normalization == "batch"
        else {}
    )


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


def _smoothing(recipe: Recipe) -> Mapping[str, Any]:
    fits = recipe.objective.name == "non_saturating" and recipe.objective.label_smoothing == 0
    return {"objective.label_smoothing": 0.1} if fits else {}


def _relativistic(recipe: Recipe) -> Mapping[str, Any]:
    if recipe.objective.name == "relativistic":
        return {}
    return {"objective.name": "relativistic", "objective.label_smoothing": 0.0}


def _decaying_rates(recipe: Recipe) -> Mapping[str, Any]:
    """Both rates down to nothing along a cosine, where they are constant now."""
    constant = [
        name
        for name in ("generator", "discriminator")
        if getattr(recipe.optimizer, name).schedule.shape == "constant"
    ]
    down = {"shape": "cosine", "start": 1.0, "end": 0.0, "kimg": None}
    return {f"optimizer.{name}.schedule": down for name in constant}


def _wider_players(recipe: Recipe) -> Mapping[str, Any]:
    return {
        "generator.width": 2 * recipe.generator.width,
        "discriminator.width": 2 * recipe.discriminator.width,
    }


def _non_saturating(recipe: Recipe) -> Mapping[str, Any]:
    if recipe.objective.name != "minimax":
        return {}
    return {"objective.name": "non_saturating"}


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


_REMEDIES = (
    Remedy(
        "gradient-penalty",
        "Penalize the discriminator's gradient at reals and fakes (R1 + R2)",
        {
            "discriminator_dominance": 1,
            "mode_collapse": 1,
            "divergence": 1,
            "exploding_gradient": 1,
            "runaway_logits": 2,
            "vanishing_gradient": 3,
        },
        "real.requires_grad_(); fake = fake.detach().requires_grad_()\n"
        "r, f = D(real), D(fake)\n"
        "g_r, g_f = torch.autograd.grad(r.sum() + f.sum(), [real, fake], create_graph=True)\n"
        "loss_D = loss_D + gamma / 2 * (g_r.flatten(1).square().sum(1).mean()\n"
        "                               + g_f.flatten(1).square().sum(1).mean())",
        "A zero-centred penalty is what makes the game converge where it orbits without (Dirac-GAN:"
        " eigenvalues leave the imaginary axis), and it keeps the discriminator's slope usable.",
        _gradient_penalty,
        watch="auc/discriminator",
        caution="Not with batch normalization in the discriminator: the penalty vanishes there.",
        sources=("arXiv 1801.04406", "arXiv 2501.05441"),
    ),
    Remedy(
        "spectral-norm",
        "Normalize the discriminator's layers spectrally",
        {"discriminator_dominance": 2, "mode_collapse": 4, "divergence": 3, "runaway_logits": 1},
        "for layer in D's linear and convolutional layers:\n"
        "    torch.nn.utils.parametrizations.spectral_norm(layer)",
        "Bounds each layer's gain and with it the slope of the discriminator.",
        _spectral,
        takes_effect="surgery",
        watch="logits/gap",
        sources=("arXiv 1802.05957",),
    ),
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
        "label-smoothing",
        "Smooth the real labels to 0.9 (one side only)",
        {"discriminator_dominance": 5},
        "real_target = torch.full_like(real_logits, 0.9)   # fakes stay at 0",
        "Caps the real logit that pays (optimum 0.9 p / (p + q)). Smoothing both sides flattens the"
        " discriminator where there is no data.",
        _smoothing,
        watch="logits/real/mean",
        caution="For cross-entropy alone; meaningless with hinge, Wasserstein, relativistic.",
        sources=("arXiv 1606.03498, section 3.4",),
    ),
    Remedy(
        "remove-batch-norm",
        "Take batch normalization out of the discriminator",
        {"mode_collapse": 3, "discriminator_dominance": 6, "batch_norm_leak": 2},
        "replace nn.BatchNorm2d in D by nn.Identity() or spectral normalization",
        "It lets the discriminator judge whole batches, and it makes gradient penalties vanish.",
        _no_batch_norm,
        takes_effect="restart",
        watch="diversity/pairwise",
    ),
    Remedy(
        "relativistic-objective",
        "Score pairs of real and fake (RpGAN)",
        {"mode_collapse": 2, "vanishing_gradient": 2},
        "loss_D = F.softplus(fake_logits - real_logits).mean()\n"
        "loss_G = F.softplus(real_logits.detach() - fake_logits).mean()",
        "A separable loss has bad basins where modes are missing; the paired loss has none. It"
        " needs R1 + R2 beside it.",
        _relativistic,
        watch="metric/mode_coverage",
        caution="With R1 alone it fails; use R1 and R2.",
        sources=("arXiv 2501.05441, table 1", "arXiv 2011.04926"),
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
        "wider-discriminator",
        "Double the discriminator's width",
        {"generator_dominance": 4},
        "D = Discriminator(width=2 * width)",
        "A discriminator that cannot represent the difference cannot teach it.",
        _wider_discriminator,
        watch="auc/discriminator",
    ),
    Remedy(
        "non-saturating-loss",
        "Let the generator descend the non-saturating loss",
        {"vanishing_gradient": 1},
        "loss_G = F.softplus(-fake_logits).mean()   # in place of -F.softplus(fake_logits).mean()",
        "The saturating loss's slope is the probability that the discriminator gives to a fake:"
        " none where it is sure. The other's is one minus that.",
        _non_saturating,
        watch="pull/norm",
        sources=("arXiv 1406.2661, section 3",),
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
        "measure-again",
        "Mend the measurement: float64 statistics, enough samples, one resize and one reference",
        {"broken_metric": 1},
        "mean and covariance in float64; at least as many samples as features, 10,000 or more;\n"
        "the same resize and the same reference for every evaluation",
        "A distance that no samples can have says nothing of the run; judge it by other signals.",
        watch="metric/fid",
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
        "wider-players",
        "Double the width of both players",
        {"stagnation": 2},
        "G, D = Generator(width=2 * width), Discriminator(width=2 * width)",
        "A game that stands still far from the data may have nowhere better to go.",
        _wider_players,
        watch="metric/fid",
        caution="Four times the cost; on little data a wider discriminator overfits.",
    ),
    Remedy(
        "lower-both-rates",
        "Go back to the last good checkpoint and lower both learning rates to a quarter",
        {"non_finite": 1, "divergence": 2, "exploding_gradient": 2},
        "load the last checkpoint before the onset\n"
        "for o in (optimizer_G, optimizer_D):\n"
        "    for group in o.param_groups: group['lr'] /= 4",
        "A step beyond the stable size grows from update to update until it overflows.",
        _rates(generator=0.25, discriminator=0.25),
        takes_effect="live",
        watch="gradient_norm/discriminator",
    ),
    Remedy(
        "full-precision-penalty",
        "Compute gradient penalties and square roots in float32, with an epsilon inside roots",
        {"non_finite": 2},
        "with torch.autocast(device_type, enabled=False):\n"
        "    penalty = gradient.float().flatten(1).square().sum(1)",
        "Squared gradients overflow half precision at 256, and the derivative of sqrt at 0 is"
        " infinite.",
        watch="nonfinite/discriminator",
    ),
    Remedy(
        "zero-before-backward",
        "Zero each player's gradient right before its own backward pass",
        {"gradient_leak": 1},
        "optimizer_D.zero_grad(); loss_D.backward(); optimizer_D.step()\n"
        "optimizer_G.zero_grad(); loss_G.backward(); optimizer_G.step()",
        "Gradients add up until they are zeroed: what the other player's loss or the step before"
        " left enters the next step.",
        watch="gradient_norm/<player>",
    ),
    Remedy(
        "detach-fakes",
        "Detach the fakes in the discriminator's step",
        {"gradient_leak": 2},
        "fake_logits = D(fake.detach())   # in the discriminator's loss alone",
        "The discriminator's loss has no business in the generator; with separate optimizers and"
        " zeroed gradients it only wastes time there.",
        watch="gradient_norm/generator",
    ),
    Remedy(
        "own-parameters",
        "Build each optimizer over its own player's parameters",
        {"gradient_leak": 3},
        "optimizer_G = torch.optim.Adam(G.parameters(), lr=...)\n"
        "optimizer_D = torch.optim.Adam(D.parameters(), lr=...)",
        "A step over the other player's parameters trains it on this player's loss.",
        watch="update_ratio/<player>",
    ),
    Remedy(
        "turn-the-labels",
        "Turn the label, sign or argument that is swapped",
        {"swapped_labels": 1},
        "loss_D = bce(D(real), ones) + bce(D(fake.detach()), zeros)\n"
        "loss_G = bce(D(fake), ones)",
        "The discriminator must drive reals and fakes apart, and the generator its fakes to where"
        " the reals are driven.",
        watch="auc/discriminator",
    ),
    Remedy(
        "loss-of-logits",
        "Give the loss logits in one shape, and no sigmoid before it",
        {"swapped_labels": 2},
        "logits = D(x).view(-1)                  # no sigmoid at D's end\n"
        "loss = F.binary_cross_entropy_with_logits(logits, torch.ones_like(logits))",
        "A second sigmoid squeezes the gradient to a quarter, and (N, 1) against (N,) compares each"
        " sample with every other's label.",
        watch="logits/gap",
    ),
    Remedy(
        "restore-the-path",
        "Let the generator's loss see fakes with their graph",
        {"no_gradient_to_generator": 1},
        "fake = G(z)                             # outside torch.no_grad()\n"
        "loss_G = -D(fake).mean()                # no detach, no rounding, no .data",
        "A gradient flows only through what autograd recorded.",
        watch="gradient_norm/generator",
    ),
    Remedy(
        "one-range",
        "Normalize the data to the range of the generator's last activation",
        {"data_range_mismatch": 1},
        "x = x.float() / 127.5 - 1               # tanh: [-1, 1]; sigmoid: x / 255",
        "Otherwise one pixel's value tells real from fake, and the discriminator wins without"
        " looking.",
        watch="batch/real/extreme",
    ),
    Remedy(
        "scale-the-loss",
        "Scale the losses, one scaler per player, or use bfloat16 autocast over float32 weights",
        {"precision_underflow": 1},
        "scaler_G = torch.amp.GradScaler()       # another for D\n"
        "scaler_G.scale(loss_G).backward(); scaler_G.step(optimizer_G); scaler_G.update()",
        "float16 rounds to 0 below 6e-8, and weights in half precision lose updates under 1/512 of"
        " them.",
        watch="gradient_norm/generator",
    ),
    Remedy(
        "separate-batches",
        "Feed the discriminator reals and fakes in batches of their own",
        {"batch_norm_leak": 1},
        "real_logits = D(real); fake_logits = D(fake.detach())   # not D(torch.cat([real, fake]))",
        "Its statistics are then composed alike in both players' steps.",
        watch="auc/discriminator",
    ),
    Remedy(
        "step-the-optimizer",
        "Let the player's own optimizer step, over the player's own parameters",
        {"stalled_player": 1},
        "optimizer = torch.optim.Adam(player.parameters(), lr=...)   # this player's, all of them\n"
        "loss.backward(); optimizer.step()                           # in every iteration",
        "Weights that stand still have no optimizer, the wrong one, or one that is never stepped.",
        watch="update_ratio/<player>",
    ),
    Remedy(
        "unfreeze",
        "Give the player back its gradients and its learning rate",
        {"stalled_player": 2},
        "player.requires_grad_(True); print([g['lr'] for g in optimizer.param_groups])",
        "requires_grad_(False) left over from the other player's step, or a schedule that ends"
        " at 0.",
        watch="update_ratio/<player>",
    ),
)  # fmt: skip

REMEDIES: dict[str, Remedy] = {remedy.id: remedy for remedy in _REMEDIES}


def remedy(name: str) -> Remedy:
    """The remedy called `name`.

    Raises:
        RecipeError: no such remedy; the choices are listed.
    """
    if name not in REMEDIES:
        raise RecipeError(unknown("remedy", name, REMEDIES))
    return REMEDIES[name]


def prescribe(failure: str, recipe: Mapping[str, Any] | None = None) -> tuple[Prescription, ...]:
    """Remedies for a failure in order, each with its edit where the recipe is known.

    A remedy whose edit changes nothing in this recipe, or contradicts it, comes after the others.
    """
    played = _parsed(recipe)
    ranked = sorted(
        (r for r in REMEDIES.values() if failure in r.treats), key=lambda r: r.treats[failure]
    )
    filled = [_prescription(r, played) for r in ranked]
    if played is None:
        return tuple(filled)
    return tuple(sorted(filled, key=lambda p: not p.edit))


def _parsed(recipe: Mapping[str, Any] | None) -> Recipe | None:
    try:
        return Recipe(**recipe) if isinstance(recipe, Mapping) and recipe else None
    except RecipeError:  # written by another version: advise in code alone
        return None


def _prescription(remedy: Remedy, recipe: Recipe | None) -> Prescription:
    edit = dict(remedy.edit(recipe)) if recipe is not None else {}
    if recipe is not None and edit and not _valid(recipe, edit):
        edit = {}
    why = f"{remedy.why} [{'; '.join(remedy.sources)}]" if remedy.sources else remedy.why
    return Prescription(
        remedy.id,
        remedy.title,
        why,
        edit,
        remedy.code,
        remedy.takes_effect,
        remedy.watch,
        remedy.caution,
    )


def _valid(recipe: Recipe, edit: Mapping[str, Any]) -> bool:
    try:
        recipe.edit(edit)
    except RecipeError:
        return False
    return True
