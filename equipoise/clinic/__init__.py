"""Judge: rules read a trace and find failures; remedies say what to do. No torch."""

from equipoise.clinic.failures import FAILURES, Failure
from equipoise.clinic.judge import diagnose
from equipoise.clinic.remedies import REMEDIES, Remedy, prescribe, remedy
from equipoise.clinic.rules import RULES

__all__ = [
    "FAILURES",
    "REMEDIES",
    "RULES",
    "Failure",
    "Remedy",
    "diagnose",
    "prescribe",
    "remedy",
]
