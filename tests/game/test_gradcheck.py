"""First and second derivatives against finite differences, in float64, by inputs and by weights.

Consensus, unrolling and penalties inside them differentiate twice. Kinks are kept away from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import gradcheck, gradgradcheck
from torch.func import functional_call

import equipoise.game as game
from equipoise.game import (
    CONSTRAINTS,
    NORMALIZATIONS,
    OBJECTIVES,
    PENALTIES,
    WEIGHT_PENALTIES,
    AdaIN,
    Augmented,
    ConditionalBatchNorm,
    MinibatchDeviation,
    MinibatchDiscrimination,
    ModulatedConv2d,
    Noise,
    Packed,
    PixelNoise,
    PixelNorm,
    SelfAttention,
    Setting,
    VirtualBatch,
    VirtualBatchNorm,
    ada,
    consensus,
    consistency,
    equalized,
    exact_spectral_norm,
    latent_spread,
    least_squares,
    lecam,
    lecam_state,
    lecam_update,
    mean_feature_matching,
    normalized,
    objective,
    path_length,
    path_length_state,
    path_lengths,
    squared_logits,
    unrolled,
)
from equipoise.game.penalties import scored

# off the kinks at -1 and 1, paired and against the means
REAL = torch.tensor([[-1.2, 0.3], [0.7, 1.6]], dtype=torch.float64)
FAKE = torch.tensor([[0.4, -1.7], [-0.2, 1.4]], dtype=torch.float64)
every = pytest.mark.parametrize("name", OBJECTIVES)


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(2)


def leaves(*tensors: Tensor) -> tuple[Tensor, ...]:
    return tuple(t.detach().clone().requires_grad_() for t in tensors)


def twice(function: Callable[..., Tensor], inputs: tuple[Tensor, ...]) -> None:
    """Both orders agree with finite differences."""
    assert gradcheck(function, inputs)
    assert gradgradcheck(function, inputs)


# --- objectives -----------------------------------------------------------------------------------


def softened(name: str) -> game.Objective:
    """Smoothing and flips, the flips drawn alike in every call."""
    noise = torch.Generator()
    found = objective(name, 0.1, 0.2, 0.4, noise)

    def discriminator(real: Tensor, fake: Tensor) -> Tensor:
        noise.manual_seed(1)
        return found.discriminator(real, fake)

    return game.Objective(name, discriminator, found.generator)


VARIANTS = {
    **OBJECTIVES,
    **{f"{name}, softened": softened(name) for name, o in OBJECTIVES.items() if o.labelled},
    "least_squares -1 1 0": least_squares(-1.0, 1.0, 0.0),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_objectives_of_patches(name):
    found, inputs = VARIANTS[name], leaves(REAL, FAKE)
    twice(found.discriminator, inputs)
    twice(lambda r, g: found.generator(g, r), inputs)


@every
def test_objectives_of_several_discriminators(name):
    found, inputs = OBJECTIVES[name], leaves(REAL, REAL[:, 0] + 0.1, FAKE, FAKE[:, 1] + 0.1)
    twice(lambda a, b, c, d: found.discriminator([a, b], [c, d]), inputs)
    twice(lambda a, b, c, d: found.generator([c, d], [a, b]), inputs)


@every
def test_the_generators_loss_through_an_unrolled_discriminator(name):
    found = OBJECTIVES[name]
    critic = nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 1)).double()

    def loss(fake: Tensor) -> Tensor:
        ahead = unrolled(
            critic, lambda score: found.discriminator(score(REAL), score(fake)).mean(), 2, 0.3
        )
        return found.generator(ahead(fake), ahead(REAL)).mean()

    assert gradcheck(loss, leaves(FAKE))


@every
def test_consensus_of_both_players(name):
    found = OBJECTIVES[name]

    def term(w: Tensor, v: Tensor) -> Tensor:
        real, fake = (REAL * w).sum(1).tanh(), ((FAKE * v) * w).sum(1).tanh()
        d, g = found.discriminator(real, fake).mean(), found.generator(fake, real).mean()
        return consensus([(g, [v]), (d, [w])])

    assert gradcheck(term, leaves(torch.tensor([0.7, -0.4]).double(), torch.ones(2).double()))


# --- penalties ------------------------------------------------------------------------------------


def called(module: nn.Module, weights: tuple[Tensor, ...], *inputs: Tensor) -> Tensor:
    names = [name for name, _ in module.named_parameters()]
    return functional_call(module, dict(zip(names, weights, strict=True)), inputs)


def critic_of_patches() -> nn.Module:
    """(N, 2) -> (N, 2), steep enough for one-sided penalties."""
    critic = nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 2)).double()
    with torch.no_grad():
        critic[2].weight.mul_(5)
    return critic


@pytest.mark.parametrize("name", PENALTIES)
def test_penalties_by_the_discriminators_weights(name):
    critic, penalty = critic_of_patches(), PENALTIES[name]
    anchors = lecam_update(lecam_state(), torch.full((2,), 0.3), torch.full((2,), -0.2))

    def value(*weights: Tensor) -> Tensor:
        setting = Setting(rng(), augment=torch.sin, nearby=FAKE + 0.1, lecam=anchors)
        run = lambda x: called(critic, weights, x)  # noqa: E731 - one formula
        return penalty.value(scored(run, REAL, FAKE, penalty.differentiates, setting=setting))

    assert value(*critic.parameters()).sum() > 0
    twice(value, leaves(*critic.parameters()))


ANCHORS = lecam_update(lecam_state(), torch.full((2,), 0.3), torch.full((2,), -0.2))
TERMS = {
    "squared logits": (squared_logits, (REAL,)),
    "lecam": (lambda r, f: lecam(r, f, ANCHORS), (REAL, FAKE)),
    "consistency": (consistency, (REAL, FAKE)),
    "latent spread": (latent_spread, (REAL, FAKE)),
    "feature means": (mean_feature_matching, (REAL, FAKE)),
}


@pytest.mark.parametrize("name", TERMS)
def test_terms_of_logits_and_features(name):
    function, inputs = TERMS[name]
    if name == "feature means":  # the reals are held fixed
        twice(lambda fake: function(REAL, fake), leaves(FAKE))
    else:
        twice(function, leaves(*inputs))


@pytest.mark.parametrize("name", WEIGHT_PENALTIES)
def test_penalties_on_weights(name):
    layer = nn.Conv2d(2, 3, 1, bias=False).double()
    term = lambda w: functional_call(Term(layer, name), {"layer.weight": w}, ())  # noqa: E731 - one formula
    twice(term, leaves(layer.weight))
    assert set(CONSTRAINTS) == {"weight_clipping"}  # which has no gradient


class Term(nn.Module):
    def __init__(self, layer: nn.Module, name: str) -> None:
        super().__init__()
        self.layer, self.penalty = layer, WEIGHT_PENALTIES[name]

    def forward(self) -> Tensor:
        return self.penalty(self.layer)


def test_path_length_by_the_generators_weights_and_latents():
    maker = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 4)).double()
    state = path_length_state()

    def value(w: Tensor, *weights: Tensor) -> Tensor:
        images = called(maker, weights, w).view(2, 1, 2, 2)
        return path_length(path_lengths(images, w, rng()), state)

    twice(value, leaves(torch.randn(2, 2).double(), *maker.parameters()))


# --- layers ---------------------------------------------------------------------------------------

PIXELS, VECTORS = (3, 2, 2, 2), (4, 3)
STYLE = torch.randn(3, 2, generator=torch.Generator().manual_seed(1)).double()


@dataclass(frozen=True)
class Case:
    """How to build a layer and what enters; whether a batch goes before, to fix a reference."""

    make: Callable[[], nn.Module]
    enters: tuple[int, ...] = PIXELS
    style: Tensor | None = None
    seen_before: bool = False
    evaluated: bool = False


def spoken(module: nn.Module) -> nn.Module:
    """gamma and strengths away from 0, where other weights have no gradient."""
    nn.init.constant_(getattr(module, "gamma", getattr(module, "strength", None)), 0.7)
    return module


LAYERS = {
    AdaIN: Case(lambda: AdaIN(2, 2), style=STYLE),
    Augmented: Case(
        lambda: Augmented(nn.Sequential(nn.Flatten(), nn.Linear(8, 1)), lambda x, g: ada(x, 0.8, g))
    ),
    ConditionalBatchNorm: Case(lambda: ConditionalBatchNorm(2, dim=2), style=STYLE),
    MinibatchDeviation: Case(lambda: MinibatchDeviation(3, 2)),
    MinibatchDiscrimination: Case(lambda: MinibatchDiscrimination(3, 2, 2), VECTORS),
    ModulatedConv2d: Case(lambda: ModulatedConv2d(2, 2, 2), style=STYLE),
    Noise: Case(lambda: Noise(0.3)),
    Packed: Case(lambda: Packed(nn.Sequential(nn.Linear(6, 2), nn.Tanh()), 2), VECTORS),
    PixelNoise: Case(lambda: spoken(PixelNoise(2))),
    PixelNorm: Case(PixelNorm),
    SelfAttention: Case(lambda: spoken(SelfAttention(2))),
    VirtualBatch: Case(
        lambda: VirtualBatch(
            nn.Sequential(nn.Linear(3, 2, bias=False), VirtualBatchNorm(2)),
            torch.randn(4, 3, dtype=torch.float64),
        ),
        VECTORS,
    ),
    VirtualBatchNorm: Case(lambda: VirtualBatchNorm(2), seen_before=True),
    "equalized": Case(lambda: equalized(nn.Conv2d(2, 2, 2), rate=0.5)),
    "equalized, transposed": Case(lambda: equalized(nn.ConvTranspose2d(2, 1, 2, stride=2))),
    **{
        kind: Case(
            lambda kind=kind: nn.Sequential(*normalized(kind, nn.Conv2d(2, 4, 1), 4)),
            seen_before=True,
            evaluated=kind == "spectral",  # power iterations would move between two calls
        )
        for kind in NORMALIZATIONS
    },
}


def test_every_layer_of_the_package_is_differentiated():
    public = [getattr(game, name) for name in game.__all__]
    modules = {v for v in public if isinstance(v, type) and issubclass(v, nn.Module)}
    assert modules == {key for key in LAYERS if not isinstance(key, str)}


@pytest.mark.parametrize("key", LAYERS, ids=lambda key: getattr(key, "__name__", key))
def test_layers_by_their_inputs_and_weights(key):
    case = LAYERS[key]
    layer, x = case.make().double(), torch.randn(case.enters, dtype=torch.float64)
    style = () if case.style is None else (case.style,)
    with torch.no_grad():
        for weight in layer.parameters():
            weight.add_(0.1 * torch.rand_like(weight))
    if case.seen_before:
        layer(torch.randn(case.enters, dtype=torch.float64))
    layer.train(not case.evaluated)

    def run(x: Tensor, *others: Tensor) -> Tensor:
        torch.manual_seed(7)
        return called(layer, others[len(style) :], x, *others[: len(style)])

    inputs = leaves(x, *style, *layer.parameters())
    assert gradcheck(run, inputs)
    assert gradgradcheck(run, inputs)


@pytest.mark.parametrize("transposed", [False, True])
def test_exact_spectral_normalization_by_input_and_weight(transposed):
    """sigma = |A v| with v held fixed, in the first derivative and in the second."""
    make = nn.ConvTranspose2d if transposed else nn.Conv2d
    layer = exact_spectral_norm(make(2, 2, 2).double(), (3, 3), steps=500)
    layer.weight  # noqa: B018 - each read in training iterates
    layer.eval()
    x, weights = torch.randn(2, 2, 3, 3, dtype=torch.float64), tuple(layer.parameters())
    twice(lambda x, *w: called(layer, w, x), leaves(x, *weights))
