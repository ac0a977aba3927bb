"""Feature matching by hand: the mean over layers and discriminators, and Salimans' means."""

import pytest
import torch
from torch import nn

from equipoise.game import captured, feature_matching, mean_feature_matching

ONES, ZEROS = torch.ones(2, 3), torch.zeros(2, 3)
WIDE = torch.full((2, 4, 5), 4.0)


def test_layers_count_alike_whatever_their_size():
    found = feature_matching([ONES, WIDE], [ZEROS, torch.zeros_like(WIDE)])
    assert found.tolist() == [2.5, 2.5]


def test_discriminators_count_alike_however_many_layers_they_have():
    real = [[ONES, 3 * ONES], [WIDE]]
    fake = [[ZEROS, ZEROS], [torch.zeros_like(WIDE)]]
    assert feature_matching(real, fake).tolist() == [3.0, 3.0]  # (2 + 4) / 2


def test_each_sample_has_its_own_distance():
    fake = torch.tensor([[1.0, 1.0, 1.0], [4.0, 1.0, -2.0]])
    assert feature_matching([ONES], [fake]).tolist() == [0.0, 2.0]


def test_hifi_gans_sum_is_ours_times_the_number_of_layers():
    real, fake = torch.randn(2, 3, 4, 6)
    layers = [[real, real.relu()], [real.tanh(), real.exp()]], [[fake, fake.relu()]] * 2
    by_hand = sum(
        (r - f).abs().mean()
        for rs, fs in zip(*layers, strict=True)
        for r, f in zip(rs, fs, strict=True)
    )
    assert 4 * feature_matching(*layers).mean().item() == pytest.approx(by_hand.item(), rel=1e-5)


def test_relative_layers_have_no_unit():
    real, fake = torch.randn(2, 3, 4)
    plain = feature_matching([real], [fake], relative=True)
    torch.testing.assert_close(feature_matching([100 * real], [100 * fake], relative=True), plain)
    torch.testing.assert_close(plain, feature_matching([real], [fake]) / real.abs().mean())
    assert feature_matching([ZEROS], [ONES], relative=True).isfinite().all()


def test_reals_take_no_gradient():
    real, fake = torch.randn(2, 3, 4).requires_grad_().unbind()
    real.retain_grad()
    fake.retain_grad()
    (
        feature_matching([real], [fake], relative=True).sum() + mean_feature_matching(real, fake)
    ).backward()
    assert real.grad is None
    assert fake.grad.abs().sum() > 0


def test_features_that_do_not_match_are_refused():
    for real, fake in (([ONES], []), ([ONES], ONES), ([], []), ([[ONES]], [[ONES, ONES]])):
        with pytest.raises(ValueError, match="same layers of the same discriminators"):
            feature_matching(real, fake)
    with pytest.raises(ValueError, match=r"\(2, 3\) and \(2, 4\).*one size"):
        feature_matching([ONES], [torch.ones(2, 4)])
    with pytest.raises(ValueError, match="but the batch"):
        mean_feature_matching(ONES, torch.ones(2, 4))


def test_means_are_matched_over_the_batch():
    """||(1, 2) - (0, 4)||^2 = 5, blind to the samples' order and number."""
    real = torch.tensor([[0.0, 2.0], [2.0, 2.0]])
    fake = torch.tensor([[1.0, 4.0], [-1.0, 5.0], [0.0, 3.0]])
    assert mean_feature_matching(real, fake).item() == pytest.approx(5.0)
    assert mean_feature_matching(real, fake.flip(0)).item() == pytest.approx(5.0)


def test_gradients_agree_with_finite_differences():
    real, fake = torch.randn(2, 3, 4, dtype=torch.float64)
    for function in (
        lambda f: feature_matching([real, real], [f, f.square()]),
        lambda f: feature_matching([real], [f], relative=True),
        lambda f: mean_feature_matching(real, f),
    ):
        assert torch.autograd.gradcheck(function, (fake.clone().requires_grad_(),))


def test_captured_layers_give_their_outputs_in_the_order_of_the_calls_and_are_let_go():
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))
    x = torch.randn(5, 2)
    with captured([net[3], net[1]]) as features:
        net(x)
        net(2 * x)
    assert [tuple(f.shape) for f in features] == [(5, 3), (5, 4), (5, 3), (5, 4)]
    assert torch.equal(features[0], net[:2](x))
    net(x)
    assert len(features) == 4
    features[1].sum().backward()
    assert net[0].weight.grad is not None
