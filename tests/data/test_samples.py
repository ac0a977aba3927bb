"""Sets of samples on disk."""

import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from equipoise.data.samples import RANGES, open_samples
from equipoise.errors import DataError

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (5, 6, 4, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "images"
    (root / "deeper").mkdir(parents=True)
    (root / ".hidden").mkdir()
    for i, image in enumerate(PIXELS):
        place = root / ("deeper" if i == 2 else ".") / f"{i}.png"
        Image.fromarray(image).save(place)
    Image.fromarray(PIXELS[0]).save(root / ".hidden" / "9.png")
    (root / "notes.txt").write_text("not an image")
    return root


def zipped(folder, to):
    with zipfile.ZipFile(to, "w") as archive:
        for file in folder.rglob("*"):
            archive.write(file, file.relative_to(folder))
    return to


def everything(samples, size=2, start=0):
    batches = list(samples.batches(size, start))
    return [n for b in batches for n in b.names], torch.cat([b.values for b in batches])


ORDER = [0, 1, 3, 4, 2]  # of path: 0.png ... deeper/2.png


def test_a_folder_and_its_zip_hold_the_same_samples(folder, tmp_path):
    expected = torch.from_numpy(PIXELS[ORDER]).permute(0, 3, 1, 2)
    archive = open_samples(zipped(folder, tmp_path / "images.zip"))
    for samples in (open_samples(folder), archive):
        names, values = everything(samples)
        assert names == ["0.png", "1.png", "3.png", "4.png", "deeper/2.png"]
        assert len(samples) == 5
        assert values.dtype == torch.uint8
        assert torch.equal(values, expected)
        assert torch.equal(everything(samples, start=3)[1], expected[3:])
    assert archive.content_hash() == open_samples(folder).content_hash()


def test_one_changed_byte_changes_the_hash(folder):
    before = open_samples(folder).content_hash()
    Image.fromarray(PIXELS[3]).save(folder / "0.png")
    assert open_samples(folder).content_hash() != before


def test_sizes_and_colours_may_mix_and_never_share_a_batch(folder):
    Image.fromarray(PIXELS[0, :, :, 0]).save(folder / "1.png")
    Image.fromarray(PIXELS[0, :3]).save(folder / "3.png")
    shapes = [tuple(b.values.shape) for b in open_samples(folder).batches(4)]
    assert shapes == [(1, 3, 6, 4), (1, 1, 6, 4), (1, 3, 3, 4), (2, 3, 6, 4)]


@pytest.mark.parametrize("kind", [".npy", ".npz"])
@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
def test_an_array_of_bytes_is_read_in_either_layout(tmp_path, kind, layout):
    array = PIXELS if layout == "NHWC" else PIXELS.transpose(0, 3, 1, 2)
    place = tmp_path / f"images{kind}"
    np.save(place, array) if kind == ".npy" else np.savez(place, arr_0=array, labels=np.zeros(5))
    names, values = everything(open_samples(place))
    assert names[3] == f"images{kind}[3]"
    assert torch.equal(values, torch.from_numpy(PIXELS).permute(0, 3, 1, 2))


@pytest.mark.parametrize("values", RANGES)
def test_a_said_range_is_rounded_to_bytes(tmp_path, values):
    low, high = RANGES[values]
    floats = PIXELS.astype(np.float32) / 255 * (high - low) + low
    np.save(tmp_path / "x.npy", floats)
    samples = open_samples(tmp_path / "x.npy", values=values)
    assert torch.equal(everything(samples)[1], torch.from_numpy(PIXELS).permute(0, 3, 1, 2))


def test_features_stay_numbers(tmp_path):
    np.savez(tmp_path / "x.npz", features=RNG.normal(size=(7, 3)))
    samples = open_samples(tmp_path / "x.npz")
    assert everything(samples)[1].shape == (7, 3)
    assert len(samples.content_hash()) == 64


def floats(scale=1.0, broken=None):
    array = RNG.random((3, 4, 4, 1), dtype=np.float32) * scale
    if broken is not None:
        array[1, 0, 0, 0] = broken
    return array


@pytest.mark.parametrize(
    ("array", "values", "said"),
    [
        (floats(), None, r"say what range their values have.*'-1\.\.1'"),
        (floats(), "0-1", "was '0-1'"),
        (floats(4.0, broken=4.0), "0..1", r"image x.npy\[\d\] holds values from .*said to be 0..1"),
        (floats(broken=np.nan), "0..1", r"image x.npy\[1\] holds NaN"),
        (PIXELS, "0..1", "whose range is known"),
        (np.zeros((3, 4, 4, 7), np.uint8), None, "1 or 3 channels"),
        (np.zeros((3, 4, 4), np.uint8), None, r"shape \(3, 4, 4\)"),
        (np.array([{}]), None, "no array file, or a damaged one"),
    ],
)
def test_an_array_of_another_kind_is_refused(tmp_path, array, values, said):
    np.save(tmp_path / "x.npy", array, allow_pickle=True)
    with pytest.raises(DataError, match=said):
        everything(open_samples(tmp_path / "x.npy", values=values))


def test_what_is_no_set_of_samples_is_refused(tmp_path, folder):
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.zip").write_bytes(b"PK no")
    (tmp_path / "x.tar").write_bytes(b"")
    np.savez(tmp_path / "other.npz", weights=np.zeros(3))
    for name, said in {
        "empty": "it is empty",
        "bad.zip": "no zip archive",
        "x.tar": "samples are a folder",
        "nothing": "no such file",
        "other.npz": "holds the arrays weights",
    }.items():
        with pytest.raises(DataError, match=said):
            open_samples(tmp_path / name)


def test_a_damaged_image_is_named(folder, tmp_path):
    whole = (folder / "3.png").read_bytes()
    (folder / "3.png").write_bytes(whole[: len(whole) // 2])
    for samples in (open_samples(folder), open_samples(zipped(folder, tmp_path / "x.zip"))):
        with pytest.raises(DataError, match=r"3\.png is damaged"):
            everything(samples)
