"""Neighbours and balls from float32 products equal those of a loop over pairs in float64."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise.metrics import distances
from equipoise.metrics.distances import Limits, Pairs, copies, hits, nearest, points, repeats


def slow(x, y):
    """Squared distances (N, M), in float64 from differences."""
    return np.square(x[:, None].astype(np.float64) - y[None].astype(np.float64)).sum(axis=-1)


def spoil(x, y, how):
    """Hard cases: ties, offsets, outliers, tiny and huge units, far clusters."""
    if how == "lattice":
        return np.round(x), np.round(y)
    if how == "offset":
        return x + 1e6, y + 1e6
    if how == "one point":
        return np.full_like(x, 0.1), y
    if how == "outlier":
        x = x.copy()
        x[0] *= 1e8
        return x, y
    if how in ("tiny", "huge"):
        scale = 1e-30 if how == "tiny" else 1e30
        return x * scale, y * scale
    if how == "far clusters":
        x, y = x.copy(), y.copy()
        x[: len(x) // 2] += 1e5
        y[: len(y) // 2] += 1e5
        y[-1] = x[-1]
    return x, y


HARD = ["plain", "lattice", "offset", "one point", "outlier", "tiny", "huge", "far clusters"]


@pytest.mark.parametrize("how", HARD)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(8, 40),
    m=st.integers(8, 40),
    d=st.integers(1, 9),
    k=st.integers(1, 6),
    chunk=st.sampled_from([1, 7, 16, 1024]),
    narrow=st.sampled_from([(), (0,), (1,), (0, 1)]),
    ties=st.sampled_from(["le", "lt"]),
)
@settings(max_examples=25, deadline=None, derandomize=True)
def test_nothing_depends_on_float32_or_on_chunks(how, seed, n, m, d, k, chunk, narrow, ties):
    draw = np.random.default_rng(seed)
    sets = list(spoil(draw.normal(size=(n, d)), draw.normal(size=(m, d)), how))
    for which in narrow:
        sets[which] = sets[which].astype(np.float32)
    x, y = sets
    within, across = slow(x, x), slow(x, y)
    np.fill_diagonal(within, np.inf)
    for table, other in ((within, None), (across, y)):
        squared, index = nearest(x, other, k, chunk)
        assert (squared == np.sort(table, axis=1)[:, :k]).all()
        assert (np.take_along_axis(table, index, axis=1) == squared).all()
    radius, column = np.sort(within, axis=1)[:, k - 1], np.sort(slow(y, y), axis=1)[:, k]
    groups = [Limits(0, (radius, radius / 3)), Limits(1, (column,))]
    found = np.zeros((3, n, m), dtype=bool)
    for which, i, j, masks in hits(Pairs(x, y, chunk), groups, ties):
        for number, mask in enumerate(masks):
            found[2 * which + number, i[mask], j[mask]] = True
    compare = np.less_equal if ties == "le" else np.less
    assert (found[0] == compare(across, radius[:, None])).all()
    assert (found[1] == compare(across, radius[:, None] / 3)).all()
    assert (found[2] == compare(across, column)).all()


def test_the_bounds_hold_and_are_narrow_enough_to_decide():
    draw = np.random.default_rng(0)
    x, y = draw.normal(3, 1, (90, 300)).astype(np.float32), draw.normal(3, 1, (80, 300))
    pairs = Pairs(x, y, 32)
    true = slow(x, y) * pairs.scale**2
    for rows, columns, lower in pairs.blocks():
        part = true[rows, columns]
        norms = pairs.norms[0][rows, None] + pairs.norms[1][columns]
        assert (lower <= part).all()
        assert (lower >= part - 2 * pairs.error(np.float32) * norms).all()
    assert pairs.error(np.float32) < 1e-4
    assert max(n.max() for n in pairs.norms) <= 1


def test_a_global_wish_for_less_precision_is_not_ours():
    before = torch.get_float32_matmul_precision()
    draw = np.random.default_rng(0)
    x = draw.normal(size=(60, 40)).astype(np.float32)
    torch.set_float32_matmul_precision("medium")
    try:
        squared, _ = nearest(x, None, 3)
    finally:
        torch.set_float32_matmul_precision(before)
    table = slow(x, x)
    np.fill_diagonal(table, np.inf)
    assert (squared == np.sort(table, axis=1)[:, :3]).all()


def test_rows_that_rounding_hides_are_found_again(monkeypatch):
    monkeypatch.setattr(distances, "SLACK", 0)  # no spare candidate: every close call is redone
    again = []
    kept = distances._again
    monkeypatch.setattr(distances, "_again", lambda *a: (again.append(len(a[1])), kept(*a)))
    draw = np.random.default_rng(1)
    x = np.concatenate([draw.normal(size=(40, 2)) + shift for shift in (0, 1e4)])
    squared, _ = nearest(x, None, 2, 16)
    table = slow(x, x)
    np.fill_diagonal(table, np.inf)
    assert (squared == np.sort(table, axis=1)[:, :2]).all()
    assert sum(again) > 0


def test_points_are_not_copied_and_narrow_types_stay_exact():
    x = torch.randn(5, 3)
    assert np.shares_memory(points(x, "x"), x.numpy())
    assert points(x.half(), "x").dtype == np.float32
    assert points(torch.arange(6).view(3, 2), "x").dtype == np.float64
    assert points(torch.randn(4, 2, requires_grad=True), "x").shape == (4, 2)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (torch.zeros(3), r"x has shape \(3,\): must be \(N, d\)"),
        (torch.zeros(0, 2), "N >= 1"),
        (torch.zeros(3, 0), "d >= 1"),
        (torch.tensor([[0.0], [torch.inf]]), "x: row 1 holds NaN or infinity"),
    ],
)
def test_what_is_no_set_of_points_is_refused(array, message):
    with pytest.raises(ValueError, match=message):
        points(array, "x")


def test_impossible_wishes_are_refused():
    x = np.zeros((4, 2))
    with pytest.raises(ValueError, match="k = 4 with 3 neighbours"):
        nearest(x, None, 4)
    with pytest.raises(ValueError, match="k = 0"):
        nearest(x, x, 0)
    with pytest.raises(ValueError, match="chunk = 0"):
        nearest(x, x, 1, 0)
    with pytest.raises(ValueError, match="norms are above 1e308"):
        nearest(np.array([[1e200], [-1e200]]), None, 1)


def test_repeats_and_copies_are_exact():
    x = np.array([[0.0, 1.0], [2.0, 3.0], [-0.0, 1.0], [2.0, 3.0 + 1e-15]])
    assert repeats(x, chunk=2).tolist() == [0, 1, 0, 3]
    y = np.array([[2.0, 3.0]], dtype=np.float32)
    assert copies(x, y, chunk=3).tolist() == [False, True, False, False]


def test_flipped_signs_are_no_repeats():
    x = np.random.default_rng(0).normal(size=(40, 6))
    signs = np.where(np.random.default_rng(1).random((40, 6)) < 0.5, -1.0, 1.0)
    both = np.concatenate([x, x * signs, x[:5]])
    expected = [next(i for i, r in enumerate(both) if (r == row).all()) for row in both]
    assert repeats(both).tolist() == expected
    assert copies(x * signs, x).sum() == (signs == 1).all(axis=1).sum()
