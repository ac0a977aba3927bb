"""What can be read from tensors at hand: pure functions, tensors in, small tensors out.

Nothing here waits for the device: results stay where they are until the tick.
"""

from equipoise.monitor.readings.batches import (
    batch_readings,
    contrast_readings,
    diversity_readings,
)
from equipoise.monitor.readings.gradients import (
    certainty_reading,
    certainty_rows,
    emptiness_readings,
    pull_readings,
    total_norm,
    update_readings,
)
from equipoise.monitor.readings.logits import (
    MOST_LOGITS,
    area_under_curve,
    divergence_reading,
    flat_logits,
    one_of_several,
    pair_readings,
    several,
    side_readings,
    silent_share,
    whole_logits,
)

__all__ = [
    "MOST_LOGITS",
    "area_under_curve",
    "batch_readings",
    "certainty_reading",
    "certainty_rows",
    "contrast_readings",
    "divergence_reading",
    "diversity_readings",
    "emptiness_readings",
    "flat_logits",
    "one_of_several",
    "pair_readings",
    "pull_readings",
    "several",
    "side_readings",
    "silent_share",
    "total_norm",
    "update_readings",
    "whole_logits",
]
