"""Memorization: fakes against held-out reals, authenticity, C_T."""

import numpy as np
import pytest
import torch

from equipoise.metrics import authenticity, copying, data_copying, memorization
from equipoise.metrics.copying import mann_whitney_z


def gaussian(n, d, seed):
    return np.random.default_rng(seed).normal(size=(n, d))


def distance(a, b):
    return np.sqrt(np.square(a[:, None] - b[None]).sum(axis=-1))


TRAIN, HELD = gaussian(400, 6, 0), gaussian(300, 6, 1)
COPIES = TRAIN[:200] + 1e-3 * gaussian(200, 6, 2)


def test_honest_fakes_lie_as_far_as_the_held_out():
    ratios, aucs, copied, inside = [], [], [], 0
    for seed in range(20):
        train, held, fake = (gaussian(200, 4, 3 * seed + i) for i in range(3))
        result = memorization(fake=fake, train=train, held_out=held, level=0.05)
        ratios.append(result["ratio"].value)
        aucs.append(result["auc"].value)
        copied.append(result["copied"].value)
        inside += result["auc"].low <= 0.5 <= result["auc"].high
    assert np.mean(ratios) == pytest.approx(1, abs=0.04)
    assert np.mean(aucs) == pytest.approx(0.5, abs=0.02)
    assert np.mean(copied) == pytest.approx(0.05, abs=0.02)
    assert inside >= 17


def test_copies_are_seen_by_all_three():
    result = memorization(fake=COPIES, train=TRAIN, held_out=HELD)
    assert result["ratio"].value < 0.01
    assert result["ratio"].high < 0.01
    assert result["auc"].value == pytest.approx(1, abs=1e-3)
    assert result["auc"].low > 0.97
    assert result["copied"].value == 1
    assert result["copied"].parts["expected"] <= 0.01


def test_a_tenth_of_copies_among_poor_fakes_shows_in_the_share_alone():
    fake = np.concatenate([COPIES[:20], 3 * gaussian(180, 6, 5)])
    result = memorization(fake=fake, train=TRAIN, held_out=HELD)
    assert result["auc"].value < 0.5
    assert result["copied"].value == pytest.approx(0.1, abs=0.01)
    assert result["copied"].low > result["copied"].parts["expected"]


def test_the_auc_and_its_error_are_those_of_every_pair():
    fake = 0.8 * gaussian(60, 6, 3)
    far, held = distance(fake, TRAIN).min(axis=1), distance(HELD, TRAIN).min(axis=1)
    wins = (far[:, None] < held) + 0.5 * (far[:, None] == held)
    result = memorization(fake=fake, train=TRAIN, held_out=HELD)["auc"]
    assert result.value == pytest.approx(wins.mean())
    delong = wins.mean(axis=1).var(ddof=1) / 60 + wins.mean(axis=0).var(ddof=1) / 300
    assert result.error == pytest.approx(np.sqrt(delong))


def test_held_out_samples_from_the_training_set_are_noticed():
    held = np.concatenate([TRAIN[:30], HELD[:20]])
    result = memorization(fake=COPIES, train=TRAIN, held_out=held)
    assert "30 of 50 held-out samples are in the training set" in result["auc"].warnings[0]
    assert "do not resolve a level" in result["copied"].warnings[1]
    assert np.isnan(result["ratio"].value)


def test_authenticity_is_dgm_evals_authpct():
    fake = gaussian(150, 6, 4)
    own = distance(TRAIN, TRAIN) + np.diag(np.full(400, np.inf))
    across = distance(TRAIN, fake)
    theirs = own.min(axis=0)[across.argmin(axis=0)] < across.min(axis=0)
    result = authenticity(fake=fake, train=TRAIN, held_out=HELD, chunk=64)
    assert result.value == theirs.mean()
    assert result.parts["held_out"] == pytest.approx(result.value, abs=0.12)
    assert authenticity(fake=COPIES, train=TRAIN).value == 0
    assert authenticity(fake=fake + 100, train=TRAIN).value == 1


def test_c_t_is_standard_normal_for_honest_fakes():
    z = []
    for seed in range(40):
        train, held, fake = (gaussian(n, 3, 3 * seed + i) for i, n in enumerate((150, 100, 120)))
        z.append(data_copying(fake=fake, train=train, held_out=held, least=5).parts["z"])
    assert abs(np.mean(z)) < 0.5
    assert 0.7 < np.std(z) < 1.35


def test_c_t_tells_copies_from_underfitting():
    copied = data_copying(fake=COPIES, train=TRAIN, held_out=HELD)
    assert copied.parts["z"] < -10
    assert copied.high < 0
    assert data_copying(fake=2 * HELD, train=TRAIN, held_out=HELD).parts["z"] > 5


