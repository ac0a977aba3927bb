"""Time of one training step: ours against loops written by hand, interleaved in one process.

    python -m benchmarks.step_time [CASE ...] [--rounds 40] [--steps 20] [--device cpu]

Each case is a network and an objective. Three loops play the same networks, batch and mathematics:

- plain: the loop of a tutorial. Reals and fakes pass the discriminator apart, fakes are drawn anew
  for the generator, its step also fills the discriminator's gradients, each penalty differentiates
  for itself, Adam is torch's default.
- fused: a careful hand's. One pass over both halves, one differentiation for R1 and R2, the
  discriminator frozen in the generator's step, fused Adam.
- ours: an iteration of `equipoise.training` with all that it does besides: data in an order that
  depends on the position alone, schedules, reseeding, moving average.

All draw a batch of reals and latents and keep a moving average. Blocks of steps alternate; the
figure is the median over rounds of the ratio of neighbouring blocks, with the middle half of them.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import relu, softplus

from benchmarks import cells
from equipoise.recipe import Recipe, load
from equipoise.training import build
from equipoise.training.dials import ema_decay
from equipoise.training.game import Game
from equipoise.training.players import seed_layers
from equipoise.training.rounds import ROUNDS

RESULTS = Path(__file__).parent / "results" / "step_time.json"
MARK = 1.03
OFF: dict[str, Any] = {"penalties": {}}
BOTH = {"penalties": {name: {"gamma": 0.3} for name in ("r1", "r2")}}
OBJECTIVES: dict[str, dict[str, Any]] = {
    "non_saturating": {"objective": "non_saturating", **OFF},
    "hinge": {"objective": "hinge", **OFF},
    "relativistic+r1+r2": {"objective": "relativistic", **BOTH},
}
CASES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    f"{network} {name}": (preset, edit, {})
    for network, preset in (("mlp", "ring"), ("conv", "digits"))
    for name, edit in OBJECTIVES.items()
}
# The same game, ours with what else a recipe may ask of the machine.
COMPILED = {"compute.compile": ["generator", "discriminator"]}
CASES |= {
    "mlp non_saturating, compiled": (*CASES["mlp non_saturating"][:2], COMPILED),
    "conv non_saturating, compiled": (*CASES["conv non_saturating"][:2], COMPILED),
    "conv non_saturating, channels last": (
        *CASES["conv non_saturating"][:2],
        {"compute.channels_last": True},
    ),
}
Step = Callable[[], None]


def recipe_of(case: str, device: str) -> Recipe:
    """The case's recipe: nothing is measured or saved on the way."""
    preset, edit, _ = CASES[case]
    quiet = {"evaluation.metrics": [], "evaluation.primary": None, "compute.device": device}
    return load(preset).edit({**quiet, **edit})


