"""Plain words: what each failure means to somebody who trained their first GAN last week."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from equipoise.record import Diagnosis, TrialRow, describe

PLAIN = {
    "stalled_player": "One of the two networks is not being trained: its weights stand still.",
    "gradient_leak": "One network's update uses gradients that belong to the other network.",
    "swapped_labels": (
        "A loss has the wrong sign or its arguments are swapped, so a network is trained "
        "towards the opposite of its goal."
    ),
    "no_gradient_to_generator": (
        "No learning signal reaches the generator: the path from the discriminator back to it "
        "is cut."
    ),
    "data_range_mismatch": (
        "Real samples are not prepared as generated ones are (another value range, or changes "
        "made to them alone), so the discriminator looks at that instead of the content."
    ),
    "precision_underflow": "Gradients are so small that the number format rounds them to zero.",
    "discriminator_dominance": (
        "The discriminator tells real from generated samples almost without error, so the "
        "generator gets little to learn from."
    ),
    "generator_dominance": (
        "The generator fools the discriminator all the time, so the discriminator no longer "
        "tells it what to improve."
    ),
    "vanishing_gradient": (
        "The learning signal has shrunk to almost nothing, so a network hardly changes any more."
    ),
    "exploding_gradient": (
        "Gradients have become so large that single updates wreck what was learned."
    ),
    "non_finite": (
        "A loss or gradient became infinite or not a number, and nothing is learned after that."
    ),
    "divergence": "Training has run away: the values grow without limit instead of settling.",
    "oscillation": "The two networks chase each other in circles instead of getting better.",
    "stagnation": "The run goes on, but the samples no longer get better.",
    "runaway_logits": (
        "The discriminator's outputs grow without limit: it gets ever more sure of itself."
    ),
    "lipschitz_violation": (
        "The discriminator changes too steeply from one input to the next, which its loss does "
        "not allow."
    ),
    "batch_norm_leak": (
        "Batch normalization lets the discriminator recognise whole batches instead of judging "
        "single samples."
    ),
    "gradient_noise": "The batch is too small: each update follows chance more than the data.",
    "mode_collapse": (
        "The generator makes only a few kinds of samples, over and over, and ignores the rest "
        "of the data."
    ),
    "discriminator_overfitting": (
        "The discriminator has learned the training samples by heart and judges new real ones "
        "as fake."
    ),
    "memorization": "The generator copies training samples instead of making new ones.",
    "condition_ignored": (
        "The labels or texts given to the generator change nothing in what it makes."
    ),
    "checkerboard_artifacts": (
        "The samples show a regular grid pattern, which comes from the upsampling layers."
    ),
    "saturated_output": (
        "The generator's outputs stick to the ends of their range: flat black, white or full "
        "colour."
    ),
    "adaptive_weight_explosion": (
        "The weight of the adversarial loss is out of control: that loss drowns the others, or "
        "a safety limit alone sets its strength."
    ),
    "adversarial_cliff": (
        "Quality fell off sharply at the step where the adversarial loss was switched on."
    ),
    "adversarial_term_off": (
        "The adversarial loss has no effect on the generator: it trains as if there were no "
        "discriminator."
    ),
    "broken_metric": "The quality metric cannot be trusted: it does not measure what it should.",
}

VERDICTS = {
    "healthy": ("✓", "Healthy"),
    "sick": ("✕", "Sick"),
    "inconclusive": ("?", "Inconclusive"),
}
TRIAL_VERDICTS = {
    "keep": ("✓", "Keep the change"),
    "revert": ("✕", "Do not keep the change"),
    "inconclusive": ("?", "Inconclusive"),
}
TAKES_EFFECT = {
    "live": "can be changed while it runs",
    "surgery": "keep the weights, change the modules, go on",
    "restart": "start the run again",
}


def plain(failure: str) -> str:
    """What a failure means, in one sentence without jargon; "" for an id not known here."""
    return PLAIN.get(failure, "")


def human(identifier: str) -> str:
    """`discriminator_dominance` as "Discriminator dominance"."""
    text = identifier.replace("_", " ").strip()
    return text[:1].upper() + text[1:]


def number(value: Any) -> str:
    """A number at four significant digits; what is not finite is said in words."""
    if not isinstance(value, (int, float)):
        return str(value)
    if math.isnan(value):
        return "not a number"
    if math.isinf(value):
        return "infinite" if value > 0 else "minus infinite"
    if value == int(value) and abs(value) < 1e7:
        return whole(int(value))
    return f"{value:.4g}"


def whole(value: int) -> str:
    """12345 as "12,345"."""
    return f"{value:,}"


def p_value(value: float) -> str:
    """A p value as "p = 0.031", or "p < 0.001"."""
    if not math.isfinite(value):
        return "p not defined"
    return "p < 0.001" if value < 0.001 else f"p = {value:.2g}"


def meaning(signal: str) -> str:
    """What the catalogue says of a signal, "" for a name that is not in it."""
    entry = describe(signal)
    if entry is None:
        return ""
    unit = "" if entry.unit == "1" else f" [{entry.unit}]"
    return entry.meaning[:1].upper() + entry.meaning[1:] + unit


def joined(parts: Iterable[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    items = list(parts)
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1]


def headline(diagnosis: Diagnosis | None) -> str:
    """The sentence under the verdict."""
    if diagnosis is None:
        return "This run was not judged; below is what it left."
    first, last = (whole(step) for step in diagnosis.steps)
    if diagnosis.findings:
        top = diagnosis.findings[0]
        more = len(diagnosis.findings) - 1
        rest = "" if not more else f", and {more} more finding{'s' if more > 1 else ''}"
        return f"{human(top.failure)} since step {whole(top.since)}{rest}."
    if diagnosis.verdict == "healthy":
        return f"Nothing wrong was found from step {first} to {last}."
    return f"The signals from step {first} to {last} do not suffice for a verdict."


def trial_sentence(row: TrialRow) -> str:
    """The result of a trial in one sentence."""
    if not math.isfinite(row.improvement):
        return (
            f"No improvement of {row.metric} could be computed from {len(row.seeds)} paired seeds."
        )
    low, high = (number(v) for v in row.interval)
    return (
        f"Mean improvement of {row.metric}: {number(row.improvement)}"
        f" (95 % interval {low} to {high}, {p_value(row.p_value)},"
        f" {len(row.seeds)} paired seed{'' if len(row.seeds) == 1 else 's'})."
    )
