"""The core first: who is in it, how often, at which position, and what share 1 leaves alone."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise.data import (
    ArraySource,
    Mixture,
    MixtureSource,
    core_first,
    curriculum,
    open_source,
)
from equipoise.data.curriculum import mahalanobis, principal_scores, shrunk
from equipoise.data.source import Source
from equipoise.errors import DataError


class Changes:
    flip, crop, color = True, 1, 0.3


DIGITS = core_first(open_source("digits"))
CHANGED = core_first(open_source("digits", augment=Changes()))
RING = core_first(open_source("ring"))


def cloud(n=50, d=3, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def numbered(n):
    """A source whose samples say in their first coordinate which they are."""
    points = cloud(n).float()
    points[:, 0] = torch.arange(n)
    return core_first(ArraySource(points))


def which(batch):
    return batch[:, 0].long()


@pytest.mark.parametrize("kind", ["digits", "ring", "grid"])
def test_the_whole_is_bitwise_the_wrapped_source(kind):
    source = open_source(kind)
    core: Source = core_first(source)
    assert (core.shape, core.size, core.mixture) == (source.shape, source.size, source.mixture)
    assert torch.equal(core.batch(3, 70, 500), source.batch(3, 70, 500))
    core.share = 0.5
    assert torch.equal(core.reals(40, 1), source.reals(40, 1))
    assert not torch.equal(core.batch(3, 70, 500), source.batch(3, 70, 500))


@given(
    st.sampled_from([DIGITS, CHANGED, RING]),
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


@given(
    n=st.integers(1, 120),
    share=st.floats(0.001, 0.999),
    seed=st.integers(0, 99),
    epoch=st.integers(0, 5),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_an_epoch_shows_the_core_alone_and_each_of_it_as_often(n, share, seed, epoch):
    source = numbered(n)
    source.share = share
    size = max(1, round(share * n))
    shown = torch.bincount(which(source.batch(seed, epoch * n, n)), minlength=n)
    assert source.order.sort().values.tolist() == list(range(n))
    assert shown[source.order[size:]].sum() == 0
    often = shown[source.order[:size]]
    assert often.max() - often.min() <= 1


def test_over_epochs_no_sample_of_the_core_stands_in_more_than_another():
    source = numbered(60)
    source.share = 0.75
    shown = torch.bincount(which(source.batch(0, 0, 60 * 400)), minlength=60)
    often = shown[source.order[:45]].double() / 400  # 1 and a share of 1/3, deviation 0.024
    assert (often - 4 / 3).abs().max() < 0.1


@pytest.mark.parametrize("share", [0.2, 0.7])
def test_a_position_whose_usual_sample_is_in_the_core_keeps_it(share):
    source = numbered(100)
    usual = which(source.batch(1, 30, 500))
    source.share = share
    kept = source.rank[usual] < share * 100
    assert torch.equal(which(source.batch(1, 30, 500)) == usual, kept)
    assert 0 < kept.sum() < 500


def test_a_share_that_grows_with_the_images_still_shows_nearly_all_of_the_core():
    source, batches = numbered(500), []
    for images in range(0, 10_000, 20):
        source.share = 0.1 + 0.9 * images / 10_000
        batches.append(which(source.batch(0, images, 20)))
    repeated = [len(set(a.tolist()) & set(b.tolist())) for a, b in pairwise(batches)]
    assert sum(repeated[-100:]) < 0.1 * 20 * 100
    assert torch.cat(batches[-25:]).unique().numel() > 0.8 * 500


def test_outliers_come_last():
    points = torch.cat([cloud(200), torch.tensor([[9.0, 9, 9], [-9, 9, 0]], dtype=torch.float64)])
    source = core_first(ArraySource(points.float()))
    assert set(source.order[-2:].tolist()) == {200, 201}


def test_few_samples_in_many_dimensions_are_not_all_alike():
    points = cloud(12, 40)
    points[7] *= 2
    difficulty = mahalanobis(points)  # without shrinkage 11 for each
    assert difficulty.argmax() == 7
    assert difficulty.max() - difficulty.min() > 1


@pytest.mark.parametrize("shape", [(60, 3), (90, 90), (15, 40)], ids=["tall", "square", "wide"])
def test_the_distance_is_that_of_sklearn_in_the_leading_components(shape):
    from sklearn.covariance import OAS
    from sklearn.decomposition import PCA

    points = (cloud(*shape) * torch.linspace(1, 3, shape[1], dtype=torch.float64)).numpy()
    scores = PCA(svd_solver="full").fit_transform(points)
    variances = scores.var(0)
    kept = int((variances.cumsum() / variances.sum() < 0.99).sum()) + 1
    scores = scores[:, : min(kept, 64)]
    expected = torch.as_tensor(OAS().fit(scores).mahalanobis(scores))
    assert torch.allclose(mahalanobis(torch.as_tensor(points)), expected)


def test_shrinkage_draws_towards_the_mean_and_wanes_with_the_samples():
    variances = torch.tensor([4.0, 1.0, 1.0], dtype=torch.float64)
    # (18 + 36) / ((N + 1) (18 - 12)) = 9 / (N + 1)
    assert torch.allclose(shrunk(variances, 17), torch.tensor([3.0, 1.5, 1.5]).double())
    assert torch.allclose(shrunk(variances, 5), torch.tensor([2.0, 2.0, 2.0]).double())
    assert torch.allclose(shrunk(variances, 10**9), variances)
    assert shrunk(variances[:1], 5).tolist() == [4.0]


def test_iterated_components_are_the_exact_ones(monkeypatch):
    scale = 0.9 ** torch.arange(150, dtype=torch.float64)
    points = cloud(200, 150) * scale
    centred = points - points.mean(0)
    exact, distance = principal_scores(centred), mahalanobis(points)
    state = torch.get_rng_state()
    monkeypatch.setattr(curriculum, "EXACT", 100)
    iterated = principal_scores(centred)
    assert iterated.shape == exact.shape == (200, 64)
    assert torch.allclose(iterated.square(), exact.square(), atol=1e-6)
    assert torch.allclose(mahalanobis(points), distance, rtol=1e-6)
    assert torch.equal(torch.get_rng_state(), state)


def test_samples_without_variance_are_all_alike():
    assert mahalanobis(torch.ones(4, 3)).tolist() == [0, 0, 0, 0]
    assert numbered(1).difficulty.tolist() == [0]


def test_augmented_reals_keep_the_draws_of_their_position():
    source = open_source("digits", augment=Changes())
    core = core_first(source)
    core.share = 0.4
    plain, usual = DIGITS.source.batch(0, 1700, 300), source.batch(0, 1700, 300)
    samples = DIGITS.source.samples.flatten(1)
    index = (plain.flatten(1)[:, None] == samples).all(2).int().argmax(1)
    kept = core.rank[index] < round(0.4 * 1797)
    assert torch.equal(core.batch(0, 1700, 300)[kept], usual[kept])
    assert 0 < kept.sum() < 300


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_draws_of_a_mixture_stay_within_the_share_of_each_mode(share):
    source = core_first(open_source("ring"))
    source.share = share
    points = source.batch(0, 0, 8192)
    mixture = source.mixture
    distance = torch.cdist(points, mixture.centers)
    radius, mode = distance.min(1)
    bound = mixture.sigma * math.sqrt(-2 * math.log(1 - share))
    assert bound * 0.995 < radius.max() <= bound * 1.001
    inner = -torch.expm1(-(radius.double() ** 2) / 2 / mixture.sigma**2) / share  # uniform
    grid = (torch.arange(8192) + 0.5) / 8192
    assert (inner.sort().values - grid).abs().max() < 0.018  # Kolmogorov: 1.63 / sqrt(n) at 1 %
    x, y = (points - mixture.centers[mode]).double().T
    turn = torch.atan2(y, x) / (2 * math.pi) + 0.5
    assert (turn.sort().values - grid).abs().max() < 0.018
    assert (torch.bincount(mode, minlength=8) - 1024).abs().max() < 120  # 4 deviations


@pytest.mark.parametrize("share", [0.0, -1.0, 1.5, math.nan])
def test_a_share_out_of_range_is_refused(share):
    with pytest.raises(DataError, match="share = "):
        core_first(open_source("ring")).share = share


def test_a_source_without_a_core_is_refused():
    class Stream:
        shape = (3, 8, 8)

    line = Mixture(torch.tensor([[-1.0], [1.0]]), 0.1)
    for source, text in [(Stream(), "Stream of shape"), (MixtureSource(line), r"shape \(1,\)")]:
        with pytest.raises(DataError, match=text):
            core_first(source)
