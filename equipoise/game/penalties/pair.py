"""What penalties look at: the images and logits of one update, and slopes by the images."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from equipoise.game.logits import Logits, halves, listed, mean_of

if TYPE_CHECKING:
    from equipoise.game.penalties.lecam import LeCamState

Discriminator = Callable[[Tensor], Logits]


@dataclass(frozen=True)
class Setting:
    """What penalties need beside the images; each penalty says what it needs.

    Attributes:
        noise: where interpolations and directions are drawn from; None: torch's own generator.
        per_patch: slopes of the mean over a sample's patches, not of their sum. With P patches of
            like slope the sum's squared slope is P^2 as large (P if they see different pixels), so
            a gamma found for one logit means nothing for a patch discriminator without this.
        per_pixel: squared slopes times the number of pixels H W: the slope by the picture as a
            function on the unit square. A picture enlarged k times, seen through the enlargement,
            has 1 / k^2 of the squared slope by pixels, and the same slope by the unit square; the
            usual gamma proportional to H W (StyleGAN2-ADA: 0.0002 H W / batch) does just that.
            (N, d) data have no pixels and are left as they are. The mean square over C H W
            that some codes use is this / (C (H W)^2).
        augment: T, images -> images, drawn anew in each call; for consistency.
        nearby: G(z + dz), fakes from latents close to those of the fakes; for zCR.
        lecam: the anchors of LeCam.
    """

    noise: torch.Generator | None = None
    per_patch: bool = False
    per_pixel: bool = False
    augment: Callable[[Tensor], Tensor] | None = None
    nearby: Tensor | None = None
    lecam: LeCamState | None = None


PLAIN = Setting()


@contextlib.contextmanager
def single_precision(*images: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Autocast off inside, and the images in float32 where it was on.

    A slope in bfloat16 has three digits, and in float16 a squared one leaves the range.
    """
    device = images[0].device.type
    if not torch.is_autocast_enabled(device):
        yield images
        return
    with torch.autocast(device, enabled=False):
        yield tuple(x if x.dtype == torch.float64 else x.float() for x in images)


def score(logits: Tensor, per_patch: bool = False) -> Tensor:
    """One number for each sample: the sum over its patches, or their mean. (N, ...) -> (N,)."""
    flat = logits.flatten(1) if logits.dim() > 1 else logits[:, None]
    return flat.mean(1) if per_patch else flat.sum(1)


def _total(logits: Tensor, setting: Setting) -> Tensor:
    """The scores of all samples, summed."""
    return score(logits, True).sum() if setting.per_patch else logits.sum()


@dataclass
class Pair:
    """Real and fake images (N, ...) with the logits that the discriminator gave them.

    Images must require gradients where a penalty differentiates by them, and the batch must not be
    coupled (batch normalization): d sum_i D(x_i) / d x_j is then sample j's own gradient. Input
    gradients are computed once, however many penalties ask for them.
    """

    discriminator: Discriminator
    real: Tensor
    fake: Tensor
    real_logits: Logits
    fake_logits: Logits
    setting: Setting = PLAIN
    _gradients: dict[tuple[str, int], Tensor] = field(default_factory=dict)

    @property
    def discriminators(self) -> int:
        """How many discriminators spoke."""
        return len(listed(self.real_logits))

    def gradient(self, side: str, which: int = 0) -> Tensor:
        """dD/dx at "real" or "fake" images, shape as the images, itself differentiable.

        `which` counts discriminators, where there are several.
        """
        if (side, which) not in self._gradients:
            wanted = [s for s in ("real", "fake") if getattr(self, s).requires_grad]
            if side not in wanted:
                raise ValueError(
                    f"{side}.requires_grad = False: a gradient penalty differentiates by these"
                    f" images; call {side}.requires_grad_() before the discriminator sees them"
                )
            real, fake = listed(self.real_logits)[which], listed(self.fake_logits)[which]
            images = [getattr(self, s) for s in wanted]
            found = torch.autograd.grad(
                _total(real, self.setting) + _total(fake, self.setting), images, create_graph=True
            )
            self._gradients.update({(s, which): g for s, g in zip(wanted, found, strict=True)})
        return self._gradients[side, which]

    def need(self, name: str) -> Any:
        """What the setting holds under `name`.

        Raises:
            ValueError: nothing.
        """
        found = getattr(self.setting, name)
        if found is None:
            raise ValueError(
                f"setting.{name} = None: an active penalty needs it; pass Setting({name}=...), or"
                " set the penalty's weight to 0"
            )
        return found


def scored(
    discriminator: Discriminator,
    real: Tensor,
    fake: Tensor,
    sides: Collection[str] = (),
    joint: bool = True,
    setting: Setting = PLAIN,
) -> Pair:
    """The pair of a batch, both halves in one pass or one pass each, cut off from the generator.

    Args:
        sides: which of "real", "fake" take gradients.
        joint: one pass over both halves; see `discriminator_loss`.
    """
    real = real.detach().requires_grad_("real" in sides)
    fake = fake.detach().requires_grad_("fake" in sides)
    if joint:
        real_logits, fake_logits = halves(discriminator(torch.cat([real, fake])))
    else:
        real_logits, fake_logits = discriminator(real), discriminator(fake)
    return Pair(discriminator, real, fake, real_logits, fake_logits, setting)


def squared_norm(gradient: Tensor) -> Tensor:
    """||gradient_i||^2 of each sample, in float32 at least: (N, ...) -> (N,)."""
    return _wide(gradient).flatten(1).square().sum(1)


def norm(gradient: Tensor) -> Tensor:
    """||gradient_i|| of each sample, with slope 0 where it is 0: (N, ...) -> (N,)."""
    return torch.linalg.vector_norm(_wide(gradient).flatten(1), dim=1)


def _wide(gradient: Tensor) -> Tensor:
    return gradient if gradient.dtype == torch.float64 else gradient.float()


def by_pixels(squares: Tensor, images: Tensor, setting: Setting) -> Tensor:
    """Squared slopes, times H W of images (N, C, H, W) where `per_pixel` is on."""
    return squares * math.prod(images.shape[2:]) if setting.per_pixel else squares


def input_gradients(
    discriminator: Discriminator, images: Tensor, setting: Setting = PLAIN
) -> list[Tensor]:
    """dD/dx at any images, in float32 under autocast: one for each discriminator, differentiable.

    The same terms hold as for `Pair`: samples must be treated apart.
    """
    with single_precision(images) as (wide,):
        x = wide.detach().requires_grad_()
        return [
            torch.autograd.grad(_total(logits, setting), x, create_graph=True)[0]
            for logits in listed(discriminator(x))
        ]


def over_gradients(function: Callable[[Tensor], Tensor], gradients: list[Tensor]) -> Tensor:
    """The mean over discriminators of `function` of the gradient: (N,)."""
    return mean_of([function(gradient) for gradient in gradients])
