"""A GAN loop on a ring of eight points as somebody would write it by hand; tests attach to it."""

import math
from types import SimpleNamespace

import torch
from torch import nn
from torch.nn.functional import softplus

from equipoise.monitor import Monitor

BATCH = 32
Z = 4


def ring(count, generator=None):
    """Points near eight places on the unit circle."""
    mode = torch.randint(8, (count,), generator=generator)
    angle = mode * (2 * math.pi / 8)
    centre = torch.stack([angle.cos(), angle.sin()], 1)
    return centre + 0.02 * torch.randn(count, 2, generator=generator)


def plain_players():
    generator = nn.Sequential(
        nn.Linear(Z, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 2)
    )
    discriminator = nn.Sequential(
        nn.Linear(2, 32), nn.LeakyReLU(0.2), nn.Linear(32, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1)
    )
    return generator, discriminator


def noisy_players():
    """Players that draw random numbers and keep buffers."""
    generator = nn.Sequential(nn.Linear(Z, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 2))
    discriminator = nn.Sequential(
        nn.Linear(2, 16), nn.BatchNorm1d(16), nn.LeakyReLU(0.2), nn.Dropout(0.3), nn.Linear(16, 1)
    )
    return generator, discriminator


def play(
    steps,
    attach=None,
    players=plain_players,
    n_critic=1,
    generator_steps=True,
    nan_at=None,
    seed=0,
    on_step=None,
):
    """Train for `steps` iterations; `attach(G, D, optimizer_G, optimizer_D)` makes the monitor."""
    torch.manual_seed(seed)
    generator, discriminator = players()
    optimizer_g = torch.optim.Adam(generator.parameters(), lr=1e-3, betas=(0.0, 0.99))
    optimizer_d = torch.optim.Adam(discriminator.parameters(), lr=1e-3, betas=(0.0, 0.99))
    monitor = attach(generator, discriminator, optimizer_g, optimizer_d) if attach else None
    state = SimpleNamespace(
        generator=generator,
        discriminator=discriminator,
        optimizer_g=optimizer_g,
        optimizer_d=optimizer_d,
        monitor=monitor,
        done=0,
    )
    for step in range(1, steps + 1):
        for _ in range(n_critic):
            real, fake = ring(BATCH), generator(torch.randn(BATCH, Z)).detach()
            real_logits, fake_logits = discriminator(real), discriminator(fake)
            loss_d = (softplus(-real_logits) + softplus(fake_logits)).mean()
            if step == nan_at:
                loss_d = loss_d * math.nan
            optimizer_d.zero_grad()
            loss_d.backward()
            optimizer_d.step()
        generator_logits = discriminator(generator(torch.randn(BATCH, Z)))
        loss_g = softplus(-generator_logits).mean()
        optimizer_g.zero_grad()
        loss_g.backward()
        if generator_steps:
            optimizer_g.step()
        state.done = step
        if on_step is not None:
            on_step(step)
        if monitor is not None:
            monitor.observe(
                real=real,
                fake=fake,
                real_logits=real_logits,
                fake_logits=fake_logits,
                generator_logits=generator_logits,
                losses={"d": loss_d, "g": loss_g},
            )
    return state


def dense(**options):
    """An `attach` whose monitor reads every iteration and closes a row with each."""
    settings = {"schedule": "fixed", "stride": 1, "tick": 1} | options
    return lambda g, d, og, od: Monitor(g, d, og, od, **settings)
