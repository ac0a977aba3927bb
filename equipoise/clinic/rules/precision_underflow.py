"""Numbers are too small for the precision in use and become 0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from equipoise.clinic.wiring import at, audited, wrong
from equipoise.record import Finding, Trace

# Share of exact zeros among the gradients at the fakes in float16. With the loss scaled none is
# rounded to 0; without, 85 % lay below the normal range at spectrally normalized discriminators.
EMPTY = 0.5


def precision_underflow(trace: Trace) -> Finding | None:
    """Half of the float16 gradient at the fakes is 0, or updates that round to no change at all.

    From the wiring audit, all of whose generator updates must show it. bfloat16 has the exponents
    of float32, so its gradients do not underflow, but its weights keep 8 bits: an update below
    1/512 of a weight is lost. Confused with a vanishing gradient in full precision, where the type
    is not float16; with a learning rate of 0, which is a stalled player.
    """
    return _rounded(trace) or _empty(trace, audited(trace, "precision"))


def _rounded(trace: Trace) -> Finding | None:
    stuck = [told for told in audited(trace, "stuck") if told.get("check") == "rounded"]
    if not stuck:
        return None
    words = (
        f"The {stuck[0]['player']}'s updates{at(stuck[0]['where'])} are lost in rounding: keep the"
        " weights in float32 and use autocast for the passes."
    )
    return wrong(trace, "precision_underflow", words, "stuck", len(stuck), "0 players", 0.9)


def _empty(trace: Trace, told: Sequence[Mapping[str, Any]]) -> Finding | None:
    if not told or any(t["dtype"] != "float16" for t in told):
        return None
    least = min(float(t["zeros"]) for t in told)
    if least < EMPTY:
        return None
    words = (
        f"{least:.0%} of the gradient at the fakes is exactly 0 in float16"
        f"{at(told[-1]['where'])}: scale the losses (GradScaler), or use bfloat16."
    )
    expected = f"under {EMPTY:.0%}"
    return wrong(
        trace, "precision_underflow", words, "precision", least, expected, 0.85, "least share of 0"
    )
