"""Penalties on logits and on weights, their states, lazy weights."""

import dataclasses
import json
import math

import pytest
import torch
from torch import nn

from equipoise.game import (
    CONSTRAINTS,
    PENALTIES,
    WEIGHT_PENALTIES,
    LeCamState,
    PathLengthState,
    Setting,
    clip_weights,
    consistency,
    discriminator_loss,
    latent_spread,
    lazy_adam,
    lazy_weight,
    lecam,
    lecam_state,
    lecam_update,
    objective,
    orthogonal,
    orthonormal,
    path_length,
    path_length_state,
    path_length_update,
    path_lengths,
    squared_logits,
)
from equipoise.game.penalties import scored

REAL = torch.tensor([[2.0, 4.0], [-1.0, 0.0]], dtype=torch.float64)
FAKE = torch.tensor([[1.0, -1.0], [-3.0, -2.0]], dtype=torch.float64)


def test_drift_is_the_mean_square_of_the_reals_logits():
    assert squared_logits(REAL).tolist() == [10.0, 0.5]
    assert squared_logits([REAL, FAKE]).tolist() == [5.5, 3.5]
    pair = scored(nn.Identity(), REAL, FAKE)
    assert PENALTIES["drift"].value(pair).tolist() == [10.0, 0.5]
    move = discriminator_loss(nn.Identity(), objective("wasserstein"), REAL, FAKE, {"drift": 0.001})
    assert (move.loss - move.adversarial).item() == pytest.approx(0.001 * 5.25)
    assert squared_logits(torch.full((1,), 300.0, dtype=torch.float16)).item() == 90000.0


def test_lecam_pulls_each_side_to_the_other_sides_anchor():
    state = lecam_update(lecam_state(), torch.tensor([1.0]), torch.tensor([-1.0]))
    # reals above -1: 3^2, 5^2; 0, 1^2. Fakes below 1: 0, 2^2; 4^2, 3^2
    assert lecam(REAL, FAKE, state).tolist() == pytest.approx([17 + 2, 0.5 + 12.5])
    twice = lecam([REAL, REAL], [FAKE, FAKE], state)
    torch.testing.assert_close(twice, lecam(REAL, FAKE, state))


def test_lecam_gradients_push_the_sides_together():
    state = lecam_update(lecam_state(), torch.tensor([1.0]), torch.tensor([-1.0]))
    real, fake = REAL.clone().requires_grad_(), FAKE.clone().requires_grad_()
    lecam(real, fake, state).sum().backward()
    assert real.grad.tolist() == [[3.0, 5.0], [0.0, 1.0]]  # 2 (r + 1) over two patches
    assert fake.grad.tolist() == [[0.0, -2.0], [-4.0, -3.0]]


def test_lecams_anchors_are_averages_without_the_bias_of_their_start():
    state, decay = lecam_state(0.9), 0.9
    readings = [(3.0, -1.0), (5.0, 0.0), (1.0, 2.0)]
    for real, fake in readings:
        state = lecam_update(state, torch.full((4,), real), [torch.full((2, 3), fake)])
    weights = [decay**2, decay, 1.0]
    expected = [
        sum(w * v for w, v in zip(weights, side, strict=True)) / sum(weights)
        for side in zip(*readings, strict=True)
    ]
    assert [a.item() for a in state.anchors()] == pytest.approx(expected, rel=1e-6)
    first = lecam_update(lecam_state(), torch.tensor([3.0]), torch.tensor([-1.0]))
    assert [a.item() for a in first.anchors()] == pytest.approx([3.0, -1.0])


def test_lecam_before_its_first_update_is_refused():
    with pytest.raises(ValueError, match="no anchors yet; call lecam_update"):
        lecam(REAL, FAKE, lecam_state())
    with pytest.raises(ValueError, match=r"decay = 1.0: .*\[0, 1\)"):
        lecam_state(1.0)


def test_lecams_state_is_saved_and_restored_exactly():
    state = lecam_update(lecam_state(0.99), torch.randn(7), torch.randn(7))
    again = LeCamState.from_dict(json.loads(json.dumps(state.to_dict())))
    assert again == state
    more = torch.randn(2, 5)
    assert lecam_update(again, *more) == lecam_update(state, *more)
    assert torch.equal(lecam(REAL, FAKE, again), lecam(REAL, FAKE, state))


