"""The fault library of the adversarial term beside another loss: a small tokenizer, made sick.

    python -m benchmarks.faults.tokenizer [--seeds 3] [--workers 2] [--only NAME ...]

A plain loop as public tokenizers have it: a convolutional autoencoder (with a codebook or without),
L1 and a patch discriminator, the adaptive weight of taming transformers, an adversarial start. It
is watched from outside. Right names were written down before the rules that find them. A fault
harms where held-out L1 or the Frechet distance of patches ends beyond every healthy run.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import unfold

from benchmarks.faults.recipes import Fault
from equipoise.clinic import diagnose
from equipoise.data import generator_for
from equipoise.data.digits import digits, split
from equipoise.game import Adaptive, ramp
from equipoise.game.weighting import weight_of_norms
from equipoise.metrics import frechet_distance, moments
from equipoise.monitor import Monitor
from equipoise.record import Trace

SEVERITIES = ("mild", "medium", "strong")
HELD_OUT = 256
EVALUATIONS = 20


@dataclass(frozen=True)
class Settings:
    """What is played; a fault or a healthy configuration changes some of it.

    Attributes:
        steps, batch, width: of the run.
        start: step of the adversarial term; `warm`: the discriminator learns that much earlier.
        ramp: steps over which the term comes in.
        rate, discriminator_rate: Adam's.
        weight: s of the adaptive weight, or the weight itself where `adaptive` is off.
        largest, eps: bounds of the adaptive weight.
        detached: whether the adaptive weight is a number, as it must be.
        reduction: of the reconstruction loss over pixels, "mean" or "sum"; over the batch a mean.
        generator_loss: "hinge" (-D), "saturating" (log(1 - sigmoid D)), "swapped" (+D).
        scale: of the adversarial loss.
        path: "whole"; "cut" judges detached fakes; "late" compares the start with epochs.
        still: "no" discriminator that learns; "never", "frozen" or "dead" (rate) else.
        normalization: of the discriminator: "batch", "group", "spectral", "none".
        codes: size of the codebook, 0 for none.
        data: "shapes" or "digits".
    """

    steps: int = 600
    batch: int = 32
    width: int = 12
    start: int = 240
    warm: int = 0
    ramp: int = 0
    rate: float = 2e-3
    discriminator_rate: float = 1e-3
    adaptive: bool = True
    weight: float = 0.5
    largest: float = 1e4
    eps: float = 1e-4
    detached: bool = True
    reduction: str = "mean"
    generator_loss: str = "hinge"
    scale: float = 1.0
    path: str = "whole"
    still: str = "no"
    normalization: str = "batch"
    codes: int = 0
    data: str = "shapes"


def shapes(count: int, seed: int) -> Tensor:
    """Striped discs and bars on shaded grounds, hard-edged, (count, 1, 16, 16) in [-1, 1]."""
    draw = generator_for(seed, "shapes", 0)
    line = torch.linspace(-1, 1, 16)
    y, x = torch.meshgrid(line, line, indexing="ij")
    u = [v[:, None, None] for v in torch.rand(12, count, generator=draw)]
    ground = 0.5 * (u[0] - 0.5) * x + 0.5 * (u[1] - 0.5) * y + 0.6 * (u[2] - 0.5)
    disc = (x - u[3] + 0.5).square() + (y - u[4] + 0.5).square() < (0.25 + 0.35 * u[5]).square()
    bar = ((x - 1.2 * u[6] + 0.6).abs() < 0.15 + 0.3 * u[7]) & ((y - u[8] + 0.5).abs() < 0.4)
    angle, pitch = torch.pi * u[9], 6 + 8 * u[10]
    stripes = 0.6 * torch.sign(torch.sin(pitch * (x * angle.cos() + y * angle.sin())))
    image = torch.where(bar, 1.6 * (u[11] - 0.5), ground)
    return torch.where(disc, stripes, image)[:, None].clamp(-1, 1)


def images(settings: Settings) -> tuple[Tensor, Tensor]:
    """What is learned and what is held out; the same for every seed."""
    if settings.data == "shapes":
        return shapes(2048, 0), shapes(HELD_OUT, 1)
    kept, held = split()
    return digits()[kept], digits()[held]


class Codebook(nn.Module):
    """Nearest code with a straight-through gradient; van den Oord et al. 2017, equation 3."""

    def __init__(self, codes: int, size: int) -> None:
        super().__init__()
        self.codes = nn.Parameter(torch.randn(codes, size) * 0.3)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        flat = z.movedim(1, -1)
        chosen = self.codes[torch.cdist(flat.flatten(0, -2), self.codes).argmin(1)]
        nearest = chosen.view_as(flat).movedim(-1, 1)
        loss = (nearest - z.detach()).square().mean() + 0.25 * (
            nearest.detach() - z
        ).square().mean()
        return z + (nearest - z).detach(), loss


class Tokenizer(nn.Module):
    """Two halvings down, two doublings up; `last` is where the terms meet."""

    def __init__(self, width: int, codes: int) -> None:
        super().__init__()
        self.down = nn.Sequential(
            nn.Conv2d(1, width, 3, 2, 1), nn.SiLU(),
            nn.Conv2d(width, 2 * width, 3, 2, 1), nn.SiLU(), nn.Conv2d(2 * width, 6, 1),
        )  # fmt: skip
        self.codebook = Codebook(codes, 6) if codes else None
        self.up = nn.Sequential(
            nn.Conv2d(6, 2 * width, 3, 1, 1), nn.SiLU(), nn.Upsample(scale_factor=2),
            nn.Conv2d(2 * width, width, 3, 1, 1), nn.SiLU(), nn.Upsample(scale_factor=2),
        )  # fmt: skip
        self.last = nn.Conv2d(width, 1, 3, 1, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        z, loss = self.down(x), torch.zeros(())
        if self.codebook is not None:
            z, loss = self.codebook(z)
        return self.last(self.up(z)), loss


def patch_discriminator(width: int, normalization: str) -> nn.Sequential:
    """Three convolutions, one logit for each patch; arXiv 1611.07004, without the depth."""
    norm = {"batch": nn.BatchNorm2d, "group": lambda c: nn.GroupNorm(4, c)}.get(normalization)
    layers = [nn.Conv2d(1, width, 4, 2, 1), nn.Conv2d(width, 2 * width, 3, 1, 1)]
    layers.append(nn.Conv2d(2 * width, 1, 3, 1, 1))
    if normalization == "spectral":
        layers = [nn.utils.parametrizations.spectral_norm(layer) for layer in layers]
    between = [norm(2 * width)] if norm else []
    return nn.Sequential(
        layers[0], nn.LeakyReLU(0.2), layers[1], *between, nn.LeakyReLU(0.2), layers[2]
    )


class Game:
    """Both players, their losses, and the one iteration that the loop repeats."""

    def __init__(self, settings: Settings, seed: int) -> None:
        torch.manual_seed(seed)
        self.settings = settings
        self.model = Tokenizer(settings.width, settings.codes)
        self.critic = patch_discriminator(settings.width, settings.normalization)
        self.critic.requires_grad_(settings.still != "frozen")
        rate = 1e-14 if settings.still == "dead" else settings.discriminator_rate
        betas = (0.5, 0.9)
        self.optimizer = torch.optim.Adam(self.model.parameters(), settings.rate, betas)
        self.critics_optimizer = torch.optim.Adam(self.critic.parameters(), rate, betas)

    def weight(self, step: int, reconstruction: Tensor, adversarial: Tensor) -> Tensor:
        """w at this step, 0 before the start."""
        s = self.settings
        length = s.steps if s.path == "late" else 1  # "late" counts epochs against a start in steps
        factor = ramp(step // length, s.start, s.ramp)
        if not s.adaptive or s.path == "cut":
            return torch.tensor(s.weight * factor)
        norms = [
            torch.autograd.grad(loss, self.model.last.weight, create_graph=True)[0].norm()
            for loss in (reconstruction, adversarial)
        ]
        if s.detached:
            bounds = Adaptive(s.weight, s.largest, s.eps)
            return factor * weight_of_norms(norms[0], norms[1], bounds).weight
        return factor * s.weight * (norms[0] / (norms[1] + s.eps)).clamp(0, s.largest)

    def generators_step(self, step: int, x: Tensor, monitor: Monitor) -> dict[str, Any]:
        """The tokenizer's update, and what it showed."""
        s = self.settings
        y, codebook = self.model(x)
        pixels = (y - x).abs()
        reconstruction = pixels.mean() if s.reduction == "mean" else pixels.sum() / len(x)
        logits = self.critic(y.detach() if s.path == "cut" else y)
        adversarial = s.scale * generators_loss(logits, s.generator_loss)
        w = self.weight(step, reconstruction, adversarial)
        monitor.terms(
            at=self.model.last.weight, reconstruction=reconstruction, adversarial=adversarial,
            weight=w,
        )  # fmt: skip
        self.optimizer.zero_grad()
        self.critics_optimizer.zero_grad()
        (reconstruction + codebook + w * adversarial).backward()
        self.optimizer.step()
        losses = {"g": reconstruction + w * adversarial, "reconstruction": reconstruction}
        return {"fake": y.detach(), "losses": losses, "adaptive_weight": w}

    def discriminators_step(self, step: int, x: Tensor, fake: Tensor) -> dict[str, Any]:
        """The discriminator's update from `start - warm` on, and its logits."""
        s = self.settings
        self.critics_optimizer.zero_grad()
        real, faked = self.critic(x), self.critic(fake)
        loss = (1 - real).relu().mean() + (1 + faked).relu().mean()
        if step >= s.start - s.warm and s.still in ("no", "dead"):
            loss.backward()
            self.critics_optimizer.step()
        return {"real_logits": real, "fake_logits": faked, "loss": loss}


