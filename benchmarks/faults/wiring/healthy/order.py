"""Who steps when, what is zeroed, what is detached: every order that is right."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits as bce
from torch.nn.functional import relu, softplus

from benchmarks.faults.wiring.parts import (
    ITERATIONS,
    adam,
    data,
    discriminator,
    game,
    generator,
    latent,
    watch,
)


def textbook() -> None:
    """Discriminator first, both zeroed before their own backward pass."""
    _textbook(*game())


def discriminator_in_batch_norm() -> None:
    """Batch normalization, reals and fakes in a batch each."""
    g, d = generator(), discriminator(norm=nn.BatchNorm1d)
    _textbook(g, d, adam(g), adam(d))


def warm_up_from_zero() -> None:
    """A schedule whose first learning rate is 0."""
    g, d, opt_g, opt_d = game()
    schedules = [
        torch.optim.lr_scheduler.LambdaLR(o, lambda n: min(1.0, n / 10)) for o in (opt_g, opt_d)
    ]
    _textbook(g, d, opt_g, opt_d, after=lambda: [s.step() for s in schedules])


def _textbook(
    g: nn.Module,
    d: nn.Module,
    opt_g: torch.optim.Optimizer,
    opt_d: torch.optim.Optimizer,
    after: Any = None,
    labels: tuple[float, float, float] = (0.9, 0.0, 1.0),
) -> None:
    monitor = watch(g, d, opt_g, opt_d)
    real, fake, wanted = labels
    for _ in range(ITERATIONS):
        x, y = data(), g(latent())
        opt_d.zero_grad()
        r, f = d(x), d(y.detach())
        loss_d = bce(r, torch.full_like(r, real)) + bce(f, torch.full_like(f, fake))
        loss_d.backward()
        opt_d.step()
        opt_g.zero_grad()
        h = d(y)
        loss_g = bce(h, torch.full_like(h, wanted))
        loss_g.backward()
        opt_g.step()
        if after is not None:
            after()
        given = {"real_logits": r, "fake_logits": f, "generator_logits": h}
        monitor.observe(real=x, fake=y, losses={"d": loss_d, "g": loss_g}, **given)


def labels_turned_in_both() -> None:
    """Reals are 0 and fakes 1 throughout, in both players: the same game."""
    _textbook(*game(), labels=(0.1, 1.0, 0.0))


def undetached_but_zeroed() -> None:
    """The fakes are not detached; the generator's gradient is zeroed before its own backward."""
    g, d, opt_g, opt_d = game()
    monitor = watch(g, d, opt_g, opt_d)
    for _ in range(ITERATIONS):
        x = data()
        opt_d.zero_grad()
        y = g(latent())
        r, f = d(x), d(y)
        loss_d = (softplus(-r) + softplus(f)).mean()
        loss_d.backward()
        opt_d.step()
        opt_g.zero_grad()
        softplus(-d(g(latent()))).mean().backward()
        opt_g.step()
        monitor.observe(real=x, fake=y, real_logits=r, fake_logits=f, losses={"d": loss_d})


def generator_first() -> None:
    """The generator steps before the discriminator, which is zeroed in place before its own."""
    g, d, opt_g, opt_d = game()
    monitor = watch(g, d, opt_g, opt_d)
    for _ in range(ITERATIONS):
        x, y = data(), g(latent())
        g.zero_grad(set_to_none=False)
        loss_g = -d(y).mean()
        loss_g.backward()
        opt_g.step()
        d.zero_grad(set_to_none=False)
        r, f = d(x), d(y.detach())
        loss_d = (relu(1 - r) + relu(1 + f)).mean()
        loss_d.backward()
        opt_d.step()
        monitor.observe(real=x, fake=y, real_logits=r, fake_logits=f, losses={"d": loss_d})


def backwards_before_steps() -> None:
    """Both backward passes come before both steps; the discriminator's is zeroed between."""
    g, d, opt_g, opt_d = game()
    monitor = watch(g, d, opt_g, opt_d)
    for _ in range(ITERATIONS):
        x, y = data(), g(latent())
        opt_g.zero_grad()
        (-d(y)).mean().backward()
        opt_d.zero_grad()
        r, f = d(x), d(y.detach())
        loss_d = (relu(1 - r) + relu(1 + f)).mean()
        loss_d.backward()
        opt_d.step()
        opt_g.step()
        monitor.observe(real=x, fake=y, real_logits=r, fake_logits=f)


