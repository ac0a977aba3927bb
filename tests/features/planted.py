"""Weights drawn by tensor name, so that any module of the same layout gets the same ones."""

import hashlib
import zlib

import numpy as np
import torch


def planted(shapes):
    """A state dict for names -> shapes: the same tensor for the same name and shape, anywhere."""
    return {name: _drawn(name, tuple(shape)) for name, shape in shapes.items()}


def shapes_of(module):
    return {name: tuple(value.shape) for name, value in module.state_dict().items()}


def layout(shapes):
    """sha256 over sorted names and shapes, counters left out: one number per published layout."""
    kept = {k: tuple(v) for k, v in shapes.items() if not k.endswith("num_batches_tracked")}
    text = "\n".join(f"{name} {kept[name]}" for name in sorted(kept))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def picture(size, count=2):
    """Images of uint8 (count, 3, size, size) by a formula: waves, no two pixels quite alike."""
    grid = np.arange(size)
    waves = [
        np.sin(0.31 * (k + 1) * grid)[:, None] + np.cos(0.17 * (k + 2) * grid)[None, :]
        for k in range(3 * count)
    ]
    levels = np.round(63 * np.stack(waves) + 128).clip(0, 255).astype(np.uint8)
    return torch.from_numpy(levels.reshape(count, 3, size, size))


def _drawn(name, shape):
    draw = np.random.RandomState(zlib.crc32(name.encode()))
    if name.endswith("num_batches_tracked"):
        return torch.tensor(0)
    if name.endswith(("running_var", "bn.weight")):
        values = draw.uniform(0.8, 1.4, shape)
    elif len(shape) > 1:
        values = draw.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
    elif name.endswith(("gamma", "lambda1", "norm.weight", "norm1.weight", "ln_1.weight")):
        values = draw.uniform(0.5, 1.5, shape)
    else:
        values = draw.standard_normal(shape) * 0.1
    return torch.from_numpy(np.asarray(values)).float()
