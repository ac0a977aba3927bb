"""Surgery: what is replaced, what stays the same object, what is refused."""

import copy

import pytest
import torch
from torch import nn

from equipoise.game import PixelNorm, VirtualBatchNorm, couples_batch, swap_normalization
from equipoise.game.normalization.swap import KINDS, OF_ACTIVATIONS, OF_WEIGHTS, _count
from equipoise.networks import DcganDiscriminator, DcganGenerator, MlpDiscriminator

ACTIVATIONS, WEIGHTS = sorted(OF_ACTIVATIONS), sorted(OF_WEIGHTS)
X = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def discriminator(kind="batch"):
    return DcganDiscriminator((1, 8, 8), 8, normalization=kind)


def weights(model):
    """The raw weight of every dense and convolution layer, by identity."""
    found = []
    for layer in model.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            parametrized = hasattr(layer, "parametrizations")
            found.append(layer.parametrizations.weight.original if parametrized else layer.weight)
    return found


@pytest.mark.parametrize("new", [k for k in KINDS if k != "batch"])
@pytest.mark.parametrize("old", [k for k in ACTIVATIONS if k != "instance"])
def test_every_pair_out_of_activations(old, new):
    if old == new:
        return
    model = discriminator(old)
    before = weights(model)
    values = {k: v.clone() for k, v in model.state_dict().items() if k.endswith("weight")}
    changes = swap_normalization(model, old, new, example=X)
    assert _count(model, old) == 0
    assert (_count(model, new) > 0) == (new != "none")
    if new != "weight":  # which has parameters of its own
        assert all(a is b for a, b in zip(before, weights(model), strict=True))
    assert model(X).isfinite().all()
    assert changes
    assert torch.equal(values["layers.0.weight"].flatten()[:3], first_weight(model)[:3])


def first_weight(model):
    layer = model.layers[0]
    if not hasattr(layer, "parametrizations"):
        return layer.weight.flatten()
    stored = layer.parametrizations.weight
    return (stored.original if hasattr(stored, "original") else layer.weight).flatten()


@pytest.mark.parametrize("old", ["none", "spectral", "weight"])
@pytest.mark.parametrize("new", [*WEIGHTS, "none"])
def test_every_pair_of_weights(old, new):
    if old == new:
        return
    model = discriminator(old)
    swap_normalization(model, old, new, example=X)
    layers, dense = 3, 1  # the usual normalization of a dense layer is exact
    expected = {
        "none": (0, 0, 0),
        "weight": (layers, 0, 0),
        "spectral": (0, layers, 0),
        "spectral_exact": (0, dense, layers - dense),
    }
    kinds = ("weight", "spectral", "spectral_exact")
    assert tuple(_count(model, kind) for kind in kinds) == expected[new]
    if new == "spectral_exact":
        swap_normalization(model, new, "none")
        assert tuple(_count(model, kind) for kind in kinds) == (0, 0, 0)
    assert model(X).isfinite().all()


def test_batch_to_spectral_gives_what_is_built_spectral_with_identities_in_between():
    model, built = discriminator("batch"), discriminator("spectral")
    swap_normalization(model, "batch", "spectral")
    assert not couples_batch(model)
    kinds = [type(m).__name__ for m in model.layers if not isinstance(m, nn.Identity)]
    assert kinds == [type(m).__name__ for m in built.layers]
    assert isinstance(model.layers[3], nn.Identity)
    stored = [{k.split(".", 2)[2] for k in m.state_dict()} for m in (model, built)]
    assert stored[0] == stored[1]


def test_the_shift_becomes_the_bias_that_batch_normalization_had_taken_away():
    model = discriminator("batch")
    shift, weight = model.layers[3].bias, model.layers[2].weight
    assert model.layers[2].bias is None
    changes = {c.name: c for c in swap_normalization(model, "batch", "spectral")}
    assert model.layers[2].bias is shift
    assert model.layers[2].parametrizations.weight.original is weight
    change = changes["layers.3"]
    assert (change.before, change.after) == ("BatchNorm2d", "Identity")
    assert change.dropped == ("weight", "running_mean", "running_var", "num_batches_tracked")
    assert (changes["layers.0"].before, changes["layers.0"].after) == ("none", "spectral")


