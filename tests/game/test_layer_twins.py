"""Normalizations and layers against loops over samples, and against torch's own operations."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from equipoise.game import (
    NORMALIZATIONS,
    ConditionalBatchNorm,
    MinibatchDiscrimination,
    Packed,
    SelfAttention,
    VirtualBatch,
    VirtualBatchNorm,
    adain,
    equalized,
    exact_spectral_norm,
    minibatch_deviation,
    modulated_conv2d,
    normalized,
    pack,
    spectral_norm,
)


def images(n=6, channels=8, side=4):
    return torch.randn(n, channels, side, side, dtype=torch.float64) * 3 + 1


def awake(module):
    """Affine parts away from 1 and 0, where gain and bias could not be told apart."""
    for parameter in module.parameters():
        nn.init.uniform_(parameter, 0.5, 1.5)
    return module


# --- every normalization --------------------------------------------------------------------------


def standard(x, dims, eps=1e-5):
    """(x - mean) / sqrt(var + eps) over `dims`, written out."""
    mean = x.mean(dims, keepdim=True)
    variance = ((x - mean) ** 2).mean(dims, keepdim=True)
    return (x - mean) / (variance + eps).sqrt()


def affine(norm, x):
    """gain x + bias, by channel."""
    channels = zip(norm.weight, x.unbind(1), norm.bias, strict=True)
    return torch.stack([gain * channel + bias for gain, channel, bias in channels], 1)


def with_reference(x, norm, reference):
    """Each sample's statistics are batch statistics of the reference and that sample alone."""
    rows = [
        functional.batch_norm(
            torch.cat([reference, row[None]]), None, None, norm.weight, norm.bias, training=True
        )[-1]
        for row in x
    ]
    return torch.stack(rows)


REFERENCE = torch.randn(5, 3, 4, 4, generator=torch.Generator().manual_seed(2)).double()
# (h, bare convolution, norm, x) -> what leaves; h is the bare convolution of x
SLOW_NORMS = {
    "none": lambda h, conv, norm, x: h,
    "batch": lambda h, conv, norm, x: affine(norm, standard(h, (0, 2, 3))),
    "layer": lambda h, conv, norm, x: affine(norm, standard(h, (1, 2, 3))),
    "instance": lambda h, conv, norm, x: affine(norm, standard(h, (2, 3))),
    "group": lambda h, conv, norm, x: affine(
        norm, torch.cat([standard(part, (1, 2, 3)) for part in h.chunk(2, 1)], 1)
    ),
    "pixel": lambda h, conv, norm, x: math.sqrt(8) * functional.normalize(h, dim=1),
    "virtual_batch": lambda h, conv, norm, x: with_reference(h, norm, conv(REFERENCE)),
    "spectral": lambda h, conv, norm, x: functional.conv2d(
        x, conv.weight / torch.linalg.svdvals(conv.weight.flatten(1))[0], conv.bias
    ),
    "weight": lambda h, conv, norm, x: h,  # g starts as |v|; its loop over outputs is below
}


def test_every_normalization_has_a_slow_twin():
    assert set(SLOW_NORMS) == set(NORMALIZATIONS)


