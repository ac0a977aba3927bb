"""A loss rewards the wrong answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from equipoise.clinic.adversarial import other_loss
from equipoise.clinic.objective import objective
from equipoise.clinic.windows import FEWEST, late_median
from equipoise.clinic.wiring import at, audited, wrong
from equipoise.record import Evidence, Finding, Series, Trace

COHERENT = 0.9  # |sum g| / sum |g| from which a loss pulls all logits of a group one way
SAME = 0.1  # targets closer together than this share of their distance from the logits are one
# A cross-entropy on logits wants them beyond (0, 1): its targets at 0.5 are 2.1 and -1.1 or lower;
# one on probabilities, least squares and any smoothing of them want values within (closed forms).
BEYOND = 0.2
PAST = 0.75  # of the way between the discriminator's targets: the generator's own is at 1, or 0
LINEAR_LOSSES = ("hinge", "wasserstein")  # of the generator
EXACTLY = 0.1  # of the logits' size: they move a little between the two players' updates
LINEAR = 1e3  # targets farther away are those of a loss without curvature


@dataclass(frozen=True)
class Pull:
    """Where one group of logits stands and where its loss drives it, over the audited updates."""

    logit: float
    target: float
    coherence: float
    where: str

    @property
    def up(self) -> bool:
        return self.target > self.logit


def swapped_labels(trace: Trace) -> Finding | None:
    """The pull of the losses at real and fake logits contradicts the game.

    The audit fits each gradient at the logits as c (a - t): t is where the loss wants them. In a
    game the discriminator drives reals and fakes apart and the generator drives fakes towards the
    reals' target; all three directions turned at once is the same game (Wasserstein with the other
    sign) and fine. Contradictions: the discriminator has one target for both; the generator pulls
    fakes the way the discriminator does. Also wrong arguments of a loss: probabilities where it
    takes logits (sigmoid twice), and (N, 1) against (N,), which compares all pairs. Confused with
    least squares near its labels, where signs change but targets do not, and with paired objectives
    past their margin, whose targets cross only behind a gap as wide; updates that disagree say
    nothing. Without an audit a linear loss still tells its sign by its value (`_by_value`).
    """
    told = audited(trace, "pulls")
    groups = {key: _pull(told, *key) for key in GROUPS}
    found = _directions(**{f"{p[0]}_{k}": groups[p, k] for p, k in GROUPS})
    found = found or _squashed(told) or _broadcast(audited(trace, "shapes"))
    if found is None:
        return _by_value(trace)
    fact, observed, expected, words, statistic = found
    return wrong(trace, "swapped_labels", words, fact, observed, expected, statistic=statistic)


def _by_value(trace: Trace) -> Finding | None:
    """The generator's hinge or Wasserstein loss is the mean logit of its fakes, not minus it.

    It is read as loss/adversarial, or as what another loss and the adaptive weight leave of
    loss/generator. Further terms that nobody showed make it neither, and then nothing is said.
    """
    if objective(trace) not in LINEAR_LOSSES:
        return None
    values, logits = _on_common_steps(_adversarial(trace), trace.series("logits/fake/mean"))
    ahead = late_median(trace, "logits/gap") > 0
    if len(values) < FEWEST or not ahead or float(np.median(np.abs(logits.values))) == 0:
        return None
    size = float(np.median(np.abs(logits.values)))
    if float(np.median(np.abs(values.values - logits.values))) > EXACTLY * size:
        return None
    since, last = int(values.steps[0]), int(values.steps[-1])
    summary = (
        "The generator is trained the wrong way: since step"
        f" {since} its adversarial loss is the mean logit of its fakes, which falls where they are"
        " taken for fakes: put a minus before it."
    )
    told = trace.series("logits/fake/mean").finite().since(since).until(last)
    expected = f"about {-np.median(values.values):.3g}, minus the generator's adversarial loss"
    evidence = Evidence("logits/fake/mean", float(np.median(told.values)), expected, (since, last))
    return Finding("swapped_labels", 0.98, since, summary, (evidence,))


def _adversarial(trace: Trace) -> Series:
    """The generator's adversarial loss, unweighted, as far as it can be told."""
    if "loss/adversarial" in trace:
        return trace.series("loss/adversarial").finite()
    whole, other = trace.series("loss/generator").finite(), other_loss(trace)
    if other is None:
        return whole
    whole, rest = _on_common_steps(whole, trace.series(other))
    whole, weight = _on_common_steps(
        Series(whole.steps, whole.values - rest.values), trace.series("adaptive_weight")
    )
    acts = weight.values > 0
    return Series(whole.steps[acts], whole.values[acts] / weight.values[acts])


def _on_common_steps(first: Series, second: Series) -> tuple[Series, Series]:
    first, second = first.finite(), second.finite()
    steps = np.intersect1d(first.steps, second.steps)
    pair = (Series(steps, s.values[np.isin(s.steps, steps)]) for s in (first, second))
    return next(pair), next(pair)


GROUPS = (("discriminator", "real"), ("discriminator", "fake"), ("generator", "fake"))
Found = tuple[str, float, str, str, str]


