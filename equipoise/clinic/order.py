"""The order of judgement: what is exact speaks first, and what explains vetoes what follows.

Exact invariants of the wiring, then the recipe's lint and structure, then statistics of what the
loop has at hand, then probes. Each step may veto later ones, and a consequence is told below its
cause; that order is what keeps false alarms down. See `equipoise.clinic.judge`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from equipoise.clinic.rules import EXACT, RULES
from equipoise.record import Finding

STRUCTURE = ("batch_norm_leak", "precision_underflow", "broken_metric")
PROBED = (
    "discriminator_overfitting", "memorization", "lipschitz_violation", "condition_ignored",
    "gradient_noise", "checkerboard_artifacts",
)  # fmt: skip
STEPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("exact", tuple(name for name in RULES if name in EXACT)),
    ("structure", STRUCTURE),
    ("statistics", tuple(n for n in RULES if n not in {*EXACT, *STRUCTURE, *PROBED})),
    ("probes", PROBED),
)
# What makes a finding void: it shows the same signals for another reason.
VETOED_BY: dict[str, tuple[str, ...]] = {
    "discriminator_dominance": ("batch_norm_leak",),  # it judges batches, which is easy
    "discriminator_overfitting": ("batch_norm_leak",),
    "vanishing_gradient": ("batch_norm_leak", "precision_underflow"),  # rounded to 0, not small
    "gradient_noise": ("precision_underflow",),
    "oscillation": ("divergence",),  # a swing that grows
}
# What brings a finding about: both are told, the cause first.
FOLLOWS: dict[str, tuple[str, ...]] = {
    "discriminator_dominance": ("discriminator_overfitting", "divergence"),
    "mode_collapse": (
        "discriminator_overfitting",
        "condition_ignored",
        "memorization",
        "generator_dominance",
        "divergence",
    ),
    "generator_dominance": ("divergence",),
    "saturated_output": ("divergence", "generator_dominance", "discriminator_dominance"),
    "divergence": ("discriminator_overfitting", "lipschitz_violation"),
    "exploding_gradient": ("lipschitz_violation",),
    "vanishing_gradient": ("discriminator_dominance",),
    "runaway_logits": ("divergence",),
    "stagnation": ("discriminator_dominance", "generator_dominance", "oscillation"),
    "gradient_noise": ("discriminator_dominance", "generator_dominance", "mode_collapse"),
}
# Where more than `SURE` is asked of a cause: a metric that has got worse (0.75) has causes itself,
# and the slope of a critic that nothing holds (0.65) grows because its loss has no minimum.
EXPLAINS = {"divergence": 0.8, "lipschitz_violation": 0.7}
KNOWN = 0.97  # from here a finding rests on what the recipe or the weights say, and follows nothing
STEP_BELOW = 0.05  # of confidence, that a consequence stands below its cause
SURE = SICK = 0.5  # confidence from which a finding vetoes or explains, and makes the verdict


def settled(found: Iterable[Finding]) -> tuple[Finding, ...]:
    """The findings that stand: vetoed ones left out, consequences below their causes, surest first.

    A finding that rests on a broken metric alone is void from the broken value on.
    """
    kept = {f.failure: f for f in found}
    for failure in list(kept):
        if any(_sure(kept, cause) for cause in VETOED_BY.get(failure, ())):
            del kept[failure]
    broken = kept.get("broken_metric")
    standing = [f for f in kept.values() if broken is None or not _rests_on(f, broken)]
    named = {f.failure: f for f in standing}
    told = [_below(f, named) for f in standing]
    return tuple(sorted(told, key=lambda f: (-f.confidence, f.since)))


def _sure(kept: dict[str, Finding], failure: str) -> bool:
    return failure in kept and kept[failure].confidence >= SURE


def _explains(named: dict[str, Finding], cause: str) -> bool:
    return cause in named and named[cause].confidence >= EXPLAINS.get(cause, SURE)


def _rests_on(finding: Finding, broken: Finding) -> bool:
    metric = broken.evidence[0].signal
    alone = finding.evidence and all(e.signal == metric for e in finding.evidence)
    return bool(alone) and finding is not broken and broken.since >= finding.since


def _below(finding: Finding, named: dict[str, Finding]) -> Finding:
    causes = [n for n in FOLLOWS.get(finding.failure, ()) if _explains(named, n)]
    if finding.confidence >= KNOWN:
        return finding
    limits = [named[name].confidence - STEP_BELOW for name in causes]
    return replace(finding, confidence=min([finding.confidence, *limits]))