def test_lecams_means_can_be_reduced_over_processes():
    halves = REAL.chunk(2), FAKE.chunk(2)
    whole = lecam_update(lecam_state(), REAL, FAKE)
    means = torch.stack([torch.stack([r.mean(), f.mean()]) for r, f in zip(*halves, strict=True)])
    reduced = lecam_update(
        lecam_state(), halves[0][0], halves[1][0], lambda mine: means.mean(0).to(mine.dtype)
    )
    assert reduced == whole
    assert not reduced.real.requires_grad


def test_consistency_is_the_squared_difference():
    assert consistency(REAL, FAKE).tolist() == [13.0, 4.0]


def test_logits_that_would_broadcast_into_each_other_are_refused():
    state = lecam_update(lecam_state(), torch.tensor([1.0]), torch.tensor([-1.0]))
    flat, column = torch.zeros(3), torch.zeros(3, 1)
    for term in (consistency, lambda a, b: lecam(a, b, state)):
        with pytest.raises(ValueError, match=r"\(3,\) and \(3, 1\).*mixed by broadcasting"):
            term(flat, column)


def test_consistency_by_hand_on_a_linear_discriminator():
    """D(x) = w'x and T(x) = -x: (2 w'x)^2."""
    w = torch.tensor([1.0, 2.0], dtype=torch.float64)
    pair = scored(lambda x: x @ w, REAL, FAKE, setting=Setting(augment=torch.neg, nearby=FAKE + 1))
    real, fake = 4 * (REAL @ w).square(), 4 * (FAKE @ w).square()
    torch.testing.assert_close(PENALTIES["cr"].value(pair), real)
    torch.testing.assert_close(PENALTIES["bcr"].value(pair), real + fake)
    assert PENALTIES["zcr"].value(pair).tolist() == [9.0, 9.0]  # w'(1, 1) = 3


def test_consistency_never_reaches_the_generator():
    generator = nn.Linear(2, 2).double()
    fake, nearby = generator(REAL), generator(FAKE)
    setting = Setting(augment=lambda x: x * 2, nearby=nearby)
    pair = scored(nn.Linear(2, 1).double(), REAL, fake, setting=setting)
    sum(PENALTIES[name].value(pair).sum() for name in ("cr", "bcr", "zcr")).backward()
    assert all(p.grad is None for p in generator.parameters())


def test_the_generators_half_of_zcr_rewards_spread():
    near = torch.zeros(2, 3, requires_grad=True)
    found = latent_spread(torch.ones(2, 3), near)
    assert found.tolist() == [-1.0, -1.0]
    (slope,) = torch.autograd.grad(found.sum(), near)
    assert (slope > 0).all()  # descent moves the pictures apart


def steep(matrix, shape=None):
    """w -> images = A w."""
    a = torch.tensor(matrix, dtype=torch.float64)
    return lambda w: (w @ a.T).reshape(len(w), *(shape or a.shape[:1]))


