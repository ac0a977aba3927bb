"""Randomness by position: one generator per purpose, a function of (seed, purpose, images seen)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor


def generator_for(seed: int, purpose: str, images_seen: int) -> torch.Generator:
    """A CPU generator whose stream depends on (seed, purpose, images_seen) alone.

    Its seed is the 64-bit blake2b digest of the triple. PyTorch's CPU engine keeps the low 32 bits,
    so among n triples about n^2 / 2^33 pairs share a stream: such a pair repeats one draw, no more.

    >>> a, b = generator_for(0, "z", 64), generator_for(0, "z", 64)
    >>> bool((torch.randn(3, generator=a) == torch.randn(3, generator=b)).all())
    True
    """
    triple = f"{seed}:{images_seen}:{purpose}".encode()  # the purpose last: the key is unambiguous
    digest = hashlib.blake2b(triple, digest_size=8).digest()
    generator = torch.Generator()
    generator.manual_seed(int.from_bytes(digest, "little"))
    return generator


def normal(seed: int, purpose: str, images_seen: int, shape: Sequence[int]) -> Tensor:
    """N(0, 1) noise, float32 of `shape`, from `generator_for(seed, purpose, images_seen)`."""
    return torch.randn(tuple(shape), generator=generator_for(seed, purpose, images_seen))
