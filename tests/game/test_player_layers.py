"""One contract for every layer: shape, gradients of two orders, modes, coupling; closed forms."""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from equipoise.game import (
    MINIBATCH_LAYERS,
    AdaIN,
    ConditionalBatchNorm,
    MinibatchDeviation,
    MinibatchDiscrimination,
    ModulatedConv2d,
    Noise,
    Packed,
    PixelNoise,
    PixelNorm,
    SelfAttention,
    VirtualBatch,
    VirtualBatchNorm,
    adain,
    couples_batch,
    equalize,
    equalized,
    minibatch_deviation,
    modulated_conv2d,
    noisy,
    pack,
    pixel_norm,
)
from equipoise.game.normalization.style import modulated_conv2d_by_sample

IMAGES, VECTORS = (4, 8, 4, 4), (4, 6)
W = torch.randn(4, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def awake(attention: SelfAttention) -> SelfAttention:
    """gamma away from 0, where nothing but gamma has a gradient."""
    nn.init.constant_(attention.gamma, 0.7)
    return attention


def fixed(norm: nn.Module, shape: tuple[int, ...]) -> nn.Module:
    """A virtual batch normalization with its reference."""
    norm.double()(torch.randn(7, *shape[1:], dtype=torch.float64))
    return norm


@dataclass(frozen=True)
class Case:
    """How to build a layer, what enters, what shape leaves, what it promises."""

    make: Callable[[], nn.Module]
    enters: tuple[int, ...] = IMAGES
    leaves: tuple[int, ...] = IMAGES
    other: Tensor | None = None  # a second input, one row a sample
    couples: bool = False
    random: bool = False  # in training
    differs: bool = False  # evaluation from training


LABELS = torch.tensor([0, 1, 2, 1])
CASES = {
    "attention": Case(lambda: awake(SelfAttention(8))),
    "attention, pooled": Case(lambda: awake(SelfAttention(8, pool=True))),
    "deviation": Case(lambda: MinibatchDeviation(2), leaves=(4, 9, 4, 4), couples=True),
    "deviation, two": Case(lambda: MinibatchDeviation(4, 2), leaves=(4, 10, 4, 4), couples=True),
    "deviation of vectors": Case(lambda: MinibatchDeviation(), VECTORS, (4, 7), couples=True),
    "discrimination": Case(lambda: MinibatchDiscrimination(6, 3, 2), VECTORS, (4, 9), couples=True),
    "packed": Case(lambda: Packed(nn.Linear(12, 1), 2), VECTORS, (2, 1), couples=True),
    "equalized": Case(lambda: equalized(nn.Conv2d(8, 8, 3, padding=1))),
    "equalized, transposed": Case(
        lambda: equalized(nn.ConvTranspose2d(8, 8, 4, 2, 1, groups=2)), leaves=(4, 8, 8, 8)
    ),
    "equalized, dense": Case(lambda: equalized(nn.Linear(6, 6), rate=0.1), VECTORS, VECTORS),
    "pixel norm": Case(PixelNorm),
    "adain": Case(lambda: AdaIN(8, 5), other=W),
    "modulated": Case(lambda: ModulatedConv2d(8, 8, 5), other=W),
    "modulated only": Case(lambda: ModulatedConv2d(8, 8, 5, 1, demodulate=False), other=W),
    "conditional": Case(
        lambda: ConditionalBatchNorm(8, classes=3), other=LABELS, couples=True, differs=True
    ),
    "conditional by vector": Case(
        lambda: ConditionalBatchNorm(6, dim=5), VECTORS, VECTORS, W, couples=True, differs=True
    ),
    "virtual": Case(lambda: fixed(VirtualBatchNorm(8), IMAGES)),
    "virtual of vectors": Case(lambda: fixed(VirtualBatchNorm(6), VECTORS), VECTORS, VECTORS),
    "virtual batch": Case(
        lambda: VirtualBatch(
            nn.Sequential(nn.Linear(6, 6, bias=False), VirtualBatchNorm(6), nn.Tanh()),
            torch.randn(5, 6, dtype=torch.float64),
        ),
        VECTORS,
        VECTORS,
    ),
    "noise": Case(lambda: Noise(0.3), random=True, differs=True),
    "noise, always": Case(lambda: Noise(0.3, always=True), random=True),
    "pixel noise": Case(lambda: PixelNoise(8), random=True),
    "noisy": Case(
        lambda: noisy(nn.Linear(6, 1), 0.1, 0.1), VECTORS, (4, 1), random=True, differs=True
    ),
}
every = pytest.mark.parametrize("name", CASES)


def prepared(name):
    case = CASES[name]
    layer = case.make().double()
    x = torch.randn(case.enters, dtype=torch.float64)
    return case, layer, x, () if case.other is None else (case.other,)


def run(layer, *inputs):
    """With the same noise each time."""
    torch.manual_seed(7)
    return layer(*inputs)


@every
def test_shape_and_precision(name):
    case, layer, x, other = prepared(name)
    out = run(layer, x, *other)
    assert out.shape == case.leaves
    assert out.dtype == torch.float64
    single = [o.float() if o.is_floating_point() else o for o in other]
    assert run(copy.deepcopy(layer).float(), x.float(), *single).dtype == torch.float32


@every
def test_gradient_reaches_the_input_and_every_parameter(name):
    _, layer, x, other = prepared(name)
    x.requires_grad_()
    out = run(layer, x, *other)
    (out * torch.linspace(-1, 2, out.numel(), dtype=torch.float64).view_as(out)).sum().backward()
    assert x.grad.abs().max() > 1e-10
    for parameter_name, parameter in layer.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.abs().max() > 1e-10, parameter_name


@every
def test_first_and_second_derivatives(name):
    """Gradient penalties differentiate twice."""
    _, layer, x, other = prepared(name)
    x = (x[:, :, :2, :2] if x.dim() == 4 else x).clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: run(layer, x, *other), (x,))
    assert torch.autograd.gradgradcheck(lambda x: run(layer, x, *other), (x,))


