"""Perceptual path length: how far images move for a small step in the latent space."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from equipoise.errors import unknown
from equipoise.metrics.measure import Measure, with_error

Distance = Callable[[Tensor, Tensor], Tensor]
Space = Literal["z", "w"]
Sampling = Literal["full", "end"]
Arc = Literal["unit", "any"]

EPS = 1e-4  # arXiv 1812.04948, section 4.1
COARSE_EPS = 1e-2  # below it bytes move by whole levels or not at all: 103 times too far at 1e-4
BOX = 256  # pixels to which larger images are averaged first
LOW, HIGH = 1.0, 99.0  # percentiles kept, ends included
TINY = 1e-300  # beside a length that may be 0


@dataclass(frozen=True)
class PathRule:
    """What two path lengths must agree in to be compared; StyleGAN2's by default.

    Attributes:
        space: "w": points lerp(mapping(z0), mapping(z1); t); "z": slerp(z0, z1; t).
        sampling: "full": t uniform on [0, 1]; "end": t = 0.
        n: pairs, at least 2.
        eps: the step in t, in (0, 1].
        arc: of "z" alone. "unit": on the unit sphere, as StyleGAN, whose mapping normalizes z;
            "any": with the lengths of z0 and z1, for generators that do not.
        crop: rows 3/8 to 7/8 and columns 2/8 to 6/8, where StyleGAN's faces are.
        box: images are averaged down by their height // box; None leaves them.
        percentiles: values below the first ("lower") or above the second ("higher") are dropped;
            None keeps all.

    Raises:
        ValueError: a field outside what is said here.
    """

    space: Space = "w"
    sampling: Sampling = "end"
    n: int = 50_000
    eps: float = EPS
    arc: Arc = "unit"
    crop: bool = False
    box: int | None = BOX
    percentiles: tuple[float, float] | None = (LOW, HIGH)

    def __post_init__(self) -> None:
        for name, choices in (
            ("space", ("z", "w")),
            ("sampling", ("full", "end")),
            ("arc", ("unit", "any")),
        ):
            if (value := getattr(self, name)) not in choices:
                raise ValueError(unknown(name, value, choices))
        if self.n < 2 or not 0 < self.eps <= 1:
            raise ValueError(f"n = {self.n}, eps = {self.eps}: must be n >= 2 pairs, 0 < eps <= 1")
        low, high = self.percentiles or (0, 100)
        if not 0 <= low < high <= 100:
            raise ValueError(
                f"percentiles = {self.percentiles}: must be (low, high) in [0, 100], or None"
            )


PPL2_WEND = PathRule()  # StyleGAN2, StyleGAN2-ADA, StyleGAN3
PPL_ZFULL = PathRule("z", "full", 100_000, crop=True)  # StyleGAN on faces; no crop elsewhere
PPL_WFULL = PathRule("w", "full", 100_000, crop=True)
PPL_ZEND = PathRule("z", "end", 100_000, crop=True)
PPL_WEND = PathRule("w", "end", 100_000, crop=True)


@dataclass(frozen=True)
class LatentWalk:
    """A generator as `path_length` walks it.

    Attributes:
        synthesis: w -> images, or (w, labels) where `labels` is given; images float, in any shape
            (N, ...). With no `mapping` it takes z.
        z_dim: z is N(0, I) of this many numbers, unless `draw` is given.
        mapping: z -> w, or (z, labels).
        draw: (n, random) -> z (n, d) in place of the normal law.
        labels: (n, random) -> labels; one draw serves both ends of a pair and both its latents.
        device: where z and labels go.
    """

    synthesis: Callable[..., Tensor]
    z_dim: int | None = None
    mapping: Callable[..., Tensor] | None = None
    draw: Callable[[int, torch.Generator], Tensor] | None = None
    labels: Callable[[int, torch.Generator], Tensor] | None = None
    device: str | torch.device = "cpu"

    def latents(self, n: int, random: torch.Generator) -> Tensor:
        """z (n, d) on the device."""
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
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.default_generator.manual_seed(seed)  # torch.manual_seed reseeds every GPU
            if device.type == "cuda":
                with torch.cuda.device(device):
                    torch.cuda.manual_seed(seed)
            return self.synthesis(w) if labels is None else self.synthesis(w, labels)


def squared_distance(first: Tensor, second: Tensor) -> Tensor:
    """Sum of squared differences of each pair, in float64: (N,)."""
    return (first.double() - second.double()).square().flatten(1).sum(dim=1)


def path_length(
    generator: LatentWalk,
    distance: Distance,
    *,
    distance_name: str,
    rule: PathRule = PPL2_WEND,
    quantized: Literal["refuse", "warn"] = "refuse",
    batch: int = 16,
    seed: int = 0,
) -> Measure:
    """Mean of d(G(at t), G(at t + eps)) / eps^2 over random paths; lower is smoother.

    d is any function of two batches of images that grows with the square of a small step, as LPIPS
    and `squared_distance` do; the number is named for it. With squared distance and nothing
    dropped, G(z) = A z has 2 |A|_F^2 by lerp and E[angle^2] |A|_F^2 / d by slerp.
    Both ends of a pair see the same labels and the same noise, where noise is drawn from torch's
    global state. Images must not be rounded: bytes, or float16, at eps = 1e-4 count levels crossed
    (103 times the truth for squared distance), so they are refused below eps = 1e-2, or by
    quantized="warn" measured with a warning. A generator that ignores z scores 0, the best.
    error: of a trimmed mean, from the variance with the dropped values pulled to the ends kept
    (Tukey and McLaughlin 1963). One seed and one batch size repeat the value.

    Raises:
        ValueError: space "w" without a mapping, rounded images, images that the rule cannot crop
            or average, images or distances that are not finite.

    Source: arXiv 1812.04948, section 4.1; arXiv 1912.04958.
    """
    _check(generator, rule, quantized, batch)
    random = torch.Generator().manual_seed(seed)
    distances, warnings = [], _modes(generator)
    with torch.no_grad():
        for start in range(0, rule.n, batch):
            size = min(batch, rule.n - start)
            points, labels = _steps(generator, rule, size, random)
            first, second = (generator.images(w, labels, seed + start) for w in points)
            if not start:
                again = generator.images(points[0], labels, seed)
                warnings += _rounded(first, rule.eps, quantized) + _restless(first, again)
                warnings += _off_the_law(generator, rule, labels, size, seed)
            near, far = _view(first, rule), _view(second, rule)
            distances.append(_distances(distance, near, far, start) / rule.eps**2)
    values = torch.cat(distances)
    kept, error, bounds = _trimmed(values, rule.percentiles)
    return with_error(
        f"path_length_{distance_name}",
        float(kept.mean()),
        error,
        convention=asdict(rule) | {"distance": distance_name, "seed": seed, "bias": "none"},
        parts={"untrimmed": float(values.mean()), "kept": len(kept)} | bounds,
        warnings=tuple(warnings),
    )


def lerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """a + t (b - a) of (N, ...), t (N,), in float64."""
    weight = t.view(-1, *[1] * (a.dim() - 1))
    return a.double() + weight * (b.double() - a.double())


def slerp(a: Tensor, b: Tensor, t: Tensor, *, unit: bool = True) -> Tensor:
    """The point at share t of the arc from a to b (N, d), t (N,): float64.

    unit: both are brought to length 1 first. Else lengths go over too:
    (sin((1 - t) w) a + sin(t w) b) / sin w, w the angle between them.
    Opposite or equal directions have no arc of their own: then it is a.
    """
    a, b = a.double(), b.double()
    u, v = (x / x.norm(dim=-1, keepdim=True) for x in (a, b))
    cosine = (u * v).sum(dim=-1, keepdim=True)
    aside = v - cosine * u
    sine = aside.norm(dim=-1, keepdim=True)
    angle = torch.atan2(sine, cosine)  # acos loses half the digits near 0
    share = t.unsqueeze(-1)
    if unit:
        point = u * (share * angle).cos() + aside / sine.clamp(min=TINY) * (share * angle).sin()
        return point / point.norm(dim=-1, keepdim=True)
    mixed = ((1 - share) * angle).sin() * a + (share * angle).sin() * b
    return torch.where(sine > TINY, mixed / sine.clamp(min=TINY), a)


def _check(generator: LatentWalk, rule: PathRule, quantized: str, batch: int) -> None:
    if quantized not in ("refuse", "warn"):
        raise ValueError(unknown("quantized", quantized, ("refuse", "warn")))
    if batch < 1:
        raise ValueError(f"batch = {batch}: must be at least 1 pair")
    if rule.space == "w" and generator.mapping is None:
        raise ValueError(
            "rule.space = 'w' with mapping = None: a walk in W needs LatentWalk(mapping=); give"
            " it, or a rule with space='z'"
        )


def _steps(
    generator: LatentWalk, rule: PathRule, n: int, random: torch.Generator
) -> tuple[list[Tensor], Tensor | None]:
    """Both ends of n steps, as synthesis takes them, and the labels that they share."""
    t = torch.rand(n, generator=random, dtype=torch.float64) * (rule.sampling == "full")
    ends = generator.latents(n, random), generator.latents(n, random)
    labels = None if generator.labels is None else generator.labels(n, random).to(generator.device)
    t = t.to(generator.device)
    if rule.space == "w":
        a, b = (generator.mapped(z, labels) for z in ends)
        return [lerp(a, b, s).to(a.dtype) for s in (t, t + rule.eps)], labels
    arcs = [slerp(*ends, s, unit=rule.arc == "unit") for s in (t, t + rule.eps)]
    return [generator.mapped(z.to(ends[0].dtype), labels) for z in arcs], labels


def _view(images: Tensor, rule: PathRule) -> Tensor:
    crop, box = rule.crop, rule.box
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


def _off_the_law(
    generator: LatentWalk, rule: PathRule, labels: Tensor | None, n: int, seed: int
) -> list[str]:
    if rule.space == "w" or rule.arc == "any":
        return []
    z = generator.latents(n, torch.Generator().manual_seed(seed))
    drawn, unit = (generator.mapped(x, labels) for x in (z, z / z.norm(dim=-1, keepdim=True)))
    if torch.allclose(drawn, unit, rtol=1e-3, atol=1e-3 * float(drawn.abs().max())):
        return []
    return [
        "the arc lies on the unit sphere, and this generator does not normalize z: it is measured"
        " where it is not sampled; a rule with arc='any' keeps the lengths of z"
    ]


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


def _restless(first: Tensor, again: Tensor) -> list[str]:
    if torch.equal(first, again):
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
