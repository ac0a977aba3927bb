"""A bounded sample that does not depend on batches, processes or the order of merging."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise.metrics.states import FeatureStore
from equipoise.metrics.states import store as module
from equipoise.metrics.states.store import keys


def numbered(n, d=2):
    """Rows that tell their index."""
    return torch.arange(n, dtype=torch.float32)[:, None].repeat(1, d)


def slow_key(seed, index):
    """splitmix64 in Python's integers."""
    mask = (1 << 64) - 1

    def mix(z):
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        return z ^ (z >> 31)

    return mix(index ^ mix((seed + 0x9E3779B97F4A7C15) & mask))


def test_the_finalizer_is_splitmix64_s():
    # first outputs of the generator seeded with 0 and 1234567, as published with its source
    assert slow_key(0, 0) != 0
    from equipoise.metrics.states.store import _mix

    assert _mix(0) == 0xE220A8397B1DCDAF
    assert _mix(1234567) == 6457827717110365317


@given(seed=st.integers(0, 2**63 - 1), index=st.integers(0, 2**62))
def test_keys_are_the_slow_ones(seed, index):
    assert int(keys(seed, np.array([index]))[0]) == slow_key(seed, index)


@pytest.mark.parametrize("size", [1, 7, 500])
@pytest.mark.parametrize("slack", [0, 3, 1024])
def test_the_smallest_keys_stay_whatever_the_batches(monkeypatch, size, slack):
    monkeypatch.setattr(module, "SLACK", slack)
    store = FeatureStore(20, seed=3)
    for batch in numbered(500).split(size):
        store.update(batch)
    expected = sorted(sorted(range(500), key=lambda i: slow_key(3, i))[:20])
    assert store.index.tolist() == expected
    assert store.features[:, 0].tolist() == expected
    assert store.seen == 500
    assert not store.complete


def test_below_the_cap_all_stay_in_order():
    store = FeatureStore(100).update(numbered(30)).update(numbered(10), torch.arange(40, 50))
    assert store.complete
    assert store.index.tolist() == [*range(30), *range(40, 50)]
    assert store.features.dtype == torch.float32


@given(order=st.permutations(range(4)), seed=st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_the_order_of_merging_does_not_matter(order, seed):
    x = numbered(200)
    parts = [FeatureStore(17, seed, first=r, step=4).update(x[r::4]) for r in range(4)]
    merged = FeatureStore(17, seed)
    for r in order:
        merged.merge(parts[r])
    whole = FeatureStore(17, seed).update(x)
    assert torch.equal(merged.index, whole.index)
    assert torch.equal(merged.features, whole.features)
    assert merged.seen == 200


def test_every_sample_is_kept_equally_often():
    n, cap, seeds = 60, 20, 600
    hits = np.zeros(n)
    for seed in range(seeds):
        hits[FeatureStore(cap, seed).update(numbered(n)).index.numpy()] += 1
    expected, spread = seeds * cap / n, np.sqrt(seeds * (cap / n) * (1 - cap / n))
    assert np.abs(hits - expected).max() < 4.5 * spread
    assert 0.6 < hits.std() / spread < 1.4


def test_pairs_of_seeds_share_what_chance_shares():
    samples = [set(FeatureStore(50, s).update(numbered(100)).index.tolist()) for s in range(20)]
    shared = [len(a & b) for a, b in itertools.combinations(samples, 2)]
    assert np.mean(shared) == pytest.approx(25, abs=1)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_types(kind):
    store = FeatureStore(5).update(numbered(9).to(kind))
    wide = torch.float64 if kind == torch.float64 else torch.float32
    assert store.features.dtype == wide
    assert store.features[:, 0].tolist() == store.index.tolist()


def test_a_batch_that_is_overwritten_later_stays_as_it_was():
    batch = numbered(10)
    store = FeatureStore(20).update(batch)
    batch.zero_()
    assert store.features[:, 0].tolist() == list(range(10))


@pytest.mark.parametrize("count", [0, 5, 100])
def test_there_and_back(tmp_path, count):
    store = FeatureStore(20, 3, first=1, step=2)
    store.update(numbered(count))
    store.save(tmp_path / "store")
    other = FeatureStore(7)
    other.load_state_dict(store.state_dict())
    for back in (other, FeatureStore.load(tmp_path / "store")):
        again = FeatureStore(20, 3, first=1, step=2).update(numbered(count))
        assert (back.seen, back.first, back.step) == (count, 1, 2)
        back.update(numbered(50)), again.update(numbered(50))
        assert torch.equal(back.index, again.index)
        assert torch.equal(back.features, again.features)


def test_a_store_loaded_when_full_still_drops_what_it_must():
    store = FeatureStore(5, 3).update(numbered(100))
    back = FeatureStore(5)
    back.load_state_dict(store.state_dict())
    assert torch.equal(
        back.update(numbered(50)).index, FeatureStore(5, 3).update(numbered(150)).index
    )


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (lambda: FeatureStore(0), "cap=0.*at least 1"),
        (lambda: FeatureStore(3, -1), "seed=-1"),
        (lambda: FeatureStore(3, first=-1), "first=-1"),
        (lambda: FeatureStore(3).features, "saw no features"),
        (lambda: FeatureStore(3).update(torch.zeros(4)), r"\(4,\): must be \(N, d\)"),
        (lambda: FeatureStore(3).update(numbered(2)).update(torch.zeros(2, 5)), r"\(N, 2\)"),
        (lambda: FeatureStore(3).update(torch.tensor([[0.0], [np.nan]])), "sample 1 .row 1"),
        (lambda: FeatureStore(3).update(numbered(2), [1]), "for each of the 2 rows"),
        (lambda: FeatureStore(3).update(numbered(2), [1, -1]), "least value -1"),
        (lambda: FeatureStore(9).update(numbered(2), [4, 4]).features, "sample 4 came twice"),
        (lambda: FeatureStore(3).merge(FeatureStore(4)), "cap is 3 here and 4 there"),
        (lambda: FeatureStore(3, 1).merge(FeatureStore(3, 2)), "seed is 1 here and 2 there"),
        (
            lambda: FeatureStore(9).update(numbered(3)).merge(FeatureStore(9).update(numbered(2))),
            r"sample 0 came twice.*FeatureStore\(first=rank, step=world size\)",
        ),
        (
            lambda: (
                FeatureStore(9)
                .update(numbered(3))
                .merge(FeatureStore(9, first=5).update(numbered(3, 4)))
            ),
            "the width is 2 here and 4 there",
        ),
        (lambda: FeatureStore(3).load_state_dict({"cap": 3}), "state has no features"),
    ],
)
def test_what_cannot_be_is_refused(act, said):
    with pytest.raises(ValueError, match=said):
        act()


def test_a_file_that_is_none_is_refused(tmp_path):
    (tmp_path / "a").write_text("no")
    with pytest.raises(ValueError, match=r"cannot be read as \.npz"):
        FeatureStore.load(tmp_path / "a")
