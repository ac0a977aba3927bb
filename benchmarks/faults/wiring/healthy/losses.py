"""Every loss that people descend, and their penalties."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy as bce_of_probability
from torch.nn.functional import mse_loss, softplus

from benchmarks.faults.wiring.parts import (
    BATCH,
    ITERATIONS,
    adam,
    data,
    discriminator,
    game,
    generator,
    latent,
    watch,
)


def wasserstein_with_penalty() -> None:
    """Five critic steps each observed, with a gradient penalty on interpolates."""
    g, d, opt_g, opt_d = game()
    monitor = watch(g, d, opt_g, opt_d)
    for n in range(ITERATIONS):
        x, y = data(), g(latent()).detach()
        opt_d.zero_grad()
        mix = torch.rand(BATCH, 1)
        between = (mix * x + (1 - mix) * y).requires_grad_()
        slope = torch.autograd.grad(d(between).sum(), between, create_graph=True)[0]
        r, f = d(x), d(y)
        loss_d = f.mean() - r.mean() + 10 * (slope.norm(dim=1) - 1).square().mean()
        loss_d.backward()
        opt_d.step()
        if n % 5 == 4:
            opt_g.zero_grad()
            (-d(g(latent())).mean()).backward()
            opt_g.step()
        monitor.observe(real=x, fake=y, real_logits=r, fake_logits=f, losses={"d": loss_d})


def wasserstein_other_sign() -> None:
    """A critic that is low on reals, and a generator that agrees."""
    g, d, opt_g, opt_d = game()
    monitor = watch(g, d, opt_g, opt_d)
    for _ in range(ITERATIONS):
        for _ in range(3):
            x, y = data(), g(latent())
            opt_d.zero_grad()
            r, f = d(x), d(y.detach())
            (r.mean() - f.mean()).backward()
            opt_d.step()
        opt_g.zero_grad()
        d(g(latent())).mean().backward()
        opt_g.step()
        monitor.observe(real=x, fake=y, real_logits=r, fake_logits=f)


def relativistic_with_both_penalties() -> None:
    """RpGAN with R1 and R2; reals take part in the generator's loss."""
    g, d, opt_g, opt_d = game()
    monitor = watch(g, d, opt_g, opt_d)
    for _ in range(ITERATIONS):
        x, y = data().requires_grad_(), g(latent()).detach().requires_grad_()
        r, f = d(x), d(y)
        slopes = torch.autograd.grad(r.sum() + f.sum(), [x, y], create_graph=True)
        penalty = sum(s.square().sum(1).mean() for s in slopes)
        loss_d = softplus(f - r).mean() + 0.05 * penalty
        opt_d.zero_grad()
        loss_d.backward()
        opt_d.step()
        opt_g.zero_grad()
        y = g(latent())
        loss_g = softplus(d(x) - d(y)).mean()
        loss_g.backward()
        opt_g.step()
        monitor.observe(real=x, fake=y, real_logits=r, fake_logits=f, losses={"d": loss_d})


def relativistic_average_squares() -> None:
    """Relativistic average least squares."""
    g, d, opt_g, opt_d = game()
    monitor = watch(g, d, opt_g, opt_d)
    for _ in range(ITERATIONS):
        x, y = data(), g(latent())
        r, f = d(x), d(y.detach())
        loss_d = (r - f.mean() - 1).square().mean() + (f - r.mean() + 1).square().mean()
        opt_d.zero_grad()
        loss_d.backward()
        opt_d.step()
        opt_g.zero_grad()
        r_g, f_g = d(x), d(y)
        loss_g = (r_g - f_g.mean() + 1).square().mean() + (f_g - r_g.mean() - 1).square().mean()
        loss_g.backward()
        opt_g.step()
        monitor.observe(real=x, fake=y, real_logits=r, fake_logits=f, losses={"d": loss_d})


def all_pairs_on_purpose() -> None:
    """Every real against every fake, (N, 1) and (1, N)."""
    g, d, opt_g, opt_d = game()
    monitor = watch(g, d, opt_g, opt_d)
    for _ in range(ITERATIONS):
        x, y = data(), g(latent())
        r, f = d(x), d(y.detach())
        loss_d = softplus(f.T - r).mean()
        opt_d.zero_grad()
        loss_d.backward()
        opt_d.step()
        opt_g.zero_grad()
        loss_g = softplus(d(x).detach() - d(y).T).mean()
        loss_g.backward()
        opt_g.step()
        losses = {"d": loss_d, "g": loss_g}
        monitor.observe(real=x, fake=y, real_logits=r, fake_logits=f, losses=losses)


def least_squares() -> None:
    """Least squares, whose gradient changes sign around the labels, with instance noise."""
    g, d, opt_g, opt_d = game()
    monitor = watch(g, d, opt_g, opt_d)
    for _ in range(ITERATIONS):
        x, y = data(), g(latent())
        opt_d.zero_grad()
        r = d(x + 0.1 * torch.randn_like(x))
        f = d(y.detach() + 0.1 * torch.randn_like(y))
        loss_d = (mse_loss(r, torch.ones_like(r)) + mse_loss(f, torch.zeros_like(f))) / 2
        loss_d.backward()
        opt_d.step()
        opt_g.zero_grad()
        h = d(y + 0.1 * torch.randn_like(y))
        mse_loss(h, torch.ones_like(h)).backward()
        opt_g.step()
        monitor.observe(real=x, fake=y, real_logits=r, fake_logits=f, losses={"d": loss_d})


def least_squares_far_trained() -> None:
    """The audit is armed after training, with logits near their labels on both sides."""
    g, d, _, opt_d = game()
    slow = torch.optim.SGD(g.parameters(), lr=1e-3)
    for _ in range(300):
        x, y = data(), g(latent()).detach()
        opt_d.zero_grad()
        ((d(x) - 1).square().mean() + d(y).square().mean()).backward()
        opt_d.step()
    monitor = watch(g, d, slow, opt_d)
    for _ in range(ITERATIONS):
        x, y = data(), g(latent())
        opt_d.zero_grad()
        r, f = d(x), d(y.detach())
        loss_d = (r - 1).square().mean() + f.square().mean()
        loss_d.backward()
        opt_d.step()
        slow.zero_grad()
        (d(y) - 1).square().mean().backward()
        slow.step()
        monitor.observe(real=x, fake=y, real_logits=r, fake_logits=f, losses={"d": loss_d})


def minimax() -> None:
    """The saturating loss and probabilities, as in the first paper."""
    g, d = generator(), discriminator(nn.Sigmoid())
    opt_g, opt_d = adam(g), adam(d)
    monitor = watch(g, d, opt_g, opt_d)
    for _ in range(ITERATIONS):
        x, y = data(), g(latent())
        opt_d.zero_grad()
        r, f = d(x), d(y.detach())
        loss_d = bce_of_probability(r, torch.ones_like(r)) - (1 - f).log().mean()
        loss_d.backward()
        opt_d.step()
        opt_g.zero_grad()
        loss_g = (1 - d(y)).log().mean()
        loss_g.backward()
        opt_g.step()
        monitor.observe(real=x, fake=y, real_logits=r, fake_logits=f, losses={"d": loss_d})


LOSSES = (
    wasserstein_with_penalty,
    wasserstein_other_sign,
    relativistic_with_both_penalties,
    relativistic_average_squares,
    all_pairs_on_purpose,
    least_squares,
    least_squares_far_trained,
    minimax,
)
