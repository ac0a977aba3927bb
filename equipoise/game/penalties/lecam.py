"""Penalties on the logits themselves: drift from 0, and LeCam's anchors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import relu

from equipoise.game.logits import Logits, listed, mean_of, over_discriminators, per_sample
from equipoise.game.penalties.pair import Pair


def squared_logits(logits: Logits) -> Tensor:
    """D(x)^2, mean over patches and discriminators: (N, ...) -> (N,), float32 at least."""
    return mean_of([per_sample(_wide(one).square()) for one in listed(logits)])


def _wide(logits: Tensor) -> Tensor:
    return logits if logits.dtype == torch.float64 else logits.float()


def drift(pair: Pair) -> Tensor:
    """D(x)^2 at the reals, so that scores stay near 0; weight eps = 0.001.

    Karras et al. 2018 (progressive growing), appendix A.1. Pointless under a relativistic
    objective, which does not see a common shift.
    """
    return squared_logits(pair.real_logits)


@dataclass(frozen=True)
class LeCamState:
    """Moving averages of the mean logits: LeCam's anchors.

    Attributes:
        real, fake: scalars, averages times (1 - decay^updates), so a young average is not biased
            towards 0 (read `anchors`).
        decay: of the old average at each update; 0.99 in the paper's code, 0.999 in tokenizers.
        updates: how many logits it has seen.
    """

    real: Tensor
    fake: Tensor
    decay: float = 0.99
    updates: int = 0

    def anchors(self) -> tuple[Tensor, Tensor]:
        """(alpha_R, alpha_F), the averages with the bias of their start taken out.

        Raises:
            ValueError: no logits were seen yet.
        """
        if self.updates == 0:
            raise ValueError(
                "updates = 0: LeCam has no anchors yet; call lecam_update with the first logits"
                " before the first penalty"
            )
        share = 1 - self.decay**self.updates
        return self.real / share, self.fake / share

    def to_dict(self) -> dict[str, float]:
        """Plain numbers for a checkpoint; waits for the device once."""
        return {
            "real": self.real.item(),
            "fake": self.fake.item(),
            "decay": self.decay,
            "updates": self.updates,
        }

    @classmethod
    def from_dict(cls, saved: Mapping[str, float], like: Tensor | None = None) -> LeCamState:
        """The state that `to_dict` saved, bit for bit, on the device of `like`."""
        device = None if like is None else like.device
        real, fake = (torch.tensor(saved[k], dtype=torch.float32, device=device) for k in SIDES)
        return cls(real, fake, float(saved["decay"]), int(saved["updates"]))


SIDES = ("real", "fake")


def lecam_state(decay: float = 0.99, like: Tensor | None = None) -> LeCamState:
    """A state that has seen nothing, on the device of `like`.

    Raises:
        ValueError: decay out of [0, 1).
    """
    if not 0 <= decay < 1:
        raise ValueError(f"decay = {decay!r}: a moving average keeps a share in [0, 1); try 0.99")
    zero = torch.zeros((), device=None if like is None else like.device)
    return LeCamState(zero, zero.clone(), decay)


@torch.no_grad()
def lecam_update(
    state: LeCamState,
    real: Logits,
    fake: Logits,
    reduce: Callable[[Tensor], Tensor] | None = None,
) -> LeCamState:
    """The state after one more pair of logits; nothing waits for the device.

    Args:
        reduce: (2,) -> (2,), the mean over processes of (mean real logit, mean fake logit).
    """
    means = torch.stack(
        [mean_of([x.float().mean() for x in listed(side)]) for side in (real, fake)]
    )
    if reduce is not None:
        means = reduce(means)
    keep = state.decay
    return LeCamState(
        keep * state.real + (1 - keep) * means[0],
        keep * state.fake + (1 - keep) * means[1],
        keep,
        state.updates + 1,
    )


@over_discriminators
def _distances(real: Tensor, fake: Tensor, high: Tensor, low: Tensor) -> Tensor:
    above = relu(_wide(real) - low.to(real.device)).square()
    below = relu(high.to(fake.device) - _wide(fake)).square()
    return per_sample(above) + per_sample(below)


def lecam(real: Logits, fake: Logits, state: LeCamState) -> Tensor:
    """max(0, D(x) - alpha_F)^2 + max(0, alpha_R - D(G(z)))^2: (N,), float32 at least.

    Pulls each side's logits to the other side's anchor; weight 0.001 to 0.05 in
    tokenizers. Tseng et al. 2021 (arXiv 2104.03310); the clamps at 0 are those of their code.
    Under a discriminator that nobody trains yet the anchors mean nothing: update from the start.

    Raises:
        ValueError: the state has seen nothing.
    """
    high, low = (anchor.float() for anchor in state.anchors())
    return _distances(real, fake, high, low)


def lecam_on(pair: Pair) -> Tensor:
    """max(0, D(x) - alpha_F)^2 + max(0, alpha_R - D(G(z)))^2; needs `Setting(lecam=state)`."""
    return lecam(pair.real_logits, pair.fake_logits, pair.need("lecam"))
