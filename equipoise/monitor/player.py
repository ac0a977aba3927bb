"""One player under watch: what its optimizer's own step hooks tell."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from equipoise.monitor.readings import certainty_reading, emptiness_readings, total_norm
from equipoise.monitor.tick import Tick
from equipoise.monitor.update import Update, fits

MOST_MOVED = 1 << 22  # numbers copied to measure movement; beyond, the first tensors stand for all


class Player:
    """Counts the updates of one player and, when asked, reads its gradients and movement.

    Gradients are read in the optimizer's pre-step hook: they are the ones that the update consumes,
    whatever phase they came from. Movement is read in the post-step hook. What a small player has
    is copied and read later, with other iterations' (`Update`); a large one is read on the spot.
    """

    def __init__(
        self,
        name: str,
        modules: Iterable[nn.Module],
        optimizer: torch.optim.Optimizer | None,
        tick: Tick,
        timed: Callable[[Callable[[], None]], None],
    ) -> None:
        """`timed` runs a reading under the monitor's clock and error guard."""
        self.name = name
        self.optimizer = optimizer
        self.wanted = False
        self._steps = 0
        self._skipped: Tensor | int = 0
        self._tick = tick
        self._sink = tick.add
        self._timed = timed
        self._parameters = _parameters(modules, optimizer)
        self._before: list[Tensor] = []
        self._update: Update | None = None
        self._handles: list[Any] = []
        if optimizer is not None:
            self._handles = [
                optimizer.register_step_pre_hook(self._pre_step),
                optimizer.register_step_post_hook(self._post_step),
            ]

    def detach(self) -> None:
        """Remove the hooks; doing so twice does nothing."""
        for handle in self._handles:
            handle.remove()
        self._handles, self._before, self._update = [], [], None

    @property
    def updates(self) -> int:
        """Updates so far; one that a gradient scaler skipped is none."""
        return self._steps - int(self._skipped)

    def count_from(self, updates: int) -> None:
        """Go on counting from `updates`."""
        self._steps, self._skipped = updates, 0

    @property
    def learning_rate(self) -> float | None:
        """Of the first parameter group."""
        if self.optimizer is None:
            return None
        return float(self.optimizer.param_groups[0]["lr"])

    def _pre_step(self, *_: Any) -> None:
        if self.wanted:
            self._timed(self._read_update)

    def _read_update(self) -> None:
        found = self._by_scaler("found_inf")
        if found is not None and bool(found):
            return  # the scaler skips this update: the next one is read instead
        gradients = self._gradients()
        moments = self._moments()
        flat = [*gradients, *self._parameters, *(t for m in moments for t in m)]
        if gradients and found is None and self._by_scaler("grad_scale") is None and fits(flat):
            self.wanted = False
            self._update = Update(self.name, gradients, self._parameters, moments, self._betas)
            self._update.begin(self.updates)
        else:
            self.read_gradients()
            self._before = [p.detach().clone() for p in self._moved()]

    def _post_step(self, *_: Any) -> None:
        self._steps += 1
        found = self._by_scaler("found_inf")
        if found is not None:
            self._skipped = self._skipped + (found.detach() > 0).long().sum()
        if self._update is not None:
            self._timed(self._end_update)
        elif self._before:
            self._timed(self._read_movement)

    def _end_update(self) -> None:
        update, self._update = self._update, None
        if update is not None:
            update.end(self._tick)

    def _by_scaler(self, name: str) -> Tensor | None:
        """What a gradient scaler lends a fused optimizer for one step; others never see a scale."""
        return getattr(self.optimizer, name, None)

    def read_gradients(self) -> None:
        """Norms of gradient and parameters, and whether the gradient is finite."""
        self.wanted = False
        gradients = self._gradients()
        if not self._parameters or (self.optimizer is None and not gradients):
            return  # untagged and already cleared: nothing is known, which is not a norm of 0
        parameters = [p.detach() for p in self._parameters]
        self._sink(f"parameter_norm/{self.name}", total_norm(parameters))
        norm = total_norm(gradients) if gradients else torch.zeros(())
        scale = self._by_scaler("grad_scale")
        if scale is not None:
            norm = norm / scale.to(norm.device)
        self._sink(f"gradient_norm/{self.name}", norm)
        self._sink(f"nonfinite/{self.name}", (~torch.isfinite(norm)).float())
        if gradients:
            self._read_entries(gradients)

    def _gradients(self) -> list[Tensor]:
        return [g for p in self._parameters if (g := p.grad) is not None]

    def _read_entries(self, gradients: list[Tensor]) -> None:
        found = emptiness_readings(gradients, self.name)
        if self._betas is not None:
            states = [{"exp_avg": m, "exp_avg_sq": v} for m, v in self._moments()]
            found |= certainty_reading(states, self._betas, self.updates, self.name)
        for name, value in found.items():
            self._sink(name, value)

    @property
    def _betas(self) -> tuple[float, float] | None:
        """Adam's, of the first parameter group."""
        return self.optimizer.param_groups[0].get("betas") if self.optimizer else None

    def _moments(self) -> list[tuple[Tensor, Tensor]]:
        """Adam's two averages of each parameter that has been stepped; without momentum, none."""
        if self.optimizer is None or self._betas is None or self._betas[0] == 0:
            return []
        states = [self.optimizer.state.get(p, {}) for p in self._parameters]
        return [(s["exp_avg"], s["exp_avg_sq"]) for s in states if "exp_avg" in s]

    def _read_movement(self) -> None:
        before, self._before = self._before, []
        now = [p.detach() for p in self._moved()]
        moved = total_norm(list(torch._foreach_sub(now, before)))
        self._sink(f"update_ratio/{self.name}", moved / total_norm(before).clamp_min(1e-12))

    def _moved(self) -> list[nn.Parameter]:
        chosen: list[nn.Parameter] = []
        count = 0
        for parameter in self._parameters:
            count += parameter.numel()
            if chosen and count > MOST_MOVED:
                break
            chosen.append(parameter)
        return chosen


def _parameters(
    modules: Iterable[nn.Module], optimizer: torch.optim.Optimizer | None
) -> list[nn.Parameter]:
    """The module's parameters that learn; without a module, what the optimizer holds. Each once.

    A player that is frozen as a whole keeps all of them, so that its standing still is seen.
    """
    found = [p for module in modules for p in module.parameters()]
    if not found and optimizer is not None:
        found = [p for group in optimizer.param_groups for p in group["params"]]
    learning = [p for p in found if p.requires_grad] or found
    return list({id(p): p for p in learning}.values())
