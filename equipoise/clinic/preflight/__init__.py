"""The checklist before the first step: facts about networks and data in, a diagnosis out."""

from equipoise.clinic.preflight.entry import Check, Said
from equipoise.clinic.preflight.judge import CHECKS, preflight
from equipoise.clinic.preflight.settings import recipe_facts

__all__ = ["CHECKS", "Check", "Said", "preflight", "recipe_facts"]
