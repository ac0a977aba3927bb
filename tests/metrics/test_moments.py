"""Streaming moments: equal to numpy's in one pass, in any batches, merged, reduced or reloaded."""

import itertools
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import distributed

from equipoise.metrics.states import FeatureStore, Moments
from equipoise.metrics.states import moments as module

SCRIPT = Path(__file__).parent / "moments_process.py"


def gaussian(n, d, seed, offset=0.0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=generator, dtype=torch.float64) + offset


def slow(x):
    """Mean and covariance by the definition, sample by sample, in Python's exact sums."""
    from math import fsum

    x = x.double().tolist()
    n, d = len(x), len(x[0])
    mean = [fsum(row[i] for row in x) / n for i in range(d)]
    return mean, [
        [fsum((r[i] - mean[i]) * (r[j] - mean[j]) for r in x) / (n - 1) for j in range(d)]
        for i in range(d)
    ]


def streamed(x, size):
    state = Moments(x.shape[1])
    for batch in x.split(size):
        state.update(batch)
    return state


def assert_alike(first, second, rel=1e-10):
    assert first.n == second.n
    scale = float(second.scatter.diagonal().max())
    assert torch.allclose(first.scatter, second.scatter, rtol=rel, atol=rel * scale)
    assert torch.allclose(first.mean, second.mean, rtol=rel, atol=1e-12)


@pytest.mark.parametrize("offset", [0.0, 100.0, 1e6])
@pytest.mark.parametrize("size", [1, 7, 64, 5000])
def test_any_batches_give_the_definition(monkeypatch, size, offset):
    monkeypatch.setattr(module, "FLUSH", 16)
    x = gaussian(60, 5, 0, offset)
    mean, covariance = slow(x)
    state = streamed(x, size)
    assert state.n == 60
    assert np.allclose(state.mean, mean, rtol=1e-14)
    assert np.allclose(state.covariance(), covariance, rtol=1e-8, atol=1e-9)
    assert torch.allclose(state.covariance("n") * 60, state.covariance() * 59)


def test_the_mean_needs_no_matrix_product(monkeypatch):
    x = gaussian(1100, 3, 4, 5.0)
    state = Moments.of(x)
    monkeypatch.setattr(module, "_add_scatter", None)
    assert np.allclose(state.mean, x.numpy().mean(axis=0), rtol=1e-14)
    assert state.n == 1100


def test_features_far_from_zero_lose_nothing():
    # raw sums of squares in float32, as torcheval has them, are off by 4 in the distance here
    x = gaussian(5000, 32, 1, offset=100.0).float()
    expected = np.cov(x.double().numpy(), rowvar=False)
    assert np.allclose(streamed(x, 64).covariance(), expected, rtol=1e-10, atol=1e-12)


def test_features_that_drift_lose_nothing():
    x = gaussian(4000, 4, 2) + torch.linspace(0, 1e7, 4000, dtype=torch.float64)[:, None]
    expected = np.cov(x.numpy(), rowvar=False)
    assert np.allclose(streamed(x, 64).covariance(), expected, rtol=1e-12)


@given(seed=st.integers(0, 10**6), cuts=st.lists(st.integers(0, 50), min_size=1, max_size=4))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_merging_is_one_pass_and_associative(seed, cuts):
    x = gaussian(50, 3, seed, offset=10.0)
    edges = [0, *sorted(cuts), 50]
    parts = [Moments(3).update(x[a:b]) for a, b in itertools.pairwise(edges)]
    left = Moments(3)
    for part in parts:
        left.merge(part)
    right = Moments(3)
    for part in reversed(parts):
        right = part.copy().merge(right)
    whole = Moments.of(x)
    assert_alike(left, whole)
    assert_alike(right, whole)
    assert sum(part.n for part in parts) == 50  # merging leaves the parts as they are


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_narrow_types_are_raised_to_float64(kind):
    x = (300 * gaussian(200, 3, 3)).to(kind)  # squares of float16 overflow
    state = streamed(x, 32)
    assert state.covariance().dtype == torch.float64
    assert np.allclose(state.covariance(), np.cov(x.double().numpy(), rowvar=False), rtol=1e-10)


