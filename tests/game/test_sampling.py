"""Truncation and top-k against the truncated normal's moments and sorting by hand."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import truncnorm

from equipoise.game import top_k, top_k_count, truncated_normal, truncated_style


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("threshold", [0.05, 0.5, 1.0, 2.0])
def test_truncated_z_is_a_truncated_normal(threshold):
    z = truncated_normal((400, 100), threshold, rng())
    assert z.abs().max().item() <= threshold
    expected = truncnorm(-threshold, threshold).std()
    assert z.std().item() == pytest.approx(expected, rel=0.02)
    assert torch.equal(z, truncated_normal((400, 100), threshold, rng()))


def test_an_infinite_threshold_truncates_nothing():
    assert torch.equal(
        truncated_normal((9, 3), math.inf, rng()), torch.randn(9, 3, generator=rng())
    )
    with pytest.raises(ValueError, match="threshold = 0: it is at least 0.01"):  # noqa: RUF043 - a dot matches itself
        truncated_normal((1,), 0)


def test_style_truncation_is_a_line_to_the_mean():
    w, mean = torch.randn(3, 4), torch.randn(4)
    assert torch.equal(truncated_style(w, mean, 0.0), mean.expand(3, 4))
    torch.testing.assert_close(truncated_style(w, mean, 1.0), w)
    torch.testing.assert_close(truncated_style(w, mean, 0.5), (w + mean) / 2)


@given(n=st.integers(1, 12), data=st.data())
def test_top_k_keeps_the_best_and_only_they_get_gradient(n, data):
    k = data.draw(st.integers(1, n))
    logits = torch.randperm(n, generator=rng(n)).double().requires_grad_()
    kept = top_k(-logits, logits, k)
    assert kept.tolist() == [-v for v in sorted(logits.tolist(), reverse=True)[:k]]
    kept.sum().backward()
    assert int(logits.grad.count_nonzero()) == k


def test_top_k_averages_patches():
    logits = torch.tensor([[9.0, -9.0], [1.0, 1.0], [0.0, 1.0]])
    assert top_k(torch.tensor([10.0, 20.0, 30.0]), logits, 2).tolist() == [20.0, 30.0]


def test_k_shrinks_to_its_floor():
    counts = [top_k_count(64, epoch) for epoch in (0, 1, 10, 68, 69, 1000)]
    assert counts == [64, 64, 58, 33, 32, 32]
    assert top_k_count(3, 10**6, floor=0.1) == 1


@pytest.mark.parametrize("k", [0, 4])
def test_top_k_refuses_what_it_cannot_keep(k):
    with pytest.raises(ValueError, match=f"k = {k}, 3 losses"):
        top_k(torch.zeros(3), torch.zeros(3), k)


def test_top_k_count_refuses_shares_out_of_range():
    with pytest.raises(ValueError, match="floor = 0"):
        top_k_count(64, 1, floor=0)
