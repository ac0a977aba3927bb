"""What a classifier sees: label accuracy, classes one by one, modes and their balance."""

import math

import numpy as np
import pytest
import torch

from equipoise.metrics import by_class, class_mean, class_modes, label_accuracy, stacked_modes
from equipoise.metrics.labels import STACKED_SAMPLES, expected_modes, kl_floor
from equipoise.metrics.measure import Measure, with_error


def stacked(modes):
    """Probabilities (n, 3, 10) of modes (n,) in 0..999."""
    digits = np.stack([modes // 100, modes // 10 % 10, modes % 10], axis=1)
    return 0.05 + 0.5 * np.eye(10)[digits]


def test_accuracy_counts_the_largest_logit():
    logits = torch.tensor([[2.0, 1.0], [0.0, 3.0], [5.0, 1.0], [1.0, 4.0]])
    result = label_accuracy(logits=logits, labels=torch.tensor([0, 1, 1, 1]))
    assert result.value == 0.75
    assert (result.parts["class_0"], result.parts["class_1"]) == (1, pytest.approx(2 / 3))
    assert result.parts["worst"] == pytest.approx(2 / 3)
    assert result.low < 0.75 < result.high
    assert label_accuracy(logits=logits.softmax(dim=1), labels=torch.tensor([0, 1, 1, 1])) == result


def mean_gap(real, fake):
    gap = float((real.mean(dim=0) - fake.mean(dim=0)).square().sum())
    return with_error("gap_pixels", gap, 0.3, convention={"features": "pixels"})


def test_classes_are_measured_one_by_one():
    real = torch.tensor([[0.0], [0.0], [10.0], [10.0]])
    fake = torch.tensor([[1.0], [10.0], [1.0], [12.0]])
    own, made = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 0, 1])
    found = by_class(mean_gap, real=real, real_labels=own, fake=fake, fake_labels=made)
    assert {c: m.value for c, m in found.items()} == {0: 1.0, 1: 1.0}
    assert mean_gap(real, fake).value == 1.0
    swapped = by_class(mean_gap, real=real, real_labels=own, fake=fake, fake_labels=1 - made)
    joint = class_mean(swapped)  # what the whole set cannot see: labels mixed up
    assert joint.value == pytest.approx((11**2 + 9**2) / 2)
    assert joint.parts["worst"] == 121
    assert joint.error == pytest.approx(0.3 / math.sqrt(2))
    assert joint.name == "gap_pixels_by_class"
    assert dict(joint.convention) == {"features": "pixels", "classes": 2, "weights": "equal"}


def test_a_dropped_class_is_an_error_and_not_left_out():
    x, labels = torch.zeros(6, 1), torch.tensor([0, 0, 0, 1, 1, 1])
    with pytest.raises(ValueError, match=r"fewer than 2 samples \(fake 1: 1\)"):
        by_class(mean_gap, real=x, real_labels=labels, fake=x[:4], fake_labels=labels[:4])
    with pytest.raises(ValueError, match="measures is empty"):
        class_mean({})
    no_error = class_mean({0: Measure("a", 1.0), 1: Measure("a", 3.0)})
    assert (no_error.value, no_error.error, no_error.low) == (2.0, None, None)


def test_a_perfect_sampler_of_1000_modes_is_at_the_known_floor():
    mean, spread = kl_floor(1000, STACKED_SAMPLES)
    assert mean == pytest.approx(0.0192, abs=1e-4)
    values = []
    for seed in range(5):
        modes = np.random.default_rng(seed).integers(0, 1000, STACKED_SAMPLES)
        result = stacked_modes(probabilities=stacked(modes))
        values.append(result["kl"].value)
        assert result["modes"].value == 1000
        assert "within the noise of a perfect sampler" in result["kl"].warnings[0]
        assert result["modes"].warnings == ()
        assert result["kl"].parts["floor"] == mean
    assert np.mean(values) == pytest.approx(mean, abs=2.5 * spread / math.sqrt(5) + 3e-4)
    assert np.std(values) < 3 * spread


def test_the_error_of_the_divergence_is_its_spread():
    p = np.random.default_rng(0).dirichlet(np.full(50, 0.5))
    for shares, n in ((p, 500), (np.full(50, 0.02), 2000)):
        draw = np.random.default_rng(1)
        drawn = [
            class_modes(probabilities=np.eye(50)[draw.choice(50, n, p=shares)])["kl"]
            for _ in range(200)
        ]
        spread = np.std([kl.value for kl in drawn], ddof=1)
        assert np.mean([kl.error for kl in drawn]) == pytest.approx(spread, rel=0.15)


def test_one_mode_alone_is_ln_1000_away():
    result = stacked_modes(probabilities=stacked(np.full(26_000, 123)))
    assert result["modes"].value == 1
    assert result["kl"].value == pytest.approx(math.log(1000))
    assert result["kl"].warnings == ()
    assert result["modes"].parts["expected"] == pytest.approx(1000, abs=1e-6)


def test_other_sample_sizes_are_said():
    modes = np.arange(2000) % 500
    result = stacked_modes(probabilities=stacked(modes))
    assert result["modes"].value == 500
    assert result["kl"].value == pytest.approx(math.log(2))
    assert "2000 samples: published numbers are of 26,000" in result["kl"].warnings[0]
    assert "a perfect sampler would miss 135.2 of them" in result["modes"].warnings[1]
    assert expected_modes(1000, 2000) == pytest.approx(1000 * (1 - 0.999**2000))


def test_labels_of_one_channel_are_modes_too():
    result = class_modes(probabilities=torch.eye(4)[torch.tensor([0, 0, 0, 1] * 10)])
    expected = 0.75 * math.log(3) + 0.25 * math.log(1)
    assert result["modes"].value == 2
    assert result["kl"].value == pytest.approx(expected)
    assert result["kl"].name == "kl_classifier"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: stacked_modes(probabilities=torch.zeros(5, 10)), r"must be \(n, 3, digits\)"),
        (lambda: class_modes(probabilities=torch.zeros(5, 1)), "n >= 1 and K >= 2"),
        (lambda: class_modes(probabilities=torch.full((2, 3), torch.nan)), "row 0 holds NaN"),
        (
            lambda: label_accuracy(logits=torch.zeros(2, 3), labels=torch.tensor([0, 3])),
            "labels run from 0 to 3: must be 0 to 2",
        ),
        (
            lambda: label_accuracy(logits=torch.zeros(2, 3), labels=torch.zeros(2)),
            r"must be \(2,\) integers",
        ),
    ],
)
def test_what_has_no_classes_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
