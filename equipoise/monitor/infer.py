"""Which objective a loop uses, told from its loss and logits."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from equipoise.game import OBJECTIVES

CLOSE = 0.005  # relative; the loop's own rounding in bfloat16 stays under it
SCALES = (1.0, 0.5)  # the halved convention is tried too
AGREE = 3  # readings in a row that must tell the same: a penalty can hit another by chance
# Minimax and non-saturating differ in the generator's loss alone: the first of such is told.
_FIRST = {found.discriminator: name for name, found in reversed(OBJECTIVES.items())}
TOLD = {name: OBJECTIVES[name] for name in OBJECTIVES if name in _FIRST.values()}
TRIES = 30  # readings after which the question rests; each try waits for the device once


@dataclass(frozen=True)
class Guess:
    """An objective, the factor that the loop puts before it, and how it was told."""

    name: str | None
    how: str
    scale: float = 1.0


NO_LOSS = Guess(None, "not told: pass objective= or losses= with the discriminator's loss")
NO_FIT = Guess(
    None,
    "not told: the discriminator's loss fits no known objective (a penalty in it?);"
    " pass objective=",
)


def inferred_objective(real: Tensor, fake: Tensor, loss: Tensor | float | None) -> Guess:
    """The one objective whose loss on these logits is the loop's own, to within `CLOSE`.

    A penalty added to the loss hides it. While the logits are near 0 several fit (half the
    non-saturating loss is the relativistic one at chance): then none is told.
    """
    if loss is None:
        return NO_LOSS
    given = float(loss.detach().float().mean() if isinstance(loss, Tensor) else loss)
    if not math.isfinite(given):
        return Guess(None, "not told: the discriminator's loss is not finite")
    fits = [(name, s) for name, s, value in _values(real, fake) if _near(given, value)]
    if not fits:
        return NO_FIT
    if len(fits) > 1:
        names = ", ".join(f"{s:g} x {name}" for name, s in fits)
        return Guess(None, f"not told: several objectives fit ({names}); pass objective=")
    name, scale = fits[0]
    return Guess(name, f"inferred: the discriminator's loss is {scale:g} x this objective's", scale)


def _values(real: Tensor, fake: Tensor) -> list[tuple[str, float, float]]:
    count = min(len(real), len(fake))
    pair = real[:count], fake[:count]
    losses = torch.stack([TOLD[name].discriminator(*pair).mean() for name in TOLD]).tolist()
    return [(n, s, s * value) for n, value in zip(TOLD, losses, strict=True) for s in SCALES]


def _near(given: float, value: float) -> bool:
    return abs(given - value) <= CLOSE * max(abs(value), 1e-6)


class Inference:
    """Asks reading by reading until `AGREE` in a row told the same, or `TRIES` told nothing."""

    def __init__(self) -> None:
        self.told = Guess(None, NO_LOSS.how)
        self._last: tuple[str, float] | None = None
        self._agreed = 0
        self._tries = 0

    @property
    def over(self) -> bool:
        """Whether nothing more is asked."""
        return self.told.name is not None or self._tries >= TRIES

    def ask(self, real: Tensor, fake: Tensor, loss: Tensor | float | None) -> bool:
        """Try once more; whether `told` changed."""
        guess = inferred_objective(real, fake, loss)
        self._tries += loss is not None
        found = (guess.name, guess.scale) if guess.name is not None else None
        self._agreed = self._agreed + 1 if found is not None and found == self._last else 1
        self._last = found
        if found is not None and self._agreed < AGREE:
            return False
        changed = guess != self.told
        self.told = guess
        return changed
