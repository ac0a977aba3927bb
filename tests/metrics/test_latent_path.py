"""Path lengths against the closed forms of linear generators, and what is refused."""

import math

import numpy as np
import pytest
import torch

from equipoise.metrics.latent_path import (
    PPL2_WEND,
    PPL_ZFULL,
    LatentWalk,
    PathRule,
    _trimmed,
    lerp,
    path_length,
    slerp,
    squared_distance,
)
from equipoise.metrics.measure import compare
from equipoise.metrics.reconstruction import feature_distance_values

A = torch.randn(12, 3, generator=torch.Generator().manual_seed(1))
NORM = float(A.square().sum())


def linear(z):
    return z @ A.T


def walk(**change):
    return LatentWalk(**({"synthesis": linear, "z_dim": 3, "mapping": lambda z: z} | change))


FIELDS = {"space", "sampling", "n", "eps", "arc", "crop", "box", "percentiles"}


def take(generator=None, distance=squared_distance, **change):
    fields = {"n": 4000, "percentiles": None} | {k: v for k, v in change.items() if k in FIELDS}
    rest = {"distance_name": "squared", "batch": 1000}
    rest |= {k: v for k, v in change.items() if k not in FIELDS}
    return path_length(generator or walk(), distance, rule=PathRule(**fields), **rest)


@pytest.mark.parametrize("sampling", ["full", "end"])
def test_a_line_in_w_matches_the_closed_form(sampling):
    measure = take(sampling=sampling)
    assert abs(measure.value - 2 * NORM) < 4 * measure.error
    assert measure.error < 0.05 * measure.value


@pytest.mark.parametrize("sampling", ["full", "end"])
def test_an_arc_in_z_matches_the_closed_form(sampling):
    # d = 3: E[angle^2] = (pi^2 - 4) / 2 over random directions
    measure = take(space="z", sampling=sampling)
    assert abs(measure.value - (math.pi**2 - 4) / 2 * NORM / 3) < 4 * measure.error
    assert measure.error < 0.03 * measure.value


@pytest.mark.parametrize("d", [8, 40])
def test_an_arc_that_keeps_lengths_matches_the_closed_form(d):
    # at t = 0, a = |a| u, b = |b| (cos w u + sin w p): dz/dt = w ((|b| - |a|) cot w u + |b| p), so
    # E|dz/dt|^2 = d E[w^2] + 2 (d - E[|a|]^2) E[w^2 cot^2 w], w of density sin^(d-2)
    angle = torch.linspace(1e-6, math.pi - 1e-6, 200001, dtype=torch.float64)
    density = angle.sin() ** (d - 2)
    density = density / density.sum()
    length = math.sqrt(2) * math.exp(math.lgamma((d + 1) / 2) - math.lgamma(d / 2))
    expected = d * float((density * angle**2).sum()) + 2 * (d - length**2) * float(
        (density * (angle / angle.tan()) ** 2).sum()
    )
    plain = LatentWalk(synthesis=lambda z: z, z_dim=d)
    measure = take(plain, space="z", arc="any")
    assert abs(measure.value - expected) < 4 * measure.error
    assert measure.error < 0.02 * expected
    assert measure.warnings == ()


def test_a_unit_arc_is_said_where_z_is_not_normalized():
    plain = LatentWalk(synthesis=linear, z_dim=3)
    assert "arc='any'" in take(plain, space="z", n=50).warnings[0]
    sphere = walk(mapping=lambda z: z / z.norm(dim=1, keepdim=True))
    assert take(sphere, space="z", n=50).warnings == ()


@pytest.mark.parametrize(("sampling", "variance"), [("end", 1.0), ("full", 2 / 3)])
def test_where_a_path_is_read(sampling, variance):
    # lerp of two normals at t has variance (1 - t)^2 + t^2: 1 at t = 0, 2/3 over uniform t
    seen = []
    take(walk(synthesis=lambda w: seen.append(w) or linear(w)), sampling=sampling)
    assert float(seen[0].var()) == pytest.approx(variance, abs=0.06)


def test_the_error_of_a_trimmed_mean_is_that_of_tukey_and_mclaughlin():
    values = torch.arange(200, dtype=torch.float64) ** 2
    kept, error, bounds = _trimmed(values, (1.0, 99.0))
    assert (bounds["low"], bounds["high"]) == (1.0, 198.0**2)
    pulled = np.clip(np.arange(200.0) ** 2, 1.0, 198.0**2)
    assert len(kept) == 198
    assert error == pytest.approx(pulled.std(ddof=1) / (198 / 200) / math.sqrt(200), rel=1e-12)