def test_c_t_in_one_cell_is_the_z_of_a_mann_whitney_test():
    stats = pytest.importorskip("scipy.stats")
    fake = 0.9 * gaussian(80, 6, 3)
    far, held = distance(fake, TRAIN).min(axis=1), distance(HELD, TRAIN).min(axis=1)
    u = stats.mannwhitneyu(far, held).statistic
    m, n = len(far), len(held)
    expected = (u - m * n / 2) / np.sqrt(m * n * (m + n + 1) / 12)
    result = data_copying(fake=fake, train=TRAIN, held_out=HELD, cells=1)
    assert (result.value, result.parts["z"]) == pytest.approx((expected, expected))
    # dgm-eval adds half a count to the numerator
    theirs = (u - (m * n / 2 - 0.5)) / np.sqrt(m * n * (m + n + 1) / 12)
    assert theirs == pytest.approx(result.value, abs=0.001)


def test_c_t_over_cells_is_dgm_evals_weighted_mean():
    stats = pytest.importorskip("scipy.stats")
    sets = copying._Sets(0.9 * gaussian(150, 6, 3), TRAIN, HELD)
    fake, train, held = copying._partition(sets, 3, 1024, 0)
    assert [len(np.unique(labels)) for labels in (fake, train, held)] == [3, 3, 3]
    scores, weights = [], []
    for cell in range(3):
        near = TRAIN[train == cell]
        far = distance(sets.fake[fake == cell], near).min(axis=1)
        own = distance(HELD[held == cell], near).min(axis=1)
        m, n = len(far), len(own)
        u = stats.mannwhitneyu(far, own).statistic
        scores.append((u - m * n / 2) / np.sqrt(m * n * (m + n + 1) / 12))
        weights.append(n / len(HELD))
    result = data_copying(fake=sets.fake, train=TRAIN, held_out=HELD, least=1)
    assert result.value == pytest.approx(np.dot(weights, scores))
    assert result.parts["z"] == pytest.approx(np.dot(weights, scores) / np.linalg.norm(weights))
    assert (result.parts["z_least"], result.parts["z_most"]) == (min(scores), max(scores))


def test_tied_distances_are_corrected_for():
    stats = pytest.importorskip("scipy.stats")
    draw = np.random.default_rng(0)
    first, second = (draw.integers(0, 4, n).astype(float) for n in (40, 50))
    test = stats.mannwhitneyu(first, second, method="asymptotic", use_continuity=False)
    assert 2 * stats.norm.sf(abs(mann_whitney_z(first, second))) == pytest.approx(test.pvalue)
    assert mann_whitney_z(np.ones(5), np.ones(7)) == 0


def test_cells_without_fakes_are_named_and_all_of_them_refused():
    train = np.concatenate([gaussian(60, 2, 0), gaussian(60, 2, 1) + 50])
    held = np.concatenate([gaussian(40, 2, 2), gaussian(40, 2, 3) + 50])
    result = data_copying(fake=gaussian(50, 2, 4), train=train, held_out=held, cells=2)
    assert result.parts["cells"] == 1
    assert "1 of 2 cells are left out" in result.warnings[0]
    with pytest.raises(ValueError, match="no cell of 2 has 99 fakes"):
        data_copying(fake=HELD[:99], train=TRAIN, held_out=HELD, cells=2, least=99)
    again = data_copying(fake=gaussian(50, 2, 4), train=train, held_out=held, cells=2, chunk=16)
    assert again == result


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"train": torch.zeros(5, 3)}, "train and fake have 3 and 2 dimensions"),
        ({"held_out": torch.zeros(5, 3)}, "train and held_out have 2 and 3 dimensions"),
        ({"fake": torch.full((4, 2), torch.nan)}, "fake: row 0"),
        ({"held_out": torch.zeros(0, 2)}, "held_out has shape"),
    ],
)
@pytest.mark.parametrize("metric", [memorization, authenticity, data_copying])
def test_what_cannot_be_compared_is_refused(metric, more, message):
    zeros = torch.zeros(4, 2)
    with pytest.raises(ValueError, match=message):
        metric(**({"fake": zeros, "train": zeros, "held_out": zeros} | more))


def test_levels_and_cells_outside_their_range_are_refused():
    with pytest.raises(ValueError, match=r"level = 1\.0: must be above 0"):
        memorization(fake=HELD, train=TRAIN, held_out=HELD, level=1.0)
    with pytest.raises(ValueError, match="cells = 0: must be 1 to 400"):
        data_copying(fake=HELD, train=TRAIN, held_out=HELD, cells=0)
