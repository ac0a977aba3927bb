"""How one looks: frozen feature extractors for metrics, perceptual terms and diversity."""

from equipoise.features.digits import digit_classifier, digit_features, digit_probabilities

__all__ = ["digit_classifier", "digit_features", "digit_probabilities"]
