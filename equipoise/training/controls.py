"""What a run turns by what it sees: strengths that follow overfitting, anchors, rests.

A control keeps plain numbers, which a checkpoint saves: `state` gives them, `load` takes them back
bit for bit. `seen` is told of every move of the discriminator.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from equipoise.game import (
    BalancerState,
    LeCamState,
    Move,
    PathLengthState,
    Plateau,
    PlateauState,
    Switched,
    adapted,
    lecam_state,
    lecam_update,
    overfitting_sign,
    path_length_state,
    plateau_ramp,
    plateau_update,
)
from equipoise.game.logits import Logits, listed
from equipoise.recipe import Hold, Weighting
from equipoise.training.game import Control, Game, State


class Strength:
    """A probability that follows r_t, read every `INTERVAL` updates: ADA's p, or APA's."""

    INTERVAL = 4

    def __init__(
        self, p: float, target: float | None, speed_kimg: float, turn: Callable[[float], None]
    ) -> None:
        self.p, self._target, self._turn = p, target, turn
        self._speed = round(speed_kimg * 1000)
        self._sign: Tensor | None = None
        self._updates = self._images = 0
        turn(p)

    def seen(self, move: Move, images: int) -> None:
        if self._target is None or move.real_logits is None:
            return
        sign = _sign(move.real_logits)
        self._sign = sign if self._sign is None else self._sign + sign
        self._updates, self._images = self._updates + 1, self._images + images
        if self._updates == self.INTERVAL:
            self._adapt(self._sign.item() / self.INTERVAL)

    def _adapt(self, r_t: float) -> None:
        if r_t == r_t:  # logits that are not finite tell nothing
            assert self._target is not None
            self.p = adapted(self.p, r_t, self._images, self._target, self._speed)
            self._turn(self.p)
        self._sign, self._updates, self._images = None, 0, 0

    def state(self) -> State:
        sign = None if self._sign is None else self._sign.item()
        return {"p": self.p, "sign": sign, "updates": self._updates, "images": self._images}

    def load(self, state: State) -> None:
        self.p, self._updates, self._images = state["p"], state["updates"], state["images"]
        self._sign = None if state["sign"] is None else torch.tensor(state["sign"])
        self._turn(self.p)

    def said(self) -> Mapping[str, float]:
        return {"p": self.p}


def _sign(logits: Logits) -> Tensor:
    return torch.stack([overfitting_sign(one) for one in listed(logits)]).mean()


class Anchors:
    """LeCam's moving averages of the logits."""

    def __init__(self, decay: float, device: torch.device) -> None:
        self.now: LeCamState = lecam_state(decay, torch.zeros((), device=device))

    def seen(self, move: Move, images: int) -> None:
        assert move.real_logits is not None
        self.now = lecam_update(self.now, move.real_logits, move.fake_logits)

    def state(self) -> State:
        return self.now.to_dict()

    def load(self, state: State) -> None:
        self.now = LeCamState.from_dict(state, self.now.real)

    def said(self) -> Mapping[str, float]:
        return {"real": self.now.real.item(), "fake": self.now.fake.item()}


class PathLengths:
    """The mean path length that the generator is held to."""

    def __init__(self, device: torch.device) -> None:
        self.now: PathLengthState = path_length_state(like=torch.zeros((), device=device))

    def seen(self, move: Move, images: int) -> None: ...

    def state(self) -> State:
        return self.now.to_dict()

    def load(self, state: State) -> None:
        self.now = PathLengthState.from_dict(state, self.now.mean)

    def said(self) -> Mapping[str, float]:
        return {"mean": self.now.mean.item()}


class Balance:
    """The balancer's averages of gradient norms."""

    def __init__(self, like: Tensor) -> None:
        self.now, self._like = BalancerState(), like

    def seen(self, move: Move, images: int) -> None: ...

    def state(self) -> State:
        return self.now.to_dict()

    def load(self, state: State) -> None:
        self.now = BalancerState.from_dict(state, self._like)

    def said(self) -> Mapping[str, float]:
        return {name: norm.item() for name, norm in self.now.norms.items()}