def test_presets_are_the_published_ones():
    assert (PPL2_WEND.space, PPL2_WEND.sampling, PPL2_WEND.n, PPL2_WEND.crop) == (
        "w", "end", 50_000, False,
    )  # fmt: skip
    assert (PPL2_WEND.eps, PPL2_WEND.percentiles, PPL2_WEND.box) == (1e-4, (1.0, 99.0), 256)
    assert (PPL_ZFULL.space, PPL_ZFULL.sampling, PPL_ZFULL.n, PPL_ZFULL.crop) == (
        "z", "full", 100_000, True,
    )  # fmt: skip


def test_the_interval_holds_the_closed_form_as_often_as_it_says():
    held = 0
    for seed in range(200):
        m = take(n=200, batch=200, seed=seed)
        held += m.low <= 2 * NORM <= m.high
    assert held / 200 == pytest.approx(0.95, abs=0.04)


def test_the_trimmed_error_is_the_spread_over_seeds():
    measures = [take(n=400, batch=400, seed=s, percentiles=(1, 99)) for s in range(120)]
    spread = np.std([m.value for m in measures])
    assert np.mean([m.error for m in measures]) == pytest.approx(spread, rel=0.15)


def test_a_constant_generator_scores_zero():
    picture = torch.rand(3, 8, 8)
    still = walk(synthesis=lambda w: picture.expand(len(w), 3, 8, 8))
    measure = take(still, n=50)
    assert (measure.value, measure.error) == (0, 0)


def test_a_mapping_is_walked_after_it_in_w_and_before_it_in_z():
    double = walk(mapping=lambda z: 2 * z)
    assert take(double).value == pytest.approx(4 * take().value, rel=1e-3)
    assert take(double, space="z").value == pytest.approx(4 * take(space="z").value, rel=1e-3)
    alone = walk(mapping=None)
    assert take(alone, space="z").value == take(space="z").value


def test_percentiles_are_stylegan_s():
    measure = take(percentiles=(1.0, 99.0))
    array = []
    take(distance=lambda a, b: array.append(squared_distance(a, b)) or array[-1])
    values = torch.cat(array).numpy() / 1e-8
    low = np.percentile(values, 1, method="lower")
    high = np.percentile(values, 99, method="higher")
    kept = values[(values >= low) & (values <= high)]
    assert measure.value == pytest.approx(kept.mean(), rel=1e-9)
    assert measure.parts["kept"] == len(kept)
    assert measure.parts["untrimmed"] == pytest.approx(values.mean())


def image_walk(side=16, seed=0, channels=3, **change):
    random = torch.Generator().manual_seed(seed)
    weight = torch.randn(3, channels * side * side, generator=random) * 0.3

    def synthesis(w, *labels):
        return torch.tanh(w @ weight).view(-1, channels, side, side)

    return walk(**({"synthesis": synthesis} | change))


def to_bytes(synthesis):
    return lambda w: (synthesis(w) * 127.5 + 128).clamp(0, 255).to(torch.uint8)


@pytest.mark.parametrize(
    ("rounding", "said"),
    [
        (lambda s: to_bytes(s), "images are uint8 and eps = 0.0001"),
        (lambda s: lambda w: to_bytes(s)(w).float(), "floats on the levels of bytes"),
        (lambda s: lambda w: to_bytes(s)(w).float() / 255, "floats on the levels of bytes"),
        (lambda s: lambda w: to_bytes(s)(w).float() / 127.5 - 1, "floats on the levels of bytes"),
        (lambda s: lambda w: s(w).half(), "images are float16"),
        (lambda s: lambda w: s(w).bfloat16(), "images are bfloat16"),
    ],
)
def test_rounded_images_are_refused_below_a_coarse_step(rounding, said):
    rough = walk(synthesis=rounding(image_walk().synthesis))
    with pytest.raises(ValueError, match=f"{said}.*pass quantized='warn'"):
        take(rough, n=20)
    assert said in take(rough, n=20, quantized="warn").warnings[0]
    assert take(rough, n=20, eps=0.1).warnings == ()


def test_bytes_make_a_small_step_a_hundred_times_too_long():
    fine = image_walk(side=32)
    rough = walk(synthesis=lambda w: to_bytes(fine.synthesis)(w).float() / 127.5 - 1)
    few = {"n": 64, "batch": 64, "quantized": "warn"}
    ratio = take(rough, **few).value / take(fine, **few).value
    assert 30 < ratio < 300  # grows as 1 / eps: METRICS measured 103 at 1e-4, 1.0 at 1e-1
    assert take(rough, eps=0.1, **few).value / take(fine, eps=0.1, **few).value == pytest.approx(
        1, abs=0.05
    )


def test_both_ends_of_a_pair_see_the_same_labels():
    seen = []

    def synthesis(w, labels):
        seen.append(labels)
        return linear(w) + 100 * labels[:, None]

    def draw(n, random):
        return torch.randint(0, 10, (n,), generator=random)

    conditional = walk(synthesis=synthesis, labels=draw, mapping=lambda z, labels: z)
    measure = take(conditional)
    assert abs(measure.value - 2 * NORM) < 4 * measure.error
    assert all(torch.equal(seen[0], s) for s in seen[:3])
    assert not torch.equal(seen[0], seen[3])


