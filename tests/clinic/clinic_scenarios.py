"""Synthetic runs: a well one, and what to change in it to make each kind of trouble."""

import numpy as np

from equipoise.record import Trace

READINGS = 100
STEPS = np.arange(1, READINGS + 1) * 10
PLANTED = 40  # index of the first sick reading
ONSET = int(STEPS[PLANTED])


def well_columns(count=READINGS):
    """A balanced game: a discriminator ahead but not sure, diverse fakes, both players moving."""
    t = np.arange(count)
    wave = np.sin(t * 0.7)
    return {
        "loss/discriminator": 1.1 + 0.05 * wave,
        "loss/generator": 0.9 - 0.05 * wave,
        "auc/discriminator": 0.8 + 0.03 * wave,
        "accuracy/discriminator": 0.72 + 0.03 * wave,
        "logits/gap": 1.2 + 0.1 * wave,
        "logits/real/mean": 0.6 + 0.1 * wave,
        "logits/fake/mean": -0.6 + 0.1 * wave,
        "logits/real/std": 1.0 + 0.0 * wave,
        "diversity/pairwise": 0.97 + 0.03 * wave,
        "diversity/nearest": 0.9 + 0.05 * wave,
        "gradient_norm/generator": 1.0 + 0.2 * wave,
        "gradient_norm/discriminator": 1.0 - 0.2 * wave,
        "update_ratio/generator": 1e-3 * (1 + 0.1 * wave),
        "update_ratio/discriminator": 1e-3 * (1 - 0.1 * wave),
        "updates/generator": (t + 1) * 10.0,
        "updates/discriminator": (t + 1) * 10.0,
        "learning_rate/generator": np.full(count, 2e-4),
        "learning_rate/discriminator": np.full(count, 2e-4),
    }


def run(changes=None, count=READINGS, drop=(), **kinds):
    """The well run with columns replaced (`changes`: name -> values) or dropped, first `count`."""
    columns = {k: v for k, v in well_columns().items() if k not in drop} | dict(changes or {})
    header = {"objective": "non_saturating", "adversarial_start": 0} | kinds.pop("header", {})
    shortened = {name: np.asarray(v, float)[:count] for name, v in columns.items()}
    return Trace.from_columns(STEPS[:count], shortened, header=header, **kinds)


def from_onset(before, after, at=PLANTED):
    """`before` until reading `at`, `after` from there."""
    column = np.full(READINGS, float(before))
    column[at:] = after
    return column


SURE = {
    "auc/discriminator": from_onset(0.85, 0.999),
    "accuracy/discriminator": from_onset(0.8, 0.99),
    "logits/gap": from_onset(1.5, 8.0),
}
UNDIVERSE = {
    "diversity/pairwise": from_onset(0.95, 0.2),
    "diversity/nearest": from_onset(0.9, 0.05),
}
BLIND = {
    "auc/discriminator": from_onset(0.8, 0.45),
    "loss/discriminator": from_onset(1.1, 1.6),
}


def rising_until(index, rate=10.0):
    """Updates that stop at reading `index`."""
    return np.minimum(np.arange(1, READINGS + 1), index + 1) * rate


def cosine(count=READINGS, base=2e-4):
    """A learning rate that reaches 0 in the very last reading."""
    return base * (1 + np.cos(np.pi * np.arange(count) / (count - 1))) / 2


def planted(name, value, at=PLANTED, until=None):
    """A column of the well run with `value` in readings `at` to `until` (one reading alone)."""
    column = np.array(well_columns()[name])
    column[at : at + 1 if until is None else until] = value
    return {name: column}


def falling(start=0.5, end=0.2):
    """A reconstruction that learns, with the noise of a batch."""
    t = np.arange(READINGS)
    return end + (start - end) * np.exp(-t / 12) + 0.004 * np.sin(t * 1.3)


def waving(level, size=0.2):
    """What an adaptive quantity does about its level: it never stands still."""
    return level * (1 + size * np.sin(np.arange(READINGS) * 0.9))


def beside(changes=None, start=ONSET, told=True, **kinds):
    """The well run as an adversarial term beside a reconstruction, acting from step `start` on."""
    acts = np.greater_equal(STEPS, start).astype(float)
    columns = {
        "loss/reconstruction": falling(),
        "adaptive_weight": waving(0.3) * acts,
        "adaptive_weight/at_largest": np.zeros(READINGS),
        "adaptive_weight/epsilon_share": np.full(READINGS, 0.01),
        "adversarial_share": waving(0.5, 0.01) * acts,
        "term_gradient/reconstruction": waving(0.1),
        "term_gradient/adversarial": waving(0.2),
    }
    header = {"objective": "hinge", "adversarial_start": start if told else 0}
    return run(columns | dict(changes or {}), header=header, **kinds)