def toggled_and_summed() -> None:
    """Both losses in one backward pass, the discriminator frozen while it judges for the other."""
    g, d, opt_g, opt_d = game()
    monitor = watch(g, d, opt_g, opt_d)
    for _ in range(ITERATIONS):
        x, y = data(), g(latent())
        r, f = d(x), d(y.detach())
        loss_d = (softplus(-r) + softplus(f)).mean()
        d.requires_grad_(False)
        loss_g = softplus(-d(y)).mean()
        d.requires_grad_(True)
        opt_d.zero_grad()
        opt_g.zero_grad()
        (loss_d + loss_g).backward()
        opt_d.step()
        opt_g.step()
        monitor.observe(real=x, fake=y, real_logits=r, fake_logits=f, losses={"d": loss_d})


def real_then_fake_backwards() -> None:
    """The DCGAN example: reals and fakes in a backward pass each, one step."""
    g, d, opt_g, opt_d = game()
    monitor = watch(g, d, opt_g, opt_d)
    for _ in range(ITERATIONS):
        d.zero_grad()
        x = data()
        r = d(x).view(-1)
        bce(r, torch.ones_like(r)).backward()
        y = g(latent())
        f = d(y.detach()).view(-1)
        bce(f, torch.zeros_like(f)).backward()
        opt_d.step()
        g.zero_grad()
        h = d(y).view(-1)
        bce(h, torch.ones_like(h)).backward()
        opt_g.step()
        monitor.observe(real=x, fake=y, real_logits=r, fake_logits=f, generator_logits=h)


def accumulated() -> None:
    """Four micro-batches per update of each player."""
    g, d, opt_g, opt_d = game()
    monitor = watch(g, d, opt_g, opt_d)
    for n in range(ITERATIONS):
        x, y = data(), g(latent())
        d.requires_grad_(True)
        r, f = d(x), d(y.detach())
        ((softplus(-r) + softplus(f)).mean() / 4).backward()
        d.requires_grad_(False)
        (softplus(-d(y)).mean() / 4).backward()
        if n % 4 == 3:
            opt_d.step()
            opt_g.step()
            opt_d.zero_grad()
            opt_g.zero_grad()
        monitor.observe(real=x, fake=y, real_logits=r, fake_logits=f)


def one_optimizer() -> None:
    """One optimizer steps both players on a joint loss."""
    g, d = generator(), discriminator()
    both = torch.optim.Adam([*g.parameters(), *d.parameters()], lr=1e-3)
    monitor = watch(g, d, both, both)
    for _ in range(ITERATIONS):
        x, y = data(), g(latent())
        both.zero_grad()
        r, f = d(x), d(y.detach())
        loss_d = (softplus(-r) + softplus(f)).mean()
        loss_d.backward()
        d.requires_grad_(False)
        softplus(-d(y)).mean().backward()
        d.requires_grad_(True)
        both.step()
        monitor.observe(real=x, fake=y, real_logits=r, fake_logits=f, losses={"d": loss_d})


class Reversal(torch.autograd.Function):
    """x -> x with the gradient turned."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return -gradient


def gradient_reversal() -> None:
    """One backward pass for both players through a gradient reversal."""
    g, d, opt_g, opt_d = game()
    monitor = watch(g, d, opt_g, opt_d)
    for _ in range(ITERATIONS):
        x, y = data(), g(latent())
        opt_d.zero_grad()
        opt_g.zero_grad()
        r, f = d(x), d(Reversal.apply(y))
        loss = (softplus(-r) + softplus(f)).mean()
        loss.backward()
        opt_d.step()
        opt_g.step()
        monitor.observe(real=x, fake=y, real_logits=r, fake_logits=f, losses={"d": loss})


ORDER = (
    textbook,
    discriminator_in_batch_norm,
    warm_up_from_zero,
    labels_turned_in_both,
    undetached_but_zeroed,
    generator_first,
    backwards_before_steps,
    toggled_and_summed,
    real_then_fake_backwards,
    accumulated,
    one_optimizer,
    gradient_reversal,
)
