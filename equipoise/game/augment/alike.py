"""One augmentation for reals and fakes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

Augmentation = Callable[[Tensor, torch.Generator | None], Tensor]


def alike(
    augmentation: Augmentation,
    real: Tensor,
    fake: Tensor,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """(augmentation(real), augmentation(fake)) from one stream of draws, as one batch.

    Reals and fakes meet the same distribution of transforms, so a generator that matches the
    augmented data matches the data (where the transform is invertible in distribution); augmenting
    reals alone would make the generator learn the augmentation. Gradients flow to both.
    Karras et al. 2020 (ADA), section 2.2; Zhao et al. 2020, section 3.2.

    Raises:
        ValueError: the shapes differ beyond the batch.
    """
    if real.shape[1:] != fake.shape[1:]:
        raise ValueError(
            f"fake has shape {tuple(fake.shape)}, real {tuple(real.shape)}: all but the batch must"
            " agree; check the generator's output size"
        )
    both = augmentation(torch.cat([real, fake]), generator)
    return both[: len(real)], both[len(real) :]


class Augmented(nn.Module):
    """A discriminator that sees everything augmented: reals, fakes, and in both players' losses.

    Attributes:
        augmentation: (images, generator) -> images; replace it to change its strength.
        generator: what it draws from; None is torch's global generator. Set it, or its seed, before
            each update so that draws depend on (seed, images seen) alone.

    In evaluation mode images pass as they are. Example:

    >>> from equipoise.game import ada
    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(64, 1))
    >>> seen = Augmented(net, lambda x, rng: ada(x, 0.3, rng), torch.Generator().manual_seed(0))
    >>> seen(torch.zeros(5, 1, 8, 8)).shape
    torch.Size([5, 1])
    """

    def __init__(
        self,
        discriminator: nn.Module,
        augmentation: Augmentation,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.discriminator, self.augmentation = discriminator, augmentation
        self.generator = generator

    def forward(self, images: Tensor) -> Tensor:
        if self.training:
            images = self.augmentation(images, self.generator)
        return self.discriminator(images)
