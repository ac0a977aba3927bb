"""Correct loops in the ways that people write them: none may be flagged."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy as bce_of_probability
from torch.nn.functional import binary_cross_entropy_with_logits as bce
from torch.nn.functional import mse_loss, relu, softplus

from benchmarks.faults.wiring.parts import (
    BATCH,
    ITERATIONS,
    PIXELS,
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


class Scaled:
    """What a gradient scaler does, on any device: scale, unscale in place, skip."""

    def __init__(self, optimizer: torch.optim.Optimizer, scale: float = 2.0**16) -> None:
        self.optimizer, self.scale = optimizer, scale

    def step(self) -> None:
        """Unscale, and step unless something overflowed."""
        grads = [p.grad for g in self.optimizer.param_groups for p in g["params"]]
        for grad in grads:
            grad.mul_(1 / self.scale)
        if all(bool(grad.isfinite().all()) for grad in grads):
            self.optimizer.step()
        else:
            self.scale /= 2


def float16_scaled() -> None:
    """float16 autocast with a scaler per player that skips its first steps, and clipping."""
    g, d, opt_g, opt_d = game()
    scaler_g, scaler_d = Scaled(opt_g, 2.0**24), Scaled(opt_d, 2.0**24)
    monitor = watch(g, d, opt_g, opt_d)
    for _ in range(ITERATIONS):
        x = data()
        with torch.autocast("cpu", torch.float16):
            y = g(latent())
            r, f = d(x), d(y.detach())
            loss_d = (softplus(-r.float()) + softplus(f.float())).mean()
        opt_d.zero_grad()
        (scaler_d.scale * loss_d).backward()
        nn.utils.clip_grad_norm_(d.parameters(), 1e9)
        scaler_d.step()
        with torch.autocast("cpu", torch.float16):
            h = d(y)
        opt_g.zero_grad()
        (scaler_g.scale * softplus(-h.float()).mean()).backward()
        scaler_g.step()
        monitor.observe(real=x, fake=y, real_logits=r, fake_logits=f, losses={"d": loss_d})


def bfloat16() -> None:
    """bfloat16 autocast over float32 weights."""
    g, d, opt_g, opt_d = game()
    monitor = watch(g, d, opt_g, opt_d)
    for _ in range(ITERATIONS):
        x = data()
        with torch.autocast("cpu", torch.bfloat16):
            y = g(latent())
            r, f = d(x), d(y.detach())
            loss_d = (softplus(-r) + softplus(f)).mean()
        opt_d.zero_grad()
        loss_d.backward()
        opt_d.step()
        with torch.autocast("cpu", torch.bfloat16):
            loss_g = softplus(-d(y)).mean()
        opt_g.zero_grad()
        loss_g.backward()
        opt_g.step()
        monitor.observe(real=x, fake=y.float(), real_logits=r, fake_logits=f)


def two_discriminators() -> None:
    """Two discriminators with an optimizer each and one summed loss; logits as lists."""
    g, first, second = generator(), discriminator(), discriminator()
    opt_g, opt_1, opt_2 = adam(g), adam(first), adam(second)
    monitor = watch(g, {"first": first, "second": second}, opt_g, {"first": opt_1, "second": opt_2})
    for _ in range(ITERATIONS):
        x, y = data(), g(latent())
        opt_1.zero_grad()
        opt_2.zero_grad()
        r, f = [first(x), second(x)], [first(y.detach()), second(y.detach())]
        loss = sum(relu(1 - a).mean() + relu(1 + b).mean() for a, b in zip(r, f, strict=True))
        loss.backward()
        opt_1.step()
        opt_2.step()
        opt_g.zero_grad()
        (-first(y).mean() - second(y).mean()).backward()
        opt_g.step()
        monitor.observe(real=x, fake=y, real_logits=r, fake_logits=f, losses={"d": loss})


class Paired(nn.Module):
    """HiFi-GAN's manner: judges real and generated together, returns features too."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(PIXELS, 16), nn.Linear(16, 1)

    def forward(self, x: Tensor, y: Tensor) -> tuple[list[Tensor], ...]:
        a, b = relu(self.body(x)), relu(self.body(y))
        return [self.head(a)], [self.head(b)], [a], [b]


