"""Facts about real samples: range, shape, repetitions, blanks, classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from equipoise.errors import DataError

IMAGES = ("image", "images", "real", "x", "pixel_values", "data")
LABELS = ("label", "labels", "y", "c", "class", "classes", "class_label", "class_labels", "target")
MOST = 50_000  # samples looked at for repetitions
FLAT = 1e-6  # spread of a blank image, of the range of all


def parted(batch: Any) -> tuple[Tensor, Tensor | None]:
    """Samples and labels of a batch as loaders give it.

    A tensor or array; (samples, labels, ...); a mapping with one of the usual names.

    Raises:
        DataError: no samples found in it, or fewer than 2.
    """
    samples, labels = batch, None
    if isinstance(batch, Mapping):
        samples = next((batch[k] for k in IMAGES if k in batch), None)
        labels = next((batch[k] for k in LABELS if k in batch), None)
    elif isinstance(batch, (list, tuple)):
        samples = batch[0] if batch else None
        labels = batch[1] if len(batch) > 1 else None
    found = _tensor(samples)
    if found is None or found.dim() < 2 or len(found) < 2:
        raise DataError(
            f"batch is {_named(batch)}: give one batch of real samples, a tensor (N, ...) with N >="
            " 2, (samples, labels), or a mapping with 'image' and 'label'; of a loader take"
            " next(iter(loader))"
        )
    known = _tensor(labels)
    return found, known if known is not None and len(known) == len(found) else None


def _tensor(value: Any) -> Tensor | None:
    if value is None or isinstance(value, (str, bytes, Mapping)):
        return None
    if isinstance(value, Tensor):
        return value.detach()
    try:
        return torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError):
        return None


def _named(batch: Any) -> str:
    shape = getattr(batch, "shape", None)
    return f"a {type(batch).__name__}" + (f" of shape {tuple(shape)}" if shape is not None else "")


def batch_facts(samples: Tensor) -> dict[str, Any]:
    """`real/`: shape, count, nonfinite (share), low, high, mean, std of the finite values."""
    values = samples.detach().double().flatten()
    finite = values[torch.isfinite(values)]
    facts: dict[str, Any] = {
        "real/shape": list(samples.shape[1:]),
        "real/count": len(samples),
        "real/nonfinite": (len(values) - len(finite)) / max(len(values), 1),
    }
    if len(finite):
        facts |= {
            "real/low": float(finite.min()),
            "real/high": float(finite.max()),
            "real/mean": float(finite.mean()),
            "real/std": float(finite.std()),
        }
    return facts


def data_facts(samples: Tensor, size: int | None = None) -> dict[str, Any]:
    """`data/`: how many there are, were examined, differ, are blank; the first `MOST` are examined.

    data/distinct: samples that differ bitwise, of data/examined. data/blank: images of one colour.
    """
    seen = samples.detach()[:MOST].cpu()
    rows = seen.flatten(1).contiguous().numpy()
    facts: dict[str, Any] = {
        "data/examined": len(seen),
        "data/distinct": len({row.tobytes() for row in rows}),
        "data/blank": _blank(seen) if seen.dim() > 2 else 0,
    }
    return facts if size is None else facts | {"data/size": size}


def _blank(samples: Tensor) -> int:
    values = samples.float().flatten(2)
    spread = values.amax(dim=2) - values.amin(dim=2)
    return int((spread <= FLAT * max(float(values.abs().max()), 1e-12)).all(dim=1).sum())


def class_facts(labels: Tensor) -> dict[str, Any]:
    """`classes/`: count of classes up to the highest label, samples, and the smallest class."""
    if labels.dtype.is_floating_point or labels.dim() != 1 or int(labels.min()) < 0:
        return {}
    counts = torch.bincount(labels.long().cpu())
    return {
        "classes/count": len(counts),
        "classes/samples": len(labels),
        "classes/seen": int((counts > 0).sum()),
        "classes/smallest": int(counts.min()),
        "classes/smallest_label": int(counts.argmin()),
    }
