"""Do augmentations leak? Told from the distribution of what the discriminator would see.

A generator's samples are a share of orientations of one image; if two different shares look alike
after augmentation, no discriminator can tell them apart and the generator may learn the transform.
Karras et al. 2020 (ADA), section 2.2 and appendix C.
"""

import pytest
import torch

from equipoise.game import ada, alike

CORNER = torch.zeros(1, 4, 4)
CORNER[0, 0, 1] = 1.0  # one pixel: every flip and quarter turn takes it elsewhere


def orientations(part):
    """The distinct images that a part makes of the corner."""
    turned = [torch.rot90(CORNER, k, (1, 2)) for k in range(4)]
    return turned if part == "rotate90" else [CORNER, CORNER.flip(2)]


def transition(part, p, n=20_000):
    """P[i, j]: how often orientation i is seen as j after augmentation with probability p."""
    images = orientations(part)
    rows = []
    for image in images:
        seen = ada(image.expand(n, 1, 4, 4), p, torch.Generator().manual_seed(0), policy=part)
        rows.append([(seen == other).flatten(1).all(1).double().mean() for other in images])
    return torch.tensor(rows, dtype=torch.float64)


@pytest.mark.parametrize("part", ["flip", "rotate90"])
@pytest.mark.parametrize("p", [0.2, 0.5, 0.8])
def test_below_certainty_different_distributions_stay_apart(part, p):
    """The least that any two distributions of orientations differ by is 1 - p of what they did."""
    matrix = transition(part, p)
    assert matrix.sum(1) == pytest.approx([1.0] * len(matrix), abs=1e-9)
    assert torch.linalg.svdvals(matrix).min().item() == pytest.approx(1 - p, abs=0.02)


@pytest.mark.parametrize("part", ["flip", "rotate90"])
def test_at_certainty_everything_looks_alike(part):
    matrix = transition(part, 1.0)
    assert torch.linalg.svdvals(matrix).min().item() < 0.02


def test_reals_augmented_alone_are_another_distribution_and_alike_they_are_not():
    reals = CORNER.expand(4000, 1, 4, 4)
    fakes = CORNER.expand(4000, 1, 4, 4)  # a perfect generator
    rng = torch.Generator().manual_seed(0)
    flipped = ada(reals, 0.6, rng, policy="flip")
    assert (flipped.mean(0) - fakes.mean(0)).abs().max() > 0.25
    real, fake = alike(lambda x, g: ada(x, 0.6, g, policy="flip"), reals, fakes, rng)
    assert (real.mean(0) - fake.mean(0)).abs().max() < 0.03


def descended(p, steps=400):
    """The share of flipped images that a generator ends with, its reals having none.

    G's one parameter is that share; D knows both augmented distributions exactly, so each step
    descends the Jensen-Shannon divergence of what is seen through the transition matrix.
    """
    matrix = transition("flip", p)
    logit = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([logit], lr=20.0)
    real = torch.tensor([1.0, 0.0], dtype=torch.float64) @ matrix
    for _ in range(steps):
        share = torch.sigmoid(logit)
        fake = torch.stack([1 - share, share]) @ matrix
        middle = (real + fake) / 2
        js = sum((q * (q / middle).log()).nansum() for q in (real, fake)) / 2
        optimizer.zero_grad()
        js.backward()
        optimizer.step()
    return torch.sigmoid(logit).item()


def test_a_generator_learns_the_transform_only_when_it_is_certain():
    assert descended(0.5) < 0.02
    assert descended(0.8) < 0.1
    assert descended(1.0) > 0.5  # it stays where it was: nothing tells the shares apart
