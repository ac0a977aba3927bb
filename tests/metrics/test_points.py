"""Distances and scores of point clouds against hand counts and slow twins."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise.metrics.points import cloud_distances, point_cloud_scores


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def spots(*centres, points=4):
    """Tight clouds, one for each centre on a line."""
    shape = torch.tensor([[0.0, 0], [0.01, 0], [0, 0.01], [0.01, 0.01]], dtype=torch.float64)
    return torch.stack([shape[:points] + torch.tensor([c, 0.0]) for c in centres])


def slow_chamfer(a, b):
    there = [min(float((p - q).square().sum()) for q in b) for p in a]
    back = [min(float((p - q).square().sum()) for q in a) for p in b]
    return sum(there) / len(there) + sum(back) / len(back)


def slow_emd(a, b):
    each = (
        sum(float((p - b[j]).norm()) for p, j in zip(a, order, strict=True))
        for order in itertools.permutations(range(len(b)))
    )
    return min(each) / len(a)


@pytest.mark.parametrize(
    ("distance", "slow", "sizes"),
    [("chamfer", slow_chamfer, (5, 7)), ("emd", slow_emd, (5, 5))],
)
def test_distances_match_their_slow_twins(distance, slow, sizes):
    x, y = normal(3, sizes[0], 3), normal(2, sizes[1], 3, seed=1)
    table = cloud_distances(x, y, distance=distance)
    for i, j in itertools.product(range(3), range(2)):
        assert float(table[i, j]) == pytest.approx(slow(x[i], y[j]), rel=1e-9)


@pytest.mark.parametrize(("distance", "expected"), [("chamfer", 2 * 0.09), ("emd", 0.3)])
def test_a_small_shift_matches_the_closed_form(distance, expected):
    # points a unit apart, moved by .3: each one's nearest is its own copy
    grid = torch.cartesian_prod(torch.arange(3.0), torch.arange(3.0), torch.arange(2.0))[None]
    moved = grid + torch.tensor([0.3, 0, 0])
    assert float(cloud_distances(grid, moved, distance=distance)) == pytest.approx(expected)


@given(seed=st.integers(0, 10**6), distance=st.sampled_from(["chamfer", "emd"]))
@settings(max_examples=20)
def test_symmetric_zero_on_itself_and_blind_to_the_order_of_points(seed, distance):
    x, y = normal(2, 6, 3, seed=seed), normal(3, 6, 3, seed=seed + 1)
    table = cloud_distances(x, y, distance=distance)
    assert torch.allclose(table.T, cloud_distances(y, x, distance=distance))
    assert torch.allclose(table, cloud_distances(x.flip(1), y, distance=distance))
    assert cloud_distances(x, x, distance=distance).diagonal().tolist() == [0, 0]
    assert torch.allclose(table, cloud_distances(x + 5, y + 5, distance=distance), atol=1e-9)


@pytest.mark.parametrize("distance", ["chamfer", "emd"])
def test_a_case_counted_by_hand(distance):
    # every fake has real 0 nearest; 0 -> fake .1, 5 -> fake .4, 10 -> real 5
    real, fake = spots(0, 5, 10), spots(0.1, 0.2, 0.4)
    scores = point_cloud_scores(real, fake, distance=distance)
    assert scores.coverage.value == pytest.approx(1 / 3)
    assert scores.coverage.error == pytest.approx(math.sqrt(2 / 9 / 3))
    gaps = [0.1, 4.6, 9.6] if distance == "emd" else [0.02, 2 * 4.6**2, 2 * 9.6**2]
    assert scores.minimum_matching_distance.value == pytest.approx(sum(gaps) / 3, rel=0.01)
    assert scores.one_nn_accuracy.parts["real"] == pytest.approx(1 / 3)
    # .2 -> .1 and .4 -> .2; .1 has 0 and .2 at one distance, up to rounding
    assert 2 / 3 - 1e-6 <= scores.one_nn_accuracy.parts["fake"] <= 1


def test_one_law_twice_scores_one_half():
    real, fake = normal(150, 12, 3), normal(150, 12, 3, seed=1)
    scores = point_cloud_scores(real, fake)
    assert scores.one_nn_accuracy.low < 0.5 < scores.one_nn_accuracy.high
    assert scores.one_nn_accuracy.error == pytest.approx(0.5 / math.sqrt(300), rel=0.05)
    assert 0.35 < scores.coverage.value < 0.75


def test_sets_far_apart_score_one_and_copies_zero():
    real = normal(20, 12, 3)
    far = point_cloud_scores(real, real + 100)
    assert far.one_nn_accuracy.value == 1
    copies = point_cloud_scores(real, real.flip(0))
    assert copies.one_nn_accuracy.value == 0
    assert copies.coverage.value == 1
    assert copies.minimum_matching_distance.value == 0


def test_collapse_loses_coverage_and_is_told_by_one_nn():
    real = normal(40, 12, 3)
    one = real[:1].expand(40, -1, -1)
    scores = point_cloud_scores(real, one)
    assert scores.coverage.value == pytest.approx(1 / 40)
    # 40 equal fakes and the real that they copy: each has 40 tied neighbours, 39 of its own kind
    parts = scores.one_nn_accuracy.parts
    assert parts["fake"] == pytest.approx(39 / 40)
    drawn = cloud_distances(real, real).fill_diagonal_(math.inf).argmin(dim=1)
    ties = 41 + int((drawn[1:] == 0).sum())  # and the reals next to that one
    assert f"{ties} of 80 clouds have tied nearest" in scores.one_nn_accuracy.warnings[0]


def test_the_error_of_the_matching_distance_is_over_reals():
    real, fake = normal(9, 5, 2), normal(9, 5, 2, seed=1)
    least = cloud_distances(real, fake).min(dim=1).values
    measure = point_cloud_scores(real, fake).minimum_matching_distance
    assert measure.value == pytest.approx(float(least.mean()))
    assert measure.error == pytest.approx(float(least.std()) / 3)


X = normal(3, 4, 3)
BAD = [
    (lambda: point_cloud_scores(X, X[:2]), "real has 3 clouds and fake 2: must agree"),
    (lambda: point_cloud_scores(X[:1], X[:1]), "with N >= 2"),
    (lambda: point_cloud_scores(X, X[..., :2]), "points of 3 coordinates and fake of 2"),
    (lambda: point_cloud_scores(X, X, distance="camfer"), "did you mean 'chamfer'"),
    (lambda: point_cloud_scores(X, X[:, :2], distance="emd"), "needs as many in both"),
    (lambda: cloud_distances(X[:1], normal(1, 2049, 3)[:, :2049], distance="emd"), "at most 2048"),
    (lambda: point_cloud_scores(X[0], X), r"must be \(N, P, D\)"),
    (lambda: point_cloud_scores([X[0], X[1, :2]], X), "cloud 1 has shape"),
    (lambda: point_cloud_scores(X, X / 0), "fake: cloud 0 holds NaN or infinity"),
]


@pytest.mark.parametrize(("call", "said"), BAD)
def test_bad_input_is_refused(call, said):
    with pytest.raises(ValueError, match=said):
        call()


def test_blocks_change_nothing(monkeypatch):
    x, y = normal(3, 5, 3), normal(7, 5, 3, seed=1)
    whole = cloud_distances(x, y)
    monkeypatch.setattr("equipoise.metrics.points.BLOCK", 50)
    assert torch.equal(cloud_distances(x, y), whole)
