"""The core first: who is in it, how often, at which position, and what share 1 leaves alone."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise.data import ArraySource, core_first, open_source
from equipoise.data.curriculum import mahalanobis
from equipoise.data.source import Source
from equipoise.errors import DataError

DIGITS = core_first(open_source("digits"))
RING = core_first(open_source("ring"))


def cloud(n=50, d=3, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("kind", ["digits", "ring", "grid"])
def test_the_whole_is_bitwise_the_wrapped_source(kind):
    source = open_source(kind)
    curriculum: Source = core_first(source)
    assert (curriculum.shape, curriculum.size) == (source.shape, source.size)
    assert torch.equal(curriculum.batch(3, 70, 500), source.batch(3, 70, 500))
    curriculum.share = 0.5
    assert torch.equal(curriculum.reals(40, 1), source.reals(40, 1))
    assert not torch.equal(curriculum.batch(3, 70, 500), source.batch(3, 70, 500))
    assert (curriculum.mixture is None) == (kind == "digits")


@given(
    st.sampled_from([DIGITS, RING]),
    st.integers(0, 9),
    st.integers(0, 5000),
    st.lists(st.integers(1, 300), min_size=1, max_size=4),
    st.sampled_from([0.01, 0.3, 0.77, 1.0]),
)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_a_position_holds_the_same_sample_however_batches_are_cut(source, seed, first, cuts, share):
    source.share = share
    parts, at = [], first
    for n in cuts:
        parts.append(source.batch(seed, at, n))
        at += n
    assert torch.equal(torch.cat(parts), source.batch(seed, first, sum(cuts)))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_an_epoch_shows_every_sample_of_the_core_once_and_no_other(share):
    points = cloud(101).float()
    source = core_first(ArraySource(points))
    source.share = share
    size = math.ceil(share * 101)
    shown = source.batch(0, 2 * size, size)
    core = points[source.order[:size]]
    assert sorted(map(tuple, shown.tolist())) == sorted(map(tuple, core.tolist()))
    assert source.difficulty[source.order[0]] == source.difficulty.min()


def test_outliers_come_last():
    points = torch.cat([cloud(200), torch.tensor([[9.0, 9, 9], [-9, 9, 0]], dtype=torch.float64)])
    source = core_first(ArraySource(points.float()))
    assert set(source.order[-2:].tolist()) == {200, 201}


@pytest.mark.parametrize("shape", [(60, 3), (5, 40)], ids=["tall", "wide"])
def test_the_distance_is_mahalanobis_in_the_leading_components(shape):
    points = cloud(*shape) * torch.linspace(1, 3, shape[1], dtype=torch.float64)
    centred = points - points.mean(0)
    _, s, v = torch.linalg.svd(centred, full_matrices=False)
    share = s.square().cumsum(0) / s.square().sum()
    kept = int((share < 0.99).sum()) + 1
    scores = centred @ v[:kept].T
    expected = (scores.square() / (s[:kept].square() / shape[0])).sum(1)
    assert torch.allclose(mahalanobis(points), expected)
    assert mahalanobis(points).mean().item() == pytest.approx(kept)  # trace of C^-1 C


def test_samples_without_variance_are_all_alike():
    assert mahalanobis(torch.ones(4, 3, dtype=torch.float64)).tolist() == [0, 0, 0, 0]


def test_augmented_reals_keep_their_draws():
    class Flip:
        flip, crop, color = True, 0, 0.0

    plain, flipped = open_source("digits"), open_source("digits", augment=Flip())
    a, b = core_first(plain), core_first(flipped)
    a.share = b.share = 0.2
    first, second = a.batch(0, 0, 100), b.batch(0, 0, 100)
    same = (first == second).flatten(1).all(1)
    mirrored = (first.flip(3) == second).flatten(1).all(1)
    assert (same | mirrored).all()
    assert 20 < int(mirrored.sum()) < 80


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_draws_of_a_mixture_stay_within_the_share_of_each_mode(share):
    source = core_first(open_source("ring"))
    source.share = share
    points = source.batch(0, 0, 8192)
    mixture = source.mixture
    distance = torch.cdist(points, mixture.centers)
    radius, mode = distance.min(1)
    bound = mixture.sigma * math.sqrt(-2 * math.log(1 - share))
    assert radius.max() <= bound * 1.001
    inner = -torch.expm1(-(radius.double() ** 2) / 2 / mixture.sigma**2) / share  # uniform
    grid = (torch.arange(8192) + 0.5) / 8192
    assert (inner.sort().values - grid).abs().max() < 0.02  # Kolmogorov: 1.63 / sqrt(n) at 1 %
    assert torch.bincount(mode, minlength=8).min() > 8192 / 8 * 0.85


@pytest.mark.parametrize("share", [0.0, -1.0, 1.5, math.nan])
def test_a_share_out_of_range_is_refused(share):
    with pytest.raises(DataError, match="share = "):
        core_first(open_source("ring")).share = share


def test_a_source_without_a_core_is_refused():
    class Stream:
        shape = (3, 8, 8)

    with pytest.raises(DataError, match="Stream of shape"):
        core_first(Stream())
