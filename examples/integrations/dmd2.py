"""The shape of DMD2: a one-step student, a fake score and a discriminator at its bottleneck.

The student moves every fifth step; the fake score learns to denoise the student's samples, and a
head at its bottleneck tells noised reals from noised samples. Both have one optimizer, as in the
original. The lines marked `# equipoise` are all it takes.

--bug: noise is added under `no_grad`, so the student's adversarial term is logged, plausible, and
without effect; diffusers' script lost its perceptual term in the same way.
"""

import math

import torch
from parts import options, tell
from torch import nn
from torch.nn.functional import mse_loss, softplus

import equipoise  # equipoise

BATCH, Z, RATIO, CLS_WEIGHT = 64, 8, 5, 1.0


def ring(count):
    angle = torch.randint(8, (count,)) * (2 * math.pi / 8)
    return torch.stack([angle.cos(), angle.sin()], 1) + 0.02 * torch.randn(count, 2)


def teacher(noisy, sigma):
    """The exact E[x | noisy] of the ring, which the real score would have learned."""
    angle = torch.arange(8) * (2 * math.pi / 8)
    modes = torch.stack([angle.cos(), angle.sin()], 1)
    far = (noisy.unsqueeze(1) - modes).square().sum(2)
    weight = torch.softmax(-far / (2 * (sigma**2 + 0.02**2)), 1)
    shrink = 0.02**2 / (sigma**2 + 0.02**2)
    return (weight @ modes) * (1 - shrink) + noisy * shrink


class FakeScore(nn.Module):
    """Denoises samples; `classify` judges them at the bottleneck."""

    def __init__(self, width=64):
        super().__init__()
        self.down = nn.Sequential(
            nn.Linear(3, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU()
        )
        self.up = nn.Linear(width, 2)
        self.head = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 1))

    def forward(self, noisy, sigma, classify=False):
        hidden = self.down(torch.cat([noisy, sigma.log()], 1))
        return self.head(hidden) if classify else self.up(hidden)


def student():
    hidden = [nn.Linear(Z, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU()]
    return nn.Sequential(*hidden, nn.Linear(64, 2))


def noised(x, bug=False):
    """Samples at a random noise level, and the level."""
    sigma = torch.exp(torch.empty(len(x), 1).uniform_(math.log(0.05), math.log(0.8)))
    with torch.set_grad_enabled(torch.is_grad_enabled() and not bug):
        return x + sigma * torch.randn_like(x), sigma


def matching_loss(x, score):
    """DMD's loss, whose gradient by x is (fake denoised - real denoised) / |x - real denoised|."""
    with torch.no_grad():
        noisy, sigma = noised(x)
        fake, real = score(noisy, sigma), teacher(noisy, sigma)
        gradient = (fake - real) / (x - real).abs().mean(1, keepdim=True).clamp_min(1e-3)
    return 0.5 * mse_loss(x, (x - gradient).detach())


def train(steps, bug):
    generator, score = student(), FakeScore()
    optimizer_g = torch.optim.AdamW(generator.parameters(), lr=1e-3, betas=(0.9, 0.999))
    optimizer_s = torch.optim.AdamW(score.parameters(), lr=1e-3, betas=(0.9, 0.999))
    watched = generator, score, optimizer_g, optimizer_s  # equipoise
    monitor = equipoise.Monitor(*watched, schedule="fixed", stride=3, tick=12)  # equipoise
    monitor.audit()  # equipoise

    for step in range(steps):
        losses = {}
        if step % RATIO == 0:
            x = generator(torch.randn(BATCH, Z))
            judged = score(*noised(x, bug), classify=True)
            losses["matching"] = matching_loss(x, score)
            losses["generator"] = softplus(-judged).mean()
            optimizer_g.zero_grad()
            (losses["matching"] + CLS_WEIGHT * losses["generator"]).backward()
            optimizer_g.step()

        real = ring(BATCH)
        with torch.no_grad():
            fake = generator(torch.randn(BATCH, Z))
        noisy, sigma = noised(fake)
        losses["denoising"] = mse_loss(score(noisy, sigma), fake)
        real_logits = score(*noised(real), classify=True)
        fake_logits = score(*noised(fake), classify=True)
        losses["discriminator"] = softplus(-real_logits).mean() + softplus(fake_logits).mean()
        optimizer_s.zero_grad()
        (losses["denoising"] + losses["discriminator"]).backward()
        optimizer_s.step()

        logits = {"real_logits": real_logits, "fake_logits": fake_logits}  # equipoise
        monitor.observe(real=real, fake=fake, losses=losses, **logits)  # equipoise

    tell(monitor)  # equipoise


if __name__ == "__main__":
    chosen = options(__doc__, steps=600)
    train(chosen.steps, chosen.bug)
