"""Samples against samples: read as a stream, measured by one convention, with its blind spots."""

from equipoise.evaluation.evaluate import evaluate
from equipoise.evaluation.measures import MEASURES
from equipoise.evaluation.presets import PRESETS, Preset
from equipoise.evaluation.result import Evaluation

__all__ = ["MEASURES", "PRESETS", "Evaluation", "Preset", "evaluate"]
