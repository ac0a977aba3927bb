"""What a run is: one frozen, typed, validated recipe."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from equipoise.recipe.contradictions import contradiction
from equipoise.recipe.edits import edited, refusing
from equipoise.recipe.parts import (
    Augmentation,
    Balance,
    Checkpoint,
    Compute,
    Consistency,
    Constraint,
    Count,
    Data,
    Discriminator,
    Ema,
    Evaluation,
    FeatureMatching,
    Generator,
    Growth,
    LeCam,
    Noise,
    Objective,
    Optimizers,
    Part,
    PenaltyTable,
    Positive,
    PseudoReal,
    Slopes,
    Weighting,
    no_penalties,
)
from equipoise.recipe.warnings import WARNINGS


def _named(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


class Recipe(Part):
    """Everything that decides a run. Frozen; `edit` gives a new one.

    Raises:
        RecipeError: an unknown key, a wrong value, or two settings that contradict each other.
    """

    name: str
    description: str = ""
    data: Data
    generator: Generator
    discriminator: Discriminator
    growth: Growth | None = None
    objective: Annotated[Objective, BeforeValidator(_named)]
    penalties: PenaltyTable = Field(default_factory=no_penalties)
    generator_penalties: PenaltyTable = Field(default_factory=no_penalties)
    slopes: Slopes = Slopes()
    consistency: Consistency = Consistency()
    lecam: LeCam = LeCam()
    constraint: Annotated[Constraint | None, BeforeValidator(_named)] = None
    augmentation: Annotated[Augmentation, BeforeValidator(_named)] = Augmentation()
    pseudo_real: PseudoReal = PseudoReal()
    noise: Noise = Noise()
    feature_matching: FeatureMatching = FeatureMatching()
    weighting: Annotated[Weighting, BeforeValidator(_named)] = Weighting()
    optimizer: Optimizers = Optimizers()
    balance: Balance = Balance()
    ema: Ema = Ema()
    evaluation: Evaluation = Evaluation()
    checkpoint: Checkpoint = Checkpoint()
    compute: Compute = Compute()
    batch: Annotated[int, Field(ge=2, description="real images per discriminator update")] = 64
    accumulate: Annotated[Count, Field(description="parts that a batch is cut into")] = 1
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
        """16 hex digits over all that decides the run except name, description and seed.

        Values at their defaults do not enter, so a field that a later version adds leaves the
        hashes of older recipes, and what is filed under them, as they are.
        """
        told = self.model_dump(mode="json", exclude_defaults=True)
        content = {k: v for k, v in told.items() if k not in {"name", "description", "seed"}}
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
        return tuple(line for warn in WARNINGS if (line := warn(self)))


def _from_values(values: dict[str, Any]) -> Recipe:
    return Recipe(**values)
