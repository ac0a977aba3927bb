"""Perceptual path length: how far images move for a small step in the latent space."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from equipoise.errors import unknown
from equipoise.metrics.measure import Measure, with_error

Distance = Callable[[Tensor, Tensor], Tensor]
Space = Literal["z", "w"]
Sampling = Literal["full", "end"]

EPS = 1e-4  # arXiv 1812.04948, section 4.1
COARSE_EPS = 1e-2  # below it bytes move by whole levels or not at all: 103 times too far at 1e-4
BOX = 256  # pixels to which larger images are averaged first
LOW, HIGH = 1.0, 99.0  # percentiles kept, ends included


@dataclass(frozen=True)
class LatentWalk:
    """A generator as `path_length` walks it.

    Attributes:
        synthesis: w -> images, or (w, labels) where `labels` is given; images float, in any shape
            (N, ...). With no `mapping` it takes z.
        z_dim: z is N(0, I) of this many numbers, unless `draw` is given.
        mapping: z -> w, or (z, labels).
        draw: (n, random) -> z (n, ...) in place of the normal law.
        labels: (n, random) -> labels; one draw serves both ends of a pair and both its latents.
        device: where z and labels go.
    """

    synthesis: Callable[..., Tensor]
    z_dim: int | None = None
    mapping: Callable[..., Tensor] | None = None
    draw: Callable[[int, torch.Generator], Tensor] | None = None
    labels: Callable[[int, torch.Generator], Tensor] | None = None
    device: str | torch.device = "cpu"
    told: dict[str, Any] = field(default_factory=dict)

    def latents(self, n: int, random: torch.Generator) -> Tensor:
        """z (n, ...) on the device."""
        if self.draw is not None:
            return self.draw(n, random).to(self.device)
        if self.z_dim is None:
            raise ValueError("z_dim = None and draw = None: give one, so that z can be drawn")
        return torch.randn((n, self.z_dim), generator=random).to(self.device)

    def mapped(self, z: Tensor, labels: Tensor | None) -> Tensor:
        """w of z, or z itself where there is no mapping."""
        if self.mapping is None:
            return z
        return self.mapping(z) if labels is None else self.mapping(z, labels)

    def images(self, w: Tensor, labels: Tensor | None, seed: int) -> Tensor:
        """Images of w, the global random state set to `seed` for the call and put back after it."""
        device = torch.device(self.device)
        devices = [device] if device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(seed)
            return self.synthesis(w) if labels is None else self.synthesis(w, labels)


def squared_distance(first: Tensor, second: Tensor) -> Tensor:
    """Sum of squared differences of each pair, in float64: (N,)."""
    return (first.double() - second.double()).square().flatten(1).sum(dim=1)


def path_length(
    generator: LatentWalk,
    distance: Distance,
    *,
    distance_name: str,
    space: Space = "w",
    sampling: Sampling = "end",
    n: int = 50_000,
    eps: float = EPS,
    batch: int = 16,
    crop: bool = False,
    box: int | None = BOX,
    percentiles: tuple[float, float] | None = (LOW, HIGH),
    quantized: Literal["refuse", "warn"] = "refuse",
    seed: int = 0,
) -> Measure:
    """Mean of d(G(at t), G(at t + eps)) / eps^2 over random paths; lower is smoother.

    space "w": w_t = lerp(mapping(z0), mapping(z1); t); "z": slerp on the unit sphere. sampling
    "full": t uniform on [0, 1]; "end": t = 0. StyleGAN2's ppl2_wend is "w", "end", 50 000 pairs, no
    crop; StyleGAN's takes 100 000 and, for faces, `crop`: rows 3/8 to 7/8, columns 2/8 to 6/8.
    Images wider than `box` are averaged down to it. Values below the 1st percentile ("lower") or
    above the 99th ("higher") are dropped; percentiles=None keeps all, and then with squared
    distance a linear G(z) = A z has 2 |A|_F^2 by lerp and E[angle^2] |A|_F^2 / d by slerp.
    d is any function of two batches of images that grows with the square of a small step, as LPIPS
    and `squared_distance` do; the number is named for it.
    Both ends of a pair see the same labels and the same noise, where noise is drawn from torch's
    global state. Images must not be rounded: bytes, or float16, at eps = 1e-4 count levels crossed
    (103 times the truth for squared distance), so they are refused below eps = 1e-2.
    error: of a trimmed mean, from the variance with the dropped values pulled to the ends kept
    (Tukey and McLaughlin 1963). A generator that ignores z scores 0, the best.

    Raises:
        ValueError: unknown space or sampling, space "w" without a mapping, n < 2, eps not in
            (0, 1], rounded images, images or distances that are not finite.

    Source: arXiv 1812.04948, section 4.1; arXiv 1912.04958.
    """
    _check(generator, space, sampling, n, eps, quantized)
    warnings = list(_modes(generator))
    distances = []
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for start in range(0, n, batch):
            size = min(batch, n - start)
            first, second, again = _pair(
                generator, space, sampling, eps, size, random, seed + start, not start
            )
            if not start:
                warnings += _rounded(first, eps, quantized) + _restless(first, again)
            near, far = _view(first, crop, box), _view(second, crop, box)
            distances.append(_distances(distance, near, far, start) / eps**2)
    kept, error, bounds = _trimmed(torch.cat(distances), percentiles)
    convention = {
        "distance": distance_name, "space": space, "sampling": sampling, "eps": eps, "crop": crop,
        "box": box, "percentiles": percentiles, "n": n, "seed": seed, "bias": "none",
        "interpolation": "lerp" if space == "w" else "slerp",
    } | generator.told  # fmt: skip
    return with_error(
        f"path_length_{distance_name}",
        float(kept.mean()),
        error,
        convention=convention,
        parts={"untrimmed": float(torch.cat(distances).mean()), "kept": len(kept)} | bounds,
        warnings=tuple(warnings),
    )


def lerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """a + t (b - a) of (N, ...), t (N,), in float64."""
    weight = t.view(-1, *[1] * (a.dim() - 1))
    return a.double() + weight * (b.double() - a.double())


def slerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """The point at share t of the arc from a / |a| to b / |b|: unit vectors (N, d), float64.

    Opposite or equal directions have no arc of their own: then it is a / |a|.
    """
    a, b = (v.double() / v.double().norm(dim=-1, keepdim=True) for v in (a, b))
    aside = b - (a * b).sum(dim=-1, keepdim=True) * a
    length = aside.norm(dim=-1, keepdim=True)
    # atan2, since acos loses half the digits near 0
    angle = t.unsqueeze(-1) * torch.atan2(length, (a * b).sum(dim=-1, keepdim=True))
    point = a * angle.cos() + aside / length.clamp(min=1e-300) * angle.sin()
    return point / point.norm(dim=-1, keepdim=True)


def _check(
    generator: LatentWalk, space: str, sampling: str, n: int, eps: float, quantized: str
) -> None:
    for name, value, choices in (
        ("space", space, ("z", "w")),
        ("sampling", sampling, ("full", "end")),
        ("quantized", quantized, ("refuse", "warn")),
    ):
        if value not in choices:
            raise ValueError(unknown(name, value, choices))
    if space == "w" and generator.mapping is None:
        raise ValueError(
            "space = 'w' with mapping = None: a walk in W needs LatentWalk(mapping=); give it, or"
            " use space='z'"
        )
    if n < 2 or not 0 < eps <= 1:
        raise ValueError(f"n = {n}, eps = {eps}: must be n >= 2 pairs and 0 < eps <= 1")


def _pair(
    generator: LatentWalk,
    space: str,
    sampling: str,
    eps: float,
    n: int,
    random: torch.Generator,
    seed: int,
    repeat: bool,
) -> tuple[Tensor, Tensor, Tensor | None]:
    t = torch.rand(n, generator=random, dtype=torch.float64) * (sampling == "full")
    ends = generator.latents(n, random), generator.latents(n, random)
    labels = None if generator.labels is None else generator.labels(n, random).to(generator.device)
    dtype, t = ends[0].dtype, t.to(generator.device)
    if space == "w":
        a, b = (generator.mapped(z, labels) for z in ends)
        points = [lerp(a, b, s).to(a.dtype) for s in (t, t + eps)]
    else:
        points = [generator.mapped(slerp(*ends, s).to(dtype), labels) for s in (t, t + eps)]
    first, second = (generator.images(w, labels, seed) for w in points)
    return first, second, generator.images(points[0], labels, seed) if repeat else None


def _view(images: Tensor, crop: bool, box: int | None) -> Tensor:
    if images.dim() != 4:
        if crop:
            raise ValueError(f"crop = True with images {tuple(images.shape)}: must be (N, C, H, W)")
        return images
    height, width = images.shape[2:]
    if crop:
        if height != width:
            raise ValueError(f"crop = True with {height} x {width} pixels: must be square")
        part = height // 8
        images = images[:, :, part * 3 : part * 7, part * 2 : part * 6]
    factor = height // box if box else 1
    if factor <= 1:
        return images
    # by the full image's size, as StyleGAN has it, also where it was cropped
    if any(side % factor for side in images.shape[2:]):
        raise ValueError(
            f"box = {box} with {tuple(images.shape[2:])} pixels: sides must be multiples of"
            f" {factor} to be averaged; crop, or pass box=None"
        )
    return torch.nn.functional.avg_pool2d(images, factor)


def _rounded(images: Tensor, eps: float, quantized: str) -> list[str]:
    if eps >= COARSE_EPS or not (how := _rounding(images)):
        return []
    said = (
        f"images are {how} and eps = {eps}: rounding makes such path lengths up to 1 / eps times"
        f" too long, so eps must be at least {COARSE_EPS}"
    )
    if quantized == "refuse":
        raise ValueError(f"{said}; return float32 images, raise eps, or pass quantized='warn'")
    return [said]


def _rounding(images: Tensor) -> str | None:
    """How images were rounded, or None."""
    if images.dtype not in (torch.float32, torch.float64):
        return str(images.dtype).removeprefix("torch.")
    values = images.detach().flatten()[:4096].double()
    if not torch.isfinite(values).all():
        raise ValueError("images: the first batch holds NaN or infinity; mend the generator first")
    if len(values.unique()) < 8:
        return None  # a flat picture is no sign of bytes
    for levels in (values, values * 255, (values + 1) * 127.5, values * 127.5):
        if float((levels - levels.round()).abs().max()) < 1e-3:
            return "floats on the levels of bytes"
    return None


def _restless(first: Tensor, again: Tensor | None) -> list[str]:
    if again is None or torch.equal(first, again):
        return []
    return [
        "the same latents gave two different images: noise is not shared within a pair (or an"
        " operation is not deterministic), and the path length holds it"
    ]


def _modes(generator: LatentWalk) -> list[str]:
    parts = (generator.mapping, generator.synthesis)
    if any(isinstance(m, torch.nn.Module) and m.training for m in parts):
        return ["the generator is in training mode: dropout or batch statistics may move images"]
    return []


def _distances(distance: Distance, first: Tensor, second: Tensor, start: int) -> Tensor:
    values = torch.as_tensor(distance(first, second)).detach().cpu().double()
    if values.shape != (len(first),):
        raise ValueError(
            f"distance gave shape {tuple(values.shape)} for {len(first)} pairs; must be"
            f" ({len(first)},): one number a pair, not their mean"
        )
    broken = (~torch.isfinite(values)).nonzero()
    if len(broken):
        raise ValueError(
            f"distance of pair {start + int(broken[0])} is NaN or infinite; look at its images"
        )
    return values


def _trimmed(
    values: Tensor, percentiles: tuple[float, float] | None
) -> tuple[Tensor, float, dict[str, float]]:
    """The values kept, the error of their mean, and the bounds."""
    if percentiles is None:
        return values, float(values.std()) / math.sqrt(len(values)), {}
    array = values.numpy()
    low = float(np.percentile(array, percentiles[0], method="lower"))
    high = float(np.percentile(array, percentiles[1], method="higher"))
    kept = values[(values >= low) & (values <= high)]
    pulled = values.clamp(low, high)
    error = float(pulled.std()) * len(values) / len(kept) / math.sqrt(len(values))
    return kept, error, {"low": low, "high": high}
