"""One optimizer, then another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


class Switched(torch.optim.Optimizer):
    """`first` until `turn(True)`, then `second`, whose moments start afresh.

    Both must hold the same parameters in the same order. `param_groups`, `state`, `step` and
    `state_dict` are those of the one that is on; hooks on this object see the steps of either.
    Usual: Adam at first, SGD later (Keskar and Socher 2017, arXiv 1712.07628).

    Raises:
        ValueError: the two hold different parameters.
    """

    def __init__(self, first: torch.optim.Optimizer, second: torch.optim.Optimizer) -> None:
        held = [[p for group in o.param_groups for p in group["params"]] for o in (first, second)]
        if [id(p) for p in held[0]] != [id(p) for p in held[1]]:
            raise ValueError(
                f"first holds {len(held[0])} parameters, second {len(held[1])}: both must hold the"
                " same ones in the same order"
            )
        super().__init__(held[0], {})
        self._both = (first, second)
        self.turn(False)

    @property
    def second_is_on(self) -> bool:
        """Which of the two steps."""
        return self._on is self._both[1]

    def turn(self, second: bool) -> None:
        """Let `second` (True) or `first` step from now on."""
        self._on = self._both[second]
        self.state, self.param_groups = self._on.state, self._on.param_groups

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update by the optimizer that is on."""
        return self._on.step(closure)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the optimizer that is on; turn to it first."""
        self._on.load_state_dict(state_dict)
        self.turn(self.second_is_on)