@every
def test_modes(name):
    case, layer, x, other = prepared(name)
    if case.random:
        assert torch.equal(run(layer, x, *other), run(layer, x, *other))
        moved = layer(x, *other), layer(x, *other)
        silent = name == "pixel noise"  # strength 0 at first
        assert torch.equal(*moved) == silent
    training = run(layer, x, *other)
    for _ in range(3):
        run(layer, x, *other)
    layer.eval()
    evaluation = run(layer, x, *other)
    assert torch.equal(evaluation, run(layer, x, *other))
    assert torch.allclose(training, evaluation) != case.differs


@every
def test_coupling_is_declared_truthfully(name):
    """Other batch mates, same first sample."""
    case, layer, x, other = prepared(name)
    moved = torch.cat([x[:1], 3 * x[1:] + 1])
    feels = not torch.allclose(run(layer, x, *other)[0], run(layer, moved, *other)[0])
    assert couples_batch(layer) == couples_batch(nn.Sequential(layer)) == feels == case.couples


@every
def test_state_moves_to_a_fresh_layer(name):
    case, layer, x, other = prepared(name)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.1)
    fresh = case.make().double()
    fresh.load_state_dict(layer.state_dict())
    assert torch.equal(run(layer.eval(), x, *other), run(fresh.eval(), x, *other))


# --- closed forms ---------------------------------------------------------------------------------


def test_attention_starts_as_the_identity():
    x = torch.randn(IMAGES)
    assert torch.equal(SelfAttention(8)(x), x)


