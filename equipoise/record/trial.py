"""The row that a trial leaves in the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

TrialVerdict = Literal["keep", "revert", "inconclusive"]


@dataclass(frozen=True)
class TrialRow:
    """One arm against its baseline: what changed, what was measured, what was decided.

    Attributes:
        trial: id shared by the arms of one trial.
        created: UTC time, ISO 8601.
        baseline: name of the baseline recipe, and `baseline_hash` its content hash.
        arm: name of the arm, and `edit` the one change that it makes.
        metric: primary metric, fixed before the first run; `better` is "lower" or "higher".
        minimal_effect: least improvement worth keeping, in the metric's unit.
        seeds: shared by both arms; `baseline_values` and `arm_values` follow their order.
        improvement: mean paired improvement (positive is better whatever the metric's direction).
        interval: two-sided 95 % t-interval of that mean.
        p_value: exact one-sided sign-flip test of "no improvement".
        verdict: keep, revert or inconclusive; `reason` says why in one sentence.
        environment: versions and hardware.
        failures: runs that ended without a value, as "arm/seed: what happened".
    """

    trial: str
    created: str
    baseline: str
    baseline_hash: str
    arm: str
    edit: Mapping[str, Any]
    metric: str
    better: Literal["lower", "higher"]
    minimal_effect: float
    seeds: tuple[int, ...]
    baseline_values: tuple[float, ...]
    arm_values: tuple[float, ...]
    improvement: float
    interval: tuple[float, float]
    p_value: float
    verdict: TrialVerdict
    reason: str
    environment: Mapping[str, Any] = field(default_factory=dict)
    failures: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TrialRow:
        """The inverse of `to_dict`, from JSON or from the ledger."""
        tuples = ("seeds", "baseline_values", "arm_values", "interval", "failures")
        fields: dict[str, Any] = {k: tuple(v) if k in tuples else v for k, v in data.items()}
        return cls(**fields)
