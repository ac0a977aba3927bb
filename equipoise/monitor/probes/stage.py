"""Networks played with weights and buffers of one's own: nothing of the modules is touched."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.func import functional_call

from equipoise.monitor.probes.quiet import restored
from equipoise.monitor.probes.scene import Network, Scene

MOST_SAMPLES = 64  # a probe's batch

T = TypeVar("T")


class _Together(nn.Module):
    """Several modules under one roof, so that all their tensors are swapped at once."""

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(modules)

    def forward(self, work: Callable[[], T]) -> T:
        return work()


class Stage:
    """The networks of a scene, called with leaves of our own in place of parameters.

    Gradients by these leaves reach no `.grad` and no hook of a parameter; buffers are copies, so
    that running statistics and power iterations move nothing. A tensor that two players share
    belongs to the first.
    """

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.device = scene.device
        networks = scene.networks
        self._together = _Together([network.module for network in networks.values()])
        self._state: dict[str, Tensor] = {
            name: buffer.detach().clone() for name, buffer in self._together.named_buffers()
        }
        self.names: dict[str, list[str]] = {player: [] for player in networks}
        learning = [_learning(network) for network in networks.values()]
        for name, parameter in self._together.named_parameters():
            _, index, own = name.split(".", 2)
            leaf = parameter.detach()
            if own in learning[int(index)] and leaf.is_floating_point():
                self.names[list(networks)[int(index)]].append(name)
                leaf.requires_grad_()
            self._state[name] = leaf

    def weights(self, player: str) -> list[Tensor]:
        """The leaves of a player's learning parameters, in the module's order."""
        return [self._state[name] for name in self.names[player]]

    def put(self, player: str, weights: Sequence[Tensor]) -> None:
        """Play on with other weights, in the order of `weights`; new leaves are made of them."""
        for name, weight in zip(self.names[player], weights, strict=True):
            self._state[name] = weight.detach().requires_grad_()

    def within(self, work: Callable[[], T]) -> T:
        """`work()` while the modules hold our tensors."""
        return functional_call(self._together, self._state, (work,))

    def take(self, batch: Tensor, most: int = MOST_SAMPLES, start: int = 0) -> Tensor:
        """Samples of a batch from `start` up to `most`, on the stage's device."""
        return batch.detach()[start:most].to(self.device)

    def labels(self, stop: int, start: int = 0) -> Tensor | None:
        """The scene's labels from `start` up to `stop`; None where there are none."""
        labels = self.scene.labels
        return None if labels is None else self.take(labels, stop, start)

    def generate(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """The first generator's samples, with graph."""
        network = next(iter(self.scene.generators.values()))
        return _first(self._called(network, latents, labels))

    def fakes(self, most: int = MOST_SAMPLES, start: int = 0) -> Tensor:
        """Samples from the fixed latents, under the fixed labels, with graph."""
        assert self.scene.latents is not None
        latents = self.take(self.scene.latents, most, start)
        return self.generate(latents, self.labels(start + len(latents), start))

    def pair(
        self, most: int = MOST_SAMPLES, start: int = 0
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """As many reals as fakes, and their labels; fakes with graph."""
        scene = self.scene
        assert scene.reals is not None
        assert scene.latents is not None
        stop = min(len(scene.reals), len(scene.latents), most)
        return (
            self.take(scene.reals, stop, start),
            self.fakes(stop, start),
            self.labels(stop, start),
        )

    def discriminate(
        self, samples: Tensor, labels: Tensor | None = None, player: str | None = None
    ) -> list[Tensor]:
        """Logits with graph, one tensor for each discriminator or head, in float32 at least.

        `player` alone speaks where it is given.
        """
        asked = self.scene.discriminators
        found = []
        for network in asked.values() if player is None else [asked[player]]:
            found += logit_list(self._called(network, samples, labels))
        return found

    def scores(self, samples: Tensor, labels: Tensor | None = None) -> Tensor:
        """One logit for each sample: the mean over its patches and over discriminators. (N,)."""
        found = self.discriminate(samples, labels)
        return torch.stack([one.reshape(len(samples), -1).mean(1) for one in found]).mean(0)

    def _called(self, network: Network, x: Tensor, labels: Tensor | None) -> Any:
        arguments, keywords = network.given(labels)
        target = network.call or network.module
        return self.within(lambda: target(x, *arguments, **keywords))


def _learning(network: Network) -> set[str]:
    """Names of the parameters that learn. A player frozen as a whole keeps all of them."""
    if network.learns is not None:
        return set(network.learns)
    named = dict(network.module.named_parameters(remove_duplicate=False))
    return {name for name, p in named.items() if p.requires_grad} or set(named)


@contextlib.contextmanager
def staged(scene: Scene, training: bool | None = None) -> Iterator[Stage]:
    """A stage on which all is put back afterwards; `training` sets the mode, None leaves it.

    The mode is set as an attribute: `module.eval()` may be overridden to merge weights.
    """
    modules = [network.module for network in scene.networks.values()]
    with restored(modules, scene.device):
        if training is not None:
            for module in modules:
                for part in module.modules():
                    part.training = training
        yield Stage(scene)


def logit_list(output: Any) -> list[Tensor]:
    """Logits in any of the shapes that discriminators return, with graph.

    A list or mapping holds several discriminators; of a tuple (logits, features) the first counts.

    Raises:
        TypeError: something else.
    """
    if isinstance(output, Tensor):
        return [output if output.dtype == torch.float64 else output.float()]
    if isinstance(output, tuple) and output:
        return logit_list(output[0])
    if isinstance(output, list | Mapping) and output:
        parts = output.values() if isinstance(output, Mapping) else output
        return [one for part in parts for one in logit_list(part)]
    raise TypeError(
        f"the discriminator gave {type(output).__name__}: a tensor, a list or mapping of tensors,"
        " or (logits, features) is understood; pass discriminate= otherwise"
    )


def _first(output: Any) -> Tensor:
    while isinstance(output, tuple | list) and output:
        output = output[0]
    if not isinstance(output, Tensor):
        raise TypeError(
            f"the generator gave {type(output).__name__}: a tensor, or a tuple that begins with"
            " one, is understood; pass generate= otherwise"
        )
    return output
