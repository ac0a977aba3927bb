import dataclasses
import re

import pytest
import torch
from planted import layout, picture, planted, shapes_of

from equipoise.errors import WeightsError
from equipoise.features import Extractor, Preprocess, extractor, inception
from equipoise.features.checkpoint import build
from equipoise.features.inception import BLOCKS, CONVENTIONS, LAYERS, Inception, published_names
from equipoise.features.weights import digest

# of torch-fidelity 0.4.0's module with the same planted weights, on the same two pictures
GOLDEN = {
    "64": [[0.027087, 0.054613, 0.409331, 0.071811], [0.028052, 0.087693, 0.453864, 0.094075]],
    "192": [[1.478947, 0.350825, 0.961915, 0.600541], [1.682488, 0.406912, 1.121652, 0.831624]],
    "768": [[2.450623, 0.188577, 0.397151, 0.122462], [2.577825, 0.249568, 0.428639, 0.099356]],
    "pool3": [[0.0, 2.460956, 1.331492, 0.000542], [0.0, 2.600293, 1.581401, 0.0]],
    "logits_unbiased": [
        [-3.555705, 10.603874, -1.385351, -1.839811],
        [-4.072635, 12.216454, -1.399447, -1.979676],
    ],
    "logits": [
        [-3.61127, 10.52083, -1.44415, -1.817242],
        [-4.128201, 12.13341, -1.458246, -1.957106],
    ],
}


def meta(*arguments):
    with torch.device("meta"):
        return Inception(*arguments)


@pytest.fixture(scope="module")
def state():
    return planted(shapes_of(meta()))


@pytest.fixture(scope="module")
def file(state, tmp_path_factory):
    """A file as old as the published one: no zip, no counters."""
    path = tmp_path_factory.mktemp("weights") / "planted.pth"
    old = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    torch.save(old, path, _use_new_zipfile_serialization=False)
    return path


def test_names_and_shapes_are_those_of_the_published_file():
    shapes = shapes_of(meta())
    assert len(shapes) == 566  # 94 convolutions of 6 tensors, and the last layer's 2
    assert layout(shapes) == "d84f693f2abd7fea"  # torch-fidelity 0.4.0, which loads it strictly
    assert shapes["Mixed_7c.branch3x3dbl_3b.conv.weight"] == (384, 384, 3, 1)
    assert shapes["Mixed_6b.branch7x7dbl_5.bn.running_mean"] == (192,)
    assert shapes["fc.weight"] == (1008, 2048)


def test_the_count_of_weights():
    with_head, without = (sum(p.numel() for p in meta("pool3", h).parameters()) for h in (1, 0))
    assert (with_head, without) == (23_850_960, 21_785_568)
    state = meta().state_dict().items()
    everything = sum(v.numel() for k, v in state if not k.endswith("num_batches_tracked"))
    assert everything == 23_885_392  # with running means and variances


@pytest.mark.parametrize("layer", LAYERS)
def test_features_are_those_of_torch_fidelity(state, layer):
    network = build(lambda: Inception(layer), state, "it")
    ready = Preprocess(resize="tf1_bilinear", size=299, normalize="tf")
    rows = Extractor("planted", network, ready)(picture(40))
    assert rows.shape == (2, LAYERS[layer])
    expected = torch.tensor(GOLDEN[layer])
    assert (rows[:, :4] - expected).abs().max() <= 1e-5 * expected.abs().max() + 1e-6


def test_the_pools_are_those_of_the_graph():
    ones = torch.ones(1, 192, 5, 5)
    with torch.no_grad():
        average = Inception(head=False).Mixed_5b
        average.branch_pool = torch.nn.Identity()
        assert torch.equal(average._pooled(ones), ones)  # the border is a mean of what is there
        most = Inception(head=False).Mixed_7c
        most.branch_pool = torch.nn.Identity()
        peak = torch.zeros(1, 1, 5, 5)
        peak[..., 2, 2] = 1
        assert most._pooled(peak).sum() == 9  # of a mean, 1


def test_pytorch_fids_wrapper_has_the_same_tensors_under_other_names(state):
    wrapped = {
        f"blocks.{block}.{place}.{key[len(name) + 1 :]}": value
        for block, names in enumerate(BLOCKS)
        for place, name in enumerate(names)
        for key, value in state.items()
        if key.startswith(f"{name}.")
    }
    assert len(wrapped) == 564
    back = published_names(wrapped)
    assert back.keys() == {key for key in state if not key.startswith("fc.")}
    assert all(back[key] is state[key] for key in back)
    assert published_names(state).keys() == state.keys()


def test_an_extractor_from_a_file(file):
    found = extractor("inception", path=file, sha256="any", batch=1)
    sha256 = digest(file)
    assert found.name == f"inception_{sha256[:8]}"  # not the published weights: not "inception"
    assert found.convention() == {
        "features": found.name,
        "dim": 2048,
        "resize": "tf1_bilinear_299",
        "quantization": "round",
        "normalization": "tf",
        "weights_sha256": sha256,
    }
    rows = found(picture(40))
    assert torch.allclose(rows[:, :4], torch.tensor(GOLDEN["pool3"]), atol=1e-4)
    assert not any(p.requires_grad for p in found.network.parameters())


def test_the_published_weights_alone_are_called_inception(file, monkeypatch):
    published = dataclasses.replace(inception.INCEPTION, sha256=digest(file))
    monkeypatch.setattr(inception, "INCEPTION", published)
    assert extractor("inception", path=file).name == "inception"
    assert extractor("inception", path=file, layer="logits").name == "inception_logits"
    with pytest.warns(UserWarning, match="one channel"):
        extractor("inception", path=file, layer="64")(torch.zeros(1, 1, 8, 8))


def test_another_file_is_refused(file):
    with pytest.raises(WeightsError, match=r"it is not the pt_inception-2015-12-05-6726825d\.pth"):
        extractor("inception", path=file)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_each_convention_is_another_metric(file, convention):
    found = extractor("inception", path=file, sha256="any", layer="64", convention=convention)
    told = found.convention()
    assert told["resize"] == f"{CONVENTIONS[convention]['resize']}_299"
    assert told["normalization"] == CONVENTIONS[convention]["normalize"]
    changed = extractor("inception", path=file, sha256="any", layer="64", resize="clean")
    assert changed.convention()["resize"] == "clean_299"


def test_a_file_without_last_layer_gives_features_and_no_logits(file, tmp_path):
    state = torch.load(file, weights_only=True)
    short = {k: v for k, v in state.items() if not k.startswith("fc.")}
    torch.save(short, tmp_path / "short.pth")
    extractor("inception", path=tmp_path / "short.pth", sha256="any")
    with pytest.raises(WeightsError, match=r"has no last layer \(fc\.weight\), which 'logits'"):
        extractor("inception", path=tmp_path / "short.pth", sha256="any", layer="logits")
    del short["Mixed_7c.branch_pool.conv.weight"]
    torch.save(short, tmp_path / "short.pth")
    told = "Mixed_7c.branch_pool.conv.weight (192, 2048, 1, 1) is missing (1 of 564 tensors)"
    with pytest.raises(WeightsError, match=re.escape(told)):
        extractor("inception", path=tmp_path / "short.pth", sha256="any")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"layer": "pool"}, "unknown layer 'pool'; did you mean 'pool3'"),
        ({"convention": "clean"}, "unknown convention 'clean'; did you mean 'clean_fid'"),
    ],
)
def test_unknown_layers_and_conventions_are_refused(options, told):
    with pytest.raises(ValueError, match=told):
        extractor("inception", **options)
