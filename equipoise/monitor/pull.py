"""The generator's gradient at its own samples, from a hook: no pass and no graph of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from torch import Tensor, nn

from equipoise.monitor.readings import pull_readings
from equipoise.monitor.tick import Read

Keep = Callable[[str, Sequence[Tensor], Read], None]


class Pull:
    """Reads d loss / d G(z) in the backward of the generator's step.

    A forward hook marks what the generator gives where it carries a graph; samples that are
    detached before the discriminator sees them never have a gradient, so the discriminator's phase
    leaves nothing. One reading for each backward while `wanted`.
    """

    def __init__(
        self,
        modules: Iterable[nn.Module],
        keep: Keep,
        timed: Callable[[Callable[[], None]], None],
    ) -> None:
        """`keep`: a `Tick`'s. `timed` runs a reading under the monitor's clock and error guard."""
        self.wanted = False
        self._keep, self._timed = keep, timed
        self._handles = [module.register_forward_hook(self._mark) for module in modules]

    def detach(self) -> None:
        """Remove the hooks; doing so twice does nothing."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def _mark(self, _: nn.Module, __: Any, output: Any) -> None:
        if self.wanted and isinstance(output, Tensor) and output.requires_grad:
            output.register_hook(self._arrived)

    def _arrived(self, gradient: Tensor) -> None:
        if self.wanted:
            self._timed(lambda: self._keep("pull", [gradient], _read))


def _read(tensors: Sequence[Tensor]) -> dict[str, Tensor]:
    return pull_readings(tensors[0])