def test_between_activations_the_affine_part_moves_and_an_optimizer_still_holds_it():
    model = discriminator("batch")
    gain, shift = model.layers[3].weight, model.layers[3].bias
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    with torch.no_grad():
        gain.fill_(2.0)
    (change,) = swap_normalization(model, "batch", "layer")
    assert change.dropped == ("running_mean", "running_var", "num_batches_tracked")
    assert model.layers[3].weight is gain
    assert model.layers[3].bias is shift
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert {id(p) for p in model.parameters()} == held
    model(X).sum().backward()
    before = gain.clone()
    optimizer.step()
    assert not torch.equal(gain, before)


def test_going_to_spectral_and_back_leaves_the_function_as_it_was():
    model = discriminator("none")
    before = model(X)
    state = copy.deepcopy(model.state_dict())
    swap_normalization(model, "none", "spectral")
    assert not torch.allclose(model(X), before)
    swap_normalization(model, "spectral", "none")
    assert torch.equal(model(X), before)
    assert set(model.state_dict()) == set(state)


def test_weight_normalization_leaves_the_function_as_it_was():
    model = discriminator("none")
    before = model(X)
    swap_normalization(model, "none", "weight")
    torch.testing.assert_close(model(X), before)
    swap_normalization(model, "weight", "none")
    torch.testing.assert_close(model(X), before)


def test_mode_device_and_precision_are_kept():
    model = discriminator("batch").double().eval()
    swap_normalization(model, "batch", "group")
    assert not any(m.training for m in model.modules())
    swap_normalization(model, "group", "virtual_batch")
    assert all(p.dtype == torch.float64 for p in model.parameters())
    assert isinstance(model.layers[3], VirtualBatchNorm)


def test_a_kind_without_features_takes_them_from_the_layer_before():
    model = DcganGenerator((1, 8, 8), 3, 4, normalization="pixel")
    swap_normalization(model, "pixel", "batch")
    assert [m.num_features for m in model.modules() if isinstance(m, nn.BatchNorm2d)] == [4]
    dense = MlpDiscriminator((2,), 8, 2, "pixel")
    assert any(isinstance(m, PixelNorm) for m in dense.modules())
    swap_normalization(dense, "pixel", "batch")
    assert dense(torch.randn(3, 2)).shape == (3,)


def test_a_shared_normalization_stays_shared():
    norm = nn.BatchNorm1d(3)
    model = nn.Sequential(nn.Linear(3, 3), norm, nn.Linear(3, 3), norm)
    swap_normalization(model, "batch", "layer")
    assert model[1] is model[3]
    assert isinstance(model[1], nn.GroupNorm)


def dense_batch():
    return nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))


# model, old, new, what the message says
REFUSED = {
    "unknown": (dense_batch, "batch", "spectrall", "did you mean 'spectral'"),
    "same": (dense_batch, "batch", "batch", "nothing to swap"),
    "absent": (dense_batch, "spectral", "none", "it has batch"),
    "bare": (lambda: nn.Linear(1, 1), "batch", "spectral", "it has none"),
    "no place": (lambda: discriminator("spectral"), "spectral", "batch", "build the model with"),
    "no place either": (lambda: discriminator("none"), "none", "layer", "build the model with"),
    "vectors": (dense_batch, "batch", "instance", "new = 'instance' at 1: .*vectors"),
    "no example": (discriminator, "batch", "spectral_exact", "example=x"),
    "root": (lambda: nn.BatchNorm1d(2), "batch", "layer", "no parent"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused_and_changes_nothing(name):
    make, old, new, message = REFUSED[name]
    model = make()
    before = str(model)
    with pytest.raises(ValueError, match=message):
        swap_normalization(model, old, new)
    assert str(model) == before


def test_an_example_that_does_not_fit_changes_nothing():
    model = discriminator("batch")
    before = str(model)
    with pytest.raises(RuntimeError):
        swap_normalization(model, "batch", "spectral_exact", example=torch.zeros(1, 5, 8, 8))
    assert str(model) == before
    assert model.training