def test_both_ends_of_a_pair_see_the_same_noise_and_the_global_state_is_kept():
    noisy = walk(synthesis=lambda w: linear(w) + torch.randn(len(w), 12))
    before = torch.get_rng_state()
    measure = take(noisy, n=2000)
    assert torch.equal(before, torch.get_rng_state())
    assert abs(measure.value - 2 * NORM) < 4 * measure.error
    assert measure.warnings == ()


def test_noise_that_cannot_be_shared_is_said():
    own = torch.Generator().manual_seed(0)
    noisy = walk(synthesis=lambda w: linear(w) + 1e-3 * torch.randn(len(w), 12, generator=own))
    assert "two different images" in take(noisy, n=100).warnings[0]


def test_training_mode_is_said():
    network = torch.nn.Sequential(torch.nn.Linear(3, 12), torch.nn.Dropout(0.5))
    assert "training mode" in take(walk(synthesis=network), n=100).warnings[0]
    assert take(walk(synthesis=network.eval()), n=100).warnings == ()


def test_crop_and_box_are_stylegan_s():
    seen = []

    def distance(a, b):
        seen.append(tuple(a.shape))
        return squared_distance(a, b)

    few = {"n": 2, "batch": 2, "distance": distance}
    take(image_walk(side=32), crop=True, **few)
    take(image_walk(side=32), box=8, **few)
    take(image_walk(side=32), box=8, crop=True, **few)
    take(image_walk(side=32), box=256, **few)
    assert [shape[2:] for shape in seen] == [(16, 16), (8, 8), (4, 4), (32, 32)]


def test_any_distance_of_image_pairs_serves():
    stack = lambda x: [torch.nn.functional.avg_pool2d(x, 4), x[:, :, ::2, ::2]]  # noqa: E731 - short
    measure = take(
        image_walk(), n=40, distance=lambda a, b: feature_distance_values(a, b, stack),
        distance_name="feature_distance_toy",
    )  # fmt: skip
    assert measure.name == "path_length_feature_distance_toy"
    assert measure.value > 0


def test_one_seed_repeats_and_the_convention_tells_what_differs():
    assert take(n=100).value == take(n=100).value
    assert take(n=100).value != take(n=100, seed=1).value
    with pytest.raises(ValueError, match="sampling 'end' against 'full'"):
        compare(take(n=100), take(n=100, sampling="full"))


def test_interpolations_match_their_definitions():
    a, b = torch.tensor([[3.0, 0, 0]]), torch.tensor([[0, 5.0, 0]])
    t = torch.tensor([1 / 3], dtype=torch.float64)
    assert slerp(a, b, t)[0].tolist() == pytest.approx([math.sqrt(3) / 2, 0.5, 0])
    assert lerp(a, b, t)[0].tolist() == pytest.approx([2, 5 / 3, 0])
    longer = slerp(a, b, t, unit=False)[0]
    assert longer.tolist() == pytest.approx([3 * math.sqrt(3) / 2, 2.5, 0])
    assert torch.equal(slerp(a, 2 * a, t, unit=False), a.double())
    assert slerp(a, a, t)[0].tolist() == pytest.approx([1, 0, 0])
    assert torch.isfinite(slerp(a, -a, t)).all()


BAD = [
    (lambda: take(space="x"), "unknown space 'x'"),
    (lambda: take(sampling="fulll"), "did you mean 'full'"),
    (lambda: take(quantized="warned"), "did you mean 'warn'"),
    (lambda: take(walk(mapping=None)), "needs LatentWalk\\(mapping=\\)"),
    (lambda: take(walk(z_dim=None)), "z_dim = None and draw = None"),
    (lambda: take(n=1), "n >= 2 pairs"),
    (lambda: take(arc="unite"), "did you mean 'unit'"),
    (lambda: take(batch=0), "batch = 0: must be"),
    (lambda: take(percentiles=(99, 1)), r"percentiles = \(99, 1\): must be"),
    (lambda: take(eps=0.0), "0 < eps <= 1"),
    (lambda: take(n=9, crop=True), r"crop = True with images \(9, 12\)"),
    (lambda: take(image_walk(side=18), n=2, box=4), "multiples of 4"),
    (lambda: take(n=9, distance=lambda a, b: squared_distance(a, b).mean()), "not their mean"),
    (lambda: take(n=9, distance=lambda a, b: squared_distance(a, b) / 0), "pair 0 is NaN"),
    (lambda: take(walk(synthesis=lambda w: linear(w) * math.nan), n=9), "NaN or infinity"),
]


@pytest.mark.parametrize(("call", "said"), BAD)
def test_bad_input_is_refused(call, said):
    with pytest.raises(ValueError, match=said):
        call()
