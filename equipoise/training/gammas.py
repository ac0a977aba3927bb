"""The weights of penalties over a run."""

from __future__ import annotations

from collections.abc import Mapping

from equipoise.game import factor, lazy_weight
from equipoise.recipe import Penalty, Recipe, Schedule

STILL = Schedule()


def scheduled(schedule: Schedule, images: int, recipe: Recipe) -> float:
    """The schedule's factor when `images` reals have been shown."""
    span = (schedule.kimg or recipe.kimg) * 1000
    return factor(schedule.shape, schedule.start, schedule.end, images / span)


class Gammas:
    """The weights of a table of penalties at each update; 0 where a lazy one rests."""

    def __init__(self, table: Mapping[str, Penalty], recipe: Recipe) -> None:
        self._table = {name: p for name, p in table.items() if p.gamma > 0}
        self._recipe = recipe
        still = all(p.schedule == STILL and p.every == 1 for p in self._table.values())
        self._fixed = {n: p.gamma for n, p in self._table.items()} if still else None

    def __bool__(self) -> bool:
        return bool(self._table)

    def at(self, images: int, update: int) -> dict[str, float]:
        """By name, for the player's `update`-th update with `images` reals shown."""
        if self._fixed is not None:
            return dict(self._fixed)
        return {n: g for n, p in self._table.items() if (g := self._of(p, images, update)) > 0}

    def _of(self, penalty: Penalty, images: int, update: int) -> float:
        if update % penalty.every:
            return 0.0
        gamma = penalty.gamma * scheduled(penalty.schedule, images, self._recipe)
        return lazy_weight(gamma, penalty.every)
