"""An update uses a gradient that was meant for another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from equipoise.clinic.wiring import at, audited, wrong
from equipoise.record import Finding, Trace

ORDER = ("parameters", "foreign", "stale")  # the first of these that failed explains the others


def gradient_leak(trace: Trace) -> Finding | None:
    """A step consumed a gradient of the other player's phase, or of its own step before.

    The wiring audit tags every arrival with its backward pass; one fact suffices, no threshold.
    Confused with real-then-fake backwards and accumulation, whose passes one update alone consumes;
    with one optimizer for both players, which has no other phase; with one joint backward pass for
    both, which is all that either consumes; and with fakes that are not detached where the
    generator's gradient is zeroed before its own backward: wasted time, and no leak.
    """
    found = sorted(
        (told for told in audited(trace, "leaks") if told.get("check") in ORDER),
        key=lambda told: ORDER.index(told["check"]),
    )
    if not found:
        return None
    summary = {"parameters": _parameters, "foreign": _foreign, "stale": _stale}
    words = summary[found[0]["check"]](found[0])
    return wrong(trace, "gradient_leak", words, "leaks", len(found), "no such gradient")


def _parameters(told: Mapping[str, Any]) -> str:
    return (
        f"The {told['player']}'s optimizer holds {told['count']} parameters of the"
        f" {told['other']}: build it over the {told['player']}'s parameters alone."
    )


def _foreign(told: Mapping[str, Any]) -> str:
    player, other = told["player"], told["other"]
    if told.get("other_role") == "discriminator":
        return (
            f"The {player}'s step{at(told['where'])} uses the gradient of the {other}'s loss"
            f"{at(told['backward'])}: detach the fakes that the {other} judges"
            f"{at(told['call'])}, or zero the {player}'s gradient before its own backward pass."
        )
    return (
        f"The {player}'s step{at(told['where'])} uses the gradient that the {other}'s loss left"
        f"{at(told['backward'])}: zero the {player}'s gradient before its own backward pass."
    )


def _stale(told: Mapping[str, Any]) -> str:
    return (
        f"The {told['player']}'s step{at(told['where'])} uses again the gradient of its step before"
        f"{at(told['backward'])}: call zero_grad() before the {told['player']}'s backward pass."
    )