def test_attention_pixel_by_pixel():
    layer = awake(SelfAttention(8)).double()
    x = torch.randn(2, 8, 3, 3, dtype=torch.float64)
    f, g, h, v = (
        part.weight[:, :, 0, 0] for part in (layer.query, layer.key, layer.value, layer.output)
    )
    expected = x.clone()
    pixels = [(i, j) for i in range(3) for j in range(3)]
    for n in range(2):
        for i, j in pixels:
            scores = torch.stack([(f @ x[n, :, i, j]) @ (g @ x[n, :, k, m]) for k, m in pixels])
            weights = scores.exp() / scores.exp().sum()
            mixed = sum(w * (h @ x[n, :, k, m]) for w, (k, m) in zip(weights, pixels, strict=True))
            expected[n, :, i, j] += 0.7 * (v @ mixed)
    torch.testing.assert_close(layer(x), expected)


def test_deviation_of_a_batch_worked_by_hand():
    """Pairs (0, 2) and (1, 3): deviations 1 and 3."""
    x = torch.tensor([[0.0], [0.0], [2.0], [6.0]])
    out = minibatch_deviation(x, group=2)
    torch.testing.assert_close(out[:, 1], torch.tensor([1.0, 3.0, 1.0, 3.0]))
    assert torch.equal(out[:, :1], x)


def test_equal_samples_have_no_deviation_and_the_gradient_is_finite():
    x = torch.ones(4, 2, 2, 2, requires_grad=True)
    out = minibatch_deviation(x)
    assert out[:, 2].max().item() == pytest.approx(1e-4)  # sqrt eps
    out.sum().backward()
    assert x.grad.isfinite().all()


def test_deviation_refuses_a_broken_group():
    with pytest.raises(ValueError, match="multiple of group = 4"):
        minibatch_deviation(torch.zeros(6, 2))
    assert minibatch_deviation(torch.zeros(3, 2)).shape == (3, 3)  # a batch below the group is one


def test_discrimination_of_a_batch_worked_by_hand():
    layer = MinibatchDiscrimination(1, features=1, dim=1)
    nn.init.ones_(layer.projection.weight)
    x = torch.tensor([[0.0], [1.0], [3.0]])
    e = math.exp
    expected = torch.tensor([e(-1) + e(-3), e(-1) + e(-2), e(-3) + e(-2)])
    torch.testing.assert_close(layer(x)[:, 1], expected)


def test_packs_are_consecutive_samples():
    x = torch.arange(24.0).view(6, 2, 1, 2)
    packed = pack(x, 3)
    assert packed.shape == (2, 6, 1, 2)
    assert torch.equal(packed[1], x[3:].reshape(6, 1, 2))
    assert torch.equal(pack(x, 1), x)
    with pytest.raises(ValueError, match="size = 4 with a batch of 6"):
        pack(x, 4)


def test_equalized_weights_have_the_variance_of_he_and_the_raw_ones_one():
    layer = equalized(nn.Linear(400, 300), gain=math.sqrt(2), rate=0.01)
    assert layer.weight.std().item() == pytest.approx(math.sqrt(2 / 400), rel=0.02)
    assert layer.parametrizations.weight.original.std().item() == pytest.approx(100, rel=0.02)
    assert layer.bias.abs().max() == 0
    with pytest.raises(ValueError, match="layer = BatchNorm1d"):
        equalized(nn.BatchNorm1d(3))


def test_what_equalized_draws_for_dense_layers_and_convolutions_is_a_plain_normal():
    """Seeded weights of old runs: N(0, gain^2 / fan_in) from torch's global generator."""
    for make, inputs in ((lambda: nn.Linear(6, 4), 6), (lambda: nn.Conv2d(6, 4, 3, groups=2), 27)):
        layer = make()
        torch.manual_seed(3)
        equalized(layer, gain=2.0, rate=0.5)
        torch.manual_seed(3)
        expected = torch.empty_like(layer.weight).normal_(0, 2 / math.sqrt(inputs))
        torch.testing.assert_close(layer.weight, expected)
        torch.testing.assert_close(
            layer.parametrizations.weight.original * 0.5, expected / (2 / math.sqrt(inputs))
        )


