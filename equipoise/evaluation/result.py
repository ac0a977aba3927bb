"""What an evaluation says: measures with their convention, warnings, and the blind spots."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from equipoise.evaluation.blind_spots import BlindSpots
from equipoise.metrics.measure import Measure
from equipoise.record.judgement import jsonable

SCHEMA = 1


@dataclass(frozen=True)
class Evaluation:
    """Fakes against reals.

    Attributes:
        fake, real: what was compared.
        measures: by name.
        convention: features, resize, quantization, options: with each measure's own all that must
            agree before two evaluations may be compared.
        preset: its name, None where the convention is one's own.
        warnings: of the evaluation as a whole; measures have their own.
        blind_spots: None where they were not asked for, or there are too few samples.
    """

    fake: str
    real: str
    measures: Mapping[str, Measure]
    convention: Mapping[str, Any]
    preset: str | None = None
    warnings: tuple[str, ...] = ()
    blind_spots: BlindSpots | None = None

    def all_warnings(self) -> Iterator[str]:
        """Each once: the evaluation's, the blind spots', the measures'."""
        told = dict.fromkeys(self.warnings)
        told |= dict.fromkeys(self.blind_spots.warnings if self.blind_spots else ())
        for measure in self.measures.values():
            told |= dict.fromkeys(f"{measure.name}: {w}" for w in measure.warnings)
        return iter(told)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; numbers that are not finite are strings."""
        spots = self.blind_spots
        plain: dict[str, Any] = jsonable(
            {
                "schema": SCHEMA,
                "fake": self.fake,
                "real": self.real,
                "preset": self.preset,
                "convention": self.convention,
                "measures": {n: dataclasses.asdict(m) for n, m in self.measures.items()},
                "blind_spots": {"n": spots.n, "scores": spots.scores} if spots else None,
                "warnings": list(self.all_warnings()),
            }
        )
        return plain
