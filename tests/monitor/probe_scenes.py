"""Small scenes for probes: points and images, plain, normalized, conditional, several judges."""

import torch
from torch import nn

from equipoise.monitor.probes import Network, Scene


def numbers(*shape, seed=0, kind=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=kind)


def points(objective="non_saturating", **options):
    """MLPs on points in the plane."""
    torch.manual_seed(0)
    generator = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2))
    discriminator = nn.Sequential(nn.Linear(2, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1))
    return scene(generator, discriminator, 4, (2,), objective, **options)


def images(objective="hinge", **options):
    """Convolutions: batch norm in G; spectral norm, batch norm and dropout in D; two heads."""
    torch.manual_seed(0)
    generator = nn.Sequential(
        nn.Linear(4, 8 * 16),
        nn.Unflatten(1, (8, 4, 4)),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.ConvTranspose2d(8, 8, 4, 2, 1),
        nn.ReLU(),
        nn.ConvTranspose2d(8, 1, 4, 2, 1),
        nn.Tanh(),
    )
    return scene(generator, TwoHeads(), 4, (1, 16, 16), objective, **options)


class TwoHeads(nn.Module):
    """Logits of patches and of the whole image, with features, as vocoders return them."""

    def __init__(self):
        super().__init__()
        normal = nn.utils.parametrizations.spectral_norm
        self.body = nn.Sequential(
            normal(nn.Conv2d(1, 8, 4, 2, 1)),
            nn.LeakyReLU(0.2),
            nn.Conv2d(8, 8, 4, 2, 1),
            nn.BatchNorm2d(8),
            nn.LeakyReLU(0.2),
            nn.Dropout(0.2),
        )
        self.patches = normal(nn.Conv2d(8, 1, 3, padding=1))
        self.whole = nn.Sequential(nn.Flatten(), nn.Linear(8 * 16, 1))
        self.calls = 0
        self.seen = []

    def forward(self, x):
        self.calls += 1
        self.seen.append(len(x))
        features = self.body(x)
        return [(self.patches(features), features), (self.whole(features), features)]


class Conditional(nn.Module):
    """(x, y) -> outputs, y an integer label."""

    def __init__(self, inputs, outputs, strength=1.0):
        super().__init__()
        self.table = nn.Embedding(3, inputs)
        self.layers = nn.Sequential(nn.Linear(inputs, 16), nn.Tanh(), nn.Linear(16, outputs))
        self.strength = strength

    def forward(self, x, y):
        return self.layers(x + self.strength * self.table(y))


def labelled(strength=1.0, **options):
    """Points under labels 0, 1, 2; `strength` 0 ignores them."""
    torch.manual_seed(0)
    return scene(
        Network(Conditional(4, 2, strength), condition=0),
        Network(Conditional(2, 1, strength), condition="y"),
        4,
        (2,),
        "non_saturating",
        labels=torch.arange(48) % 3,
        held_out_labels=torch.arange(40) % 3,
        **options,
    )


def scene(generator, discriminator, z_dim, shape, objective, **options):
    players = [p if isinstance(p, Network) else Network(p) for p in (generator, discriminator)]
    settings = {
        "generators": {"generator": players[0]},
        "discriminators": {"discriminator": players[1]},
        "latents": numbers(48, z_dim, seed=1),
        "reals": numbers(48, *shape, seed=2),
        "held_out": numbers(40, *shape, seed=3),
        "objective": objective,
    }
    return Scene(**(settings | options))


class Dirac(nn.Module):
    """Whatever comes in, the point theta, (N, d)."""

    def __init__(self, *theta):
        super().__init__()
        self.theta = nn.Parameter(torch.tensor(theta, dtype=torch.float64))

    def forward(self, z):
        return self.theta.expand(len(z), -1)


class Slope(nn.Module):
    """D(x) = psi'x."""

    def __init__(self, *psi):
        super().__init__()
        self.psi = nn.Parameter(torch.tensor(psi, dtype=torch.float64))

    def forward(self, x):
        return x.to(self.psi) @ self.psi


def dirac(theta, psi, objective, **options):
    """Reals at 0, fakes at theta, D(x) = psi'x (Mescheder, Geiger and Nowozin 2018)."""
    wide = torch.zeros(8, len(theta), dtype=torch.float64)
    return scene(
        Dirac(*theta),
        Slope(*psi),
        1,
        (1,),
        objective,
        **({"reals": wide, "held_out": None} | options),
    )
