"""What a watched run does about its own findings."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import torch

from equipoise.clinic.order import SICK
from equipoise.errors import EquipoiseError
from equipoise.record import Finding, Prescription
from equipoise.training import CONTINUE, Answer, Game, Rollback, build

GUARDS = ("warn", "stop", "rollback")
MOST_ROLLBACKS = 3


class Rollbacks:
    """Goes back to before the onset and on under the first remedy not tried yet.

    Only remedies that take effect in a run under way are applied, one a rollback, `MOST_ROLLBACKS`
    at most; where none is left the run goes on as it is, and what was found is printed. Handed to
    the monitor as `on_finding`.
    """

    def __init__(self) -> None:
        self.done = 0
        self._found: list[Finding] = []
        self._tried: set[str] = set()

    def __call__(self, finding: Finding) -> None:
        """Note a finding; findings below the confidence of a sick verdict are left alone."""
        if finding.confidence >= SICK:
            self._found.append(finding)

    def answer(self, game: Game) -> Answer:
        """What to tell the loop about the findings since the last answer."""
        found, self._found = self._found, []
        for finding in found:
            remedy = self._next(finding, game)
            if remedy is not None and self.done < MOST_ROLLBACKS:
                self.done += 1
                self._tried.add(remedy.remedy)
                _say(f"{finding.summary} Back to before it, and on with {remedy.remedy}.")
                return Rollback(max(finding.since - 1, 0), dict(remedy.edit))
            _say(f"{finding.summary} No remedy is left that could be applied on the way.")
        return CONTINUE

    def _next(self, finding: Finding, game: Game) -> Prescription | None:
        """The first remedy with an edit that a run under way can take and that was not tried."""
        live = (r for r in finding.remedies if r.edit and r.takes_effect == "live")
        untried = (r for r in live if r.remedy not in self._tried)
        return next((r for r in untried if keeps_weights(game, r.edit)), None)


def keeps_weights(game: Game, edit: Mapping[str, Any]) -> bool:
    """Whether a checkpoint of `game` fits the game under `edit`.

    A remedy that a loop of one's own takes live may add modules to ours: a noise layer, the
    augmentation before the discriminator.
    """
    try:
        other = build(game.recipe.edit(edit))
    except EquipoiseError:
        return False
    kinds = [{n: type(o) for n, o in g.optimizers.items()} for g in (game, other)]
    return _shapes(game) == _shapes(other) and kinds[0] == kinds[1]


def _shapes(game: Game) -> dict[str, dict[str, torch.Size]]:
    return {
        name: {key: tensor.shape for key, tensor in module.state_dict().items()}
        for name, module in game.modules.items()
    }


def _say(words: str) -> None:
    print(f"equipoise: {words}", file=sys.stderr)
