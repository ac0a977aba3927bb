"""What the integrations share: pictures and sounds made on the spot, options, the last word."""

import argparse
import math

import torch
from torch import nn


def options(description, steps):
    """`--steps` and `--bug` from the command line; seeded, on one thread."""
    parser = argparse.ArgumentParser(description=description.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=steps)
    parser.add_argument("--bug", action="store_true", help="plant the mistake named at the top")
    torch.set_num_threads(1)  # fastest for networks this small
    torch.manual_seed(0)
    return parser.parse_args()


def pictures(count, size=8):
    """Soft discs of any place, width and tint on a dark ground, (count, 3, size, size)."""
    grid = torch.linspace(-1, 1, size)
    place = torch.rand(count, 2, 1, 1) - 0.5
    width = 0.2 + 0.5 * torch.rand(count, 1, 1)
    far = (grid.view(1, 1, -1) - place[:, 0]) ** 2 + (grid.view(1, -1, 1) - place[:, 1]) ** 2
    disc = torch.exp(-far / width**2).unsqueeze(1)
    return 1.8 * disc * (0.3 + 0.7 * torch.rand(count, 3, 1, 1)) - 0.9


def sounds(count, length=128):
    """Tones with an overtone, of any pitch and phase, around 0.3, (count, 1, length) in [-1, 1]."""
    time = torch.arange(length) / length
    pitch = 2 + 6 * torch.rand(count, 1, 1)
    phase = 2 * math.pi * torch.rand(count, 1, 1)
    tone = torch.sin(2 * math.pi * pitch * time + phase)
    return 0.3 + 0.35 * tone + 0.15 * torch.sin(4 * math.pi * pitch * time + 2 * phase)


def patch_discriminator(width=16):
    """PatchGAN in small: (N, 3, 8, 8) to logits (N, 1, 2, 2), batch normalization as in pix2pix."""
    return nn.Sequential(
        nn.Conv2d(3, width, 4, 2, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(width, 2 * width, 3, 1, 1, bias=False),
        nn.BatchNorm2d(2 * width),
        nn.LeakyReLU(0.2),
        nn.Conv2d(2 * width, 1, 4, 2, 1),
    )


class Autoencoder(nn.Module):
    """(N, 3, 8, 8) to (N, 4, 2, 2) and back; `last` is the layer that VQGAN weighs its terms at."""

    def __init__(self, width=24):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(3, width, 4, 2, 1), nn.SiLU(), nn.Conv2d(width, 4, 4, 2, 1)
        )
        self.decoder = nn.Sequential(
            nn.ConvTranspose2d(4, width, 4, 2, 1),
            nn.SiLU(),
            nn.ConvTranspose2d(width, width, 4, 2, 1),
            nn.SiLU(),
        )
        self.last = nn.Conv2d(width, 3, 3, 1, 1)

    def forward(self, x):
        return self.last(self.decoder(self.encoder(x)))


def tell(monitor):
    """Print the verdict and each finding with its first remedy."""
    diagnosis = monitor.diagnose()
    print("verdict:", diagnosis.verdict)
    for finding in diagnosis.findings:
        print(f"- {finding.failure} ({finding.confidence:.0%}): {finding.summary}")
        print(f"  do: {finding.remedies[0].title}")
