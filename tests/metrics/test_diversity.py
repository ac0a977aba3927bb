"""The Vendi score: closed forms, every order, both routes."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise.metrics import vendi, vendi_of_similarities
from equipoise.metrics.diversity import effective_number

ORDERS = [0, 0.5, 1, 2, 7.5, 300, math.inf]


def gaussian(n, d, seed):
    return np.random.default_rng(seed).normal(size=(n, d))


def peer(x, q):
    """The formula of vertaix's and dgm-eval's packages: eigenvalues of the (n, n) matrix."""
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    p = np.linalg.eigvalsh(unit @ unit.T / len(x))
    p = p[p > 1e-12]
    if q == 1:
        return np.exp(-(p * np.log(p)).sum())
    return 1 / p.max() if q == math.inf else (p**q).sum() ** (1 / (1 - q))


@pytest.mark.parametrize("q", ORDERS)
@pytest.mark.parametrize("kinds", [1, 4])
def test_equal_groups_of_unlike_samples_count_as_their_number(q, kinds):
    x = np.eye(6)[np.arange(24) % kinds]
    assert vendi(x, q=q).value == pytest.approx(kinds)  # d < n: the dual route
    wide = np.eye(40)[np.arange(24) % kinds]
    assert vendi(wide, q=q).value == pytest.approx(kinds)  # d > n: the whole matrix
    assert vendi(x * 50, q=q, kernel="rbf", sigma=1.0).value == pytest.approx(kinds)


@pytest.mark.parametrize("q", [0, 0.5, 1, 2, 7.5, math.inf])
@pytest.mark.parametrize("d", [5, 60])
def test_every_order_agrees_with_the_packages(q, d):
    x = gaussian(40, d, 0) + 0.5
    assert vendi(x, q=q).value == pytest.approx(peer(x, q))


def test_unequal_groups_match_the_orders_by_hand():
    x = np.eye(2)[[0, 0, 0, 1]]
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert vendi(x).value == pytest.approx(math.exp(entropy))
    assert vendi(x, q=2).value == pytest.approx(1 / (0.75**2 + 0.25**2))
    assert vendi(x, q=math.inf).value == pytest.approx(4 / 3)
    assert vendi(x, q=0).value == pytest.approx(2)


def test_two_samples_at_an_angle_have_the_closed_form():
    angle = 0.7
    x = np.array([[1.0, 0.0], [math.cos(angle), math.sin(angle)]])
    p = np.array([1 + math.cos(angle), 1 - math.cos(angle)]) / 2
    assert vendi(x).value == pytest.approx(np.exp(-(p * np.log(p)).sum()))


@given(seed=st.integers(0, 10**6), d=st.integers(2, 30))
@settings(max_examples=30, deadline=None, derandomize=True)
def test_order_turn_and_unit_do_not_matter_and_the_score_falls_with_q(seed, d):
    x = gaussian(20, d, seed)
    draw = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(draw.normal(size=(d, d)))
    plain = [vendi(x, q=q).value for q in ORDERS]
    for other in (x[draw.permutation(20)], x @ turn, 1e3 * x, 1e-200 * x):
        assert [vendi(other, q=q).value for q in ORDERS] == pytest.approx(plain)
    assert all(1 - 1e-9 <= b <= a * (1 + 1e-9) <= 20.1 for a, b in itertools.pairwise(plain))
    twice = np.concatenate([x, x])
    assert [vendi(twice, q=q).value for q in ORDERS] == pytest.approx(plain)  # repeats add nothing


def test_q_2_of_the_rbf_kernel_needs_no_eigenvalues():
    x = gaussian(70, 3, 0)
    gap = np.square(x[:, None] - x[None]).sum(axis=-1)
    kernel = np.exp(-gap / (2 * 1.5**2))
    whole = [effective_number(np.linalg.eigvalsh(kernel / 70), q) for q in (1, 2)]
    for chunk in (16, 1024):
        found = [vendi(x, kernel="rbf", sigma=1.5, q=q, chunk=chunk).value for q in (1, 2)]
        assert found == pytest.approx(whole)
    assert vendi_of_similarities(kernel).value == pytest.approx(whole[0])


def test_orders_beside_one_are_continuous():
    p = np.array([0.5, 0.3, 0.2])
    limit = effective_number(p, 1)
    for q in (1 - 1e-6, 1 + 1e-6, 1 + 1e-12):
        assert effective_number(p, q) == pytest.approx(limit, rel=1e-5)


def test_a_collapse_shows_and_the_convention_is_told():
    x = gaussian(500, 16, 0)
    few = x[np.arange(500) % 5]
    assert vendi(few).value < 5.01 < vendi(x).value
    result = vendi(x, q=2, features="pixels")
    assert result.name == "vendi_pixels"
    assert dict(result.convention) == {
        "features": "pixels", "kernel": "cosine", "sigma": None, "q": 2, "n": 500
    }  # fmt: skip


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: vendi(torch.ones(3, 2), q=-1), "q = -1: must be 0 or more"),
        (lambda: vendi(torch.ones(3, 2), q=math.nan), "q = nan"),
        (lambda: vendi(torch.ones(3, 2), kernel="cos"), "kernel = 'cos': must be 'cosine'"),
        (lambda: vendi(torch.ones(3, 2), kernel="rbf"), "sigma = None: kernel 'rbf' needs"),
        (lambda: vendi(torch.eye(3)[:, :2]), "row 2 is 0 and has no direction"),
        (lambda: vendi(torch.ones(10_001, 1), kernel="rbf", sigma=1.0), "up to n = 10000"),
        (lambda: vendi_of_similarities(torch.ones(3, 2)), r"must be \(n, n\), symmetric"),
        (lambda: vendi_of_similarities(2 * torch.eye(3)), "with ones on the diagonal"),
        (
            lambda: vendi_of_similarities(torch.tensor([[1.0, 2.0], [2.0, 1.0]])),
            "an eigenvalue -1 below 0",
        ),
    ],
)
def test_what_has_no_score_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