def test_path_lengths_of_a_linear_generator():
    """J = A: ||A'y||, y the noise over the root of H W."""
    matrix = torch.randn(12, 5, dtype=torch.float64).tolist()
    w = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)
    images = steep(matrix, (3, 2, 2))(w)
    found = path_lengths(images, w, torch.Generator().manual_seed(1))
    y = torch.randn(4, 3, 2, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    expected = (y.flatten(1) @ torch.tensor(matrix, dtype=torch.float64)).norm(dim=1) / 2
    torch.testing.assert_close(found, expected)


def test_path_lengths_average_over_layers():
    """One w for each of two layers: sqrt of the mean of the layers' squared norms."""
    w = torch.randn(6, 2, 3, dtype=torch.float64, requires_grad=True)
    images = 2 * w[:, 0] + 5 * w[:, 1]
    found = path_lengths(images, w, torch.Generator().manual_seed(1))
    y = torch.randn(6, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    torch.testing.assert_close(found, y.norm(dim=1) * math.sqrt((4 + 25) / 2))


def test_path_length_trains_the_generator():
    """images = s w: lengths s ||y||, so d/ds (s ||y|| - a)^2 = 2 (s ||y|| - a) ||y||."""
    scale = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    w = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    lengths = path_lengths(scale * w, w, torch.Generator().manual_seed(1))
    state = path_length_update(path_length_state(decay=0.5), lengths)
    path_length(lengths, state).sum().backward()
    y = torch.randn(5, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    norms = y.norm(dim=1)
    mean = (3 * norms).float().mean() / 2
    expected = (2 * (3 * norms - mean) * norms).sum().item()
    assert scale.grad.item() == pytest.approx(expected, rel=1e-5)


def test_the_running_mean_of_lengths_is_saved_and_restored():
    state = path_length_state()
    for value in (4.0, 8.0):
        state = path_length_update(state, torch.tensor([value, value + 2]))
    assert state.mean.item() == pytest.approx(0.99 * 0.01 * 5 + 0.01 * 9)
    again = PathLengthState.from_dict(json.loads(json.dumps(state.to_dict())))
    assert again == state
    with pytest.raises(ValueError, match=r"decay = 0: .*\(0, 1\]"):
        path_length_state(0)


def test_latents_without_gradients_are_refused():
    w = torch.randn(2, 3)
    with pytest.raises(ValueError, match=r"latents\.requires_grad = False.*w\.requires_grad_"):
        path_lengths(w, w)


def dense(weight):
    layer = nn.Linear(len(weight[0]), len(weight))
    layer.weight = nn.Parameter(torch.tensor(weight))
    return layer


def test_orthogonality_by_hand():
    """Rows (3, 4) and (1, 0): Gram [[25, 3], [3, 1]]."""
    layer = dense([[3.0, 4.0], [1.0, 0.0]])
    assert orthogonal(layer).item() == 2 * 9
    assert orthonormal(layer).item() == 24**2 + 0 + 2 * 9
    both = nn.Sequential(layer, dense([[2.0, 0.0], [0.0, 5.0]]))
    assert orthogonal(both).item() == 18
    assert orthonormal(both).item() == 594 + 3**2 + 24**2


def test_orthogonality_of_a_convolution_is_that_of_its_filters():
    layer = nn.Conv2d(3, 4, 3).double()
    rows = layer.weight.detach().flatten(1)
    expected = ((rows @ rows.T) * (1 - torch.eye(4))).square().sum()
    torch.testing.assert_close(orthogonal(layer), expected)


def test_the_off_diagonal_gradient_is_biggans():
    """d/dW ||W W' * (1 - I)||^2 = 4 (W W' * (1 - I)) W; their code writes half of it."""
    layer = nn.Linear(5, 3, bias=False).double()
    orthogonal(layer).backward()
    w = layer.weight.detach()
    torch.testing.assert_close(layer.weight.grad, 4 * ((w @ w.T) * (1 - torch.eye(3))) @ w)


@pytest.mark.parametrize("name", WEIGHT_PENALTIES)
def test_orthogonal_rows_cost_nothing_and_a_module_without_matrices_is_refused(name):
    assert WEIGHT_PENALTIES[name](dense([[0.0, 1.0], [1.0, 0.0]])).item() == 0
    with pytest.raises(ValueError, match="no weight of two dimensions"):
        WEIGHT_PENALTIES[name](nn.LayerNorm(4))


def test_clipping_holds_weights_in_place_and_leaves_buffers_alone():
    module = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    weights = list(module.parameters())
    before = [w.detach().clone() for w in weights]
    module[1].running_var.fill_(9.0)
    CONSTRAINTS["weight_clipping"](module, 0.1)
    for now, old in zip(module.parameters(), before, strict=True):
        assert torch.equal(now.detach(), old.clamp(-0.1, 0.1))
    assert all(a is b for a, b in zip(module.parameters(), weights, strict=True))
    assert (module[1].running_var == 9).all()
    assert all(w.requires_grad and w.grad_fn is None for w in weights)


@pytest.mark.parametrize("bound", [0.0, -1.0, float("nan")])
def test_a_bound_that_holds_nothing_is_refused(bound):
    with pytest.raises(ValueError, match=r"bound = .*try 0\.01"):
        clip_weights(nn.Linear(1, 1), bound)


def test_lazy_penalties_pull_as_much_in_k_steps_as_eager_ones():
    assert lazy_weight(2.5, 16) == 16 * 2.5
    assert lazy_weight(2.5, 1) == 2.5
    assert lazy_adam(2e-3, 0.0, 0.99, 16) == pytest.approx((2e-3 * 16 / 17, 0, 0.99 ** (16 / 17)))
    assert "R3GAN" in lazy_weight.__doc__
    for wrong in (0, -3):
        with pytest.raises(ValueError, match=f"every = {wrong}: .*k >= 1"):
            lazy_weight(1.0, wrong)
    with pytest.raises(ValueError, match="gamma = -1"):
        lazy_weight(-1, 4)


def test_states_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        lecam_state().decay = 0.5