# inputs summed into one output, on average: in / groups * prod(kernel) / prod(stride)
TRANSPOSED = {
    "1d": (nn.ConvTranspose1d(64, 64, 8, 4), 64 * 2, (4, 64, 60)),
    "2d": (nn.ConvTranspose2d(64, 64, 4, 2, groups=4), 16 * 4, (4, 64, 20, 20)),
    "2d, uneven": (nn.ConvTranspose2d(64, 64, (4, 3), (2, 1)), 64 * 6, (4, 64, 20, 20)),
    "3d": (nn.ConvTranspose3d(32, 32, 2, 2), 32, (4, 32, 6, 6, 6)),
}


@pytest.mark.parametrize("name", TRANSPOSED)
def test_equalized_transposed_convolutions_keep_unit_variance(name):
    layer, inputs, shape = TRANSPOSED[name]
    layer = equalized(copy.deepcopy(layer), gain=3.0)
    assert layer.parametrizations.weight[0].scale == pytest.approx(3 / math.sqrt(inputs))
    with torch.no_grad():
        out = layer(torch.randn(shape))
    inner = out[
        tuple([...] + [slice(8, -8) if out.shape[2] > 20 else slice(None)] * (out.dim() - 2))
    ]
    assert inner.square().mean().item() == pytest.approx(9, rel=0.15)


def test_adam_moves_every_equalized_weight_alike_relative_to_its_scale():
    steps = []
    for inputs in (4, 400):
        layer = equalized(nn.Linear(inputs, 3, bias=False))
        before = layer.weight.detach().clone()
        optimizer = torch.optim.Adam(layer.parameters(), lr=0.1)
        layer(torch.randn(5, inputs)).square().sum().backward()
        optimizer.step()
        steps.append(((layer.weight - before).abs().mean() * math.sqrt(inputs)).item())
    assert steps == pytest.approx([0.1, 0.1], rel=1e-3)


def test_pixel_norm_gives_vectors_of_length_root_c():
    out = pixel_norm(torch.randn(3, 5, 2, 2, dtype=torch.float64) * 9)
    torch.testing.assert_close(out.square().mean(1), torch.ones(3, 2, 2).double())


def test_adain_gives_each_channel_the_styles_mean_and_deviation():
    x = torch.randn(3, 4, 8, 8, dtype=torch.float64) * 5 + 2
    scale, shift = torch.rand(3, 4).double() + 0.5, torch.randn(3, 4).double()
    out = adain(x, scale, shift, eps=0)
    torch.testing.assert_close(out.mean((2, 3)), shift)
    torch.testing.assert_close(out.std((2, 3), correction=0), scale)
    with pytest.raises(ValueError, match="with pixels"):
        adain(x[:, :, 0, 0], scale, shift)