def ours(game: Game) -> Step:
    """An iteration of our loop."""
    images = 0
    play = ROUNDS[game.recipe.balance.order]

    def step() -> None:
        nonlocal images
        game.settle(images)
        seed_layers(game.recipe.seed, images, game.device)
        play(game, images, images // game.recipe.batch)
        game.follow(ema_decay(game.recipe, images))
        images += game.recipe.images_per_iteration

    return step


@dataclass
class Loop:
    """What both hand-written loops hold."""

    G: nn.Module
    D: nn.Module
    average: nn.Module
    data: Tensor
    batch: int
    z_dim: int
    optimizer_g: torch.optim.Optimizer
    optimizer_d: torch.optim.Optimizer
    decay: float
    gamma: float

    def draw(self) -> tuple[Tensor, Tensor]:
        """A batch of reals and of latents."""
        index = torch.randint(len(self.data), (self.batch,), device=self.data.device)
        return self.data[index], torch.randn(self.batch, self.z_dim, device=self.data.device)

    def keep(self) -> None:
        """The moving average, weight by weight."""
        with torch.no_grad():
            for mean, now in zip(self.average.parameters(), self.G.parameters(), strict=True):
                mean.lerp_(now, 1 - self.decay)
            for mean, now in zip(self.average.buffers(), self.G.buffers(), strict=True):
                mean.copy_(now)


def loop_of(game: Game, fused: bool) -> Loop:
    """Copies of the game's networks with torch's own Adam."""
    recipe, generator = game.recipe, copy.deepcopy(game.generator)
    discriminator = copy.deepcopy(game.discriminator)
    lr = recipe.optimizer.generator.lr
    more: dict[str, Any] = {"fused": True} if fused else {}
    opts = [
        torch.optim.Adam(m.parameters(), lr=lr, betas=(0.0, 0.99), **more)
        for m in (generator, discriminator)
    ]
    penalty = recipe.penalties.get("r1")
    return Loop(
        generator,
        discriminator,
        copy.deepcopy(generator).requires_grad_(False),
        game.source.reals(20_000, 0).to(game.device),
        recipe.batch,
        recipe.generator.z_dim,
        *opts,
        ema_decay(recipe, 0),
        penalty.gamma if penalty else 0.0,
    )


def loss_d(name: str, real: Tensor, fake: Tensor) -> Tensor:
    """Each objective's discriminator loss, written out."""
    if name == "non_saturating":
        return softplus(-real).mean() + softplus(fake).mean()
    if name == "hinge":
        return relu(1 - real).mean() + relu(1 + fake).mean()
    return softplus(fake - real).mean()


def loss_g(name: str, fake: Tensor, real: Tensor | None) -> Tensor:
    """Each objective's generator loss, written out."""
    if name == "non_saturating":
        return softplus(-fake).mean()
    if name == "hinge":
        return -fake.mean()
    assert real is not None
    return softplus(real - fake).mean()


def squared_slope(logits: Tensor, images: Tensor) -> Tensor:
    """E |dD/dx|^2."""
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.square().flatten(1).sum(1).mean()


def plain(loop: Loop, name: str) -> Step:
    """The loop of a tutorial."""
    pairs = name.startswith("relativistic")

    def step() -> None:
        real, z = loop.draw()
        fake = loop.G(z).detach()
        if loop.gamma:
            real.requires_grad_()
            fake.requires_grad_()
        on_real, on_fake = loop.D(real), loop.D(fake)
        loss = loss_d(name, on_real, on_fake)
        if loop.gamma:
            slopes = squared_slope(on_real, real) + squared_slope(on_fake, fake)
            loss = loss + loop.gamma / 2 * slopes
        loop.optimizer_d.zero_grad()
        loss.backward()
        loop.optimizer_d.step()
        _, z = loop.draw()
        on_fake = loop.D(loop.G(z))
        on_real = loop.D(real.detach()) if pairs else None
        loss = loss_g(name, on_fake, on_real)
        loop.optimizer_g.zero_grad()
        loss.backward()
        loop.optimizer_g.step()
        loop.keep()

    return step


def fused(loop: Loop, name: str) -> Step:
    """A careful hand's loop."""
    pairs = name.startswith("relativistic")
    weights = list(loop.D.parameters())

    def step() -> None:
        real, z = loop.draw()
        with torch.no_grad():
            fake = loop.G(z)
        both = torch.cat([real, fake]).requires_grad_(loop.gamma > 0)
        logits = loop.D(both)
        loss = loss_d(name, *logits.chunk(2))
        if loop.gamma:
            loss = loss + loop.gamma * squared_slope(logits, both)  # mean over 2 N
        loop.optimizer_d.zero_grad()
        loss.backward()
        loop.optimizer_d.step()
        z = torch.randn_like(z)
        for weight in weights:
            weight.requires_grad_(False)
        on_fake = loop.D(loop.G(z))
        with torch.no_grad():
            on_real = loop.D(real) if pairs else None
        loss = loss_g(name, on_fake, on_real)
        loop.optimizer_g.zero_grad()
        loss.backward()
        loop.optimizer_g.step()
        for weight in weights:
            weight.requires_grad_(True)
        loop.keep()

    return step


def measure(case: str, rounds: int, steps: int, device: str) -> dict[str, Any]:
    """Seconds of each block by loop, interleaved."""
    game = build(recipe_of(case, device))
    name = game.recipe.objective.name
    loops: dict[str, Step] = {
        "plain": plain(loop_of(game, False), name),
        "fused": fused(loop_of(game, True), name),
        "ours": ours(build(game.recipe.edit(CASES[case][2]))),
    }
    blocks: dict[str, list[float]] = {kind: [] for kind in loops}
    for step in loops.values():
        _block(step, steps, device)
    for turn in range(rounds):
        kinds = list(loops)
        for kind in kinds[turn % 3 :] + kinds[: turn % 3]:
            blocks[kind].append(_block(loops[kind], steps, device) / steps)
    return {"case": case, "milliseconds": {k: 1e3 * min(v) for k, v in blocks.items()}} | {
        f"ours/{other}": _ratio(blocks["ours"], blocks[other]) for other in ("plain", "fused")
    }


def _block(step: Step, steps: int, device: str) -> float:
    began = time.perf_counter()
    for _ in range(steps):
        step()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def _ratio(ours_: list[float], others: list[float]) -> list[float]:
    """Lower quartile, median, upper quartile of the rounds' ratios."""
    ratios = [a / b for a, b in zip(ours_, others, strict=True)]
    return statistics.quantiles(ratios, n=4, method="inclusive")


def section(stored: dict[str, Any]) -> str:
    """The table as Markdown."""
    head = ["case", "plain ms", "fused ms", "ours ms", "ours / plain", "ours / fused"]
    rows = [head, ["---"] * len(head)]
    for row in stored["rows"]:
        fastest = [f"{row['milliseconds'][k]:.2f}" for k in ("plain", "fused", "ours")]
        ratios = [_said(row[f"ours/{k}"]) for k in ("plain", "fused")]
        rows.append([row["case"], *fastest, *ratios])
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    about = (
        f"`python -m benchmarks.step_time`, {stored['date']}, {stored['machine']}. One step of the"
        " same networks, batch and mathematics: *plain*, the loop of a tutorial; *fused*, one that"
        " shares passes and freezes; *ours*, with exact data order, schedules and moving average."
        f" Ratios: median of {stored['rounds']} interleaved rounds (middle half); milliseconds: the"
        f" fastest block. The mark is ours / plain at most {MARK}. *compiled*: both networks by"
        " torch.compile, which cannot differentiate twice; *channels last*: weights in that layout."
    )
    return "\n\n".join(["## Step time", about, table])


def _said(quartiles: list[float]) -> str:
    low, middle, high = quartiles
    return f"{middle:.3f} ({low:.3f} to {high:.3f})"


def main() -> int:
    """Parse, measure, print, store; 1 where a median misses the mark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.step_time", description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(CASES))
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    options = parser.parse_args()
    strangers = set(options.cases) - set(CASES)
    if strangers:
        parser.error(f"no case {', '.join(sorted(strangers))} (there are {', '.join(CASES)})")
    rows = []
    for case in options.cases or CASES:
        rows.append(measure(case, options.rounds, options.steps, options.device))
        ratios = "  ".join(f"ours/{k} {_said(rows[-1][f'ours/{k}'])}" for k in ("plain", "fused"))
        print(f"{case:36} {ratios}", flush=True)
    if not options.cases:
        RESULTS.parent.mkdir(exist_ok=True)
        machine = cells.hardware() if options.device == "cpu" else torch.cuda.get_device_name()
        about = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "machine": machine}
        stored = {**about, "rounds": options.rounds, "rows": rows}
        RESULTS.write_text(json.dumps(stored, indent=1) + "\n")
    return int(any(row["ours/plain"][1] > MARK for row in rows if not CASES[row["case"]][2]))


if __name__ == "__main__":
    sys.exit(main())
