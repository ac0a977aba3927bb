"""What the probes look at: the networks, how they are called, and fixed batches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from equipoise.errors import unknown
from equipoise.game import OBJECTIVES, PENALTIES

SMALLEST_IMAGE = 16  # pixels: below, spectra of images hold too few frequencies
MOST_PARAMETERS = 1 << 24  # beyond, probes that hold several copies of the weights stay away


@dataclass(frozen=True)
class Network:
    """One network and how the loop calls it.

    Attributes:
        module: the bare module.
        arguments, keywords: of a real call, behind the first argument; handed on as they are.
        condition: where the labels go: the position in `arguments` (0 is right behind the input) or
            the name in `keywords`, in place of what a captured call had there; None: no labels.
        call: stands for the module: of (input, *arguments, **keywords). It must play `module`.
        learns: names of the parameters that the player's optimizer holds; None: those that require
            gradients, all where none does.
    """

    module: nn.Module
    arguments: tuple[Any, ...] = ()
    keywords: Mapping[str, Any] = field(default_factory=dict)
    condition: int | str | None = None
    call: Callable[..., Any] | None = None
    learns: frozenset[str] | None = None

    def given(self, labels: Tensor | None) -> tuple[list[Any], dict[str, Any]]:
        """Arguments and keywords of a call under `labels`."""
        arguments, keywords = list(self.arguments), dict(self.keywords)
        if labels is None or self.condition is None:
            return arguments, keywords
        if isinstance(self.condition, str):
            keywords[self.condition] = labels
        else:
            arguments[self.condition : self.condition + 1] = [labels]
        return arguments, keywords


class Past(NamedTuple):
    """Fakes of an earlier generator, and how the discriminator of that time judged them.

    accuracy: share of the fakes (N, ...) that it placed on the fakes' side, in [0, 1].
    """

    fakes: Tensor
    labels: Tensor | None
    accuracy: float


@dataclass(frozen=True)
class Scene:
    """Everything that a probe may need; what is None is not known, and probes that need it wait.

    Attributes:
        generators, discriminators: by player's name. The first generator makes the fakes; all
            discriminators judge them, and each may give one tensor of logits or several.
        latents: (N, ...), what the first generator is called with.
        reals: (N, ...) samples that are trained on; the first serve as a batch, all of them as the
            data to which fakes are compared.
        labels: (N, ...), of reals and fakes alike: fake i is made under label i.
        held_out, held_out_labels: reals never trained on.
        objective: a name of `OBJECTIVES`.
        gammas: weight of each penalty of the discriminator's loss by name of `PENALTIES`; those
            that need more than images cannot be played here.
        learning_rates: by player, for inner steps.
        past: fakes of earlier; None: the probe keeps its own from run to run.
        memory: what probes keep from one run to the next.

    Raises:
        ValueError: an unknown objective or penalty, or a penalty that needs more than images.
    """

    generators: Mapping[str, Network] = field(default_factory=dict)
    discriminators: Mapping[str, Network] = field(default_factory=dict)
    latents: Tensor | None = None
    reals: Tensor | None = None
    labels: Tensor | None = None
    held_out: Tensor | None = None
    held_out_labels: Tensor | None = None
    objective: str | None = None
    gammas: Mapping[str, float] = field(default_factory=dict)
    learning_rates: Mapping[str, float] = field(default_factory=dict)
    past: Past | None = None
    memory: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.objective is not None and self.objective not in OBJECTIVES:
            raise ValueError(unknown("objective", self.objective, OBJECTIVES))
        for name, gamma in self.gammas.items():
            if name not in PENALTIES:
                raise ValueError(unknown("penalty", name, PENALTIES))
            if gamma and PENALTIES[name].needs:
                raise ValueError(
                    f"gammas[{name!r}] = {gamma!r}: it needs {', '.join(PENALTIES[name].needs)},"
                    " which probes do not have; leave it out"
                )

    @property
    def networks(self) -> dict[str, Network]:
        """All players, generators first."""
        return {**self.generators, **self.discriminators}

    @property
    def device(self) -> torch.device:
        """Where the first network's parameters are; without any, where the reals are."""
        for network in self.networks.values():
            for tensor in network.module.parameters():
                return tensor.device
        return self.reals.device if self.reals is not None else torch.device("cpu")

    @property
    def has(self) -> frozenset[str]:
        """What is known, in the words of a probe's `needs`."""
        parameters = sum(p.numel() for n in self.networks.values() for p in n.module.parameters())
        known = {
            "players": bool(self.networks),
            "generator": bool(self.generators) and self.latents is not None,
            "discriminator": bool(self.discriminators) and self.reals is not None,
            "latents": self.latents is not None and self.latents.is_floating_point(),
            "reals": self.reals is not None,
            "images": self.reals is not None
            and self.reals.dim() == 4
            and min(self.reals.shape[2:]) >= SMALLEST_IMAGE,
            "labels": self.labels is not None
            and any(n.condition is not None for n in self.networks.values()),
            "held_out": self.held_out is not None,
            "objective": self.objective is not None,
            "size": parameters <= MOST_PARAMETERS,
        }
        return frozenset(name for name, yes in known.items() if yes)
