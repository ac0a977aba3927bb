"""A training loop written by hand, to which any watcher is attached; draws of its own.

Two loops of one game and seed play the same, step by step, in whatever order they take turns:
latents and batches come from a generator that only the loop holds.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.step_time import OFF, loss_d, loss_g, squared_slope
from equipoise.recipe import load
from equipoise.training import build

GAMES: dict[str, tuple[str, dict[str, Any]]] = {
    "digits DCGAN": ("digits", {}),
    "digits DCGAN, no penalty": ("digits", OFF),
    "ring MLP": ("ring", {}),
    "ring MLP, no penalty": ("ring", OFF),
}
Backward = Callable[[Tensor, Tensor], None]  # loss, and the logits of the generator's step


@dataclass(frozen=True)
class Seen:
    """What a loop has at hand at the end of an iteration."""

    real: Tensor
    fake: Tensor
    real_logits: Tensor
    fake_logits: Tensor
    generator_logits: Tensor
    loss_d: Tensor
    loss_g: Tensor


@dataclass
class Loop:
    """One game with its networks, optimizers and draws.

    `generator_backward` and `watch` are where a watcher may enter.
    """

    G: nn.Module
    D: nn.Module
    optimizer_g: torch.optim.Optimizer
    optimizer_d: torch.optim.Optimizer
    data: Tensor
    batch: int
    z_dim: int
    objective: str
    gamma: float
    draws: torch.Generator = field(default_factory=lambda: torch.Generator().manual_seed(0))
    generator_backward: Backward = lambda loss, _: loss.backward()
    watch: Callable[[Seen], None] = lambda _: None
    close: Callable[[], None] = lambda: None
    steps: int = 0

    def latents(self) -> Tensor:
        """A batch of z."""
        return torch.randn(self.batch, self.z_dim, generator=self.draws)

    def step(self) -> None:
        """One iteration: the discriminator, the generator, the watcher."""
        real = self.data[torch.randint(len(self.data), (self.batch,), generator=self.draws)]
        fake = self.G(self.latents()).detach()
        on_real, on_fake, of_d = self._judge(real, fake)
        self.optimizer_d.zero_grad()
        of_d.backward()
        self.optimizer_d.step()
        logits = self.D(self.G(self.latents()))
        paired = self.D(real.detach()) if self.objective == "relativistic" else None
        of_g = loss_g(self.objective, logits, paired)
        self.optimizer_g.zero_grad()
        self.generator_backward(of_g, logits)
        self.optimizer_g.step()
        self.steps += 1
        self.watch(Seen(real, fake, on_real, on_fake, logits, of_d, of_g))

    def _judge(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits of both and the discriminator's loss with its penalties."""
        if self.gamma:
            real.requires_grad_()
            fake.requires_grad_()
        on_real, on_fake = self.D(real), self.D(fake)
        loss = loss_d(self.objective, on_real, on_fake)
        if self.gamma:
            slopes = squared_slope(on_real, real) + squared_slope(on_fake, fake)
            loss = loss + self.gamma / 2 * slopes
        return on_real, on_fake, loss

    def weights(self) -> list[Tensor]:
        """Everything that the networks hold."""
        return [*self.G.state_dict().values(), *self.D.state_dict().values()]


def loop_of(game: str) -> Loop:
    """The game of that name at its start; each call gives the same."""
    preset, edit = GAMES[game]
    quiet = {"evaluation.metrics": [], "evaluation.primary": None}
    recipe = load(preset).edit({**quiet, **edit})
    built = build(recipe)
    networks = copy.deepcopy(built.generator), copy.deepcopy(built.discriminator)
    lr, penalty = recipe.optimizer.generator.lr, recipe.penalties.get("r1")
    optimizers = [torch.optim.Adam(m.parameters(), lr=lr, betas=(0.0, 0.99)) for m in networks]
    return Loop(
        *networks,
        *optimizers,
        data=built.source.reals(20_000, 0),
        batch=recipe.batch,
        z_dim=recipe.generator.z_dim,
        objective=recipe.objective.name,
        gamma=penalty.gamma if penalty else 0.0,
    )