class Settled:
    """The ramp of the adversarial weight that waits for the other term to settle."""

    EVERY = 8  # readings: each waits for the device

    def __init__(self, settings: Weighting) -> None:
        self._settings = Plateau(
            patience=max(1, round(_images(settings.patience_kimg or 0.0))),
            earliest=round(_images(settings.start_kimg)),
            length=round(_images(settings.ramp_kimg)),
            decay=0.9,
        )
        self.now, self._asked = PlateauState(), 0

    def ramp(self, images: int, other: Tensor) -> float:
        """The factor with `images` shown, after a look at the other term."""
        if self._asked % self.EVERY == 0:
            self.now = plateau_update(self.now, self._settings, images, other.item())
        self._asked += 1
        return plateau_ramp(self.now, self._settings, images)

    def seen(self, move: Move, images: int) -> None: ...

    def state(self) -> State:
        return {**asdict(self.now), "asked": self._asked}

    def load(self, state: State) -> None:
        kept = dict(state)
        self._asked = kept.pop("asked")
        self.now = PlateauState(**kept)

    def said(self) -> Mapping[str, float]:
        return {"settled": float(self.now.started is not None)}


def _images(kimg: float) -> float:
    return 1000 * kimg


class Rest:
    """Which player rests, from a moving average of how far the discriminator is ahead."""

    CHANCE = {"accuracy": 0.5, "r_t": 0.0}

    def __init__(self, settings: Hold) -> None:
        self._settings = settings
        self.average = self.CHANCE[settings.signal]

    def rests(self, player: str) -> bool:
        """Whether `player` is so far ahead that it waits."""
        if player == "discriminator":
            return self.average > self._settings.high
        return self.average < self._settings.low

    def seen(self, move: Move, images: int) -> None:
        now = self._reading(move)
        if now == now:
            keep = self._settings.decay
            self.average = keep * self.average + (1 - keep) * now

    def _reading(self, move: Move) -> float:
        assert move.real_logits is not None
        if self._settings.signal == "r_t":
            return _sign(move.real_logits).item()
        pairs = zip(listed(move.real_logits), listed(move.fake_logits), strict=True)
        return torch.stack([(r > f).float().mean() for r, f in pairs]).mean().item()

    def state(self) -> State:
        return {"average": self.average}

    def load(self, state: State) -> None:
        self.average = state["average"]

    def said(self) -> Mapping[str, float]:
        return {self._settings.signal: self.average}


class Turned:
    """Which of a player's two optimizers is on."""

    def __init__(self, optimizer: Switched) -> None:
        self._optimizer = optimizer

    def seen(self, move: Move, images: int) -> None: ...

    def state(self) -> State:
        return {"second": self._optimizer.second_is_on}

    def load(self, state: State) -> None:
        self._optimizer.turn(state["second"])

    def said(self) -> Mapping[str, float]:
        return {"second": float(self._optimizer.second_is_on)}


class Scaler:
    """A player's own loss scale in float16; a step with gradients that overflowed is skipped."""

    def __init__(self, scaler: torch.amp.GradScaler, device: torch.device) -> None:
        self._scaler = scaler
        scaler.scale(torch.zeros((), device=device))  # so that its state can be loaded

    def seen(self, move: Move, images: int) -> None: ...

    def state(self) -> State:
        return dict(self._scaler.state_dict())

    def load(self, state: State) -> None:
        self._scaler.load_state_dict(dict(state))

    def said(self) -> Mapping[str, float]:
        return {"scale": self._scaler.get_scale()}


def controls_of(game: Game) -> dict[str, Control]:
    """Every control that the game's recipe asks for, by name."""
    recipe, device = game.recipe, game.device
    found: dict[str, Control] = {}
    for player, optimizer in game.optimizers.items():
        if isinstance(optimizer, Switched):
            found[f"switch/{player}"] = Turned(optimizer)
    for player, scaler in game.scalers.items():
        found[f"scaler/{player}"] = Scaler(scaler, device)
    if recipe.augmentation.name == "ada" and game.augmented is not None:
        found["augmentation"] = _followed(recipe.augmentation, _turning(game))
    if recipe.pseudo_real.p > 0 or recipe.pseudo_real.target is not None:
        found["pseudo_real"] = _followed(recipe.pseudo_real, lambda p: None)
    if recipe.penalties.get("lecam") is not None:
        found["lecam"] = Anchors(recipe.lecam.decay, device)
    if recipe.generator_penalties.get("path_length") is not None:
        found["path_length"] = PathLengths(device)
    if recipe.weighting.name == "balancer":
        found["balancer"] = Balance(torch.zeros((), device=device))
    if recipe.weighting.patience_kimg is not None:
        found["plateau"] = Settled(recipe.weighting)
    if recipe.balance.hold is not None:
        found["hold"] = Rest(recipe.balance.hold)
    return found


def _followed(settings: Any, turn: Callable[[float], None]) -> Strength:
    return Strength(settings.p or 0.0, settings.target, settings.speed_kimg, turn)


def _turning(game: Game) -> Callable[[float], None]:
    assert game.augmented is not None
    transform: Any = game.augmented.augmentation

    def turn(p: float) -> None:
        transform.p = p

    return turn
