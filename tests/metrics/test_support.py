"""Duplicates and support size: birthdays, thresholds by the reals, what a collapse shows."""

import math

import numpy as np
import pytest
import torch

from equipoise.metrics import birthday_batch, duplicates, near_threshold, support_size
from equipoise.metrics.intervals import poisson_interval, wilson


def gaussian(n, d, seed):
    return np.random.default_rng(seed).normal(size=(n, d))


def outcomes(n, size, seed, d=3):
    """n draws of `size` equally likely points."""
    draw = np.random.default_rng(seed)
    return gaussian(size, d, 10**6)[draw.integers(0, size, n)]


@pytest.mark.parametrize(("support", "batch"), [(1797, 50), (60_000, 288)])
def test_half_of_all_batches_collide_at_1_177_root_n(support, batch):
    assert birthday_batch(support) == pytest.approx(1.177 * math.sqrt(support), rel=0.02)
    assert abs(birthday_batch(support) - batch) < 1
    none = math.prod(1 - i / support for i in range(batch))
    assert none == pytest.approx(0.5, abs=0.01)


def test_the_birthday_batch_is_what_arora_and_zhang_would_see():
    batch, draw = round(birthday_batch(400)), np.random.default_rng(0)
    hit = [len(set(draw.integers(0, 400, batch).tolist())) < batch for _ in range(2000)]
    assert np.mean(hit) == pytest.approx(0.5, abs=0.035)


@pytest.mark.parametrize(("support", "n"), [(50, 120), (400, 300), (5000, 1500)])
def test_support_size_is_found_with_an_honest_interval(support, n):
    found = [support_size(fake=outcomes(n, support, seed)) for seed in range(40)]
    pooled = 1 / np.mean([1 / m.value for m in found])  # 1 / S is the unbiased one
    assert pooled == pytest.approx(support, rel=0.06)
    assert sum(m.low <= support <= m.high for m in found) >= 35
    middle = found[0]
    assert middle.parts["pairs"] == n * (n - 1) / 2
    assert middle.parts["batch_of_half"] == pytest.approx(birthday_batch(middle.value))


def test_unequal_outcomes_have_the_size_of_one_over_the_sum_of_squares():
    p = np.array([0.5] + [0.005] * 100)
    places, draw = gaussian(101, 2, 0), np.random.default_rng(1)
    found = [support_size(fake=places[draw.choice(101, 400, p=p)]) for _ in range(40)]
    truth = 1 / np.square(p).sum()
    assert truth == pytest.approx(3.96, abs=0.01)
    assert 1 / np.mean([1 / m.value for m in found]) == pytest.approx(truth, rel=0.05)
    # collisions clump here, and an interval for independent pairs would miss nearly always
    assert sum(m.low <= truth <= m.high for m in found) >= 34
    assert all(m.high < 101 for m in found)  # a lower bound of the 101


def test_no_collision_gives_a_lower_bound_and_says_so():
    result = support_size(fake=gaussian(100, 4, 0))
    assert math.isinf(result.value)
    assert math.isinf(result.high)
    assert result.low == pytest.approx(4950 / 3.6889, rel=1e-3)
    assert result.error is None
    assert "0 collisions among 100 samples" in result.warnings[0]


def test_one_repeated_image_has_support_one():
    result = support_size(fake=torch.ones(30, 5))
    assert (result.value, result.low) == (1, 1)


def test_a_collapse_to_200_points_is_seen_as_4800_duplicates():
    n, kept = 5000, 200
    real = gaussian(n, 64, 0).astype(np.float32)
    fake = real[np.random.default_rng(1).permutation(n)[:kept]][np.arange(n) % kept] * 1.1
    result = duplicates(fake=fake, real=real)
    assert result.value == 1
    assert (result.parts["repeats"], result.parts["distinct"]) == (4800, 200)
    assert result.parts["expected"] == pytest.approx(0.01, abs=0.002)


def test_fakes_of_the_reals_law_have_as_many_twins_as_the_reals():
    shares = []
    for seed in range(20):
        real, fake = gaussian(600, 3, 2 * seed), gaussian(600, 3, 2 * seed + 1)
        result = duplicates(fake=fake, real=real, quantile=0.05)
        shares.append(result.value)
        assert result.parts["repeats"] == 0
        assert result.parts["threshold"] == pytest.approx(near_threshold(real, 0.05))
    assert np.mean(shares) == pytest.approx(0.05, abs=0.012)


def test_near_twins_of_a_jittered_collapse_are_seen():
    real = gaussian(800, 16, 0)
    fake = gaussian(40, 16, 1)[np.arange(800) % 40] + 1e-3 * gaussian(800, 16, 2)
    near = duplicates(fake=fake, real=real)
    assert (near.value, near.parts["repeats"]) == (1, 0)
    assert duplicates(fake=fake).value == 0  # exact repeats alone
    size = support_size(fake=fake, real=real)
    assert size.low < 42
    assert size.high > 38
    assert size.value == pytest.approx(40, rel=0.1)
    assert size.parts["real"] > 1000


def test_a_continuous_generator_is_not_given_a_small_support():
    real, fake = gaussian(600, 4, 0), gaussian(600, 4, 1)
    result = support_size(fake=fake, real=real, quantile=0.1)
    assert any("the reals collide as often" in w for w in result.warnings)


def test_a_slow_count_agrees_at_any_chunk():
    y = gaussian(70, 2, 0)
    gap = np.sqrt(np.square(y[:, None] - y[None]).sum(axis=-1)) + 9 * np.eye(70)
    for chunk in (1, 16, 1024):
        share = duplicates(fake=y, threshold=0.2, chunk=chunk)
        assert share.value == (gap <= 0.2).any(axis=1).mean()
        size = support_size(fake=y, threshold=0.2, chunk=chunk)
        assert size.parts["collisions"] == (gap <= 0.2).sum() / 2


def test_order_does_not_matter():
    y = outcomes(80, 30, 0)
    turned = y[np.random.default_rng(0).permutation(80)]
    assert duplicates(fake=y).value == duplicates(fake=turned).value
    assert support_size(fake=y).value == support_size(fake=turned).value


def test_more_fakes_than_reals_are_warned_about():
    result = duplicates(fake=gaussian(100, 3, 0), real=gaussian(50, 3, 1))
    assert "100 fakes against 50 reals" in result.warnings[0]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"threshold": -1.0}, "threshold = -1.0: must be a distance"),
        ({"real": torch.zeros(5, 2), "quantile": 1.5}, "quantile = 1.5: must be within"),
        ({"real": torch.zeros(5, 3)}, "real and fake have 3 and 2 dimensions"),
        ({"fake": torch.zeros(1, 2)}, "N >= 2"),
    ],
)
@pytest.mark.parametrize("metric", [duplicates, support_size])
def test_what_cannot_be_counted_is_refused(metric, more, message):
    with pytest.raises(ValueError, match=message):
        metric(**({"fake": torch.zeros(4, 2)} | more))


def test_intervals_have_their_known_ends():
    # Garwood's for 0 and 10 events; Wilson's for 0 of 10 and 1 of 2
    assert poisson_interval(0) == pytest.approx((0, 3.6889), abs=1e-4)
    assert poisson_interval(10) == pytest.approx((4.7954, 18.3904), abs=1e-3)
    assert wilson(0.0, 10) == pytest.approx((0, 0.27753), abs=1e-4)
    assert wilson(0.5, 2) == pytest.approx((0.09453, 0.90547), abs=1e-4)
