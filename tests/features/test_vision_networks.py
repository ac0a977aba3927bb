import dataclasses
import math
import warnings

import pytest
import torch
from planted import layout, picture, planted, shapes_of
from torch import nn

from equipoise.errors import WeightsError
from equipoise.features import Extractor, Preprocess, clip, dinov2, extractor, vgg
from equipoise.features.checkpoint import build
from equipoise.features.vgg import Vgg16
from equipoise.features.weights import digest

# names and shapes of the published files: CLIP's visual part as torch-fidelity 0.4.0 loads it,
# DINOv2 as timm 1.0.31 does (and Meta's mask_token), VGG-16 as torchvision 0.28.0
LAYOUTS = [
    (lambda: clip.ClipImage(768, 12, 12, 32, 7, 512), 152, 87_849_216, "080479b06d08eabd"),
    (lambda: clip.ClipImage(1024, 24, 16, 14, 24, 768), 296, 304_293_888, "2393168a712ae63b"),
    (lambda: dinov2.DinoV2(768, 12, 12), 175, 86_580_480, "6af41c6986427c48"),
    (lambda: dinov2.DinoV2(1024, 24, 16), 343, 304_368_640, "7dc53284017908ac"),
    (vgg.Vgg16, 32, 138_357_544, "ba63c2556d912509"),
]
NARROW = ((4, 4), (4, 6), (6, 6, 6), (8, 8, 8), (8, 8, 8))


@pytest.mark.parametrize(("make", "tensors", "count", "sha"), LAYOUTS)
def test_names_and_shapes_are_those_of_the_published_files(make, tensors, count, sha):
    with torch.device("meta"):
        network = make()
    shapes = shapes_of(network)
    assert len(shapes) == tensors
    assert sum(p.numel() for p in network.parameters()) == count
    assert layout(shapes) == sha


def from_planted(make):
    with torch.device("meta"):
        shapes = shapes_of(make())
    return build(make, planted(shapes), "it")


def tiny_clip(unit=False):
    return clip.ClipImage(128, 3, 2, 8, 4, 16, unit=unit)


def tiny_dinov2():
    return dinov2.DinoV2(128, 3, 2, patch=14, grid=4)


def test_clip_gives_what_torch_fidelitys_gives():
    images = picture(32).float() / 127.5 - 1
    golden = [[0.183796, -0.203125, -0.00496, 0.071256], [0.294009, 0.003089, -0.165312, -0.06145]]
    rows = from_planted(tiny_clip)(images)
    assert torch.allclose(rows[:, :4], torch.tensor(golden), atol=2e-6)
    unit = from_planted(lambda: tiny_clip(unit=True))(images)
    assert torch.allclose(unit.norm(dim=1), torch.ones(2))
    assert torch.allclose(unit, rows / rows.norm(dim=1, keepdim=True))


def test_dinov2_gives_what_hugging_faces_gives():
    golden = [[0.470731, -0.013754, -1.137841, -1.7159], [-1.432978, -0.241965, 1.325475, 0.929879]]
    rows = from_planted(tiny_dinov2)(picture(56).float() / 127.5 - 1)
    assert rows.shape == (2, 128)
    assert torch.allclose(rows[:, :4], torch.tensor(golden), atol=2e-6)


def hugging_face_names(state):
    """The inverse of what the reader does, written from Hugging Face's published key list."""
    found = {
        "vision_model.embeddings.class_embedding": state["class_embedding"],
        "vision_model.embeddings.patch_embedding.weight": state["conv1.weight"],
        "vision_model.embeddings.position_embedding.weight": state["positional_embedding"],
        "vision_model.embeddings.position_ids": torch.arange(17)[None],
        "visual_projection.weight": state["proj"].T.contiguous(),
        "text_projection.weight": torch.zeros(2, 2),
        "logit_scale": torch.tensor(1.0),
        "text_model.encoder.layers.0.layer_norm1.weight": torch.zeros(2),
    }
    for end in ("weight", "bias"):
        found[f"vision_model.pre_layrnorm.{end}"] = state[f"ln_pre.{end}"]
        found[f"vision_model.post_layernorm.{end}"] = state[f"ln_post.{end}"]
        for number in range(3):
            ours, theirs = (
                f"transformer.resblocks.{number}",
                f"vision_model.encoder.layers.{number}",
            )
            parts = state[f"{ours}.attn.in_proj_{end}"].chunk(3)
            for letter, part in zip("qkv", parts, strict=True):
                found[f"{theirs}.self_attn.{letter}_proj.{end}"] = part.clone()
            for a, b in (
                ("self_attn.out_proj", "attn.out_proj"),
                ("layer_norm1", "ln_1"),
                ("layer_norm2", "ln_2"),
                ("mlp.fc1", "mlp.c_fc"),
                ("mlp.fc2", "mlp.c_proj"),
            ):
                found[f"{theirs}.{a}.{end}"] = state[f"{ours}.{b}.{end}"]
    return found