def test_integers_and_numpy_are_taken():
    x = np.arange(12).reshape(4, 3)
    assert np.allclose(Moments.of(x).covariance(), np.cov(x, rowvar=False))


def test_memory_does_not_grow():
    state = streamed(gaussian(3000, 8, 0), 100)
    assert sum(t.numel() for t in vars(state).values() if isinstance(t, torch.Tensor)) == (
        8 + 8 * 8 + 1024 * 8
    )


def test_what_the_caller_does_to_results_does_not_reach_the_state():
    state = Moments.of(gaussian(20, 2, 0))
    before = state.mean.clone(), state.covariance()
    state.mean.zero_()
    state.scatter.zero_()
    assert torch.equal(state.mean, before[0])
    assert torch.equal(state.covariance(), before[1])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_broken_sample_is_named_and_its_batch_left_out(value):
    state = Moments(3).update(torch.zeros(10, 3))
    batch = torch.ones(8, 3)
    batch[4, 1] = batch[6, 0] = value
    with pytest.raises(ValueError, match=r"sample 14 \(row 4 of this batch\) holds NaN or inf.* 2"):
        state.update(batch)
    assert state.n == 10
    assert float(state.mean.sum()) == 0


def test_finite_values_whose_sum_overflows_are_taken():
    state = Moments(1).update(torch.full((4, 1), 1e308, dtype=torch.float64) / 10)
    assert state.n == 4


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (lambda: Moments(0), r"d=0.*must be at least 1"),
        (lambda: Moments(3, device="mps"), "float64"),
        (lambda: Moments(3).update(torch.zeros(4, 2)), r"\(4, 2\): must be \(N, 3\)"),
        (lambda: Moments.of(torch.zeros(2, 1, 8, 8)), r"\(2, 1, 8, 8\): must be \(N, d\)"),
        (lambda: Moments(3).mean, "saw 0 samples: .* at least 1"),
        (lambda: Moments.of(torch.zeros(1, 3)).covariance(), "saw 1 samples: .* at least 2"),
        (lambda: Moments.of(torch.zeros(4, 3)).covariance("N"), "divisor = 'N'"),
        (lambda: Moments(3).merge(Moments(4)), "the width is 3 here and 4 there"),
        (lambda: Moments(3).load_state_dict({"n": 3}), "state has no m2, mean"),
        (lambda: Moments(2).load_state_dict(Moments(3).state_dict()), r"\(3,\) and \(3, 3\)"),
        (lambda: Moments(3).reduce(), "torch.distributed is not initialized"),
    ],
)
def test_what_cannot_be_is_refused(act, said):
    error = RuntimeError if "distributed" in said else ValueError
    with pytest.raises(error, match=said):
        act()


def test_a_state_goes_on_where_it_was_left():
    x = gaussian(90, 4, 5)
    first = Moments.of(x[:40])
    fresh = Moments(4)
    fresh.load_state_dict(first.state_dict())
    assert torch.equal(fresh.scatter, first.scatter)
    assert_alike(fresh.update(x[40:]), Moments.of(x))
    assert first.n == 40


def test_a_fresh_state_is_told_and_merged_too():
    fresh = Moments(3)
    other = Moments(3)
    other.load_state_dict(fresh.state_dict())
    assert other.merge(fresh).n == 0


@pytest.mark.parametrize("name", ["stats.npz", "stats"])
def test_files_go_there_and_back(tmp_path, name):
    state = Moments.of(gaussian(30, 4, 6, offset=5.0))
    state.save(tmp_path / name)
    back = Moments.load(tmp_path / name)
    assert_alike(back, state, rel=1e-14)
    assert_alike(back.update(gaussian(5, 4, 7)), state.update(gaussian(5, 4, 7)))


