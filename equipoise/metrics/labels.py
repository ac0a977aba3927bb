"""What a classifier sees: label accuracy, metrics class by class, modes and their balance."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from equipoise.metrics.arrays import Array
from equipoise.metrics.intervals import share_measure
from equipoise.metrics.measure import NORMAL_95, Measure

STACKED_SAMPLES = 26_000  # PacGAN, arXiv 1712.04086, section 4.2; unrolled GAN's has 25,600
CHANNELS = 3
FEW = 5  # samples a mode should get of a perfect sampler for its absence to tell


def label_accuracy(*, logits: Array, labels: Array, classifier: str = "classifier") -> Measure:
    """Share of conditional fakes that a classifier assigns to the label they were made for.

    logits (n, K) of the fakes (or probabilities: only their order matters), labels (n,) in 0..K-1.
    The classifier's own errors count against the generator: give its accuracy on held-out reals
    beside it. High accuracy says nothing of diversity within a class; see `by_class`.

    Returns:
        "label_accuracy_{classifier}" with Wilson's interval; parts: class_i (accuracy of label i,
        for the labels that occur), worst.

    Raises:
        ValueError: shapes do not match, labels outside 0..K-1, values that are not finite.
    """
    scores = _matrix(logits, "logits")
    wanted = _labels(labels, len(scores), "labels")
    classes = scores.shape[1]
    if int(wanted.min()) < 0 or int(wanted.max()) >= classes:
        raise ValueError(
            f"labels run from {int(wanted.min())} to {int(wanted.max())}: must be 0 to"
            f" {classes - 1}, for logits have {classes} columns"
        )
    right = scores.argmax(dim=1) == wanted
    parts = {f"class_{int(c)}": float(right[wanted == c].double().mean()) for c in wanted.unique()}
    parts["worst"] = min(parts.values())
    return share_measure(
        f"label_accuracy_{classifier}",
        int(right.sum()),
        len(right),
        convention={"classifier": classifier, "classes": classes, "n": len(right)},
        parts=parts,
    )


def by_class(
    metric: Callable[[Tensor, Tensor], Measure],
    *,
    real: Array,
    real_labels: Array,
    fake: Array,
    fake_labels: Array,
    least: int = 2,
) -> dict[int, Measure]:
    """`metric(real, fake)` within each class that both sets hold: label -> measure.

    Give it a Frechet distance for the intra-class Frechet distance (Miyato and Koyama, arXiv
    1802.05637); `class_mean` joins the result. A class with fewer than `least` samples in either
    set is an error and not left out: a class that a generator dropped must be seen.

    Raises:
        ValueError: a class has too few samples (each is named), or shapes do not match.
    """
    sets = {}
    for name, samples, labels in (("real", real, real_labels), ("fake", fake, fake_labels)):
        x = torch.as_tensor(samples).detach()
        sets[name] = x, _labels(labels, len(x), f"{name}_labels")
    classes = torch.cat([sets["real"][1], sets["fake"][1]]).unique().tolist()
    short = [
        f"{name} {c}: {n}"
        for name, (_, labels) in sets.items()
        for c in classes
        if (n := int((labels == c).sum())) < least
    ]
    if short:
        raise ValueError(
            f"classes with fewer than {least} samples ({'; '.join(short)}): give more samples of"
            " them, or leave them out of both sets"
        )
    (x, own), (y, made) = sets["real"], sets["fake"]
    return {int(c): metric(x[own == c], y[made == c]) for c in classes}


def class_mean(measures: Mapping[int, Measure]) -> Measure:
    """The plain mean over classes, each of equal weight; parts: class_i, worst (the largest).

    `error` is the mean's, from the classes' own errors where all have one.

    Raises:
        ValueError: no measure.
    """
    if not measures:
        raise ValueError("measures is empty: give at least one class's measure")
    values = [m.value for m in measures.values()]
    errors = [m.error for m in measures.values()]
    known = [e for e in errors if e is not None]
    error = (
        math.sqrt(sum(e * e for e in known)) / len(errors) if len(known) == len(errors) else None
    )
    first = next(iter(measures.values()))
    value = sum(values) / len(values)
    reach = None if error is None else NORMAL_95 * error
    return Measure(
        f"{first.name}_by_class",
        value,
        error,
        None if reach is None else value - reach,
        None if reach is None else value + reach,
        dict(first.convention) | {"classes": len(values), "weights": "equal"},
        {f"class_{c}": m.value for c, m in measures.items()} | {"worst": max(values)},
        tuple(dict.fromkeys(w for m in measures.values() for w in m.warnings)),
    )


def class_modes(*, probabilities: Array, classifier: str = "classifier") -> dict[str, Measure]:
    """Modes found and balance of samples that a classifier assigns to K modes.

    probabilities (n, K), or logits: each sample belongs to its largest. "modes" = how many hold a
    sample; "kl" = KL(share of each || 1 / K) in nats, whose floor is in its parts (`kl_floor`).

    Raises:
        ValueError: not (n, K), or values that are not finite.
    """
    scores = _matrix(probabilities, "probabilities")
    told = {"classifier": classifier, "assignment": "argmax"}
    return _mode_measures(scores.argmax(dim=1), scores.shape[1], told, classifier)


def stacked_modes(*, probabilities: Array, classifier: str = "classifier") -> dict[str, Measure]:
    """Modes and balance of images that stack three digits in their channels: 10^3 = 1,000 modes.

    probabilities (n, 3, 10) of the three channels, or logits; mode = 100 a + 10 b + c of the
    likeliest digits. The convention is 26,000 samples, of which a perfect sampler finds all modes
    and has KL (K - 1) / 2n = .0192; another n is warned about, for both numbers depend on it.

    Returns:
        "modes": how many modes hold a sample; "kl": KL(share of each mode || 1 / K) in nats, named
        stacked_modes_{classifier} and stacked_kl_{classifier}.

    Raises:
        ValueError: not (n, 3, K), or values that are not finite.

    Source: Metz et al., arXiv 1611.02163, section 3.3.1; Lin et al., arXiv 1712.04086, section 4.2.
    """
    scores = torch.as_tensor(probabilities).detach().cpu()
    if scores.dim() != 3 or scores.shape[1] != CHANNELS or not len(scores):
        raise ValueError(
            f"probabilities have shape {tuple(scores.shape)}: must be (n, {CHANNELS}, digits), one"
            " row of digit probabilities for each channel"
        )
    digits = scores.shape[2]
    best = _matrix(scores.reshape(-1, digits), "probabilities").argmax(dim=1).view(-1, CHANNELS)
    mode = (best * torch.tensor([digits**2, digits, 1])).sum(dim=1)
    told = {"classifier": classifier, "assignment": "argmax of each channel"}
    said: tuple[str, ...] = ()
    if len(mode) != STACKED_SAMPLES:
        said = (
            f"{len(mode)} samples: published numbers are of {STACKED_SAMPLES:,}, and both modes and"
            " kl depend on it",
        )
    return _mode_measures(mode, digits**CHANNELS, told, classifier, "stacked_", said)


def expected_modes(modes: int, n: int) -> float:
    """Modes that n samples of a perfect sampler of K equal modes are expected to hit."""
    return modes * -math.expm1(n * math.log1p(-1 / modes)) if modes > 1 else 1.0


def kl_floor(modes: int, n: int) -> tuple[float, float]:
    """Mean and standard deviation of KL(shares || 1 / K) of a perfect sampler, for n >> K.

    2 n KL is chi-squared with K - 1 degrees of freedom: (K - 1) / 2n and sqrt(2 (K - 1)) / 2n.
    """
    return (modes - 1) / (2 * n), math.sqrt(2 * (modes - 1)) / (2 * n)


def _mode_measures(
    mode: Tensor,
    modes: int,
    told: dict[str, Any],
    classifier: str,
    stem: str = "",
    said: tuple[str, ...] = (),
) -> dict[str, Measure]:
    """Measures of labels (n,) in 0..K-1, and what a perfect sampler would have."""
    n = len(mode)
    share = torch.bincount(mode, minlength=modes).double() / n
    held = share[share > 0]
    logs = (held * modes).log()
    kl = float((held * logs).sum())
    floor, spread = kl_floor(modes, n)
    # first-order variance, less the 2 spread^2 that chance alone puts in it, and the second-order
    # one, all that is left where shares are equal
    first = float((held * logs.square()).sum()) - kl * kl
    error = math.sqrt(max(0.0, first / n - 2 * spread**2) + spread**2)
    told = told | {"modes": modes, "n": n}
    found, expected = len(held), expected_modes(modes, n)
    near, few = said, said
    if kl < floor + 3 * spread:
        near += (
            f"kl {kl:.4f} is within the noise of a perfect sampler ({floor:.4f} +- {spread:.4f} for"
            f" {modes} modes and {n} samples): smaller is not better here",
        )
    if n < FEW * modes:
        few += (
            f"{n} samples of {modes} modes: a perfect sampler would miss"
            f" {modes - expected:.1f} of them; give at least {FEW * modes}",
        )
    kl_parts = {"floor": floor, "floor_spread": spread, "excess": kl - floor}
    modes_parts = {"expected": expected, "share": found / modes}
    return {
        "modes": Measure(
            f"{stem}modes_{classifier}",
            float(found),
            convention=told,
            parts=modes_parts,
            warnings=few,
        ),
        "kl": Measure(
            f"{stem}kl_{classifier}",
            kl,
            error,
            max(0.0, kl - NORMAL_95 * error),
            kl + NORMAL_95 * error,
            told | {"direction": "KL(fake || uniform)", "unit": "nats"},
            kl_parts,
            near + few[len(said) :],
        ),
    }


def _matrix(array: Array, name: str) -> Tensor:
    scores = torch.as_tensor(array).detach().cpu()
    if scores.dim() != 2 or not len(scores) or scores.shape[1] < 2:
        raise ValueError(
            f"{name} have shape {tuple(scores.shape)}: must be (n, K) with n >= 1 and K >= 2"
        )
    broken = (~torch.isfinite(scores)).any(dim=1).nonzero()
    if len(broken):
        raise ValueError(f"{name}: row {int(broken[0])} holds NaN or infinity; look at its image")
    return scores


def _labels(labels: Array, n: int, name: str) -> Tensor:
    result = torch.as_tensor(labels).detach().cpu()
    if result.shape != (n,) or result.is_floating_point() or n == 0:
        raise ValueError(
            f"{name} have shape {tuple(result.shape)} and type {result.dtype}: must be ({n},)"
            " integers, one for each sample"
        )
    return result.long()