@pytest.mark.parametrize("kind", SLOW_NORMS)
def test_normalizations_are_those_written_out(kind):
    conv = nn.Conv2d(3, 8, 2).double()
    bare = nn.Conv2d(3, 8, 2).double()
    bare.load_state_dict(conv.state_dict())
    layer, *rest = normalized(kind, conv, 8)
    bare.bias = layer.bias  # None where the mean takes it away
    norm = awake(rest[0].double()) if rest else None
    whole = nn.Sequential(layer, *rest)
    for _ in range(300):  # power iterations settle; the first batch becomes the virtual reference
        whole(REFERENCE)
    x = torch.randn(6, 3, 4, 4, dtype=torch.float64)
    expected = SLOW_NORMS[kind](bare(x), bare, norm, x)
    torch.testing.assert_close(whole(x), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", ["transposed", "dense", "convolution"])
def test_weight_normalization_is_a_loop_over_outputs(kind):
    """w_o = g_o v_o / |v_o|; of a transposed convolution outputs are the second axis."""
    make = {
        "transposed": lambda: nn.ConvTranspose2d(3, 4, 2),
        "dense": lambda: nn.Linear(3, 4),
        "convolution": lambda: nn.Conv2d(3, 4, 2),
    }
    (layer,) = normalized("weight", make[kind]().double(), 4)
    stored = layer.parametrizations.weight
    with torch.no_grad():
        stored.original0.mul_(torch.rand_like(stored.original0) + 0.5)
    axis = 1 if kind == "transposed" else 0
    for o in range(4):
        direction = stored.original1.select(axis, o)
        expected = stored.original0.flatten()[o] * direction / direction.square().sum().sqrt()
        torch.testing.assert_close(layer.weight.select(axis, o), expected)


def test_a_virtual_batch_gives_each_sample_the_statistics_of_reference_and_itself():
    """Two layers deep: the reference passes by its own statistics, a sample by the mixture."""
    first, second = (awake(VirtualBatchNorm(c)).double() for c in (8, 8))
    convs = [nn.Conv2d(3, 8, 2).double(), nn.Conv2d(8, 8, 2).double()]
    model = nn.Sequential(convs[0], first, nn.Tanh(), convs[1], second)
    whole = VirtualBatch(model, REFERENCE)
    x = torch.randn(4, 3, 4, 4, dtype=torch.float64)
    reference, out = REFERENCE, x
    for conv, norm in zip(convs, (first, second), strict=True):
        reference, out = conv(reference), conv(out)
        mixed = with_reference(out, norm, reference)
        reference = functional.batch_norm(
            reference, None, None, norm.weight, norm.bias, training=True
        )
        reference, out = (reference.tanh(), mixed.tanh()) if norm is first else (reference, mixed)
    torch.testing.assert_close(whole(x), out)


def test_conditional_batch_norm_is_a_loop_over_samples():
    x, y = images(5, 4), torch.randn(5, 3, dtype=torch.float64)
    layer = awake(ConditionalBatchNorm(4, dim=3).double())
    mean = x.mean((0, 2, 3), keepdim=True)
    plain = (x - mean) / (((x - mean) ** 2).mean((0, 2, 3), keepdim=True) + 1e-5).sqrt()
    rows = []
    for row, condition in zip(plain, y, strict=True):
        affine = layer.affine.weight @ condition
        rows.append(row * (1 + affine[:4, None, None]) + affine[4:, None, None])
    torch.testing.assert_close(layer(x, y), torch.stack(rows))


def test_adain_is_torchs_instance_normalization_with_each_samples_own_affine_part():
    x = images(3, 4)
    scale, shift = torch.randn(2, 3, 4, dtype=torch.float64)
    rows = [
        functional.instance_norm(row[None], weight=gain, bias=bias)[0]
        for row, gain, bias in zip(x, scale, shift, strict=True)
    ]
    torch.testing.assert_close(adain(x, scale, shift), torch.stack(rows))


# --- spectral normalization -----------------------------------------------------------------------


@pytest.mark.parametrize("steps", [1, 3])
def test_spectral_normalization_is_the_power_iteration_written_out(steps):
    """u = W v / |W v|, v = W'u / |W'u|, sigma = u'W v at every forward in training, far from done.

    torch takes u first where Miyato et al. take v: half a step apart, the same limit.
    """
    (layer,) = spectral_norm(nn.Conv2d(3, 4, 2).double(), steps=steps)
    stored = layer.parametrizations.weight
    raw = stored.original.detach().flatten(1)
    v = functional.normalize(torch.randn(12, dtype=torch.float64), dim=0)
    stored[0]._v.copy_(v)
    top = torch.linalg.svdvals(raw)[0].item()
    sigmas = []
    for _ in range(4):
        for _ in range(steps):
            u = raw @ v / (raw @ v).norm()
            v = raw.T @ u / (raw.T @ u).norm()
        sigmas.append((u @ raw @ v).item())
        torch.testing.assert_close(layer.weight.detach().flatten(1), raw / sigmas[-1])
    assert sigmas == sorted(sigmas)
    assert sigmas[0] < top - 1e-4


SPECTRAL = {
    "dense": (lambda: nn.Linear(5, 4), (2, 5)),
    "convolution": (lambda: nn.Conv2d(3, 4, 3), (2, 3, 4, 4)),
    "transposed": (lambda: nn.ConvTranspose2d(3, 4, 2), (2, 3, 4, 4)),
}


@pytest.mark.parametrize("kind", SPECTRAL)
def test_spectral_normalization_settles_where_torchs_older_hook_does(kind):
    """torch.nn.utils.spectral_norm is other code than the parametrization that we use."""
    make, shape = SPECTRAL[kind]
    ours, theirs = make().double(), make().double()
    theirs.load_state_dict(ours.state_dict())
    (ours,), theirs = spectral_norm(ours), nn.utils.spectral_norm(theirs)
    x = torch.randn(shape, dtype=torch.float64)
    for _ in range(300):
        found, expected = ours(x), theirs(x)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
    slopes = [
        torch.autograd.grad(out.square().sum(), raw)[0]
        for out, raw in (
            (found, ours.parametrizations.weight.original),
            (expected, theirs.weight_orig),
        )
    ]
    torch.testing.assert_close(*slopes, rtol=1e-6, atol=1e-6)


def test_the_ratio_of_the_two_norms_tends_to_the_root_of_the_kernel_over_the_stride():
    """All ones: sqrt(k^2) / s = 3 and 2, from below."""
    for kernel, stride, limit in ((3, 1, 3.0), (4, 2, 2.0)):
        ratios = []
        for side in (8, 32):
            conv = nn.Conv2d(1, 1, kernel, stride, padding=1, bias=False).double()
            nn.init.ones_(conv.weight)
            usual = torch.linalg.matrix_norm(conv.weight.detach().flatten(1), 2).item()
            exact = exact_spectral_norm(conv, (side, side), steps=150)
            ratios.append(1 / exact.weight.detach().max().item() / usual)
        assert ratios[0] < ratios[1] < limit
        assert ratios[1] == pytest.approx(limit, rel=0.01)


# --- layers ---------------------------------------------------------------------------------------


EQUALIZED = {
    "dense": (lambda: nn.Linear(6, 4), functional.linear, {}),
    "convolution": (lambda: nn.Conv2d(6, 4, 3), functional.conv2d, {}),
    "strided, grouped": (
        lambda: nn.Conv2d(6, 4, 3, stride=2, groups=2),
        functional.conv2d,
        {"stride": 2, "groups": 2},
    ),
    "sound": (lambda: nn.Conv1d(6, 4, 5), functional.conv1d, {}),
    "transposed": (
        lambda: nn.ConvTranspose2d(6, 4, 4, stride=2),
        functional.conv_transpose2d,
        {"stride": 2},
    ),
    "transposed, grouped": (
        lambda: nn.ConvTranspose2d(6, 4, 6, stride=3, groups=2),
        functional.conv_transpose2d,
        {"stride": 3, "groups": 2},
    ),
}


@pytest.mark.parametrize("kind", EQUALIZED)
def test_an_equalized_layer_is_the_plain_one_with_a_scaled_weight(kind):
    """c = rate gain / sqrt(fan in), the fan in counted by sending ones through ones."""
    make, function, options = EQUALIZED[kind]
    layer = equalized(make().double(), gain=1.7, rate=0.3)
    raw = layer.parametrizations.weight.original
    dims = raw.dim() - 2
    ones = torch.ones(1, 6, *(24,) * dims, dtype=torch.float64)
    counts = function(ones, torch.ones_like(raw), **options)
    inner = counts[(0, 0, *(slice(6, 12),) * dims)]  # away from the edges, whole strides
    scale = 0.3 * 1.7 / math.sqrt(inner.mean().item())
    with torch.no_grad():
        layer.bias.normal_()
    x = torch.randn(2, 6, *(9,) * dims, dtype=torch.float64)
    fast, slow = layer(x), function(x, scale * raw, layer.bias, **options)
    torch.testing.assert_close(fast, slow)
    torch.testing.assert_close(
        *(torch.autograd.grad(out.square().sum(), raw)[0] for out in (fast, slow))
    )


@pytest.mark.parametrize(("n", "group", "features"), [(8, 4, 1), (8, 2, 2), (3, 4, 1), (6, 6, 4)])
def test_minibatch_deviation_is_a_loop_over_groups_features_and_pixels(n, group, features):
    x = images(n, 4, 3)
    out = minibatch_deviation(x, group, features)
    assert torch.equal(out[:, :4], x)
    size = min(group, n)
    for i in range(n):
        mates = [x[j] for j in range(n) if j % (n // size) == i % (n // size)]
        assert len(mates) == size
        for f in range(features):
            part = [m.chunk(features)[f].flatten() for m in mates]
            found = []
            for pixel in zip(*(p.tolist() for p in part), strict=True):
                mean = sum(pixel) / size
                found.append(math.sqrt(sum((v - mean) ** 2 for v in pixel) / size + 1e-8))
            expected = torch.full((3, 3), sum(found) / len(found)).double()
            torch.testing.assert_close(out[i, 4 + f], expected)


def test_minibatch_discrimination_is_a_loop_over_pairs():
    layer = MinibatchDiscrimination(5, features=3, dim=2).double()
    x = torch.randn(6, 5, dtype=torch.float64)
    matrices = (x @ layer.projection.weight.T).view(6, 3, 2).tolist()
    out = layer(x)
    for i in range(6):
        for b in range(3):
            closeness = sum(
                math.exp(-sum(abs(p - q) for p, q in zip(matrices[i][b], other[b], strict=True)))
                for j, other in enumerate(matrices)
                if j != i
            )
            assert out[i, 5 + b].item() == pytest.approx(closeness, abs=1e-12)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_packs_are_a_loop_over_packs(size):
    x = images(6, 2)
    packs = [torch.cat(list(x[i : i + size]), 0) for i in range(0, 6, size)]
    torch.testing.assert_close(pack(x, size), torch.stack(packs), rtol=0, atol=0)
    judge = nn.Sequential(nn.Flatten(), nn.Linear(2 * size * 16, 1)).double()
    one_by_one = torch.cat([judge(p[None]) for p in packs])
    torch.testing.assert_close(Packed(judge, size)(x), one_by_one)


@pytest.mark.parametrize("pool", [False, True])
def test_self_attention_is_torchs_attention_at_scale_one(pool):
    layer = SelfAttention(16, pool).double()
    nn.init.constant_(layer.gamma, 0.6)
    x = images(3, 16)
    query, key, value = (part(x) for part in (layer.query, layer.key, layer.value))
    if pool:
        key, value = (functional.max_pool2d(t, 2) for t in (key, value))
    rows = [t.flatten(2).transpose(1, 2) for t in (query, key, value)]
    mixed = functional.scaled_dot_product_attention(*rows, scale=1.0)
    expected = x + 0.6 * layer.output(mixed.transpose(1, 2).reshape(3, 8, 4, 4))
    torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize("demodulate", [True, False])
def test_modulated_convolution_weight_by_weight(demodulate):
    """Each sample's weight made entry by entry: s_i w_oij, over the root of its squares' sum."""
    x, style = images(3, 2, 5), torch.randn(3, 2, dtype=torch.float64)
    weight = torch.randn(4, 2, 3, 3, dtype=torch.float64)
    for n in range(3):
        own = weight.clone()
        for o in range(4):
            for i in range(2):
                own[o, i] = style[n, i] * weight[o, i]
            if demodulate:
                own[o] = own[o] / math.sqrt(sum(v * v for v in own[o].flatten().tolist()) + 1e-8)
        expected = functional.conv2d(x[n : n + 1], own, padding=1)[0]
        torch.testing.assert_close(modulated_conv2d(x, weight, style, demodulate, 1)[n], expected)


def test_modulation_is_scaling_the_input_and_dividing_by_the_expected_deviation():
    """The paper's other reading: conv(s x) / sigma, sigma_o^2 = sum_ik (s_i w_oik)^2."""
    x, style = images(3, 2, 5), torch.rand(3, 2, dtype=torch.float64) + 0.2
    weight = torch.randn(4, 2, 3, 3, dtype=torch.float64)
    sigma = (style.square() @ weight.square().sum((2, 3)).T).sqrt()  # (N, O)
    expected = functional.conv2d(x * style[:, :, None, None], weight) / sigma[:, :, None, None]
    torch.testing.assert_close(modulated_conv2d(x, weight, style), expected)