@pytest.mark.parametrize("demodulate", [True, False])
@pytest.mark.parametrize("padding", [0, 1])
def test_the_grouped_convolution_is_the_sample_by_sample_one(demodulate, padding):
    x = torch.randn(3, 4, 6, 5, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(2, 4, 3, 3, dtype=torch.float64, requires_grad=True)
    style = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    inputs = (x, weight, style)
    fast = modulated_conv2d(*inputs, demodulate, padding)
    slow = modulated_conv2d_by_sample(*inputs, demodulate, padding)
    torch.testing.assert_close(fast, slow)
    gradients = [torch.autograd.grad(out.square().sum(), inputs) for out in (fast, slow)]
    torch.testing.assert_close(*gradients)


def test_demodulation_ignores_the_styles_length_and_gives_variance_one():
    x, weight = torch.randn(2, 16, 40, 40), torch.randn(8, 16, 3, 3)
    style = torch.rand(2, 16) + 0.1
    out = modulated_conv2d(x, weight, style)
    torch.testing.assert_close(out, modulated_conv2d(x, weight, 7 * style), rtol=1e-4, atol=1e-5)
    assert out.var().item() == pytest.approx(1, rel=0.05)


def test_modulation_refuses_a_style_of_the_wrong_shape():
    with pytest.raises(ValueError, match=r"needed, \(2, 4\)"):
        modulated_conv2d(torch.zeros(2, 4, 3, 3), torch.zeros(1, 4, 1, 1), torch.zeros(1, 4))


@pytest.mark.parametrize("strength", [0.0, 0.5, 2.0])
def test_noise_has_its_strength(strength):
    x = torch.zeros(200, 50)
    layer = Noise(strength)
    layer.generator = torch.Generator().manual_seed(1)
    out = layer(x)
    assert out.std().item() == pytest.approx(strength, rel=0.03)
    assert layer.eval()(x) is x
    layer.train().generator.manual_seed(1)
    assert torch.equal(layer(x), out)


def test_negative_noise_is_refused():
    with pytest.raises(ValueError, match="strength = -1: a standard deviation"):
        Noise(-1)


def test_pixel_noise_is_one_image_for_all_channels():
    layer = PixelNoise(3)
    with torch.no_grad():
        layer.strength.copy_(torch.tensor([0.0, 1.0, 2.0]))
    out = layer(torch.zeros(2, 3, 4, 4))
    assert out[:, 0].abs().max() == 0
    assert torch.equal(out[:, 2], 2 * out[:, 1])
    assert not torch.equal(out[0], out[1])


def test_equalizing_a_module_reaches_every_layer_and_keeps_its_variance():
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Linear(64, 64), nn.ReLU(), nn.Unflatten(1, (16, 2, 2)),
        nn.ConvTranspose2d(16, 8, 4, 2, 1), nn.BatchNorm2d(8), nn.Conv2d(8, 3, 3),
    )  # fmt: skip
    assert equalize(net) == ["0", "3", "5"]
    for index, inputs in ((0, 64), (3, 16 * 16 / 4), (5, 8 * 9)):
        layer = net[index]
        assert layer.parametrizations.weight.original.std().item() == pytest.approx(1, abs=0.15)
        scale = (layer.weight / layer.parametrizations.weight.original).flatten()[0].item()
        assert scale == pytest.approx(math.sqrt(2 / inputs))
        assert layer.bias.abs().max() == 0


def test_equalizing_leaves_parametrized_layers_and_refuses_a_module_without_others():
    spectral = nn.utils.parametrizations.spectral_norm(nn.Linear(4, 4))
    assert equalize(nn.Sequential(spectral, nn.Linear(4, 4))) == ["1"]
    with pytest.raises(ValueError, match="nothing to equalize"):
        equalize(nn.Sequential(spectral))


@pytest.mark.parametrize("kind", MINIBATCH_LAYERS)
def test_minibatch_layers_say_how_many_features_leave_them(kind):
    layer, features = MINIBATCH_LAYERS[kind](6)
    x = torch.randn(8, 6)
    out = layer(x)
    assert out.shape == (8, features)
    assert torch.equal(out[:, :6], x)
    assert (features == 6) == (kind == "none")


@pytest.mark.parametrize("kind", MINIBATCH_LAYERS)
def test_minibatch_layers_say_how_many_flat_features_leave_a_map(kind):
    layer, features = MINIBATCH_LAYERS[kind](6, 4)
    out = layer(torch.randn(8, 6, 2, 2))
    assert out.flatten(1).shape == (8, features)
    assert features == 6 * 4 + {"none": 0, "deviation": 4, "discrimination": 16}[kind]
    assert couples_batch(layer) == (kind != "none")


@pytest.mark.parametrize("kind", MINIBATCH_LAYERS)
def test_minibatch_layers_are_described_in_one_sentence(kind):
    first = MINIBATCH_LAYERS[kind].__doc__.split("\n\n")[0]
    assert first.endswith(".")
    assert "\n" not in first