def generators_loss(logits: Tensor, name: str) -> Tensor:
    """The adversarial term: -D, log(1 - sigmoid D), or D with the sign of the other side."""
    if name == "saturating":
        return -nn.functional.softplus(logits).mean()
    return logits.mean() if name == "swapped" else -logits.mean()


class Primary(NamedTuple):
    """What the run is worth: both on held-out images, lower is better."""

    reconstruction_l1: float
    frechet_patches: float


@torch.no_grad()
def evaluate(model: Tokenizer, held: Tensor) -> dict[str, float]:
    """Held-out error, and how far patches of 4 x 4 pixels are from real ones: blur shows there."""
    was = model.training
    y, _ = model.eval()(held)
    model.train(was)
    gap = y - held
    sides = [moments(unfold(side, 4, stride=2).movedim(1, 2).flatten(0, 1)) for side in (held, y)]
    finite = bool(torch.isfinite(y).all())
    frechet = frechet_distance(*sides[0], *sides[1]) if finite else float("inf")
    return {
        "metric/reconstruction_l1": float(gap.abs().mean()),
        "metric/psnr": float(10 * torch.log10(4 / gap.square().mean())),
        "metric/frechet_patches": frechet,
    }


def run(settings: Settings, seed: int, folder: Path | None = None) -> tuple[Trace, Primary]:
    """Train once, watched; the trace and what the run is worth."""
    torch.set_num_threads(1)
    learned, held = images(settings)
    game = Game(settings, seed)
    order = generator_for(seed, "data", 0)
    monitor = Monitor(
        game.model, game.critic, game.optimizer, game.critics_optimizer, objective="hinge",
        adversarial_start=settings.start - settings.warm, schedule="fixed", stride=5, tick=5,
        run_dir=folder,
    )  # fmt: skip
    with monitor:
        for step in range(1, settings.steps + 1):
            x = learned[torch.randint(len(learned), (settings.batch,), generator=order)]
            shown = game.generators_step(step, x, monitor)
            judged = game.discriminators_step(step, x, shown["fake"])
            shown["losses"]["d"] = judged.pop("loss")
            due = step % (settings.steps // EVALUATIONS) == 0
            found = evaluate(game.model, held) if due else {}
            monitor.observe(real=x, **shown, **judged, **found)
        trace = monitor.trace()
    return trace, Primary(found["metric/reconstruction_l1"], found["metric/frechet_patches"])


def _each(field: str, *values: Any, **beside: Any) -> tuple[Mapping[str, Any], ...]:
    return tuple({field: value, **beside} for value in values)


_FAULTS: tuple[tuple[str, tuple[str, ...], Any, str], ...] = (
    (
        "saturating adversarial loss",
        ("adaptive_weight_explosion", "adversarial_term_off"),
        _each("discriminator_rate", 1e-3, 4e-3, 1e-2, generator_loss="saturating"),
        "its gradient dies where the discriminator is sure, and the weight divides by it",
    ),
    (
        "adversarial loss lost in epsilon",
        ("adaptive_weight_explosion", "adversarial_term_off"),
        _each("scale", 1e-3, 1e-4, 1e-6),
        "averaged once too often, its gradient is smaller than the epsilon added to it",
    ),
    (
        "clamp made for another reduction",
        ("adaptive_weight_explosion", "adversarial_term_off"),
        _each("largest", 10.0, 1.0, 0.1, reduction="sum"),
        "a sum over pixels asks for a weight that the clamp forbids",
    ),
    (
        "share of the adversarial term too large",
        ("adaptive_weight_explosion", "adversarial_cliff"),
        _each("weight", 10.0, 100.0, 1000.0),
        "the adaptive weight holds it at a share that drowns the reconstruction",
    ),
    (
        "fixed weight too large",
        ("adversarial_cliff", "adaptive_weight_explosion"),
        _each("weight", 3.0, 30.0, 300.0, adaptive=False),
        "at the start the tokenizer is thrown from what it had learned",
    ),
    (
        "fixed weight too large from the first step",
        ("adaptive_weight_explosion", "adversarial_cliff"),
        _each("weight", 3.0, 30.0, 300.0, adaptive=False, start=0),
        "the reconstruction is never learned",
    ),
    (
        "discriminator too fast at the start",
        ("adversarial_cliff", "discriminator_dominance"),
        _each("discriminator_rate", 1e-2, 3e-2, 1e-1, weight=1.0, normalization="none"),
        "it is sure within a few steps of its first gradient, at full weight",
    ),
    (
        "weight too small",
        ("adversarial_term_off",),
        _each("weight", 1e-4, 1e-5, 1e-6, adaptive=False),
        "the term is computed, and changes nothing",
    ),
    (
        "term that never arrives",
        ("adversarial_term_off", "no_gradient_to_generator"),
        (
            {"path": "late"},
            {"path": "cut"},
            {"weight": 0.0},
        ),
        "epochs held against steps; detached fakes; a weight of 0",
    ),
    (
        "discriminator that never learns",
        ("stalled_player",),
        _each("still", "never", "dead", "frozen"),
        "no step, a rate of nothing, frozen parameters",
    ),
    (
        "weight that keeps its graph",
        ("adversarial_cliff", "adaptive_weight_explosion"),
        _each("weight", 1.0, 4.0, 16.0, detached=False),
        "the tokenizer learns to move the weight instead of the image",
    ),
    (
        "sign of the other side",
        ("adversarial_cliff", "swapped_labels"),
        _each("weight", 0.8, 4.0, 16.0, generator_loss="swapped"),
        "the tokenizer learns to look fake",
    ),
)
FAULTS = {
    name: Fault(name, right, edits, ("tokenizer",), why) for name, right, edits, why in _FAULTS
}

# Whatever is said of these is a false alarm.
CONFIGURATIONS: dict[str, Mapping[str, Any]] = {
    "adaptive, batch norm": {},
    "adaptive 0.8, summed, group norm": {
        "reduction": "sum",
        "weight": 0.8,
        "normalization": "group",
    },
    "fixed 0.01, spectral": {"adaptive": False, "weight": 0.01, "normalization": "spectral"},
    "fixed 0.05, warmed up, ramped": {
        "adaptive": False,
        "weight": 0.05,
        "warm": 60,
        "ramp": 60,
        "normalization": "spectral",
    },
    "codebook": {"codes": 64, "weight": 0.3},
    "from the first step": {"start": 0, "weight": 0.3, "normalization": "group"},
    "digits": {"data": "digits"},
    "slow discriminator, summed": {"reduction": "sum", "discriminator_rate": 2e-4},
}


@dataclass(frozen=True)
class Case:
    """One run of the library; `fault` is "" for a healthy configuration, whose name is `name`."""

    name: str
    fault: str = ""
    severity: int = 0
    preset: str = "tokenizer"

    def settings(self) -> Settings:
        """What is played."""
        edit = FAULTS[self.fault].edits[self.severity] if self.fault else CONFIGURATIONS[self.name]
        return replace(Settings(), **edit)


def library() -> list[Case]:
    """Every case: healthy ones first, since they say what harm is."""
    sick = [
        Case(f"{name} / {SEVERITIES[severity]}", name, severity)
        for name in FAULTS
        for severity in range(3)
    ]
    return [Case(name) for name in CONFIGURATIONS] + sick


def play(case: Case, seed: int, folder: Path | None = None) -> tuple[Trace, Primary]:
    """One run of a case; its trace stays in `folder` where one is given."""
    return run(case.settings(), seed, folder)


Row = dict[str, Any]


def row(case: Case, seed: int) -> Row:
    """A run and what was said of it, the surest first; nothing where the verdict is not sick."""
    trace, primary = play(case, seed)
    told = diagnose(trace)
    said = [f.failure for f in told.findings] if told.verdict == "sick" else []
    notes = [note.note for note in told.notes]
    return {**vars(case), "seed": seed, **primary._asdict(), "said": said, "notes": notes}


def measure(wanted: list[Case], seeds: int, workers: int) -> Iterator[Row]:
    """Every case on every seed."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        jobs = [pool.submit(row, case, seed) for seed in range(seeds) for case in wanted]
        for job in as_completed(jobs):
            yield job.result()


def harmed(found: Row, healthy: list[Row]) -> bool:
    """Whether either measure ends beyond every healthy run on the same images."""
    same = [r for r in healthy if CONFIGURATIONS[r["name"]].get("data") is None]
    return any(not found[m] <= max(r[m] for r in same) for m in Primary._fields)


def table(rows: list[Row]) -> str:
    """Per fault: runs, harmful ones, found, named first, named in three; then false alarms."""
    well = [r for r in rows if not r["fault"]]
    lines = [f"{'fault':44}{'runs':>5}{'harm':>5}{'found':>6}{'first':>6}{'three':>6}  said first"]
    for name, fault in FAULTS.items():
        here = [r for r in rows if r["fault"] == name]
        if here:
            lines.append(_line(name, here, fault.right, well))
    alarms = [r for r in well if r["said"]]
    lines.append(f"healthy: {len(well)} runs, {len(alarms)} false alarms")
    lines += [f"  {r['name']} seed {r['seed']}: {', '.join(r['said'])}" for r in alarms]
    return "\n".join(lines)


def _line(name: str, here: list[Row], right: tuple[str, ...], well: list[Row]) -> str:
    said = [r["said"] for r in here]
    first = [(s or ["nothing"])[0] for s in said]
    counts = (
        len(here),
        sum(harmed(r, well) for r in here) if well else 0,
        sum(map(bool, said)),
        sum(f in right for f in first),
        sum(bool(set(s[:3]) & set(right)) for s in said),
    )
    names = ", ".join(f"{f} {first.count(f)}" for f in sorted(set(first)))
    return f"{name:44}{counts[0]:5}{counts[1]:5}{counts[2]:6}{counts[3]:6}{counts[4]:6}  {names}"


def main() -> int:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults.tokenizer")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", nargs="*", default=None, metavar="NAME", help="faults by name")
    parser.add_argument("--json", type=Path, default=None, help="where the rows go")
    options = parser.parse_args()
    wanted = [c for c in library() if options.only is None or c.fault in ("", *options.only)]
    rows = []
    for found in measure(wanted, options.seeds, options.workers):
        rows.append(found)
        print(
            f"{found['name']} seed {found['seed']}: L1 {found['reconstruction_l1']:.4f}, Frechet"
            f" {found['frechet_patches']:.4g}, {', '.join(found['said']) or 'nothing'}",
            flush=True,
        )
    print(table(rows))
    if options.json is not None:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
