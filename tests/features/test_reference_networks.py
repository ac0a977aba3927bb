"""Our networks beside the field's own, where those are installed: the same weights, the same rows.

The golden numbers of test_inception and test_vision_networks were taken from these modules.
"""

import importlib
from unittest import mock

import pytest
import torch
from planted import picture, planted, shapes_of

from equipoise.features import Extractor, Preprocess, clip, vgg
from equipoise.features.checkpoint import build
from equipoise.features.inception import Inception, published_names
from equipoise.features.resize import clean, tf1_bilinear

IMAGES = picture(45)
TINY = {"hidden_size": 128, "num_hidden_layers": 3, "num_attention_heads": 2}


def need(name):
    """The module, or a skip: some of them fail to import where another one is absent."""
    try:
        return importlib.import_module(name)
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"{name}: {error}")


def agree(ours, theirs, bound=1e-5):
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() <= bound * theirs.abs().max()


def inception(layer, state, **ready):
    network = build(lambda: Inception(layer, "fc.weight" in state), state, "it")
    return Extractor("planted", network, Preprocess(size=299, **ready))(IMAGES)


@pytest.fixture(scope="module")
def state():
    with torch.device("meta"):
        shapes = shapes_of(Inception())
    return planted(shapes)


def test_torch_fidelitys_inception(state, tmp_path):
    theirs = need("torch_fidelity.feature_extractor_inceptionv3")
    torch.save(state, tmp_path / "planted.pth")
    layers = ["64", "192", "768", "2048", "logits_unbiased", "logits"]
    network = theirs.FeatureExtractorInceptionV3(
        "it", layers, feature_extractor_weights_path=str(tmp_path / "planted.pth")
    )
    for layer, rows in zip(layers, network(IMAGES), strict=True):
        ours = "pool3" if layer == "2048" else layer
        agree(inception(ours, state, resize="tf1_bilinear", normalize="tf"), rows)


def test_pytorch_fids_inception(state):
    theirs = need("pytorch_fid.inception")
    with mock.patch.object(theirs, "load_state_dict_from_url", return_value=state):
        network = theirs.InceptionV3([0, 1, 2, 3]).eval()
    wrapped = published_names(network.state_dict())
    found = network(IMAGES.float() / 255)
    for layer, rows in zip(("64", "192", "768", "pool3"), found, strict=True):
        ours = inception(layer, wrapped, resize="torch_bilinear", normalize="unit")
        agree(ours, rows.mean(dim=(2, 3)))


def test_torch_fidelitys_resize():
    theirs = need("torch_fidelity.interpolate_compat_tensorflow")
    for size in (20, 45, 299):
        rows = theirs.interpolate_bilinear_2d_like_tensorflow1x(
            IMAGES.float(), (size, size), align_corners=False
        )
        assert torch.equal(tf1_bilinear(IMAGES.float(), size), rows)


@pytest.mark.filterwarnings("ignore:'mode' parameter:DeprecationWarning")
def test_clean_fids_resize():
    theirs = need("cleanfid.resize")
    resize = theirs.make_resizer("PIL", False, "bicubic", (30, 30))
    for image, ours in zip(IMAGES, clean(IMAGES.float(), 30), strict=True):
        expected = torch.from_numpy(resize(image.permute(1, 2, 0).numpy()))
        assert torch.equal(ours.permute(1, 2, 0), expected)


def test_torch_fidelitys_clip():
    theirs = need("torch_fidelity.feature_extractor_clip")
    network = theirs.CLIPVisual(16, 32, 3, 128, 8).eval()
    network.load_state_dict(planted(shapes_of(network)))
    x = picture(32).float() / 127.5 - 1
    state = clip.published_names(network.state_dict())
    ours = build(lambda: clip.ClipImage(128, 3, 2, 8, 4, 16, unit=False), state, "it")
    agree(ours(x), network.visual(x))


def test_hugging_faces_clip():
    theirs = need("transformers")
    tiny = TINY | {"intermediate_size": 512, "image_size": 32, "patch_size": 8}
    network = theirs.CLIPVisionModelWithProjection(
        theirs.CLIPVisionConfig(**tiny, projection_dim=16)
    ).eval()
    network.load_state_dict(planted(shapes_of(network)))
    x = picture(32).float() / 127.5 - 1
    state = clip.published_names(network.state_dict())
    ours = build(lambda: clip.ClipImage(128, 3, 2, 8, 4, 16, unit=False), state, "it")
    agree(ours(x), network(x).image_embeds)


def test_torchvisions_vgg16_and_lpips():
    torchvision, lpips = need("torchvision"), need("lpips")
    with torch.device("meta"):
        shapes = shapes_of(vgg.Vgg16())
    state = planted(shapes)
    theirs = torchvision.models.vgg16().eval()
    theirs.load_state_dict(state)
    ours = build(vgg.Vgg16, state, "it")
    x = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        maps = theirs.avgpool(theirs.features(x)).flatten(1)
        agree(ours(x), theirs.classifier[:5](maps))
        with mock.patch.object(lpips.pretrained_networks.tv, "vgg16", return_value=theirs):
            distance = lpips.LPIPS(net="vgg", verbose=False).eval()
    heads = [lin.model[1].weight.flatten().detach() for lin in distance.lins]
    ready = Preprocess(quantize="none", normalize="imagenet")
    features = Extractor("lpips", vgg.PerceptualStack(ours, heads), ready)
    a = picture(48).float() / 127.5 - 1
    b = a.flip(2)
    with torch.no_grad():
        agree((features(a) - features(b)).pow(2).sum(dim=1), distance(a, b).flatten())
