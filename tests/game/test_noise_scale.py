"""The noise of a batch's gradient, on linear regression where it is known."""

import math

import pytest
import torch

from equipoise.game import expected_cosine, gradient_noise_scale

D = 10


def gradients(batch, count, seed=0):
    """Of 1/2 (x'w - y)^2 at |w - w*| = 1 with label noise 1, x ~ N(0, I): (count, D)."""
    rng = torch.Generator().manual_seed(seed)
    away = torch.zeros(D, dtype=torch.float64)
    away[0] = 1.0
    x = torch.randn(count, batch, D, generator=rng, dtype=torch.float64)
    noise = torch.randn(count, batch, generator=rng, dtype=torch.float64)
    return ((x @ away - noise)[..., None] * x).mean(1)


def test_the_noise_scale_of_linear_regression_is_the_closed_form():
    """tr Sigma = s^2 d + (d + 1) |delta|^2 = 21 and |G|^2 = 1."""
    assert gradient_noise_scale(gradients(4, 40_000), 4).item() == pytest.approx(21, rel=0.03)


@pytest.mark.parametrize(("batch", "known"), [(4, 0.160), (16, 0.432), (64, 0.753), (256, 0.924)])
def test_two_batches_agree_as_much_as_their_noise_leaves(batch, known):
    assert expected_cosine(21.0, batch) == pytest.approx(known, abs=5e-4)
    pairs = gradients(batch, 800).view(400, 2, D)
    measured = torch.cosine_similarity(pairs[:, 0], pairs[:, 1]).mean().item()
    assert measured == pytest.approx(known, abs=0.035)


def test_gradients_without_noise_have_none_and_without_signal_nothing_else():
    same = torch.ones(3, 5)
    assert gradient_noise_scale(same, 8).item() == 0
    opposed = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    assert gradient_noise_scale(opposed, 8).item() == math.inf


def test_parts_of_one_batch_tell_the_scale_of_a_sample():
    """Cutting the same samples into other parts leaves the estimate near the truth."""
    whole = gradients(1, 20_000)
    halves = whole.view(2_500, 8, D).mean(1)
    first, second = gradient_noise_scale(whole, 1), gradient_noise_scale(halves, 8)
    assert first.item() == pytest.approx(second.item(), rel=0.1)


@pytest.mark.parametrize(("shape", "batch"), [((1, 3), 4), ((3,), 4), ((4, 3), 0)])
def test_too_little_to_tell_is_refused(shape, batch):
    with pytest.raises(ValueError, match="at least 2 gradients"):
        gradient_noise_scale(torch.ones(shape), batch)
