"""The discriminator judges whole batches instead of samples."""

from __future__ import annotations

from equipoise.clinic.wiring import at, audited, wrong
from equipoise.record import Finding, Trace

MIXED = "real and fake"


def batch_norm_leak(trace: Trace) -> Finding | None:
    """The discriminator normalizes over mixed batches in its own step, over pure ones in the other.

    From the wiring audit: the discriminator normalizes over the batch in training mode; its own
    step feeds it reals and fakes in one batch, the generator's step fakes alone. The same fake then
    has another logit in each, so the generator follows the gradient of a discriminator that was
    never trained. Confused with reals and fakes in a batch each, which is customary and consistent,
    with mixed batches in both steps, and with minibatch layers, which compare samples by design.
    """
    told = next(iter(audited(trace, "batch_norm")), None)
    if told is None:
        return None
    mine, other = told["fed"]["discriminator"], told["fed"]["generator"]
    if MIXED not in mine or not other or MIXED in other:
        return None
    words = (
        f"The discriminator normalizes over the batch, and its step mixes reals and fakes in one"
        f"{at(mine[MIXED])} where the generator's step shows it fakes alone"
        f"{at(other.get('fake'))}: call it once on reals and once on fakes, or take batch"
        " normalization out."
    )
    expected = "0, or batches composed alike in both steps"
    return wrong(
        trace, "batch_norm_leak", words, "batch_norm", float(told["layers"]), expected, 0.85
    )
