"""The generator's loss does not reach the generator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from equipoise.clinic.wiring import at, audited, wrong
from equipoise.record import Finding, Trace


def no_gradient_to_generator(trace: Trace) -> Finding | None:
    """The generator's updates met no gradient, or one that did not come through the discriminator.

    From the wiring audit: at each of the generator's steps its gradient was None or exactly 0 and
    none had arrived; or a backward pass that its step consumed sent a gradient to logits of which
    none leads on to its samples. Confused with a vanishing gradient, which is small and not 0; with
    frozen parameters and with a term of weight 0, which are no broken path.
    """
    found = [told for told in audited(trace, "starved") if told.get("check") in ("none", "cut")]
    if not found:
        return None
    words = _none(found[0]) if found[0]["check"] == "none" else _cut(found[0])
    expected = "a gradient at every update, through the discriminator"
    return wrong(trace, "no_gradient_to_generator", words, "starved", len(found), expected)


def _none(told: Mapping[str, Any]) -> str:
    judged = at(told.get("call"))
    return (
        f"The {told['player']}'s step{at(told['where'])} finds no gradient: take no_grad, detach or"
        f" the operation without a derivative off the fakes that its loss judges{judged}."
    )


def _cut(told: Mapping[str, Any]) -> str:
    return (
        f"The adversarial term reaches no {told['player']}: the discriminator is called on fakes"
        f" without a graph in its loss{at(told['call'])}; take detach or no_grad off them there."
    )