def paired_with_features() -> None:
    """A discriminator that takes the pair, feature matching, reconstruction, weight 45."""
    g, d = nn.Sequential(nn.Linear(PIXELS, 16), nn.ReLU(), nn.Linear(16, PIXELS)), Paired()
    opt_g, opt_d = adam(g), adam(d)
    monitor = watch(g, d, opt_g, opt_d)
    for _ in range(ITERATIONS):
        x = data()
        y = g(x)
        opt_d.zero_grad()
        r, f, _, _ = d(x, y.detach())
        loss_d = (r[0] - 1).square().mean() + f[0].square().mean()
        loss_d.backward()
        opt_d.step()
        opt_g.zero_grad()
        _, h, kept, made = d(x, y)
        matching = (kept[0] - made[0]).abs().mean()
        loss_g = (h[0] - 1).square().mean() + 2 * matching + 45 * (x - y).abs().mean()
        loss_g.backward()
        opt_g.step()
        given = {"real_logits": r, "fake_logits": f, "generator_logits": h}
        monitor.observe(real=x, fake=y, losses={"d": loss_d, "g": loss_g}, **given)


def adaptive_weight() -> None:
    """VQGAN's manner: autograd.grad at the last layer weighs the term; it starts at step 5."""
    g, d = nn.Sequential(nn.Linear(PIXELS, 16), nn.ReLU(), nn.Linear(16, PIXELS)), discriminator()
    opt_g, opt_d = adam(g), adam(d)
    monitor = watch(g, d, opt_g, opt_d, adversarial_start=5)
    for n in range(ITERATIONS):
        x = data()
        y = g(x)
        loss_rec, on = (x - y).abs().mean(), float(n >= 5)
        adversarial = -d(y).mean()
        last = g[2].weight
        rec_norm = torch.autograd.grad(loss_rec, last, retain_graph=True)[0].norm()
        adv_norm = torch.autograd.grad(adversarial, last, retain_graph=True)[0].norm()
        weight = (rec_norm / (adv_norm + 1e-4)).clamp(0, 1e4).detach()
        opt_g.zero_grad()
        (loss_rec + on * 0.8 * weight * adversarial).backward()
        opt_g.step()
        opt_d.zero_grad()
        r, f = d(x.detach()), d(y.detach())
        loss_d = on * 0.5 * (relu(1 - r) + relu(1 + f)).mean()
        loss_d.backward()
        opt_d.step()
        monitor.observe(real=x, fake=y, real_logits=r, fake_logits=f, adaptive_weight=weight)


def generator_called_twice() -> None:
    """Fresh fakes in each step, made without a graph for the discriminator; lazy R1."""
    g, d, opt_g, opt_d = game()
    average = copy.deepcopy(g)
    monitor = watch(g, d, opt_g, opt_d)
    for n in range(ITERATIONS):
        x = data()
        with torch.no_grad():
            y = g(latent())
        opt_d.zero_grad()
        r, f = d(x), d(y)
        (softplus(-r) + softplus(f)).mean().backward()
        opt_d.step()
        if n % 2 == 0:
            opt_d.zero_grad()
            reals = x.clone().requires_grad_()
            slope = torch.autograd.grad(d(2 * reals / 2).sum(), reals, create_graph=True)[0]
            slope.square().sum(1).mean().backward()
            opt_d.step()
        opt_g.zero_grad()
        softplus(-d(g(latent()))).mean().backward()
        opt_g.step()
        with torch.no_grad():
            for mean, p in zip(average.parameters(), g.parameters(), strict=True):
                mean.lerp_(p, 0.01)
        monitor.observe(real=x, fake=y, real_logits=r, fake_logits=f)


def manual_optimization() -> None:
    """Lightning's manner: toggled players, closures in the steps, one observe in two steps."""
    g, d, opt_g, opt_d = game()
    monitor = watch(g, d, opt_g, opt_d)
    for _ in range(ITERATIONS):
        x, z = data(), latent()
        d.requires_grad_(False)

        def generate() -> Tensor:
            opt_g.zero_grad()
            loss = softplus(-d(g(z))).mean()  # noqa: B023 - called in this iteration
            loss.backward()
            return loss

        opt_g.step(generate)
        d.requires_grad_(True)
        y = g(z).detach()

        def judge() -> Tensor:
            opt_d.zero_grad()
            loss = (softplus(-d(x)) + softplus(d(y))).mean()  # noqa: B023
            loss.backward()
            return loss

        loss_d = opt_d.step(judge)
        monitor.observe(real=x, fake=y, losses={"d": loss_d})


