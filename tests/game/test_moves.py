"""The players' losses: what reaches whom, what is reported, what is refused."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from equipoise.game import (
    OBJECTIVES,
    PENALTIES,
    Setting,
    discriminator_loss,
    generator_loss,
    lecam_state,
    lecam_update,
    objective,
)
from equipoise.game.logits import joined
from equipoise.networks import MlpDiscriminator, MlpGenerator

BOTH = {"r1": 2.0, "r2": 0.5}
every = pytest.mark.parametrize("name", OBJECTIVES)


def players(shape=(2,), n=6):
    generator, discriminator = MlpGenerator(shape, 3, 8, 2), MlpDiscriminator(shape, 8, 2)
    return generator.double(), discriminator.double(), torch.randn(n, *shape).double()


def fakes(generator, n=6):
    return generator(torch.randn(n, generator.z_dim, dtype=torch.float64))


@every
@pytest.mark.parametrize("joint", [True, False])
@pytest.mark.parametrize("gammas", [None, BOTH])
def test_the_discriminators_loss_never_reaches_the_generator(name, joint, gammas):
    generator, discriminator, real = players()
    real.requires_grad_()
    fake = fakes(generator)
    discriminator_loss(discriminator, objective(name), real, fake, gammas, joint).loss.backward()
    assert all(p.grad is None for p in generator.parameters())
    assert real.grad is None
    assert any(p.grad.abs().sum() > 0 for p in discriminator.parameters() if p.grad is not None)


@every
def test_the_generators_loss_reaches_all_of_the_generator(name):
    generator, discriminator, real = players()
    real.requires_grad_()
    generator_loss(discriminator, objective(name), fakes(generator), real).loss.backward()
    assert all(p.grad.abs().sum() > 0 for p in generator.parameters())
    assert real.grad is None


@every
def test_moves_report_what_was_seen_without_a_graph(name):
    generator, discriminator, real = players()
    found, fake = objective(name), fakes(generator)
    move = discriminator_loss(discriminator, found, real, fake, BOTH)
    torch.testing.assert_close(move.real_logits, discriminator(real).detach())
    torch.testing.assert_close(move.fake_logits, discriminator(fake).detach())
    by_hand = found.discriminator(move.real_logits, move.fake_logits).mean()
    torch.testing.assert_close(move.adversarial, by_hand)
    weighted = sum(BOTH[p] / 2 * value for p, value in move.penalties.items())
    torch.testing.assert_close(move.loss.detach(), by_hand + weighted)
    seen = [move.adversarial, move.real_logits, move.fake_logits, *move.penalties.values()]
    assert not any(tensor.requires_grad for tensor in seen)
    assert move.loss.requires_grad


@every
def test_the_generators_move_holds_real_logits_only_where_pairs_are_scored(name):
    generator, discriminator, real = players()
    found, fake = objective(name), fakes(generator)
    move = generator_loss(discriminator, found, fake, real)
    by_hand = found.generator(discriminator(fake), discriminator(real)).mean()
    torch.testing.assert_close(move.loss, by_hand)
    assert torch.equal(move.adversarial, move.loss.detach())
    assert (move.real_logits is not None) == found.pairs
    assert not move.fake_logits.requires_grad
    assert move.penalties == {}


def test_callers_tensors_are_left_as_they_were():
    generator, discriminator, real = players()
    fake = fakes(generator)
    discriminator_loss(discriminator, objective("hinge"), real, fake, BOTH)
    assert not real.requires_grad
    assert fake.requires_grad
    assert fake.grad_fn is not None


def test_a_gamma_of_zero_costs_nothing_and_changes_nothing():
    generator, discriminator, real = players()
    fake, hinge = fakes(generator), objective("hinge")
    off = discriminator_loss(discriminator, hinge, real, fake, {"r1": 0.0, "r2": 0.0})
    assert off.penalties == {}
    assert torch.equal(off.loss, discriminator_loss(discriminator, hinge, real, fake).loss)


@pytest.mark.parametrize("other", [(5, 2), (6, 3), (6,)])
def test_fakes_of_another_shape_are_refused(other):
    _, discriminator, real = players()
    with pytest.raises(ValueError, match=r"fake has shape \(.*\), real \(6, 2\).*must agree"):
        discriminator_loss(discriminator, objective("hinge"), real, torch.zeros(other).double())


@pytest.mark.parametrize("gamma", [0.0, 1.0])
def test_an_unknown_penalty_lists_the_choices(gamma):
    _, discriminator, real = players()
    with pytest.raises(ValueError, match="unknown penalty 'r3'") as caught:
        discriminator_loss(discriminator, objective("hinge"), real, real, {"r3": gamma})
    assert all(name in str(caught.value) for name in PENALTIES)


def test_a_relativistic_generator_without_reals_is_refused():
    generator, discriminator, _ = players()
    with pytest.raises(ValueError, match="scores pairs"):
        generator_loss(discriminator, objective("relativistic"), fakes(generator))


@given(
    seed=st.integers(0, 2**31),
    dimensions=st.integers(1, 5),
    n=st.integers(1, 7),
    width=st.integers(1, 12),
    depth=st.integers(1, 4),
    name=st.sampled_from(sorted(OBJECTIVES)),
    gammas=st.dictionaries(st.sampled_from(sorted(PENALTIES)), st.floats(0, 20)),
)
def test_joint_and_separate_passes_agree_on_any_perceptron(
    seed, dimensions, n, width, depth, name, gammas
):
    torch.manual_seed(seed)
    discriminator = MlpDiscriminator((dimensions,), width, depth).double()
    real, fake = torch.randn(2, n, dimensions, dtype=torch.float64)
    weights = list(discriminator.parameters())
    anchors = lecam_update(lecam_state(), real[:, 0], fake[:, 0])
    found = []
    for joint in (True, False):
        setting = Setting(
            torch.Generator().manual_seed(seed), False, False, torch.sin, -fake, anchors
        )
        move = discriminator_loss(
            discriminator, objective(name), real, fake, gammas, joint, setting
        )
        slopes = torch.autograd.grad(move.loss, weights, materialize_grads=True)
        found.append((move.loss, move.real_logits, move.fake_logits, dict(move.penalties), slopes))
    for together, apart in zip(*found, strict=True):
        torch.testing.assert_close(together, apart, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("gamma", [-1.0, float("nan")])
def test_a_weight_below_zero_is_refused(gamma):
    with pytest.raises(ValueError, match="at least 0"):
        discriminator_loss(
            torch.nn.Flatten(),
            objective("hinge"),
            torch.zeros(2, 1),
            torch.zeros(2, 1),
            {"r1": gamma},
        )


class Two(torch.nn.Module):
    """Two discriminators, the second one of patches."""

    def __init__(self):
        super().__init__()
        self.parts = torch.nn.ModuleList([torch.nn.Linear(2, 1), torch.nn.Linear(2, 3)]).double()

    def forward(self, x):
        return [part(x) for part in self.parts]


@every
@pytest.mark.parametrize("joint", [True, False])
def test_several_discriminators_play_as_one(name, joint):
    torch.manual_seed(3)
    generator, _, real = players()
    both, found, fake = Two(), objective(name), fakes(generator)
    move = discriminator_loss(both, found, real, fake, BOTH, joint)
    apart = [discriminator_loss(part, found, real, fake, BOTH, joint) for part in both.parts]
    torch.testing.assert_close(move.loss, (apart[0].loss + apart[1].loss) / 2)
    assert [tuple(x.shape) for x in move.real_logits] == [(6, 1), (6, 3)]
    assert not any(x.requires_grad for x in [*move.real_logits, *move.fake_logits])
    move = generator_loss(both, found, fake, real)
    apart = [generator_loss(part, found, fake, real) for part in both.parts]
    torch.testing.assert_close(move.loss, (apart[0].loss + apart[1].loss) / 2)
    move.loss.backward()
    assert all(p.grad.abs().sum() > 0 for p in generator.parameters())


@pytest.mark.parametrize(("share", "kept"), [(0.25, 1), (0.3, 2), (1.0, 4)])
def test_the_generator_may_learn_from_its_best_fakes_alone(share, kept):
    fake = torch.tensor([[1.0], [4.0], [2.0], [3.0]], requires_grad=True)
    loss = objective("wasserstein")
    move = generator_loss(lambda x: x.squeeze(1), loss, fake, best=share)
    best = sorted([1.0, 2.0, 3.0, 4.0])[4 - kept :]
    assert move.loss.item() == pytest.approx(-sum(best) / kept)
    move.loss.backward()
    assert (fake.grad != 0).sum().item() == kept
    assert len(move.fake_logits) == 4


@pytest.mark.parametrize("share", [0.0, -1.0, 1.5, float("nan")])
def test_a_share_of_fakes_out_of_range_is_refused(share):
    with pytest.raises(ValueError, match="best = "):
        generator_loss(lambda x: x.squeeze(1), objective("hinge"), torch.ones(2, 1), best=share)


def test_parts_of_logits_are_joined_in_the_form_that_came():
    first, second = torch.arange(3.0), torch.arange(2.0)
    assert joined([first, second]).tolist() == [0, 1, 2, 0, 1]
    both = joined([[first, 2 * first], [second, 2 * second]])
    assert [one.tolist() for one in both] == [[0, 1, 2, 0, 1], [0, 2, 4, 0, 2]]
