"""What a set of features leaves in memory: bounded, mergeable across processes, kept on disk."""

from equipoise.metrics.states.moments import Moments
from equipoise.metrics.states.store import FeatureStore

__all__ = ["FeatureStore", "Moments"]
