"""Loss terms side by side: what each pulls with, where they meet, before the loop's backward."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from equipoise.game import adversarial_share
from equipoise.monitor.governor import Governor
from equipoise.monitor.readings import total_norm

MOST_SIGNS = 1 << 18  # entries whose signs are compared; an even selection of more
SAME = 1e-6  # relative distance at which two weights are one: below float32's rounding of a mean
# eps of the adaptive weight in taming transformers and its heirs, ||g_rec|| / (||g_adv|| + eps).
EPSILON = 1e-4
PURSE = "terms"
OTHER, OURS = "reconstruction", "adversarial"

Sink = Callable[[str, Tensor | float], None]


class Terms:
    """Measures named loss terms on the iterations that the governor affords.

    It reads with `torch.autograd.grad` and keeps the graph, so `.grad` and the backward to come are
    as they were. It costs one partial backward for each term, from the term to `at`, and has a
    budget of its own. Whatever goes wrong turns it off alone, said once.
    """

    def __init__(self, governor: Governor, sink: Sink) -> None:
        self._governor, self._sink = governor, sink
        self._off = self._warm = False
        self._cost = 0.0  # seconds, the last time; 0 at first: that also loads kernels
        self._largest: Tensor | None = None

    def read(self, at: Any, terms: Mapping[str, Any], weight: Tensor | float | None) -> None:
        """Measure now if it is affordable; never raises."""
        if self._off or not torch.is_grad_enabled():
            return
        self._governor.open(PURSE)
        if not self._governor.affords(self._cost, PURSE):
            return
        began = time.perf_counter()
        try:
            self._measure(_places(at), terms, weight)
        except Exception as error:  # an error of ours or of the call's must not end a training run
            self._off = True
            print(
                f"equipoise: terms() is off, training and watching go on: {error}", file=sys.stderr
            )
        spent = time.perf_counter() - began
        self._cost, self._warm = spent if self._warm else 0.0, True
        self._governor.charge(spent, reading=False, purse=PURSE)

    def _measure(
        self, at: Sequence[Tensor], terms: Mapping[str, Any], weight: Tensor | float | None
    ) -> None:
        if not terms:
            raise ValueError("no terms: name at least one loss, such as reconstruction=loss")
        pulls = {name: pull(_scalar(name, loss), at) for name, loss in terms.items()}
        with torch.no_grad():
            norms = {name: total_norm(found) for name, found in pulls.items()}
            for name, norm in norms.items():
                self._sink(f"term_gradient/{name}", norm)
            if OTHER in pulls and OURS in pulls:
                self._compare(pulls, norms, 1.0 if weight is None else weight)
            if weight is not None:
                self._weigh(weight, norms.get(OURS))

    def _compare(
        self,
        pulls: Mapping[str, Sequence[Tensor]],
        norms: Mapping[str, Tensor],
        weight: Tensor | float,
    ) -> None:
        heavy = _size(weight)
        share = adversarial_share(heavy, norms[OTHER], norms[OURS])
        # 0 / 0 is a term that does nothing beside one that does nothing
        self._sink("adversarial_share", torch.where(norms[OURS] * heavy == 0, 0.0, share))
        for name, value in agreement(pulls[OTHER], pulls[OURS]).items():
            self._sink(name, value)

    def _weigh(self, weight: Tensor | float, norm: Tensor | None) -> None:
        """The weight, whether it stands where it never went beyond, and what epsilon has in it."""
        heavy = _size(weight)
        self._sink("adaptive_weight", heavy)
        if self._largest is not None:
            most = self._largest.to(heavy.device)
            same = (heavy - most).abs() <= SAME * most
            self._sink("adaptive_weight/at_largest", (same & (most > 0)).float())
            heavy = torch.maximum(heavy, most)
        self._largest = heavy
        if norm is not None:
            self._sink("adaptive_weight/epsilon_share", EPSILON / (norm + EPSILON))


def _size(weight: Tensor | float) -> Tensor:
    """|w| as a scalar tensor; a plain number stays with the host, so no device is waited for."""
    if isinstance(weight, Tensor):
        return weight.detach().float().mean().abs()
    return torch.tensor(abs(float(weight)))


def pull(loss: Tensor | float, at: Sequence[Tensor]) -> list[Tensor]:
    """d loss / d at for each tensor of `at`, float32 at least; 0 where the loss does not reach it.

    The graph is kept for the backward to come, and `.grad` is not touched.
    """
    found: Sequence[Tensor | None] = [None] * len(at)
    if isinstance(loss, Tensor) and loss.requires_grad:
        found = torch.autograd.grad(loss, at, retain_graph=True, allow_unused=True)
    whole = [torch.zeros_like(a) if g is None else g for g, a in zip(found, at, strict=True)]
    return [g.detach() if g.dtype == torch.float64 else g.detach().float() for g in whole]


def agreement(first: Sequence[Tensor], second: Sequence[Tensor]) -> dict[str, Tensor]:
    """Cosine of two gradients, and the share of entries in which their signs oppose.

    Entries in which either is 0 have no sign and do not count; both numbers are 0 where one
    gradient is 0 throughout.
    """
    home = first[0].device
    pairs = list(zip(first, second, strict=True))
    lengths = total_norm(list(first)) * total_norm(list(second))
    dots = [torch.dot(a.flatten(), b.flatten().to(a.dtype)).to(home) for a, b in pairs]
    cosine = torch.stack(dots).sum() / lengths.clamp_min(torch.finfo(torch.float32).tiny)
    agree = [_signs(a, len(pairs)) * _signs(b, len(pairs)) for a, b in pairs]
    signs = torch.cat([s.to(home) for s in agree])
    opposed = (signs < 0).sum() / (signs != 0).sum().clamp_min(1)
    return {"terms/cosine": cosine, "terms/opposed": opposed}


def _signs(gradient: Tensor, places: int) -> Tensor:
    flat = gradient.flatten()
    most = max(MOST_SIGNS // places, 64)
    return (flat[:: -(-len(flat) // most)] if len(flat) > most else flat).sign()


def _places(at: Any) -> list[Tensor]:
    """`at` as a list of tensors that take gradients.

    Raises:
        ValueError: none, or one that takes no gradients.
    """
    places = list(at) if isinstance(at, (list, tuple)) else [at]
    for place in places:
        if not isinstance(place, Tensor) or not place.requires_grad:
            kind = "has no gradient" if isinstance(place, Tensor) else type(place).__name__
            raise ValueError(
                f"at = {kind}: pass the output with its graph, or the weight of a trained layer,"
                " or a list of them"
            )
    if not places:
        raise ValueError("at = []: pass the output with its graph, or a trained layer's weight")
    return places


def _scalar(name: str, loss: Any) -> Tensor | float:
    """The loss, which must be one number.

    Raises:
        ValueError: it is not.
    """
    if isinstance(loss, Tensor) and loss.numel() == 1:
        return loss.reshape(())
    if isinstance(loss, (int, float)):
        return float(loss)
    shape = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
    raise ValueError(f"{name} = {shape}: a loss is one number; reduce it as the loop does")
