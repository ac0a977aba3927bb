import pytest
import torch

from equipoise.errors import DataError
from equipoise.features import Preprocess
from equipoise.features.images import NORMALIZATIONS, QUANTIZATIONS

EVERY_LEVEL = torch.arange(256, dtype=torch.uint8)
LEVELS = EVERY_LEVEL.view(1, 1, 16, 16).expand(2, 3, 16, 16)
BYTES = {"normalize": "bytes"}


@pytest.mark.parametrize("name", QUANTIZATIONS)
def test_every_level_comes_back(name):
    images = EVERY_LEVEL.double() / 127.5 - 1
    nudge = 1e-6 if name == "truncate" else 0  # a floor: from a hair below it gives one level less
    found = QUANTIZATIONS[name](images + nudge)
    assert torch.allclose(found, EVERY_LEVEL.double(), atol=1e-3)


@pytest.mark.parametrize(
    ("name", "value", "level"),
    [
        ("round", -1, 0),
        ("round", 1, 255),
        ("round", 0, 128),  # 127.5: halves go up
        ("round", 0.6 / 127.5 - 1, 1),
        ("round", 0.4 / 127.5 - 1, 0),
        ("round", 7.0, 255),
        ("truncate", 0.6 / 127.5 - 1, 0),
        ("truncate", 0, 127),
        ("truncate", 1, 255),
        ("none", 0.6 / 127.5 - 1, 0.6),
    ],
)
def test_quantization_by_its_formula(name, value, level):
    assert float(QUANTIZATIONS[name](torch.tensor(float(value)))) == pytest.approx(level, abs=1e-4)


def test_truncation_is_half_a_level_darker():
    images = torch.linspace(-1, 1, 100_001)
    rounded, truncated = (QUANTIZATIONS[name](images).mean() for name in ("round", "truncate"))
    assert float(rounded - truncated) == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(
    ("name", "black", "white"),
    [
        ("bytes", (0, 0, 0), (255, 255, 255)),
        ("tf", (-1, -1, -1), (127 / 128,) * 3),
        ("unit", (-1, -1, -1), (1, 1, 1)),
        ("imagenet", (-2.1179, -2.0357, -1.8044), (2.2489, 2.4286, 2.64)),
        ("clip", (-1.7923, -1.7521, -1.4802), (1.9303, 2.0749, 2.1459)),
    ],
)
def test_normalization_of_black_and_white(name, black, white):
    images = torch.tensor([0.0, 255.0]).view(2, 1, 1, 1).expand(2, 3, 1, 1)
    found = NORMALIZATIONS[name](images).flatten(1)
    assert torch.allclose(found, torch.tensor([black, white]).float(), atol=1e-4)


@pytest.mark.parametrize("change", [{}, {"low": 0.0}, {"low": 0.0, "high": 255.0}])
def test_floats_of_any_declared_range_give_the_levels_that_bytes_do(change):
    prepare = Preprocess(**BYTES, **change)
    spread = prepare.high - prepare.low
    floats = LEVELS.float() / 255 * spread + prepare.low
    assert torch.equal(prepare(floats), prepare(LEVELS))
    assert torch.equal(prepare(LEVELS), LEVELS.float())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floats_are_read_as_float32(dtype):
    assert Preprocess()(torch.zeros(1, 3, 4, 4, dtype=dtype)).dtype == torch.float32


def test_gray_is_repeated_kept_or_refused():
    gray = torch.zeros(2, 1, 4, 4)
    assert Preprocess(gray="repeat")(gray).shape == (2, 3, 4, 4)
    assert Preprocess(gray="keep")(gray).shape == (2, 1, 4, 4)
    with pytest.raises(DataError, match=r"1 channel.* pass gray='repeat'"):
        Preprocess(gray="refuse")(gray)


@pytest.mark.parametrize("channels", [2, 4])
def test_other_channels_are_refused(channels):
    with pytest.raises(DataError, match=rf"{channels} channel.* alpha"):
        Preprocess()(torch.zeros(1, channels, 4, 4))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("prepare", [Preprocess(), Preprocess(normalize="as_given")])
def test_the_image_that_is_not_finite_is_named(prepare, value):
    images = torch.zeros(5, 3, 4, 4)
    images[3, 1, 2, 2] = value
    with pytest.raises(DataError, match=r"image 13 holds NaN or infinity \(1 of 48 values; 1 such"):
        prepare(images, first=10)


@pytest.mark.parametrize(
    ("images", "told"),
    [
        (torch.full((3, 3, 4, 4), 200.0), r"image 0 has values from 200 to 200.*\[-1, 1\]"),
        (
            torch.tensor([0.0, 1.01]).view(2, 1, 1, 1).expand(2, 3, 2, 2),
            r"image 1 .*1\.01 to 1\.01",
        ),
        (torch.zeros(2, 3, 4, 4, dtype=torch.int64), r"torch\.int64: must be uint8"),
        (torch.zeros(2, 3, 4, 4, dtype=torch.bool), r"torch\.bool: must be uint8"),
        (torch.zeros(3, 4, 4), r"\(3, 4, 4\).*images\[None\]"),
        (torch.zeros(2, 3), r"\(2, 3\): must be \(N, C, H, W\)"),
        (torch.zeros(2, 3, 0, 4), r"no side 0"),
    ],
)
def test_bad_images_are_refused(images, told):
    with pytest.raises(DataError, match=told):
        Preprocess()(images)


def test_the_range_that_was_declared_is_told():
    with pytest.raises(DataError, match=r"values from -1 to -1: .* \[0, 1\]"):
        Preprocess(low=0.0)(torch.full((1, 3, 2, 2), -1.0))


def test_what_overshoots_is_clamped_when_asked_or_a_rounding_error():
    images = torch.tensor([-1.7, 1.0005]).view(2, 1, 1, 1).expand(2, 3, 2, 2)
    found = Preprocess(**BYTES, beyond="clamp", quantize="none")(images)
    assert found[:, 0, 0, 0].tolist() == [0, 255]
    assert Preprocess(**BYTES)(images[1:]).max() == 255


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"resize": "clen", "size": 4}, "unknown resize 'clen'; did you mean 'clean'"),
        ({"quantize": "rounded"}, "unknown quantize 'rounded'; did you mean 'round'"),
        ({"normalize": "x"}, "unknown normalize 'x'"),
        ({"crop": "random"}, "unknown crop"),
        ({"gray": "no"}, "unknown gray"),
        ({"beyond": "wrap"}, "unknown beyond"),
        ({"resize": "clean"}, "resize is 'clean' and size is None"),
        ({"size": 4}, "resize is 'none' and size is 4"),
        ({"resize": "clean", "size": 0}, "size of 1 pixel or more"),
        ({"low": 1.0}, r"low 1\.0 must be below high 1\.0"),
        ({"normalize": "as_given", "resize": "clean", "size": 4}, "leaves images alone"),
    ],
)
def test_contradictions_are_refused(change, told):
    with pytest.raises(ValueError, match=told):
        Preprocess(**change)


def test_what_is_told():
    clip = Preprocess(resize="pil_bicubic", size=8, crop="center", normalize="clip")
    assert clip.told() == {
        "resize": "center_crop_pil_bicubic_8",
        "quantization": "round",
        "normalization": "clip",
    }
    assert Preprocess(normalize="as_given").told()["quantization"] == "none"
    assert clip(torch.zeros(1, 3, 9, 20)).shape == (1, 3, 8, 8)
