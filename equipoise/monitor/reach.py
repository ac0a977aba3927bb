"""What reaches what: gradients the generator, latents and labels the outputs."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from equipoise.monitor.anatomy import listening
from equipoise.monitor.ways import Way, first_tensor, like, start_over, tensors

NUDGE = 0.1  # standard deviation of what is added to weights
SAME = 1e-6  # difference, of the largest value, up to which outputs are the same (rounding)


@torch.no_grad()
def nudged(module: nn.Module) -> None:
    """Move every weight by N(0, `NUDGE`^2), so that no zero at the start hides what lies behind."""
    for parameter in module.parameters():
        start_over(parameter.device)
        if parameter.dtype.is_floating_point:
            parameter.add_(torch.randn_like(parameter), alpha=NUDGE)


def gradient_reach(makes: Way, judges: Way) -> float | None:
    """Share of the generator's tensors with a gradient other than 0 of the logits of its fakes.

    The logits are weighed at random: through batch normalization and a linear head the gradient of
    their plain sum is 0 (see `game.penalties`). None where the pass does not work.
    """
    weights = list(makes.module.parameters())
    try:
        fake = first_tensor(makes())
        parts = [] if fake is None else list(tensors(judges.on(like(judges.module, fake))()))
        found = [t for t in parts if t.dtype.is_floating_point and t.requires_grad]
        if not weights or fake is None:
            return None
        if not found:
            return 0.0
        total = sum((t * torch.randn_like(t)).sum() for t in found)
        gradients = torch.autograd.grad(total, weights, allow_unused=True)  # type: ignore[arg-type]  # no int: `found` holds some
    except RuntimeError:
        return None
    live = [g is not None and bool((g != 0).any()) for g in gradients]
    return sum(live) / len(live)


def varies(makes: Way) -> bool | None:
    """Whether samples of different latents under one label differ."""
    labels = makes.inputs[-1]
    one_label = makes.labelled_as(labels[:1].expand_as(labels)) if makes.labelled else makes
    output = _output(one_label)
    return None if output is None else not _same(output, output[:1].expand_as(output))


def label_matters(way: Way) -> bool | None:
    """Whether other labels give another output."""
    other = _other(way.inputs[-1])
    before, after = _output(way), _output(way.labelled_as(other))
    if before is None or after is None or torch.equal(other, way.inputs[-1]):
        return None
    return not _same(before, after)


def deaf_layers(way: Way) -> list[str]:
    """Layers that are given the labels and give the same output for others."""
    labels, other = way.inputs[-1], _other(way.inputs[-1])
    with torch.no_grad(), listening(way.module) as calls:
        way()
    deaf = []
    for call in calls.made:
        places = [i for i, value in enumerate(call.inputs) if value is labels]
        if not call.name or not places or len(call.inputs) == 0:
            continue
        swapped = [other if i in places else value for i, value in enumerate(call.inputs)]
        before = _output(Way(call.module, call.inputs))
        after = _output(Way(call.module, tuple(swapped)))
        if before is not None and after is not None and _same(before, after):
            deaf.append(call.name)
    return deaf


def _other(labels: Tensor) -> Tensor:
    """Labels that differ from these, none larger than the largest: each its neighbour's."""
    if labels.dtype.is_floating_point or labels.dim() > 1:
        return labels.roll(1, dims=0)
    highest = int(labels.max())
    return (labels + 1) % (highest + 1) if highest > 0 else labels


def _output(way: Way) -> Tensor | None:
    try:
        with torch.no_grad():
            found: Any = first_tensor(way())
    except Exception:  # the layer may need more than its positional inputs
        return None
    return None if found is None else found.double()


def _same(a: Tensor, b: Tensor) -> bool:
    scale = float(torch.cat([a.flatten(), b.flatten()]).abs().max())
    return float((a - b).abs().max()) <= SAME * scale