@pytest.mark.parametrize("form", ["openai", "image_tower", "hugging_face"])
def test_clip_reads_every_layout(form):
    state = from_planted(tiny_clip).state_dict()
    text = {
        "text_projection": torch.zeros(2, 2),
        "transformer.resblocks.0.ln_1.bias": torch.ones(2),
    }
    given = {
        "openai": {f"visual.{k}": v for k, v in state.items()} | text,
        "image_tower": state,
        "hugging_face": hugging_face_names(state),
    }[form]
    back = clip.published_names(given)
    assert back.keys() == state.keys()
    assert all(torch.equal(back[key], state[key]) for key in state)


def test_dinov2_interpolates_positions_by_metas_ratio():
    """Bicubic (a = -0.75) at places (i + 0.5) / ratio - 0.5 with ratio (16 + 0.1) / 37."""

    def kernel(x, a=-0.75):
        x = abs(x)
        if x < 1:
            return ((a + 2) * x - (a + 3)) * x * x + 1
        return a * (((x - 5) * x + 8) * x - 4) if x < 2 else 0.0

    with torch.device("meta"):
        shapes = shapes_of(dinov2.DinoV2(64, 1, 1))
    network = build(lambda: dinov2.DinoV2(64, 1, 1), planted(shapes), "it")
    weights = torch.zeros(16, 37, dtype=torch.float64)
    for i in range(16):
        place = (i + 0.5) * 37 / 16.1 - 0.5
        for tap in range(math.floor(place) - 1, math.floor(place) + 3):
            weights[i, min(max(tap, 0), 36)] += kernel(place - tap)
    stored = network.pos_embed[0, 1:].double().view(37, 37, 64).permute(2, 0, 1)
    expected = (weights @ stored @ weights.T).permute(1, 2, 0).reshape(256, 64)
    found = network._positions(16, 16)
    assert torch.equal(found[:, :1], network.pos_embed[:, :1])
    assert (found[0, 1:] - expected).abs().max() < 1e-5
    assert network._positions(37, 37) is network.pos_embed
    assert network(torch.zeros(2, 3, 224, 224)).shape == (2, 64)


def narrow_vgg(inner=12):
    return Vgg16(NARROW, inner=inner, classes=3)


def test_vgg_is_its_layers_one_by_one():
    network = from_planted(narrow_vgg)
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    state, maps = network.state_dict(), []
    y, number = x, 0
    for stage in NARROW:
        for _ in stage:
            weight, bias = state[f"features.{number}.weight"], state[f"features.{number}.bias"]
            y = torch.relu(nn.functional.conv2d(y, weight, bias, padding=1))
            number += 2
        maps.append(y)
        y = nn.functional.max_pool2d(y, 2)
        number += 1
    for found, expected in zip(network.stages(x), maps, strict=True):
        assert torch.equal(found, expected)
    y = nn.functional.adaptive_avg_pool2d(y, 7).flatten(1)
    for layer in (0, 3):
        y = torch.relu(
            y @ state[f"classifier.{layer}.weight"].T + state[f"classifier.{layer}.bias"]
        )
    assert torch.allclose(network(x), y, atol=1e-5)
    assert network(x).shape == (2, 12)


@pytest.mark.parametrize("learned", [True, False])
def test_squared_distance_in_the_stack_is_lpips_by_its_definition(learned):
    network = from_planted(narrow_vgg)
    generator = torch.Generator().manual_seed(2)
    a, b = torch.rand(2, 3, 3, 32, 48, generator=generator) * 2 - 1
    heads = [torch.rand(stage[-1], generator=generator) for stage in NARROW]
    ready = Preprocess(quantize="none", normalize="imagenet")
    stack = vgg.PerceptualStack(network, heads if learned else None)
    features = Extractor("mine", stack, ready)
    found = (features(a) - features(b)).pow(2).sum(dim=1)
    expected = torch.zeros(3)
    maps = zip(*(network.stages(ready(images)) for images in (a, b)), strict=True)
    for head, (first, second) in zip(heads, maps, strict=True):
        difference = nn.functional.normalize(first) - nn.functional.normalize(second)
        weight = head[:, None, None] if learned else 1
        expected += (weight * difference**2).sum(dim=1).mean(dim=(1, 2))
    assert torch.allclose(found, expected, rtol=1e-4)
    assert (found > 0).all()


