"""A number became NaN or infinite."""

from __future__ import annotations

import numpy as np

from equipoise.clinic.windows import window
from equipoise.record import Evidence, Finding, Trace

# Where to look, in the order in which trouble travels: a gradient before the next step's loss.
PREFIXES = ("nonfinite/", "gradient_norm/", "loss/", "logits/", "batch/fake/", "parameter_norm/")


def non_finite(trace: Trace) -> Finding | None:
    """Any NaN or infinity in gradients, losses, logits, fakes or weights; exact.

    Told apart from nothing: a run does not recover from it by itself. Names the first signal and
    step seen at the trace's resolution. Metrics are left out: they fail for their own reasons.
    """
    seen = [hit for name in trace.signals if (hit := _first(trace, name)) is not None]
    if not seen:
        return None
    step, _, name, value = min(seen)
    return Finding(
        "non_finite",
        0.99,
        step,
        f"A number stopped being finite: {name} at step {step}. What is learned after it is lost.",
        (
            Evidence(
                name, value, "finite at every step", window(trace.series(name).since(step)), "first"
            ),
        ),
    )


def _first(trace: Trace, name: str) -> tuple[int, int, str, float] | None:
    order = next((i for i, prefix in enumerate(PREFIXES) if name.startswith(prefix)), None)
    if order is None:
        return None
    series = trace.series(name)
    bad = ~np.isfinite(series.values)
    if name.startswith("nonfinite/"):
        bad |= series.values > 0
    hits = np.flatnonzero(bad)
    if len(hits) == 0:
        return None
    return int(series.steps[hits[0]]), order, name, float(series.values[hits[0]])
