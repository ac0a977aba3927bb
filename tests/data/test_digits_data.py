import sys

import pytest
import torch

from equipoise.data import open_source
from equipoise.data.digits import _loaded, digits, labels, split
from equipoise.errors import MissingExtraError


def test_the_digits_are_those_of_scikit_learn():
    from sklearn.datasets import load_digits

    bunch = load_digits()
    assert digits().shape == (1797, 1, 8, 8)
    assert digits().dtype == torch.float32
    assert float(digits().min()) == -1
    assert float(digits().max()) == 1
    assert torch.equal((digits()[:, 0] + 1) * 8, torch.as_tensor(bunch.images, dtype=torch.float32))
    assert torch.equal(labels(), torch.as_tensor(bunch.target))
    assert digits() is digits()


def test_the_source_knows_its_size():
    source = open_source("digits")
    assert (source.size, source.shape, source.mixture) == (1797, (1, 8, 8), None)


def test_the_split_is_seeded_and_covers_all():
    kept, held_out = split()
    assert (len(kept), len(held_out)) == (1438, 359)
    assert torch.equal(torch.cat([kept, held_out]).sort().values, torch.arange(1797))
    assert torch.equal(held_out, split()[1])
    assert not torch.equal(held_out, split(seed=1)[1])


def test_without_scikit_learn_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    _loaded.cache_clear()
    with pytest.raises(MissingExtraError, match=r"pip install 'equipoise\[train\]'"):
        digits()
    monkeypatch.undo()
    assert len(digits()) == 1797