def test_published_statistics_are_read(tmp_path):
    x = gaussian(30, 4, 8).numpy()
    mu, sigma = x.mean(axis=0), np.cov(x, rowvar=False)
    np.savez(tmp_path / "ref.npz", mu=mu, sigma=sigma, mu_s=mu, sigma_s=sigma)
    state = Moments.load(tmp_path / "ref.npz")
    assert state.n is None
    assert np.array_equal(state.covariance(), sigma)
    with pytest.raises(ValueError, match=r"do not tell their n.*Moments.load\(path, n="):
        Moments(4).merge(state)
    with pytest.raises(ValueError, match="cannot take in more"):
        state.update(x)
    known = Moments.load(tmp_path / "ref.npz", n=30)
    assert_alike(known, Moments.of(x))
    by_n = Moments.load(tmp_path / "ref.npz", n=30, divisor="n")
    assert np.allclose(by_n.covariance("n"), sigma)
    twin = state.copy()
    assert twin.n is None


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"features": np.zeros((4, 2))}, "holds features: must hold mu and sigma"),
        ({"mu": np.zeros(3), "sigma": np.eye(2)}, r"\(3,\) and \(2, 2\)"),
        ({"mu": np.zeros(2), "sigma": np.eye(2) * np.nan}, "NaN or infinity"),
        ({"mu": np.zeros(2), "sigma": np.triu(np.ones((2, 2)))}, "not symmetric"),
        ({"mu": np.zeros(2), "sigma": np.eye(2), "n": 1}, "at least 2 samples"),
    ],
)
def test_files_that_are_none_are_refused(tmp_path, arrays, said):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(ValueError, match=said):
        Moments.load(tmp_path / "a.npz")


def test_what_would_run_code_is_not_opened(tmp_path):
    np.save(tmp_path / "a.npz", np.array([{"mu": 1}], dtype=object), allow_pickle=True)
    (tmp_path / "a.npz.npy").rename(tmp_path / "a.npz")
    with pytest.raises(ValueError, match=r"cannot be read as \.npz of plain arrays"):
        Moments.load(tmp_path / "a.npz")
    with pytest.raises(ValueError, match="cannot be read"):
        Moments.load(tmp_path / "absent.npz")


def test_an_n_that_contradicts_the_file_is_refused(tmp_path):
    Moments.of(gaussian(30, 2, 0)).save(tmp_path / "a.npz")
    with pytest.raises(ValueError, match=r"n = 40: .* says 30"):
        Moments.load(tmp_path / "a.npz", n=40)


@pytest.mark.skipif(
    not distributed.is_available() or not distributed.is_gloo_available(), reason="no gloo here"
)
@pytest.mark.parametrize("size", [1, 2, pytest.param(4, marks=pytest.mark.slow)])
def test_processes_reduce_to_one_pass(tmp_path, size):
    x = gaussian(203, 6, 9, offset=50.0)
    torch.save(x, tmp_path / "x.pt")
    command = [sys.executable, "-W", "ignore", str(SCRIPT)]
    running = [
        subprocess.Popen([*command, str(rank), str(size), str(tmp_path)], stderr=subprocess.PIPE)
        for rank in range(size)
    ]
    said = [process.communicate(timeout=120)[1].decode() for process in running]
    assert [process.returncode for process in running] == [0] * size, said
    single = FeatureStore(20, seed=5).update(x)
    for rank in range(size):
        told = torch.load(tmp_path / f"rank{rank}.pt", weights_only=True)
        assert told["n"] == told["seen"] == 203
        assert np.allclose(told["covariance"], np.cov(x.numpy(), rowvar=False), rtol=1e-10)
        assert np.allclose(told["mean"], x.numpy().mean(axis=0), rtol=1e-13)
        assert torch.equal(told["again"], told["covariance"])  # nothing is counted twice
        assert told["local"] < 203 or size == 1
        assert torch.equal(told["index"], single.index)
        assert torch.equal(told["features"], single.features)
        assert ("lies between" in told.get("refused", "")) == (size > 1)


def test_nothing_is_warned_or_printed(capfd):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Moments.of(gaussian(5, 3, 0)).covariance()
    assert capfd.readouterr() == ("", "")
