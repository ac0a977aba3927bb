import functools
import random

import numpy as np
import pytest
import torch
from torch import nn

from equipoise.errors import DataError
from equipoise.features import EXTRACTORS, Extractor, extractor
from equipoise.features.extractor import _exact, fingerprint
from equipoise.metrics.families import averaged_pixels

WEIGHTLESS = ["random_conv", "patches", "pixels", "identity", "digits_cnn"]
DIGITS = torch.rand(11, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
COLOUR = torch.rand(11, 3, 20, 24, generator=torch.Generator().manual_seed(1)) * 2 - 1


class Net(nn.Module):
    """Everything that evaluation has to tame: batch statistics, dropout, a frozen child."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Flatten(), nn.Linear(64, 6), nn.BatchNorm1d(6), nn.Dropout(0.5)
        )
        self.frozen = nn.Dropout(0.5).eval()

    def forward(self, x):
        return self.frozen(self.body(x))


@pytest.mark.parametrize("name", WEIGHTLESS)
def test_the_contract_of_every_weightless_extractor(name):
    found = extractor(name, batch=4)
    rows = found(DIGITS)
    assert rows.shape == (11, found.dim)
    assert rows.dtype == torch.float32
    assert not rows.requires_grad
    assert torch.equal(rows, extractor(name, batch=4)(DIGITS))  # nothing drawn anew
    assert torch.allclose(rows, extractor(name, batch=100)(DIGITS), atol=1e-5)
    assert torch.allclose(rows[3:4], found(DIGITS[3:4]), atol=1e-5)  # one image
    assert torch.equal(rows, extractor(name, batch=4)(list(DIGITS)))
    told = found.convention()
    assert told["features"] == found.name
    assert told["dim"] == found.dim
    assert {"resize", "quantization", "normalization", "weights_sha256"} <= told.keys()
    assert (told["weights_sha256"] is None) == (name != "digits_cnn")


@pytest.mark.parametrize("name", WEIGHTLESS)
@pytest.mark.parametrize("requires_grad", [True, False])
def test_nothing_global_is_touched(name, requires_grad):
    images = DIGITS.clone().requires_grad_(requires_grad)
    torch.manual_seed(5), np.random.seed(5), random.seed(5)
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    extractor(name)(images)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()
    assert random.getstate() == before[2]
    assert images.grad is None
    assert torch.is_grad_enabled()


def test_only_inception_may_be_called_so():
    for name in WEIGHTLESS:
        assert not extractor(name).name.startswith(("inception", "fid"))


def test_pixels_are_those_of_the_metric_family():
    for images in (DIGITS, COLOUR, COLOUR[..., :5]):
        assert torch.equal(extractor("pixels")(images), averaged_pixels(images))


def test_identity_takes_points():
    points = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert torch.equal(extractor("identity")(points), points)
    with pytest.raises(DataError, match="image 1 holds NaN"):
        extractor("identity")(torch.tensor([[1.0], [float("nan")]]))


def test_a_module_is_run_in_eval_mode_and_given_back_as_it_was():
    net = Net().train()
    net.frozen.eval()
    modes = [m.training for m in net.modules()]
    state = {key: value.clone() for key, value in net.state_dict().items()}
    found = extractor(net)
    assert (found.name, found.dim, found.weights_sha256) == ("net", None, fingerprint(net))
    rows = found(DIGITS)
    assert found.dim == found.convention()["dim"] == 6
    assert torch.equal(rows, found(DIGITS))  # no dropout
    assert [m.training for m in net.modules()] == modes
    assert all(torch.equal(state[key], value) for key, value in net.state_dict().items())
    assert torch.equal(rows, net.eval()(DIGITS))


def test_modes_come_back_after_an_error():
    class Broken(Net):
        def forward(self, x):
            raise RuntimeError("broken")

    net = Broken().train()
    with pytest.raises(RuntimeError, match="broken"):
        extractor(net)(DIGITS)
    assert net.training
    assert torch.is_grad_enabled()


def test_a_function_that_draws_leaves_the_random_state():
    def noisy(images):
        return torch.randn(len(images), 2)

    torch.manual_seed(1)
    before = torch.get_rng_state()
    extractor(noisy)(DIGITS)
    assert torch.equal(torch.get_rng_state(), before)


def test_autocast_does_not_reach_the_features():
    class Linear(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(64, 4)

        def forward(self, x):
            return self.layer(x.flatten(1))

    found = extractor(Linear())
    expected = found(DIGITS)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(found(DIGITS), expected)


def test_fingerprints_tell_weights_apart():
    torch.manual_seed(0)
    net = Net()
    first = fingerprint(net)
    with torch.no_grad():
        net.body[1].weight[0, 0] += 1e-6
    assert fingerprint(net) != first
    assert fingerprint(nn.Flatten()) is None
    assert fingerprint(nn.Linear(2, 2).bfloat16()) is not None


def test_a_callable_reads_images_as_given_or_prepared_when_asked():
    def flat(images):
        return images.float().flatten(1)

    levels = torch.full((2, 3, 4, 4), 255, dtype=torch.uint8)
    assert extractor(flat)(levels).max() == 255
    prepared = extractor(flat, resize="clean", size=2, normalize="imagenet")
    assert prepared(levels).shape == (2, 12)
    assert prepared(levels).max() == pytest.approx(2.64, abs=1e-3)
    assert prepared.convention()["resize"] == "clean_2"
    assert extractor(flat, quantize="round")(levels).max() == 1


def test_names_of_callables():
    def flat(images):
        return images.flatten(1)

    assert extractor(flat).name == "flat"
    assert extractor(flat, name="mine").name == "mine"
    assert extractor(flat, name="clipped").name == "clipped"
    assert extractor(lambda x: x.flatten(1), name="mine").name == "mine"
    for nameless in (lambda x: x, functools.partial(flat)):
        with pytest.raises(ValueError, match=r"no usable name .*pass name='\.\.\.'"):
            extractor(nameless)
    for taken in ("pixels", "inception", "fid", "fid_mine", "dinov2_small", "clip_own"):
        with pytest.raises(ValueError, match=f"the name '{taken}' means known features"):
            extractor(flat, name=taken)


def test_an_extractor_passes_through_and_may_be_changed():
    first = extractor("random_conv")
    other = extractor(first, batch=2, quantize="none")
    assert (other.batch, other.preprocess.quantize) == (2, "none")
    assert (first.batch, first.preprocess.quantize) == (64, "round")
    assert other.name == first.name
    assert other.convention() != first.convention()


@pytest.mark.parametrize(
    ("features", "options", "told"),
    [
        ("random_con", {}, "unknown features 'random_con'; did you mean 'random_conv'"),
        ("random_conv", {"sed": 1}, "unknown option 'sed'; did you mean 'seed'"),
        ("pixels", {"path": "x"}, "unknown option 'path'"),
        ("pixels", {"batch": 0}, "batch is 0: must be 1 image or more"),
        (3, {}, "features is 3: must be a name"),
        ("random_conv", {"resize": "clen"}, "unknown resize 'clen'"),
    ],
)
def test_wrong_arguments_are_refused(features, options, told):
    with pytest.raises(ValueError, match=told):
        extractor(features, **options)


@pytest.mark.parametrize(
    "gives",
    [
        lambda x: x,
        lambda x: x.flatten(1)[:-1],
        lambda x: [x.flatten(1)],
        lambda x: x.mean(),
    ],
    ids=["map", "short", "list", "number"],
)
def test_what_is_not_one_row_per_image_is_refused(gives):
    with pytest.raises(ValueError, match=r"features 'mine' gave .* for 11 images"):
        extractor(gives, name="mine")(DIGITS)


def test_features_that_are_not_finite_name_the_image():
    def inverse(images):
        return 1 / images.flatten(1)

    images = torch.ones(6, 1, 2, 2)
    images[4, 0, 0, 0] = 0
    with pytest.raises(DataError, match=r"features 'inverse' of finite images: image 4 holds"):
        extractor(inverse, batch=4)(images)


def test_the_index_of_a_bad_image_counts_over_batches():
    images = COLOUR.clone()
    images[9, 0, 0, 0] = float("nan")
    with pytest.raises(DataError, match="image 9 holds NaN"):
        extractor("random_conv", batch=4)(images)
    with pytest.raises(DataError, match="image 9 holds NaN"):
        extractor("random_conv", batch=4)(list(images))


def test_mixed_sizes_need_a_resize():
    mixed = [COLOUR[0], COLOUR[1, :, :15], COLOUR[2]]
    rows = extractor("random_conv")(mixed)
    assert torch.allclose(rows[1:2], extractor("random_conv")(COLOUR[1:2, :, :15]), atol=1e-6)
    with pytest.raises(DataError, match=r"image 1 is \(3, 15, 24\) and image 0 is \(3, 20, 24\)"):
        extractor("patches")(mixed)
    with pytest.raises(DataError, match=r"image 0 has shape \(1, 3, 20, 24\)"):
        extractor("patches")([COLOUR[:1]])


def test_another_size_in_a_later_batch_is_refused_where_it_changes_the_features():
    patches = extractor("patches")
    patches(COLOUR)
    with pytest.raises(ValueError, match="have 50 dimensions, and had 108 before"):
        patches(DIGITS)


@pytest.mark.parametrize("none", [torch.zeros(0, 3, 4, 4), []])
def test_no_images_are_refused(none):
    with pytest.raises(DataError, match="images holds none"):
        extractor("random_conv")(none)


@pytest.mark.parametrize("images", [np.zeros((2, 3, 4, 4)), [np.zeros((3, 4, 4))], ["a.png"]])
def test_what_is_no_tensor_is_refused(images):
    with pytest.raises(DataError, match=r"must be a tensor .*torch\.from_numpy"):
        extractor("random_conv")(images)


def test_gray_is_repeated_with_a_word_where_a_network_expects_colour():
    def flat(images):
        return images.flatten(1)

    found = extractor(flat, gray="tell")
    with pytest.warns(UserWarning, match="one channel, which is repeated to three for 'flat'"):
        rows = found(DIGITS)
    assert rows.shape == (11, 192)
    assert torch.equal(found(DIGITS), rows)  # told once: a second warning would be an error
    assert torch.equal(extractor(flat, gray="repeat")(DIGITS), rows)
    with pytest.raises(DataError, match="gray='repeat'"):
        extractor(flat, gray="refuse")(DIGITS)


def test_levels_and_their_floats_give_the_same_features():
    levels = torch.randint(0, 256, (3, 3, 12, 12), dtype=torch.uint8)
    for name in ("random_conv", "patches"):
        floats = levels.float() / 127.5 - 1
        assert torch.equal(extractor(name)(levels), extractor(name)(floats))


def test_the_device_is_the_images_or_the_one_asked_for():
    assert extractor("random_conv")(COLOUR).device.type == "cpu"
    assert extractor("random_conv", device="cpu")(COLOUR).device.type == "cpu"
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
    found = extractor(net, name="mine")
    net.to("meta")
    assert found._place(torch.device("cpu")).type == "meta"  # the user's module stays


def test_cuda_convolutions_run_exactly_and_the_switches_come_back():
    cudnn = torch.backends.cudnn
    before = (cudnn.deterministic, cudnn.allow_tf32)
    with _exact(torch.device("cuda")):  # the switches exist without the hardware
        assert cudnn.deterministic
        if hasattr(cudnn, "conv"):
            assert cudnn.conv.fp32_precision == "ieee"
    assert (cudnn.deterministic, cudnn.allow_tf32) == before


def test_every_name_makes_an_extractor_or_asks_for_its_weights(monkeypatch, tmp_path):
    from equipoise.errors import MissingWeightsError

    monkeypatch.setenv("EQUIPOISE_WEIGHTS", str(tmp_path / "none"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("EQUIPOISE_DOWNLOAD", raising=False)
    for name in EXTRACTORS:
        if name in WEIGHTLESS:
            assert isinstance(extractor(name), Extractor)
        else:
            with pytest.raises(MissingWeightsError, match="not on this machine"):
                extractor(name)