def _pull(told: Sequence[Mapping[str, Any]], player: str, kind: str) -> Pull | None:
    """The group's pull where its calls agree on the direction or on the target, else None."""
    mine = [t for t in told if (t.get("player"), t.get("kind")) == (player, kind)]
    targets = [float(t["target"]) for t in mine]
    if not mine:
        return None
    one_way = len({t["target"] > t["logit"] for t in mine}) == 1
    one_place = max(targets) - min(targets) < SAME * max(1.0, abs(median(targets)))
    if not one_way and not one_place:
        return None
    nearest = min(mine, key=lambda t: abs(t["target"] - t["logit"]))  # a flat fit throws far
    return Pull(
        median(float(t["logit"]) for t in mine),
        float(nearest["target"]) if one_way else median(targets),
        min(float(t["coherence"]) for t in mine) if one_way else 0.0,
        str(mine[-1].get("where", "")),
    )


def _directions(d_real: Pull | None, d_fake: Pull | None, g_fake: Pull | None) -> Found | None:
    if d_real is None or d_fake is None:
        return None
    gap, apart = d_real.logit - d_fake.logit, d_real.target - d_fake.target
    if _one_target(d_real, d_fake, g_fake):
        return _one_label(d_real, d_fake, g_fake)
    past = apart < 0 and gap > abs(apart) / 2  # a margin left behind: the loss may pull back
    if g_fake is None or past or not _opposes(g_fake, d_real, d_fake):
        return None
    return _generator(g_fake) if apart > 0 else _discriminator(d_fake)


def _opposes(generator: Pull, real: Pull, fake: Pull) -> bool:
    """Whether the generator drives fakes away from where the discriminator drives reals.

    Fakes that have passed their own target, or the reals, may be pulled back.
    """
    apart = real.target - fake.target
    beyond = (generator.target - fake.target) / apart if apart else 0.0
    reach = max(abs(generator.target - generator.logit), abs(fake.target - fake.logit))
    if abs(generator.target - fake.target) < SAME * min(reach, abs(apart)) and reach < LINEAR:
        return True  # the very target that the discriminator gives fakes
    away = generator.up != (apart > 0)
    lead = (generator.logit - real.logit) * (1 if apart > 0 else -1)
    back = beyond > PAST or lead > abs(generator.target - generator.logit) / 2
    return away and not back and generator.coherence >= COHERENT


def _one_target(real: Pull, fake: Pull, generator: Pull | None) -> bool:
    """Whether the discriminator's loss drives both the same way, or to the same place."""
    apart, gap = abs(real.target - fake.target), abs(real.logit - fake.logit)
    if real.up == fake.up and min(real.coherence, fake.coherence) >= COHERENT:
        reach = min(abs(real.target - real.logit), abs(fake.target - fake.logit))
        return apart - gap < SAME * reach
    way = abs(generator.target - fake.target) if generator is not None else 0.0
    return apart < SAME * min(way, gap) and gap < way / 2 and way < LINEAR


def _one_label(real: Pull, fake: Pull, generator: Pull | None) -> Found:
    """The side is wrong that is driven where the other belongs, as the generator tells."""
    known = generator is not None and generator.coherence >= COHERENT
    wrong_fake = real.up == (generator.up if generator is not None and known else True)
    side, pull = ("fake", fake) if wrong_fake else ("real", real)
    words = (
        "The discriminator's loss drives reals and fakes to the same answer: turn the label (or"
        f" sign) of its {side} term{at(pull.where)}."
    )
    return "pulls", pull.target, "targets apart", words, f"target of the {side} logits"


def _generator(fake: Pull) -> Found:
    words = (
        "The generator is trained the wrong way: its loss drives the logits of fakes away from"
        f" those of reals; turn the label (or sign) in its loss{at(fake.where)}."
    )
    return "pulls", fake.target, "where reals are driven", words, "target of the fake logits"


def _discriminator(fake: Pull) -> Found:
    words = (
        "The discriminator is trained the wrong way: its loss drives the logits of fakes where the"
        f" generator does; swap its labels (or the arguments of its loss){at(fake.where)}."
    )
    expected = "away from where the generator drives them"
    return "pulls", fake.target, expected, words, "target of the fake logits"


def _squashed(told: Sequence[Mapping[str, Any]]) -> Found | None:
    """Probabilities where the loss takes logits: a sigmoid's outputs, driven beyond (0, 1)."""
    mine = [t for t in told if t.get("squashed") and t.get("player") == "discriminator"]
    high = [t["target"] for t in mine if t["target"] > 1 + BEYOND and t["target"] < LINEAR]
    low = [t["target"] for t in mine if -LINEAR < t["target"] < -BEYOND]
    if not high or not low or len(high) + len(low) < len(mine):
        return None
    words = (
        "The discriminator ends in a sigmoid and its loss applies another: drop the sigmoid"
        f"{at(mine[-1].get('where'))}, or use the loss for probabilities."
    )
    return "pulls", high[0], "within (0, 1)", words, "target of a probability"


def _broadcast(shapes: Sequence[Mapping[str, Any]]) -> Found | None:
    if not shapes:
        return None
    count = int(shapes[0]["shape"][0])
    words = (
        f"The loss {shapes[0]['loss']!r} compares ({count}, 1) with ({count},), which makes all"
        f" {count} x {count} pairs: give both one shape, logits.view(-1) or labels.view(-1, 1)."
    )
    return "shapes", float(count * count), f"{count} values", words, "values in the loss"
