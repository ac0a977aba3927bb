"""One contract for every source; the rest of each kind has its own file."""

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise.data import SOURCES, ArraySource, open_source
from equipoise.errors import DataError

OFF = SimpleNamespace(flip=False, crop=0, color=0.0)
ON = SimpleNamespace(flip=True, crop=1, color=0.3)
OTHER = {"path": "somewhere", "resolution": 32, "channels": 3, "augment": ON}


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    from PIL import Image

    root = tmp_path_factory.mktemp("images")
    for i in range(9):
        Image.new("RGB", (12, 10), (i * 20, 255 - i * 20, 128)).save(root / f"{i}.png")
    return {
        "ring": open_source("ring"),
        "grid": open_source("grid"),
        "digits": open_source("digits", path=None, resolution=None, channels=None, augment=OFF),
        "digits augmented": open_source("digits", channels=1, augment=ON),
        "folder": open_source("folder", path=root, resolution=8),
        "folder augmented": open_source("folder", path=root, resolution=8, augment=ON),
    }


KINDS = ["ring", "grid", "digits", "digits augmented", "folder", "folder augmented"]


def test_every_kind_is_under_contract():
    assert {k.split()[0] for k in KINDS} == set(SOURCES)


@pytest.mark.parametrize("kind", KINDS)
def test_batches_have_the_shape_the_source_says(sources, kind):
    source = sources[kind]
    batch = source.batch(0, 0, 6)
    assert batch.shape == (6, *source.shape)
    assert batch.dtype == torch.float32
    if len(source.shape) == 3:
        assert batch.min() >= -1
        assert batch.max() <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_batches_of_7_are_batches_of_64_cut_otherwise(sources, kind):
    source = sources[kind]
    sevens = torch.cat([source.batch(5, i, 7) for i in range(0, 448, 7)])
    sixty_fours = torch.cat([source.batch(5, i, 64) for i in range(0, 448, 64)])
    assert torch.equal(sevens, sixty_fours)


@pytest.mark.parametrize("kind", KINDS)
@given(seed=st.integers(0, 2**40), start=st.integers(0, 10**6), n=st.integers(2, 80))
@settings(max_examples=10, deadline=None, derandomize=True)
def test_a_position_holds_one_sample_however_it_is_reached(sources, kind, seed, start, n):
    source = sources[kind]
    whole = source.batch(seed, start, n)
    middle = n // 2
    head, tail = source.batch(seed, start, middle), source.batch(seed, start + middle, n - middle)
    assert torch.equal(whole, torch.cat([head, tail]))
    assert torch.equal(whole, source.batch(seed, start, n))


@pytest.mark.parametrize("kind", KINDS)
def test_another_seed_and_another_position_give_other_samples(sources, kind):
    source = sources[kind]
    assert not torch.equal(source.batch(0, 0, 9), source.batch(1, 0, 9))
    assert not torch.equal(source.batch(0, 0, 9), source.batch(0, 4608, 9))


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_caller_does_to_a_batch_stays_with_the_caller(sources, kind):
    source = sources[kind]
    source.batch(0, 0, 4).fill_(99)
    source.reals(10**4, 0).fill_(99)
    assert source.batch(0, 0, 4).abs().max() < 10
    assert source.reals(4, 0).abs().max() < 10


@pytest.mark.parametrize("kind", KINDS)
def test_reference_reals_depend_on_the_seed_alone(sources, kind):
    source = sources[kind]
    few = source.reals(5, 3)
    assert few.shape == (5, *source.shape)
    assert torch.equal(few, source.reals(5, 3))
    assert not torch.equal(few, source.reals(5, 4))
    assert len(source.reals(3000, 0)) == (3000 if source.size is None else source.size)


def test_reference_reals_are_never_augmented(sources):
    assert torch.equal(sources["digits augmented"].reals(50, 0), sources["digits"].reals(50, 0))


@pytest.mark.parametrize("kind", ["digits", "folder"])
def test_each_epoch_shows_every_sample_once_in_an_order_of_its_own(sources, kind):
    source = sources[kind]
    n = source.size
    first, second = source.batch(2, 0, n).flatten(1), source.batch(2, n, n).flatten(1)
    assert not torch.equal(first, second)
    for epoch in (first, second):
        assert torch.equal(_sorted(epoch), _sorted(source.reals(n, 0).flatten(1)))


def _sorted(rows):
    return torch.tensor(sorted(rows.tolist()))


MEANINGLESS = [("ring", s) for s in OTHER] + [("grid", s) for s in OTHER]
MEANINGLESS += [("digits", s) for s in ("path", "resolution", "channels")]


@pytest.mark.parametrize(("kind", "setting"), MEANINGLESS)
def test_a_setting_that_means_nothing_is_refused(kind, setting):
    rule = f"data.{setting} = .* means nothing for data.kind = '{kind}'"
    with pytest.raises(DataError, match=rule):
        open_source(kind, **{setting: OTHER[setting]})


def test_an_unknown_kind_names_the_nearest():
    with pytest.raises(DataError, match=r"unknown data kind 'rings'; did you mean 'ring'\?"):
        open_source("rings")


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (torch.zeros(3, 2, dtype=torch.float64), "torch.float64"),
        (torch.zeros(3), r"\(N, \*shape\)"),
        (torch.zeros(0, 2), "N >= 1"),
        (torch.tensor([[0.0, float("nan")]]), "NaN or infinity"),
    ],
)
def test_an_array_that_cannot_be_trained_on_is_refused(samples, message):
    with pytest.raises(DataError, match=message):
        ArraySource(samples)


def test_points_are_not_augmented():
    with pytest.raises(DataError, match=r"data\.augment changes images"):
        ArraySource(torch.zeros(4, 2), ON)


def test_a_batch_may_span_many_epochs():
    source = ArraySource(torch.arange(3.0)[:, None])
    batch = source.batch(0, 1, 11)
    assert torch.equal(batch, torch.cat([source.batch(0, i, 1) for i in range(1, 12)]))
    assert sorted(batch[2:5, 0].tolist()) == [0, 1, 2]
