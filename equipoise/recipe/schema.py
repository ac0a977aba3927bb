"""What a run is: one frozen, typed, validated recipe.

Every field has its unit. Names of parts (objective, network family, penalty, optimizer, metric) are
plain strings here; `equipoise.training.build` looks each up in the table beside its function.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from equipoise.recipe.contradictions import contradiction
from equipoise.recipe.edits import edited, refusing

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Momentum = Annotated[float, Field(ge=0, lt=1)]


class Part(BaseModel):
    """A frozen piece of a recipe that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class Schedule(Part):
    """A factor: value(t) = base x factor(t), t in [0, 1] over `kimg` (None: the budget).

    linear: start + (end - start) t; cosine: end + (start - end) (1 + cos(pi t)) / 2;
    exponential: start (end / start)^t; constant: start.
    """

    shape: Literal["constant", "linear", "cosine", "exponential"] = "constant"
    start: NonNegative = 1.0
    end: NonNegative = 1.0
    kimg: Positive | None = None


class Augment(Part):
    """Changes of the reals alone, off by default: the generator learns them too (they leak)."""

    flip: bool = False
    crop: Annotated[int, Field(ge=0, description="pixels of reflected border to crop from")] = 0
    color: Annotated[float, Field(ge=0, le=1, description="largest shift and gain")] = 0.0

    @property
    def active(self) -> bool:
        """Whether any of it is on."""
        return self.flip or self.crop > 0 or self.color > 0


class Data(Part):
    """Where reals come from: "ring", "grid", "digits", or "folder" with its path."""

    kind: str
    path: str | None = None
    resolution: Annotated[int | None, Field(ge=4, description="pixels; folder only")] = None
    channels: Literal[1, 3] | None = None
    augment: Augment = Augment()


class Network(Part):
    """A player's architecture; `width`: units per layer (mlp), channels at full size (dcgan)."""

    family: str
    width: Count = 64
    depth: Annotated[int, Field(ge=1, description="hidden layers (mlp)")] = 3
    normalization: str = "none"


class Generator(Network):
    """The generator; z ~ N(0, I) of `z_dim` dimensions."""

    z_dim: Count = 64


class Objective(Part):
    """The adversarial loss by name; `label_smoothing` s moves the real target from 1 to 1 - s."""

    name: str
    label_smoothing: Annotated[float, Field(ge=0, lt=0.5)] = 0.0


class Penalty(Part):
    """A penalty's weight as its paper writes it: gamma / 2 for R1 and R2, lambda else; 0 is off."""

    gamma: NonNegative = 0.0
    schedule: Schedule = Schedule()


class Optimizer(Part):
    """One player's optimizer."""

    name: str = "adam"
    lr: Positive = 2e-4
    beta1: Momentum = 0.0
    beta2: Momentum = 0.99
    eps: Positive = 1e-8
    weight_decay: NonNegative = 0.0
    schedule: Schedule = Schedule()


class Optimizers(Part):
    """An optimizer for each player."""

    generator: Optimizer = Optimizer()
    discriminator: Optimizer = Optimizer()


class Balance(Part):
    """Updates of each player in one iteration."""

    discriminator_steps: Count = 1
    generator_steps: Count = 1


class Ema(Part):
    """Moving average of the generator's weights, for evaluation and samples; None is off."""

    half_life_kimg: Positive | None = 10.0


class Evaluation(Part):
    """What is measured of the generator, how often (kimg), on how many samples."""

    metrics: tuple[str, ...] = ()
    primary: str | None = None
    every_kimg: Positive = 20.0
    samples: Annotated[int, Field(ge=16)] = 2000
    sample_grid: Annotated[int, Field(ge=1, le=1024, description="samples drawn for the eye")] = 64


class Checkpoint(Part):
    """How often (kimg) the state is saved, and how many of the newest are kept."""

    every_kimg: Positive = 20.0
    keep: Count = 2


class Compute(Part):
    """Where and how precisely it runs. One thread is fastest for small networks."""

    device: Literal["auto", "cpu", "cuda", "mps"] = "cpu"
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    threads: Count = 1


def _named(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


PenaltyTable = Annotated[
    Mapping[str, Penalty],
    AfterValidator(lambda table: MappingProxyType(dict(table))),  # frozen like the rest
    PlainSerializer(lambda table: {k: v.model_dump() for k, v in table.items()}),
]


class Recipe(Part):
    """Everything that decides a run. Frozen; `edit` gives a new one.

    Raises:
        RecipeError: an unknown key, a wrong value, or two settings that contradict each other.
    """

    name: str
    description: str = ""
    data: Data
    generator: Generator
    discriminator: Network
    objective: Annotated[Objective, BeforeValidator(_named)]
    penalties: PenaltyTable = Field(default_factory=lambda: MappingProxyType({}))
    optimizer: Optimizers = Optimizers()
    balance: Balance = Balance()
    ema: Ema = Ema()
    evaluation: Evaluation = Evaluation()
    checkpoint: Checkpoint = Checkpoint()
    compute: Compute = Compute()
    batch: Annotated[int, Field(ge=2, description="real images per discriminator update")] = 64
    kimg: Annotated[Positive, Field(description="budget: thousands of reals shown")] = 100.0
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0

    def __init__(self, **fields: Any) -> None:
        with refusing(type(self), fields):
            super().__init__(**fields)
        contradiction(self)

    def edit(self, changes: Mapping[str, Any]) -> Recipe:
        """A new recipe with values replaced by dotted path.

        >>> from equipoise.recipe import load
        >>> load("ring").edit({"optimizer.discriminator.lr": 4e-4}).optimizer.discriminator.lr
        0.0004
        """
        return Recipe(**edited(self.to_dict(), changes, Recipe))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as plain values: the read-only tables cannot be."""
        return _from_values, (self.to_dict(),)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, every default written out."""
        return self.model_dump(mode="json")

    def content_hash(self) -> str:
        """16 hex digits over all that decides the run except name, description and seed."""
        content = {
            k: v for k, v in self.to_dict().items() if k not in {"name", "description", "seed"}
        }
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    @property
    def images_per_iteration(self) -> int:
        """Reals shown to the discriminator in one iteration."""
        return self.batch * self.balance.discriminator_steps

    @property
    def iterations(self) -> int:
        """Iterations that the budget pays for, the last one whole."""
        return max(1, -(-round(self.kimg * 1000) // self.images_per_iteration))

    def warnings(self) -> tuple[str, ...]:
        """What is allowed and yet likely to hurt, one line each."""
        lines = []
        if self.data.augment.active:
            lines.append(
                "data.augment changes the reals alone, so the generator learns the changes as if"
                " they were data (they leak); augment reals and fakes alike inside the"
                " discriminator, or leave it off"
            )
        return tuple(lines)


def _from_values(values: dict[str, Any]) -> Recipe:
    return Recipe(**values)
