"""How one looks: frozen feature extractors for metrics, perceptual terms and diversity."""

from equipoise.features.digits import digit_classifier, digit_features, digit_probabilities
from equipoise.features.extractor import Extractor
from equipoise.features.images import Preprocess
from equipoise.features.registry import EXTRACTORS, extractor

__all__ = [
    "EXTRACTORS",
    "Extractor",
    "Preprocess",
    "digit_classifier",
    "digit_features",
    "digit_probabilities",
    "extractor",
]
