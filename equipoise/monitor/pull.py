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
        self._wanted = self._detached = False
        self._keep, self._timed = keep, timed
        modules = list(modules)
        # what is compiled in place never sees a hook that comes after its first call
        compiled = [m for m in modules if getattr(m, "_compiled_call_impl", None) is not None]
        self._modules = [m for m in modules if m not in compiled]
        self._handles = [module.register_forward_hook(self._mark) for module in compiled]
        self._passing: list[Any] = []

    @property
    def wanted(self) -> bool:
        """Whether backwards are read.

        Forward hooks are there only then: with any, each call of a module takes microseconds more.
        """
        return self._wanted

    @wanted.setter
    def wanted(self, wanted: bool) -> None:
        if wanted and not (self._passing or self._detached):
            self._passing = [m.register_forward_hook(self._mark) for m in self._modules]
        elif not wanted and self._passing:
            self._remove(self._passing)
        self._wanted = wanted

    def detach(self) -> None:
        """Remove the hooks; doing so twice does nothing."""
        self._detached = True
        self._remove(self._handles)
        self._remove(self._passing)

    def _remove(self, handles: list[Any]) -> None:
        for handle in handles:
            handle.remove()
        handles.clear()

    def _mark(self, _: nn.Module, __: Any, output: Any) -> None:
        if self._wanted and isinstance(output, Tensor) and output.requires_grad:
            output.register_hook(self._arrived)

    def _arrived(self, gradient: Tensor) -> None:
        if self._wanted:
            self._timed(lambda: self._keep("pull", [gradient], _read))


def _read(tensors: Sequence[Tensor]) -> dict[str, Tensor]:
    return pull_readings(tensors[0])
