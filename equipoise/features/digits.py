"""A small classifier of 8 x 8 digits whose 32 penultimate values serve as features.

Trained by `scripts/train_digit_classifier.py` on four fifths of scikit-learn's digits. Numbers
computed from it are named `digits_cnn`: they are not FID and compare with nothing else.
"""

from __future__ import annotations

import functools
import hashlib
from importlib import resources

import torch
from torch import Tensor, nn

from equipoise import errors

FEATURES = 32
WEIGHTS = "weights/digits_cnn.safetensors"
SHA256 = "fc275549e08530666c8afd8d2a3ac2be9f0d8c76299098527a66204f5de57581"
CHUNK = 1024  # images per pass


class DigitClassifier(nn.Module):
    """Images (N, 1, 8, 8) in [-1, 1] -> logits (N, 10).

    `features` gives the 32 values before the last layer, each standardized over the training
    digits (running statistics of a batch normalization without affine part), so that none
    outweighs another in a distance.
    """

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(256, FEATURES),
            nn.BatchNorm1d(FEATURES, affine=False),
        )
        self.head = nn.Sequential(nn.ReLU(), nn.Linear(FEATURES, 10))

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features(images))
        return logits


@functools.cache
def digit_classifier() -> DigitClassifier:
    """The trained classifier: on the CPU, in eval mode, frozen; one and the same per process.

    Raises:
        MissingExtraError: safetensors is not installed.
        RecordError: the weights file is absent or not the one that this version ships.
    """
    try:
        from safetensors.torch import load
    except ImportError as error:
        raise errors.need("safetensors", "train") from error
    classifier = DigitClassifier()
    classifier.load_state_dict(load(_weights()))
    return classifier.eval().requires_grad_(False)


def digit_features(images: Tensor) -> Tensor:
    """Standardized features of digits (N, 1, 8, 8) in [-1, 1]: float32 (N, 32), no gradient.

    Raises:
        ValueError: another shape.
    """
    return _chunked(digit_classifier().features, images)


def digit_probabilities(images: Tensor) -> Tensor:
    """Probabilities of the ten classes for digits (N, 1, 8, 8) in [-1, 1]: float32 (N, 10).

    Raises:
        ValueError: another shape.
    """
    return _chunked(digit_classifier(), images).softmax(dim=1)


def _chunked(module: nn.Module, images: Tensor) -> Tensor:
    if images.dim() != 4 or tuple(images.shape[1:]) != (1, 8, 8) or len(images) == 0:
        raise ValueError(
            f"images has shape {tuple(images.shape)}: the digit classifier reads (N, 1, 8, 8) with"
            " N >= 1 in [-1, 1]; for other images use the 'pixels' features"
        )
    with torch.no_grad():
        chunks = torch.split(images.detach().to("cpu", torch.float32), CHUNK)
        return torch.cat([module(chunk) for chunk in chunks])


def _weights() -> bytes:
    try:
        data = (resources.files("equipoise.features") / WEIGHTS).read_bytes()
    except OSError as error:
        raise errors.RecordError(
            f"cannot read the digit classifier's {WEIGHTS} ({error.strerror}); reinstall equipoise"
        ) from error
    found = hashlib.sha256(data).hexdigest()
    if found != SHA256:
        raise errors.RecordError(
            f"the digit classifier's {WEIGHTS} has sha256 {found[:16]}..., expected"
            f" {SHA256[:16]}...; reinstall equipoise"
        )
    return data