def mixed_batch_without_normalization() -> None:
    """Reals and fakes in one batch of a discriminator that judges samples one by one."""
    g, d = generator(), discriminator(norm=nn.LayerNorm)
    opt_g, opt_d = adam(g), adam(d)
    monitor = watch(g, d, opt_g, opt_d)
    for _ in range(ITERATIONS):
        x, y = data(), g(latent())
        opt_d.zero_grad()
        r, f = d(torch.cat([x, y.detach()])).chunk(2)
        (softplus(-r) + softplus(f)).mean().backward()
        opt_d.step()
        opt_g.zero_grad()
        softplus(-d(y)).mean().backward()
        opt_g.step()
        monitor.observe(real=x, fake=y, real_logits=r, fake_logits=f)


def pooled_fakes_and_wrong_pairs() -> None:
    """Old fakes from a pool, and reals with a wrong condition judged as fakes."""
    g, d = (
        generator(),
        nn.Sequential(nn.Linear(PIXELS + 1, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1)),
    )
    opt_g, opt_d = adam(g), adam(d)
    monitor = watch(g, d, opt_g, opt_d)
    pool = g(latent()).detach()
    right, wrong = torch.ones(BATCH, 1), torch.zeros(BATCH, 1)
    for _ in range(ITERATIONS):
        x, y = data(), g(latent())
        opt_d.zero_grad()
        r, f = d(torch.cat([x, right], 1)), d(torch.cat([pool, right], 1))
        mismatched = d(torch.cat([x, wrong], 1))
        (softplus(-r) + softplus(f) + softplus(mismatched)).mean().backward()
        opt_d.step()
        opt_g.zero_grad()
        softplus(-d(torch.cat([y, right], 1))).mean().backward()
        opt_g.step()
        pool = torch.cat([pool[8:], y[:8].detach()])
        monitor.observe(real=x, fake=y, real_logits=r, fake_logits=f)


def gradients_set_by_hand() -> None:
    """Extragradient with autograd.grad: gradients are put in place by the loop itself."""
    g, d = generator(), discriminator()
    opt_g, opt_d = (torch.optim.SGD(m.parameters(), lr=0.01) for m in (g, d))
    monitor = watch(g, d, opt_g, opt_d)
    for _ in range(ITERATIONS):
        x, z = data(), latent()
        kept = [p.detach().clone() for p in itertools.chain(g.parameters(), d.parameters())]
        for half in (True, False):
            y = g(z)
            r, f, h = d(x), d(y.detach()), d(y)
            loss_d = (softplus(-r) + softplus(f)).mean()
            slopes_d = torch.autograd.grad(loss_d, list(d.parameters()))
            slopes_g = torch.autograd.grad(softplus(-h).mean(), list(g.parameters()))
            if not half:
                with torch.no_grad():
                    for p, old in zip([*g.parameters(), *d.parameters()], kept, strict=True):
                        p.copy_(old)
            for module, slopes in ((g, slopes_g), (d, slopes_d)):
                for p, slope in zip(module.parameters(), slopes, strict=True):
                    p.grad = slope
            opt_g.step()
            opt_d.step()
        monitor.observe(real=x, fake=y, real_logits=r, fake_logits=f, losses={"d": loss_d})


def standardized_data_unbounded_generator() -> None:
    """Data of spread 1 and up to 4, a generator that ends in a linear layer."""
    g, d = generator(nn.Identity()), discriminator()
    opt_g, opt_d = adam(g), adam(d)
    monitor = watch(g, d, opt_g, opt_d)
    for _ in range(ITERATIONS):
        x, y = 4 * data(), g(latent())
        opt_d.zero_grad()
        r, f = d(x), d(y.detach())
        (relu(1 - r) + relu(1 + f)).mean().backward()
        opt_d.step()
        opt_g.zero_grad()
        (-d(y)).mean().backward()
        opt_g.step()
        monitor.observe(real=x, fake=y, real_logits=r, fake_logits=f)


HEALTHY = (
    textbook,
    labels_turned_in_both,
    discriminator_in_batch_norm,
    warm_up_from_zero,
    undetached_but_zeroed,
    generator_first,
    backwards_before_steps,
    toggled_and_summed,
    real_then_fake_backwards,
    accumulated,
    one_optimizer,
    gradient_reversal,
    wasserstein_with_penalty,
    wasserstein_other_sign,
    relativistic_with_both_penalties,
    relativistic_average_squares,
    all_pairs_on_purpose,
    least_squares,
    least_squares_far_trained,
    minimax,
    float16_scaled,
    bfloat16,
    two_discriminators,
    paired_with_features,
    adaptive_weight,
    generator_called_twice,
    manual_optimization,
    mixed_batch_without_normalization,
    pooled_fakes_and_wrong_pairs,
    gradients_set_by_hand,
    standardized_data_unbounded_generator,
)