def test_vgg_and_lpips_from_files(tmp_path, monkeypatch):
    network = from_planted(narrow_vgg)
    widths = [stage[-1] for stage in NARROW]
    heads = {f"lin{i}.model.1.weight": torch.full((1, c, 1, 1), 0.25) for i, c in enumerate(widths)}
    torch.save(network.state_dict(), tmp_path / "vgg16.pth")
    torch.save(heads, tmp_path / "heads.pth")
    monkeypatch.setattr(vgg, "Vgg16", narrow_vgg)
    monkeypatch.setattr(vgg, "STAGES", NARROW)
    known = dataclasses.replace(vgg.LPIPS, sha256=digest(tmp_path / "heads.pth"))
    monkeypatch.setattr(vgg, "LPIPS", known)
    mine = {"path": tmp_path / "vgg16.pth", "sha256": "any"}
    sha256 = digest(tmp_path / "vgg16.pth")
    images = picture(32)
    plain = extractor("vgg16_lpips", learned=False, **mine)
    assert (plain.name, plain.weights_sha256) == (f"vgg16_stages_{sha256[:8]}", sha256)
    learned = extractor("vgg16_lpips", heads=tmp_path / "heads.pth", **mine)
    assert learned.name == f"vgg16_lpips_{sha256[:8]}"
    assert learned.weights_sha256 == f"{sha256}+{known.sha256}"
    assert learned.convention()["quantization"] == "none"
    assert torch.allclose(learned(images), plain(images) / 2)  # a root of a quarter
    fc2 = extractor("vgg16", **mine)
    assert (fc2.name, fc2.dim) == (f"vgg16_{sha256[:8]}", 4096)
    assert fc2.convention()["resize"] == "tf1_bilinear_224"
    assert torch.allclose(fc2.network(torch.ones(1, 3, 32, 32)), network(torch.ones(1, 3, 32, 32)))


def test_lpips_weights_are_read_and_others_refused():
    widths = [stage[-1] for stage in vgg.STAGES]
    state = {f"lin{i}.model.1.weight": torch.full((1, c, 1, 1), 0.5) for i, c in enumerate(widths)}
    assert [len(head) for head in vgg.head_weights(state)] == [64, 128, 256, 512, 512]
    with pytest.raises(WeightsError, match="not LPIPS' weights"):
        vgg.head_weights({"conv.weight": torch.zeros(1)})
    state["lin0.model.1.weight"] = torch.zeros(1, 63, 1, 1)
    with pytest.raises(WeightsError, match=r"\[63, 128, .* give vgg\.pth"):
        vgg.head_weights(state)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, "torch_bicubic_antialias_224"),
        ({"resize": "pil_bicubic"}, "pil_bicubic_224"),
        ({"resize": "tf1_bilinear"}, "tf1_bilinear_224"),
    ],
)
def test_dinov2_from_a_file(tmp_path, monkeypatch, options, told):
    monkeypatch.setitem(dinov2.DEPTHS, 768, 1)  # one block of the twelve: a file of 30 MB
    with torch.device("meta"):
        shapes = shapes_of(dinov2.DinoV2(768, 1, 12))
    torch.save({"model": planted(shapes)}, tmp_path / "dino.pth")
    found = extractor("dinov2_vit_b_14", path=tmp_path / "dino.pth", sha256="any", **options)
    assert found.convention()["resize"] == told
    assert found.name.startswith("dinov2_vit_b_14_")
    assert found(picture(30)).shape == (2, 768)


def test_clip_from_a_torchscript_file(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated, and what OpenAI published
        holder = nn.Module()
        for name, value in from_planted(tiny_clip).state_dict().items():
            place = holder
            *path, last = ["visual", *name.split(".")]
            for part in path:
                if not hasattr(place, part):
                    place.add_module(part, nn.Module())
                place = getattr(place, part)
            place.register_parameter(last, nn.Parameter(value.half()))
        torch.jit.script(holder).save(str(tmp_path / "clip.pt"))
    path = tmp_path / "clip.pt"
    found = clip.clip(clip.CLIP_B_32, (128, 3, 8, 4, 16), path=path, sha256="any")
    raw = clip.clip(clip.CLIP_B_32, (128, 3, 8, 4, 16), path=path, sha256="any", unit=False)
    assert found.name.startswith("clip_vit_b_32_")
    assert raw.name.startswith("clip_vit_b_32_raw_")
    assert found.convention()["resize"] == "center_crop_pil_bicubic_32"
    rows = found(picture(40))
    assert rows.dtype == torch.float32
    assert torch.allclose(rows.norm(dim=1), torch.ones(2))
    expected = from_planted(tiny_clip)(raw.preprocess(picture(40)))
    assert torch.allclose(raw(picture(40)), expected, atol=5e-3)  # the file is in half precision
